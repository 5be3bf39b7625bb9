"""A sync emits exactly Voucherify's data, with bookmarks that match."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING

import jsonschema
import pytest

from dev.sandbox import Behaviour, Dataset, Export, Fault, Sandbox, Turn
from tests.support.expectations import (
    INCREMENTAL,
    KEYS,
    LISTS,
    OBJECTS,
    expected_record,
    expected_records,
    in_any_order,
    missing,
)
from tests.support.runner import Json, Tap, created_exports, select

if TYPE_CHECKING:
    from pathlib import Path

INCLUSIVE = [
    pytest.param(Behaviour(after_inclusive=after, before_inclusive=before), id=f"{after}-{before}")
    for after in (False, True)
    for before in (False, True)
]
GROWTH = dict.fromkeys(OBJECTS.values(), 12)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def text(moment: datetime) -> str:
    """Return a time in the format of bookmarks."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def earlier(bookmark: str, seconds: float) -> str:
    """Return the time some seconds before a bookmark."""
    moment = datetime.strptime(bookmark, "%Y-%m-%dT%H:%M:%S.%f%z")
    return text(moment - timedelta(seconds=seconds))


def state_of(**bookmarks: str) -> Json:
    """Return a state of these streams."""
    return {
        "bookmarks": {
            stream: {"replication_key": "created_at", "replication_key_value": bookmark}
            for stream, bookmark in bookmarks.items()
        }
    }


# What is emitted


def test_every_stream_equals_the_data(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """Every value of every row of every stream is emitted unchanged and fits its schema."""
    run = tap.run(catalog=select(discovered, OBJECTS))

    assert run.exit_code == 0
    assert not run.errors
    for stream in OBJECTS:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream)
    schemas = run.schemas()
    assert {name: schema["key_properties"] for name, schema in schemas.items()} == KEYS
    validators = {
        name: jsonschema.Draft7Validator(
            {**schema["schema"], "additionalProperties": False},
            format_checker=jsonschema.FormatChecker(),
        )
        for name, schema in schemas.items()
    }
    for message in map(json.loads, run.lines):
        if message["type"] == "RECORD":
            validators[message["stream"]].validate(message["record"])


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(metadata_position="in_place"), id="metadata_in_place"),
        pytest.param(Behaviour(metadata_prefix=True), id="metadata_prefix"),
        pytest.param(
            Behaviour(metadata_position="in_place", metadata_prefix=True),
            id="metadata_in_place_with_prefix",
        ),
        pytest.param(Behaviour(honours_order=False), id="order_ignored"),
        pytest.param(Behaviour(date_skew_ms=500), id="dates_skewed"),
        pytest.param(
            Behaviour(bom=True, line_terminator="\n", files=3, gzip=True),
            id="split_and_compressed",
        ),
        pytest.param(
            Behaviour(files=2, result_shape="urls", transfer="chunked"), id="list_of_urls"
        ),
        pytest.param(
            Behaviour(transfer="close", creation_title="Creation date"), id="without_length"
        ),
    ],
)
def test_the_data_is_the_same_however_it_is_exported(
    sandbox: Sandbox, tap: Tap, behaviour: Behaviour
) -> None:
    """Behaviour that the documentation leaves open changes no record and no bookmark."""
    sandbox.behaviour = behaviour

    run = tap.run()

    assert run.exit_code == 0
    for stream in INCREMENTAL:
        expected = expected_records(sandbox, stream)
        assert in_any_order(run.records(stream)) == expected
        assert run.bookmarks(stream)[-1] == max(record["created_at"] for record in expected)


def test_products_skus_and_api_logs_have_to_be_selected(sandbox: Sandbox, tap: Tap) -> None:
    """Without a catalog, everything is read except products, SKUs and API logs."""
    run = tap.run()

    assert set(run.schemas()) == {*OBJECTS, *LISTS} - {"products", "skus", "api_logs"}
    for exported_object in ("product", "sku", "api_log"):
        assert not created_exports(sandbox, exported_object)


# Where the next run continues


