"""A CSV file becomes records, exactly or not at all."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import sys
import typing as t
from collections import Counter
from types import MappingProxyType

import msgspec

from tap_voucherify.columns import METADATA
from tap_voucherify.conversions import CONVERSIONS
from tap_voucherify.errors import ExportFileError
from tap_voucherify.header import bind

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tap_voucherify.columns import Column

Record = dict[str, t.Any]

# Blocks that fit in a processor's cache are faster than longer ones.
ROWS_PER_BLOCK = 250

# As much of a cell as an error shows.
_SHOWN_CHARACTERS = 80

_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Attributes(t.NamedTuple):
    """What to do with the custom attributes.

    Attributes:
        readers: What reads the cells of those that are not text, by name.
        is_selected: Tells which ones to keep.
    """

    readers: Mapping[str, Callable[[str], t.Any]] = MappingProxyType({})
    is_selected: Callable[[str], bool] = lambda _: True


class _Cells(t.NamedTuple):
    """The cells of one field in a block, checked.

    Attributes:
        content: The cells as they are, or else the values read from them.
        is_plain: Whether it is the cells as they are.
    """

    content: Sequence[t.Any]
    is_plain: bool


class _ColumnField:
    """A column as a property of the records."""

    def __init__(self, column: Column, position: int | None, *, is_key: bool) -> None:
        self.name = column.name
        self._position = position
        self._convert, self._meaning, plain, self._is_quoted = CONVERSIONS[column.type]
        self._is_key = is_key
        # Whole columns are matched at once; a key is never empty, unless it is text.
        optional = "" if is_key else "?"
        self._plain = re.compile(f"(?:(?:{plain}){optional}\n)*") if plain else None
        self._empty: str | None = "" if is_key and plain is None else None

    def read(self, columns: Sequence[Sequence[str]]) -> _Cells:
        """Check the cells of a block; a faulty one raises `ValueError`."""
        if self._position is None:
            return _Cells([None] * len(columns[0]), is_plain=False)
        cells = columns[self._position]
        if self._is_plain(cells):
            return _Cells(cells, is_plain=True)
        return _Cells(self._values(cells), is_plain=False)

    def values(self, cells: _Cells) -> Sequence[t.Any]:
        """Return the values that the cells stand for."""
        if not cells.is_plain:
            return cells.content
        if self._is_quoted:
            # Text stays as it is, and so do times in the form of bookmarks.
            return [cell or self._empty for cell in cells.content]
        return self._values(cells.content)

    def json(self, cells: _Cells) -> list[bytes]:
        """Return the values as JSON."""
        if not cells.is_plain or self._empty == "":
            return _json_values(cells.content)
        if self._is_quoted:
            return _json_values([cell or None for cell in cells.content])
        return [cell or b"null" for cell in "\n".join(cells.content).encode().split(b"\n")]

    def fault(self, row: Sequence[str]) -> str | None:
        """Describe what is wrong with this column's cell of a row, if anything is."""
        if self._position is None:
            return None
        cell = row[self._position]
        try:
            self._values([cell])
        except ValueError:
            return f"column {self.name!r}: {_shown(cell)} is not {self._meaning}"
        return None

    def _is_plain(self, cells: Sequence[str]) -> bool:
        if self._plain is None:
            return True
        joined = "\n".join((*cells, ""))
        # A line break inside a cell would pass for one between two cells.
        return joined.count("\n") == len(cells) and bool(self._plain.fullmatch(joined))

    def _values(self, cells: Sequence[str]) -> list[t.Any]:
        convert, empty = self._convert, self._empty
        if self._is_key and empty is None:
            return [convert(cell) for cell in cells]
        return [convert(cell) if cell else empty for cell in cells]


class _FirstOfField:
    """A property that takes the value of one field, or else of another."""

    def __init__(self, name: str, first: _Field, second: _Field) -> None:
        self.name = name
        self._sources = (first, second)

    def read(self, columns: Sequence[Sequence[str]]) -> _Cells:
        first, second = (field.values(field.read(columns)) for field in self._sources)
        return _Cells([a or b for a, b in zip(first, second, strict=True)], is_plain=False)

    def values(self, cells: _Cells) -> Sequence[t.Any]:
        return cells.content

    def json(self, cells: _Cells) -> list[bytes]:
        return _json_values(cells.content)

    def fault(self, row: Sequence[str]) -> None:  # noqa: ARG002 - the sources tell
        return None


class _MetadataField:
    """The custom attributes, as one property of the records."""

    name = METADATA

    def __init__(self, found: Sequence[tuple[str, int]], attributes: Attributes) -> None:
        self.kept = [(name, position) for name, position in found if attributes.is_selected(name)]
        self._names = [name for name, _ in self.kept]
        self._positions = [position for _, position in self.kept]
        self._readers = attributes.readers
        self.misfits: Counter[str] = Counter()

    def read(self, columns: Sequence[Sequence[str]]) -> _Cells:
        if not self._names:
            return _Cells([{}] * len(columns[0]), is_plain=False)
        names = self._names
        rows = zip(*(columns[position] for position in self._positions), strict=True)
        values: list[dict[str, t.Any]] = [
            {name: cell for name, cell in zip(names, row, strict=True) if cell} for row in rows
        ]
        if self._readers:
            for attributes in values:
                for name in attributes.keys() & self._readers.keys():
                    attributes[name] = self._convert(name, attributes[name])
        return _Cells(values, is_plain=False)

    def values(self, cells: _Cells) -> Sequence[t.Any]:
        return cells.content

    def json(self, cells: _Cells) -> list[bytes]:
        return _json_values(cells.content)

    def fault(self, row: Sequence[str]) -> None:  # noqa: ARG002 - any text is right
        return None

    def _convert(self, name: str, cell: str) -> t.Any:
        try:
            return self._readers[name](cell)
        except ValueError:
            self.misfits[name] += 1
            return cell


