"""The sandbox follows the documentation; switches cover what the documentation leaves open."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from dev.sandbox import (
    OBJECTS,
    Amend,
    Behaviour,
    Cut,
    Dataset,
    Drip,
    Fault,
    MetadataKey,
    Raw,
    Reply,
    Rewrite,
    Stall,
    Turn,
)

from .sandbox_client import MILLISECOND, NOON, SMALL, Client, after, iso, parsed, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.sandbox import Row


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """Yield a sandbox for tests that do not change it."""
    with serving() as client:
        yield client


# Data


def test_the_same_seed_gives_the_same_data() -> None:
    """Datasets with the same seed and calls are equal; another seed gives other data."""

    def rows(seed: int) -> list[tuple[dict[str, str], dict[str, str]]]:
        dataset = Dataset(seed, SMALL)
        dataset.grow({"voucher": 5})
        dataset.touch("voucher", 3)
        return [(row.cells, row.metadata) for row in dataset.rows("voucher")]

    assert rows(1) == rows(1) != rows(2)


def test_many_records_share_one_millisecond() -> None:
    """Bulk generation creates at least a tenth of the records in one millisecond."""
    created = [row.created for row in Dataset(sizes={"voucher": 300}).rows("voucher")]
    assert max(map(created.count, created)) >= 29
    assert created == sorted(created)


def test_growth_follows_the_newest_row_and_shares_its_millisecond() -> None:
    """Growth adds newer rows, the first of them in the millisecond of the newest row."""
    dataset = Dataset(sizes=SMALL)
    before = dataset.rows("order")
    dataset.grow({"order": 8})
    added = dataset.rows("order")[len(before) :]
    assert len(added) == 8
    assert added[0].created == before[-1].created < added[-1].created


def test_nothing_is_later_than_now() -> None:
    """No generated, added or updated row is later than the dataset's `now`."""
    now = datetime(2026, 1, 5, tzinfo=timezone.utc)
    dataset = Dataset(sizes=SMALL, now=now)
    dataset.grow({"voucher": 50})
    dataset.touch("voucher", 5)
    rows = dataset.rows("voucher")
    assert len(rows) == 80
    assert max(row.created for row in rows) <= now
    assert max(row.updated for row in rows if row.updated) <= now


@pytest.mark.parametrize("name", ["voucher", "customer", "order"])
def test_touching_a_row_updates_it(name: str) -> None:
    """A touched row has a new `updated_at` and another amount or count."""
    dataset = Dataset(sizes=SMALL)
    before = {row.cells["id"]: row.cells for row in dataset.rows(name)}
    newest = max(row.updated or row.created for row in dataset.rows(name))
    for row in dataset.touch(name, 3):
        changed = {key for key, text in row.cells.items() if text != before[row.cells["id"]][key]}
        assert row.updated
        assert row.updated > newest
        assert "updated_at" in changed
        assert len(changed) > 1


def test_objects_without_updates_cannot_be_touched() -> None:
    """Objects that are never updated cannot be touched."""
    with pytest.raises(KeyError):
        Dataset(sizes=SMALL).touch("redemption", 1)


def test_a_row_can_be_added_anywhere() -> None:
    """An added row may be older than others, and has the given cells."""
    dataset = Dataset(sizes=SMALL)
    row = dataset.add("voucher", NOON, updated=NOON, cells={"code": "00123"}, metadata={})
    assert (row.cells["code"], row.cells["created_at"], row.metadata) == ("00123", iso(NOON), {})
    created = [each.created for each in dataset.rows("voucher")]
    assert created == sorted(created)
    with pytest.raises(ValueError, match="colour"):
        dataset.add("voucher", NOON, cells={"colour": "red"})


def test_records_are_awkward_where_voucherify_is() -> None:
    """The data contains the difficult values that the documentation mentions."""
    dataset = Dataset()
    vouchers, publications = dataset.rows("voucher"), dataset.rows("publication")
    transactions = dataset.rows("voucher_transactions")
    assert {"", "1,2,3,4,5"} == {row.cells["validity_day_of_week"] for row in vouchers}
    assert any(row.cells["gift_balance"].endswith(".00") for row in vouchers)
    assert any(row.cells["code"].startswith("00") for row in vouchers)
    assert any("\n" in row.cells["additional_info"] for row in vouchers)
    assert "" in {row.cells["updated_at"] for row in vouchers}
    assert "" in {row.cells["voucher_code"] for row in publications}
    assert all(json.loads(row.cells["details"]) for row in transactions)
    assert all(len(row.cells["expires_at"]) == 10 for row in dataset.rows("points_expiration"))


# The life of an export


def test_an_export_is_scheduled_then_in_progress_then_done() -> None:
    """An export's status follows the clock, and its result appears with DONE."""
    with serving(latency_seconds=10) as client:
        created = client.create("voucher").json()
        assert (created["status"], created["result"]) == ("SCHEDULED", None)
        seen = []
        for _ in range(3):
            export = client.poll(created["id"])
            seen.append((export["status"], export["result"] is None))
            client.clock.now += 5
    assert seen == [("SCHEDULED", True), ("IN_PROGRESS", True), ("DONE", False)]


