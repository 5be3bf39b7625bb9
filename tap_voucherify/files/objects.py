"""Convert objects from list endpoints to records, as strictly as the cells of an export."""

from __future__ import annotations

import typing as t
from decimal import Decimal

from tap_voucherify.columns import JSON_OBJECT, Column, ColumnType
from tap_voucherify.errors import RequestError
from tap_voucherify.files.cells import (
    CONVERSIONS,
    JSON_ENCODER,
    encode_lines,
    shorten,
    to_date,
    to_timestamp,
)
from tap_voucherify.files.exported import needs_pyarrow

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import Record

OTHER = Column("other", JSON_OBJECT, "Undocumented properties (added by the tap).")

_JSON_TYPES: Mapping[ColumnType, tuple[type, ...]] = {
    ColumnType.TEXT: (str,),
    ColumnType.NUMBER: (int, Decimal),
    ColumnType.INTEGER: (int,),
    ColumnType.BOOLEAN: (bool,),
    ColumnType.TIMESTAMP: (str,),
    ColumnType.DATE: (str,),
    ColumnType.JSON_OBJECT: (dict,),
    ColumnType.JSON_ARRAY: (list,),
}
_NORMALIZERS: Mapping[ColumnType, Callable[[str], str]] = {
    ColumnType.TIMESTAMP: to_timestamp,
    ColumnType.DATE: to_date,
}


class ObjectBlock:
    """Consecutive records."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> list[Record]:
        """Return the records."""
        return list(self._records)

    def json_lines(self, prefix: bytes = b"", suffix: bytes = b"") -> bytes:
        """Return the records as lines of JSON, each with a prefix and a suffix."""
        return encode_lines(self._records, prefix, suffix)

    def slice(self, start: int, stop: int) -> ObjectBlock:
        """Return records `start` to `stop`."""
        return ObjectBlock(self._records[start:stop])


class ObjectReader:
    """Converts objects to records of their selected properties.

    Attributes:
        undeclared: Paths of undocumented properties seen so far in nested objects.
    """

    def __init__(
        self,
        declared: Sequence[Column],
        *,
        keys: Sequence[str],
        is_selected: Callable[[tuple[str, ...]], bool],
        as_tables: bool,
    ) -> None:
        """Prepare without converting an object.

        Args:
            declared: The documented properties.
            keys: Names of the key properties.
            is_selected: Whether a property is selected, by its path.
            as_tables: Whether to return Arrow tables.
        """
        self.undeclared: set[tuple[str, ...]] = set()
        self._declared = {column.api_field for column in declared}
        self._keys = keys
        self._is_selected = is_selected
        self._as_tables = as_tables
        self._columns = [column for column in (*declared, OTHER) if is_selected((column.name,))]

    def block(self, objects: Iterable[Mapping[str, t.Any]]) -> ObjectBlock | ArrowBlock:
        """Return the records of objects.

        Raises:
            RequestError: If a value is not of its documented type.
            SettingsError: If tables need a package that is not installed.
        """
        records = [self._record(each) for each in objects]
        if not self._as_tables:
            return ObjectBlock(records)
        with needs_pyarrow():
            from tap_voucherify.files.arrow import to_table  # noqa: PLC0415 - an extra
        return to_table(self._columns, self._keys, records)

    def _record(self, each: Mapping[str, t.Any]) -> Record:
        other = {name: value for name, value in each.items() if name not in self._declared}
        try:
            return {
                column.name: (other or None)
                if column is OTHER
                else self._value(column, each.get(column.api_field), (column.name,))
                for column in self._columns
            }
        except ValueError as error:
            raise RequestError(
                f"object {shorten(str(each.get('id')))}: {error}; deselect the property"
            ) from None

    def _value(self, column: Column, value: t.Any, path: tuple[str, ...]) -> t.Any:
        """Return a value as records have it."""
        if value is None:
            return None
        value = _checked(column.type, value, path)
        if column.type is ColumnType.JSON_ARRAY:
            items = [_checked(column.items, item, path) for item in value]
            return [self._selected(column, item, path) for item in items] if column.parts else items
        if not column.parts:
            return value
        names = {part.api_field for part in column.parts}
        self.undeclared |= {(*path, name) for name in value if name not in names}
        return self._selected(column, value, path)

    def _selected(
        self, column: Column, nested: Mapping[str, t.Any], path: tuple[str, ...]
    ) -> dict[str, t.Any]:
        """Return the selected properties of a nested object."""
        parts = {part.api_field: part for part in column.parts}
        return {
            name: self._value(parts[name], value, (*path, name)) if name in parts else value
            for name, value in nested.items()
            if self._is_selected((*path, name))
        }


def _checked(column_type: ColumnType, value: t.Any, path: tuple[str, ...]) -> t.Any:
    """Return a value, times normalized; one of another type raises `ValueError`."""
    try:
        # Not isinstance: booleans are integers in Python.
        if type(value) not in _JSON_TYPES[column_type]:
            raise ValueError  # noqa: TRY301 - handled like an invalid time
        return _NORMALIZERS[column_type](value) if column_type in _NORMALIZERS else value
    except ValueError:
        shown = shorten(JSON_ENCODER.encode(value).decode())
        raise ValueError(
            f"property {'.'.join(path)!r}: {shown} is not {CONVERSIONS[column_type].expected}"
        ) from None
