"""A wrong setting is told in one line, before any request, and never with its value."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import Dataset, Sandbox
from tap_voucherify.errors import SettingsError
from tap_voucherify.tap import TapVoucherify
from tests.support.expectations import OBJECTS, expected_records, in_any_order
from tests.support.runner import Json, Run, Tap, select

if TYPE_CHECKING:
    from collections.abc import Iterator

# Stands in every wrong value that is a text, and must never be printed.
MARK = "mark4711"

PAIR = {"app_id": "an-id", "app_token": f"token-{MARK}"}

BATCHES = {"encoding": {"format": "jsonl"}, "storage": {"root": f"file:///{MARK}"}}

# What is wrong, by a name: the settings, and what the line has to contain.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no_credentials": ({}, ("app_id", "app_token", "access_token", "must")),
    "id_alone": ({"app_id": f"id-{MARK}"}, ("app_token: must",)),
    "token_alone": ({"app_token": f"token-{MARK}"}, ("app_id: must",)),
    "pair_and_access_token": ({**PAIR, "access_token": f"oauth-{MARK}"}, ("access_token", "must")),
    "empty_token": ({"app_id": "an-id", "app_token": ""}, ("app_token: must",)),
    "id_is_number": ({**PAIR, "app_id": 47110815}, ("app_id: must be", "string")),
    "token_is_number": ({**PAIR, "app_token": 47110815}, ("app_token: must be", "string")),
    "token_is_list": ({**PAIR, "app_token": [f"a-{MARK}"]}, ("app_token: must be", "string")),
    "token_is_object": ({**PAIR, "app_token": {"t": MARK}}, ("app_token: must be", "string")),
    "access_token_is_list": ({"access_token": [f"a-{MARK}"]}, ("access_token: must be", "string")),
    "token_with_line_break": ({**PAIR, "app_token": f"{MARK}\n"}, ("app_token: must",)),
    "token_with_space": ({**PAIR, "app_token": f"my {MARK}"}, ("app_token: must",)),
    "token_beyond_ascii": ({**PAIR, "app_token": f"tökën-{MARK}"}, ("app_token: must",)),
    "unknown_region": ({**PAIR, "region": f"mars-{MARK}"}, ("region: must be one of eu, us, as",)),
    "region_is_number": ({**PAIR, "region": 47110815}, ("region: must",)),
    "no_start_date": ({**PAIR, "start_date": f"soon-{MARK}"}, ("start_date: must", "ISO 8601")),
    "impossible_end_date": ({**PAIR, "end_date": "2026-13-47"}, ("end_date: must", "ISO 8601")),
    "start_date_is_number": ({**PAIR, "start_date": 47110815}, ("start_date: must",)),
    "start_after_end": (
        {**PAIR, "start_date": "2026-04-17", "end_date": "2026-04-11"},
        ("start_date: must be before end_date",),
    ),
    "start_equals_end": (
        {**PAIR, "start_date": "2026-04-17", "end_date": "2026-04-17T00:00:00Z"},
        ("start_date: must be before end_date",),
    ),
    "http_to_a_foreign_host": (
        {**PAIR, "api_url": f"http://{MARK}.example.com"},
        ("api_url: must", "https"),
    ),
    "api_url_without_scheme": ({**PAIR, "api_url": f"{MARK}.example.com"}, ("api_url: must",)),
    "api_url_by_ftp": ({**PAIR, "api_url": f"ftp://{MARK}.example.com"}, ("api_url: must",)),
    "api_url_without_host": ({**PAIR, "api_url": "https://"}, ("api_url: must",)),
    "api_url_with_password": (
        {**PAIR, "api_url": f"https://u:{MARK}@example.com"},
        ("api_url: must",),
    ),
    "api_url_of_no_host": ({**PAIR, "api_url": f"https://[{MARK}"}, ("api_url: must",)),
    "negative_lookback": ({**PAIR, "lookback_seconds": -47}, ("lookback_seconds: must",)),
    "lookback_is_text": ({**PAIR, "lookback_seconds": MARK}, ("lookback_seconds: must",)),
    "window_of_no_day": ({**PAIR, "window_days": 0}, ("window_days: must",)),
    "window_of_half_a_day": ({**PAIR, "window_days": 4.7}, ("window_days: must",)),
    "no_export_at_once": ({**PAIR, "max_concurrent_exports": 0}, ("max_concurrent_exports: must",)),
    "no_poll_interval": ({**PAIR, "poll_interval_seconds": 0}, ("poll_interval_seconds: must",)),
    "no_export_timeout": ({**PAIR, "export_timeout_seconds": 0}, ("export_timeout_seconds: must",)),
    "no_request_timeout": (
        {**PAIR, "request_timeout_seconds": -47},
        ("request_timeout_seconds: must",),
    ),
    "reserve_above_all": (
        {**PAIR, "rate_limit_reserve_percent": 147},
        ("rate_limit_reserve_percent: must",),
    ),
    "batches_without_anything": (
        {**PAIR, "batch_config": {"encoding": None, "extra": MARK}},
        (
            "batch_config.encoding.format: must be set",
            "batch_config.storage.root: must be set",
            "batch_config: must hold only encoding, storage and batch_size",
        ),
    ),
    "batches_with_more": (
        {**PAIR, "batch_config": {**BATCHES, "encoding": {"format": "jsonl", "level": MARK}}},
        ("batch_config.encoding: must hold only format and compression",),
    ),
    "batches_of_csv": (
        {**PAIR, "batch_config": {**BATCHES, "encoding": {"format": "csv"}}},
        ("batch_config.encoding.format: must be one of jsonl, parquet",),
    ),
    "batches_of_nothing": (
        {**PAIR, "batch_config": {**BATCHES, "batch_size": 0}},
        ("batch_config.batch_size: must be a whole number of at least 1",),
    ),
    "batches_of_text": (
        {**PAIR, "batch_config": {**BATCHES, "batch_size": MARK}},
        ("batch_config.batch_size: must be a whole number",),
    ),
    "lookback_is_no_number": (
        {**PAIR, "lookback_seconds": float("nan")},
        ("lookback_seconds: must be a number",),
    ),
    "flattening_without_depth": (
        {**PAIR, "flattening_enabled": True},
        ("flattening_max_depth: must be set, to at least 0, together",),
    ),
    "flattening_below_zero": (
        {**PAIR, "flattening_enabled": True, "flattening_max_depth": -1},
        ("flattening_max_depth: must be set, to at least 0, together",),
    ),
    "flattening_to_short_names": (
        {
            **PAIR,
            "flattening_enabled": True,
            "flattening_max_depth": 1,
            "flattening_max_key_length": 10,
        },
        ("flattening_max_key_length: must leave every property a name of its own",),
    ),
    "parameters_of_no_stream": (
        {**PAIR, "export_parameters": {"voucher": {"campaign_id": MARK}}},
        ("export_parameters.voucher: must be named after a stream",),
    ),
    "stream_maps_are_a_list": ({**PAIR, "stream_maps": [MARK]}, ("stream_maps: must be of type",)),
    "stream_map_is_text": (
        {**PAIR, "stream_maps": {"orders": MARK}},
        ("stream_maps.orders: must be in a form that its documentation shows",),
    ),
    "stream_maps_keep_the_rest": (
        {**PAIR, "stream_maps": {"__else__": MARK}},
        ("stream_maps.__else__: must be __NULL__",),
    ),
    "stream_maps_keep_an_object": (
        {**PAIR, "stream_maps": {"__else__": {"id": MARK}}},
        ("stream_maps.__else__: must be __NULL__",),
    ),
    "stream_map_keeps_the_rest": (
        {**PAIR, "stream_maps": {"orders": {"__else__": MARK}}},
        ("stream_maps.orders.__else__: must be __NULL__",),
    ),
    "stream_map_without_expression": (
        {**PAIR, "stream_maps": {"orders": {"half": ""}}},
        ("stream_maps.orders.half: must be a Python expression",),
    ),
    "stream_map_of_no_expression": (
        {**PAIR, "stream_maps": {"orders": {"__filter__": f"{MARK} +* 1"}}},
        ("stream_maps.orders.__filter__: must be a Python expression",),
    ),
    "stream_map_without_sense": (
        {**PAIR, "stream_maps": {"orders": {"__alias__": f"{MARK}()"}}},
        ("stream_maps: an expression fails with FunctionNotDefined",),
    ),
    "stream_maps_filter_as_a_whole": (
        {**PAIR, "stream_maps": {"__filter__": {"id": MARK}}},
        ("stream_maps.__filter__: must be named after a stream",),
    ),
    "stream_map_without_key": (
        {**PAIR, "stream_maps": {"orders": {"id": None}}},
        ("stream_maps: Removing key property 'id'",),
    ),
    "api_url_with_an_impossible_port": (
        {**PAIR, "api_url": "https://example.com:port"},
        ("api_url: must",),
    ),
    "download_host_with_a_path": (
        {**PAIR, "download_host": f"{MARK}.example.com/files"},
        ("download_host: must",),
    ),
    "download_host_is_number": ({**PAIR, "download_host": 47110815}, ("download_host: must",)),
}

# Those of which the whole command is run; the others differ in their words only.
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

# Values that some arithmetic of dates or waits cannot bear.
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
    """Return a Voucherify to which no request may go."""
    with Sandbox(Dataset(sizes={"voucher": 3})) as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_named_with_its_rule(name: str) -> None:
    """The one error names the setting and the rule, and not the value."""
    config, parts = WRONG[name]

    with pytest.raises(SettingsError) as refused:
        TapVoucherify(config=config)

    message = str(refused.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []
    for secret in (MARK, "47110815", "2026-04-1", "2026-13-47"):
        assert secret not in message


@pytest.fixture(scope="module")
def wrong_runs(untouched: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return the runs of commands that are wrong; they are made side by side to save time."""
    tap = Tap(tmp_path_factory.mktemp("wrong"), {})
    api = {"api_url": untouched.api_url}
    commands = {name: tap.options({**api, **WRONG[name][0]}) for name in WRONG_COMMANDS}
    commands |= {name: tap.options(**files) for name, files in BROKEN_FILES.items()}
    with ThreadPoolExecutor(3) as pool:
        runs = pool.map(lambda options: tap.command(*options), commands.values())
        return dict(zip(commands, runs, strict=True))


