"""The settings, and the rules that they keep."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import typing as t
from urllib.parse import urlsplit

import singer_sdk.typing as th
from singer_sdk.plugin_base import JSONSchemaValidator

from tap_voucherify.api.credentials import API_URLS, is_loopback
from tap_voucherify.streams import STREAMS
from tap_voucherify.windows import is_instant, parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import ValidationError

SECONDS_PER_HOUR = 3600
LONGEST_LOOKBACK_SECONDS = 100 * 365 * 24 * SECONDS_PER_HOUR

SECRETS = ("app_id", "app_token", "access_token")

SETTINGS: dict[str, t.Any] = th.PropertiesList(
    th.Property(
        "app_id",
        th.StringType,
        secret=True,
        title="Application ID",
        description="ID of the application (Project Settings > Application Keys).",
    ),
    th.Property(
        "app_token",
        th.StringType,
        secret=True,
        title="Secret key",
        description="Server-side secret key of the application.",
    ),
    th.Property(
        "access_token",
        th.StringType,
        secret=True,
        title="OAuth 2.0 token",
        description="OAuth 2.0 token, in place of the application ID and secret key.",
    ),
    th.Property(
        "region",
        th.StringType,
        default="eu",
        allowed_values=list(API_URLS),
        title="Region",
        description="Region of the account: eu, us or as.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        title="API URL",
        description="Address of a dedicated cluster's API, in place of the region.",
    ),
    th.Property(
        "download_host",
        th.StringType,
        title="Download host",
        description="Host of a dedicated cluster's files, if it is neither the API's "
        "own nor under voucherify.io.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="Earliest creation time to extract (inclusive, UTC).",
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description="Creation time at which to stop (exclusive, UTC).",
    ),
    th.Property(
        "lookback_seconds",
        th.NumberType(minimum=0, maximum=LONGEST_LOOKBACK_SECONDS),
        default=60,
        title="Lookback",
        description="Seconds before the bookmark from which each run reads again, "
        "for what reaches Voucherify's data late.",
    ),
    th.Property(
        "window_days",
        th.IntegerType(minimum=1),
        title="Window size",
        description="Length of each export in days; without it, a run has one export per stream.",
    ),
    th.Property(
        "max_concurrent_exports",
        th.IntegerType(minimum=1, maximum=100),
        default=4,
        title="Concurrent exports",
        description="How many exports may be unfinished or unread at once.",
    ),
    th.Property(
        "poll_interval_seconds",
        th.NumberType(exclusive_minimum=0, maximum=SECONDS_PER_HOUR),
        default=1,
        title="Poll interval",
        description="Minimum number of seconds between two status checks of an export.",
    ),
    th.Property(
        "export_timeout_seconds",
        th.NumberType(exclusive_minimum=0, maximum=7 * 24 * SECONDS_PER_HOUR),
        default=3600,
        title="Export timeout",
        description="Seconds that one export may take, its download included.",
    ),
    th.Property(
        "request_timeout_seconds",
        th.NumberType(exclusive_minimum=0, maximum=SECONDS_PER_HOUR),
        default=60,
        title="Request timeout",
        description="Seconds that a server may stay silent.",
    ),
    th.Property(
        "adopt_exports",
        th.BooleanType,
        default=True,
        title="Adopt exports",
        description="Resumes unfinished exports that an interrupted run has left.",
    ),
    th.Property(
        "delete_exports",
        th.BooleanType,
        default=False,
        title="Delete exports",
        description="Deletes each export from Voucherify after its records are emitted.",
    ),
    th.Property(
        "track_updates",
        th.BooleanType,
        default=False,
        title="Track updates",
        description="Extracts vouchers, customers and orders again when they change.",
    ),
    th.Property(
        "export_parameters",
        th.ObjectType(additional_properties=th.ObjectType(additional_properties=True)),
        title="Export parameters",
        description="Parameters to add to a stream's exports, such as filters and "
        "campaign_id, by the name of the stream.",
    ),
    th.Property(
        "typed_metadata",
        th.BooleanType,
        default=False,
        title="Typed metadata",
        description="Takes the types of custom attributes from the metadata schemas.",
    ),
    th.Property(
        "use_oauth",
        th.BooleanType,
        default=False,
        title="Use OAuth",
        description="Exchanges the application's keys for OAuth 2.0 tokens.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Emit ACTIVATE_VERSION",
        description="Tells loaders, after a full table, to drop the rows that are gone from "
        "Voucherify.",
    ),
    th.Property(
        "rate_limit_reserve",
        th.NumberType(minimum=0, maximum=1),
        default=0.1,
        title="Rate limit reserve",
        description="Share of the account's rate limit to leave to others, 0 to 1.",
    ),
).to_dict()


# How values from the environment are read, and those that Meltano hands on as text.
_FROM_TEXT: dict[str, t.Callable[[str], t.Any]] = {
    "number": float,
    "integer": int,
    "boolean": lambda text: {
        **dict.fromkeys(("true", "1", "yes", "on"), True),
        **dict.fromkeys(("false", "0", "no", "off"), False),
    }[text.lower()],
    "object": json.loads,
}


def complete_and_check(config: dict[str, t.Any], schema: dict[str, t.Any]) -> list[str]:
    """Complete the settings, with types and defaults, and return which rules they break.

    Each rule names its setting and never the value: that may be a secret, also where it
    is of the wrong type.
    """
    _read_texts(config, schema)
    problems = [*_number_rules(config), *_stream_map_rules(config)]
    # These break the validator, which also sets defaults; later rules rely on what it does.
    problems = problems or list(map(_explain, JSONSchemaValidator(schema).iter_errors(config)))
    return problems or [
        *_credential_rules(config),
        *_address_rules(config),
        *_date_rules(config),
        *_export_rules(config),
        *_batch_rules(config),
        *_flattening_rules(config),
    ]


def _read_texts(config: dict[str, t.Any], schema: dict[str, t.Any]) -> None:
    for name, definition in schema["properties"].items():
        for type_, read in _FROM_TEXT.items():
            if type_ in definition.get("type", ()) and isinstance(config.get(name), str):
                # What cannot be read stays text, which is of the wrong type.
                with contextlib.suppress(ValueError, LookupError):
                    config[name] = read(config[name])


def _explain(error: ValidationError) -> str:
    """Name the setting and the rule that it breaks, without its value."""
    setting = ".".join(map(str, error.absolute_path)) or "settings"
    rules = {
        "type": "must be of type {}",
        "enum": "must be one of {}",
        "minimum": "must be at least {}",
        "maximum": "must be at most {}",
        "exclusiveMinimum": "must be greater than {}",
    }
    rule = rules.get(str(error.validator), "must be in a form that its documentation shows")
    limit = error.validator_value
    if isinstance(limit, list):
        limit = ", ".join(str(choice) for choice in limit if choice not in ("null", None))
    return f"{setting}: {rule.format(limit)}"


def _number_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, float) and math.isnan(value):
            yield f"{name}: must be a number"


def _stream_map_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    """Ask for what the SDK's schema leaves open, or has a text for where a schema belongs."""
    maps = config.get("stream_maps")
    if not isinstance(maps, dict):
        return
    for setting, expressions in {
        "stream_maps": maps,
        **{f"stream_maps.{name}": stream_map for name, stream_map in maps.items()},
    }.items():
        if not isinstance(expressions, dict):
            continue
        for name, expression in expressions.items():
            if name == "__else__":
                if expression not in ("__NULL__", None):
                    yield f"{setting}.__else__: must be __NULL__"
            elif expressions is maps:
                if name.startswith("__"):
                    yield f"{setting}.{name}: must be named after a stream"
            elif isinstance(expression, str) and not _is_expression(expression):
                yield f"{setting}.{name}: must be a Python expression"


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


