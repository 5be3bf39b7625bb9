"""Turn validated blocks of rows into typed Arrow tables.

Arrow never reads the CSV itself: its columns are built from rows that the exact reader or compiled
code has validated, so the same files are accepted and the same errors raised. The one exception is
a number that does not fit its Arrow type. Only Parquet batch files need this module and pyarrow
(the extra `parquet`).
"""

from __future__ import annotations

import decimal
import typing as t

import pyarrow as pa
import pyarrow.compute as pc

from tap_voucherify.columns import METADATA, ColumnType
from tap_voucherify.errors import ExportFileError, RequestError
from tap_voucherify.files.cells import JSON_ENCODER, shorten, to_integer, to_number
from tap_voucherify.files.scanned import ScannedBlock, read_blocks
from tap_voucherify.instants import Span

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tap_voucherify.columns import Column
    from tap_voucherify.files.compiled import Compiled, Texts
    from tap_voucherify.files.reader import Block, ExportReader, Record

# Target size of a table; each becomes a row group of a Parquet file.
_BYTES_PER_TABLE = 4 << 20
_ROWS_PER_TABLE = 1 << 15

ARROW_TYPES = {
    ColumnType.TEXT: pa.string(),
    ColumnType.NUMBER: pa.decimal128(38, 9),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
    ColumnType.JSON_OBJECT: pa.string(),
    ColumnType.JSON_ARRAY: pa.string(),
}


