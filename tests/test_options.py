"""What the settings beyond the plain sync do, through the command."""

from __future__ import annotations

import json

import pytest

from .expectations import expected_records, in_any_order
from .runs import Json, Tap, created_exports, read_lines, select, wait_for_log
from .sandbox import Behaviour, Sandbox

UPDATED = ("customers", "orders", "vouchers")


def kinds(sandbox: Sandbox, since: int = 0) -> list[str]:
    """Return what the calls were for, from the given one on."""
    return [request.kind for request in sandbox.requests[since:]]


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
