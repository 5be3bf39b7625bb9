"""Each kind of fault that was once found, with its smallest input, through the real command.

Faults that show without the command are tested with their part, under the same prefix.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import (
    FORGED_TEXT,
    OBJECTS,
    Action,
    Amend,
    Behaviour,
    Dataset,
    Fault,
    Reply,
    Sandbox,
    Turn,
    storage_reply,
)
from tests.support.expectations import expected_records, identity, in_any_order
from tests.support.runner import Json, Output, Run, Tap, created_exports, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dev.sandbox.faults import Kind
    from dev.sandbox.wire import Response

START = datetime(2025, 3, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
DAILY: Json = {"start_date": "2025-03-01", "end_date": "2025-03-04", "window_days": 1}

# All transient statuses of RFC 9110, and those of proxies and content delivery networks.
TRANSIENT = (
    *(408, 409, 425, 429, 499, 500, 502, 503, 504, 507),
    *(520, 521, 522, 523, 524, 525, 526, 527, 530, 598),
)


@pytest.fixture
def project() -> Iterator[Sandbox]:
    """Yield a sandbox without rows."""
    with Sandbox(Dataset(seed=4, sizes=dict.fromkeys(OBJECTS, 0), start=START)) as project:
        yield project


@pytest.fixture
def fast(project: Sandbox, tmp_path: Path) -> Tap:
    """Return the tap with a fast clock, configured for the project."""
    return Tap(tmp_path, project.config, speed=100)


def add(project: Sandbox, *times: datetime, **cells: str) -> None:
    """Add a customer for each of these times."""
    for created in times:
        project.dataset.add("customer", created, cells=cells)


def check_all(project: Sandbox, *outputs: Output, times: int | None = None) -> None:
    """Check that runs emitted exactly the customers since March, each `times` times if given."""
    emitted = [identity(record) for output in outputs for record in output.records("customers")]
    start = "2025-03-01"
    expected = [identity(record) for record in expected_records(project, "customers", start)]
    assert set(emitted) == set(expected)
    if times:
        assert sorted(emitted) == sorted(expected * times)


def check_success(run: Run) -> None:
    """Check that a run has completed."""
    assert (run.exit_code, run.errors) == (0, []), run.stderr


def up_to(run: Run, state: Json) -> Output:
    """Return what a loader commits if this STATE is the last one it gets."""
    last = max(n for n, message in enumerate(run.messages) if message.get("value") == state)
    return Output(run.lines[: last + 1])


def test_a1_state_never_passes_rows_that_are_yet_to_come(
    project: Sandbox, fast: Tap, customers: Json
) -> None:
    """No STATE of an unordered file covers rows that are not yet emitted."""
    add(project, *(START + number * HOUR for number in range(400)))
    add(project, *[START + 400 * HOUR] * 400)
    project.behaviour = Behaviour(row_order="descending")
    fast.records_per_state = 250

    run = fast.run(catalog=customers)

    check_success(run)
    for state in run.states:
        resumed = fast.run(catalog=customers, state=state)
        check_all(project, up_to(run, state), resumed)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        pytest.param({"filter_utc_offset_hours": -5}, "another time zone", id="shifted"),
        pytest.param({"filter_utc_offset_hours": 9}, "another time zone", id="shifted_east"),
        pytest.param({"repeats_first_window": True}, "requested range, again", id="repeated"),
    ],
)
def test_a4_a_filter_that_the_rows_contradict_ends_the_stream(
    project: Sandbox, fast: Tap, customers: Json, behaviour: Any, error: str
) -> None:
    """A date filter that the rows contradict fails the stream, and no row is lost."""
    add(project, *(START + number * HOUR for number in range(-24, 72)))
    project.behaviour = Behaviour(**behaviour)

    run = fast.run(catalog=customers, **DAILY)

    assert run.exit_code == 1
    assert len(run.errors) == 1
    assert error in run.errors[0]
    project.behaviour = Behaviour()
    resumed = fast.run(catalog=customers, state=run.states[-1] if run.states else None, **DAILY)
    check_success(resumed)
    check_all(project, run, resumed)


@pytest.mark.parametrize("others", [0, 20])
def test_a4_a_date_that_is_off_by_milliseconds_is_no_contradiction(
    project: Sandbox, fast: Tap, customers: Json, others: int
) -> None:
    """A date half a second from the instant filtered on does not contradict the filter."""
    border = START + 24 * HOUR
    shown = (border - 1.4 * SECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    add(project, border - 0.9 * SECOND, created_at=shown)
    add(project, *(border + number * HOUR for number in range(1, others + 1)))

    run = fast.run(catalog=customers, **DAILY)

    check_success(run)
    assert run.warnings == []
    check_all(project, run, times=1)


@pytest.mark.parametrize(
    "settings",
    [{}, {"end_date": (datetime.now(timezone.utc) + 24 * HOUR).isoformat()}],
    ids=["open", "until_tomorrow"],
)
def test_a5_a_bookmark_in_the_future_is_reported(
    project: Sandbox, fast: Tap, customers: Json, settings: Json
) -> None:
    """A bookmark ahead of the server's time gets a warning and hides no row."""
    bookmark = {"replication_key": "created_at", "replication_key_value": "2099-01-01T00:00:00Z"}
    state = {"bookmarks": {"customers": bookmark}}

    run = fast.run(catalog=customers, state=state, **settings)
    add(project, datetime.now(timezone.utc))
    second = fast.run(catalog=customers, state=run.state, **settings)

    check_success(run)
    check_success(second)
    assert any("ahead of the server's time" in line for line in run.warnings)
    check_all(project, second)


