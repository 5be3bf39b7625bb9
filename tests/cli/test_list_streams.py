"""List streams equal the service's lists, even if these change while they are read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jsonschema
import pyarrow.parquet as pq
import pytest
import requests

from dev.sandbox import OBJECTS as DOCUMENTED
from dev.sandbox import REFERENCES, Amend, Behaviour, Dataset, Fault, Reply, Sandbox
from tap_voucherify.list_stream import ListStream
from tap_voucherify.tap import TapVoucherify
from tests.cli.test_batches import batches, bookmark_form, comparable, files_of
from tests.support.expectations import (
    LISTS,
    PROPERTIES,
    expected_objects,
    identity,
    in_any_order,
    read_json,
)
from tests.support.runner import Json, Output, Tap, select, split_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHANGES = pytest.mark.parametrize("changes", ["none", "created", "deleted", "replaced"])
SIZES = {
    "campaigns": 250,
    "validation_rules": 120,
    "validation_rules_assignments": 300,
    "promotion_tiers": 101,
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a sandbox with lists of several pages, and some vouchers."""
    sizes = {**dict.fromkeys(DOCUMENTED, 0), "voucher": 40, "redemption": 40}
    with Sandbox(Dataset(seed=7, sizes=sizes, reference_sizes=SIZES)) as sandbox:
        yield sandbox


@pytest.fixture
def catalog(discovered: Json) -> Json:
    """Return a catalog that selects the lists."""
    return select(discovered, LISTS)


def calls(sandbox: Sandbox) -> Counter[str]:
    """Return how often each list was requested."""
    return Counter(r.kind for r in sandbox.requests if r.kind in REFERENCES)


def ids(objects: list[Json]) -> set[str]:
    """Return the IDs of objects."""
    return {each["id"] for each in objects}


def check_complete(
    sandbox: Sandbox, before: dict[str, list[Json]], found: dict[str, list[Json]]
) -> None:
    """Check that every object was emitted once, and nothing else except deleted ones."""
    for stream in LISTS:
        after = expected_objects(sandbox, stream)
        rows = found[stream]
        assert len(ids(rows)) == len(rows)
        assert ids(after) <= ids(rows) <= ids(after) | ids(before[stream])
        # The other lists contain counts and assignments, which change with the objects.
        if stream in {"campaigns", "validation_rule_assignments"}:
            known = {comparison(each) for each in (*after, *before[stream])}
            assert {comparison(row) for row in rows} <= known


def comparison(record: Json) -> str:
    """Return a text that two records share if they differ only in the form of numbers."""
    return identity(comparable(record))


# What is emitted


def test_every_list_equals_the_data(sandbox: Sandbox, tap: Tap, catalog: Json) -> None:
    """Every value of every list is emitted unchanged, with all digits, and fits its schema."""
    run = tap.run(catalog=catalog)

    assert (run.exit_code, run.errors, run.warnings) == (0, [], [])
    for stream in LISTS:
        emitted = [dict(sorted(record.items())) for record in run.records(stream)]
        expected = [dict(sorted(record.items())) for record in expected_objects(sandbox, stream)]
        assert in_any_order(emitted) == in_any_order(expected)
    schemas = run.schemas()
    assert set(schemas) == set(LISTS)
    for stream, schema in schemas.items():
        assert schema["key_properties"] == ["id"]
        assert set(schema["schema"]["properties"]) == {*PROPERTIES[stream], "other"}
        validator = jsonschema.Draft7Validator(
            {**schema["schema"], "additionalProperties": False},
            format_checker=jsonschema.FormatChecker(),
        )
        records = [m for m in map(json.loads, run.lines) if m["type"] == "RECORD"]
        for message in records:
            if message["stream"] == stream:
                validator.validate(message["record"])


def test_about_a_hundred_objects_cost_a_call(sandbox: Sandbox, tap: Tap, catalog: Json) -> None:
    """A list takes one call per hundred objects, rounded up, and no export."""
    tap.run(catalog=catalog)

    assert calls(sandbox) == {
        "campaigns": 3,
        "validation_rules": 2,
        "validation_rules_assignments": 4,
        "promotion_tiers": 2,
    }
    assert len(sandbox.requests) == calls(sandbox).total()


