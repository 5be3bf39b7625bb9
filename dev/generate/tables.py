"""Tables of settings and streams in Markdown."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

from dev.generate.about import json_type, sdk_settings, settings
from tap_voucherify.columns import MODIFIED_AT
from tap_voucherify.survey.report import QUESTIONS, question
from tap_voucherify.tap import TapVoucherify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_voucherify.declared import DeclaredStream

#: The settings in README's table; docs/settings.md lists all.
COMMON = (
    "app_id",
    "app_token",
    "region",
    "start_date",
    "track_updates",
    "typed_metadata",
    "export_parameters",
    "emit_activate_version_messages",
)

# How the limits of a JSON schema read in a table, as formats of their values.
LIMITS = {"minimum": "from {:,}", "exclusiveMinimum": "above {:,}", "maximum": "up to {:,}"}

FORMATS = {"date-time": "date or time"}


def common_settings_table() -> str:
    """Return the table of the settings that most people need."""
    every = settings()
    rows = [(f"`{name}`", _default(every[name]), _description(every[name])) for name in COMMON]
    return table(("Setting", "Default", "Description"), rows)


def settings_table() -> str:
    """Return the table of the tap's own settings."""
    rows = (
        (f"`{name}`", _type(schema), _default(schema), _description(schema))
        for name, schema in settings().items()
    )
    return table(("Setting", "Type", "Default", "Description"), rows)


def sdk_settings_table() -> str:
    """Return the table of the settings that the SDK adds."""
    every, names = settings(with_sdk=True), sdk_settings()
    rows = (
        (f"`{name}`", _type(schema), _first_sentence(_description(schema)))
        for name, schema in every.items()
        if name in names and name not in settings()
    )
    return table(("Setting", "Type", "Description"), rows)


def streams_table() -> str:
    """Return the table of the streams."""
    streams = TapVoucherify.stream_classes
    return table(("Stream", "Contents", "Key", "Incremental by"), map(_stream_row, streams))


def questions_table() -> str:
    """Return the table of the survey's questions: what the documentation leaves open."""
    return table(("Question", "What the tap does"), map(question, QUESTIONS))


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _stream_row(stream: type[DeclaredStream]) -> tuple[str, ...]:
    key = f"`{stream.replication_key}`" if stream.replication_key else "full table"
    if stream.updated_column:
        key += f"; `{MODIFIED_AT.name}` with `track_updates`"
    return (
        # mypy regards the SDK's `name` as an attribute of instances only.
        f"`{vars(stream)['name']}`",
        " ".join(inspect.cleandoc(stream.__doc__ or "").split()),
        ", ".join(f"`{key}`" for key in stream.primary_keys),
        key,
    )


def _type(schema: dict[str, Any]) -> str:
    if choices := [choice for choice in schema.get("enum", ()) if choice is not None]:
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = FORMATS.get(schema.get("format", ""), json_type(schema))
    limits = (text.format(schema[limit]) for limit, text in LIMITS.items() if limit in schema)
    return " ".join((kind, *limits))


def _default(schema: dict[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`".replace('"', "") if "default" in schema else ""


def _description(schema: dict[str, Any]) -> str:
    secret = " *Secret.*" if schema.get("secret") else ""
    return f"{schema['description']}{secret}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text)[0]
