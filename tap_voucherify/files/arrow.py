"""Turn validated blocks of rows into typed Arrow tables.

Arrow never reads the CSV itself: its columns are built from the rows of the record reader,
so both accept the same files and raise the same errors. The one exception is a number
beyond Arrow's types. Only Parquet batch files need this module and pyarrow (the extra
`parquet`).
"""

from __future__ import annotations

import decimal
import itertools
import typing as t

import pyarrow as pa

from tap_voucherify.columns import METADATA, ColumnType
from tap_voucherify.errors import ExportFileError, RequestError
from tap_voucherify.files.cells import JSON_ENCODER, to_integer, to_number
from tap_voucherify.files.fields import shorten
from tap_voucherify.instants import Span

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tap_voucherify.columns import Column
    from tap_voucherify.files.reader import Block, ExportReader, Record

# Size of a table, which becomes a row group of a Parquet file.
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
        times: Its timestamp columns in bookmark format.
    """

    def __init__(self, table: pa.Table, times: Mapping[str, Sequence[str | None]]) -> None:
        self.table = table
        self.times = times

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def values(self, name: str) -> Sequence[str | None]:
        """Return a timestamp column in bookmark format."""
        return self.times[name]

    def span(self, name: str) -> Span:
        """Return the times of a column in bookmark format."""
        return Span.of(list(filter(None, self.times[name])))

    def select(self, mask: Sequence[bool]) -> ArrowBlock:
        """Return the rows where `mask` is true."""
        times = {name: list(itertools.compress(v, mask)) for name, v in self.times.items()}
        return ArrowBlock(self.table.filter(pa.array(mask)), times)

    def slice(self, start: int, stop: int) -> ArrowBlock:
        """Return rows `start` to `stop`."""
        times = {name: values[start:stop] for name, values in self.times.items()}
        return ArrowBlock(self.table.slice(start, max(0, stop - start)), times)

    @classmethod
    def concat(cls, blocks: Sequence[ArrowBlock]) -> ArrowBlock:
        """Return the rows of consecutive blocks."""
        times = {
            name: list(itertools.chain.from_iterable(block.values(name) for block in blocks))
            for name in blocks[0].times
        }
        return cls(pa.concat_tables(block.table for block in blocks), times)


class _BeyondTypeError(ValueError):
    """A number that an Arrow type cannot hold.

    Attributes:
        row: Its row in the block.
    """

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


class ArrowReader:
    """Reads one exported file into tables with a fixed schema."""

    def __init__(self, reader: ExportReader) -> None:
        """Read no row yet.

        Args:
            reader: The record reader of the file.
        """
        self._reader = reader
        self._columns = {
            column.name: (column.type, position)
            for column, position in zip(reader.columns, reader.binding.positions, strict=True)
        }
        self._schema = pa.schema([self._field(field.name) for field in reader.fields])

    def __iter__(self) -> Iterator[ArrowBlock]:
        """Yield blocks of rows; rows before an invalid one are yielded before the error.

        Raises:
            ExportFileError: If a row or cell is invalid, or a number beyond Arrow's types.
        """
        blocks: list[ArrowBlock] = []
        rows = size = 0
        try:
            for block in self._blocks():
                blocks.append(block)
                rows += len(block)
                size += block.table.nbytes
                if rows >= _ROWS_PER_TABLE or size >= _BYTES_PER_TABLE:
                    yield ArrowBlock.concat(blocks)
                    blocks, rows, size = [], 0, 0
        except ExportFileError:
            if blocks:
                yield ArrowBlock.concat(blocks)
            raise
        if blocks:
            yield ArrowBlock.concat(blocks)

    def _blocks(self) -> Iterator[ArrowBlock]:
        """Convert the blocks of the record reader."""
        done = 0
        for block in self._reader:
            valid, error = block, None
            while True:
                try:
                    converted = self._convert(valid)
                    break
                except _BeyondTypeError as beyond:
                    error = beyond
                    valid = block.slice(0, beyond.row)
            done += len(valid)
            if valid:
                yield converted
            if error:
                raise ExportFileError(f"row {done + 1}, {error}")

    def _field(self, name: str) -> pa.Field:
        if name == METADATA:
            # A file without metadata has no keys to make a struct of.
            keys = [pa.field(key, pa.string()) for key, _ in self._reader.metadata_columns]
            return pa.field(name, pa.struct(keys) if keys else pa.null())
        # Properties that the tap adds are times, or keys.
        is_key = name in self._reader.keys
        default = ColumnType.TEXT if is_key else ColumnType.TIMESTAMP
        column_type, _ = self._columns.get(name, (default, None))
        return pa.field(name, ARROW_TYPES[column_type], nullable=not is_key)

    def _convert(self, block: Block) -> ArrowBlock:
        """Convert a block; a number beyond its type raises `_BeyondTypeError`."""
        arrays = [self._to_array(field, block) for field in self._schema]
        times = {
            field.name: block.values(field.name)
            for field in self._schema
            if pa.types.is_timestamp(field.type)
        }
        return ArrowBlock(pa.table(arrays, schema=self._schema), times)

    def _to_array(self, field: pa.Field, block: Block) -> pa.Array:
        if field.name == METADATA:
            return self._to_struct(field.type, block)
        column_type, position = self._columns.get(field.name, (None, None))
        if column_type in _PARSERS and position is not None:
            return _to_numbers(block.cells(position), field, _PARSERS[column_type])
        return _to_column(column_type, field, block.values(field.name))

    def _to_struct(self, struct: pa.StructType, block: Block) -> pa.Array:
        columns = [
            pa.array([cell or None for cell in block.cells(position)], pa.string())
            for _, position in self._reader.metadata_columns
        ]
        if not columns:
            return pa.nulls(len(block), struct)
        return pa.StructArray.from_arrays(columns, fields=list(struct))


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
    return ArrowBlock(pa.table(arrays, schema=schema), {})


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
    """Convert the values of records."""
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
        # Arrow rejects some forms of numbers that it can hold.
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
    """Return a number without the zeros at its end."""
    number = to_number(text)
    digits = len(number.as_tuple().digits)
    return number.normalize(decimal.Context(digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX))


_PARSERS: Mapping[ColumnType | None, Callable[[str], object]] = {
    ColumnType.NUMBER: _to_short_decimal,
    ColumnType.INTEGER: to_integer,
}
