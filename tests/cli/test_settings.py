"""Invalid settings are reported on one line, before any request, without their value."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import Dataset, Sandbox
from tests.support.expectations import LISTS, OBJECTS, expected_records, in_any_order
from tests.support.runner import Json, Run, Tap, select
from tests.support.settings import MARK, PAIR, WRONG

if TYPE_CHECKING:
    from collections.abc import Iterator


# Cases run with the real command; the others differ only in the message.
WRONG_COMMANDS = (
    "no_credentials",
    "id_alone",
    "token_is_list",
    "token_is_number",
    "unknown_region",
    "start_after_end",
    "http_to_a_foreign_host",
    "no_start_date",
)

# Values that could overflow date arithmetic or waits.
EXTREME: dict[str, dict[str, Any]] = {
    "lookback_seconds": {"lookback_seconds": 10**12},
    "start_date": {"start_date": "0001-01-01"},
    "end_date": {"end_date": "9999-12-31T23:59:59.999Z"},
    "window_days": {"window_days": 10**10, "start_date": "2026-01-01"},
    "window_days_beyond_the_calendar": {"window_days": 4_000_000, "start_date": "2026-01-01"},
    "request_timeout_seconds": {"request_timeout_seconds": 10**10},
    "poll_interval_seconds": {"poll_interval_seconds": 10**300, "export_timeout_seconds": 10**300},
}

BROKEN_FILES: dict[str, dict[str, Any]] = {
    "config_is_no_json": {"config": f'{{"app_id": "{MARK}'},
    "config_is_a_list": {"config": f'["{MARK}"]'},
    "config_is_too_deep": {"config": "[" * 100_000},
    "state_is_no_json": {"config": PAIR, "state": "{"},
    "state_is_a_list": {"config": PAIR, "state": "[]"},
    "bookmarks_are_a_list": {"config": PAIR, "state": '{"bookmarks": []}'},
    "bookmark_is_a_text": {"config": PAIR, "state": '{"bookmarks": {"vouchers": "x"}}'},
    "bookmark_is_no_time": {
        "config": PAIR,
        "state": '{"bookmarks": {"vouchers": {"replication_key": "created_at", '
        '"replication_key_value": "soon"}}}',
    },
    "state_is_a_whole_message": {
        "config": PAIR,
        "state": '{"type": "STATE", "value": {"bookmarks": {}}}',
    },
    "catalog_is_no_json": {"config": PAIR, "catalog": "{"},
    "catalog_is_a_list": {"config": PAIR, "catalog": "[]"},
    "catalog_has_a_number": {"config": PAIR, "catalog": '{"streams": 5}'},
    "catalog_has_an_invalid_schema": {
        "config": PAIR,
        "catalog": '{"streams": [{"tap_stream_id": "orders", "schema": {"properties": '
        '{"id": {"type": 5}}}}]}',
    },
    "catalog_has_no_name": {"config": PAIR, "catalog": '{"streams": [{}]}'},
    "catalog_has_no_schema": {
        "config": PAIR,
        "catalog": '{"streams": [{"tap_stream_id": "orders", "schema": 5}]}',
    },
}


@pytest.fixture(scope="module")
def untouched() -> Iterator[Sandbox]:
    """Yield a sandbox that no request may reach."""
    with Sandbox(Dataset(sizes={"voucher": 3})) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def wrong_runs(untouched: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return the runs of all invalid commands, which run in parallel to save time."""
    tap = Tap(tmp_path_factory.mktemp("wrong"), {})
    api = {"api_url": untouched.api_url}
    commands = {name: tap.options({**api, **WRONG[name][0]}) for name in WRONG_COMMANDS}
    commands |= {name: tap.options(**files) for name, files in BROKEN_FILES.items()}
    with ThreadPoolExecutor(3) as pool:
        runs = pool.map(lambda options: tap.command(*options), commands.values())
        return dict(zip(commands, runs, strict=True))


@pytest.mark.parametrize("name", WRONG_COMMANDS)
def test_a_wrong_setting_is_reported_on_one_line(
    wrong_runs: dict[str, Run], untouched: Sandbox, name: str
) -> None:
    """An invalid setting is one error line without its value, before any request."""
    run = wrong_runs[name]

    assert run.exit_code == 1
    (error,) = run.errors
    assert [part for part in WRONG[name][1] if part not in error] == []
    for secret in (MARK, "47110815", "2026-04-1", "2026-13-47"):
        assert secret not in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.lines
    assert not untouched.requests


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_reported_on_one_line(wrong_runs: dict[str, Run], name: str) -> None:
    """A broken input file is one error line that names the file's role, not its content."""
    run = wrong_runs[name]

    assert run.exit_code == 1
    (error,) = run.errors
    what = "state" if name.startswith("bookmark") else name.partition("_")[0]
    assert what in error.lower()
    assert MARK not in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.lines


