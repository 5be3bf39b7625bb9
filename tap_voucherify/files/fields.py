"""Convert the cells of a block of rows to property values."""

from __future__ import annotations

import abc
import hashlib
import typing as t
from collections import Counter
from types import MappingProxyType

import msgspec
from msgspec import Raw

from tap_voucherify.columns import INTEGER, METADATA, TEXT
from tap_voucherify.files.cells import CONVERSIONS, JSON_ENCODER, shorten
from tap_voucherify.surrogates import replace_lone_surrogates

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tap_voucherify.columns import Column

# Maximum number of cached cells per column, and of characters of a cached cell.
_MAX_CACHED_CELLS, _MAX_CACHED_CHARACTERS = 10_000, 200


class MetadataOptions(t.NamedTuple):
    """How to read metadata columns.

    Attributes:
        parsers: Parsers of non-text keys, by name.
        is_selected: Whether a key is selected.
    """

    parsers: Mapping[str, Callable[[str], t.Any]] = MappingProxyType({})
    is_selected: Callable[[str], bool] = lambda _: True


class _CellCache(dict[str, t.Any]):
    """Cache of parsed cells; most values in a column repeat."""

    def __init__(self, parse: Callable[[str], t.Any]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, cell: str) -> t.Any:
        value = self._parse(cell)
        if len(self) >= _MAX_CACHED_CELLS:
            self.clear()
        if len(cell) <= _MAX_CACHED_CHARACTERS:
            self[cell] = value
        return value


