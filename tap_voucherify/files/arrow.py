"""Read a CSV file into typed Arrow tables, as strictly as the record reader.

Arrow parses canonical values; from the first row with any other, the record reader takes
over, so both accept the same files and raise the same errors. Only Parquet batch files
need this module and pyarrow (the extra `parquet`).
"""

from __future__ import annotations

import functools
import io
import os
import typing as t

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from tap_voucherify.columns import METADATA, ColumnType
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import JSON_ENCODER, to_json_object

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _typeshed import WriteableBuffer

    from tap_voucherify.files.reader import Block, ExportReader

# A row that is longer than this is left to the record path's reader.
CSV_BLOCK_BYTES = 4 << 20

ARROW_TYPES = {
    ColumnType.TEXT: pa.string(),
    ColumnType.NUMBER: pa.decimal128(38, 9),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
    ColumnType.JSON_OBJECT: pa.string(),
}
METADATA_TYPE = pa.map_(pa.string(), pa.string())

# The forms that Arrow casts to what the record path reads.
_CANONICAL = {
    ColumnType.NUMBER: r"^-?(0|[1-9][0-9]{0,28})(\.[0-9]{1,9})?$",
    ColumnType.INTEGER: r"^-?(0|[1-9][0-9]{0,17})$",
    ColumnType.BOOLEAN: r"^(true|false)$",
    ColumnType.DATE: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    ColumnType.TIMESTAMP: r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}\.[0-9]{3}Z$",
}


class ArrowBlock:
    """Consecutive rows of a file as an Arrow table."""

    def __init__(self, table: pa.Table) -> None:
        """Take a table with the schema of the stream."""
        self.table = table
        self._values: dict[str, list[str | None]] = {}

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self.table.num_rows)

    def values(self, name: str) -> list[str | None]:
        """Return the values of a column of times, in the form of bookmarks."""
        # The window and the bookmark both ask for them.
        if name not in self._values:
            texts = pc.strftime(self.table[name], format="%Y-%m-%dT%H:%M:%SZ")
            self._values[name] = texts.to_pylist()
        return self._values[name]

    def select(self, mask: Sequence[bool]) -> ArrowBlock:
        """Return the block of the rows to keep."""
        return ArrowBlock(self.table.filter(pa.array(mask)))

    def slice(self, start: int, stop: int) -> ArrowBlock:
        """Return the block of consecutive rows."""
        return ArrowBlock(self.table.slice(start, max(0, stop - start)))


