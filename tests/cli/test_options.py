"""Optional settings change a sync as documented."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from dev.sandbox import Amend, Behaviour, Fault, Reply, Sandbox, Turn, service
from tests.support.commands import COMMAND
from tests.support.expectations import DEFAULT, LISTS, OBJECTS, expected_records, in_any_order
from tests.support.runner import (
    Json,
    Output,
    Tap,
    created_exports,
    select,
    split_lines,
    wait_for_log,
)

if TYPE_CHECKING:
    from pathlib import Path

    from dev.sandbox.faults import Kind


def kinds(sandbox: Sandbox, since: int = 0) -> list[str]:
    """Return the kinds of the calls from number `since` on."""
    return [request.kind for request in sandbox.requests[since:]]


# Parameters of exports


def test_parameters_are_added_to_the_date_filter(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A stream's own filters are sent together with the tap's date filter."""
    code = sandbox.rows("voucher")[3].cells["code"]
    own = {"code": {"conditions": {"$is": [code]}}}

    run = tap.run(
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
        ({"filter": {}}, "export_parameters.vouchers.filter"),
        ({"filters": {"junction": "or"}}, "export_parameters.vouchers.filters.junction"),
        ({"filters": ["code"]}, "export_parameters.vouchers.filters"),
    ],
)
def test_parameters_that_would_break_the_sync_are_rejected(
    sandbox: Sandbox, tap: Tap, parameters: Json, setting: str
) -> None:
    """Parameters that would break the sync are an error before any request."""
    run = tap.run(export_parameters={"vouchers": parameters}, track_updates=True)

    assert run.exit_code == 1
    (error,) = run.errors
    assert f"{setting}: must" in error
    assert not sandbox.requests