@CHANGES
def test_lists_that_change_are_complete(
    sandbox: Sandbox, tap: Tap, catalog: Json, changes: Any
) -> None:
    """Lists are complete as records even if objects change while pages are read."""
    sandbox.behaviour = Behaviour(page_changes=changes)
    before = {stream: expected_objects(sandbox, stream) for stream in LISTS}

    run = tap.run(catalog=catalog)

    assert (run.exit_code, run.warnings) == (0, [])
    check_complete(sandbox, before, {stream: run.records(stream) for stream in LISTS})


@CHANGES
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_batches_of_lists_that_change_are_complete(  # noqa: PLR0913, PLR0917 - fixtures
    sandbox: Sandbox, tap: Tap, catalog: Json, tmp_path: Path, form: str, changes: Any
) -> None:
    """Lists are complete as batch files, which respect the batch size and one schema."""
    sandbox.behaviour = Behaviour(page_changes=changes)
    before = {stream: expected_objects(sandbox, stream) for stream in LISTS}

    run = tap.run(catalog=catalog, batch_config=batches(tmp_path / "batches", form, 40))

    assert (run.exit_code, run.warnings) == (0, [])
    names = {name: json_properties(catalog, name) for name in LISTS}
    files = {stream: files_of(run, stream) for stream in LISTS}
    found = {
        stream: [[as_record(row, names[stream]) for row in rows_in(path)] for path in paths]
        for stream, paths in files.items()
    }
    assert all(len(rows) <= 40 for parts in found.values() for rows in parts)
    check_complete(sandbox, before, {name: [*chain(*parts)] for name, parts in found.items()})
    if form == "parquet":
        for stream, schema in run.schemas().items():
            assert len({pq.read_schema(path) for path in files[stream]}) == 1
            types = {name: part["type"] for name, part in schema["schema"]["properties"].items()}
            assert {types[name][0] for name in names[stream]} <= {"string"}


def rows_in(path: Path) -> list[Json]:
    """Return the rows of a batch file."""
    if path.suffix == ".parquet":
        rows: list[Json] = pq.read_table(path).to_pylist()
        return rows
    return [read_json(line) for line in split_lines(gzip.decompress(path.read_bytes()).decode())]


def as_record(row: Json, json_names: set[str]) -> Json:
    """Return a row of a file in the form of records."""
    return {
        name: read_json(value)
        if name in json_names and isinstance(value, str)
        else bookmark_form(value)
        if isinstance(value, datetime)
        else value
        for name, value in row.items()
    }


def json_properties(catalog: Json, stream: str) -> set[str]:
    """Return the names of the properties that are objects or arrays."""
    (entry,) = (e for e in catalog["streams"] if e["tap_stream_id"] == stream)
    properties = entry["schema"]["properties"].items()
    return {name for name, schema in properties if {"object", "array"} & set(schema["type"])}


def test_ids_of_exports_join(tap: Tap, discovered: Json) -> None:
    """Every ID in records that refers to a list stream or to its targets can be joined."""
    run = tap.run(catalog=select(discovered, [*LISTS, "vouchers", "redemptions"]))

    found = {stream: ids(run.records(stream)) for stream in [*LISTS, "vouchers"]}
    references = {
        ("vouchers", "campaign_id"): "campaigns",
        ("vouchers", "validation_rules_id"): "validation_rules",
        ("redemptions", "promotion_tier_id"): "promotion_tiers",
        ("validation_rule_assignments", "rule_id"): "validation_rules",
        ("promotion_tiers", "campaign_id"): "campaigns",
    }
    for (stream, name), target in references.items():
        referred = {record[name] for record in run.records(stream)} - {None}
        assert referred
        assert referred <= found[target]


# Selection, maps, flattening, versions