@pytest.mark.parametrize("links", ["path", "token"])
def test_a7_parts_are_known_by_their_links(
    project: Sandbox, fast: Tap, customers: Json, links: Any
) -> None:
    """Files of a split export are matched by their links, or else the stream fails."""
    add(project, *(START + number * HOUR for number in range(30)))
    project.behaviour = Behaviour(files=3, part_links=links, rotates_links=True)
    project.faults.add(Fault(on="download", action=Reply(401), nth=2))

    run = fast.run(catalog=customers)

    if links == "path":
        check_success(run)
        check_all(project, run, times=1)
    else:
        assert run.exit_code == 1
        assert "cannot be distinguished" in run.errors[0]
        assert run.records("customers") == []


def test_a8_the_lookback_is_never_shorter_than_the_margin(
    project: Sandbox, fast: Tap, customers: Json
) -> None:
    """Dates that are off by milliseconds lose no row, even with a lookback of zero."""
    project.behaviour = Behaviour(date_skew_ms=500)
    add(project, *(START + HOUR + number * SECOND / 50 for number in range(60)))
    first = fast.run(catalog=customers, lookback_seconds=0)
    add(project, *(START + HOUR + number * SECOND / 50 for number in range(60, 120)))

    second = fast.run(catalog=customers, lookback_seconds=0, state=first.state)

    check_success(second)
    check_all(project, first, second)


def test_a15_a_table_without_rows_is_not_emptied(fast: Tap, discovered: Json) -> None:
    """An export without rows gets a warning instead of ACTIVATE_VERSION."""
    run = fast.run(
        catalog=select(discovered, ["points_expirations"]), emit_activate_version_messages=True
    )

    check_success(run)
    assert "ACTIVATE_VERSION" not in {message["type"] for message in run.messages}
    assert any("no ACTIVATE_VERSION" in line for line in run.warnings)


def test_a16_a_bookmark_is_rounded_down(project: Sandbox, fast: Tap, customers: Json) -> None:
    """A row in the millisecond of a finer bookmark is read again."""
    add(project, START)
    bookmark = {
        "replication_key": "created_at",
        "replication_key_value": "2025-03-01T00:00:00.000900Z",
    }

    run = fast.run(
        catalog=customers, lookback_seconds=0, state={"bookmarks": {"customers": bookmark}}
    )

    check_success(run)
    check_all(project, run, times=1)


@pytest.mark.parametrize("number", range(len(TRANSIENT)))
def test_b1_every_status_that_may_pass_is_retried(
    project: Sandbox, fast: Tap, customers: Json, number: int
) -> None:
    """One transient error response fails no stream, whichever call gets it."""
    add(project, START)
    kinds: tuple[Kind, ...] = ("create", "poll", "download")
    for offset, kind in enumerate(kinds):
        status = TRANSIENT[(number + offset) % len(TRANSIENT)]
        project.faults.add(Fault(on=kind, action=Reply(status, b"<html>no</html>")))

    run = fast.run(catalog=customers)

    check_success(run)
    check_all(project, run, times=1)
    assert len(project.exports) == 1


