"""The life of one export, without a server."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import tempfile
import typing as t
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.api.export import Export, ExportList, ExportStatus
from tap_voucherify.clock import StoppedError
from tap_voucherify.errors import (
    AccountError,
    ExportFailedError,
    ExportTimeoutError,
    LinkExpiredError,
    NotFoundError,
    RateLimitError,
    RequestError,
    StorageError,
    TransientError,
)
from tap_voucherify.exports.job import ExportRunner
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.instants import EPOCH
from tap_voucherify.windows import Window
from tests.support.simulated_client import SimulatedVoucherify
from tests.support.virtual_clock import STARTED_AT, VirtualClock

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

URL = "https://example.com/exp_1"
NOON = dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc)

CREATED = Export("exp_1", ExportStatus.SCHEDULED, NOON)
RUNNING = replace(CREATED, status=ExportStatus.IN_PROGRESS)
ERROR = replace(CREATED, status=ExportStatus.ERROR)


def done(*urls: str) -> Export:
    """Return a finished export with these files."""
    return replace(CREATED, status=ExportStatus.DONE, result={"url": list(urls)})


DONE = done(URL)

WHOLE = ExportRequest("vouchers", "voucher", ("id", "code"))
FIRST_OF_AUGUST = Window(NOON.replace(hour=0), NOON.replace(day=2, hour=0))
WINDOWED = ExportRequest(
    "vouchers",
    "voucher",
    ("id", "code"),
    order="created_at",
    window=FIRST_OF_AUGUST,
    filter_field="created_at",
    resumable=True,
)

Reply = t.Union[Export, ExportList, Exception, None]  # noqa: UP007 - evaluated on Python 3.10


@dataclass
class Script:
    """A service with scripted responses; the last one of each kind is repeated.

    Attributes:
        clock: The time of each call.
        replies: The responses to each kind of call, in order.
        files: What the links lead to, in order of the downloads.
        calls: The kind, subject and time of every call.
        done_at: When polls start to return DONE, whatever the script says.
    """

    clock: VirtualClock
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    files: list[bytes | Exception] = field(default_factory=lambda: [b"ID\n"])
    calls: list[tuple[str, str, float]] = field(default_factory=list)
    done_at: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Report no rate limit."""
        return {}

    @property
    def kinds(self) -> list[str]:
        """The kinds of all calls, in order."""
        return [kind for kind, *_ in self.calls]

    def times(self, kind: str) -> list[float]:
        """Return when calls of this kind were made."""
        return [time for other, _, time in self.calls if other == kind]

    def create(self, exported_object: str, parameters: Mapping[str, t.Any]) -> Export:
        """Create an export as scripted."""
        assert parameters["fields"]
        return t.cast("Export", self._reply("create", exported_object, CREATED))

    def get(self, export_id: str) -> Export:
        """Report an export as scripted, or according to `done_at`."""
        export = t.cast("Export", self._reply("poll", export_id, DONE))
        if self.done_at is None:
            return export
        return DONE if self.clock.monotonic() >= self.done_at else RUNNING

    def list(self) -> ExportList:
        """List exports as scripted."""
        return t.cast("ExportList", self._reply("list", "", None))

    def delete(self, export_id: str) -> None:
        """Delete an export as scripted."""
        self._reply("delete", export_id, None)

    def file(self, url: str) -> bytes:
        """Return the next file."""
        self.calls.append(("download", url, self.clock.monotonic()))
        return reply(self.files.pop(0) if len(self.files) > 1 else self.files[0])

    def _reply(self, kind: str, subject: str, default: Reply) -> Reply:
        self.calls.append((kind, subject, self.clock.monotonic()))
        replies = self.replies.get(kind) or [default]
        return reply(replies.pop(0) if len(replies) > 1 else replies[0])


_Content = t.TypeVar("_Content")


