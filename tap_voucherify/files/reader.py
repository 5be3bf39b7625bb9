"""A CSV file becomes records, exactly or not at all."""

from __future__ import annotations

import abc
import codecs
import csv
import itertools
import sys
import typing as t
from collections import Counter
from types import MappingProxyType

import msgspec
from msgspec import Raw

from tap_voucherify.columns import METADATA, TEXT
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import CONVERSIONS, JSON_ENCODER
from tap_voucherify.files.header import bind

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tap_voucherify.columns import Column

Record = dict[str, t.Any]

# Blocks that fit in a processor's cache are faster than longer ones.
ROWS_PER_BLOCK = 250

# More different cells of a column than this are not remembered.
_REMEMBERED_CELLS = 10_000

# As much of a cell as an error shows.
_SHOWN_CHARACTERS = 80


class Attributes(t.NamedTuple):
    """What to do with the custom attributes.

    Attributes:
        readers: What reads the cells of those that are not text, by name.
        is_selected: Tells which ones to keep.
    """

    readers: Mapping[str, Callable[[str], t.Any]] = MappingProxyType({})
    is_selected: Callable[[str], bool] = lambda _: True


class _Memory(dict[str, t.Any]):
    """What cells were read as: most cells of a column repeat earlier ones."""

    def __init__(self, read: Callable[[str], t.Any]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, cell: str) -> t.Any:
        if len(self) >= _REMEMBERED_CELLS:
            self.clear()
        value = self[cell] = self._read(cell)
        return value


