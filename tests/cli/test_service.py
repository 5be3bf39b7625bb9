"""Titles are learned, rejected fields left out, and files without rows understood."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dev.sandbox import OBJECTS, Dataset, Fault, Rewrite, Sandbox, service
from tests.support.expectations import expected_records, in_any_order
from tests.support.runner import Json, Tap, created_exports, select

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 30


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


def test_titles_are_learned_from_rows_where_files_may_be_empty(
    tmp_path: Path, discovered: Json
) -> None:
    """Titles are learned from the range that is being read if empty exports have no header."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    behaviour = replace(service("unknown_titles"), empty_export="nothing")
    with Sandbox(dataset, behaviour) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.run(catalog=select(discovered, ["customers"]))

        assert run.exit_code == 0
        assert [w for w in run.warnings if "learned column titles from Voucherify" in w]
        assert in_any_order(run.records("customers")) == expected_records(sandbox, "customers")


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