class ArrowBlock:
    """Consecutive rows of a file as an Arrow table.

    Attributes:
        table: The rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def values(self, name: str) -> Sequence[str | None]:
        """Return a timestamp column in bookmark format."""
        return _in_bookmark_form(self.table[name])

    def span(self, name: str) -> Span:
        """Return the span of a timestamp column; its order is not measured."""
        times = self.table[name].drop_null()
        if not len(times):
            return Span()
        extremes = pa.array(pc.min_max(times).values(), times.type)
        least, greatest = t.cast("list[str]", _in_bookmark_form(extremes))
        return Span(len(times), least, greatest)

    def repetitive_columns(self) -> list[str]:
        """Return the paths of columns in which at most half of the values are distinct."""
        return [
            path
            for field, column in zip(self.table.schema, self.table.columns, strict=True)
            for path, values in _leaves(field, column)
            if 2 * len(values.unique()) <= len(values)
        ]

    def select(self, mask: Sequence[bool]) -> ArrowBlock:
        """Return the rows where `mask` is true."""
        return ArrowBlock(self.table.filter(pa.array(mask)))

    def slice(self, start: int, stop: int) -> ArrowBlock:
        """Return rows `start` to `stop`."""
        return ArrowBlock(self.table.slice(start, max(0, stop - start)))


def _leaves(field: pa.Field, column: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray]]:
    if not pa.types.is_struct(field.type):
        yield field.name, column
        return
    for key, values in zip(field.type, column.flatten(), strict=True):
        yield f"{field.name}.{key.name}", values


def _in_bookmark_form(times: pa.Array | pa.ChunkedArray) -> list[str | None]:
    # Without a time zone, Arrow does not need the time zone database.
    texts = times.cast(pa.timestamp("ms")).cast(pa.string()).to_pylist()
    return [text and f"{text.replace(' ', 'T')}Z" for text in texts]


class _BeyondTypeError(ValueError):
    """A number that an Arrow type cannot hold.

    Attributes:
        row: The index of its row in the block.
    """

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


class ArrowReader:
    """Reads one exported file into tables with a fixed schema."""

    def __init__(self, reader: ExportReader, compiled: Compiled | None = None) -> None:
        """Prepare without reading any rows.

        Args:
            reader: The exact reader of the file.
            compiled: Compiled code, if available.
        """
        self._reader = reader
        self._compiled = compiled
        self._columns = {
            column.name: (column.type, position)
            for column, position in zip(reader.columns, reader.binding.positions, strict=True)
        }
        self._schema = pa.schema([self._field(field.name) for field in reader.fields])

    def __iter__(self) -> Iterator[ArrowBlock]:
        """Yield blocks of rows; rows before an invalid one are yielded before the error.

        Raises:
            ExportFileError: If a row or cell is invalid, or a number does not fit its type.
        """
        tables: list[pa.Table] = []
        rows = size = 0
        fault = None
        try:
            for table in self._tables():
                tables.append(table)
                rows += table.num_rows
                size += table.nbytes
                if rows >= _ROWS_PER_TABLE or size >= _BYTES_PER_TABLE:
                    yield ArrowBlock(pa.concat_tables(tables))
                    tables, rows, size = [], 0, 0
        except ExportFileError as error:
            fault = error
        if tables:
            yield ArrowBlock(pa.concat_tables(tables))
        if fault:
            raise fault

    def _tables(self) -> Iterator[pa.Table]:
        """Convert all blocks; the one with a number that does not fit is cut before its row."""
        done = 0
        for block in read_blocks(self._reader, self._compiled):
            valid, error = block, None
            while True:
                try:
                    table = self._convert(valid)
                    break
                except _BeyondTypeError as beyond:
                    error = beyond
                    valid = block.slice(0, beyond.row)
            done += len(valid)
            if valid:
                yield table
            if error:
                raise ExportFileError(f"row {done + 1}, {error}")

    def _field(self, name: str) -> pa.Field:
        if name == METADATA:
            # A file without metadata has no keys for a struct.
            keys = [pa.field(key, pa.string()) for key, _ in self._reader.metadata_columns]
            return pa.field(name, pa.struct(keys) if keys else pa.null())
        # Properties added by the tap are timestamps or keys.
        is_key = name in self._reader.keys
        default = ColumnType.TEXT if is_key else ColumnType.TIMESTAMP
        column_type, _ = self._columns.get(name, (default, None))
        return pa.field(name, ARROW_TYPES[column_type], nullable=not is_key)

    def _convert(self, block: Block | ScannedBlock) -> pa.Table:
        """Convert a block; a number that does not fit its type raises `_BeyondTypeError`."""
        if isinstance(block, ScannedBlock):
            arrays = [self._scanned_array(field, block) for field in self._schema]
        else:
            arrays = [self._exact_array(field, block) for field in self._schema]
        return pa.table(arrays, schema=self._schema)

    @staticmethod
    def _scanned_array(field: pa.Field, block: ScannedBlock) -> pa.Array:
        """Convert a property; numbers that compiled code accepts always fit."""
        if field.name == METADATA:
            return _to_struct(field.type, map(_to_texts, block.metadata()), len(block))
        return _to_texts(block.column(field.name)).cast(field.type)

    def _exact_array(self, field: pa.Field, block: Block) -> pa.Array:
        if field.name == METADATA:
            cells = (block.cells(position) for _, position in self._reader.metadata_columns)
            texts = (pa.array([cell or None for cell in each], pa.string()) for each in cells)
            return _to_struct(field.type, texts, len(block))
        column_type, position = self._columns.get(field.name, (None, None))
        if column_type in _PARSERS and position is not None:
            return _to_numbers(block.cells(position), field, _PARSERS[column_type])
        return _to_column(column_type, field, block.values(field.name))


def _to_texts(texts: Texts) -> pa.StringArray:
    """Wrap a column of text without copying it."""
    data, offsets, validity = map(pa.py_buffer, texts)
    return pa.StringArray.from_buffers(len(texts.offsets) - 1, offsets, data, validity)


def _to_struct(struct: pa.DataType, columns: Iterable[pa.Array], rows: int) -> pa.Array:
    if not pa.types.is_struct(struct):
        return pa.nulls(rows, struct)
    return pa.StructArray.from_arrays(list(columns), fields=list(struct))


def to_table(columns: Sequence[Column], keys: Sequence[str], records: list[Record]) -> ArrowBlock:
    """Convert records of listed objects.

    Raises:
        RequestError: If a number does not fit its type.
    """
    schema = pa.schema(
        pa.field(column.name, ARROW_TYPES[column.type], nullable=column.name not in keys)
        for column in columns
    )
    arrays = [
        _to_property(column.type, field, [each[column.name] for each in records])
        for column, field in zip(columns, schema, strict=True)
    ]
    return ArrowBlock(pa.table(arrays, schema=schema))


def _to_property(column_type: ColumnType, field: pa.Field, values: Sequence[t.Any]) -> pa.Array:
    try:
        return _to_column(column_type, field, values)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise RequestError(
            f"property {field.name!r}: a number does not fit {field.type}; deselect the property"
        ) from error


def _to_column(
    column_type: ColumnType | None, field: pa.Field, values: Sequence[t.Any]
) -> pa.Array:
    """Convert values as records have them."""
    if column_type and column_type.is_json:
        values = [None if value is None else JSON_ENCODER.encode(value) for value in values]
    if pa.types.is_date32(field.type) or pa.types.is_timestamp(field.type):
        # These are ISO strings here, so cast from text.
        return pa.array(values, pa.string()).cast(field.type)
    return pa.array(values, field.type)


def _to_numbers(cells: Sequence[str], field: pa.Field, parse: Callable[[str], object]) -> pa.Array:
    texts = [cell or None for cell in cells]
    try:
        return pa.array(texts, pa.string()).cast(field.type)
    except pa.ArrowInvalid:
        # Arrow cannot parse every notation of the numbers that it can hold.
        return pa.array(
            [text and _to_number(text, row, field, parse) for row, text in enumerate(texts)],
            field.type,
        )


def _to_number(text: str, row: int, field: pa.Field, parse: Callable[[str], object]) -> object:
    number = parse(text)
    try:
        pa.scalar(number, field.type)
    except (pa.ArrowInvalid, OverflowError) as error:
        message = f"column {field.name!r}: {shorten(text)} does not fit {field.type}"
        raise _BeyondTypeError(message, row) from error
    return number


def _to_short_decimal(text: str) -> decimal.Decimal:
    """Parse a number and strip trailing zeros."""
    number = to_number(text)
    digits = len(number.as_tuple().digits)
    return number.normalize(decimal.Context(digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX))


_PARSERS: Mapping[ColumnType | None, Callable[[str], object]] = {
    ColumnType.NUMBER: _to_short_decimal,
    ColumnType.INTEGER: to_integer,
}