@pytest.mark.parametrize("behaviour", INCLUSIVE)
def test_growth_at_equal_milliseconds_is_not_missed(
    sandbox: Sandbox, tap: Tap, behaviour: Behaviour
) -> None:
    """Even without lookback, rows that share the bookmark's millisecond are read."""
    sandbox.behaviour = behaviour
    first = tap.run(lookback_seconds=0)
    ties = {stream: first.bookmarks(stream)[-1] for stream in INCREMENTAL}
    sandbox.dataset.grow(GROWTH)

    second = tap.run(lookback_seconds=0, state=first.state)

    assert (first.exit_code, second.exit_code) == (0, 0)
    for stream in INCREMENTAL:
        expected = expected_records(sandbox, stream)
        assert not missing(first.records(stream) + second.records(stream), expected)
        assert in_any_order(second.records(stream)) == expected_records(
            sandbox, stream, start=ties[stream]
        )
        assert second.bookmarks(stream)[-1] == max(record["created_at"] for record in expected)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(date_skew_ms=500), id="dates_skewed"),
        pytest.param(Behaviour(honours_filters=False), id="filters_ignored"),
        pytest.param(Behaviour(honours_order=False), id="order_ignored"),
        pytest.param(
            Behaviour(
                date_skew_ms=500,
                honours_filters=False,
                honours_order=False,
                metadata_position="in_place",
            ),
            id="all_of_it",
        ),
    ],
)
def test_growth_is_read_from_the_lookback_on(
    sandbox: Sandbox, tap: Tap, behaviour: Behaviour
) -> None:
    """A second run emits exactly the rows from the bookmark minus the lookback on."""
    sandbox.behaviour = behaviour
    first = tap.run(lookback_seconds=3600)
    sandbox.dataset.grow(GROWTH)

    second = tap.run(lookback_seconds=3600, state=first.state)

    assert (first.exit_code, second.exit_code) == (0, 0)
    for stream in INCREMENTAL:
        expected = expected_records(sandbox, stream)
        assert not missing(first.records(stream) + second.records(stream), expected)
        start = earlier(first.bookmarks(stream)[-1], 3600)
        assert in_any_order(second.records(stream)) == expected_records(
            sandbox, stream, start=start
        )
        assert second.bookmarks(stream)[-1] == max(record["created_at"] for record in expected)


def test_a_run_without_news_keeps_the_bookmarks(sandbox: Sandbox, tap: Tap) -> None:
    """Re-read rows neither move a bookmark back nor fail the run."""
    first = tap.run()

    second = tap.run(lookback_seconds=86400, state=first.state)

    assert second.exit_code == 0
    for stream in INCREMENTAL:
        start = earlier(first.bookmarks(stream)[-1], 86400)
        assert second.records(stream)
        assert in_any_order(second.records(stream)) == expected_records(sandbox, stream, start)
        assert set(second.bookmarks(stream)) == {first.bookmarks(stream)[-1]}


def test_a_row_dated_in_the_future_hides_nothing(tmp_path: Path, discovered: Json) -> None:
    """A row dated in the future does not move the bookmark beyond the server's time."""
    now = datetime(2026, 2, 1, tzinfo=timezone.utc)
    dataset = Dataset(sizes={"voucher": 20}, now=now)
    dataset.add("voucher", now + 300 * DAY)
    clock = [now.timestamp()]
    catalog = select(discovered, ["vouchers"])
    with Sandbox(dataset, clock=lambda: clock[0]) as sandbox:
        tap = Tap(tmp_path, sandbox.config)
        first = tap.run(catalog=catalog)
        dataset.add("voucher", now + timedelta(milliseconds=1))
        clock[0] += 86400
        second = tap.run(catalog=catalog, state=first.state, lookback_seconds=0)
        expected = expected_records(sandbox, "vouchers")

    assert first.bookmarks("vouchers")[-1] == text(now)
    assert len(first.records("vouchers")) == 21
    assert in_any_order(first.records("vouchers") + second.records("vouchers")[:1]) == expected
    assert second.bookmarks("vouchers")[-1] == text(now + DAY)


def test_rows_created_between_two_exports_are_read_again(tmp_path: Path, discovered: Json) -> None:
    """The bookmark is never later than the server's time at the run's first export."""
    now = datetime(2026, 2, 1, tzinfo=timezone.utc)
    dataset = Dataset(sizes={"voucher": 20}, now=now)
    clock = [now.timestamp()]

    def create_a_row(_export: Export) -> float:
        clock[0] += 1
        dataset.add("voucher", datetime.fromtimestamp(clock[0], timezone.utc))
        return 0

    catalog = select(discovered, ["vouchers"])
    # The tap's clock, which only decides the number of windows, is later than this end.
    settings: Json = {"start_date": "2025-12-01", "end_date": "2026-03-01", "window_days": 10}
    with Sandbox(dataset, latency_seconds=create_a_row, clock=lambda: clock[0]) as sandbox:
        run = Tap(tmp_path, sandbox.config).run(catalog=catalog, **settings)
        earliest = sandbox.exports[0].created_at
        exports = len(sandbox.exports)

    assert run.exit_code == 0
    assert exports > 3
    assert max(run.bookmarks("vouchers")) <= earliest


