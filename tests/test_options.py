"""What the settings beyond the plain sync do, through the command."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import pyarrow.parquet as pq
import pytest

from .expectations import INCREMENTAL, expected_records, in_any_order
from .runs import Json, Tap, created_exports, read_lines, select, wait_for_log
from .sandbox import Behaviour, Fault, Reply, Sandbox

if TYPE_CHECKING:
    from .runs import Run

UPDATED = ("customers", "orders", "vouchers")


def kinds(sandbox: Sandbox, since: int = 0) -> list[str]:
    """Return what the calls were for, from the given one on."""
    return [request.kind for request in sandbox.requests[since:]]


# Updates


def test_updates_are_extracted_again(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A second run asks twice for each stream and gets what is new and what has changed."""
    catalog = select(discovered, UPDATED)
    first = tap(catalog=catalog, track_updates=True)
    assert len(created_exports(sandbox)) == len(UPDATED)
    before = {row.cells["id"]: row.cells for row in sandbox.rows("voucher")}
    sandbox.dataset.touch("voucher", 5)

    second = tap(catalog=catalog, track_updates=True, state=first.state)

    asked = [body["parameters"]["filters"] for body in created_exports(sandbox, "voucher")[1:]]
    assert sorted({*filters} - {"junction"} for filters in asked) == [
        {"created_at"},
        {"updated_at"},
    ]
    assert all(filters["junction"] == "and" for filters in asked)
    changed = {
        row.cells["id"] for row in sandbox.rows("voucher") if row.cells != before[row.cells["id"]]
    }
    assert len(changed) == 5
    records = second.records("vouchers")
    assert changed <= {record["id"] for record in records}
    for record in [*first.records("vouchers"), *records]:
        assert record["modified_at"] == (record["updated_at"] or record["created_at"])
    bookmark = second.state["bookmarks"]["vouchers"]
    assert bookmark["replication_key"] == "modified_at"
    assert bookmark["replication_key_value"] == max(record["modified_at"] for record in records)