_Field: t.TypeAlias = _ColumnField | _FirstOfField | _MetadataField


class Block:
    """Consecutive rows of a file, found to be what was asked for."""

    def __init__(self, fields: Sequence[_Field], rows: Sequence[Sequence[str]]) -> None:
        """Check rows of the right width; a faulty cell raises `ValueError`."""
        self._fields = fields
        self._rows = rows
        columns = tuple(zip(*rows, strict=True))
        self._cells = [field.read(columns) for field in fields] if rows else []

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def values(self, name: str) -> Sequence[t.Any]:
        """Return the values of one property."""
        index = [field.name for field in self._fields].index(name)
        return self._fields[index].values(self._cells[index])

    def records(self) -> list[Record]:
        """Return the records."""
        names = [field.name for field in self._fields]
        columns = [
            field.values(cells) for field, cells in zip(self._fields, self._cells, strict=True)
        ]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def json_lines(self, before: bytes, after: bytes) -> bytes:
        """Return the records as JSON, each between the same bytes.

        This goes column by column; only compiled code sees single rows and cells.
        """
        parts: list[Iterable[bytes]] = []
        for field, cells in zip(self._fields, self._cells, strict=True):
            opening = b"," if parts else before + b"{"
            parts.append(itertools.repeat(opening + _ENCODER.encode(field.name) + b":"))
            parts.append(field.json(cells))
        parts.append(itertools.repeat(b"}" + after))
        # The repetitions have no end, so zip must not be strict.
        return b"".join(itertools.chain.from_iterable(zip(*parts, strict=False)))

    def slice(self, start: int, stop: int) -> Block:
        """Return the block of consecutive rows."""
        return Block(self._fields, self._rows[start:stop])

    def select(self, kept: Iterable[bool]) -> Block:
        """Return the block of the rows to keep."""
        return Block(self._fields, list(itertools.compress(self._rows, kept)))


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
        # The cast is for Python 3.10's stubs.
        binary = t.cast("t.IO[bytes]", file)
        self._text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        self._rows = csv.reader(self._text, strict=True)
        header = next(self._read_rows(1), None)
        if header is None:
            raise ExportFileError("the file is empty: not even a header")
        self.binding = bind(header[0], columns, with_attributes=attributes is not None)
        bound = list(zip(columns, self.binding.positions, strict=True))
        self.missing = [column for column, position in bound if position is None]
        self._fields: list[_Field] = [
            _ColumnField(column, position, is_key=column.name in keys) for column, position in bound
        ]
        standard = {field.name: field for field in self._fields}
        for name, (first, second) in self.first_of.items():
            self._fields.append(_FirstOfField(name, standard[first], standard[second]))
        self._metadata = _MetadataField(self.binding.metadata, attributes or Attributes())
        if attributes is not None:
            self._fields.append(self._metadata)

    def close(self) -> None:
        """Let go of the file, which stays open."""
        self._text.detach()

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
                yield Block(self._fields, rows)
            except ValueError:
                index, fault = next(self._faults(rows))
                if index:
                    yield Block(self._fields, rows[:index])
                raise ExportFileError(f"row {self._row_number + index + 1}, {fault}") from None
            self._row_number += len(rows)

    def _faults(self, rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, str]]:
        """Yield what is wrong with rows, by their index."""
        width = self.binding.width
        for index, row in enumerate(rows):
            if len(row) != width:
                yield index, f"with {len(row)} cells in place of {width}: {_shown(str(row))}"
                continue
            for field in self._fields:
                if fault := field.fault(row):
                    yield index, fault

    def _read_rows(self, count: int) -> Iterator[list[list[str]]]:
        """Yield rows as they are, so many at a time."""
        while True:
            rows: list[list[str]] = []
            fault = None
            try:
                rows.extend(itertools.islice(self._rows, count))
            except csv.Error as error:
                fault = f"line {self._rows.line_num} is no CSV: {error}"
            except UnicodeDecodeError:
                fault = f"byte {_invalid_utf8(self.file)} of the file is not valid UTF-8"
            if rows:
                yield rows
            if fault:
                raise ExportFileError(fault)
            if not rows:
                return


def _json_values(values: Iterable[t.Any]) -> list[bytes]:
    # In JSON, no line break is left within a value.
    return _ENCODER.encode_lines(values).split(b"\n")[:-1]


def _shown(text: str) -> str:
    short = text[:_SHOWN_CHARACTERS]
    return repr(short) + ("..." if short != text else "")


def _invalid_utf8(file: t.BinaryIO) -> int:
    """Return the offset of the first byte that is not UTF-8."""
    file.seek(0)
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    while True:
        pending = len(decoder.getstate()[0])
        chunk = file.read(1 << 16)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return offset - pending + error.start
        offset += len(chunk)