@pytest.mark.parametrize(
    "delay", ["export_delay_seconds", "result_delay_seconds", "file_delay_seconds"]
)
def test_b2_what_is_late_is_waited_for(
    project: Sandbox, fast: Tap, customers: Json, delay: str
) -> None:
    """An export, result or file that is a little late is not created again."""
    add(project, START)
    # Twenty seconds of the tap's clock.
    late: Any = {delay: 0.2}
    project.behaviour = Behaviour(**late)

    run = fast.run(catalog=customers)

    check_success(run)
    check_all(project, run, times=1)
    assert len(created_exports(project)) == 1


def test_b2_a_result_that_is_missing_once_is_waited_for(
    project: Sandbox, fast: Tap, customers: Json
) -> None:
    """An export that is DONE without a result is polled again."""
    add(project, START)
    project.faults.add(Fault(on="poll", action=Amend({"status": "DONE", "result": None})))

    run = fast.run(catalog=customers)

    check_success(run)
    check_all(project, run, times=1)
    assert len(created_exports(project)) == 1


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(storage_reply(403, "AccessDenied", "Request has expired"), id="expired"),
        pytest.param(storage_reply(403, "ExpiredToken", "The token has expired"), id="token"),
        pytest.param(Reply(410), id="gone"),
        pytest.param(Reply(202), id="accepted"),
        pytest.param(Reply(204), id="no_content"),
    ],
)
def test_b3_a_rejected_download_gets_a_fresh_link(
    project: Sandbox, fast: Tap, customers: Json, action: Action
) -> None:
    """A link that the storage no longer accepts is renewed."""
    add(project, START)
    project.faults.add(Fault(on="download", action=action))

    run = fast.run(catalog=customers)

    check_success(run)
    check_all(project, run, times=1)
    assert len(created_exports(project)) == 1
    tokens = [r.query["token"] for r in project.requests if r.kind == "download"]
    assert len(tokens) == len(set(tokens)) == 2


@pytest.mark.parametrize("form", ["xml", "json"])
def test_b3_a_storage_is_quoted(project: Sandbox, fast: Tap, customers: Json, form: Any) -> None:
    """The error of a rejected download quotes the storage."""
    add(project, START)
    reply = storage_reply(403, "AccessDenied", "Not from this network", form)
    project.faults.add(Fault(on="download", action=reply, times=None))

    run = fast.run(catalog=customers)

    assert run.exit_code == 1
    assert re.search("403.*AccessDenied.*Not from this network", run.errors[0])
    assert len(run.errors) == 1


@pytest.mark.parametrize("lines", [1, 3])
def test_b4_empty_lines_at_the_end_are_no_rows(
    project: Sandbox, fast: Tap, customers: Json, lines: int
) -> None:
    """Empty lines at the end of a file are ignored."""
    add(project, START, START + 24 * HOUR)
    project.behaviour = Behaviour(trailing_lines=lines)

    run = fast.run(catalog=customers, **DAILY)

    check_success(run)
    check_all(project, run, times=1)


@pytest.mark.parametrize("digits", [3, 6, 9])
@pytest.mark.parametrize("zone", ["Z", "", "+00", "+00:00", "+05:30", "-08"])
def test_b14_times_may_have_any_form(
    project: Sandbox, fast: Tap, customers: Json, digits: int, zone: str
) -> None:
    """Times with any number of digits and any offset are read, as are dates with a time."""
    add(project, START, START + HOUR)
    project.behaviour = Behaviour(time_digits=digits, time_zone=zone, dates_with_times=True)

    run = fast.run(catalog=customers)

    check_success(run)
    assert in_any_order(run.records("customers")) == expected_records(project, "customers")


@dataclass
class Maintenance(Action):
    """Fails every request for some real seconds after the first one."""

    seconds: float
    requests: list[float] = field(default_factory=list)

    def instead(self) -> Response | None:
        """Fail."""
        self.requests.append(time.monotonic())
        is_over = self.requests[-1] - self.requests[0] > self.seconds
        return None if is_over else Reply(500, b"<html>maintenance</html>").instead()


