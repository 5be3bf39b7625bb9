"""With `track_updates`, changed records are emitted again, and none is skipped."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from dev.sandbox import OBJECTS as DOCUMENTED
from dev.sandbox import Behaviour, Dataset, Fault, Reply, Sandbox
from tests.support.expectations import (
    INCREMENTAL,
    OBJECTS,
    expected_record,
    expected_records,
    in_any_order,
)
from tests.support.runner import Json, Run, Tap, created_exports, select, wait_for_log

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dev.sandbox import Row

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
UPDATED = ("customers", "orders", "vouchers")


def with_time(stream: str, rows: Iterable[Row]) -> list[Json]:
    """Return the records of rows, with `modified_at`."""
    records = [expected_record(stream, row) for row in rows]
    return [{**r, "modified_at": r["updated_at"] or r["created_at"]} for r in records]


def table(stream: str, *runs: Run) -> list[Json]:
    """Return what a loader that upserts by key has after some runs."""
    rows = {record["id"]: record for run in runs for record in run.records(stream)}
    return in_any_order(rows.values())


def create(sandbox: Sandbox, name: str, count: int) -> None:
    """Add rows at and after the time of the latest change."""
    newest = max(row.updated or row.created for row in sandbox.rows(name))
    for number in range(count):
        sandbox.dataset.add(name, newest + timedelta(milliseconds=number // 3))


def filters_of(sandbox: Sandbox, stream: str) -> list[Json]:
    """Return the filters of each export of a stream, in order."""
    bodies = created_exports(sandbox, OBJECTS[stream])
    return [body["parameters"].get("filters", {}) for body in bodies]


def test_updates_are_extracted_again(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A second run exports new and changed rows of each stream separately."""
    catalog = select(discovered, UPDATED)
    first = tap.run(catalog=catalog, track_updates=True)
    assert len(created_exports(sandbox)) == len(UPDATED)
    for stream in UPDATED:
        sandbox.dataset.touch(OBJECTS[stream], 5)
        create(sandbox, OBJECTS[stream], 6)

    second = tap.run(catalog=catalog, track_updates=True, state=first.state)

    for stream in UPDATED:
        expected = with_time(stream, sandbox.rows(OBJECTS[stream]))
        assert table(stream, first, second) == in_any_order(expected)
        requested = filters_of(sandbox, stream)[1:]
        fields = [field for filters in requested for field in filters if field != "junction"]
        assert sorted(fields) == ["created_at", "updated_at"]
        bodies = created_exports(sandbox, OBJECTS[stream])[1:]
        assert [body["parameters"]["order"] for body in bodies] == fields
        assert all(filters["junction"] == "and" for filters in requested)
        bookmark = second.state["bookmarks"][stream]
        assert bookmark["replication_key"] == "modified_at"
        assert bookmark["replication_key_value"] == max(r["modified_at"] for r in expected)


