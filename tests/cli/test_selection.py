"""Deselected streams and fields are neither requested nor emitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dev.sandbox import OBJECTS as DOCUMENTED
from tests.support.expectations import (
    DIGESTED,
    INCREMENTAL,
    KEYS,
    OBJECTS,
    expected_records,
    in_any_order,
)
from tests.support.runner import Json, Tap, created_exports, select

if TYPE_CHECKING:
    from dev.sandbox import Sandbox


# Streams with a date filter.
TIMED = (*INCREMENTAL, "api_logs")
CODE_BREADCRUMB = ["properties", "code"]


def properties(discovered: Json, stream: str) -> set[str]:
    """Return the names of all properties of a stream."""
    (entry,) = (e for e in discovered["streams"] if e["tap_stream_id"] == stream)
    return set(entry["schema"]["properties"])


def requested_fields(sandbox: Sandbox, stream: str) -> list[str]:
    """Return the fields that a stream's only export requested."""
    (body,) = created_exports(sandbox, OBJECTS[stream])
    fields: list[str] = body["parameters"]["fields"]
    return fields


def only(records: list[Json], names: set[str]) -> list[Json]:
    """Return records with some of their properties."""
    return in_any_order(
        [{name: value for name, value in r.items() if name in names} for r in records]
    )


def test_every_documented_field_can_be_selected(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Each stream requests every field of its object once, with metadata last."""
    run = tap.run(catalog=select(discovered, OBJECTS))

    assert run.exit_code == 0
    for stream, name in OBJECTS.items():
        fields = requested_fields(sandbox, stream)
        assert len(fields) == len(set(fields))
        documented = DOCUMENTED[name]
        assert set(fields) == {*documented.fields, *documented.undocumented_fields}
        assert ("metadata" in fields) == (fields[-1] == "metadata")


def test_deselected_fields_are_neither_requested_nor_emitted(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A selection narrows the request, the schema and the records alike."""
    kept = {
        "vouchers": {"code", "gift_balance", "metadata", "updated_at"},
        "redemptions": {"order_amount"},
        "publications": {"channel", "metadata"},
        "customers": {"birthdate", "metadata"},
        "orders": {"status"},
        "voucher_transactions": {"details", "amount"},
        "points_expirations": {"points", "expires_at"},
        "products": {"price"},
        "skus": {"attributes"},
        "api_logs": {"method"},
    }
    without = {name: properties(discovered, name) - kept[name] for name in OBJECTS}

    run = tap.run(catalog=select(discovered, OBJECTS, without))

    assert run.exit_code == 0
    for stream in OBJECTS:
        automatic = {
            *KEYS[stream],
            *(["created_at"] if stream in TIMED else []),
        }
        names = kept[stream] | automatic
        renamed = stream in {"redemptions", "publications"}
        # The key of publications is derived from other fields.
        sources = {*DIGESTED} if stream == "publications" else set()
        requested = {
            "date" if renamed and name == "created_at" else name
            for name in (names | sources) - {"publication_key"}
        }
        assert set(requested_fields(sandbox, stream)) == requested
        assert set(run.schemas()[stream]["schema"]["properties"]) == names
        emitted = run.records(stream)
        assert in_any_order(emitted) == only(expected_records(sandbox, stream), names)


def test_key_and_replication_columns_cannot_be_deselected(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Keys and replication columns are read even if every property is deselected."""
    without = {name: properties(discovered, name) for name in OBJECTS}

    run = tap.run(catalog=select(discovered, OBJECTS, without))

    assert run.exit_code == 0
    for stream in OBJECTS:
        names = {*KEYS[stream], *(["created_at"] if stream in TIMED else [])}
        assert set(run.schemas()[stream]["schema"]["properties"]) == names
        assert "metadata" not in requested_fields(sandbox, stream)
        assert in_any_order(run.records(stream)) == only(expected_records(sandbox, stream), names)


def test_a_deselected_stream_creates_no_export(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Only selected streams are exported, and only they appear in the output."""
    run = tap.run(catalog=select(discovered, ["orders", "skus"]))

    assert run.exit_code == 0
    assert {body["exported_object"] for body in created_exports(sandbox)} == {"order", "sku"}
    assert set(run.schemas()) == {"orders", "skus"}
    assert set(run.state["bookmarks"]) <= {"orders", "skus"}


def test_no_selection_needs_no_request(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A catalog that selects nothing gets a warning and no request."""
    run = tap.run(catalog=select(discovered, []))

    assert run.exit_code == 0
    assert not run.schemas()
    assert any("No stream is selected" in line for line in run.warnings)
    assert not sandbox.requests


def test_a_partial_catalog_is_completed_as_usual(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A catalog may lack streams, which are left out, and metadata of properties."""
    catalog = select(discovered, ["vouchers", "orders"], {"vouchers": ["code"]})
    catalog["streams"] = [
        entry for entry in catalog["streams"] if entry["tap_stream_id"] in {"vouchers", "orders"}
    ]
    (vouchers,) = (e for e in catalog["streams"] if e["tap_stream_id"] == "vouchers")
    vouchers["metadata"] = [
        field for field in vouchers["metadata"] if field["breadcrumb"] in ([], CODE_BREADCRUMB)
    ]

    run = tap.run(catalog=catalog)

    assert run.exit_code == 0
    assert not run.errors
    assert {body["exported_object"] for body in created_exports(sandbox)} == {"voucher", "order"}
    names = properties(discovered, "vouchers") - {"code"}
    assert set(run.schemas()["vouchers"]["schema"]["properties"]) == names
    assert set(requested_fields(sandbox, "vouchers")) == names
    assert in_any_order(run.records("vouchers")) == only(
        expected_records(sandbox, "vouchers"), names
    )
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_a_property_unknown_to_the_catalog_is_treated_alike_everywhere(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """Properties that the catalog lacks are in request, schema and records, or in none."""
    catalog = select(discovered, ["vouchers"])
    (vouchers,) = (e for e in catalog["streams"] if e["tap_stream_id"] == "vouchers")
    for name in ("category", "active", "metadata"):
        del vouchers["schema"]["properties"][name]
    vouchers["metadata"] = [
        field
        for field in vouchers["metadata"]
        if field["breadcrumb"][-1:] not in (["category"], ["active"], ["metadata"])
    ]

    run = tap.run(catalog=catalog)

    assert run.exit_code == 0
    names = set(run.schemas()["vouchers"]["schema"]["properties"])
    assert names >= properties(discovered, "vouchers") - {"category", "active", "metadata"}
    assert set(requested_fields(sandbox, "vouchers")) == names
    assert in_any_order(run.records("vouchers")) == only(
        expected_records(sandbox, "vouchers"), names
    )
