"""Voucherify's metadata schemas become JSON schemas, and these become parsers of cells."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.errors import RequestError
from tap_voucherify.files.metadata import metadata_parser, schemas_by_object


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a metadata key with this definition."""
    response = {"schemas": [{"related_object": "voucher", "properties": {"a": definition}}]}
    schema: dict[str, Any] = schemas_by_object(response)["voucher"]["a"]
    return schema


@pytest.mark.parametrize(
    ("definition", "schema"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": "number"}, {"type": ["number", "string", "null"]}),
        ({"type": "boolean"}, {"type": ["boolean", "string", "null"]}),
        ({"type": "object"}, {"type": ["object", "string", "null"]}),
        ({"type": "date"}, {"type": ["string", "null"], "title": "date"}),
        ({"type": "datetime"}, {"type": ["string", "null"], "title": "date-time"}),
        ({"type": "geopoint"}, {"type": ["string", "null"]}),
        ({"type": "image_url"}, {"type": ["string", "null"]}),
        ({"type": "number", "array": False}, {"type": ["number", "string", "null"]}),
        ({"type": "date", "array": True}, {"type": ["array", "string", "null"], "items": {}}),
        ({}, {"type": ["string", "null"]}),
    ],
)
def test_b10_each_type_has_a_schema(definition: dict[str, Any], schema: dict[str, Any]) -> None:
    """A value that does not fit stays a string, so each allows one."""
    assert schema_of(definition) == schema


def test_schemas_are_found_by_their_object() -> None:
    """An object or a response may have none."""
    response = {
        "schemas": [
            {"related_object": "voucher", "properties": {"a": {"type": "number"}}},
            {"related_object": "order", "properties": {"a": {}, "b": {"deleted": True}}},
            {"related_object": "customer"},
        ]
    }
    found = schemas_by_object(response)
    assert {name: list(schemas) for name, schemas in found.items()} == {
        "voucher": ["a"],
        "order": ["a", "b"],
        "customer": [],
    }
    assert found["voucher"]["a"] != found["order"]["a"]
    assert schemas_by_object({}) == {}


def test_c9_schemas_of_one_object_are_merged() -> None:
    """None of them is lost."""
    response = {
        "schemas": [
            {"related_object": "voucher", "properties": {"a": {"type": "number"}, "b": {}}},
            {"related_object": "order", "properties": {"x": {}}},
            {"related_object": "voucher", "properties": {"c": {}}},
        ]
    }
    found = schemas_by_object(response)
    assert {name: list(keys) for name, keys in found.items()} == {
        "voucher": ["a", "b", "c"],
        "order": ["x"],
    }


@pytest.mark.parametrize(
    "response",
    [
        {"schemas": None},
        {"schemas": [None]},
        {"schemas": [{"properties": {}}]},
        {"schemas": [{"related_object": "voucher", "properties": None}]},
        {"schemas": [{"related_object": "voucher", "properties": {"a": None}}]},
        {"schemas": [{"related_object": "voucher", "properties": {"a": {"type": 1}}}]},
    ],
    ids=str,
)
def test_schemas_in_another_form_are_an_error(response: dict[str, Any]) -> None:
    """No type is guessed."""
    with pytest.raises(RequestError, match="unexpected metadata schema response"):
        schemas_by_object(response)


@pytest.mark.parametrize(
    ("definition", "cell", "value"),
    [
        ({"type": "number"}, "1.10", Decimal("1.10")),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "FALSE", False),
        ({"type": "object"}, '{"a": [1.10]}', {"a": [Decimal("1.10")]}),
        ({"type": "date"}, "2026-01-31T00:00:00Z", "2026-01-31"),
        ({"type": "datetime"}, "2026-01-31 10:20:30", "2026-01-31T10:20:30.000Z"),
        ({"type": "string", "array": True}, '["a", 1.10]', ["a", Decimal("1.10")]),
    ],
)
def test_cells_are_parsed_by_their_schema(
    definition: dict[str, Any], cell: str, value: Any
) -> None:
    """Each type accepts its own formats, and numbers keep their digits."""
    parse = metadata_parser(schema_of(definition))
    assert parse is not None
    result = parse(cell)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("definition", "cell"),
    [
        ({"type": "number"}, "0x1F"),
        ({"type": "boolean"}, "1"),
        ({"type": "object"}, "[1]"),
        ({"type": "date"}, "2026-02-30"),
        ({"type": "datetime"}, "noon"),
        ({"type": "number", "array": True}, '{"a": 1}'),
        ({"type": "number", "array": True}, "[1"),
        ({"type": "number", "array": True}, "[" * 100_000),
    ],
)
def test_other_cells_do_not_fit(definition: dict[str, Any], cell: str) -> None:
    """The parser raises an error."""
    parse = metadata_parser(schema_of(definition))
    assert parse is not None
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its message
        parse(cell)


@pytest.mark.parametrize("definition", [{"type": "string"}, {"type": "geopoint"}, {}])
def test_text_needs_no_parser(definition: dict[str, Any]) -> None:
    """It is emitted unchanged."""
    assert metadata_parser(schema_of(definition)) is None


@pytest.mark.parametrize(
    ("schema", "cell", "value"),
    [
        ({"type": ["integer", "null"]}, "12", Decimal(12)),
        ({"type": "number"}, "12", Decimal(12)),
        ({"type": ["null", "boolean"]}, "true", True),
        ({"type": "string", "format": "date"}, "2026-01-31T00:00:00Z", "2026-01-31"),
        ({"type": "string", "format": "date-time"}, "2026-01-31", "2026-01-31T00:00:00.000Z"),
    ],
)
def test_a_catalog_may_have_other_schemas(schema: dict[str, Any], cell: str, value: Any) -> None:
    """Users may edit a catalog and narrow a type."""
    parse = metadata_parser(schema)
    assert parse is not None
    assert parse(cell) == value


def test_a_key_without_a_type_is_text() -> None:
    """A catalog may leave its type out."""
    assert metadata_parser({}) is None


@given(st.lists(st.integers() | st.booleans() | st.none() | st.text()))
def test_arrays_are_parsed_exactly(values: list[Any]) -> None:
    """Whatever JSON values they contain."""
    parse = metadata_parser({"type": ["array"]})
    assert parse is not None
    text = json.dumps(values)
    assert parse(text) == values


@pytest.mark.parametrize(
    ("type_", "cell"),
    [("number", "1e{}"), ("object", '{{"a": 1e{}}}'), ("array", "[1e{}]")],
)
def test_a_number_beyond_decimals_does_not_fit(type_: str, cell: str) -> None:
    """No warehouse can store an exponent of twenty digits."""
    parse = metadata_parser({"type": [type_]})
    assert parse is not None
    with pytest.raises(ValueError, match="9"):
        parse(cell.format("9" * 20))