def reply(content: _Content | Exception) -> _Content:
    """Return a response, or raise the exception that stands for an error response."""
    if isinstance(content, Exception):
        raise content
    return content


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Return a clock at its start."""
    with VirtualClock() as clock:
        yield clock


@pytest.fixture
def script(clock: VirtualClock) -> Script:
    """Return a service whose exports are done at the first poll."""
    return Script(clock)


def runner(script: Script, **limits: float) -> ExportRunner:
    """Return a runner of exports against a service."""
    return ExportRunner(
        SimulatedVoucherify(script, script.clock),
        script.clock,
        poll_interval_seconds=limits.get("poll_interval_seconds", 1),
        export_timeout_seconds=limits.get("export_timeout_seconds", 3600),
        resume_exports=bool(limits.get("resume_exports")),
    )


def run(
    script: Script,
    request: ExportRequest = WHOLE,
    *,
    should_continue: Callable[[], bool] = lambda: True,
    **limits: float,
) -> list[bytes]:
    """Run an export and return the contents of its files."""
    exported = runner(script, **limits).run(request, should_continue)
    assert exported.request is request
    content = [file.read() for file in exported.files]
    exported.close()
    assert all(file.closed for file in exported.files)
    return content


# Polling


@settings(max_examples=100, deadline=None)
@given(seconds=st.floats(0, 1000), interval=st.sampled_from([0.5, 1, 5]))
def test_the_end_of_an_export_is_noticed_soon(seconds: float, interval: float) -> None:
    """Within the interval, or about a third of the time that the export took."""
    with VirtualClock() as clock:
        script = Script(clock, done_at=seconds)
        assert run(script, poll_interval_seconds=interval) == [b"ID\n"]
        late = clock.monotonic() - seconds
        assert 0 <= late <= max(interval, min(0.35 * seconds, 30)) + 1e-6


def test_an_export_of_a_minute_costs_sixteen_calls(script: Script) -> None:
    """Polling is sparing with the rate limit."""
    script.done_at = 60
    run(script)
    assert len(script.calls) <= 16
    assert script.kinds[0] == "create"
    assert script.kinds[-1] == "download"
    assert len(script.calls) == len(script.times("poll")) + 2


def test_waiting_is_logged_at_a_growing_interval(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """The log shows how long the tap has been waiting for the export."""
    caplog.set_level(logging.INFO)
    script.done_at = 200
    run(script, WINDOWED)
    waits = [message for message in caplog.messages if "still waiting" in message]
    assert 4 <= len(waits) <= 6
    assert all(message.startswith(f"{WINDOWED}: still waiting after ") for message in waits)
    assert f"{WINDOWED}: created export exp_1" in caplog.messages
    assert any(f"{WINDOWED}: downloaded 0.0 MB" in message for message in caplog.messages)


# How an export ends


def test_a_finished_export_becomes_files(script: Script, clock: VirtualClock) -> None:
    """The reader gets all it needs."""
    exported = runner(script).run(WHOLE, lambda: True)
    assert exported.export_id == "exp_1"
    assert exported.created_at == NOON
    assert [file.read() for file in exported.files] == [b"ID\n"]
    assert script.kinds == ["create", "poll", "download"]
    assert clock.monotonic() == 1
    exported.close()


def test_several_files_are_downloaded_in_order(script: Script) -> None:
    """Each part of a large export is a file of its own."""
    script.replies["poll"] = [done("u1", "u2", "u3")]
    script.files = [b"1", b"2", b"3"]
    assert run(script) == [b"1", b"2", b"3"]
    assert [url for kind, url, _ in script.calls if kind == "download"] == ["u1", "u2", "u3"]


def test_an_export_that_ends_with_error_is_a_failure(script: Script) -> None:
    """The error has the creation time, where an open-ended window can be closed."""
    script.replies["poll"] = [RUNNING, ERROR]
    with pytest.raises(ExportFailedError, match="ERROR") as failure:
        run(script)
    assert failure.value.created_at == NOON
    assert not isinstance(failure.value, ExportTimeoutError)


@pytest.mark.parametrize("where", ["poll", "download"])
def test_an_export_that_disappears_is_a_failure(
    script: Script, clock: VirtualClock, where: str
) -> None:
    """A new export may succeed; this one gets a minute to reappear."""
    if where == "poll":
        script.replies["poll"] = [RUNNING, NotFoundError("Voucherify returned 404")]
    else:
        script.files = [NotFoundError("download returned 404")]
    with pytest.raises(ExportFailedError, match="no longer exists") as failure:
        run(script)
    assert failure.value.created_at == NOON
    assert 60 <= clock.monotonic() <= 90
    assert len(script.calls) <= 20


def test_a_new_export_may_take_seconds_to_appear(script: Script) -> None:
    """A 404, and a result without a link, are polled again."""
    missing = NotFoundError("Voucherify returned 404")
    script.replies["poll"] = [missing, missing, RUNNING, done(), done(), DONE]
    assert run(script) == [b"ID\n"]
    assert script.kinds == ["create", *["poll"] * 6, "download"]


def test_an_export_that_is_done_without_a_file_is_a_failure(
    script: Script, clock: VirtualClock
) -> None:
    """It gets a minute, with growing pauses."""
    script.replies["poll"] = [done()]
    with pytest.raises(ExportFailedError, match="has no file"):
        run(script)
    assert 60 <= clock.monotonic() <= 90
    pauses = [after - before for before, after in pairwise(script.times("poll"))]
    assert pauses == sorted(pauses)
    assert len(pauses) <= 14


def test_a_missing_file_is_downloaded_with_fresh_links(script: Script) -> None:
    """Each attempt has its own link; there may be none for a while."""
    missing = NotFoundError("download returned 404")
    script.replies["poll"] = [done("1"), done("2"), done(), done("3")]
    script.files = [missing, missing, b"ID\n"]
    assert run(script) == [b"ID\n"]
    assert [url for kind, url, _ in script.calls if kind == "download"] == ["1", "2", "3"]


def test_a_404_of_a_creation_is_not_retried(script: Script) -> None:
    """Creating the export again would fail again."""
    script.replies["create"] = [NotFoundError("Voucherify returned 404")]
    with pytest.raises(NotFoundError):
        run(script)


def test_a_call_that_fails_at_the_deadline_times_out(script: Script, clock: VirtualClock) -> None:
    """A smaller window may do better than this one."""
    script.replies["poll"] = [RUNNING, TransientError("Voucherify returned 500")]
    with pytest.raises(ExportTimeoutError):
        run(script, export_timeout_seconds=100)
    assert clock.monotonic() == 100


def test_ten_minutes_of_maintenance_are_survived(clock: VirtualClock) -> None:
    """Failures are retried for a quarter of an hour, with pauses of at most a minute."""

    class Maintained(Script):
        def get(self, export_id: str) -> Export:
            export = super().get(export_id)
            if 5 < self.clock.monotonic() < 605:
                raise TransientError("Voucherify returned 500")
            return export

    maintained = Maintained(clock, done_at=30)
    assert run(maintained) == [b"ID\n"]
    assert clock.monotonic() <= 665
    assert len(maintained.calls) <= 30


def test_retries_of_an_outage_end(script: Script, clock: VirtualClock) -> None:
    """After `max_retry_seconds`, the error of the last call is raised."""
    script.replies["poll"] = [TransientError("Voucherify returned 500")]
    with pytest.raises(TransientError, match="500"):
        run(script)
    assert clock.monotonic() == 1 + 900


def test_an_export_that_does_not_end_times_out(script: Script, clock: VirtualClock) -> None:
    """It is polled at its deadline, and not later."""
    script.replies["poll"] = [RUNNING]
    with pytest.raises(ExportTimeoutError, match="export_timeout_seconds") as failure:
        run(script, export_timeout_seconds=100)
    assert clock.monotonic() == script.times("poll")[-1] == 100
    assert failure.value.created_at == NOON


def test_a_download_that_does_not_end_in_time_times_out(
    script: Script, clock: VirtualClock
) -> None:
    """The time for an export includes its download; a smaller window may do better."""

    class Slow(Script):
        def file(self, url: str) -> bytes:
            self.clock.spend(200)
            return super().file(url)

    slow = Slow(clock, script.replies)
    with pytest.raises(ExportTimeoutError):
        run(slow, export_timeout_seconds=100)
    assert len(slow.times("download")) == 1


def test_a_call_that_fails_occasionally_is_retried(script: Script) -> None:
    """A poll or a download is retried until it succeeds."""
    failure = TransientError("Voucherify returned 502")
    script.replies["poll"] = [failure, failure, DONE]
    script.files = [failure, b"ID\n"]
    assert run(script) == [b"ID\n"]


def test_a_lost_create_response_is_reported(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """There may now be an export that is never read."""
    script.replies["create"] = [TransientError("no response from api.example.com"), CREATED]
    run(script)
    assert "if an export was created anyway, it is ignored" in caplog.text


@pytest.mark.parametrize("polls", [0, 1, 3])
def test_a_cancelled_export_stops(script: Script, polls: int) -> None:
    """It is no longer polled."""
    script.replies["poll"] = [RUNNING]
    with pytest.raises(StoppedError):
        run(script, should_continue=lambda: len(script.times("poll")) < polls)
    assert len(script.times("poll")) == polls


def test_files_of_a_cancelled_export_are_not_downloaded(script: Script) -> None:
    """No further file is requested after the cancellation."""
    script.replies["poll"] = [done("u1", "u2")]
    with pytest.raises(StoppedError):
        run(script, should_continue=lambda: "download" not in script.kinds)
    assert script.kinds.count("download") == 1


def test_a_failed_download_leaves_no_file(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Temporary files have no name, even while they are in use."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script.files = [RequestError("too many redirects (5)")]
    with pytest.raises(RequestError):
        run(script)
    script.files = [b"ID\n"]
    exported = runner(script).run(WHOLE, lambda: True)
    assert list(tmp_path.iterdir()) == []
    exported.close()


def test_c7_the_limit_of_open_files_is_reported(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TMPDIR has nothing to do with it."""

    def fail(**_: object) -> t.BinaryIO:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(StorageError, match="raise the limit of open files"):
        run(script)