def test_deselected_properties_are_left_out(tap: Tap, catalog: Json) -> None:
    """Deselected properties are left out, nested ones too; the key stays."""
    (entry,) = (e for e in catalog["streams"] if e["tap_stream_id"] == "campaigns")
    kept = {("id",), ("name",), ("voucher",), ("voucher", "type"), ("voucher", "code_config")}
    for item in entry["metadata"]:
        path = tuple(item["breadcrumb"][1::2])
        item["metadata"]["selected"] = not path or path in kept
    entry["metadata"] += [
        {"breadcrumb": breadcrumb(path), "metadata": {"selected": path in kept}}
        for path in [("voucher", "type"), ("voucher", "redemption"), ("voucher", "code_config")]
        if breadcrumb(path) not in [item["breadcrumb"] for item in entry["metadata"]]
    ]

    run = tap.run(catalog=catalog)

    assert run.exit_code == 0
    records = run.records("campaigns")
    assert set().union(*records) == {"id", "name", "voucher"}
    nested: list[Json] = [record["voucher"] for record in records if record["voucher"]]
    assert all({"type", "code_config"} <= set(each) for each in nested)
    assert not any("redemption" in each for each in nested)
    schema = run.schemas()["campaigns"]["schema"]["properties"]
    assert set(schema) == {"id", "name", "voucher"}
    assert "redemption" not in schema["voucher"]["properties"]


def breadcrumb(path: tuple[str, ...]) -> list[str]:
    """Return the breadcrumb of a property in a catalog."""
    return [part for name in path for part in ("properties", name)]


def test_lists_are_mapped(sandbox: Sandbox, tap: Tap, catalog: Json) -> None:
    """A stream map can rename, filter and derive, even from nested objects."""
    run = tap.run(
        catalog=catalog,
        stream_maps={
            "campaigns": {
                "__alias__": "actions",
                "__filter__": "campaign_type != 'PROMOTION'",
                "kind": "voucher['type']",
            }
        },
    )

    assert run.exit_code == 0
    expected = {
        each["id"]: each["voucher"]["type"]
        for each in sandbox.dataset.references.objects("campaigns")
        if each["campaign_type"] != "PROMOTION"
    }
    assert {record["id"]: record["kind"] for record in run.records("actions")} == expected


def test_documented_properties_are_flattened(sandbox: Sandbox, tap: Tap, catalog: Json) -> None:
    """Flattening makes columns of documented properties and warns of undocumented nested ones."""
    changed = {**sandbox.dataset.references.objects("campaigns")[0], "brand_new": {"a": 1}}
    changed["voucher"] = {**changed["voucher"], "newer": 1, "discount": {"deep": 1}}
    page = {"campaigns": [changed], "total": 1}
    sandbox.faults.add(Fault(on="campaigns", action=Reply(200, page), times=None))

    run = tap.run(
        catalog=select(catalog, ["campaigns"]), flattening_enabled=True, flattening_max_depth=1
    )
    plain = tap.run(catalog=select(catalog, ["campaigns"]))

    (record,) = run.records("campaigns")
    assert record["voucher__type"] == changed["voucher"]["type"]
    assert json.loads(record["other"]) == {"brand_new": {"a": 1}}
    (warning,) = run.warnings
    assert "campaigns: properties 'voucher.newer' are not in the flattened SCHEMA" in warning
    assert (plain.exit_code, plain.warnings) == (0, [])
    assert plain.records("campaigns")[0]["voucher"] == read_json(json.dumps(changed["voucher"]))


@CHANGES
def test_a_version_is_activated_after_a_consistent_pass(
    sandbox: Sandbox, tap: Tap, catalog: Json, changes: Any
) -> None:
    """ACTIVATE_VERSION follows the last record of a list read in a consistent pass."""
    sandbox.behaviour = Behaviour(page_changes=changes)

    run = tap.run(catalog=catalog, emit_activate_version_messages=True)

    for stream in LISTS:
        *records, last = (m for m in run.messages if m.get("stream") == stream and "version" in m)
        assert last["type"] == "ACTIVATE_VERSION"
        assert {m["version"] for m in records} == {last["version"]}


def test_no_version_is_activated_if_a_list_changes_all_the_time(
    sandbox: Sandbox, tap: Tap, catalog: Json
) -> None:
    """A list that changes in all three passes is emitted with a warning, not activated."""
    sandbox.behaviour = Behaviour(page_changes="created", page_change_limit=50)

    run = tap.run(
        catalog=select(catalog, ["campaigns", "promotion_tiers"]),
        emit_activate_version_messages=True,
    )

    assert run.exit_code == 0
    assert not [message for message in run.messages if message["type"] == "ACTIVATE_VERSION"]
    assert calls(sandbox)["campaigns"] == 9
    assert ids(run.records("campaigns")) == ids(expected_objects(sandbox, "campaigns"))
    assert ["created or deleted during each of 3" in warning for warning in run.warnings] == [
        *(True, True),
    ]


