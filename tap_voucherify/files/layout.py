"""The structures of `scanner.c`: what it checks in each row, and what it writes from it."""

from __future__ import annotations

import ctypes
import itertools
import typing as t

from tap_voucherify.columns import ColumnType
from tap_voucherify.files.cells import JSON_ENCODER

if t.TYPE_CHECKING:
    from collections.abc import Sequence

# As in scanner.c: spare bytes after input and output, and the length of a time.
PADDING = 16
TIME_LENGTH = 24

_NO_COLUMN = -1

# In the order of `enum kind` in scanner.c.
KINDS = (
    ColumnType.TEXT,
    ColumnType.NUMBER,
    ColumnType.INTEGER,
    ColumnType.BOOLEAN,
    ColumnType.DATE,
    ColumnType.TIMESTAMP,
)


class _Check(ctypes.Structure):
    _fields_ = (
        ("position", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("is_key", ctypes.c_uint32),
    )


class PropertyRow(ctypes.Structure):
    """A `Property`, as compiled code reads it."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("position", ctypes.c_int32),
        ("fallback", ctypes.c_int32),
    )


class Property(t.NamedTuple):
    """A property of the records.

    Attributes:
        name: Its name.
        type: Type of its values.
        position: The position of its column; None if the file lacks it.
        fallback: The position of the column to read where the first is empty, if any.
        is_key: Whether an empty cell is an error.
    """

    name: str
    type: ColumnType
    position: int | None
    fallback: int | None = None
    is_key: bool = False


class _Properties:
    """Properties as compiled code reads them."""

    def __init__(self, properties: Sequence[Property]) -> None:
        names = [b"," + JSON_ENCODER.encode(each.name) + b":" for each in properties]
        self._names = ctypes.create_string_buffer(b"".join(names), sum(map(len, names)) + PADDING)
        start = ctypes.addressof(self._names)
        starts = itertools.accumulate(map(len, names), initial=start)
        self.array = (PropertyRow * len(properties))()
        for row, start, name, each in zip(self.array, starts, names, properties, strict=False):
            row.name, row.name_length, row.kind = start, len(name), KINDS.index(each.type)
            row.position = _NO_COLUMN if each.position is None else each.position
            row.fallback = _NO_COLUMN if each.fallback is None else each.fallback
        # Maximum bytes of a row, apart from cells and escapes.
        self.row_bytes = sum(len(name) + len('""') + TIME_LENGTH for name in names)


class Layout:
    """What compiled code checks in each row, and what it can write from it.

    Attributes:
        width: Number of cells in a row.
        names: Names of the properties, without metadata.
        checks: Which cells are checked.
        properties: The properties, without metadata.
        members: The metadata keys; None if metadata is not emitted.
        row_bytes: Maximum bytes of a record, apart from its cells and their escapes.
    """

    def __init__(
        self, width: int, properties: Sequence[Property], members: Sequence[Property] | None = None
    ) -> None:
        checks = [
            _Check(each.position, KINDS.index(each.type), each.is_key)
            for each in properties
            if each.position is not None and (each.is_key or each.type is not ColumnType.TEXT)
        ]
        self.width = width
        self.names = [each.name for each in properties]
        self.checks = (_Check * len(checks))(*checks)
        self.properties = _Properties(properties)
        self.members = None if members is None else _Properties(members)
        parts = [self.properties, *([self.members] if self.members else [])]
        self.row_bytes = sum(part.row_bytes for part in parts) + len(',"metadata":{}{}\n')