@pytest.mark.parametrize("name", WRONG_COMMANDS)
def test_a_wrong_setting_is_told_in_one_line(
    wrong_runs: dict[str, Run], untouched: Sandbox, name: str
) -> None:
    """The log has one error, without value and traceback, and no request is made."""
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
def test_a_broken_file_is_told_in_one_line(wrong_runs: dict[str, Run], name: str) -> None:
    """The one error names what the broken file is about, without its content."""
    run = wrong_runs[name]

    assert run.exit_code == 1
    (error,) = run.errors
    what = "state" if name.startswith("bookmark") else name.partition("_")[0]
    assert what in error.lower()
    assert MARK not in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.lines


@pytest.mark.parametrize("name", EXTREME)
def test_an_extreme_setting_works_or_is_told(
    sandbox: Sandbox, tap: Tap, discovered: Json, name: str
) -> None:
    """A value beyond all measure is either as good as the greatest there is, or an error."""
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


def test_several_wrong_settings_are_told_together() -> None:
    """One run is enough to learn of all settings that break a rule of their own."""
    with pytest.raises(SettingsError) as refused:
        TapVoucherify(config={**PAIR, "region": "mars", "lookback_seconds": -1})

    assert "region: must" in str(refused.value)
    assert "lookback_seconds: must" in str(refused.value)


