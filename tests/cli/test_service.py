"""A sync equals the data of every plausible variant of the service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from dev.sandbox import (
    OBJECTS,
    SERVICE_NAMES,
    Dataset,
    Fault,
    Rewrite,
    Sandbox,
    colliding_metadata,
    plausible_titles,
    service,
)
from tests.support.expectations import DEFAULT, expected_records, in_any_order
from tests.support.expectations import OBJECTS as STREAMS
from tests.support.runner import Json, Run, Tap, created_exports, select

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 30


def check_complete(sandbox: Sandbox, run: Run) -> None:
    """Check that a run of all default streams has all data."""
    assert run.errors == []
    assert run.exit_code == 0
    for stream in DEFAULT:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream), stream


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_a_whole_sync_equals_the_data(tmp_path: Path, name: str) -> None:
    """Two syncs emit all data of each service, the unusual one included."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    with Sandbox(dataset, service(name)) as sandbox:
        # Its delays of less than a second are those of real time.
        tap = Tap(tmp_path, sandbox.config, speed=20)
        run = tap.run()
        rejected = sandbox.behaviour.rejected_fields
        if not rejected:
            check_complete(sandbox, run)
        missing = sorted(sandbox.behaviour.missing_endpoints)
        # A second run needs what the first has learned, and reads only what is new.
        sandbox.dataset.grow(dict.fromkeys(OBJECTS, 3))
        again = tap.run(state=run.state)

    assert run.exit_code == again.exit_code == bool(missing)
    for each in (run, again):
        failed = [line.partition("Stream '")[2].partition("' failed: ")[0] for line in each.errors]
        assert sorted(failed) == missing
    for stream in DEFAULT:
        fields = set(rejected.get(STREAMS[stream], ()))
        emitted = {record_of(r, fields) for r in [*run.records(stream), *again.records(stream)]}
        expected = {record_of(r, fields) for r in expected_records(sandbox, stream)}
        assert emitted == expected, stream


def record_of(record: Json, left_out: set[str]) -> str:
    """Return a text that identifies a record, without some of its properties."""
    return repr(sorted((name, value) for name, value in record.items() if name not in left_out))


@pytest.mark.parametrize("count", [0, 3, 60])
@pytest.mark.parametrize("column_order", ["requested", "shuffled"])
@pytest.mark.parametrize("number", range(5))
def test_a_key_may_have_any_title(
    tmp_path: Path,
    discovered: Json,
    number: int,
    column_order: Literal["requested", "shuffled"],
    count: int,
) -> None:
    """A key may have any title, even among shuffled columns and metadata with standard titles."""
    dataset = Dataset(
        seed=5, sizes=dict.fromkeys(OBJECTS, ROWS), metadata_keys=colliding_metadata(count)
    )
    titles = {
        (name, "voucher_code" if name == "publication" else "id"): plausible_titles(name)[number]
        for name in OBJECTS
    }
    behaviour = replace(service("default"), titles=titles, column_order=column_order)
    with Sandbox(dataset, behaviour) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.run(catalog=select(discovered, DEFAULT))
        check_complete(sandbox, run)


def test_titles_are_learned_once(tmp_path: Path, discovered: Json) -> None:
    """Learning titles takes at most seven exports in the first run, and none in the next."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    with Sandbox(dataset, service("unknown_titles")) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        catalog = select(discovered, ["customers"])
        first = tap.run(catalog=catalog)
        learning = len(created_exports(sandbox)) - 1
        second = tap.run(catalog=catalog, state=first.state)

        assert first.exit_code == second.exit_code == 0
        assert 1 < learning <= 7
        assert len(created_exports(sandbox)) == 1 + learning + 1
        assert [w for w in first.warnings if "learned column titles from Voucherify" in w]
        assert in_any_order(first.records("customers")) == expected_records(sandbox, "customers")


def test_rejected_fields_are_left_out(tmp_path: Path, discovered: Json) -> None:
    """Rejected fields cost one warning and one more export; a rejected key is an error."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    behaviour = replace(
        service("default"),
        rejected_fields={"customer": {"birthdate", "phone"}, "order": {"id"}},
    )
    with Sandbox(dataset, behaviour) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.run(catalog=select(discovered, ["customers", "orders"]))

        assert len(created_exports(sandbox, "customer")) == 2
        expected = [
            {name: value for name, value in record.items() if name not in {"birthdate", "phone"}}
            for record in expected_records(sandbox, "customers")
        ]
        assert in_any_order(run.records("customers")) == in_any_order(expected)
    (warning,) = (w for w in run.warnings if "does not export" in w)
    assert "'birthdate'" in warning or "'phone'" in warning
    assert run.exit_code == 1
    (error,) = run.errors
    assert "'orders'" in error


def test_an_empty_file_of_an_export_with_rows_is_an_error(tmp_path: Path, discovered: Json) -> None:
    """A file of 0 bytes is a fault if exports without rows have a header."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    with Sandbox(dataset) as sandbox:
        sandbox.faults.add(
            Fault(on="download", object="order", action=Rewrite(lambda _: b""), times=None)
        )
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.run(catalog=select(discovered, ["orders"]))

    assert run.exit_code == 1
    (error,) = run.errors
    assert "the exported file is empty (no header), again" in error
    assert len(created_exports(sandbox, "order")) == 2


def test_a_service_of_empty_files_keeps_the_bookmark(tmp_path: Path, discovered: Json) -> None:
    """A stream of 0-byte files succeeds with one warning and without moving the bookmark."""
    dataset = Dataset(seed=5, sizes={**dict.fromkeys(OBJECTS, 0), "order": ROWS})
    with Sandbox(dataset, service("empty_files")) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.run(
            catalog=select(discovered, ["customers", "orders", "points_expirations"]),
            emit_activate_version_messages=True,
            start_date="2020-01-01",
            end_date="2030-01-01",
        )

        assert run.exit_code == 0
        assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
    warned = [line for line in run.warnings if "has 0 bytes" in line]
    assert len(warned) == 2
    assert "replication_key_value" not in run.state["bookmarks"].get("customers", {})
    assert not [m for m in run.messages if m["type"] == "ACTIVATE_VERSION"]


def test_an_empty_file_of_unknown_length_is_a_fault(tmp_path: Path, discovered: Json) -> None:
    """An empty file of unknown length is downloaded again, and then an error."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    with Sandbox(dataset, replace(service("default"), transfer="close")) as sandbox:
        sandbox.faults.add(
            Fault(on="download", object="order", action=Rewrite(lambda _: b""), times=None)
        )
        tap = Tap(tmp_path, {**sandbox.config, "max_retry_seconds": 5}, speed=100)
        run = tap.run(catalog=select(discovered, ["orders"]))

    assert run.exit_code == 1
    (error,) = run.errors
    assert "the exported file is empty (no header)" in error
    assert run.records("orders") == []


def test_the_connection_test_reports_a_title_accepted_by_position(tmp_path: Path) -> None:
    """The connection test names the field and the title of a column accepted by position."""
    titles = {("points_expiration", "points"): "How Many"}
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    with Sandbox(dataset, replace(service("default"), titles=titles)) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.command(*tap.options(tap.config), "--test")

    assert run.exit_code == 0
    assert "'points' accepted by position as 'How Many'" in run.stderr