def test_the_latency_may_depend_on_the_export() -> None:
    """The latency can be a function of the export."""
    slow = {"voucher": 5.0}
    with serving(latency_seconds=lambda export: slow.get(export.exported_object, 0)) as client:
        exports = [client.create(name).json() for name in ("voucher", "order")]
        assert [client.poll(export["id"])["status"] for export in exports] == ["SCHEDULED", "DONE"]


def test_creation_echoes_the_request(shared: Client) -> None:
    """The created export object is as documented and echoes its parameters."""
    parameters = {"fields": ["id"], "order": "-created_at", "filters": {"junction": "and"}}
    export = shared.create("order", **parameters).json()
    assert export.pop("id").startswith("exp_")
    assert export == {
        "object": "export",
        "created_at": "2026-03-01T00:00:00.000Z",
        "status": "SCHEDULED",
        "channel": "API",
        "exported_object": "order",
        "parameters": parameters,
        "result": None,
        "user_id": None,
    }


def test_filters_may_be_echoed_as_filter() -> None:
    """The filters can be echoed as `filter`, as in the guide."""
    with serving(Behaviour(filters_echo="filter")) as client:
        export = client.create("order", filters={"junction": "and"}).json()
        assert export["parameters"] == {"filter": {"junction": "and"}}


def test_an_export_holds_the_data_of_its_creation() -> None:
    """An export excludes rows created after it, even if it is downloaded later."""
    with serving() as client:
        early = client.done("voucher")["url"]
        client.sandbox.dataset.grow({"voucher": 4})
        assert len(parsed(client.fetch(early).content)) == 31
        assert len(client.table("voucher")) == 35


def test_every_poll_gives_a_fresh_token() -> None:
    """Two polls give two URLs, and both lead to the file on the download site."""
    with serving() as client:
        export_id = client.create("voucher").json()["id"]
        urls = [client.poll(export_id)["result"]["url"] for _ in range(2)]
        assert urls[0] != urls[1]
        assert all(url.startswith(client.sandbox.download_url) for url in urls)
        assert client.fetch(urls[0]).content == client.fetch(urls[1]).content
        assert {url.partition("token=")[2] for url in urls} < set(client.sandbox.secrets)


def test_a_download_token_expires() -> None:
    """An expired link returns 401 despite valid credentials; a fresh link works."""
    with serving(Behaviour(token_seconds=60)) as client:
        export_id = client.create("voucher").json()["id"]
        url = client.poll(export_id)["result"]["url"]
        client.clock.now += 60
        rejected = client.fetch(url)
        assert (rejected.status_code, rejected.json()["key"]) == (401, "unauthorized")
        assert client.fetch(client.poll(export_id)["result"]["url"]).status_code == 200


def test_a_download_needs_credentials_and_its_own_token() -> None:
    """A download needs credentials and the token of its own export."""
    with serving() as client:
        url, other = client.done("voucher")["url"], client.done("order")["url"]
        mixed = url.partition("=")[0] + "=" + other.partition("=")[2]
        assert client.fetch(url, headers={}).status_code == 401
        assert client.fetch(mixed).status_code == 401