@pytest.mark.parametrize("name", EXTREME)
def test_an_extreme_setting_works_or_is_reported(
    sandbox: Sandbox, tap: Tap, discovered: Json, name: str
) -> None:
    """An extreme value either works or is an error before any request."""
    state = {"replication_key": "created_at", "replication_key_value": "2026-01-10T00:00:00.000Z"}
    catalog = select(discovered, ["vouchers"])

    run = tap.run(catalog=catalog, state={"bookmarks": {"vouchers": state}}, **EXTREME[name])

    assert "Traceback" not in run.stderr
    if run.exit_code:
        (error,) = run.errors
        assert name.partition("_beyond")[0] in error
        assert not sandbox.requests
    else:
        assert run.records("vouchers")


def test_discovery_needs_no_credentials(discovered: dict[str, Any]) -> None:
    """Discovery without any settings lists all streams with their keys."""
    assert [entry["tap_stream_id"] for entry in discovered["streams"]] == sorted([*OBJECTS, *LISTS])
    assert all(entry["key_properties"] for entry in discovered["streams"])


def test_discovery_of_types_without_credentials_is_a_warning(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Typed discovery without credentials warns, and lists all streams."""
    tap = Tap(tmp_path_factory.mktemp("types"), {})

    run = tap.command(*tap.options({"typed_metadata": True}), "--discover")

    assert run.exit_code == 0
    assert [line for line in run.warnings if "declaring every metadata key as text" in line]
    assert {*OBJECTS, *LISTS} == {e["tap_stream_id"] for e in json.loads(run.stdout)["streams"]}


def test_about_needs_no_credentials(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every format of `--about` lists all settings without any being set."""
    tap = Tap(tmp_path_factory.mktemp("about"), {})

    text = tap.command("--about")
    markdown = tap.command("--about", "--format=markdown")
    as_json = tap.command("--about", "--format=json")

    settings = json.loads(as_json.stdout)["settings"]["properties"]
    assert {"app_id", "start_date", "lookback_seconds"} <= set(settings)
    for run in (text, markdown, as_json):
        assert run.exit_code == 0
        assert not [name for name in settings if name not in run.stdout]


def test_settings_come_from_the_environment(sandbox: Sandbox, tap: Tap) -> None:
    """With `--config=ENV`, settings of every type are read from the environment."""
    settings = {
        **sandbox.config,
        "poll_interval_seconds": "0.02",
        "lookback_seconds": "90.5",
        "max_concurrent_exports": "1",
        "window_days": "30",
        "start_date": "2026-01-10",
        "end_date": "",
        "resume_exports": "No",
        "max_retry_seconds": "60",
        "stream_maps": '{"orders": {"__alias__": "purchases"}}',
    }

    run = tap.command("--config=ENV", environment=_as_variables(settings))

    assert run.errors == []
    assert run.exit_code == 0
    assert in_any_order(run.records("purchases")) == expected_records(
        sandbox, "orders", "2026-01-10T00:00:00.000Z"
    )
    assert "list" not in {request.kind for request in sandbox.requests}


def test_a_wrong_setting_in_the_environment_is_reported(sandbox: Sandbox, tap: Tap) -> None:
    """Invalid settings in the environment are all named in one error line."""
    settings = {
        **sandbox.config,
        "window_days": MARK,
        "lookback_seconds": MARK,
        "track_updates": MARK,
        "export_parameters": f'{{"orders": {MARK}',
    }

    run = tap.command("--config=ENV", environment=_as_variables(settings))

    assert run.exit_code == 1
    (error,) = run.errors
    assert error.endswith(
        "lookback_seconds: must be of type number; window_days: must be of type integer; "
        "track_updates: must be of type boolean; export_parameters: must be of type object"
    )
    assert MARK not in run.stderr
    assert "Traceback" not in run.stderr
    assert not sandbox.requests


def _as_variables(settings: Json) -> dict[str, str]:
    return {f"TAP_VOUCHERIFY_{name.upper()}": value for name, value in settings.items()}


@pytest.mark.parametrize("path", ["nothing.json", "."])
def test_a_config_that_is_no_file_is_reported(tap: Tap, path: str) -> None:
    """A config path that is missing or a folder is an error that names path and option."""
    run = tap.command(f"--config={path}")

    assert run.exit_code == 1
    (error,) = run.errors
    assert "--config: cannot read the file" in error
    assert f"'{path}'" in error


def test_a_null_setting_counts_as_not_set(sandbox: Sandbox, tap: Tap) -> None:
    """A null setting, as Meltano passes it, gets its default."""
    unset = dict.fromkeys(["access_token", "region", "start_date", "lookback_seconds"])

    run = tap.run(**unset)

    assert run.exit_code == 0
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_no_secret_is_logged(sandbox: Sandbox, tap: Tap) -> None:
    """Neither credentials nor the tokens of download links appear in the output or the log."""
    run = tap.run()

    secrets = [*sandbox.secrets, sandbox.app_id]
    assert len(secrets) > 5
    assert not [secret for secret in secrets if secret in run.stderr + run.stdout]
