"""Read a CSV export into records, strictly."""

from __future__ import annotations

import codecs
import csv
import itertools
import sys
import typing as t

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import JSON_ENCODER
from tap_voucherify.files.fields import (
    CoalescedField,
    ColumnField,
    Field,
    MetadataField,
    MetadataOptions,
    RecordLayout,
    shorten,
)
from tap_voucherify.files.header import bind

if t.TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import msgspec

    from tap_voucherify.columns import Column

Record = dict[str, t.Any]

# Small enough to stay in the CPU cache.
ROWS_PER_BLOCK = 250


class Block:
    """A validated block of consecutive rows."""

    def __init__(self, layout: RecordLayout, rows: Sequence[Sequence[str]]) -> None:
        """Parse rows; an invalid cell raises `ValueError`."""
        self._layout = layout
        self._rows = rows
        columns = tuple(zip(*rows, strict=True))
        self._values = [field.parse(columns) for field in layout.fields] if rows else []

    def __len__(self) -> int:
        return len(self._rows)

    def values(self, name: str) -> Sequence[t.Any]:
        """Return the values of one property."""
        if not self._rows:
            return []
        index = self._layout.names.index(name)
        return self._layout.fields[index].values(self._values[index])

    def records(self) -> list[Record]:
        """Return the records."""
        names = self._layout.names
        columns = [self.values(name) for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def encodable(self) -> list[msgspec.Struct]:
        """Return the records for msgspec to encode: much faster than dictionaries.

        Works by column, so per-row work happens in C.
        """
        values = zip(self._layout.fields, self._values, strict=True)
        columns = (field.encodable(parsed) for field, parsed in values)
        return list(map(self._layout.record_type, *columns))

    def json_lines(self) -> bytes:
        """Return the records as lines of JSON."""
        return JSON_ENCODER.encode_lines(self.encodable())

    def slice(self, start: int, stop: int) -> Block:
        """Return rows `start` to `stop`."""
        return Block(self._layout, self._rows[start:stop])

    def select(self, mask: Iterable[bool]) -> Block:
        """Return the rows where `mask` is true."""
        return Block(self._layout, list(itertools.compress(self._rows, mask)))


class ExportReader:
    """Reads the records of one exported file, block by block."""

    def __init__(
        self,
        file: t.BinaryIO,
        columns: Sequence[Column],
        *,
        keys: Sequence[str] = (),
        metadata: MetadataOptions | None = None,
        coalesce: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Read the header.

        Args:
            file: The file, from its beginning.
            columns: The requested columns, in order.
            keys: Names of the key columns: empty cells become "" (text) or an error
                (other types).
            metadata: How to read metadata columns; None if metadata was not requested.
            coalesce: Extra properties: the first non-empty of two timestamps.

        Raises:
            ExportFileError: If the header does not match the columns.
        """
        # Lift csv's limit of 128 KiB per cell.
        csv.field_size_limit(sys.maxsize)
        self.file = file
        self.columns = columns
        self.keys = keys
        self.coalesce = coalesce or {}
        self.has_metadata = metadata is not None
        self._row_number = 0
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        self._rows = csv.reader(map(bytes.decode, file), strict=True)
        header = next(self._read_rows(1), None)
        if header is None:
            raise ExportFileError("the file is empty (no header)")
        self.binding = bind(header[0], columns, with_metadata=self.has_metadata)
        bound = list(zip(columns, self.binding.positions, strict=True))
        self.missing = [column for column, position in bound if position is None]
        fields: list[Field] = [
            ColumnField(column, position, is_key=column.name in keys) for column, position in bound
        ]
        standard = {field.name: field for field in fields}
        for name, (first, second) in self.coalesce.items():
            fields.append(CoalescedField(name, standard[first], standard[second]))
        self._metadata = MetadataField(self.binding.metadata, metadata or MetadataOptions())
        if self.has_metadata:
            fields.append(self._metadata)
        self._layout = RecordLayout(fields)

    @property
    def metadata_columns(self) -> list[tuple[str, int]]:
        """Selected metadata columns with their positions."""
        return self._metadata.columns

    @property
    def type_mismatches(self) -> Counter[str]:
        """Type mismatches of metadata values, by key."""
        return self._metadata.type_mismatches

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks of rows; rows before an invalid one are yielded before the error.

        Raises:
            ExportFileError: If a row or cell is invalid.
        """
        for rows in self._read_rows(ROWS_PER_BLOCK):
            try:
                if set(map(len, rows)) != {self.binding.width}:
                    raise ValueError  # noqa: TRY301 - handled like an invalid cell
                yield Block(self._layout, rows)
            except ValueError:
                faults = enumerate(map(self._fault, rows))
                index, fault = next((index, fault) for index, fault in faults if fault)
                if index:
                    yield Block(self._layout, rows[:index])
                raise ExportFileError(f"row {self._row_number + index + 1}, {fault}") from None
            self._row_number += len(rows)

    def _fault(self, row: Sequence[str]) -> str | None:
        """Return the first problem of a row, or None."""
        if len(row) != self.binding.width:
            return f"has {len(row)} cells instead of {self.binding.width}: {shorten(str(row))}"
        return next(filter(None, (field.fault(row) for field in self._layout.fields)), None)

    def _read_rows(self, count: int) -> Iterator[list[list[str]]]:
        """Yield raw rows in groups of `count`."""
        while True:
            rows: list[list[str]] = []
            fault = None
            try:
                rows.extend(itertools.islice(self._rows, count))
            except csv.Error as error:
                fault = f"line {self._rows.line_num} is not valid CSV: {error}"
            except UnicodeDecodeError as error:
                offset = self.file.tell() - len(error.object) + error.start
                fault = f"byte {offset} of the file is not valid UTF-8"
            if rows:
                yield rows
            if fault:
                raise ExportFileError(fault)
            if not rows:
                return
