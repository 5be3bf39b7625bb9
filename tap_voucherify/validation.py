"""Coerce and validate the settings, and check the state.

A message names the setting and the rule, never the value, which may be a secret.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import typing as t
from urllib.parse import urlsplit

from singer_sdk.plugin_base import JSONSchemaValidator

from tap_voucherify.api.credentials import is_loopback
from tap_voucherify.columns import MODIFIED_AT
from tap_voucherify.errors import SettingsError
from tap_voucherify.instants import is_instant, parse_instant
from tap_voucherify.settings import API_URLS, SECRETS

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema import ValidationError


class Problem(t.NamedTuple):
    """An invalid setting.

    Attributes:
        setting: Its name, with a dotted path to the invalid part.
        rule: What it must be.
    """

    setting: str
    rule: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.rule}"


class StreamSettings(t.Protocol):
    """What validation needs to know about a stream class.

    Attributes:
        name: The stream name.
        updated_column: The column of the update time, if its exports can be filtered by it.
    """

    name: str
    updated_column: t.ClassVar[str]


_BATCH_FORMATS = ("jsonl", "parquet")

# Parsers for values from the environment, and for those that Meltano passes as text.
_PARSERS: dict[str, t.Callable[[str], t.Any]] = {
    "number": float,
    "integer": int,
    "boolean": lambda text: {
        **dict.fromkeys(("true", "1", "yes", "on"), True),
        **dict.fromkeys(("false", "0", "no", "off"), False),
    }[text.lower()],
    "object": json.loads,
}


def coerce(config: Mapping[str, t.Any], schema: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the settings that are not empty, with text parsed to the declared types."""
    coerced = {name: value for name, value in config.items() if value not in (None, "")}
    for name, definition in schema["properties"].items():
        for type_, parse in _PARSERS.items():
            if type_ in definition.get("type", ()) and isinstance(coerced.get(name), str):
                # Invalid text stays text and fails the type check.
                with contextlib.suppress(ValueError, LookupError):
                    coerced[name] = parse(coerced[name])
    return coerced


def validate(
    config: dict[str, t.Any], schema: dict[str, t.Any], streams: Sequence[type[StreamSettings]]
) -> list[Problem]:
    """Set the defaults, and return the rules that the settings break.

    Args:
        config: The coerced settings.
        schema: The JSON schema of the tap's settings and the SDK's own.
        streams: The classes of exported streams, which `export_parameters` names.
    """
    # `_credential_rules` names the missing key.
    schema = {**schema, "dependentRequired": {}}
    problems = [*_number_rules(config), *_stream_map_rules(config)]
    # These would crash the validator, which also sets the defaults that later rules rely on.
    problems = problems or list(map(_describe, JSONSchemaValidator(schema).iter_errors(config)))
    return problems or [
        *_credential_rules(config),
        *_address_rules(config),
        *_date_rules(config),
        *_export_rules(config, {stream.name: stream for stream in streams}),
        *_batch_rules(config),
        *_flattening_rules(config),
    ]


def _describe(error: ValidationError) -> Problem:
    setting = ".".join(map(str, error.absolute_path)) or "settings"
    rules = {
        "type": "must be of type {}",
        "enum": "must be one of {}",
        "minimum": "must be at least {}",
        "maximum": "must be at most {}",
        "exclusiveMinimum": "must be greater than {}",
    }
    rule = rules.get(str(error.validator), "must be in a documented form")
    limit = error.validator_value
    if isinstance(limit, list):
        limit = ", ".join(str(choice) for choice in limit if choice not in ("null", None))
    return Problem(setting, rule.format(limit))


def _number_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    for name, value in config.items():
        if isinstance(value, float) and math.isnan(value):
            yield Problem(name, "must be a number")


def _stream_map_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    """Check what the SDK's schema does not."""
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
                    yield Problem(f"{setting}.__else__", "must be __NULL__")
            elif expressions is maps:
                if name.startswith("__"):
                    yield Problem(f"{setting}.{name}", "must be the name of a stream")
            elif isinstance(expression, str) and not _is_expression(expression):
                yield Problem(f"{setting}.{name}", "must be a Python expression")


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


def _credential_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    pair = [name for name in ("app_id", "app_token") if config.get(name)]
    if config.get("access_token"):
        for name in [*pair, *(["use_oauth"] if config["use_oauth"] else [])]:
            yield Problem("access_token", f"must not be set together with {name}")
    elif not pair:
        yield Problem("app_id, app_token", "both must be set, or access_token instead")
    elif len(pair) == 1:
        missing = "app_token" if pair == ["app_id"] else "app_id"
        yield Problem(missing, f"must be set together with {pair[0]}")
    for name in SECRETS:
        secret = config.get(name, "")
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            yield Problem(name, "must consist of printable ASCII characters without spaces")