def test_an_empty_list_empties_no_table(tmp_path: Path, catalog: Json) -> None:
    """An empty list gets a warning instead of ACTIVATE_VERSION."""
    dataset = Dataset(sizes=dict.fromkeys(DOCUMENTED, 0), reference_sizes=dict.fromkeys(SIZES, 0))
    with Sandbox(dataset) as sandbox:
        run = Tap(tmp_path, sandbox.config).run(
            catalog=catalog, emit_activate_version_messages=True
        )

    assert run.exit_code == 0
    assert {message["type"] for message in run.messages} == {"SCHEMA", "STATE"}
    assert ["since there are no records" in warning for warning in run.warnings] == [True] * 4


def test_a_sync_for_a_preview_stops_early(sandbox: Sandbox, catalog: Json) -> None:
    """The SDK's dry run stops a list at its limit of records."""
    tap = TapVoucherify(config=sandbox.config, catalog=select(catalog, ["campaigns"]))

    assert tap.run_sync_dry_run(dry_run_record_limit=7, streams=[tap.streams["campaigns"]])

    stream = tap.streams["campaigns"]
    assert isinstance(stream, ListStream)
    assert stream.records_emitted == 7
    assert len(list(stream.get_records(None))) == 250


# Failures


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(forbidden_endpoints={"campaigns"}), "scope, allows this call"),
        (Behaviour(missing_endpoints={"campaigns"}), "404: not_found: Resource not found"),
    ],
    ids=["forbidden", "missing"],
)
def test_a_list_without_access_fails_alone(
    sandbox: Sandbox, tap: Tap, discovered: Json, behaviour: Behaviour, message: str
) -> None:
    """A list without access fails with advice, and the other streams are complete."""
    sandbox.behaviour = behaviour

    run = tap.run(catalog=select(discovered, [*LISTS, "vouchers"]))

    assert run.exit_code == 1
    (error,) = run.errors
    assert "Stream 'campaigns' failed: " in error
    assert message in error
    assert error.endswith("; if /v1/campaigns is not available to you, deselect the stream")
    assert len(run.records("vouchers")) == 40
    for stream in LISTS:
        assert len(run.records(stream)) == (0 if stream == "campaigns" else SIZES[LISTS[stream]])


