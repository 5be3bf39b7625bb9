"""Every schema of a catalog is checked, also without the slow validator."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tap_voucherify.errors import SettingsError
from tap_voucherify.singer.cli import read_catalog

VALID = {"type": "object", "properties": {"id": {"type": "string", "description": "The key."}}}
INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"type": "nothing"}, "type"),
    "properties": ({"properties": None}, "properties"),
    "property": ({"properties": {"id": {"type": ["string", 3]}}}, "properties.id.type"),
    "description": ({"properties": {"id": {"description": 3}}}, "properties.id.description"),
    "nested": (
        {"properties": {"id": {"properties": {"a": {"type": 7}}}}},
        "properties.id.properties.a.type",
    ),
}


def read(*schemas: dict[str, Any]) -> Any:
    """Read a catalog of streams with these schemas."""
    streams = [{"tap_stream_id": f"s{n}", "schema": each} for n, each in enumerate(schemas)]
    content = json.dumps({"streams": streams}, ensure_ascii=False).encode()
    return read_catalog(io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def test_a_valid_catalog_is_read() -> None:
    """Its schemas are kept."""
    assert read(VALID, VALID).get_stream("s1").schema.to_dict() == VALID


def test_c7_a_catalog_is_utf8_in_any_locale() -> None:
    """JSON is UTF-8, whatever the encoding of the locale."""
    schema = {"properties": {"id": {"description": "Schlüssel 鍵"}}}
    assert read(schema).get_stream("s0").schema.to_dict() == schema


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_schema_is_found_wherever_it_is(name: str) -> None:
    """The error names the stream and the path, even after valid streams."""
    schema, path = INVALID[name]
    with pytest.raises(SettingsError, match=f"stream 's1': invalid JSON schema at {path}$"):
        read(VALID, schema, VALID)