def test_a_deleted_export_is_gone() -> None:
    """Deleting an export returns 204 once, then 404, as do polling and downloading it."""
    with serving() as client:
        export_id = client.create("voucher").json()["id"]
        path = f"/v1/exports/{export_id}"
        url = client.poll(export_id)["result"]["url"]
        deleted = client.call("DELETE", path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for method in ("DELETE", "GET"):
            assert client.call(method, path).status_code == 404
        assert client.fetch(url).status_code == 404
        assert [export.deleted for export in client.sandbox.exports] == [True]


def test_an_unknown_export_is_not_found(shared: Client) -> None:
    """An unknown export returns 404 with the documented body."""
    body = shared.poll("exp_unknown")
    assert body.pop("request_id").startswith("v-")
    assert body == {
        "code": 404,
        "key": "not_found",
        "message": "Resource not found",
        "details": "Cannot find export with id exp_unknown",
        "resource_id": "exp_unknown",
        "resource_type": "export",
    }


def test_exports_are_listed_in_pages() -> None:
    """Exports are listed ten a page by default, newest first on request."""
    with serving() as client:
        ids = []
        for _ in range(12):
            ids.append(client.create("order", fields=["id"]).json()["id"])
            client.clock.now += 1

        def listed(query: str) -> list[str]:
            page = client.call("GET", f"/v1/exports?{query}").json()
            assert (page["object"], page["data_ref"], page["total"]) == ("list", "exports", 12)
            assert all(export["parameters"] == {"fields": ["id"]} for export in page["exports"])
            return [export["id"] for export in page["exports"]]

        assert listed("order=-created_at") == ids[:1:-1]
        assert listed("order=created_at&limit=5&page=3") == ids[10:]


@pytest.mark.parametrize("query", ["limit=101", "limit=0", "page=0", "page=x", "order=id"])
def test_a_list_takes_only_documented_queries(shared: Client, query: str) -> None:
    """The list rejects limits, pages and orders that are not documented."""
    rejected = shared.call("GET", f"/v1/exports?{query}")
    assert (rejected.status_code, rejected.json()["key"]) == (400, "invalid_payload")


# Export requests


@pytest.mark.parametrize("name", OBJECTS)
def test_every_documented_field_can_be_exported(shared: Client, name: str) -> None:
    """All fields of every object can be exported, in the requested order."""
    declared = OBJECTS[name]
    fields = [field for field in reversed(declared.fields) if field != "metadata"]
    header, *rows = shared.table(name, fields=fields)
    assert header[0].lower().replace(" ", "_") in {fields[0], "creation_date"}
    assert rows == [[r.cells[field] for field in fields] for r in shared.sandbox.rows(name)]


@pytest.mark.parametrize("name", OBJECTS)
def test_default_fields(shared: Client, name: str) -> None:
    """An export without `fields` has the documented default fields."""
    declared = OBJECTS[name]
    assert shared.table(name) == shared.table(name, fields=list(declared.default_fields))


def test_a_field_of_another_object_is_rejected(shared: Client) -> None:
    """An export of an unsupported field is rejected with the list of allowed fields."""
    rejected = shared.create("voucher_transactions", fields=["id", "status"])
    body = rejected.json()
    assert (rejected.status_code, body["key"]) == (400, "invalid_export_fields")
    assert body["message"] == "Invalid Export"
    assert body["details"] == (
        "Unsupported field used. Allowed fields: id, campaign_id, voucher_id, type, source_id, "
        "reason, source, balance, amount, related_transaction_id, created_at, details"
    )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("coupon", {}),
        ("voucher", {"fields": "id"}),
        ("voucher", {"order": "id"}),
        ("voucher", {"order": ""}),
        ("voucher", {"campaign_id": 1}),
        ("voucher", {"filters": []}),
        ("voucher", {"filters": {"colour": {"conditions": {"$is": ["red"]}}}}),
        ("voucher", {"filters": {"junction": "xor"}}),
        ("voucher", {"filters": {"created_at": {"$after": ["2026-01-01T00:00:00.000Z"]}}}),
        ("voucher", {"filters": {"created_at": {"conditions": {"$after": "2026-01-01"}}}}),
        ("voucher", {"filters": {"created_at": {"conditions": {"$since": ["2026-01-01"]}}}}),
        ("voucher", {"filters": {"code": {"conditions": {"$count": ["some"]}}}}),
        ("redemption", {"filters": {"created_at": {"conditions": {"$is": ["2026-01-01"]}}}}),
        ("order", {"filters": {"updated_at": {"conditions": {"$is": ["2026-01-01"]}}}}),
        ("points_expiration", {"order": "created_at"}),
        ("points_expiration", {"filters": after(NOON)}),
        ("product", {"order": "created_at"}),
        ("sku", {"filters": after(NOON)}),
    ],
)
def test_an_invalid_payload_is_rejected(
    shared: Client,
    name: str,
    parameters: dict[str, Any],
) -> None:
    """Objects, orders, filters and operators that are not documented are rejected."""
    rejected = shared.create(name, **parameters)
    body = rejected.json()
    assert (rejected.status_code, body["key"]) == (400, "invalid_payload")
    assert body["message"] == "Invalid payload"
    assert body["details"].startswith("Property .")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"exported_object": "voucher", "parameters": 1}'])
def test_a_payload_is_a_json_object(shared: Client, body: bytes) -> None:
    """A payload that is not a JSON object of objects is invalid."""
    assert shared.call("POST", "/v1/exports", data=body).json()["key"] == "invalid_payload"


# Filters and order


def edge_cases(inclusive: bool, operator: str) -> int:  # noqa: FBT001 - a parameter of the test
    """Return how many of three records, one of them at the bound, pass a filter."""
    dataset = Dataset(sizes=dict.fromkeys(OBJECTS, 0))
    for moment in (NOON - MILLISECOND, NOON, NOON + MILLISECOND):
        dataset.add("redemption", moment)
    behaviour = Behaviour(after_inclusive=inclusive, before_inclusive=inclusive)
    with serving(behaviour, dataset) as client:
        filters = {"created_at": {"conditions": {operator: [iso(NOON)]}}}
        return len(client.column("redemption", "id", filters=filters))


@pytest.mark.parametrize("operator", ["$after", "$before"])
def test_whether_a_bound_includes_its_instant_is_a_switch(operator: str) -> None:
    """A switch decides whether a record at the exact instant of a bound passes."""
    assert edge_cases(inclusive=True, operator=operator) == 2
    assert edge_cases(inclusive=False, operator=operator) == 1


