"""Switches of the sandbox for columns: order, titles, metadata and rejected fields."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dev.sandbox import (
    METADATA_KEYS,
    OBJECTS,
    PRODUCT_METADATA_KEYS,
    Behaviour,
    Dataset,
    MetadataKey,
    colliding_metadata,
    plausible_titles,
)

from .sandbox_client import NO_ROWS, NOON, SMALL, serving

KEYS = {"order": (MetadataKey("b"), MetadataKey("a", defined=False), MetadataKey("status"))}


# Order and titles


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("requested", ["Status", "Amount", "ID", "Source ID"]),
        ("documented", ["ID", "Source ID", "Status", "Amount"]),
        ("alphabetical", ["Amount", "ID", "Source ID", "Status"]),
    ],
)
def test_columns_come_in_the_requested_order_or_the_services_own(
    order: Any, expected: list[str]
) -> None:
    """Cells move with their titles, and metadata stays at the end."""
    fields = ["status", "metadata", "amount", "id", "source_id"]
    with serving(Behaviour(column_order=order), Dataset(sizes=SMALL, metadata_keys=KEYS)) as client:
        header, *rows = client.table("order", fields=fields)
        assert header == [*expected, "a", "b", "status"]
        names = [title.lower().replace(" ", "_") for title in expected]
        cells = [[row.cells[name] for name in names] for row in client.sandbox.rows("order")]
        assert [row[:4] for row in rows] == cells


def test_the_services_own_order_does_not_depend_on_the_request() -> None:
    """The service's own order is the same for any subset of fields."""
    behaviour = Behaviour(column_order="shuffled", metadata_position="in_place")
    with serving(behaviour, Dataset(sizes=NO_ROWS, metadata_keys=KEYS)) as client:
        fields = list(OBJECTS["order"].fields)
        everything = client.table("order", fields=fields)[0]
        assert everything == client.table("order", fields=fields[::-1])[0]
        part = client.table("order", fields=["amount", "status", "id"])[0]
        assert part == [title for title in everything if title in part]
        assert 0 < everything.index("a") < len(everything) - 3


def test_a_column_may_be_left_out() -> None:
    """A field can be accepted without its column being exported."""
    with serving(Behaviour(omitted_columns={("order", "id")})) as client:
        assert client.table("order", fields=["id", "status"])[0] == ["Status"]
        assert client.table("sku", fields=["id", "sku"])[0] == ["ID", "Sku"]


def test_titles_may_be_unknown_or_names() -> None:
    """A title style applies to all titles except those set one by one; metadata keeps its keys."""
    dataset = Dataset(sizes=NO_ROWS, metadata_keys=KEYS)
    titles = {("order", "id"): "Key"}
    fields = ["id", "source_id", "status", "metadata"]
    with serving(Behaviour(title_style="unknown", titles=titles), dataset) as client:
        header = client.table("order", fields=fields)[0]
        assert header[0] == "Key"
        assert all(re.fullmatch("Column [0-9a-f]{8}", title) for title in header[1:3])
        assert header[3:] == ["a", "b", "status"]
        assert header[2] == client.table("order", fields=["status"])[0][0] != header[1]
        client.sandbox.behaviour = Behaviour(title_style="name")
        assert client.table("order", fields=fields)[0][:3] == fields[:3]


@pytest.mark.parametrize("name", OBJECTS)
def test_plausible_titles_of_keys_are_not_titles_of_the_object(name: str) -> None:
    """At least five plausible key titles are not titles of another column of the object."""
    with serving(dataset=Dataset(sizes=NO_ROWS)) as client:
        fields = [field for field in OBJECTS[name].fields if field != "metadata"]
        assert len({*plausible_titles(name)} - {*client.table(name, fields=fields)[0]}) >= 5


# Metadata