def _address_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    try:
        parts = urlsplit(config.get("api_url", API_URLS["eu"]))
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if host is None:
        yield Problem("api_url", "must be a URL such as https://api.example.com")
    elif parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        yield Problem("api_url", "must be an https URL (http only on this machine)")
    elif parts.username or parts.password or parts.query or parts.fragment:
        yield Problem("api_url", "must be a URL without user, query and fragment")
    if set(config.get("download_host", "")) & set("/:@?# "):
        yield Problem("download_host", "must be a bare host name, such as files.example.com")


def _date_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    dates = {name: config[name] for name in ("start_date", "end_date") if config.get(name)}
    wrong = [name for name, date in dates.items() if not is_instant(date)]
    for name in wrong:
        yield Problem(name, "must be an ISO 8601 date or date-time")
    if not wrong and list(dates) == ["start_date", "end_date"]:
        start, end = map(parse_instant, dates.values())
        if start >= end:
            yield Problem("start_date", "must be before end_date")


def _export_rules(
    config: Mapping[str, t.Any], streams: Mapping[str, type[StreamSettings]]
) -> Iterator[Problem]:
    for stream, parameters in config.get("export_parameters", {}).items():
        setting = f"export_parameters.{stream}"
        if stream not in streams:
            yield Problem(setting, "must be the name of an exported stream")
            continue
        if "filter" in parameters:
            yield Problem(f"{setting}.filter", "must be called filters")
        for name in sorted({"fields", "order"} & set(parameters)):
            yield Problem(f"{setting}.{name}", "must not be set: the tap manages it")
        filters = parameters.get("filters", {})
        if not isinstance(filters, dict):
            yield Problem(f"{setting}.filters", "must be of type object")
            continue
        tracks_updates = config["track_updates"] and streams[stream].updated_column
        taken = {"created_at", "updated_at"} if tracks_updates else {"created_at"}
        for name in sorted(taken & set(filters)):
            yield Problem(f"{setting}.filters.{name}", "must not be set: the tap manages it")
        if filters.get("junction", "and") != "and":
            yield Problem(
                f"{setting}.filters.junction", "must be and: or would disable the tap's date filter"
            )


def _batch_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    """Check what the SDK's schema does not."""
    batches = config.get("batch_config")
    if not batches:
        return
    names = {"encoding": ["format", "compression"], "storage": ["root", "prefix"]}
    for group, (required, optional) in names.items():
        given = batches.get(group) or {}
        if not given.get(required):
            yield Problem(f"batch_config.{group}.{required}", "must be set")
        elif group == "encoding" and given[required] not in _BATCH_FORMATS:
            # From singer-sdk 0.55 on, its schema allows any.
            choices = ", ".join(_BATCH_FORMATS)
            yield Problem(f"batch_config.{group}.{required}", f"must be one of {choices}")
        if set(given) - {required, optional}:
            yield Problem(f"batch_config.{group}", f"must hold only {required} and {optional}")
    size = batches.get("batch_size")
    if size is not None and (type(size) is not int or size < 1):
        yield Problem("batch_config.batch_size", "must be an integer of at least 1")
    if set(batches) - {*names, "batch_size"}:
        yield Problem("batch_config", "must hold only encoding, storage and batch_size")


def _flattening_rules(config: Mapping[str, t.Any]) -> Iterator[Problem]:
    if config.get("flattening_enabled") and config.get("flattening_max_depth", -1) < 0:
        yield Problem(
            "flattening_max_depth", "must be set to at least 0 together with flattening_enabled"
        )


def check_state(state: Mapping[str, t.Any]) -> None:
    """Check a state.

    Raises:
        SettingsError: If it is not a Singer state, or a bookmark is not a time.
    """
    bookmarks = state.get("bookmarks", {})
    if not isinstance(bookmarks, dict):
        raise SettingsError("state: bookmarks must be an object")
    if state and "bookmarks" not in state:
        raise SettingsError("state: must hold bookmarks, as the value of a STATE message does")
    for name, bookmark in bookmarks.items():
        if not isinstance(bookmark, dict):
            raise SettingsError(f"state: the bookmark of stream '{name}' must be an object")
        value = bookmark.get("replication_key_value")
        # The stream itself discards a bookmark of another replication key.
        is_own = bookmark.get("replication_key") in {"created_at", MODIFIED_AT.name}
        if is_own and value is not None and not is_instant(value):
            raise SettingsError(f"state: the bookmark of stream '{name}' must be an ISO 8601 time")
