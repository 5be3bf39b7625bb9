"""README's tables of settings and streams."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING

from dev.generate.about import settings
from tap_voucherify.columns import MODIFIED_AT
from tap_voucherify.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_voucherify.stream import ExportStream

YES, NO = "yes", "no"


def settings_table() -> str:
    """Return the table of the settings, without those of the SDK."""
    rows = []
    for name, schema in settings().items():
        description = schema["description"] + (" *Secret.*" if schema.get("secret") else "")
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
        rows.append((f"`{name}`", default.replace('"', ""), description))
    return _table(("Setting", "Default", "What it does"), rows)


def streams_table() -> str:
    """Return the table of the streams, and of what each supports."""
    titles = (
        "Stream",
        "What it holds",
        "Key",
        "Incremental by",
        "`track_updates`",
        "`metadata`",
        "Selected by default",
    )
    return _table(titles, map(_stream_row, STREAMS))


def _stream_row(stream: type[ExportStream]) -> tuple[str, ...]:
    key = stream.replication_key
    return (
        # mypy takes the SDK's `name` for an attribute of instances alone.
        f"`{vars(stream)['name']}`",
        " ".join(inspect.cleandoc(stream.__doc__ or "").split()),
        ", ".join(f"`{key}`" for key in stream.primary_keys),
        f"`{key}`" if key else "read in full",
        f"by `{MODIFIED_AT.name}`" if stream.updated_column else NO,
        YES if stream.has_metadata else NO,
        YES if stream.selected_by_default else NO,
    )


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