def test_b15_a_maintenance_of_ten_minutes_is_waited_for(
    project: Sandbox, tmp_path: Path, customers: Json
) -> None:
    """Ten minutes of failures fail no stream."""
    add(project, START)
    # Ten minutes of the tap's clock.
    maintenance = Maintenance(2)
    kinds: tuple[Kind, ...] = ("create", "poll", "list", "download")
    project.faults.add(*(Fault(on=kind, action=maintenance, times=None) for kind in kinds))

    run = Tap(tmp_path, project.config, speed=300).run(catalog=customers)

    check_success(run)
    check_all(project, run, times=1)
    assert len(maintenance.requests) > 10


def forge(project: Sandbox) -> None:
    """Put line breaks and terminal escapes into the IDs of exports and into errors."""
    project.behaviour = Behaviour(forged_text=FORGED_TEXT)


def forge_status(project: Sandbox) -> None:
    """Put line breaks and terminal escapes into a status."""
    project.faults.add(Fault(on="create", action=Turn(f"WAITING{FORGED_TEXT}"), times=None))


def forge_error(project: Sandbox) -> None:
    """Put line breaks and terminal escapes into an error."""
    forge(project)
    error = {"key": f"odd{FORGED_TEXT}", "message": FORGED_TEXT, "details": FORGED_TEXT}
    project.faults.add(Fault(on="create", action=Reply(400, error)))


@pytest.mark.parametrize("prepare", [forge, forge_status, forge_error])
def test_c1_a_server_cannot_forge_a_line_of_the_log(
    project: Sandbox, fast: Tap, customers: Json, prepare: Any
) -> None:
    """Every log record is one printable line, whatever it quotes."""
    add(project, START)
    prepare(project)

    run = fast.run(catalog=customers)

    assert run.exit_code == len(run.errors) <= 1
    for line in run.stderr.split("\n")[:-1]:
        assert re.match(r"20\d\d-\d\d-\d\d [\d:,]+ \| [A-Z]+ +\| ", line), run.stderr
        assert line.isprintable()


@pytest.mark.parametrize(
    "bookmark",
    [
        pytest.param(
            {"replication_key": "updated_at", "replication_key_value": "2025-03-02T00:00:00Z"},
            id="another_key",
        ),
        pytest.param({"created_at": "2025-03-02T00:00:00Z"}, id="another_form"),
    ],
)
def test_c8_a_state_that_does_not_count_is_reported(
    project: Sandbox, fast: Tap, customers: Json, bookmark: Json
) -> None:
    """A state of another key or format leads to a full read with a warning."""
    add(project, START, START + HOUR)

    run = fast.run(catalog=customers, state={"bookmarks": {"customers": bookmark}})
    second = fast.run(catalog=customers, state=run.state)

    check_success(run)
    check_all(project, run, times=1)
    assert any("state" in line and "created_at" in line for line in run.warnings)
    assert second.warnings == []


def test_c8_another_replication_key_is_an_error(fast: Tap, customers: Json) -> None:
    """A replication key that a stream cannot have is an error that names the right setting."""
    (entry,) = (e for e in customers["streams"] if e["tap_stream_id"] == "customers")
    entry["replication_key"] = "updated_at"

    run = fast.run(catalog=customers)

    assert run.exit_code == 1
    (error,) = run.errors
    assert "track_updates" in error


@pytest.mark.parametrize("form", ["records", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("created", "bad"),
    [(START, "0000-01-01T00:00:00.000Z"), (START + 3 * HOUR, "2025-13-01T00:00:00.000Z")],
    ids=["first", "last"],
)
def test_a3_an_impossible_time_is_reported_with_its_row(  # noqa: PLR0913, PLR0917 - fixtures and cases
    project: Sandbox,
    fast: Tap,
    customers: Json,
    tmp_path: Path,
    form: str,
    created: datetime,
    bad: str,
) -> None:
    """An impossible time is an error of its row, in every output format."""
    add(project, START + HOUR, START + 2 * HOUR)
    add(project, created, created_at=bad)
    encoding = {"format": form, "compression": "gzip"}
    batches = {"encoding": encoding, "storage": {"root": tmp_path.as_uri()}}
    settings = {} if form == "records" else {"batch_config": batches}

    run = fast.run(catalog=customers, **settings)

    assert run.exit_code == 1
    (error,) = run.errors
    assert re.search(f"Stream 'customers' failed: row [13], column 'created_at': '{bad}'", error)
