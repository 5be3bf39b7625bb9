"""CSV files for tests, and readers of them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from dev.sandbox.nul import write_rows
from tap_voucherify.files.compiled import load
from tap_voucherify.files.exported import FileReader
from tap_voucherify.files.header import KnownTitles, bind
from tap_voucherify.files.reader import ExportReader
from tap_voucherify.files.rows import ROWS_PER_BLOCK, CsvRows
from tap_voucherify.files.selection import Selection
from tap_voucherify.files.titles import ambiguous_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from tap_voucherify.columns import Column


class QuoteAll(csv.excel):
    """Quotes every cell."""

    quoting = csv.QUOTE_ALL


def write(rows: Sequence[Sequence[str]], line_end: str = "\r\n") -> bytes:
    """Return rows as CSV."""
    text = io.StringIO(newline="")
    # Python's writer quotes a lone carriage return only where lines end in one.
    dialect = QuoteAll if line_end == "\n" else csv.excel
    write_rows(text, rows, dialect=dialect, lineterminator=line_end)
    return text.getvalue().encode()


def export_reader(
    file: BinaryIO,
    columns: Sequence[Column],
    *,
    rows_per_block: int = ROWS_PER_BLOCK,
    **options: Any,
) -> ExportReader:
    """Return a reader of a file whose titles are known."""
    rows = CsvRows(file, rows_per_block)
    known = KnownTitles(columns, [column.titles("thing") for column in columns])
    binding = bind(rows.header, known, with_metadata=options.get("metadata") is not None)
    if binding is None:
        raise ambiguous_header(rows.header, [column.api_field for column in columns])
    return ExportReader(rows, binding, columns, **options)


def select(
    columns: Sequence[Column],
    *,
    keys: Sequence[str] = ("id",),
    exported_object: str = "thing",
    has_metadata: bool = True,
    **options: Any,
) -> Selection:
    """Return the selection of all columns."""
    schemas = {column.name: {} for column in columns} | {"metadata": options.pop("schema", {})}
    return Selection(
        exported_object=exported_object,
        declared=columns,
        keys=keys,
        always_selected=options.pop("always_selected", keys),
        schemas=schemas,
        mask=options.pop("mask", defaultdict(lambda: True)),
        has_metadata=has_metadata,
        **options,
    )


def file_reader(
    selection: Selection, warn: Callable[[str], None] = lambda _: None, **options: Any
) -> FileReader:
    """Return the reader of a stream's files."""
    return FileReader(
        selection,
        warn=warn,
        as_tables=options.pop("as_tables", False),
        is_flattened=options.pop("is_flattened", False),
        compiled=options.pop("compiled", load()),
        **options,
    )