def test_a_missing_folder_for_temporary_files_is_reported(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error names the variable to check."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="check TMPDIR"):
        run(script)


# Links are short-lived


@pytest.mark.parametrize(("seconds", "polls"), [(9, 1), (11, 2)])
def test_an_old_link_is_refreshed(
    script: Script, clock: VirtualClock, seconds: float, polls: int
) -> None:
    """The poll that reports DONE includes the link, which is used for ten seconds."""

    class Slow(Script):
        def file(self, url: str) -> bytes:
            if not self.times("download"):
                self.clock.spend(seconds)
            return super().file(url)

    slow = Slow(clock, script.replies)
    slow.replies["poll"] = [
        done("1?old", "2?old"),
        done("1?new", "2?new"),
    ]
    slow.files = [b"1", b"2"]
    assert run(slow) == [b"1", b"2"]
    urls = [url for kind, url, _ in slow.calls if kind == "download"]
    assert urls == (["1?old", "2?old"] if polls == 1 else ["1?old", "2?new"])
    assert len(slow.times("poll")) == polls


def test_a_link_that_expired_while_waiting_for_the_limit_is_not_sent(clock: VirtualClock) -> None:
    """After the reset, a poll returns a fresh one, and the file is downloaded."""

    class Limited(Script):
        @property
        def headers(self) -> dict[str, str]:
            # The poll that returns DONE is the last call of its period.
            left = 1 if len(self.kinds) == 2 else 100
            end = STARTED_AT + (600 if len(self.kinds) <= 2 else 1200)
            return {
                "X-Rate-Limit-Limit": "100",
                "X-Rate-Limit-Remaining": str(left - 1),
                "X-Rate-Limit-Retry": str(int(end)),
            }

    limited = Limited(clock)
    limited.replies["poll"] = [DONE, done("fresh")]
    assert run(limited) == [b"ID\n"]
    assert limited.kinds == ["create", "poll", "poll", "download"]
    assert limited.calls[-1][1] == "fresh"
    assert limited.calls[-1][2] >= 600


def test_an_expired_link_is_refreshed(script: Script) -> None:
    """The fresh one is used at once."""
    script.replies["poll"] = [DONE, done("fresh")]
    script.files = [LinkExpiredError("download returned 401"), b"ID\n"]
    assert run(script) == [b"ID\n"]
    assert script.kinds == ["create", "poll", "download", "poll", "download"]
    assert script.calls[-1][1] == "fresh"
    assert script.calls[-1][2] == script.calls[-2][2]


def test_rejected_fresh_links_are_an_error(script: Script) -> None:
    """If three fresh links in a row return 401, the key is the problem."""
    script.files = [LinkExpiredError("download returned 401")]
    with pytest.raises(RequestError, match="check that the API key may download exports"):
        run(script)
    assert len(script.times("download")) == 1 + 3


def test_fresh_links_in_another_order_lead_to_the_same_files(script: Script) -> None:
    """A part is identified by its link without the query."""
    first, second = "https://example.com/1?token={}", "https://example.com/2?token={}"
    script.replies["poll"] = [
        done(first.format("a"), second.format("a")),
        done(second.format("b"), first.format("b")),
    ]
    script.files = [b"1", LinkExpiredError("download returned 401"), b"2"]
    assert run(script) == [b"1", b"2"]
    assert script.calls[-1][1] == second.format("b")


@pytest.mark.parametrize(
    "fresh",
    [
        ("https://example.com/1?b", "https://example.com/3?b"),
        ("https://example.com/1?b", "https://example.com/1?c"),
        ("https://[", "https://example.com/2"),
    ],
)
def test_fresh_links_to_other_files_are_an_error(script: Script, fresh: tuple[str, ...]) -> None:
    """No part is read twice, or mistaken for another."""
    script.replies["poll"] = [done("https://example.com/1?a", "https://example.com/2?a")]
    script.replies["poll"].append(done(*fresh))
    script.files = [b"1", LinkExpiredError("download returned 401"), b"2"]
    with pytest.raises(RequestError, match=r"files of an export changed|invalid download URL"):
        run(script)


def test_an_export_that_fails_after_it_was_done_is_a_failure(script: Script) -> None:
    """No fresh link is taken from it."""
    script.replies["poll"] = [DONE, ERROR]
    script.files = [LinkExpiredError("download returned 401"), b"ID\n"]
    with pytest.raises(ExportFailedError, match="ERROR"):
        run(script)


def test_a_changed_number_of_files_is_an_error(script: Script) -> None:
    """The files of two responses are not mixed."""
    script.replies["poll"] = [DONE, done("u1", "u2")]
    script.files = [LinkExpiredError("download returned 401"), b"ID\n"]
    with pytest.raises(RequestError, match="number of an export's files changed"):
        run(script)


# Exports of an interrupted run


YOUNG = dt.datetime(2026, 9, 21, 14, 13, tzinfo=dt.timezone.utc)
NOW = EPOCH + dt.timedelta(seconds=STARTED_AT)


def unfinished(request: ExportRequest, **changes: t.Any) -> Export:
    """Return an unfinished export as the list reports it."""
    export = Export(
        "exp_0", ExportStatus.IN_PROGRESS, YOUNG, request.exported_object, request.parameters
    )
    return replace(export, **changes)


def listed(*exports: Export) -> list[Reply]:
    """Return the list of exports as a response."""
    return [ExportList(exports, NOW)]


def test_an_unfinished_export_is_resumed(script: Script) -> None:
    """The run waits for the export of an interrupted run instead of creating another."""
    script.replies["list"] = listed(unfinished(WINDOWED))
    exported = runner(script, resume_exports=True).run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_0"
    assert script.kinds == ["list", "poll", "download"]
    exported.close()


def test_an_export_is_resumed_once(script: Script) -> None:
    """Two requests never share one export, and the exports are listed once."""
    script.replies["list"] = listed(unfinished(WINDOWED))
    resuming = runner(script, resume_exports=True)
    first, second = (resuming.run(WINDOWED, lambda: True) for _ in range(2))
    assert (first.export_id, second.export_id) == ("exp_0", "exp_1")
    assert script.kinds.count("list") == 1
    first.close()
    second.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": ExportStatus.DONE},
        {"status": ExportStatus.ERROR},
        {"exported_object": "order"},
        {"created_at": dt.datetime(2026, 9, 21, 13, tzinfo=dt.timezone.utc)},
        {"created_at": EPOCH},
        {"echo": {}},
        {"echo": {"fields": ["id", "code"]}},
        {"echo": WINDOWED.parameters | {"campaign_id": "camp_1"}},
        {"echo": WINDOWED.parameters | {"fields": ["code", "id"]}},
    ],
    ids=repr,
)
def test_other_exports_are_not_resumed(script: Script, changes: dict[str, t.Any]) -> None:
    """Only recent, unfinished exports with exactly the same parameters are."""
    script.replies["list"] = listed(unfinished(WINDOWED, **changes))
    exported = runner(script, resume_exports=True).run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_1"
    exported.close()


