"""The files of an export."""

from __future__ import annotations

import csv
import gzip
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from .filters import compile_filters, sort_key
from .objects import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .behaviour import Behaviour
    from .tables import Row, Table


class _Column(NamedTuple):
    """One column of a file: a standard field or a metadata key."""

    name: str
    is_metadata: bool
    title: str


def render(
    table: Table,
    parameters: Mapping[str, Any],
    behaviour: Behaviour,
    today_ms: int,
    paths: Sequence[Path],
) -> None:
    """Write the files of an export, with an equal share of its rows in each.

    Args:
        table: The exported object as it was when the export was created.
        parameters: The checked parameters of the export.
        behaviour: The switches.
        today_ms: The start of the current day.
        paths: The files to write.
    """
    numbers = _select(table, parameters, behaviour, today_ms)
    columns = _columns(table, parameters, behaviour)
    for position, path in enumerate(paths):
        begin, end = (len(numbers) * edge // len(paths) for edge in (position, position + 1))
        with path.open("w", encoding="utf-8", newline="") as file:
            if behaviour.bom:
                file.write("\ufeff")
            writer = csv.writer(file, lineterminator=behaviour.line_terminator)
            writer.writerow([column.title for column in columns])
            rows = (table.row(number, behaviour.date_skew_ms) for number in numbers[begin:end])
            writer.writerows(_cells(row, columns) for row in rows)


def _cells(row: Row, columns: Sequence[_Column]) -> list[str]:
    """Return the cells of a row; empty means no value."""
    cells, metadata = row.cells, row.metadata
    return [
        metadata.get(name, "") if is_metadata else cells[name] for name, is_metadata, _ in columns
    ]


def compress(path: Path) -> Path:
    """Return a gzip file with the content of another, written at the first call."""
    compressed = path.with_suffix(".gz")
    if not compressed.exists():
        with path.open("rb") as source, gzip.open(compressed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
    return compressed


def _select(
    table: Table,
    parameters: Mapping[str, Any],
    behaviour: Behaviour,
    today_ms: int,
) -> list[int]:
    """Return the numbers of the exported rows, in the order of the file."""
    declared = OBJECTS[table.name]
    passes = compile_filters(parameters.get("filters") or {}, declared, behaviour, today_ms)
    campaign_id = parameters.get("campaign_id")
    numbers = [
        number
        for number in table.numbers()
        if passes(row := table.row(number))
        # Voucherify docs: Exports API, `campaign_id` beside the filters of a voucher export.
        and (campaign_id is None or row.cells.get("campaign_id") == campaign_id)
    ]
    if not behaviour.honours_order:
        numbers.sort(key=lambda number: crc32(b"%d" % number))
    elif order := parameters.get("order"):
        key = sort_key(order.lstrip("-"), declared)
        numbers.sort(key=lambda number: key(table.row(number)), reverse=order.startswith("-"))
    return numbers


def _columns(
    table: Table,
    parameters: Mapping[str, Any],
    behaviour: Behaviour,
) -> list[_Column]:
    """Return the columns of a file.

    Voucherify docs: columns come in the order of the requested fields. Seen in production: the
    field `metadata` becomes one column per key, whichever the project has.
    """
    declared = OBJECTS[table.name]
    prefix = "metadata." if behaviour.metadata_prefix else ""
    metadata = [
        _Column(key.name, is_metadata=True, title=prefix + key.name)
        for key in table.project.metadata_keys.get(table.name, ())
    ]
    fields = parameters.get("fields") or declared.default_fields
    standard = [
        _Column(name, is_metadata=False, title=behaviour.title(table.name, name))
        for name in fields
        if name != "metadata"
    ]
    if "metadata" not in fields:
        return standard
    at = list(fields).index("metadata") if behaviour.metadata_position == "in_place" else None
    return standard + metadata if at is None else standard[:at] + metadata + standard[at:]