def test_a_failed_export_of_updates_keeps_the_bookmark(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """The bookmark moves only when both exports have been read."""
    catalog = select(discovered, ["vouchers"])
    first = tap(catalog=catalog, track_updates=True)
    sandbox.dataset.touch("voucher", 5)
    sandbox.faults.add(Fault(on="create", nth=2, action=Reply(400, {"key": "odd"})))

    second = tap(catalog=catalog, track_updates=True, state=first.state, max_concurrent_exports=1)

    assert second.exit_code == 1
    assert set(second.bookmarks("vouchers")) == {first.bookmarks("vouchers")[-1]}


# Parameters of exports


def test_parameters_are_added_to_the_date_filter(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A stream's own filters and parameters go to Voucherify, beside the tap's filter."""
    code = sandbox.rows("voucher")[3].cells["code"]
    own = {"code": {"conditions": {"$is": [code]}}}

    run = tap(
        catalog=select(discovered, ["vouchers"]),
        start_date="2026-01-01",
        export_parameters={"vouchers": {"filters": own}},
    )

    assert {record["code"] for record in run.records("vouchers")} == {code}
    (body,) = created_exports(sandbox)
    assert body["parameters"]["filters"] == {
        **own,
        "junction": "and",
        "created_at": {"conditions": {"$after": ["2025-12-31T23:59:59.000Z"]}},
    }


@pytest.mark.parametrize(
    ("parameters", "setting"),
    [
        ({"fields": ["id"]}, "export_parameters.vouchers.fields"),
        ({"order": "code"}, "export_parameters.vouchers.order"),
        ({"filters": {"created_at": {}}}, "export_parameters.vouchers.filters.created_at"),
        ({"filters": {"updated_at": {}}}, "export_parameters.vouchers.filters.updated_at"),
        ({"filters": {"junction": "or"}}, "export_parameters.vouchers.filters.junction"),
        ({"filters": ["code"]}, "export_parameters.vouchers.filters"),
    ],
)
def test_parameters_that_would_break_the_sync_are_refused(
    sandbox: Sandbox, tap: Tap, parameters: Json, setting: str
) -> None:
    """One line names the setting, and no request is made."""
    run = tap(export_parameters={"vouchers": parameters}, track_updates=True)

    assert run.exit_code == 1
    (error,) = run.errors
    assert f"{setting}: must" in error
    assert not sandbox.requests


# Typed metadata


def test_custom_attributes_are_typed_by_their_schemas(
    sandbox: Sandbox, tap: Tap, tmp_path: Path
) -> None:
    """Discovery lists them with their types, and a sync by that catalog makes no such call."""
    settings = {**sandbox.config, "typed_metadata": True, "poll_interval_seconds": 0.02}
    options = Tap(tmp_path, {}).options(settings)
    catalog = json.loads(tap.run(*options, "--discover").stdout)
    (entry,) = (e for e in catalog["streams"] if e["tap_stream_id"] == "customers")
    attributes = entry["schema"]["properties"]["metadata"]["properties"]
    assert attributes["opted_in"]["type"] == ["boolean", "string", "null"]
    called = len(sandbox.requests)

    run = tap(
        typed_metadata=True,
        catalog=select(catalog, ["customers"], {"customers": ["birth_date"]}),
    )

    assert "schemas" not in kinds(sandbox, called)
    values = [record["metadata"] for record in run.records("customers")]
    assert {type(value["opted_in"]) for value in values if "opted_in" in value} == {bool}
    assert not any("birth_date" in value for value in values)


def test_a_refused_call_for_schemas(sandbox: Sandbox, tap: Tap) -> None:
    """It is a warning in discovery, and an error in a sync without a catalog."""
    sandbox.faults.add(Fault(on="schemas", times=None, action=Reply(403, {"key": "forbidden"})))
    options = tap.options({**sandbox.config, "typed_metadata": True})

    discovery, sync = tap.run(*options, "--discover"), tap.run(*options)

    assert discovery.exit_code == 0
    assert len(discovery.warnings) == 1
    assert sync.exit_code == 1
    assert len(sync.errors) == 1
    assert not sync.records("customers")


# Credentials and connection


def test_one_token_serves_all_exports(sandbox: Sandbox, tap: Tap) -> None:
    """The key pair is exchanged once, and goes nowhere else."""
    run = tap(use_oauth=True)

    assert run.exit_code == 0
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
    assert kinds(sandbox).count("oauth") == 1
    with_pair = [r.kind for r in sandbox.requests if "x-app-token" in r.headers]
    assert with_pair == ["oauth"]
    assert not [secret for secret in sandbox.secrets if secret in run.stderr]


def test_the_connection_test_exports_next_to_nothing(sandbox: Sandbox, tap: Tap) -> None:
    """Its one export is bounded on both sides, and deleted in the end."""
    options = tap.options({**sandbox.config, "poll_interval_seconds": 0.02})

    run = tap.run(*options, "--test")

    assert run.exit_code == 0
    (body,) = created_exports(sandbox)
    conditions = body["parameters"]["filters"]["created_at"]["conditions"]
    assert {*conditions} == {"$after", "$before"}
    assert all(export.deleted for export in sandbox.exports)
    refused = tap.run(*tap.options({**sandbox.config, "app_token": "not-the-token"}), "--test")
    assert refused.exit_code == 1
    assert len(refused.errors) == 1


# Exports of other runs


def test_an_export_of_a_killed_run_is_gone_on_with(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A restart creates no second export, and misses nothing."""
    sandbox.behaviour = Behaviour(latency_seconds=1.5)
    catalog = select(discovered, ["orders"])
    with tap.start(catalog=catalog) as process:
        wait_for_log(process, b"created export")
        process.kill()

    run = tap(catalog=catalog)

    assert len(created_exports(sandbox)) == 1
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_a_whole_table_is_exported_anew(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """An older export of it would hide what has changed since, so none is looked for."""
    sandbox.behaviour = Behaviour(latency_seconds=1.5)
    catalog = select(discovered, ["points_expirations"])
    with tap.start(catalog=catalog) as process:
        wait_for_log(process, b"created export")
        process.kill()

    run = tap(catalog=catalog)

    assert len(created_exports(sandbox)) == 2
    assert "list" not in kinds(sandbox)
    assert run.exit_code == 0


def test_exports_are_deleted_once_they_are_read(sandbox: Sandbox, tap: Tap) -> None:
    """On request, nothing stays behind on the account."""
    run = tap(delete_exports=True)

    assert run.exit_code == 0
    assert sandbox.exports
    assert all(export.deleted for export in sandbox.exports)


# Batches


def rows_of(run: Run, stream: str) -> list[Any]:
    """Return the rows of a stream's batch files."""
    rows: list[Any] = []
    for message in run.messages:
        if message["type"] == "BATCH" and message["stream"] == stream:
            (url,) = message["manifest"]
            path = Path(urlparse(url).path)
            if path.suffix == ".parquet":
                rows += pq.read_table(path).to_pylist()
            elif path.suffix == ".gz":
                text = gzip.decompress(path.read_bytes()).decode()
                rows += [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
    return rows


def comparable(value: Any) -> Any:
    """Return a value of a parquet file as the same value of a record."""
    if isinstance(value, list):
        return dict(value)
    if hasattr(value, "tzinfo"):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    return value.isoformat() if hasattr(value, "isoformat") else value


def as_stored(record: Json) -> Json:
    """Return a record as a parquet file can hold it: numbers as decimals, objects as text."""
    return {
        name: json.loads(value) if name == "details" and value else value
        for name, value in record.items()
    }


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_batches_hold_what_records_would(
    sandbox: Sandbox, tap: Tap, tmp_path: Path, form: str
) -> None:
    """Each file has at most so many rows, and all of them together are the records."""
    plain = tap()
    config = {
        "encoding": {"format": form, "compression": "gzip"},
        "storage": {"root": tmp_path.joinpath("batches").as_uri()},
        "batch_size": 15,
    }

    run = tap(batch_config=config)

    assert run.exit_code == 0
    assert run.state == plain.state
    for stream in INCREMENTAL:
        records, rows = plain.records(stream), rows_of(run, stream)
        if form == "parquet":
            rows = [as_stored({k: comparable(v) for k, v in row.items()}) for row in rows]
        assert [{k: str(v) for k, v in row.items()} for row in map(normal, rows)] == [
            {k: str(v) for k, v in record.items()} for record in map(normal, records)
        ]
    batches = [message for message in run.messages if message["type"] == "BATCH"]
    assert len(batches) >= 3 * len(INCREMENTAL)
    assert sandbox.exports


def normal(value: Any) -> Any:
    """Return a value whose numbers compare whatever digits follow their point."""
    if isinstance(value, dict):
        return {name: normal(part) for name, part in value.items()}
    if isinstance(value, list):
        return [normal(part) for part in value]
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return Decimal(str(value)).normalize() + 0
    return value


def test_batches_do_not_escape_stream_maps(tap: Tap, tmp_path: Path) -> None:
    """What a stream map would hide must not be in a file."""
    root = tmp_path / "batches"

    run = tap(
        batch_config={"encoding": {"format": "jsonl"}, "storage": {"root": root.as_uri()}},
        stream_maps={"customers": {"email": "md5(email)"}},
    )

    assert run.exit_code == 1
    assert len(run.errors) == 1
    assert not root.exists()


# Versions of whole tables


def test_a_whole_table_is_activated_after_its_last_record(tap: Tap, discovered: Json) -> None:
    """Loaders delete older rows at once, so the message must not come first."""
    catalog = select(discovered, ["points_expirations", "orders"])

    run = tap(catalog=catalog, emit_activate_version_messages=True)

    types = [message["type"] for message in run.messages if "stream" in message]
    (activated,) = (m for m in run.messages if m["type"] == "ACTIVATE_VERSION")
    assert activated["stream"] == "points_expirations"
    versions = {
        message["version"]
        for message in run.messages
        if message["type"] == "RECORD" and message["stream"] == "points_expirations"
    }
    assert versions == {activated["version"]}
    assert types[-1] == "ACTIVATE_VERSION"


def test_a_first_record_comes_at_once(tap: Tap, discovered: Json) -> None:
    """A connection test that stops at the first record need not wait for the last."""
    with tap.start(catalog=select(discovered, ["orders"])) as process:
        lines = read_lines(process.stdout, 2)
        process.kill()

    assert json.loads(lines[1])["type"] == "RECORD"