def test_a_key_that_only_exports_still_exports(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A token without the scopes of lists still syncs exports."""
    tokens = {"app_id": sandbox.app_id, "app_token": sandbox.app_token}
    form = {"grant_type": "client_credentials", "scope": "exports"}
    token = requests.post(
        f"{sandbox.api_url}/v1/oauth/token",
        data=form,
        headers={"X-App-Id": tokens["app_id"], "X-App-Token": tokens["app_token"]},
        timeout=10,
    ).json()["access_token"]
    config = {"api_url": sandbox.api_url, "access_token": token}
    tap.config = {**config, "poll_interval_seconds": 0.02}

    run = tap.run(catalog=select(discovered, [*LISTS, "vouchers"]))

    assert run.exit_code == 1
    assert len(run.errors) == 4
    assert all("401" in error and "deselect the stream" in error for error in run.errors)
    assert len(run.records("vouchers")) == 40


def test_wrong_credentials_are_not_blamed_on_a_list(sandbox: Sandbox, tap: Tap) -> None:
    """Wrong credentials end the run in one line that does not blame a list."""
    run = tap.run(app_token="wrong")

    assert run.exit_code == 1
    (error,) = run.errors
    assert "401" in error
    assert "deselect" not in error
    assert [r.kind for r in sandbox.requests] == ["campaigns", "list"]


def test_tokens_have_the_scopes_of_selected_lists(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A token is requested with the scopes of the selected lists and no others."""
    for streams in (LISTS, ["campaigns", "orders"], ["orders"]):
        assert tap.run(catalog=select(discovered, streams), use_oauth=True).exit_code == 0

    forms = [parse_qs(r.body.decode()) for r in sandbox.requests if r.kind == "oauth"]
    assert [set(form["scope"][0].split()) for form in forms] == [
        {"exports", *(reference.scope for reference in REFERENCES.values())},
        {"exports", "campaigns"},
        {"exports"},
    ]


def test_an_object_of_another_form_fails_its_stream(
    sandbox: Sandbox, tap: Tap, catalog: Json
) -> None:
    """An invalid property fails its stream, unless it is deselected."""

    def spoil(page: Json) -> Json:
        page["campaigns"][3]["active"] = "yes"
        return page

    sandbox.faults.add(Fault(on="campaigns", action=Amend(spoil), times=None))

    run = tap.run(catalog=select(catalog, ["campaigns"]))
    without = tap.run(catalog=select(catalog, ["campaigns"], {"campaigns": ["active"]}))

    name = sandbox.dataset.references.objects("campaigns")[3]["id"]
    assert run.exit_code == 1
    (error,) = run.errors
    assert f"object '{name}': property 'active': '\"yes\"' is not true or false" in error
    assert (without.exit_code, len(without.records("campaigns"))) == (0, 250)


def test_parameters_are_for_exports_only(sandbox: Sandbox, tap: Tap) -> None:
    """Export parameters for a list stream are an error."""
    run = tap.run(export_parameters={"campaigns": {"filters": {}}})

    assert run.exit_code == 1
    (error,) = run.errors
    assert "export_parameters.campaigns: must be the name of an exported stream" in error
    assert not sandbox.requests


# The connection test


def test_the_connection_test_reads_each_list_once(sandbox: Sandbox, tap: Tap) -> None:
    """The connection test reads one object of each list."""
    run = tap.command(*tap.options(tap.config), "--test")

    assert run.exit_code == 0
    assert all(f"| {name}: {SIZES[kind]} objects" in run.stderr for name, kind in LISTS.items())
    assert calls(sandbox) == dict.fromkeys(REFERENCES, 1)
    assert {r.query["limit"] for r in sandbox.requests if r.kind in REFERENCES} == {"1"}


def test_the_connection_test_names_every_list_that_fails(sandbox: Sandbox, tap: Tap) -> None:
    """The connection test reports each failing list on a line of its own."""
    sandbox.behaviour = Behaviour(
        forbidden_endpoints={"campaigns"}, missing_endpoints={"promotion_tiers"}
    )

    run = tap.command(*tap.options(tap.config), "--test")

    assert run.exit_code == 1
    first, second = run.errors
    assert "Stream 'campaigns' failed: Voucherify returned 403" in first
    assert "Stream 'promotion_tiers' failed: Voucherify returned 404" in second


# One more list is one more declaration

MODULE = '''
from tap_voucherify.columns import TEXT, TIMESTAMP, Column
from tap_voucherify.list_stream import ListStream
from tap_voucherify.tap import TapVoucherify


class RuleNames(ListStream):
    """What validation rules are called."""

    name = "rule_names"
    path = "/v1/validation-rules"
    list_key = "data"
    scope = "validation-rules"
    columns = (
        Column("id", TEXT, "Unique validation rule ID."),
        Column("title", TEXT, "Unique name.", field="name"),
        Column("created_at", TIMESTAMP, "When the rule was created."),
    )


class MyTap(TapVoucherify):
    stream_classes = (*TapVoucherify.stream_classes, RuleNames)


MyTap.cli()
'''


def test_a_list_is_a_declaration(sandbox: Sandbox, tap: Tap, tmp_path: Path) -> None:
    """A list stream declared elsewhere has schema, requests and records like all others."""
    script = tmp_path / "my_tap.py"
    script.write_text(MODULE, encoding="utf-8")

    ended = subprocess.run(
        (sys.executable, script, *tap.options(tap.config)),
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )

    run = Output(ended.stdout.decode().splitlines())
    records = run.records("rule_names")
    assert set(run.schemas()["rule_names"]["schema"]["properties"]) == {
        *("id", "title", "created_at", "other"),
    }
    rules = {rule["id"]: rule for rule in expected_objects(sandbox, "validation_rules")}
    assert {record["id"]: record["title"] for record in records} == {
        name: rule["name"] for name, rule in rules.items()
    }
    for record in records:
        rule = rules[record["id"]]
        listed = {name for name, value in rule.items() if value is not None}
        assert set(record["other"]) == listed - {"id", "name", "created_at"}