def test_a_filter_on_updates_is_kept_where_updates_are_not_tracked(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A stream without tracked updates keeps its own filter on `updated_at`."""
    own = {"updated_at": {"conditions": {"$after": ["2020-01-01T00:00:00Z"]}}}

    tap.run(
        catalog=select(discovered, ["redemptions"]),
        export_parameters={"redemptions": {"filters": own}},
        track_updates=True,
    )

    (body,) = created_exports(sandbox)
    assert body["parameters"]["filters"].items() >= own.items()


# Credentials and connection


def test_one_token_serves_all_exports(sandbox: Sandbox, tap: Tap) -> None:
    """The key pair is exchanged for a token once, and sent with no other request."""
    run = tap.run(use_oauth=True)

    assert run.exit_code == 0
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
    assert kinds(sandbox).count("oauth") == 1
    with_pair = [r.kind for r in sandbox.requests if "x-app-token" in r.headers]
    assert with_pair == ["oauth"]
    assert not [secret for secret in sandbox.secrets if secret in run.stderr]


def test_a_token_that_ends_is_renewed(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A token is renewed before it expires during a run."""
    sandbox.behaviour = Behaviour(latency_seconds=2.5)
    # A token is no longer used in the minute before it expires.
    sandbox.faults.add(Fault(on="oauth", action=Amend({"expires_in": 61})))

    run = tap.run(catalog=select(discovered, ["orders"]), use_oauth=True)

    assert run.exit_code == 0
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
    assert kinds(sandbox).count("oauth") == 2
    assert not [request for request in sandbox.requests if request.status == 401]


def test_a_wrong_pair_gets_no_token(sandbox: Sandbox, tap: Tap) -> None:
    """A wrong key pair is one error that names the setting, after only the token request."""
    run = tap.run(use_oauth=True, app_token="somebody-else-s")

    assert run.exit_code == 1
    (error,) = run.errors
    assert "401" in error
    assert "app_token" in error
    assert set(kinds(sandbox)) == {"oauth"}


def test_a_token_has_the_scopes_it_needs(sandbox: Sandbox, tap: Tap) -> None:
    """A token has the scope of metadata schemas only if they are requested."""
    plain = tap.run(use_oauth=True)
    typed = tap.run(use_oauth=True, typed_metadata=True)

    assert plain.exit_code == typed.exit_code == 0
    forms = [parse_qs(r.body.decode()) for r in sandbox.requests if r.kind == "oauth"]
    lists = {"campaigns", "promotions", "validation-rules", "validation-rules-assignments"}
    assert [set(form["scope"][0].split()) for form in forms] == [
        {"exports", *lists},
        {"exports", "metadata-schemas", *lists},
    ]


@pytest.mark.parametrize("option", ["--test", "--test=all", "--test=streams"])
@pytest.mark.parametrize("use_oauth", [False, True])
def test_the_connection_test_exports_next_to_nothing(
    sandbox: Sandbox, tap: Tap, option: str, *, use_oauth: bool
) -> None:
    """The connection test creates one export without rows per stream, logs it and deletes it."""
    options = tap.options({**tap.config, "use_oauth": use_oauth})

    run = tap.command(*options, option)

    assert run.exit_code == 0
    assert not run.lines
    bodies = created_exports(sandbox)
    assert len(bodies) == len(DEFAULT)
    assert all(body["parameters"]["filters"] for body in bodies)
    assert all(export.deleted for export in sandbox.exports)
    for stream in DEFAULT:
        assert re.search(rf"{stream}: \d+ columns matched", run.stderr), stream


def test_the_connection_test_shows_how_headers_match(sandbox: Sandbox, tap: Tap) -> None:
    """The connection test reports rejected fields, missing columns and learned titles."""
    sandbox.behaviour = Behaviour(
        titles={("customer", "name"): "Full Name"},
        rejected_fields={"order": {"referrer_id"}},
        omitted_columns={("redemption", "tracking_id")},
        column_order="shuffled",
    )

    run = tap.command(*tap.options(tap.config), "--test")

    assert run.exit_code == 0
    assert "orders: Voucherify does not export 'referrer_id'; left out" in run.stderr
    assert re.search(r"redemptions: \d+ columns matched.*1 missing", run.stderr)
    assert re.search(r"customers: \d+ columns matched.*titles learned", run.stderr)


def test_the_connection_test_accepts_files_without_a_header(sandbox: Sandbox, tap: Tap) -> None:
    """The connection test accepts files without a header."""
    sandbox.behaviour = service("empty_files")

    run = tap.command(*tap.options(tap.config), "--test")

    assert run.exit_code == 0
    assert run.stderr.count("an export without rows has no header") == len(DEFAULT)


@pytest.mark.parametrize(
    ("on", "status", "expected"),
    [
        ("create", 401, "401"),
        ("create", 403, "403"),
        ("poll", 403, "403"),
        ("download", 401, "download"),
    ],
)
def test_the_connection_test_reports_what_is_rejected(
    sandbox: Sandbox, tmp_path: Path, on: Kind, status: int, expected: str
) -> None:
    """The connection test covers each permission that a sync needs, and reports a missing one."""
    tap = Tap(tmp_path, sandbox.config, speed=100)
    sandbox.faults.add(Fault(on=on, action=Reply(status, {"key": "odd"}), times=None))

    run = tap.command(*tap.options({**tap.config, "max_concurrent_exports": 1}), "--test")

    assert run.exit_code == 1
    assert len(run.errors) == (1 if status == 401 and on == "create" else len(DEFAULT))
    assert all(expected in error for error in run.errors)
    assert not run.lines


def test_a_signal_ends_the_connection_test_of_a_catalog(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """The connection test covers the streams of a catalog, and a signal ends it like a sync."""
    sandbox.faults.add(Fault(on="create", action=Turn("IN_PROGRESS")))
    options = tap.options(tap.config, select(discovered, ["skus"]))
    command = (*COMMAND, "--test", *options)

    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_for_log(process, b"created export")
        process.terminate()
        assert process.stderr is not None
        log = process.stderr.read()

    assert process.returncode == 143
    assert b"ERROR" not in log
    assert [body["exported_object"] for body in created_exports(sandbox)] == ["sku"]


def test_the_schemas_alone_can_be_printed(sandbox: Sandbox, tap: Tap) -> None:
    """The SDK's `--test=schema` prints all schemas without an export."""
    run = tap.command(*tap.options(tap.config), "--test=schema")

    assert run.exit_code == 0
    assert set(run.schemas()) == {*OBJECTS, *LISTS}
    assert not created_exports(sandbox)


# Exports of other runs


def test_an_export_of_a_killed_run_is_resumed(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A restarted run resumes the unfinished export instead of creating another."""
    sandbox.faults.add(Fault(on="create", action=Turn("IN_PROGRESS")))
    catalog = select(discovered, ["orders"])
    with tap.start(catalog=catalog) as process:
        wait_for_log(process, b"created export")
        process.kill()
    with tap.start(catalog=catalog, resume_exports=True) as process:
        wait_for_log(process, b"resuming export")
        (export,) = sandbox.exports
        export.forced_status = None
        assert process.stdout is not None
        output = Output(split_lines(process.stdout.read().decode()))

    assert process.returncode == 0
    assert len(created_exports(sandbox)) == 1
    listed = [request.query for request in sandbox.requests if request.kind == "list"]
    assert listed == [{"limit": "100", "order": "-created_at"}]
    assert in_any_order(output.records("orders")) == expected_records(sandbox, "orders")


def test_a_stream_made_full_table_resumes_no_export(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """A stream that the catalog makes FULL_TABLE resumes no export."""
    sandbox.faults.add(Fault(on="create", action=Turn("IN_PROGRESS")))
    catalog = select(discovered, ["orders"])
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    with tap.start(catalog=catalog) as process:
        wait_for_log(process, b"created export")
        process.kill()
    sandbox.dataset.grow({"order": 5})

    run = tap.run(catalog=catalog, emit_activate_version_messages=True, resume_exports=True)

    assert run.exit_code == 0
    assert len(created_exports(sandbox)) == 2
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_a9_exports_are_not_resumed_by_default(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """By default no run lists or resumes exports."""
    catalog = select(discovered, ["orders"])

    runs = [tap.run(catalog=catalog) for _ in range(2)]

    assert len(created_exports(sandbox)) == 2
    assert "list" not in kinds(sandbox)
    for run in runs:
        assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_a_finished_export_is_not_resumed(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A finished export is never reused, since it lacks newer rows."""
    catalog = select(discovered, ["orders"])
    tap.run(catalog=catalog, resume_exports=True)
    sandbox.dataset.grow({"order": 5})

    run = tap.run(catalog=catalog, resume_exports=True)

    assert len(created_exports(sandbox)) == 2
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_a_list_that_is_rejected_is_a_warning(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A key that must not list exports gets a warning, and the run succeeds."""
    reply = Reply(403, {"key": "forbidden"})
    sandbox.faults.add(Fault(on="list", action=reply, times=None))

    run = tap.run(catalog=select(discovered, ["orders"]), resume_exports=True)

    assert run.exit_code == 0
    (warning,) = run.warnings
    assert "so none will be resumed" in warning
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_a_full_table_export_is_never_resumed(sandbox: Sandbox, tap: Tap, discovered: Json) -> None:
    """A full-table stream neither lists nor resumes exports."""
    sandbox.faults.add(Fault(on="create", action=Turn("IN_PROGRESS")))
    catalog = select(discovered, ["points_expirations"])
    with tap.start(catalog=catalog) as process:
        wait_for_log(process, b"created export")
        process.kill()

    run = tap.run(catalog=catalog, resume_exports=True)

    assert len(created_exports(sandbox)) == 2
    assert "list" not in kinds(sandbox)
    assert run.exit_code == 0


def test_exports_are_deleted_once_they_are_read(sandbox: Sandbox, tap: Tap) -> None:
    """With `delete_exports` every export is deleted."""
    run = tap.run(delete_exports=True)

    assert run.exit_code == 0
    assert sandbox.exports
    assert all(export.deleted for export in sandbox.exports)


def test_an_export_that_cannot_be_deleted_is_a_warning(
    sandbox: Sandbox, tap: Tap, discovered: Json
) -> None:
    """An export that cannot be deleted is a warning, and its records are emitted."""
    reply = Reply(403, {"key": "forbidden"})
    sandbox.faults.add(Fault(on="delete", action=reply, times=None))

    run = tap.run(catalog=select(discovered, ["orders"]), delete_exports=True)

    assert run.exit_code == 0
    (warning,) = run.warnings
    assert "could not delete" in warning
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")