def test_discovery_needs_no_credentials(discovered: dict[str, Any]) -> None:
    """Discovery without any setting lists all streams with their keys."""
    assert [entry["tap_stream_id"] for entry in discovered["streams"]] == sorted(OBJECTS)
    assert all(entry["key_properties"] for entry in discovered["streams"])


def test_about_needs_no_credentials(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every format of `--about` tells all settings, without any being set."""
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
    """With `--config=ENV` settings of every type are read from the environment."""
    settings = {
        **sandbox.config,
        "poll_interval_seconds": "0.02",
        "lookback_seconds": "90.5",
        "max_concurrent_exports": "2",
        "window_days": "30",
        "start_date": "2026-01-10",
        "end_date": "",
        "resume_exports": "No",
        "stream_maps": '{"orders": {"__alias__": "purchases"}}',
    }

    run = tap.command("--config=ENV", environment=_as_variables(settings))

    assert run.errors == []
    assert run.exit_code == 0
    assert in_any_order(run.records("purchases")) == expected_records(
        sandbox, "orders", "2026-01-10T00:00:00.000Z"
    )
    assert "list" not in {request.kind for request in sandbox.requests}


def test_a_wrong_setting_in_the_environment_is_told(sandbox: Sandbox, tap: Tap) -> None:
    """What is no number, no truth value and no JSON is named, all in one line."""
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
def test_a_config_that_is_no_file_is_told(tap: Tap, path: str) -> None:
    """A path that leads nowhere, or to a folder, is named together with the option."""
    run = tap.command(f"--config={path}")

    assert run.exit_code == 1
    (error,) = run.errors
    assert "--config: cannot read the file" in error
    assert f"'{path}'" in error


def test_a_null_setting_counts_as_not_set(sandbox: Sandbox, tap: Tap) -> None:
    """Meltano passes settings without a value as null; defaults apply to them."""
    unset = dict.fromkeys(["access_token", "region", "start_date", "lookback_seconds"])

    run = tap.run(**unset)

    assert run.exit_code == 0
    assert in_any_order(run.records("orders")) == expected_records(sandbox, "orders")


def test_no_secret_is_logged(sandbox: Sandbox, tap: Tap) -> None:
    """Neither the credentials nor the tokens of download links appear in the log."""
    run = tap.run()

    secrets = [*sandbox.secrets, sandbox.app_id]
    assert len(secrets) > 5
    assert not [secret for secret in secrets if secret in run.stderr + run.stdout]
