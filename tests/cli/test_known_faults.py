"""Contradictions between the data and what the tap assumes are reported, and lose nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tap_voucherify.clock import Clock
from tap_voucherify.singer.signals import StopFlag
from tests.support.expectations import expected_records, in_any_order
from tests.support.runner import Json, Tap, select

if TYPE_CHECKING:
    import pytest

    from dev.sandbox import Sandbox


def test_a_bookmark_in_the_future_hides_nothing(tap: Tap, discovered: Json) -> None:
    """It is reported, and read as the server's time."""
    bookmark = {"replication_key": "created_at", "replication_key_value": "2099-01-01T00:00:00Z"}

    run = tap.run(catalog=select(discovered, ["orders"]), state={"bookmarks": {"orders": bookmark}})

    assert run.exit_code == 0
    (warning,) = run.warnings
    assert "is ahead of the server's time" in warning
    assert run.bookmarks("orders")[-1] < "2099"


def test_another_replication_key_is_an_error(tap: Tap, discovered: Json) -> None:
    """It names the setting that does what was probably meant."""
    catalog = select(discovered, ["orders"])
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "orders":
            entry["replication_key"] = "updated_at"

    run = tap.run(catalog=catalog)

    assert run.exit_code == 1
    (error,) = run.errors
    assert "track_updates" in error


def test_a_flag_listens_in_the_main_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python allows handlers nowhere else."""
    set_handlers: list[object] = []
    monkeypatch.setattr("signal.signal", lambda *arguments: set_handlers.append(arguments))
    thread = threading.Thread(target=StopFlag(Clock()).listen)
    thread.start()
    thread.join()
    assert set_handlers == []


def test_all_data_of_a_second_run(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A plain run is silent but for INFO lines."""
    run = tap.run(catalog=select(discovered, ["orders"]))
    assert run.warnings == []
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
