"""Blocks of rows, in order: read by `scanner.c` where it can, otherwise by `reader`."""

from __future__ import annotations

import typing as t

from tap_voucherify.columns import ColumnType
from tap_voucherify.files.compiled import ScannedRows, Scanner, read
from tap_voucherify.files.fields import CoalescedField, ColumnField, MetadataField
from tap_voucherify.files.layout import KINDS, Layout, Property
from tap_voucherify.files.rows import parse_rows

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_voucherify.files.compiled import Compiled
    from tap_voucherify.files.fields import Field
    from tap_voucherify.files.reader import Block, ExportReader, Record


class ScannedBlock(ScannedRows):
    """Consecutive rows of the last scanned block; invalid once the next one is scanned."""

    def __init__(self, reader: ExportReader, scanner: Scanner, start: int, stop: int) -> None:
        """Take rows `start` to `stop` of the block.

        Args:
            reader: The exact reader of the file.
            scanner: The scanner that holds the block.
            start: The first row.
            stop: The index after the last row.
        """
        super().__init__(scanner, start, stop)
        self._reader = reader

    def records(self) -> list[Record]:
        """Return the records."""
        return self._to_block().records()

    def slice(self, start: int, stop: int) -> ScannedBlock:
        """Return rows `start` to `stop`."""
        first, last = self._start + start, min(self._start + stop, self._stop)
        return ScannedBlock(self._reader, self._scanner, first, max(first, last))

    def select(self, mask: Iterable[bool]) -> Block:
        """Return the rows where `mask` is true."""
        return self._to_block().select(mask)

    def _to_block(self) -> Block:
        """Read the rows again with the exact reader."""
        content = bytes(self._scanner.input[: self._scanner.progress.bytes])
        return self._reader.to_block(parse_rows(content)[self._start : self._stop])


def read_blocks(reader: ExportReader, compiled: Compiled | None) -> Iterable[Block | ScannedBlock]:
    """Return the blocks of a file, read by compiled code where possible."""
    if compiled and (layout := _layout(reader.fields, reader.binding.width)):
        return _blocks(reader, Scanner(compiled, layout))
    return reader


def _blocks(reader: ExportReader, scanner: Scanner) -> Iterator[Block | ScannedBlock]:
    for block in read(reader.rows, scanner, reader.read):
        yield ScannedBlock(reader, scanner, 0, block) if isinstance(block, int) else block


def _layout(fields: Sequence[Field], width: int) -> Layout | None:
    """Return the layout of records, or None if compiled code does not support a field."""
    properties, members = [], None
    for field in fields:
        if isinstance(field, ColumnField) and field.type in KINDS:
            properties.append(Property(field.name, field.type, field.position, None, field.is_key))
        elif isinstance(field, CoalescedField):
            first, second = (source.position for source in field.sources)
            properties.append(Property(field.name, ColumnType.TIMESTAMP, first, second))
        elif isinstance(field, MetadataField) and not field.is_typed:
            members = [Property(name, ColumnType.TEXT, at) for name, at in field.columns]
        else:
            return None
    return Layout(width, properties, members) if properties else None