def test_a_state_of_another_replication_key_is_discarded(sandbox: Sandbox, tap: Tap) -> None:
    """A bookmark of another replication key is discarded, and the stream is re-read."""
    state = state_of(vouchers="2026-01-20T00:00:00.000Z", orders="2026-01-20T00:00:00.000Z")
    state["bookmarks"]["vouchers"]["replication_key"] = "updated_at"

    run = tap.run(state=state)

    assert in_any_order(run.records("vouchers")) == expected_records(sandbox, "vouchers")
    assert len(run.records("orders")) < len(expected_records(sandbox, "orders"))
    assert {state["bookmarks"]["vouchers"]["replication_key"] for state in run.states[-1:]} == {
        "created_at"
    }


@pytest.mark.parametrize(
    "bookmark", ["2026-01-15T10:00:00Z", "2026-01-15T12:00:00.000+02:00", "2026-01-15T10:00:00"]
)
def test_a_bookmark_of_any_form_is_understood(
    sandbox: Sandbox, tap: Tap, discovered: Json, bookmark: str
) -> None:
    """A bookmark counts as the instant it denotes, whatever its format."""
    catalog = select(discovered, ["redemptions"])

    run = tap.run(catalog=catalog, state=state_of(redemptions=bookmark), lookback_seconds=0)

    expected = expected_records(sandbox, "redemptions", "2026-01-15T10:00:00.000Z")
    assert expected
    assert in_any_order(run.records("redemptions")) == expected


# Out of order