def test_a_window_is_the_same_whatever_the_order_of_rows(shared: Client) -> None:
    """A window by `created_at` contains the rows created in it, in the requested order."""
    begin, end = iso(NOON - timedelta(days=5)), iso(NOON + timedelta(days=5))
    conditions = {"$after": [begin], "$before": [end]}
    filters = {"junction": "and", "created_at": {"conditions": conditions}}
    dates = shared.column("redemption", "date", filters=filters, order="created_at")
    everything = [row.cells["date"] for row in shared.sandbox.rows("redemption")]
    assert dates == [date for date in everything if begin < date < end]
    assert 0 < len(dates) < len(everything)
    assert dates[::-1] == shared.column("redemption", "date", filters=filters, order="-created_at")


def test_the_junction_or_defeats_a_window(shared: Client) -> None:
    """With the junction `or`, a row needs to satisfy only one bound of the window."""
    conditions = {"$after": [iso(NOON)], "$before": [iso(NOON + MILLISECOND)]}
    filters = {"junction": "or", "created_at": {"conditions": conditions}}
    assert len(shared.column("voucher", "id", filters=filters)) == 30


def test_a_record_never_updated_is_in_no_update_window(shared: Client) -> None:
    """A filter on `updated_at` matches updated records only."""
    filters = after(datetime(2000, 1, 1, tzinfo=timezone.utc), "updated_at")
    updated = shared.column("customer", "updated_at", filters=filters)
    assert 0 < len(updated) < 30
    assert "" not in updated


def test_date_filters_may_be_ignored() -> None:
    """Date filters can be ignored while other filters still work."""
    with serving(Behaviour(honours_filters=False)) as client:
        ids = client.column("voucher", "id")
        assert client.column("voucher", "id", filters=after(datetime.now(tz=timezone.utc))) == ids
        code = {"code": {"conditions": {"$is": ["no such code"]}}}
        assert client.column("voucher", "id", filters=code) == []


def test_the_order_may_be_ignored() -> None:
    """The order can be ignored: all rows are there, but shuffled."""
    with serving(Behaviour(honours_order=False)) as client:
        dates = client.column("redemption", "date", order="created_at")
        assert dates != sorted(dates)
        assert sorted(dates) == sorted(r.cells["date"] for r in client.sandbox.rows("redemption"))


@pytest.mark.parametrize(
    ("name", "condition", "argument", "passes"),
    [
        ("amount", "$is", "100", lambda text: text == "100"),
        ("amount", "$is", 100.0, lambda text: text == "100"),
        ("amount", "$is_not", 100, lambda text: text != "100"),
        ("amount", "$in", "100", lambda text: text == "100"),
        ("amount", "$not_in", "100", lambda text: text != "100"),
        ("amount", "$more_than", 99, lambda text: int(text) > 99),
        ("amount", "$more_than_equal", 100, lambda text: int(text) >= 100),
        ("amount", "$less_than", 100, lambda text: int(text) < 100),
        ("amount", "$less_than_equal", 100, lambda text: int(text) <= 100),
        ("source_id", "$contains", "ä,", lambda text: "ä," in text),
        ("source_id", "$not_contain", "ä,", lambda text: "ä," not in text),
        ("source_id", "$starts_with", "00", lambda text: text.startswith("00")),
        ("source_id", "$ends_with", "2", lambda text: text.endswith("2")),
        ("source_id", "$has_value", True, bool),
        ("source_id", "$is_unknown", True, lambda text: not text),
        ("source_id", "$count", 2, lambda text: text.count(",") == 1),
        ("source_id", "$count_more", 1, lambda text: text.count(",") == 1),
        ("source_id", "$count_less", 2, lambda text: text and "," not in text),
    ],
)
def test_conditions_on_cells(name: str, condition: str, argument: object, passes: Any) -> None:
    """Each operator passes the cells that its name describes."""
    dataset = Dataset(sizes=dict.fromkeys(OBJECTS, 0))
    for amount, source_id in ((99, ""), (100, "00123"), (1000, "ä,2"), (-5, "0é")):
        dataset.add("order", NOON, cells={"amount": str(amount), "source_id": source_id})
    cells = [row.cells[name] for row in dataset.rows("order")]
    with serving(dataset=dataset) as client:
        filters = {name: {"conditions": {condition: [argument]}}}
        assert client.column("order", name, filters=filters) == [c for c in cells if passes(c)]


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("$is_days_ago", lambda days: days == -2),
        ("$more_than_ago", lambda days: days < -2),
        ("$less_than_ago", lambda days: days > -2),
        ("$is_days_in_future", lambda days: days == 2),
        ("$more_than_future", lambda days: days > 2),
        ("$less_than_future", lambda days: days < 2),
    ],
)
def test_conditions_on_days(condition: str, passes: Any) -> None:
    """Relative dates are counted from the start of the current day."""
    dataset = Dataset(sizes=dict.fromkeys(OBJECTS, 0))
    today = datetime(2026, 3, 1, tzinfo=timezone.utc)
    for days in range(-3, 4):
        start = iso(today + timedelta(days=days))
        dataset.add("voucher", NOON, cells={"start_date": start, "code": str(days)})
    with serving(dataset=dataset) as client:
        filters = {"start_date": {"conditions": {condition: [2]}}}
        codes = client.column("voucher", "code", filters=filters)
    assert codes == [str(days) for days in range(-3, 4) if passes(days)]