def _credential_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    pair = [name for name in ("app_id", "app_token") if config.get(name)]
    if config.get("access_token"):
        for name in [*pair, *(["use_oauth"] if config["use_oauth"] else [])]:
            yield f"access_token: must not be set together with {name}"
    elif not pair:
        yield "app_id, app_token: both must be set, or access_token instead"
    elif len(pair) == 1:
        missing = "app_token" if pair == ["app_id"] else "app_id"
        yield f"{missing}: must be set together with {pair[0]}"
    for name in SECRETS:
        secret = config.get(name, "")
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            yield f"{name}: must consist of printable ASCII characters without spaces"


def _address_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    try:
        parts = urlsplit(config.get("api_url", API_URLS["eu"]))
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if host is None:
        yield "api_url: must be an address such as https://api.example.com"
    elif parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        yield "api_url: must be an https address (http only on this machine)"
    elif parts.username or parts.password or parts.query or parts.fragment:
        yield "api_url: must be an address without user, query and fragment"
    if set(config.get("download_host", "")) & set("/:@?# "):
        yield "download_host: must be a bare host name, such as files.example.com"


def _date_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    dates = {name: config[name] for name in ("start_date", "end_date") if config.get(name)}
    wrong = [name for name, date in dates.items() if not is_instant(date)]
    for name in wrong:
        yield f"{name}: must be an ISO 8601 date or date-time"
    if not wrong and list(dates) == ["start_date", "end_date"]:
        start, end = map(parse_instant, dates.values())
        if start >= end:
            yield "start_date: must be before end_date"


def _export_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    streams = {stream.name: stream for stream in STREAMS}
    for stream, parameters in config.get("export_parameters", {}).items():
        setting = f"export_parameters.{stream}"
        if stream not in streams:
            yield f"{setting}: must be named after a stream"
            continue
        if "filter" in parameters:
            yield f"{setting}.filter: must be called filters"
        for name in sorted({"fields", "order"} & set(parameters)):
            yield f"{setting}.{name}: must not be set, since the sync depends on it"
        filters = parameters.get("filters", {})
        if not isinstance(filters, dict):
            yield f"{setting}.filters: must be of type object"
            continue
        tracks_updates = config["track_updates"] and streams[stream].updated_column
        taken = {"created_at", "updated_at"} if tracks_updates else {"created_at"}
        for name in sorted(taken & set(filters)):
            yield f"{setting}.filters.{name}: must not be set, since the sync depends on it"
        if filters.get("junction", "and") != "and":
            yield f"{setting}.filters.junction: must be and: or would undo the sync's own filter"


def _batch_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    """Ask for what the SDK's schema leaves open, and breaks without."""
    batches = config.get("batch_config")
    if not batches:
        return
    names = {"encoding": ["format", "compression"], "storage": ["root", "prefix"]}
    for group, (required, optional) in names.items():
        given = batches.get(group) or {}
        if not given.get(required):
            yield f"batch_config.{group}.{required}: must be set"
        if set(given) - {required, optional}:
            yield f"batch_config.{group}: must hold only {required} and {optional}"
    size = batches.get("batch_size")
    if size is not None and (type(size) is not int or size < 1):
        yield "batch_config.batch_size: must be a whole number of at least 1"
    if set(batches) - {*names, "batch_size"}:
        yield "batch_config: must hold only encoding, storage and batch_size"


def _flattening_rules(config: Mapping[str, t.Any]) -> Iterator[str]:
    if config.get("flattening_enabled") and config.get("flattening_max_depth", -1) < 0:
        yield "flattening_max_depth: must be set, to at least 0, together with flattening_enabled"