def test_other_streams_are_synced_as_usual(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """Streams without `updated_at` are synced as without `track_updates`."""
    others = [stream for stream in INCREMENTAL if stream not in UPDATED]
    catalog = select(discovered, others)
    first = tap.run(catalog=catalog, track_updates=True)
    exports = len(created_exports(sandbox))

    second = tap.run(catalog=catalog, track_updates=True, state=first.state)

    assert len(created_exports(sandbox)) == 2 * exports == 2 * len(others)
    for stream in others:
        assert in_any_order(first.records(stream)) == expected_records(sandbox, stream)
        assert second.state["bookmarks"][stream]["replication_key"] == "created_at"
        assert "modified_at" not in second.schemas()[stream]["schema"]["properties"]


def test_the_time_of_the_last_change_is_a_property(
    sandbox: Sandbox, tap: Tap, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`modified_at` is the replication key, and the creation time of records never updated."""
    options = Tap(tmp_path_factory.mktemp("updates"), {}).options({"track_updates": True})
    catalog = json.loads(tap.command(*options, "--discover").stdout)

    for entry in catalog["streams"]:
        is_tracked = entry["tap_stream_id"] in UPDATED
        assert ("modified_at" in entry["schema"]["properties"]) == is_tracked
        assert (entry.get("replication_key") == "modified_at") == is_tracked
    never = [row for row in sandbox.rows("voucher") if row.updated is None]
    assert never
    run = tap.run(catalog=select(catalog, ["vouchers"]), track_updates=True)
    by_code = {record["code"]: record for record in run.records("vouchers")}
    for row in never:
        record = by_code[row.cells["code"]]
        assert record["updated_at"] is None
        assert record["modified_at"] == record["created_at"]


def test_a_failed_export_of_updates_keeps_the_bookmark(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """The bookmark moves only when both exports have been read."""
    catalog = select(discovered, ["vouchers"])
    first = tap.run(catalog=catalog, track_updates=True)
    sandbox.dataset.touch("voucher", 5)
    sandbox.faults.add(Fault(on="create", nth=2, action=Reply(400, {"key": "odd"})))

    second = tap.run(
        catalog=catalog, track_updates=True, state=first.state, max_concurrent_exports=1
    )

    assert second.exit_code == 1
    assert set(second.bookmarks("vouchers")) == {first.bookmarks("vouchers")[-1]}


def test_a_signal_between_both_exports_keeps_the_bookmark(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """After a signal between both exports, the next run reads both again."""
    catalog = select(discovered, ["vouchers"])
    first = tap.run(catalog=catalog, track_updates=True)
    sandbox.dataset.touch("voucher", 5)
    create(sandbox, "voucher", 5)
    sandbox.behaviour = Behaviour(
        latency_seconds=lambda export: 3600 if "updated_at" in export.parameters["filters"] else 0
    )
    with tap.start(catalog=catalog, track_updates=True, state=first.state) as process:
        wait_for_log(process, b"emitted")
        process.terminate()
        assert process.stdout is not None
        lines = process.stdout.read().decode().splitlines()
    sandbox.behaviour = Behaviour()
    ended = Run(lines, process.returncode, "")
    last = tap.run(catalog=catalog, track_updates=True, state=ended.state, resume_exports=False)

    assert ended.exit_code == 143
    assert ended.records("vouchers")
    assert set(ended.bookmarks("vouchers")) == {first.bookmarks("vouchers")[-1]}
    expected = with_time("vouchers", sandbox.rows("voucher"))
    assert table("vouchers", first, ended, last) == in_any_order(expected)


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_switching_rereads_everything(
    sandbox: Sandbox, tap: Tap, discovered: Json, *, on: bool
) -> None:
    """Switching `track_updates` on or off re-reads the stream."""
    catalog = select(discovered, ["orders"])
    first = tap.run(catalog=catalog, track_updates=not on)

    second = tap.run(catalog=catalog, track_updates=on, state=first.state)

    assert filters_of(sandbox, "orders") == [{}, {}]
    assert len(second.records("orders")) == len(sandbox.rows("order"))
    key = "modified_at" if on else "created_at"
    assert second.state["bookmarks"]["orders"]["replication_key"] == key


def test_own_filters_hold_in_both_exports(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A stream's own filters apply to both exports."""
    catalog = select(discovered, ["vouchers"])
    codes = [row.cells["code"] for row in sandbox.rows("voucher")[:9]]
    own = {"code": {"conditions": {"$in": codes}}}
    settings: Json = {"track_updates": True, "export_parameters": {"vouchers": {"filters": own}}}
    first = tap.run(catalog=catalog, **settings)
    sandbox.dataset.touch("voucher", 30)

    second = tap.run(catalog=catalog, state=first.state, **settings)

    assert all(filters["code"] == own["code"] for filters in filters_of(sandbox, "vouchers"))
    wanted = [row for row in sandbox.rows("voucher") if row.cells["code"] in codes]
    assert table("vouchers", first, second) == in_any_order(with_time("vouchers", wanted))


def test_updates_of_what_lies_outside_the_dates_are_dropped(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """`start_date` and `end_date` bound the creation time, however late an update is."""
    catalog = select(discovered, ["orders"])
    rows = sandbox.rows("order")
    start, end = rows[10].cells["created_at"], rows[30].cells["created_at"]
    settings: Json = {"track_updates": True, "start_date": start, "end_date": end}
    first = tap.run(catalog=catalog, **settings)
    sandbox.dataset.touch("order", len(rows))

    second = tap.run(catalog=catalog, state=first.state, **settings)

    within = [row for row in sandbox.rows("order") if start <= row.cells["created_at"] < end]
    assert 0 < len(within) < len(rows)
    assert table("orders", second) == in_any_order(with_time("orders", within))
    assert not second.warnings


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(),
        Behaviour(after_inclusive=True, before_inclusive=True),
        Behaviour(honours_order=False, honours_filters=False),
        Behaviour(date_skew_ms=500),
    ],
    ids=["exclusive", "inclusive", "ignored", "skewed"],
)
@pytest.mark.parametrize("window_days", [None, 9])
def test_three_nights_have_everything(
    tmp_path: Path, discovered: Json, behaviour: Behaviour, window_days: int | None
) -> None:
    """The table equals the data after three nights, whatever the filters, windows and order."""
    # Changes must happen in the present, since the bookmark of an idle stream moves on as well.
    start = datetime.now(tz=timezone.utc) - timedelta(days=30)
    dataset = Dataset(sizes={**dict.fromkeys(DOCUMENTED, 0), "customer": 40}, start=start, days=29)
    with Sandbox(dataset, behaviour) as sandbox:
        tap = Tap(tmp_path, sandbox.config)
        settings: Json = {
            "catalog": select(discovered, ["customers"]),
            "track_updates": True,
            "start_date": start.isoformat(),
            "window_days": window_days,
        }
        runs = [tap.run(**settings)]
        for _ in range(2):
            dataset.add("customer", datetime.now(tz=timezone.utc))
            dataset.touch("customer", 7)
            create(sandbox, "customer", 7)
            dataset.touch("customer", 3)
            runs.append(tap.run(state=runs[-1].state, **settings))

    rows = dataset.rows("customer", skew_ms=behaviour.date_skew_ms)
    assert table("customers", *runs) == in_any_order(with_time("customers", rows))


def test_an_idle_stream_moves_on(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """The bookmark of an idle stream is the end of the last closed window."""
    newest = max(row.updated or row.created for row in sandbox.rows("order"))
    inner = EPOCH + timedelta(days=(newest - EPOCH).days + 1)
    settings: Json = {
        "catalog": select(discovered, ["orders"]),
        "track_updates": True,
        "start_date": "2026-01-01",
        # The next multiple of this is decades away.
        "window_days": (inner - EPOCH).days,
    }
    first = tap.run(**settings)

    second = tap.run(state=first.state, **settings)

    bookmark = first.state["bookmarks"]["orders"]["replication_key_value"]
    assert datetime.fromisoformat(bookmark.replace("Z", "+00:00")) == inner
    assert second.state == first.state
    assert not second.records("orders")


def test_removing_the_end_date_misses_nothing(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """Removing `end_date` leaves no row behind, even one that was updated after it."""
    rows = sandbox.rows("voucher")
    middle = rows[len(rows) // 2].cells["created_at"]
    assert any(row.updated and row.cells["updated_at"] > middle for row in rows)
    catalog = select(discovered, ["vouchers"])
    first = tap.run(catalog=catalog, track_updates=True, end_date=middle)

    second = tap.run(catalog=catalog, track_updates=True, state=first.state)

    assert first.state["bookmarks"]["vouchers"]["replication_key_value"] == middle
    assert table("vouchers", first, second) == in_any_order(with_time("vouchers", rows))


def test_a_backfill_in_shards_misses_no_update(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A sharded backfill misses no update if the nightly job runs once before it."""
    rows = sandbox.rows("customer")
    start, last_shard = rows[0].cells["created_at"], rows[20].cells["created_at"]
    catalog = select(discovered, ["customers"])
    tracked: Json = {"catalog": catalog, "track_updates": True}
    nightly = tap.run(start_date=last_shard, **tracked)
    sandbox.dataset.touch("customer", 10)
    shards = [
        tap.run(catalog=catalog, start_date=start, end_date=last_shard),
        tap.run(catalog=catalog, start_date=last_shard),
    ]
    sandbox.dataset.touch("customer", 10)
    create(sandbox, "customer", 5)

    night = tap.run(state=nightly.state, start_date=start, **tracked)

    loaded = table("customers", nightly, *shards, night)
    for record in loaded:
        record.pop("modified_at", None)
    assert loaded == in_any_order(expected_records(sandbox, "customers"))


def test_an_update_that_shows_late_is_seen(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """Updates, too, are read from the lookback on."""
    catalog = select(discovered, ["orders"])
    first = tap.run(catalog=catalog, track_updates=True)
    newest = max(row.updated or row.created for row in sandbox.rows("order"))
    late = sandbox.dataset.add(
        "order", newest - timedelta(days=20), updated=newest - timedelta(seconds=30)
    )

    second = tap.run(catalog=catalog, track_updates=True, state=first.state)

    assert late.cells["id"] in {record["id"] for record in second.records("orders")}