class Field(abc.ABC):
    """A property of the records."""

    name: str

    @abc.abstractmethod
    def parse(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        """Parse this property from a block's columns; an invalid cell raises `ValueError`."""

    def values(self, parsed: Sequence[t.Any]) -> Sequence[t.Any]:
        """Return Python values."""
        return parsed

    def encodable(self, parsed: Sequence[t.Any]) -> Iterable[t.Any]:
        """Return values as msgspec should encode them."""
        return parsed

    def fault(self, row: Sequence[str]) -> str | None:  # noqa: ARG002 - default
        """Return what is wrong with this property in a row, or None."""
        return None


class ColumnField(Field):
    """A property read from one column. Numbers are passed through as JSON, with all digits.

    Attributes:
        position: The position of the column; None if the file lacks it.
        type: Its type.
        is_key: Whether the column is a key; an empty cell is then invalid.
        has_replacements: Whether half of a surrogate pair was replaced in a JSON cell.
    """

    def __init__(self, column: Column, position: int | None, *, is_key: bool) -> None:
        self.name = column.name
        self.position = position
        self.is_key = is_key
        self.type = column.type
        self.has_replacements = False
        self._conversion = CONVERSIONS[column.type]
        self._cache = _CellCache(self._parse_cell)

    def parse(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        """Parse one column; a missing one is null."""
        if self.position is None:
            return [None] * len(columns[0])
        cells = columns[self.position]
        if self.is_key and not all(cells):
            raise ValueError(self.name)
        if self.type is TEXT or self._is_unchanged(cells):
            return cells if self.is_key else [cell or None for cell in cells]
        if self._conversion.is_immutable:
            return list(map(self._cache.__getitem__, cells))
        return list(map(self._parse_cell, cells))

    def values(self, parsed: Sequence[t.Any]) -> Sequence[t.Any]:
        """Return Python values."""
        if not self._conversion.is_json:
            return parsed
        convert = self._conversion.convert
        return [None if raw is None else convert(bytes(raw).decode()) for raw in parsed]

    def fault(self, row: Sequence[str]) -> str | None:
        """Return what is wrong with the cell, or None."""
        if self.position is None:
            return None
        cell = row[self.position]
        if self.is_key and not cell:
            return f"column {self.name!r}: the key is empty"
        try:
            self._parse_cell(cell)
        except ValueError:
            return (
                f"column {self.name!r}: {shorten(cell)} is not {self._conversion.expected}; check "
                "the record in Voucherify, or deselect the column"
            )
        return None

    def _is_unchanged(self, cells: Sequence[str]) -> bool:
        unchanged = self._conversion.unchanged
        return unchanged is not None and all(map(unchanged.fullmatch, filter(None, cells)))

    def _parse_cell(self, cell: str) -> t.Any:
        if not cell:
            return None
        try:
            value = self._conversion.convert(cell)
        except ValueError:
            if not self.type.is_json:
                raise
            value = self._conversion.convert(replace_lone_surrogates(cell))
            self.has_replacements = True
        # A number keeps its digits; an integer drops its fraction, which is all zeros.
        digits = cell.partition(".")[0] if self.type is INTEGER else cell
        return Raw(digits) if self._conversion.is_json else value


class DigestField(Field):
    """A key computed from other columns, for objects without one of their own.

    It is the hexadecimal SHA-256 of their values as a JSON array in UTF-8, without spaces; a
    missing or empty value is `""`.
    """

    def __init__(self, name: str, sources: Sequence[Field | None]) -> None:
        self.name = name
        self._sources = sources

    def parse(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        """Compute the keys; a row in which all sources are empty raises `ValueError`."""
        empty = [None] * len(columns[0])
        sources = (field.parse(columns) if field else empty for field in self._sources)
        rows = list(zip(*sources, strict=True))
        if not all(map(any, rows)):
            raise ValueError(self.name)
        return [
            hashlib.sha256(JSON_ENCODER.encode([value or "" for value in row])).hexdigest()
            for row in rows
        ]

    def fault(self, row: Sequence[str]) -> str | None:
        """Return what is wrong with the key, or None; the sources report their own faults."""
        try:
            self.parse([[cell] for cell in row])
        except ValueError:
            return f"column {self.name!r}: the key is empty"
        return None


class CoalescedField(Field):
    """The first non-empty of two timestamp columns.

    Attributes:
        sources: The columns.
    """

    def __init__(self, name: str, first: ColumnField, second: ColumnField) -> None:
        self.name = name
        self.sources = (first, second)

    def parse(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        """Parse both columns."""
        first, second = (field.parse(columns) for field in self.sources)
        return [a or b for a, b in zip(first, second, strict=True)]


class MetadataField(Field):
    """All metadata columns as one property.

    Attributes:
        columns: The selected keys with their positions.
        is_typed: Whether any of them is converted.
        type_mismatches: Number of values that do not fit their type, by key.
    """

    name = METADATA

    def __init__(self, columns: Sequence[tuple[str, int]], options: MetadataOptions) -> None:
        self.columns = [(name, position) for name, position in columns if options.is_selected(name)]
        self._parsers = options.parsers
        self.is_typed = any(name in options.parsers for name, _ in self.columns)
        self.type_mismatches: Counter[str] = Counter()
        names = [name for name, _ in self.columns]
        try:
            self._struct = struct_type(names, omit_defaults=True) if names else None
        except ValueError:  # a name needs JSON escaping
            self._struct = None

    def parse(self, columns: Sequence[Sequence[str]]) -> Sequence[t.Any]:
        """Return the columns unparsed: no cell is invalid."""
        return columns

    def values(self, parsed: Sequence[t.Any]) -> Sequence[t.Any]:
        """Return one object per row, without the keys that have no value."""
        if not self.columns:
            return [{}] * len(parsed[0])
        names = [name for name, _ in self.columns]
        rows = zip(*self._converted(parsed), strict=True)
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in rows
        ]

    def encodable(self, parsed: Sequence[t.Any]) -> Iterable[t.Any]:
        """Return values as msgspec should encode them."""
        if self._struct is None:
            return self.values(parsed)
        return map(self._struct, *self._converted(parsed))

    def _converted(self, columns: Sequence[Sequence[str]]) -> Iterator[list[t.Any]]:
        for name, position in self.columns:
            cells = columns[position]
            if name in self._parsers:
                yield [self._convert(name, cell) if cell else None for cell in cells]
            else:
                yield [cell or None for cell in cells]

    def _convert(self, name: str, cell: str) -> t.Any:
        try:
            return self._parsers[name](cell)
        except ValueError:
            self.type_mismatches[name] += 1
            return cell


class RecordLayout:
    """The properties of a file's records.

    Attributes:
        fields: The properties.
        names: Their names.
        record_type: msgspec struct with these properties.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = fields
        self.names = [field.name for field in fields]
        self.record_type = struct_type(self.names)


def struct_type(names: Sequence[str], *, omit_defaults: bool = False) -> type[msgspec.Struct]:
    """Return a msgspec struct that encodes as a JSON object with these properties.

    Raises:
        ValueError: If a name needs JSON escaping.
    """
    fields = [(f"field_{index}", t.Any, None) for index in range(len(names))]
    rename = {field: name for (field, *_), name in zip(fields, names, strict=True)}
    return msgspec.defstruct("Object", fields, rename=rename, omit_defaults=omit_defaults, gc=False)
