"""Types of metadata keys, from the project's metadata schemas."""

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
    # In `title`, since a `format` would promise loaders that no other text occurs.
    "date": {"type": "string", "title": "date"},
    "datetime": {"type": "string", "title": "date-time"},
    "object": {"type": "object"},
}


def schemas_by_object(response: Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return the JSON schema of each metadata key, by exported object and key.

    Mismatching values stay strings, so every schema allows them.

    Args:
        response: Response of `GET /v1/metadata-schemas`. Deleted keys are kept; they may
            still have values.

    Raises:
        RequestError: If the response is not in the documented form.
    """
    try:
        definitions = msgspec.convert(response, _Response)
    except msgspec.ValidationError as error:
        raise RequestError("unexpected metadata schema response; please report this") from error
    schemas: dict[str, dict[str, t.Any]] = {}
    for schema in definitions.schemas:
        # An object may have several schemas.
        schemas.setdefault(schema.related_object, {}).update(
            {name: _key_schema(definition) for name, definition in schema.properties.items()}
        )
    return schemas


class _Definition(msgspec.Struct):
    type: str = "string"
    array: bool = False


class _Schema(msgspec.Struct):
    related_object: str
    properties: dict[str, _Definition] = msgspec.field(default_factory=dict)


class _Response(msgspec.Struct):
    schemas: list[_Schema] = msgspec.field(default_factory=list)


def _key_schema(definition: _Definition) -> dict[str, t.Any]:
    schema = dict(_SCHEMAS.get(definition.type, {"type": "string"}))
    if definition.array:
        schema = {"type": "array", "items": {}}
    types = dict.fromkeys([schema["type"], "string", "null"])
    return schema | {"type": list(types)}


def metadata_parser(schema: Mapping[str, t.Any]) -> Callable[[str], t.Any] | None:
    """Return the parser of a metadata key, or None for text.

    Args:
        schema: The schema of the key in the catalog.
    """
    types = schema.get("type", [])
    parsers: dict[str, Callable[[str], t.Any]] = {
        "number": to_number,
        "integer": to_number,
        "boolean": to_boolean,
        "object": to_json_object,
        "array": to_json_array,
    }
    for name, parser in parsers.items():
        if name in types:
            return parser
    text_format = schema.get("format") or schema.get("title", "")
    return {"date": to_date, "date-time": to_timestamp}.get(text_format)