def test_the_age_of_an_export_is_measured_by_the_server_s_clock(script: Script) -> None:
    """The local clock may be two hours ahead."""
    two_hours = dt.timedelta(hours=2)
    export = unfinished(WINDOWED, created_at=YOUNG - two_hours)
    script.replies["list"] = [ExportList((export,), NOW - two_hours)]
    exported = runner(script, resume_exports=True).run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_0"
    exported.close()


def test_a_wait_for_the_rate_limit_is_not_counted(script: Script) -> None:
    """An export may take a minute; the hour that a 429 imposes does not count."""
    script.files = [RateLimitError("Voucherify returned 429", 3000), b"ID\n"]
    assert run(script, export_timeout_seconds=60) == [b"ID\n"]


def test_a9_an_incomplete_echo_ends_resuming(script: Script) -> None:
    """What a create response lacks, the list may lack as well."""
    script.replies["list"] = listed(unfinished(WINDOWED))
    other = replace(WINDOWED, stream="customers", exported_object="customer")
    resuming = runner(script, resume_exports=True)
    for request in (other, WINDOWED):
        exported = resuming.run(request, lambda: True)
        assert exported.export_id == "exp_1"
        exported.close()


def test_a_complete_echo_allows_resuming(script: Script) -> None:
    """The create response echoes every parameter."""
    script.replies["list"] = listed(unfinished(WINDOWED))
    other = replace(WINDOWED, stream="customers", exported_object="customer")
    script.replies["create"] = [replace(CREATED, echo=other.parameters)]
    resuming = runner(script, resume_exports=True)
    exports = [resuming.run(request, lambda: True) for request in (other, WINDOWED)]
    assert [exported.export_id for exported in exports] == ["exp_1", "exp_0"]
    for exported in exports:
        exported.close()


