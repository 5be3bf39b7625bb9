"""Schema and titles derive from a column's declaration."""

from __future__ import annotations

from typing import Any

import pytest

from tap_voucherify.columns import (
    BOOLEAN,
    DATE,
    INTEGER,
    JSON_ARRAY,
    JSON_OBJECT,
    NUMBER,
    TEXT,
    TIMESTAMP,
    Column,
    ColumnType,
    metadata_schema,
)


@pytest.mark.parametrize(
    ("column_type", "json_type", "other"),
    [
        (TEXT, "string", {}),
        (NUMBER, "number", {}),
        (INTEGER, "integer", {}),
        (BOOLEAN, "boolean", {}),
        (DATE, "string", {"format": "date"}),
        (TIMESTAMP, "string", {"format": "date-time"}),
        (JSON_OBJECT, "object", {}),
        (JSON_ARRAY, "array", {"items": {"type": ["object"]}}),
    ],
)
def test_each_type_has_a_schema(
    column_type: ColumnType, json_type: str, other: dict[str, Any]
) -> None:
    """Each type has a JSON schema, nullable or not; objects and arrays may be text."""
    column = Column("a", column_type, "What it is.")

    rest = {"description": "What it is.", **other}
    assert column.schema(nullable=True) == {"type": [json_type, "null"], **rest}
    assert column.schema(nullable=False) == {"type": [json_type], **rest}
    if json_type in {"object", "array"}:
        json_type, rest = "string", {"description": "What it is."}
    assert column.schema(nullable=False, as_text=True) == {"type": [json_type], **rest}


def test_documented_properties_of_an_object_are_in_its_schema() -> None:
    """Others are allowed."""
    parts = (
        Column("at", TIMESTAMP, "When."),
        Column("days", JSON_ARRAY, "Which days.", items=INTEGER),
    )
    properties = {
        "at": {"type": ["string", "null"], "format": "date-time", "description": "When."},
        "days": {
            "type": ["array", "null"],
            "items": {"type": ["integer"]},
            "description": "Which days.",
        },
    }
    contents = {"properties": properties, "additionalProperties": True}

    one = Column("a", JSON_OBJECT, "One.", parts=parts).schema(nullable=False)
    some = Column("a", JSON_ARRAY, "Some.", parts=parts).schema(nullable=False)

    assert one == {"type": ["object"], "description": "One.", **contents}
    assert some == {
        "type": ["array"],
        "description": "Some.",
        "items": {"type": ["object"], **contents},
    }


def test_a_column_has_several_titles() -> None:
    """The API name, with and without the object, and the declared titles."""
    column = Column("created_at", TEXT, "It.", field="date", title="Creation Date?")
    likely = Column("is_referral", TEXT, "It.", expected_title="Is Referral?")

    assert (column.api_field, likely.api_field) == ("date", "is_referral")
    assert column.titles("order") == {"date", "orderdate", "creationdate"}
    assert likely.titles("vouchers") == {"isreferral", "voucherisreferral"}


def test_metadata_has_a_schema() -> None:
    """Keys are text unless their types are known."""
    plain, typed = metadata_schema({}), metadata_schema({"size": {"type": ["number"]}})

    assert plain["type"] == ["object"]
    assert plain["additionalProperties"] == {"type": "string"}
    assert "properties" not in plain
    assert typed == {**plain, "properties": {"size": {"type": ["number"]}}}