class ArrowReader:
    """Reads one exported file into tables of one schema."""

    def __init__(self, reader: ExportReader) -> None:
        """Prepare to read a file.

        Args:
            reader: The record path's reader of the same file, which has read its header.
        """
        self._reader = reader
        self._needs_fallback = False
        fields = [
            pa.field(column.name, ARROW_TYPES[column.type], nullable=column.name not in reader.keys)
            for column in reader.columns
        ]
        fields += [pa.field(name, ARROW_TYPES[ColumnType.TIMESTAMP]) for name in reader.coalesce]
        if reader.has_metadata:
            fields.append(pa.field(METADATA, METADATA_TYPE, nullable=False))
        self._schema = pa.schema(fields)

    def __iter__(self) -> Iterator[ArrowBlock]:
        """Yield the rows in blocks; those before a faulty one come before its error.

        Raises:
            ExportFileError: If a row or a cell is not what was asked for.
        """
        done = 0
        for table in self._canonical_tables():
            yield ArrowBlock(table)
            done += table.num_rows
        if not self._needs_fallback:
            return
        for block in self._reader:
            rest = block.slice(min(done, len(block)), len(block))
            done -= len(block) - len(rest)
            if rest:
                yield ArrowBlock(self._to_table(rest))

    def _canonical_tables(self) -> Iterator[pa.Table]:
        """Yield tables up to the first row that is not in the usual form."""
        width = self._reader.binding.width
        names = [str(position) for position in range(width)]
        try:
            batches = csv.open_csv(
                pa.PythonFile(_IndependentFile(self._reader.file), mode="r"),
                csv.ReadOptions(
                    column_names=names, skip_rows_after_names=1, block_size=CSV_BLOCK_BYTES
                ),
                csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
            for batch in batches:
                yield self._convert(batch)
        except pa.ArrowInvalid:
            self._needs_fallback = True

    def _convert(self, batch: pa.RecordBatch) -> pa.Table:
        """Cast the columns; one that is not in its usual form raises `ArrowInvalid`."""
        arrays = {}
        for column, position in zip(
            self._reader.columns, self._reader.binding.positions, strict=True
        ):
            if position is None:
                arrays[column.name] = pa.nulls(batch.num_rows, ARROW_TYPES[column.type])
            else:
                is_key = column.name in self._reader.keys
                arrays[column.name] = _cast(batch.column(position), column.type, is_key=is_key)
        for name, sources in self._reader.coalesce.items():
            arrays[name] = pc.coalesce(*(arrays[source] for source in sources))
        if METADATA in self._schema.names:
            found = self._reader.metadata_columns
            arrays[METADATA] = _to_maps(
                [name for name, _ in found],
                [batch.column(position) for _, position in found],
                batch.num_rows,
            )
        return pa.table([arrays[name] for name in self._schema.names], schema=self._schema)

    def _to_table(self, block: Block) -> pa.Table:
        """Turn a block of the record path into a table."""
        arrays = []
        try:
            for field in self._schema:
                values: Sequence[t.Any] = block.values(field.name)
                if field.name == METADATA:
                    values = [list(attributes.items()) for attributes in values]
                elif pa.types.is_date32(field.type) or pa.types.is_timestamp(field.type):
                    # Arrow reads them from text, not from what Python has for them.
                    arrays.append(pa.array(values, pa.string()).cast(field.type))
                    continue
                elif pa.types.is_string(field.type):
                    values = [_text(value) for value in values]
                arrays.append(pa.array(values, field.type))
        except (pa.ArrowException, OverflowError) as error:
            raise ExportFileError(
                f"column {field.name!r} holds a value beyond {field.type}: {error}"
            ) from error
        return pa.table(arrays, schema=self._schema)


class _IndependentFile(io.RawIOBase):
    """The content of a file, read without moving the position of its other readers."""

    def __init__(self, file: t.BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._position = 0

    def readable(self) -> bool:
        return True

    # Arrow calls this in threads of its own, which coverage cannot follow.
    def readinto(self, buffer: WriteableBuffer, /) -> int:  # pragma: no cover
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count


def _cast(cells: pa.Array, column_type: ColumnType, *, is_key: bool) -> pa.Array:
    if column_type is ColumnType.TEXT:
        return pc.fill_null(cells, "") if is_key else cells
    if column_type is ColumnType.JSON_OBJECT:
        return pa.array(map(_normalise_json, cells.to_pylist()), pa.string())
    matches = pc.match_substring_regex(cells, _CANONICAL[column_type])
    is_usual = pc.all(matches, min_count=0).as_py()
    if not is_usual or (is_key and cells.null_count):
        raise pa.ArrowInvalid
    return cells.cast(ARROW_TYPES[column_type])


def _normalise_json(cell: str | None) -> str | None:
    try:
        return None if cell is None else JSON_ENCODER.encode(to_json_object(cell)).decode()
    except ValueError as error:
        raise pa.ArrowInvalid from error


@functools.lru_cache(maxsize=8)
def _row_by_row(rows: int, columns: int) -> tuple[pa.Array, pa.Array]:
    """Return indices that read concatenated columns row by row, and those of the columns."""
    order = [column * rows + row for row in range(rows) for column in range(columns)]
    return pa.array(order), pa.array(list(range(columns)) * rows)


def _to_maps(names: list[str], columns: list[pa.Array], rows: int) -> pa.Array:
    """Return the custom attributes of each row that have a value."""
    if not names:
        return pa.MapArray.from_arrays(pa.array([0] * (rows + 1), pa.int32()), [], [])
    order, column_of = _row_by_row(rows, len(names))
    values = pa.concat_arrays(columns).take(order)
    has_value = values.is_valid()
    counts = pc.cumulative_sum(has_value.cast(pa.int32()))
    ends = counts.take(pa.array(range(len(names) - 1, rows * len(names), len(names))))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    keys = pa.array(names).take(column_of)
    return pa.MapArray.from_arrays(offsets, keys.filter(has_value), values.filter(has_value))


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str) else JSON_ENCODER.encode(value).decode()