def test_filters_on_metadata_and_on_fields_of_other_names() -> None:
    """Metadata keys can be filtered on, and `campaign_name` filters the field `campaign`."""
    dataset = Dataset(sizes=dict.fromkeys(OBJECTS, 0))
    dataset.add("publication", NOON, cells={"campaign": "A"}, metadata={"year": "2025"})
    dataset.add("publication", NOON, cells={"campaign": "B"}, metadata={})
    with serving(dataset=dataset) as client:
        for name, argument, campaigns in (
            ("metadata.year", "2025", ["A"]),
            ("campaign_name", "B", ["B"]),
            ("related_object_id", "what no exported field shows", []),
        ):
            filters = {name: {"conditions": {"$is": [argument]}}}
            assert client.column("publication", "campaign", filters=filters) == campaigns


def test_vouchers_of_one_campaign(shared: Client) -> None:
    """The parameter `campaign_id` selects the vouchers of one campaign."""
    everything = shared.column("voucher", "campaign_id")
    campaign = next(filter(None, everything))
    found = shared.column("voucher", "campaign_id", campaign_id=campaign)
    assert found == [each for each in everything if each == campaign]


# Files


def test_titles() -> None:
    """The header has display titles; irregular ones are as documented, and each can be set."""
    fields = [
        *("id", "code", "voucher_type", "value", "loyalty_balance", "redemption_quantity"),
        *("bar_code", "created_at", "updated_at", "is_referral_code", "customer_source_id"),
    ]
    titles = [
        *("ID", "Code", "Voucher Type", "Value", "Loyalty Card Balance", "Redemption Limit"),
        *("Barcode", "Creation Date", "Last Update Date", "Is referral code?"),
        "Customer Source ID",
    ]
    with serving() as client:
        assert client.table("voucher", fields=fields)[0] == titles
        client.sandbox.behaviour = Behaviour(
            creation_title="Creation date",
            titles={("voucher", "value"): "Amount"},
        )
        header = client.table("voucher", fields=["created_at", "value"])[0]
        assert header == ["Creation date", "Amount"]
        assert client.table("order", fields=["created_at"])[0] == ["Creation date"]


def test_metadata_is_one_column_per_key_of_the_project() -> None:
    """Metadata columns come last or in place, with plain or prefixed titles."""
    keys = {"order": (MetadataKey("status"), MetadataKey("größe"))}
    dataset = Dataset(sizes=dict.fromkeys(OBJECTS, 0), metadata_keys=keys)
    dataset.add("order", NOON, cells={"id": "ord_1", "status": "PAID"}, metadata={"größe": "XL"})
    fields = ["id", "metadata", "status"]
    with serving(dataset=dataset) as client:
        at_the_end = [["ID", "Status", "größe", "status"], ["ord_1", "PAID", "XL", ""]]
        assert client.table("order", fields=fields) == at_the_end
        client.sandbox.behaviour = Behaviour(
            metadata_position="in_place", metadata_prefix=True, metadata_order="defined"
        )
        assert client.table("order", fields=fields) == [
            ["ID", "metadata.status", "metadata.größe", "Status"],
            ["ord_1", "", "XL", "PAID"],
        ]


def test_exported_dates_may_differ_from_the_instants_filtered_on() -> None:
    """Exported dates differ by up to the skew, the same way in each export and in `rows`."""
    with serving(Behaviour(date_skew_ms=500)) as client:
        dates = client.column("redemption", "date", order="created_at")
        rows: list[Row] = client.sandbox.rows("redemption")
        assert dates == [row.cells["date"] for row in rows]
        skews = {
            datetime.fromisoformat(row.cells["date"].replace("Z", "+00:00")) - row.created
            for row in rows
        }
        assert min(skews) < timedelta(0) < max(skews)
        assert max(map(abs, skews)) <= timedelta(milliseconds=500)


def test_line_ends_and_byte_order_marks_are_switches() -> None:
    """Files can have CRLF or LF line ends, and a byte order mark or none."""
    with serving() as client:
        plain = client.file("order")
        client.sandbox.behaviour = Behaviour(bom=True, line_terminator="\n")
        marked = client.file("order")
    assert plain.startswith(b"ID,Source ID,Status\r\n")
    assert marked.startswith(b"\xef\xbb\xbfID,Source ID,Status\n")


@pytest.mark.parametrize("transfer", ["length", "chunked", "close"])
@pytest.mark.parametrize("compressed", [False, True])
def test_transfer_and_compression_are_switches(transfer: Any, *, compressed: bool) -> None:
    """The file is the same however its end is signalled, compressed or not."""
    with serving(Behaviour(transfer=transfer, gzip=compressed)) as client:
        url = client.done("voucher")["url"]
        response = client.fetch(url)
        headers = response.headers
        assert ("Content-Length" in headers) == (transfer == "length")
        assert ("Transfer-Encoding" in headers) == (transfer == "chunked")
        assert (headers.get("Content-Encoding") == "gzip") == compressed
        assert len(parsed(response.content)) == 31
        identity = client.fetch(url, headers={**client.key_pair, "Accept-Encoding": "identity"})
        assert "Content-Encoding" not in identity.headers