@pytest.mark.parametrize("count", [0, 3, 60])
def test_metadata_may_collide_with_standard_titles(count: int) -> None:
    """The first colliding metadata keys equal the titles of the object's own columns."""
    dataset = Dataset(sizes=NO_ROWS, metadata_keys=colliding_metadata(count))
    with serving(Behaviour(metadata_order="defined"), dataset) as client:
        for name in ("voucher", "customer", "order", "product"):
            standard = [field for field in OBJECTS[name].fields if field != "metadata"]
            header = client.table(name, fields=[*standard, "metadata"])[0]
            titles, keys = header[: len(standard)], header[len(standard) :]
            assert len(keys) == len(set(keys)) == count
            shared = min(count, len(standard))
            assert keys[:shared] == titles[:shared]


def test_only_attributes_of_a_metadata_schema_may_be_exported() -> None:
    """A switch excludes metadata keys that no schema defines."""
    behaviour = Behaviour(exports_undefined_metadata=False)
    with serving(behaviour, Dataset(sizes=NO_ROWS, metadata_keys=KEYS)) as client:
        assert client.table("order", fields=["id", "metadata"])[0] == ["ID", "b", "status"]
        cells = {"a": "1", "b": "2"}
        client.sandbox.dataset.add("order", NOON, metadata=cells)
        assert [row.metadata for row in client.sandbox.rows("order")] == [{"b": "2"}]
        client.sandbox.behaviour = Behaviour()
        assert [row.metadata for row in client.sandbox.rows("order")] == [cells]


def test_metadata_comes_in_alphabetical_order() -> None:
    """Metadata columns are in alphabetical order or, by a switch, in order of definition."""
    with serving(dataset=Dataset(sizes=NO_ROWS, metadata_keys=KEYS)) as client:
        assert client.table("order", fields=["metadata", "id"])[0] == ["ID", "a", "b", "status"]
        client.sandbox.behaviour = Behaviour(metadata_order="defined")
        assert client.table("order", fields=["metadata", "id"])[0] == ["ID", "b", "a", "status"]


@pytest.mark.parametrize(("titles", "title"), [("plain", "b"), ("prefixed", "metadata.b")])
def test_one_attribute_can_be_requested(titles: Any, title: str) -> None:
    """A field `metadata.X` exports one key, in the requested position."""
    dataset = Dataset(sizes=NO_ROWS, metadata_keys=KEYS)
    dataset.add("order", NOON, cells={"id": "ord_1", "status": "PAID"}, metadata={"b": "x"})
    with serving(Behaviour(metadata_field_titles=titles), dataset) as client:
        fields = ["id", "metadata.b", "metadata.none", "status"]
        header, row = client.table("order", fields=fields)
        assert header == ["ID", title, title[:-1] + "none", "Status"]
        assert row == ["ord_1", "x", "", "PAID"]


@pytest.mark.parametrize(
    ("behaviour", "name", "field"),
    [
        (Behaviour(), "voucher_transactions", "metadata.x"),
        (Behaviour(), "order", "metadata."),
        (Behaviour(metadata_fields=False), "order", "metadata.b"),
        (Behaviour(undocumented_fields=False), "product", "metadata"),
        (Behaviour(undocumented_fields=False), "sku", "metadata.x"),
        (Behaviour(rejected_fields={"order": {"metadata"}}), "order", "metadata.b"),
    ],
)
def test_metadata_may_be_rejected(behaviour: Behaviour, name: str, field: str) -> None:
    """Objects without metadata reject its fields; switches make others reject them."""
    with serving(behaviour) as client:
        error = client.create(name, fields=["id", field])
    assert (error.status_code, error.json()["key"]) == (400, "invalid_export_fields")


def test_products_and_skus_may_have_metadata() -> None:
    """Products and SKUs can have metadata."""
    dataset = Dataset(sizes=SMALL, metadata_keys={**METADATA_KEYS, **PRODUCT_METADATA_KEYS})
    with serving(dataset=dataset) as client:
        header, *rows = client.table("product", fields=["id", "metadata"])
        assert header == ["ID", "brand", "price"]
        expected = [row.metadata.get("brand", "") for row in client.sandbox.rows("product")]
        assert [row[1] for row in rows] == expected
        assert any(expected)
        assert client.table("sku", fields=["id", "metadata"])[0] == ["ID", "sku", "weight"]


# Rejected fields and formats


