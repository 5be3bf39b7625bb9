"""The files of an export."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
from itertools import chain
from typing import TYPE_CHECKING, Any
from zlib import crc32

from .alignment import aligned
from .columns import columns_of
from .instants import format_instant, parse
from .nul import write_rows
from .selection import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from .behaviour import Behaviour
    from .columns import Column
    from .tables import Row, Table

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


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
    numbers = select(table, parameters, behaviour, today_ms)
    columns = columns_of(table, parameters, behaviour)
    is_json = behaviour.response_format == "json" and parameters.get("response_format") == "JSON"
    for position, path in enumerate(paths):
        begin, end = (len(numbers) * edge // len(paths) for edge in (position, position + 1))
        with path.open("w", encoding="utf-8", newline="") as file:
            if not numbers and behaviour.empty_export == "nothing":
                continue
            rows = (table.row(number, behaviour.date_skew_ms) for number in numbers[begin:end])
            cells = _cells(table.name, rows, columns, behaviour)
            if is_json:
                _write_json(file, columns, cells)
            else:
                _write_csv(file, columns, cells, end - begin, behaviour)


def compress(path: Path) -> Path:
    """Return the gzip copy of a file, written at the first call."""
    compressed = path.with_suffix(".gz")
    if not compressed.exists():
        with path.open("rb") as source, gzip.open(compressed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
    return compressed


def _write_json(
    file: TextIO,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
) -> None:
    """Write rows as a JSON array of objects; the true format is unknown."""
    names = [f"metadata.{column.name}" if column.is_metadata else column.name for column in columns]
    json.dump([dict(zip(names, row, strict=True)) for row in rows], file, ensure_ascii=False)


def _write_csv(
    file: TextIO,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    count: int,
    behaviour: Behaviour,
) -> None:
    """Write a header and rows as the switches specify."""
    footer = [[behaviour.footer.format(rows=count), *[""] * (len(columns) - 1)]]
    lines = chain([[column.title for column in columns]], rows, footer if behaviour.footer else [])
    if behaviour.bom:
        file.write("\ufeff")
    if behaviour.crlf_block_bytes:
        begin = 3 if behaviour.bom else 0
        file.writelines(
            aligned(list(lines), behaviour.line_terminator, behaviour.crlf_block_bytes, begin)
        )
    else:
        with_backslash = behaviour.escaping == "backslash"
        quote_all = with_backslash or behaviour.quoting == "all"
        write_rows(
            file,
            lines,
            lineterminator=behaviour.line_terminator,
            quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
            doublequote=not with_backslash,
            escapechar="\\" if with_backslash else None,
        )
    file.write(behaviour.line_terminator * behaviour.trailing_lines)


def _cells(
    name: str,
    rows: Iterable[Row],
    columns: Sequence[Column],
    behaviour: Behaviour,
) -> Iterator[list[str]]:
    """Yield the cells of rows, changed as the switches specify."""
    changes = [_change(name, column, behaviour) for column in columns]
    is_changed = any(changes)
    for number, row in enumerate(rows, 1):
        standard, metadata = row.cells, row.metadata
        cells = [
            metadata.get(name, "") if is_metadata else standard[name]
            for name, is_metadata, _ in columns
        ]
        if is_changed:
            cells = [
                change(cell, number) if change else cell
                for change, cell in zip(changes, cells, strict=True)
            ]
        yield cells


def _change(name: str, column: Column, behaviour: Behaviour) -> Callable[[str, int], str] | None:
    """Return the function of cell and row number that changes a column's cells, or None."""
    if column.is_metadata:
        return None
    nth = behaviour.blanks.get((name, column.name))
    usual = behaviour.time_digits == 3 and behaviour.time_zone == "Z"
    if nth is None and usual and not behaviour.dates_with_times:
        return None

    def change(cell: str, number: int) -> str:
        if nth and number % nth == 0:
            return ""
        if behaviour.dates_with_times and _DATE.fullmatch(cell):
            cell += f"T{crc32(cell.encode()) % 24:02d}:30:00.000Z"
        if not usual and _TIME.fullmatch(cell):
            return _retimed(cell, behaviour)
        return cell

    return change


def _retimed(cell: str, behaviour: Behaviour) -> str:
    """Return a time with the digits and the time zone that the switches specify."""
    instant = parse(cell) or 0
    finer = crc32(cell.encode()) % 1_000_000
    return format_instant(instant, behaviour.time_digits, behaviour.time_zone, finer)