@pytest.mark.parametrize(
    ("shape", "urls"),
    [
        ("url", lambda result: result["url"]),
        ("urls", lambda result: result["urls"]),
        ("unknown", lambda result: [chunk["location"] for chunk in result["chunks"]]),
    ],
)
def test_a_result_may_be_split(shape: Any, urls: Any) -> None:
    """Each file of a split result has a header and its share of the rows."""
    with serving(Behaviour(files=3, result_shape=shape)) as client:
        files = [parsed(client.fetch(url).content) for url in urls(client.done("order"))]
        assert [len(rows) for rows in files] == [11, 11, 11]
        ids = [row[0] for rows in files for row in rows[1:]]
        assert ids == [row.cells["id"] for row in client.sandbox.rows("order")]


# Credentials


@pytest.mark.parametrize("path", ["/v1/exports", "/v1/exports/exp_1", "/v1/metadata-schemas"])
def test_calls_need_credentials(shared: Client, path: str) -> None:
    """A call without a valid key pair or token returns 401."""
    for headers in (
        {},
        {"X-App-Id": shared.sandbox.app_id},
        {**shared.key_pair, "X-App-Token": "wrong"},
        {"Authorization": "Bearer wrong"},
    ):
        rejected = shared.call("GET", path, headers=headers)
        assert (rejected.status_code, rejected.json()["key"]) == (401, "unauthorized")


def test_an_oauth_token_opens_its_scope_for_fifteen_minutes() -> None:
    """An OAuth token is valid for fifteen minutes, for the API and for downloads."""
    with serving() as client:
        form = {"grant_type": "client_credentials", "scope": "exports vouchers"}
        token = client.call("POST", "/v1/oauth/token", data=form).json()
        assert (
            token["expires_at"] == client.clock.now + 900 == client.clock.now + token["expires_in"]
        )
        assert (token["token_type"], token["scope"]) == ("Bearer", "exports vouchers")
        assert token["access_token"] in client.sandbox.secrets
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        assert client.call("GET", "/v1/exports", headers=bearer).status_code == 200
        assert client.fetch(client.done("order")["url"], headers=bearer).status_code == 200
        client.clock.now += 900
        assert client.call("GET", "/v1/exports", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("scope", "status", "expected"),
    [
        ("api", 401, 200),
        ("metadata-schemas", 401, 200),
        ("exports", 401, 401),
        ("exports", 403, 403),
    ],
)
def test_a_scope_is_checked(scope: str, status: Any, expected: int) -> None:
    """A call needs its own scope or `api`; a switch sets the status of the error."""
    with serving(Behaviour(missing_scope_status=status)) as client:
        form = {"grant_type": "client_credentials", "scope": scope}
        token = client.call("POST", "/v1/oauth/token", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert client.call("GET", "/v1/metadata-schemas", headers=headers).status_code == expected


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ({"grant_type": "password", "scope": "api"}, ("invalid_grant_type", "Invalid grant_type")),
        (
            {"grant_type": "client_credentials", "scope": "vouchers,campaigns"},
            ("invalid_scope", "Invalid scope: vouchers,campaigns"),
        ),
    ],
)
def test_invalid_oauth_requests(
    shared: Client,
    form: dict[str, str],
    body: tuple[str, str],
) -> None:
    """Invalid OAuth requests return the documented errors."""
    rejected = shared.call("POST", "/v1/oauth/token", data=form)
    assert rejected.status_code == 400
    assert (rejected.json()["key"], rejected.json()["message"]) == body
    bearer = {"Authorization": "Bearer any"}
    assert shared.call("POST", "/v1/oauth/token", data=form, headers=bearer).status_code == 401


def test_metadata_schemas_leave_out_what_was_never_defined(shared: Client) -> None:
    """Metadata schemas list only defined keys, with their types, deleted ones marked."""
    listed = shared.call("GET", "/v1/metadata-schemas").json()
    schemas = {schema["related_object"]: schema["properties"] for schema in listed["schemas"]}
    assert (listed["data_ref"], listed["total"]) == ("schemas", len(schemas))
    assert schemas["voucher"]["Größe"]["type"] == "number"
    assert schemas["voucher"]["old key"]["deleted"]
    assert schemas["redemption"]["location_id"]["array"]
    assert "Code" not in schemas["voucher"]


# Rate limit