def test_fields_may_be_rejected() -> None:
    """The error of a rejected field lists the allowed ones, and default fields exclude it."""
    rejected = {"customer": {"birthdate", "metadata", "source_id"}}
    with serving(Behaviour(rejected_fields=rejected)) as client:
        fields = list(OBJECTS["customer"].fields)
        error = client.create("customer", fields=fields)
        body = error.json()
        assert (error.status_code, body["key"]) == (400, "invalid_export_fields")
        before, _, listed = body["details"].partition("Allowed fields: ")
        assert before == "Unsupported field used. "
        allowed = listed.split(", ")
        assert allowed == [name for name in fields if name not in rejected["customer"]]
        assert client.create("customer", fields=allowed).status_code == 200
        assert client.table("customer")[0] == ["Name"]


def test_the_response_format_is_ignored_rejected_or_json() -> None:
    """A requested JSON format can be ignored, rejected or honoured as an array of objects."""
    with serving(dataset=Dataset(sizes=SMALL, metadata_keys=KEYS)) as client:
        wanted: dict[str, Any] = {"fields": ["id", "metadata"], "response_format": "JSON"}
        csv = client.file("order", **wanted)
        assert csv.startswith(b"ID,a,b,status\r\n")
        client.sandbox.behaviour = Behaviour(response_format="rejected")
        assert client.create("order", **wanted).json()["key"] == "invalid_payload"
        assert client.create("order", fields=["id"]).status_code == 200
        client.sandbox.behaviour = Behaviour(response_format="json")
        rows = json.loads(client.file("order", **wanted))
        assert [row["id"] for row in rows] == [
            row.cells["id"] for row in client.sandbox.rows("order")
        ]
        assert set(rows[0]) == {"id", "metadata.a", "metadata.b", "metadata.status"}
        assert client.file("order", fields=["id", "metadata"]) == csv


# API logs


def test_api_logs_are_believable() -> None:
    """API logs have JSON bodies, and an application only if their channel is the API."""
    rows = [row.cells for row in Dataset().rows("api_log")]
    assert {row["status"] for row in rows} == {"200", "400", "404", "429"}
    assert all(json.loads(row["response_body"]) for row in rows)
    assert {row["request_body"] == "" for row in rows if row["method"] == "GET"} == {True}
    assert {bool(row["app_id"]) for row in rows if row["channel"] == "API"} == {True}
    assert len({row["id"] for row in rows}) == 100


def test_api_logs_can_be_filtered() -> None:
    """API logs can be filtered by status, and ordered by creation time only."""
    with serving() as client:
        conditions = {"$is": ["429"]}
        statuses = client.column(
            "api_log", "status", filters={"status": {"conditions": conditions}}
        )
        assert set(statuses) == {"429"}
        order = client.column("api_log", "created_at", order="-created_at")
        assert order == sorted(order, reverse=True)
        assert client.create("api_log", order="status").status_code == 400


# Keys


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("restriction", "words"), [("ip", "IP address"), ("oauth_v2", "OAuth v2")])
def test_a_key_may_be_restricted(status: Any, restriction: Any, words: str) -> None:
    """A key restricted by IP address or to OAuth v2 allows neither calls nor tokens."""
    behaviour = Behaviour(key_restriction=restriction, key_restriction_status=status)
    with serving(behaviour) as client:
        form = {"grant_type": "client_credentials", "scope": "exports"}
        for error in (
            client.create("order"),
            client.call("GET", "/v1/exports"),
            client.call("POST", "/v1/oauth/token", data=form),
        ):
            assert (error.status_code, words in error.json()["details"]) == (status, True)
        wrong = client.call("GET", "/v1/exports", headers={"X-App-Id": "wrong"})
        assert "details" not in wrong.json()


def test_a_token_has_the_ip_addresses_of_its_key() -> None:
    """A token is rejected as soon as its key is bound to other IP addresses."""
    with serving() as client:
        form = {"grant_type": "client_credentials", "scope": "exports"}
        token = client.call("POST", "/v1/oauth/token", data=form).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.call("GET", "/v1/exports", headers=bearer).status_code == 200
        client.sandbox.behaviour = Behaviour(key_restriction="ip", key_restriction_status=403)
        assert client.call("GET", "/v1/exports", headers=bearer).status_code == 403