def test_a_whole_table_is_never_resumed(script: Script) -> None:
    """An export of everything may have been read already."""
    run(script, WHOLE, resume_exports=True)
    assert script.kinds == ["create", "poll", "download"]


def test_a_rejected_list_is_a_warning(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """A key that may not list exports can still export."""
    script.replies["list"] = [RequestError("Voucherify returned 403")]
    run(script, WINDOWED, resume_exports=True)
    assert (
        "Could not list existing exports, so none will be resumed: Voucherify returned 403"
        in caplog.text
    )


def test_the_time_that_resuming_takes_does_not_count(clock: VirtualClock) -> None:
    """An export's time starts with the export."""

    class Busy(Script):
        def list(self) -> ExportList:
            self.clock.spend(500)
            return super().list()

    busy = Busy(clock, {"list": listed(), "poll": [RUNNING, RUNNING, DONE]})
    assert run(busy, WINDOWED, resume_exports=True, export_timeout_seconds=100) == [b"ID\n"]


# Deletion


def test_an_export_that_was_read_is_deleted(script: Script) -> None:
    """It is deleted by its ID."""
    exports = runner(script)
    exported = exports.run(WHOLE, lambda: True)
    exports.delete(exported)
    assert script.calls[-1][:2] == ("delete", "exp_1")
    exported.close()


@pytest.mark.parametrize(
    ("failure", "warnings"),
    [
        (NotFoundError("Voucherify returned 404"), []),
        (RequestError("no"), ["vouchers: could not delete the export: no"]),
        (AccountError("no"), ["vouchers: could not delete the export: no"]),
    ],
    ids=["gone", "rejected", "account"],
)
def test_a_failed_deletion_is_a_warning(
    script: Script,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    warnings: list[str],
) -> None:
    """The records are already emitted. A missing export is not worth a warning."""
    script.replies["delete"] = [failure]
    exports = runner(script)
    exported = exports.run(WHOLE, lambda: True)
    exports.delete(exported)
    assert [record.message for record in caplog.records if record.levelno >= 30] == warnings
    exported.close()