def test_a_rate_limit_is_reported_and_enforced() -> None:
    """The limit's headers count down to a 429 with `Retry-After`, which ends with the period."""
    with serving(Behaviour(rate_limit=2, rate_limit_period_seconds=60)) as client:
        start = client.clock.now
        responses = []
        for _ in range(3):
            responses.append(client.call("GET", "/v1/exports"))
            client.clock.now += 10
        assert [response.status_code for response in responses] == [200, 200, 429]
        assert [a.headers["X-Rate-Limit-Remaining"] for a in responses] == ["1", "0", "0"]
        rejected = responses[-1].headers
        assert rejected["X-Rate-Limit-Limit"] == "2"
        assert float(rejected["X-Rate-Limit-Retry"]) == start + 60
        assert rejected["X-Rate-Limit-Type"] == "api_calls"
        assert rejected["Retry-After"] == "40"
        client.clock.now = start + 60
        assert client.call("GET", "/v1/exports").status_code == 200


def test_other_rate_limit_switches() -> None:
    """Switches decide whether `Retry-After` is sent and whether downloads count."""
    with serving(Behaviour(rate_limit=2, retry_after_header=False)) as client:
        url = client.done("order")["url"]
        assert client.fetch(url).status_code == 200
        assert "Retry-After" not in client.call("GET", "/v1/exports").headers
        client.sandbox.behaviour.rate_limit_downloads = True
        assert client.fetch(url).status_code == 429


# Recorded requests


def test_requests_are_recorded() -> None:
    """Each request is recorded with everything sent and the status of its response."""
    with serving() as client:
        export_id = client.create("order", fields=["id"]).json()["id"]
        client.fetch(client.poll(export_id)["result"]["url"])
        client.call("GET", "/v1/exports?limit=1")
        client.call("DELETE", f"/v1/exports/{export_id}")
        client.call("GET", "/nowhere")
        made = client.sandbox.requests
    assert [(request.kind, request.status) for request in made] == [
        ("create", 200),
        ("poll", 200),
        ("download", 200),
        ("list", 200),
        ("delete", 204),
        ("other", 404),
    ]
    assert made[0].json["parameters"] == {"fields": ["id"]}
    assert made[0].export_id == made[1].export_id == export_id
    assert made[2].query["token"] in client.sandbox.secrets
    assert made[2].headers["x-app-token"] == client.sandbox.app_token
    assert [request.site for request in made] == ["api", "api", "download", "api", "api", "api"]


def test_dates_follow_the_clock() -> None:
    """The `Date` of a response and the `created_at` of an export are the sandbox's own time."""
    with serving() as client:
        response = client.create("order")
        assert response.headers["Date"] == "Sun, 01 Mar 2026 00:00:00 GMT"
        assert client.sandbox.exports[0].created_at == response.json()["created_at"]


def test_ports_are_free_afterwards() -> None:
    """Both ports are closed after the block, even if a response is still stalling."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="list", action=Stall(60)))
        ports = [
            int(url.rpartition(":")[2])
            for url in (client.sandbox.api_url, client.sandbox.download_url)
        ]
        stalled = client.call("GET", "/v1/exports", stream=True)
    stalled.close()
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_an_error(shared: Client) -> None:
    """A port in use stops the start with an error that says so."""
    port = int(shared.sandbox.api_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), serving(ports=(0, port)):
        pass


# Faults


def test_a_fault_strikes_the_requests_it_is_meant_for() -> None:
    """A fault counts matching requests only, and ends after its number of times."""
    with serving() as client:
        fault = Fault(on="create", nth=2, times=2, object="voucher", action=Reply(503))
        client.sandbox.faults.add(fault)
        names = ["voucher", "order", "voucher", "voucher", "order", "voucher"]
        statuses = [client.create(name).status_code for name in names]
        assert statuses == [200, 200, 503, 503, 200, 200]
        client.sandbox.faults.add(Fault(on="create", times=None, action=Reply(503)))
        assert client.create("order").status_code == 503
        client.sandbox.faults.clear()
        assert client.create("order").status_code == 200


def test_responses_can_be_replaced() -> None:
    """A reply can have any status, headers and body."""
    with serving() as client:
        limits = {"Retry-After": "7", "X-Rate-Limit-Type": "api_calls_cycle"}
        client.sandbox.faults.add(
            Fault(on="list", action=Reply(429, {"code": 429}, limits)),
            Fault(on="delete", action=Reply(302, headers={"Location": "http://127.0.0.1:1/"})),
            Fault(on="download", action=Reply(200, b"")),
            Fault(on="create", action=Reply(502, b"<html>", handled=True)),
        )
        limited = client.call("GET", "/v1/exports")
        assert (limited.status_code, limited.json()) == (429, {"code": 429})
        assert limits.items() <= dict(limited.headers).items()
        moved = client.call("DELETE", "/v1/exports/exp_1", allow_redirects=False)
        assert (moved.status_code, moved.headers["Location"]) == (302, "http://127.0.0.1:1/")
        assert client.create("order").content == b"<html>"
        assert len(client.sandbox.exports) == 1
        assert client.file("order") == b""


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("handled", [False, True])
def test_responses_can_be_lost(*, reset: bool, handled: bool) -> None:
    """The connection can be closed or reset, before or after the request is handled."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="create", action=Raw(reset=reset, handled=handled)))
        with pytest.raises(requests.ConnectionError) as caught:
            client.create("order")
        assert ("reset by peer" in str(caught.value)) == reset
        assert len(client.sandbox.exports) == int(handled)
        assert client.sandbox.requests[0].status is None
        assert client.create("order").status_code == 200


