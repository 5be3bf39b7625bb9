"""Stream maps, flattening, table versions and logs work for every stream."""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dev.sandbox import Fault, Reply, Sandbox
from tap_voucherify.settings import SETTINGS
from tests.support.expectations import (
    FULL_TABLE,
    KEYS,
    OBJECTS,
    expected_records,
    in_any_order,
)
from tests.support.runner import Json, Tap, read_lines, select

if TYPE_CHECKING:
    from pathlib import Path


def md5(text: str) -> str:
    """Return the digest that the SDK's `md5` function returns in a stream map."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def catalog(discovered: Json) -> Json:
    """Return a catalog that selects all streams."""
    return select(discovered, OBJECTS)


# Stream maps


def test_c4_properties_are_derived_hashed_and_removed(
    sandbox: Sandbox, tap: Tap, catalog: Json
) -> None:
    """Stream maps change schema and records alike, and no expression is ever logged."""
    plain = tap.run(catalog=catalog)
    first = {stream: KEYS[stream][0] for stream in OBJECTS}
    names = {stream: set(expected_records(sandbox, stream)[0]) for stream in OBJECTS}
    removed = {stream: max(names[stream] - {*KEYS[stream], "created_at"}) for stream in OBJECTS}
    maps = {
        stream: {
            "digest": f"md5({first[stream]})",
            "constant": "'night'",
            removed[stream]: None,
        }
        for stream in OBJECTS
    }

    tap.environment["TAP_VOUCHERIFY_LOGLEVEL"] = "DEBUG"
    run = tap.run(catalog=catalog, stream_maps=maps)

    assert run.exit_code == 0
    assert run.state == plain.state
    assert "| DEBUG " in run.stderr
    assert not any(text in run.stderr for text in ("md5(", "'night'"))
    for stream in OBJECTS:
        expected = [
            {**record, "digest": md5(record[first[stream]]), "constant": "night"}
            for record in expected_records(sandbox, stream)
        ]
        for record in expected:
            del record[removed[stream]]
        assert in_any_order(run.records(stream)) == in_any_order(expected)
        schema = run.schemas()[stream]
        assert set(schema["schema"]["properties"]) == set(expected[0])
        assert schema["key_properties"] == KEYS[stream]


def test_streams_are_renamed_filtered_and_copied(sandbox: Sandbox, tap: Tap, catalog: Json) -> None:
    """A stream map can rename a stream, filter records and copy a stream."""
    run = tap.run(
        catalog=catalog,
        stream_maps={
            "orders": {"__alias__": "purchases"},
            "customers": {"__filter__": "address_country == 'France'"},
            "skus": None,
            "vouchers": {},
            "codes": {"__source__": "vouchers", "code": "code", "id": "id", "__else__": None},
        },
    )

    assert run.exit_code == 0
    assert {message["stream"] for message in run.messages if "stream" in message} == {
        *(OBJECTS.keys() - {"orders", "skus"}),
        *("purchases", "codes"),
    }
    assert in_any_order(run.records("purchases")) == expected_records(sandbox, "orders")
    french = [r for r in expected_records(sandbox, "customers") if r["address_country"] == "France"]
    assert in_any_order(run.records("customers")) == in_any_order(french)
    assert french
    # The SDK would log the expression, which may hold personal data.
    assert "France" not in run.stderr
    vouchers = expected_records(sandbox, "vouchers")
    assert in_any_order(run.records("vouchers")) == vouchers
    assert in_any_order(run.records("codes")) == in_any_order(
        [{"id": record["id"], "code": record["code"]} for record in vouchers]
    )


def test_a_map_of_all_streams_leaves_the_deselected_ones_alone(sandbox: Sandbox, tap: Tap) -> None:
    """A map of all streams does not select the deselected ones."""
    run = tap.run(stream_maps={"*": {"__filter__": "True"}, "products": {"name": None}})

    assert run.exit_code == 0
    assert "products" not in run.schemas()
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("unknown_name / 2", "an expression fails with NameNotDefined"),
        ("1 / 0", "an expression fails with ZeroDivisionError"),
        ("float(id)", "an expression fails with ValueError"),
        ("record['nothing']", "an expression fails with KeyError"),
    ],
)
def test_a_map_that_fails_is_reported(
    tap: Tap, catalog: Json, expression: str, expected: str
) -> None:
    """A failing expression ends the run in one line without the expression or the record."""
    run = tap.run(
        catalog=select(catalog, ["customers", "orders"]),
        stream_maps={"orders": {"more": expression}},
    )

    assert run.exit_code == 1
    (error,) = run.errors
    assert "stream_maps.orders: " in error
    assert error.endswith(expected)
    assert "Traceback" not in run.stderr
    assert run.records("customers")
    assert not run.state["bookmarks"]["orders"]


def test_a_stream_is_known_by_its_id(sandbox: Sandbox, tap: Tap, catalog: Json) -> None:
    """A catalog entry belongs to the stream of its `tap_stream_id`, whatever its `stream`."""
    for entry in catalog["streams"]:
        entry["stream"] = f"my_{entry['stream']}"

    run = tap.run(catalog=catalog)

    assert run.exit_code == 0
    for stream in OBJECTS:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream)


# Flattening


def flat(record: Json) -> Json:
    """Return a record with its objects flattened."""
    flattened: Json = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flattened |= {f"{name}__{key}": part for key, part in value.items()}
        else:
            flattened[name] = value
    return flattened


def test_listed_attributes_become_columns(sandbox: Sandbox, tap: Tap) -> None:
    """With typed metadata, flattening gives each metadata key a typed column."""
    options = tap.options({**sandbox.config, "typed_metadata": True})
    typed = json.loads(tap.command(*options, "--discover").stdout)
    settings: Json = {"typed_metadata": True, "catalog": select(typed, ["customers", "orders"])}
    plain = tap.run(**settings)

    run = tap.run(**settings, flattening_enabled=True, flattening_max_depth=1)

    assert run.exit_code == 0
    for stream in ("customers", "orders"):
        assert [as_text(record) for record in run.records(stream)] == [
            as_text(flat(record)) for record in plain.records(stream)
        ]
    columns = run.schemas()["customers"]["schema"]["properties"]
    assert columns["metadata__opted_in"]["type"] == ["boolean", "string", "null"]
    assert "metadata" not in columns


def test_metadata_keys_without_a_schema_are_reported_when_flattened(
    sandbox: Sandbox, tap: Tap
) -> None:
    """One warning names the flattened metadata keys that no SCHEMA declares."""
    options = tap.options({**sandbox.config, "typed_metadata": True})
    catalog = select(json.loads(tap.command(*options, "--discover").stdout), ["customers"])
    [entry] = [stream for stream in catalog["streams"] if stream["stream"] == "customers"]
    for part in entry["metadata"]:
        if part["breadcrumb"][-1:] == ["opted_in"]:
            part["metadata"]["selected"] = False
    settings: Json = {"typed_metadata": True, "catalog": catalog}
    expected = "customers: metadata keys"

    flattened = tap.run(**settings, flattening_enabled=True, flattening_max_depth=1)
    nested = tap.run(**settings, flattening_enabled=True, flattening_max_depth=0)

    declared = set(flattened.schemas()["customers"]["schema"]["properties"])
    undeclared = set().union(*flattened.records("customers")) - declared
    assert undeclared
    assert "metadata__opted_in" not in declared
    [line] = [line for line in flattened.warnings if expected in line]
    assert {f"metadata__{name}" for name in re.findall("'([^']+)'", line)} == undeclared
    assert not [line for line in nested.warnings if expected in line]


def as_text(record: Json) -> Json:
    """Return a record with the values that flattening writes as JSON text parsed."""
    return {
        name: json.loads(value) if name == "metadata__payment" and isinstance(value, str) else value
        for name, value in record.items()
    }


def test_flattening_makes_text_of_what_has_no_columns(
    sandbox: Sandbox, tap: Tap, catalog: Json
) -> None:
    """Without typed metadata, flattening only turns objects into JSON text."""
    run = tap.run(catalog=catalog, flattening_enabled=True, flattening_max_depth=1)

    assert run.exit_code == 0
    for stream in OBJECTS:
        names = {"metadata", "details"}
        emitted = [unflat(record, names) for record in run.records(stream)]
        assert in_any_order(emitted) == in_any_order(
            [unflat(record, set()) for record in expected_records(sandbox, stream)]
        )


def unflat(record: Json, texts: set[str]) -> Json:
    """Return a record with its JSON texts parsed and numbers by value."""
    read = {n: json.loads(v) if n in texts and v is not None else v for n, v in record.items()}
    return {name: plain_numbers(value) for name, value in read.items()}


def plain_numbers(value: Any) -> Any:
    """Return a value with its numbers as floats, as flattening writes them into a text."""
    if isinstance(value, dict):
        return {name: plain_numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain_numbers(part) for part in value]
    return float(value) if isinstance(value, (int, Decimal)) else value


# Table versions


def test_a_full_table_is_activated_after_its_last_record(tap: Tap, catalog: Json) -> None:
    """ACTIVATE_VERSION follows a stream's last record, since loaders delete older rows at once."""
    run = tap.run(catalog=catalog, emit_activate_version_messages=True)

    assert {m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"} == {*FULL_TABLE}
    for stream in FULL_TABLE:
        *records, last = (m for m in run.messages[1:] if m.get("stream") == stream)
        assert last["type"] == "ACTIVATE_VERSION"
        versions = {m["version"] for m in records if m["type"] == "RECORD"}
        assert versions == {last["version"]}


def test_a_stream_can_be_made_full_table(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A stream that the catalog makes FULL_TABLE is read in full, whatever its bookmark."""
    catalog = select(discovered, ["orders"])
    first = tap.run(catalog=catalog)
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "orders":
            entry["replication_method"] = "FULL_TABLE"

    run = tap.run(catalog=catalog, state=first.state, emit_activate_version_messages=True)

    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
    assert run.state == first.state
    assert [m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"] == ["orders"]


@pytest.mark.parametrize(
    "settings",
    [
        {"start_date": "2026-01-10"},
        {"end_date": "2026-01-20"},
        {"export_parameters": {"orders": {"campaign_id": "camp_x"}}},
        {"stream_maps": {"orders": {"__filter__": "True"}, "skus": None}},
        {"stream_maps": {"others": {"__source__": "orders", "__filter__": "False"}}},
        {"stream_maps": {"ord*": {"__filter__": "True"}}},
    ],
    ids="-".join,
)
def test_a_narrowed_stream_is_never_activated(
    tap: Tap, discovered: Json, settings: dict[str, Any]
) -> None:
    """A stream narrowed by dates, filters or maps gets a warning instead of ACTIVATE_VERSION."""
    catalog = select(discovered, ["orders"])
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"

    run = tap.run(catalog=catalog, emit_activate_version_messages=True, **settings)

    assert run.exit_code == 0
    assert not any("version" in m for m in run.messages if m["type"] != "SCHEMA")
    expected = f"orders: no ACTIVATE_VERSION is emitted, since {next(iter(settings))}"
    assert len([line for line in run.warnings if expected in line]) == 1


def test_a_filter_on_another_stream_does_not_matter(tap: Tap, catalog: Json) -> None:
    """A filter on one stream does not prevent ACTIVATE_VERSION of another."""
    run = tap.run(
        catalog=catalog,
        emit_activate_version_messages=True,
        stream_maps={"skus": {"__filter__": "True"}, "products": {"digest": "md5(id)"}},
    )

    activated = {m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"}
    assert activated == {*FULL_TABLE} - {"skus"}


def test_a_stream_that_maps_remove_is_not_activated(tap: Tap, catalog: Json) -> None:
    """A stream that maps remove is not in the output at all."""
    run = tap.run(
        catalog=catalog, emit_activate_version_messages=True, stream_maps={"skus": "__NULL__"}
    )

    assert run.exit_code == 0
    activated = {m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"}
    assert activated == {*FULL_TABLE} - {"skus"}
    assert "skus" not in run.schemas()


def test_a_table_that_was_not_fully_read_is_not_activated(
    sandbox: Sandbox, tap: Tap, catalog: Json
) -> None:
    """A failed stream is not activated, so that its older rows stay."""
    reply = Reply(400, {"key": "odd"})
    sandbox.faults.add(Fault(on="create", action=reply, object="sku", times=None))

    run = tap.run(catalog=catalog, emit_activate_version_messages=True)

    assert run.exit_code == 1
    activated = {m["stream"] for m in run.messages if m["type"] == "ACTIVATE_VERSION"}
    assert activated == {"points_expirations", "products"}


def test_no_batch_is_activated(tap: Tap, catalog: Json, tmp_path: Path) -> None:
    """Batch files get a warning instead of ACTIVATE_VERSION, since their rows have no version."""
    batches = {
        "encoding": {"format": "jsonl"},
        "storage": {"root": tmp_path.joinpath("batches").as_uri()},
    }

    run = tap.run(catalog=catalog, emit_activate_version_messages=True, batch_config=batches)

    assert run.exit_code == 0
    assert {m["type"] for m in run.messages} == {"SCHEMA", "BATCH", "STATE"}
    expected = "no ACTIVATE_VERSION is emitted, since batch_config is set"
    assert len([line for line in run.warnings if expected in line]) == len(FULL_TABLE)


# The command


def test_about_has_three_formats(tap: Tap) -> None:
    """All three formats of `--about` list all settings, without any being set."""
    names = set(SETTINGS["properties"])

    text, markdown, as_json = (
        tap.command("--about", *format_option)
        for format_option in ([], ["--format=markdown"], ["--format=json"])
    )

    assert text.exit_code == markdown.exit_code == as_json.exit_code == 0
    assert text.stdout.startswith("Name: tap-voucherify\n")
    assert markdown.stdout.startswith("# `tap-voucherify`\n")
    about = json.loads(as_json.stdout)
    assert about["name"] == "tap-voucherify"
    assert names <= set(about["settings"]["properties"])
    assert {"about", "batch", "catalog", "discover", "state"} <= {*about["capabilities"]}
    for name in names:
        assert name in text.stdout
        assert f"| {name} " in markdown.stdout


def test_logs_can_be_structured(
    sandbox: Sandbox, tap: Tap, tmp_path: Path, discovered: Json
) -> None:
    """With the SDK's JSON formatter, each line of the log is a JSON object."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "singer_sdk.logging.StructuredFormatter"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "json",
            }
        },
        "root": {"level": "INFO", "handlers": ["stderr"]},
    }
    path = tmp_path / "logging.yaml"
    path.write_text(yaml.safe_dump(config))
    sandbox.faults.add(Fault(on="create", action=Reply(400, {"key": "odd"}), times=None))
    options = tap.options(tap.config, select(discovered, ["orders"]))

    run = tap.command(*options, environment={"SINGER_SDK_LOG_CONFIG": str(path)})

    assert run.exit_code == 1
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    failures = [line for line in lines if line["level"] == "error"]
    assert len(failures) == 1
    assert "Stream 'orders' failed: Voucherify returned 400" in json.dumps(failures)


def test_a_first_record_comes_at_once(tap: Tap, discovered: Json) -> None:
    """The first record is written at once, for connection tests that stop there."""
    with tap.start(catalog=select(discovered, ["orders"])) as process:
        lines = read_lines(process.stdout, 2)
        process.kill()

    assert json.loads(lines[1])["type"] == "RECORD"