class _Field(abc.ABC):
    """A property of the records."""

    name: str

    @abc.abstractmethod
    def read(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        """Take what concerns it from a block's columns; a faulty cell raises `ValueError`."""

    def values(self, found: Sequence[t.Any]) -> Sequence[t.Any]:
        """Return the values of what was read."""
        return found

    def encodable(self, found: Sequence[t.Any]) -> Iterable[t.Any]:
        """Return the same for msgspec to encode."""
        return found

    def fault(self, row: Sequence[str]) -> str | None:  # noqa: ARG002 - most have none
        """Describe what is wrong with this property in a row, if anything is."""
        return None


class _ColumnField(_Field):
    """A column as a property; what msgspec can write as it stands is not converted."""

    def __init__(self, column: Column, position: int | None, *, is_key: bool) -> None:
        self.name = column.name
        self._position = position
        self._conversion = CONVERSIONS[column.type]
        self._is_text = column.type is TEXT
        self._is_key = is_key
        self._memory = _Memory(self._read_cell)

    def read(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        if self._position is None:
            return [None] * len(columns[0])
        cells = columns[self._position]
        if self._is_text or self._is_plain(cells):
            return cells if self._is_key else [cell or None for cell in cells]
        if self._conversion.is_shareable:
            return list(map(self._memory.__getitem__, cells))
        return list(map(self._read_cell, cells))

    def values(self, found: Sequence[t.Any]) -> Sequence[t.Any]:
        if not self._conversion.is_literal:
            return found
        convert = self._conversion.convert
        return [None if raw is None else convert(bytes(raw).decode()) for raw in found]

    def fault(self, row: Sequence[str]) -> str | None:
        if self._position is None or self._is_text:
            return None
        cell = row[self._position]
        try:
            self._read_cell(cell)
        except ValueError:
            return f"column {self.name!r}: {_shown(cell)} is not {self._conversion.meaning}"
        return None

    def _is_plain(self, cells: Sequence[str]) -> bool:
        plain = self._conversion.plain
        filled = cells if self._is_key else filter(None, cells)
        return plain is not None and all(map(plain.fullmatch, filled))

    def _read_cell(self, cell: str) -> t.Any:
        if not cell and not self._is_key:
            return None
        value = self._conversion.convert(cell)
        return Raw(cell) if self._conversion.is_literal else value


class _FirstOfField(_Field):
    """A property that takes the value of one field, or else of another."""

    def __init__(self, name: str, first: _Field, second: _Field) -> None:
        self.name = name
        self._sources = (first, second)

    def read(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        first, second = (field.read(columns) for field in self._sources)
        return [a or b for a, b in zip(first, second, strict=True)]


class _MetadataField(_Field):
    """The custom attributes, as one property of the records."""

    name = METADATA

    def __init__(self, found: Sequence[tuple[str, int]], attributes: Attributes) -> None:
        self.kept = [(name, position) for name, position in found if attributes.is_selected(name)]
        self._readers = attributes.readers
        self.misfits: Counter[str] = Counter()
        names = [name for name, _ in self.kept]
        try:
            self._struct = _object_type(names, omit_defaults=True) if names else None
        except ValueError:  # a name with characters that JSON escapes
            self._struct = None

    def read(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        return columns

    def values(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        if not self.kept:
            return [{}] * len(columns[0])
        names = [name for name, _ in self.kept]
        rows = zip(*self._converted(columns), strict=True)
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in rows
        ]

    def encodable(self, columns: Sequence[Sequence[str]]) -> Iterable[t.Any]:
        if self._struct is None:
            return self.values(columns)
        return map(self._struct, *self._converted(columns))

    def _converted(self, columns: Sequence[Sequence[str]]) -> Iterator[list[t.Any]]:
        for name, position in self.kept:
            cells = columns[position]
            if name in self._readers:
                yield [self._convert(name, cell) if cell else None for cell in cells]
            else:
                yield [cell or None for cell in cells]

    def _convert(self, name: str, cell: str) -> t.Any:
        try:
            return self._readers[name](cell)
        except ValueError:
            self.misfits[name] += 1
            return cell


class _Layout:
    """The properties of the records of a file.

    Attributes:
        fields: The properties.
        names: Their names.
        record_type: Its instances are encoded as objects with these properties.
    """

    def __init__(self, fields: Sequence[_Field]) -> None:
        self.fields = fields
        self.names = [field.name for field in fields]
        self.record_type = _object_type(self.names)


class Block:
    """Consecutive rows of a file, found to be what was asked for."""

    def __init__(self, layout: _Layout, rows: Sequence[Sequence[str]]) -> None:
        """Check rows of the right width; a faulty cell raises `ValueError`."""
        self._layout = layout
        self._rows = rows
        columns = tuple(zip(*rows, strict=True))
        self._found = [field.read(columns) for field in layout.fields] if rows else []

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def values(self, name: str) -> Sequence[t.Any]:
        """Return the values of one property."""
        if not self._rows:
            return []
        index = self._layout.names.index(name)
        return self._layout.fields[index].values(self._found[index])

    def records(self) -> list[Record]:
        """Return the records."""
        names = self._layout.names
        columns = [self.values(name) for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def encodable(self) -> list[msgspec.Struct]:
        """Return the records for msgspec to encode: much faster than dictionaries.

        This goes column by column; only compiled code sees single rows and cells.
        """
        found = zip(self._layout.fields, self._found, strict=True)
        return list(map(self._layout.record_type, *(field.encodable(f) for field, f in found)))

    def json_lines(self) -> bytes:
        """Return the records as lines of JSON."""
        return JSON_ENCODER.encode_lines(self.encodable())

    def slice(self, start: int, stop: int) -> Block:
        """Return the block of consecutive rows."""
        return Block(self._layout, self._rows[start:stop])

    def select(self, kept: Iterable[bool]) -> Block:
        """Return the block of the rows to keep."""
        return Block(self._layout, list(itertools.compress(self._rows, kept)))


class ExportReader:
    """Reads the records of one exported file, block by block."""

    def __init__(
        self,
        file: t.BinaryIO,
        columns: Sequence[Column],
        *,
        keys: Sequence[str] = (),
        attributes: Attributes | None = None,
        first_of: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Read the header.

        Args:
            file: The file, from its beginning.
            columns: The columns asked for, in order.
            keys: The names of the key columns: their empty cells become empty text, and
                are an error where the column is no text.
            attributes: What to do with the custom attributes; None if they were not
                asked for.
            first_of: Properties to add, each with the two times whose first it takes
                that is not empty.

        Raises:
            ExportFileError: If the header does not fit the columns.
        """
        # Cells have no size limit of their own; the default one is 128 KiB.
        csv.field_size_limit(sys.maxsize)
        self.file = file
        self.columns = columns
        self.keys = keys
        self.first_of = first_of or {}
        self.has_attributes = attributes is not None
        self._row_number = 0
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        self._rows = csv.reader(map(bytes.decode, file), strict=True)
        header = next(self._read_rows(1), None)
        if header is None:
            raise ExportFileError("the file is empty: not even a header")
        self.binding = bind(header[0], columns, with_attributes=attributes is not None)
        bound = list(zip(columns, self.binding.positions, strict=True))
        self.missing = [column for column, position in bound if position is None]
        fields: list[_Field] = [
            _ColumnField(column, position, is_key=column.name in keys) for column, position in bound
        ]
        standard = {field.name: field for field in fields}
        for name, (first, second) in self.first_of.items():
            fields.append(_FirstOfField(name, standard[first], standard[second]))
        self._metadata = _MetadataField(self.binding.metadata, attributes or Attributes())
        if attributes is not None:
            fields.append(self._metadata)
        self._layout = _Layout(fields)

    @property
    def kept_attributes(self) -> list[tuple[str, int]]:
        """The names and positions of the custom attributes that are selected."""
        return self._metadata.kept

    @property
    def misfits(self) -> Counter[str]:
        """How many values of custom attributes did not fit their type, by name."""
        return self._metadata.misfits

    def __iter__(self) -> Iterator[Block]:
        """Yield the rows in blocks; those before a faulty one come before its error.

        Raises:
            ExportFileError: If a row or a cell is not what was asked for.
        """
        for rows in self._read_rows(ROWS_PER_BLOCK):
            try:
                if set(map(len, rows)) != {self.binding.width}:
                    raise ValueError  # noqa: TRY301 - the same as for a faulty cell
                yield Block(self._layout, rows)
            except ValueError:
                faults = enumerate(map(self._fault, rows))
                index, fault = next((index, fault) for index, fault in faults if fault)
                if index:
                    yield Block(self._layout, rows[:index])
                raise ExportFileError(f"row {self._row_number + index + 1}, {fault}") from None
            self._row_number += len(rows)

    def _fault(self, row: Sequence[str]) -> str | None:
        """Describe the first thing that is wrong with a row, if anything is."""
        if len(row) != self.binding.width:
            return f"with {len(row)} cells in place of {self.binding.width}: {_shown(str(row))}"
        return next(filter(None, (field.fault(row) for field in self._layout.fields)), None)

    def _read_rows(self, count: int) -> Iterator[list[list[str]]]:
        """Yield rows as they are, so many at a time."""
        while True:
            rows: list[list[str]] = []
            fault = None
            try:
                rows.extend(itertools.islice(self._rows, count))
            except csv.Error as error:
                fault = f"line {self._rows.line_num} is no CSV: {error}"
            except UnicodeDecodeError as error:
                offset = self.file.tell() - len(error.object) + error.start
                fault = f"byte {offset} of the file is not valid UTF-8"
            if rows:
                yield rows
            if fault:
                raise ExportFileError(fault)
            if not rows:
                return


def _object_type(names: Sequence[str], *, omit_defaults: bool = False) -> type[msgspec.Struct]:
    """Return a class whose instances become JSON objects with these properties.

    Raises:
        ValueError: If JSON would have to escape a name.
    """
    fields = [(f"field_{index}", t.Any, None) for index in range(len(names))]
    rename = {field: name for (field, *_), name in zip(fields, names, strict=True)}
    return msgspec.defstruct("Object", fields, rename=rename, omit_defaults=omit_defaults, gc=False)


def _shown(text: str) -> str:
    short = text[:_SHOWN_CHARACTERS]
    return repr(short) + ("..." if short != text else "")
