"""With `typed_metadata`, metadata keys have the types of their metadata schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from dev.sandbox import METADATA_KEYS, Fault, Reply, Sandbox
from tests.support.expectations import OBJECTS, read_json
from tests.support.runner import Json, Tap, select

if TYPE_CHECKING:
    from collections.abc import Mapping

# The JSON types and the title of a metadata key of each type in the catalog.
TYPES: dict[str, tuple[list[str], str]] = {
    "string": (["string", "null"], ""),
    "number": (["number", "string", "null"], ""),
    "boolean": (["boolean", "string", "null"], ""),
    "date": (["string", "null"], "date"),
    "datetime": (["string", "null"], "date-time"),
    "object": (["object", "string", "null"], ""),
    "geopoint": (["string", "null"], ""),
    "image_url": (["string", "null"], ""),
}


@pytest.fixture
def typed(sandbox: Sandbox, tap: Tap) -> Json:
    """Return the catalog discovered with `typed_metadata`."""
    options = tap.options({**sandbox.config, "typed_metadata": True})
    catalog: Json = json.loads(tap.command(*options, "--discover").stdout)
    return catalog


def kinds(sandbox: Sandbox, since: int = 0) -> list[str]:
    """Return the kinds of the calls from number `since` on."""
    return [request.kind for request in sandbox.requests[since:]]


def attributes_of(catalog: Json, stream: str) -> dict[str, Json]:
    """Return the schemas of a stream's metadata keys in a catalog."""
    (entry,) = (e for e in catalog["streams"] if e["tap_stream_id"] == stream)
    attributes: dict[str, Json] = entry["schema"]["properties"]["metadata"]["properties"]
    return attributes


def typed_value(kind: str, *, is_array: bool, text: str) -> Any:
    """Return the value of a cell of a type."""
    is_json = is_array or kind in {"number", "boolean", "object"}
    return read_json(text) if is_json else text


def test_the_catalog_lists_each_attribute_with_its_type(sandbox: Sandbox, typed: Json) -> None:
    """The catalog lists each defined metadata key with its type, even a deleted one."""
    assert kinds(sandbox) == ["schemas"]
    for stream, name in OBJECTS.items():
        keys = METADATA_KEYS.get(name)
        if keys is None:
            continue
        attributes = attributes_of(typed, stream)
        assert set(attributes) == {key.name for key in keys if key.defined}
        for key in keys:
            if key.defined:
                schema = attributes[key.name]
                expected = (["array", "string", "null"], "") if key.array else TYPES[key.type]
                assert (schema["type"], schema.get("title", "")) == expected
                assert "format" not in schema


def test_values_arrive_typed(sandbox: Sandbox, tap: Tap, typed: Json) -> None:
    """Values have the types of their schemas and all digits; undefined keys stay text."""
    called = len(sandbox.requests)
    run = tap.run(typed_metadata=True, catalog=select(typed, OBJECTS))

    assert run.exit_code == 0
    assert not run.warnings
    assert "schemas" not in kinds(sandbox, called)
    for stream, name in OBJECTS.items():
        keys = {key.name: key for key in METADATA_KEYS.get(name, ())}
        expected = [
            {
                key: typed_value(keys[key].type, is_array=keys[key].array, text=text)
                if keys[key].defined
                else text
                for key, text in row.metadata.items()
            }
            for row in sandbox.rows(name)
        ]
        assert by_text([r.get("metadata", {}) for r in run.records(stream)]) == by_text(expected)
        validator = Draft7Validator(run.schemas()[stream]["schema"])
        plain = (json.loads(line) for line in run.lines)
        for message in plain:
            if message["type"] == "RECORD" and message["stream"] == stream:
                validator.validate(message["record"])


def by_text(values: list[Any]) -> list[Any]:
    """Return values sorted by their text."""
    return sorted(values, key=repr)


def test_a_sync_without_a_catalog_fetches_schemas_once(sandbox: Sandbox, tap: Tap) -> None:
    """A sync without a catalog fetches the schemas once and emits typed values."""
    run = tap.run(typed_metadata=True)

    assert kinds(sandbox).count("schemas") == 1
    opted = [record["metadata"].get("opted_in") for record in run.records("customers")]
    assert {type(value) for value in opted} == {bool, type(None)}


def test_each_attribute_is_selected_on_its_own(sandbox: Sandbox, tap: Tap, typed: Json) -> None:
    """A deselected metadata key is dropped, even with `typed_metadata` switched off again."""
    catalog = select(typed, ["customers"], {"customers": ["birth_date"]})
    assert any("birth_date" in row.metadata for row in sandbox.rows("customer"))

    for setting in (True, False):
        run = tap.run(typed_metadata=setting, catalog=catalog)

        values = [record["metadata"] for record in run.records("customers")]
        assert any("opted_in" in value for value in values)
        assert not any("birth_date" in value for value in values)
        in_schema = run.schemas()["customers"]["schema"]["properties"]["metadata"]["properties"]
        assert "opted_in" in in_schema
        assert "birth_date" not in in_schema


MISFITS: dict[str, tuple[str, Mapping[str, str]]] = {
    "vouchers": ("voucher", {"Größe": "about 3"}),
    "customers": ("customer", {"opted_in": "perhaps", "birth_date": "yesterday"}),
    "orders": ("order", {"payment": "[1]", "booking_start_date": "2025-02-29"}),
    "redemptions": ("redemption", {"location_id": '{"a": 1}', "terminal, number": "0x1F"}),
}


@pytest.mark.parametrize("stream", MISFITS)
def test_what_does_not_fit_stays_text_and_is_counted(
    sandbox: Sandbox, tap: Tap, typed: Json, stream: str
) -> None:
    """Values that do not fit their type stay text, and one warning counts them by key."""
    name, metadata = MISFITS[stream]
    newest = sandbox.rows(name)[-1].created
    for _ in range(3):
        sandbox.dataset.add(name, newest, metadata=metadata)

    run = tap.run(typed_metadata=True, catalog=select(typed, [stream]))

    assert run.exit_code == 0
    assert [record["metadata"] for record in run.records(stream)].count(metadata) == 3
    (warning,) = run.warnings
    for attribute in metadata:
        assert f"3 of '{attribute}'" in warning


def test_numbers_within_arrays_and_objects_keep_their_digits(
    sandbox: Sandbox, tap: Tap, typed: Json
) -> None:
    """Numbers within arrays and objects keep all digits, even those that a float would round."""
    sandbox.dataset.add(
        "redemption",
        sandbox.rows("redemption")[-1].created,
        metadata={"location_id": "[1.10, 12345678901234567890.5]"},
    )
    sandbox.dataset.add(
        "order", sandbox.rows("order")[-1].created, metadata={"payment": '{"a": 1.10}'}
    )

    run = tap.run(typed_metadata=True, catalog=select(typed, ["redemptions", "orders"]))

    assert '"location_id":[1.10,12345678901234567890.5]' in run.stdout
    assert '"payment":{"a":1.10}' in run.stdout


def test_a_rejected_request_for_schemas(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A rejected request for schemas is a warning in discovery and an error in a sync."""
    sandbox.faults.add(Fault(on="schemas", times=None, action=Reply(403, {"key": "forbidden"})))
    options = tap.options({**sandbox.config, "typed_metadata": True})

    discovery, sync = tap.command(*options, "--discover"), tap.command(*options)

    assert discovery.exit_code == 0
    assert len(discovery.warnings) == 1
    assert json.loads(discovery.stdout) == discovered
    assert sync.exit_code == 1
    assert len(sync.errors) == 1
    assert not sync.records("customers")
