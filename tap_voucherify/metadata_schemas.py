"""The project's own attributes and their types, as its metadata schemas define them."""

from __future__ import annotations

import typing as t

from tap_voucherify.conversions import (
    to_boolean,
    to_date,
    to_json_array,
    to_json_object,
    to_number,
    to_timestamp,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Types that are not listed, such as `geopoint`, are text.
_SCHEMAS: dict[str, dict[str, t.Any]] = {
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "object": {"type": "object"},
}


def attribute_schemas(answer: Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return the JSON schema of each attribute, by exported object and name.

    A value that does not fit its type stays a string, so every schema allows one.

    Args:
        answer: What `GET /v1/metadata-schemas` answered. Deleted attributes may still
            have values, so they are kept.
    """
    found: dict[str, dict[str, t.Any]] = {}
    for schema in answer.get("schemas", []):
        properties = schema.get("properties", {})
        found[schema.get("related_object", "")] = {
            name: _attribute_schema(definition) for name, definition in properties.items()
        }
    return found


def _attribute_schema(definition: Mapping[str, t.Any]) -> dict[str, t.Any]:
    schema = dict(_SCHEMAS.get(definition.get("type", ""), {"type": "string"}))
    if definition.get("array"):
        schema = {"type": "array", "items": {}}
    types = dict.fromkeys([schema["type"], "string", "null"])
    return schema | {"type": list(types)}


def converter(schema: Mapping[str, t.Any]) -> Callable[[str], t.Any] | None:
    """Return what reads the cells of an attribute; None if they stay as they are.

    Args:
        schema: Of the attribute, as a catalog gives it.
    """
    types = schema.get("type", [])
    readers: dict[str, Callable[[str], t.Any]] = {
        "number": to_number,
        "integer": to_number,
        "boolean": to_boolean,
        "object": to_json_object,
        "array": to_json_array,
    }
    for name, reader in readers.items():
        if name in types:
            return reader
    return {"date": to_date, "date-time": to_timestamp}.get(schema.get("format", ""))