def test_a_header_line_without_end() -> None:
    """An endless header line makes the client give up, and the sandbox survives it."""
    with serving() as client:
        endless = Raw(b"HTTP/1.1 200 OK\r\nX-Endless: ", forever=b"x" * 65536)
        client.sandbox.faults.add(Fault(on="list", action=endless))
        with pytest.raises(requests.ConnectionError):
            client.call("GET", "/v1/exports")
        assert client.call("GET", "/v1/exports").status_code == 200


@pytest.mark.parametrize("transfer", ["length", "chunked", "close"])
@pytest.mark.parametrize("after", [100, 0.5])
def test_a_file_can_be_cut(transfer: Any, after: float) -> None:
    """A cut file shows by its length, by its last chunk, or not at all."""
    with serving(Behaviour(transfer=transfer)) as client:
        whole = client.file("voucher")
        client.sandbox.faults.add(Fault(on="download", action=Cut(after)))
        url = client.done("voucher")["url"]
        if transfer == "close":
            cut = client.fetch(url).content
            assert whole.startswith(cut)
            assert len(cut) == (after if after == 100 else len(whole) // 2)
        else:
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                client.fetch(url)


def test_a_compressed_file_can_lack_its_end() -> None:
    """A gzip stream can lack its end although the length of the body is right."""
    with serving(Behaviour(gzip=True)) as client:
        client.sandbox.faults.add(Fault(on="download", action=Rewrite(lambda body: body[:-8])))
        response = client.fetch(client.done("voucher")["url"], stream=True)
        body = response.raw.read(decode_content=False)
        assert len(body) == int(response.headers["Content-Length"])
        decoder = zlib.decompressobj(wbits=31)
        decoder.decompress(body)
        assert not decoder.eof


def test_a_compressed_file_can_be_corrupt() -> None:
    """A gzip stream can be corrupt in the middle."""
    corrupt = Rewrite(lambda body: body[:50] + b"\xff" * 20 + body[70:])
    with serving(Behaviour(gzip=True)) as client:
        client.sandbox.faults.add(Fault(on="download", action=corrupt))
        response = client.fetch(client.done("voucher")["url"], stream=True)
        with pytest.raises((zlib.error, gzip.BadGzipFile)):
            gzip.decompress(response.raw.read(decode_content=False))


def test_json_can_be_changed() -> None:
    """A JSON response can have other members, be another value, or be cut short."""
    with serving() as client:
        export_id = client.create("order").json()["id"]
        client.sandbox.faults.add(
            Fault(on="poll", action=Amend({"status": "ARCHIVED"})),
            Fault(on="poll", nth=2, action=Amend({"result": {"url": "http://127.0.0.1:1/x"}})),
            Fault(on="poll", nth=3, action=Amend(lambda export: [export])),
            Fault(on="poll", nth=4, action=Rewrite(lambda body: body[:30])),
        )
        assert client.poll(export_id)["status"] == "ARCHIVED"
        assert client.poll(export_id)["result"] == {"url": "http://127.0.0.1:1/x"}
        assert isinstance(client.poll(export_id), list)
        with pytest.raises(requests.JSONDecodeError):
            client.poll(export_id)


@pytest.mark.parametrize("on", ["create", "poll"])
def test_an_export_can_fail_or_disappear(on: Any) -> None:
    """An export that a fault makes fail or disappear stays that way."""
    with serving() as client:
        client.sandbox.faults.add(
            Fault(on=on, action=Turn("ERROR")),
            Fault(on=on, object="voucher", action=Turn(None)),
        )
        failed = client.create("order").json()["id"]
        seen = [client.poll(failed) for _ in range(2)]
        assert [(export["status"], export["result"]) for export in seen] == [("ERROR", None)] * 2
        vanished = client.create("voucher").json()["id"]
        assert client.poll(vanished)["code"] == 404


def test_a_body_can_come_slowly() -> None:
    """A body can drip or stall and still be complete; faults of one request combine."""
    with serving() as client:
        whole = client.file("order")
        client.sandbox.faults.add(
            Fault(on="download", action=Drip(100, 0)),
            Fault(on="download", action=Stall(0, after=150)),
            Fault(on="download", nth=2, action=Stall(30, after=50)),
        )
        url = client.done("order")["url"]
        assert client.fetch(url).content == whole
        with pytest.raises(requests.ConnectionError, match="timed out"):
            requests.get(url, headers=client.key_pair, timeout=0.05)


def test_equal_exports_share_their_files() -> None:
    """Equal exports share a file as long as the data does not change."""
    with serving() as client:
        for _ in range(2):
            client.done("order")
        client.sandbox.dataset.grow({"order": 1})
        client.done("order")
        paths = [export.paths for export in client.sandbox.exports]
        assert [one == other for one, other in pairwise(paths)] == [True, False]
