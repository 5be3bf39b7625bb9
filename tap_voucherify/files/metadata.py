"""The project's own attributes and their types, as its metadata schemas define them."""

from __future__ import annotations

import typing as t

import msgspec

from tap_voucherify.errors import RequestError
from tap_voucherify.files.cells import (
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

    Raises:
        RequestError: If the answer is not in the documented form.
    """
    try:
        definitions = msgspec.convert(answer, _Answer)
    except msgspec.ValidationError as error:
        raise RequestError(
            "Voucherify describes its metadata schemas in a way this tap does not know"
        ) from error
    return {
        schema.related_object: {
            name: _attribute_schema(definition) for name, definition in schema.properties.items()
        }
        for schema in definitions.schemas
    }


class _Definition(msgspec.Struct):
    type: str = "string"
    array: bool = False


class _Schema(msgspec.Struct):
    related_object: str
    properties: dict[str, _Definition] = msgspec.field(default_factory=dict)


class _Answer(msgspec.Struct):
    schemas: list[_Schema] = msgspec.field(default_factory=list)


def _attribute_schema(definition: _Definition) -> dict[str, t.Any]:
    schema = dict(_SCHEMAS.get(definition.type, {"type": "string"}))
    if definition.array:
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
