"""Read a CSV export into records, strictly."""

from __future__ import annotations

import itertools
import typing as t

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import encode_lines, shorten
from tap_voucherify.files.fields import (
    CoalescedField,
    ColumnField,
    DigestField,
    Field,
    MetadataField,
    MetadataOptions,
    RecordLayout,
)
from tap_voucherify.instants import Span

if t.TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tap_voucherify.columns import Column
    from tap_voucherify.files.header import Binding
    from tap_voucherify.files.rows import CsvRows

Record = dict[str, t.Any]


class RecordBlock(t.Protocol):
    """Consecutive records in final form."""

    def __len__(self) -> int: ...

    def records(self) -> list[Record]:
        """Return the records."""

    def json_lines(self, prefix: bytes = b"", suffix: bytes = b"") -> bytes | memoryview:
        """Return the records as lines of JSON, each with a prefix and a suffix."""

    def slice(self, start: int, stop: int) -> RecordBlock:
        """Return records `start` to `stop`."""


class RowBlock(RecordBlock, t.Protocol):
    """Consecutive records of a file."""

    def values(self, name: str) -> Sequence[t.Any]:
        """Return the values of one property."""

    def span(self, name: str) -> Span:
        """Return the span of a timestamp property; its order may not be measured."""

    def select(self, mask: Sequence[bool]) -> RowBlock:
        """Return the rows where `mask` is true."""

    def slice(self, start: int, stop: int) -> RowBlock:
        """Return rows `start` to `stop`."""


class Block:
    """A validated block of consecutive rows."""

    def __init__(self, layout: RecordLayout, rows: Sequence[Sequence[str]]) -> None:
        """Parse rows; an invalid cell raises `ValueError`."""
        self._layout = layout
        self._rows = rows
        self._columns = tuple(zip(*rows, strict=True))
        self._values = [field.parse(self._columns) for field in layout.fields] if rows else []

    def __len__(self) -> int:
        return len(self._rows)

    def cells(self, position: int) -> Sequence[str]:
        """Return the cells of one column of the file."""
        return self._columns[position] if self._rows else ()

    def values(self, name: str) -> Sequence[t.Any]:
        """Return the values of one property."""
        if not self._rows:
            return []
        index = self._layout.names.index(name)
        return self._layout.fields[index].values(self._values[index])

    def span(self, name: str) -> Span:
        """Return the span of a timestamp property; its order is not measured."""
        return Span.of(list(filter(None, self.values(name))))

    def records(self) -> list[Record]:
        """Return the records."""
        names = self._layout.names
        columns = [self.values(name) for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def json_lines(self, prefix: bytes = b"", suffix: bytes = b"") -> bytes:
        """Return the records as lines of JSON, each with a prefix and a suffix.

        Works by column and with structs, so per-row work happens in C.
        """
        values = zip(self._layout.fields, self._values, strict=True)
        columns = (field.encodable(parsed) for field, parsed in values)
        return encode_lines(list(map(self._layout.record_type, *columns)), prefix, suffix)

    def slice(self, start: int, stop: int) -> Block:
        """Return rows `start` to `stop`."""
        return Block(self._layout, self._rows[start:stop])

    def select(self, mask: Iterable[bool]) -> Block:
        """Return the rows where `mask` is true."""
        return Block(self._layout, list(itertools.compress(self._rows, mask)))


class ExportReader:
    """Reads the records of one exported file, block by block.

    Attributes:
        columns: The requested columns.
        keys: Names of the key properties.
        binding: Where the columns are.
        missing: The columns that the file lacks.
        fields: The properties of the records.
        rows: The file's rows.
    """

    def __init__(  # noqa: PLR0913 - by name
        self,
        rows: CsvRows,
        binding: Binding,
        columns: Sequence[Column],
        *,
        keys: Sequence[str] = (),
        metadata: MetadataOptions | None = None,
        coalesce: Mapping[str, tuple[str, str]] | None = None,
        digests: Mapping[str, Sequence[str]] | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        """Prepare without reading any rows.

        Args:
            rows: The file's rows.
            binding: Where the columns are.
            columns: The requested columns, in order.
            keys: Names of the key columns; an empty cell is an error.
            metadata: How to read metadata columns; None if metadata was not requested.
            coalesce: Extra properties: the first non-empty of two timestamps.
            digests: Extra properties: a key computed from the named columns; those that
                were not requested count as empty.
            hidden: Names of columns that are not emitted.
        """
        self.columns = columns
        self.keys = keys
        self.binding = binding
        self.rows = rows
        rows.reject_footer()
        bound = list(zip(columns, binding.positions, strict=True))
        self.missing = [column for column, position in bound if position is None]
        bound_fields = {
            column.name: ColumnField(column, position, is_key=column.name in keys)
            for column, position in bound
        }
        fields: dict[str, Field] = {**bound_fields}
        for name, (first, second) in (coalesce or {}).items():
            fields[name] = CoalescedField(name, bound_fields[first], bound_fields[second])
        for name, sources in (digests or {}).items():
            fields[name] = DigestField(name, [fields.get(source) for source in sources])
        self._metadata = MetadataField(binding.metadata, metadata or MetadataOptions())
        if metadata is not None:
            fields[self._metadata.name] = self._metadata
        for name in hidden:
            fields.pop(name, None)
        self.fields = list(fields.values())
        self._layout = RecordLayout(self.fields)

    @property
    def metadata_columns(self) -> list[tuple[str, int]]:
        """Selected metadata columns with their positions."""
        return self._metadata.columns

    @property
    def type_mismatches(self) -> Counter[str]:
        """Type mismatches of metadata values, by key."""
        return self._metadata.type_mismatches

    @property
    def replacements(self) -> list[str]:
        """Names of the properties in which half of a surrogate pair was replaced."""
        return [
            field.name
            for field in self.fields
            if isinstance(field, ColumnField) and field.has_replacements
        ]

    def to_block(self, rows: Sequence[Sequence[str]]) -> Block:
        """Return a block of rows; an invalid cell raises `ValueError`."""
        return Block(self._layout, rows)

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks of rows; rows before an invalid one are yielded before the error.

        Raises:
            ExportFileError: If a row or cell is invalid.
        """
        return self.read(iter(self.rows))

    def read(self, blocks: Iterator[list[list[str]]]) -> Iterator[Block]:
        """Convert blocks of raw rows; see `__iter__`."""
        for rows in blocks:
            first = self.rows.rows_read - len(rows) + 1
            try:
                if set(map(len, rows)) != {self.binding.width}:
                    raise ValueError  # noqa: TRY301 - handled like an invalid cell
                yield self.to_block(rows)
            except ValueError:
                faults = enumerate(map(self._fault, rows))
                index, fault = next((index, fault) for index, fault in faults if fault)
                if index:
                    yield self.to_block(rows[:index])
                rest = itertools.chain.from_iterable(itertools.chain(blocks, self.rows))
                if self._is_end(itertools.chain(rows[index:], rest)):
                    return
                raise ExportFileError(f"row {first + index}, {fault}") from None

    def _is_end(self, rows: Iterable[Sequence[str]]) -> bool:
        """Whether only empty lines are left; in a file of one column they would be rows."""
        try:
            return self.binding.width > 1 and not any(rows)
        except ExportFileError:
            return False

    def _fault(self, row: Sequence[str]) -> str | None:
        """Return the first fault in a row, or None."""
        if len(row) != self.binding.width:
            return f"has {len(row)} cells instead of {self.binding.width}: {shorten(str(row))}"
        return next(filter(None, (field.fault(row) for field in self._layout.fields)), None)