def test_out_of_order_rows_move_the_bookmark_only_at_the_end(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """An unordered export keeps the old bookmark until it is fully emitted."""
    sandbox.behaviour = Behaviour(honours_order=False)
    old = "2026-01-05T00:00:00.000Z"
    catalog = select(discovered, ["orders"])

    run = tap.run(catalog=catalog, state=state_of(orders=old))

    expected = expected_records(sandbox, "orders", earlier(old, 60))
    assert in_any_order(run.records("orders")) == expected
    newest = max(record["created_at"] for record in expected)
    assert run.bookmarks("orders")[-1] == newest
    assert old in run.bookmarks("orders")
    assert set(run.bookmarks("orders")) == {old, newest}
    assert len([line for line in run.warnings if "not in order" in line]) == 1


def test_disorder_of_several_exports_is_reported_once(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Disorder in several windows of a stream is reported once."""
    sandbox.behaviour = Behaviour(honours_order=False)
    rows = sandbox.rows("order")
    start = text(rows[0].created)

    run = tap.run(catalog=select(discovered, ["orders"]), start_date=start, window_days=10)

    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders", start)
    created = {row.cells["id"]: row.created for row in rows}
    times = [created[record["id"]] for record in run.records("orders")]
    returns = [before for before, after in pairwise(times) if after < before]
    assert len({(moment - EPOCH) // (10 * DAY) for moment in returns}) > 1
    assert len([line for line in run.warnings if "not in order" in line]) == 1


def test_disorder_within_the_margin_is_trusted(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Dates that are off by milliseconds do not count as disorder."""
    sandbox.behaviour = Behaviour(date_skew_ms=500)
    newest = sandbox.rows("voucher")[-1].created
    for number in range(50):
        sandbox.dataset.add("voucher", newest + timedelta(milliseconds=number))

    run = tap.run(catalog=select(discovered, ["vouchers"]))

    emitted = [record["created_at"] for record in run.records("vouchers")]
    assert emitted != sorted(emitted)
    assert run.bookmarks("vouchers")[-1] == max(emitted)
    assert not [line for line in run.warnings if "not in order" in line]


@pytest.mark.parametrize("value", [17, "soon", None])
def test_bookmarks_of_other_keys_and_streams_are_ignored(
    sandbox: Sandbox, tap: Tap, discovered: Json, value: object
) -> None:
    """A state written by another tap leads to a full read, not to an error."""
    bookmark = {"replication_key": "number", "replication_key_value": value}

    run = tap.run(
        catalog=select(discovered, ["orders"]),
        state={"bookmarks": {"orders": bookmark, "invoices": bookmark}},
    )

    assert run.exit_code == 0
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


# Bounds


def test_rows_outside_of_the_range_are_counted(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """One warning counts the rows dropped because the server ignored its filters."""
    sandbox.behaviour = Behaviour(honours_filters=False)
    rows = sandbox.rows("order")
    start = rows[len(rows) // 2].created

    run = tap.run(catalog=select(discovered, ["orders"]), start_date=text(start))

    dropped = sum(row.created < start - timedelta(seconds=1) for row in rows)
    assert dropped
    (warning,) = run.warnings
    assert f"dropped {dropped} of {len(rows)} rows, which lie outside" in warning


@pytest.mark.parametrize("behaviour", INCLUSIVE)
def test_start_date_is_included_and_end_date_is_not(
    sandbox: Sandbox, tap: Tap, behaviour: Behaviour
) -> None:
    """The range is half-open to the millisecond, whether the server's filters are or not."""
    sandbox.behaviour = behaviour
    rows = sandbox.rows("voucher")
    start, end = text(rows[8].created), text(rows[30].created)

    run = tap.run(start_date=start, end_date=end)

    assert run.exit_code == 0
    for stream in INCREMENTAL:
        expected = expected_records(sandbox, stream, start, end)
        assert expected
        assert in_any_order(run.records(stream)) == expected
    emitted = {record["created_at"] for record in run.records("vouchers")}
    assert start in emitted
    assert end not in emitted
    assert len(run.records("points_expirations")) == len(sandbox.rows("points_expiration"))


def test_start_date_later_than_the_bookmark_counts(sandbox: Sandbox, tap: Tap) -> None:
    """A run begins at the later of start date and bookmark."""
    start = "2026-01-20T00:00:00.000Z"
    state = state_of(vouchers="2026-01-05T00:00:00.000Z", orders="2026-01-25T00:00:00.000Z")

    run = tap.run(state=state, start_date=start, lookback_seconds=0)

    assert in_any_order(run.records("vouchers")) == expected_records(sandbox, "vouchers", start)
    assert in_any_order(run.records("orders")) == expected_records(
        sandbox, "orders", "2026-01-25T00:00:00.000Z"
    )


def test_an_empty_range_needs_no_export(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A bookmark beyond the end date needs no export and is not an error."""
    state = state_of(vouchers="2026-02-01T00:00:00.000Z")

    run = tap.run(catalog=select(discovered, ["vouchers"]), state=state, end_date="2026-01-15")

    assert run.exit_code == 0
    assert not run.records("vouchers")
    assert not sandbox.requests
    assert run.state == state


# Windows


def test_windows_are_cut_at_multiples_of_their_size(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Windows end at multiples of their size, and are exported a second wider on each side."""
    start = datetime(2026, 1, 3, 12, tzinfo=timezone.utc)
    days = 30 * DAY

    run = tap.run(catalog=select(discovered, ["vouchers"]), start_date=text(start), window_days=30)

    parameters = [body["parameters"] for body in created_exports(sandbox, "voucher")]
    conditions = [p["filters"]["created_at"]["conditions"] for p in parameters]
    assert all(p["filters"]["junction"] == "and" for p in parameters)
    conditions.sort(key=lambda condition: str(condition["$after"]))
    first = EPOCH + ((start - EPOCH) // days + 1) * days
    inner = [first + number * days for number in range(len(conditions) - 1)]
    assert len(inner) > 2
    second = timedelta(seconds=1)
    assert [c["$after"] for c in conditions] == [[text(edge - second)] for edge in (start, *inner)]
    assert [c.get("$before") for c in conditions] == [
        *([text(edge + second)] for edge in inner),
        None,
    ]
    assert in_any_order(run.records("vouchers")) == expected_records(
        sandbox, "vouchers", text(start)
    )
    # The stream has been idle for months: the bookmark is at the last inner boundary.
    bookmarks = run.bookmarks("vouchers")
    assert bookmarks == sorted(bookmarks)
    assert {text(edge) for edge in inner} <= set(bookmarks)
    assert bookmarks[-1] == text(inner[-1])


def test_windows_end_at_the_end_date(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """With an end date, the last window and the bookmark end there."""
    catalog = select(discovered, ["vouchers", "publications"])
    start, end = "2026-01-05T00:00:00.000Z", "2026-01-25T00:00:00.000Z"

    run = tap.run(catalog=catalog, start_date=start, end_date=end, window_days=7)

    assert run.exit_code == 0
    for stream in ("vouchers", "publications"):
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream, start, end)
        assert run.bookmarks(stream)[-1] == end
    bodies = created_exports(sandbox, "publication")
    assert len(bodies) == 4
    assert all(
        set(body["parameters"]["filters"]["created_at"]["conditions"]) == {"$after", "$before"}
        for body in bodies
    )


def test_no_parameter_depends_on_when_the_run_happens(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """The same settings and state lead to the same export requests."""
    catalog = select(discovered, OBJECTS)
    for _ in range(2):
        tap.run(catalog=catalog, start_date="2026-01-10", end_date="2026-01-20", window_days=4)

    bodies = [json.dumps(body) for body in created_exports(sandbox)]
    half = len(bodies) // 2
    assert half > len(OBJECTS)
    assert sorted(bodies[:half]) == sorted(bodies[half:])


def test_full_table_streams_have_neither_filter_nor_bookmark(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Objects without a date filter are read in full each time, whatever the bounds."""
    names = ("points_expirations", "products", "skus")

    run = tap.run(catalog=select(discovered, names), start_date="2026-01-20", window_days=1)

    assert run.exit_code == 0
    assert len(created_exports(sandbox)) == len(names)
    assert not any("filters" in body["parameters"] for body in created_exports(sandbox))
    for stream in names:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream)
        assert not any(run.bookmarks(stream))


# Rows and exports that go wrong


@pytest.mark.parametrize("settings", [{}, {"start_date": "2026-01-01"}], ids=["all", "window"])
def test_a_record_without_replication_value_is_emitted(
    sandbox: Sandbox, tap: Tap, settings: Json
) -> None:
    """A row without a creation time is emitted and does not move the bookmark."""
    last = sandbox.rows("voucher")[-1].created
    row = sandbox.dataset.add("voucher", last + DAY, cells={"created_at": ""})

    run = tap.run(lookback_seconds=0, **settings)

    assert run.exit_code == 0
    assert expected_record("vouchers", row) in run.records("vouchers")
    assert run.bookmarks("vouchers")[-1] == text(last)


def test_a_publication_without_date_is_emitted(sandbox: Sandbox, tap: Tap) -> None:
    """A publication without a date has a key, and does not move the bookmark."""
    rows = sandbox.rows("publication")
    sandbox.dataset.add("publication", rows[9].created, cells={"date": ""})

    run = tap.run()

    assert run.exit_code == 0
    expected = [expected_record("publications", row) for row in sandbox.rows("publication")]
    assert in_any_order(run.records("publications")) == in_any_order(expected)
    assert run.bookmarks("publications")[-1] == text(rows[-1].created)


def test_a_publication_without_anything_is_an_error(sandbox: Sandbox, tap: Tap) -> None:
    """A publication whose key columns are all empty fails its stream only."""
    rows = sandbox.rows("publication")
    names = ("voucher_code", "customer_id", "customer_source_id", "date", "channel", "campaign")
    sandbox.dataset.add("publication", rows[9].created, cells=dict.fromkeys(names, ""))

    run = tap.run()

    assert run.exit_code == 1
    (error,) = run.errors
    assert "column 'publication_key': the key is empty" in error
    for stream in set(INCREMENTAL) - {"publications"}:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream)


def test_a_failed_stream_does_not_stop_the_others(sandbox: Sandbox, tap: Tap) -> None:
    """A failed stream is reported on one line, keeps its bookmark and stops no other."""
    sandbox.faults.add(Fault(on="create", object="order", times=None, action=Turn("ERROR")))
    state = state_of(orders="2026-01-10T00:00:00.000Z")

    run = tap.run(state=state)

    assert run.exit_code == 1
    (error,) = run.errors
    assert "orders" in error
    assert not run.records("orders")
    assert set(run.bookmarks("orders")) == {"2026-01-10T00:00:00.000Z"}
    for stream in set(INCREMENTAL) - {"orders"}:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream)
        assert run.bookmarks(stream)[-1]
