"""The rows of an exported object."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from zlib import crc32

from .instants import to_datetime
from .records import generate

if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from .project import Project
    from .records import Cells

#: The time of the last update of a record that was never updated.
NEVER = -1


@dataclass(frozen=True)
class Change:
    """How a row differs from the generated one."""

    cells: Cells = field(default_factory=dict)
    metadata: Cells | None = None


class Row:
    """One record of an exported object.

    Attributes:
        created: The creation time that the server filters on and orders by.
        updated: The time of the last update, likewise; None for a record that was never updated.
        cells: The text of every standard field as a CSV file carries it.
        metadata: The metadata keys that have a value, with the text of their cells.
    """

    def __init__(
        self, table: Table, number: int, skew_ms: int, hidden_metadata: Collection[str] = ()
    ) -> None:
        """Refer to one row of a table; its cells are generated on first use."""
        self._table = table
        self._number = number
        self._skew_ms = skew_ms
        self._hidden_metadata = hidden_metadata
        self.created_ms = table.created[number]
        self.updated_ms = None if table.updated[number] == NEVER else table.updated[number]

    @property
    def created(self) -> datetime:
        """The creation time that the server filters on and orders by."""
        return to_datetime(self.created_ms)

    @property
    def updated(self) -> datetime | None:
        """The time of the last update that the server filters on and orders by."""
        return None if self.updated_ms is None else to_datetime(self.updated_ms)

    @property
    def cells(self) -> Cells:
        """The text of every standard field as a CSV file carries it."""
        return self._content[0]

    @property
    def metadata(self) -> Cells:
        """The metadata keys that have a value."""
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[Cells, Cells]:
        created, updated = self.created_ms, self.updated_ms
        if self._skew_ms:
            hashed = crc32(f"{self._table.name}:{self._number}".encode())
            offset = hashed % (2 * self._skew_ms + 1) - self._skew_ms
            created += offset
            updated = None if updated is None else updated + offset
        cells, metadata = generate(
            self._table.project,
            self._table.name,
            self._number,
            created,
            updated,
        )
        change = self._table.changes.get(self._number)
        if change:
            cells |= change.cells
            metadata = metadata if change.metadata is None else change.metadata
        metadata = {k: text for k, text in metadata.items() if k not in self._hidden_metadata}
        return cells, metadata

    def __repr__(self) -> str:
        """Show the cells in failed assertions."""
        return f"Row({self.created.isoformat()}, {self.cells})"


@dataclass(frozen=True)
class Table:
    """The rows of one exported object at one moment.

    It holds two instants per row; everything else is generated when read, so millions of rows need
    little memory and a snapshot is a small copy.

    Attributes:
        name: The exported object.
        project: The ids that rows refer to.
        created: The creation time of each row, in milliseconds.
        updated: The time of each row's last update, in milliseconds.
        changes: Differences from the generated rows, by number.
        version: Number of changes to the dataset so far.
    """

    name: str
    project: Project
    created: array[int]
    updated: array[int]
    changes: dict[int, Change]
    version: int = 0

    def copy(self, version: int = 0) -> Table:
        """Return a snapshot."""
        return Table(
            self.name,
            self.project,
            self.created[:],
            self.updated[:],
            dict(self.changes),
            version,
        )

    def numbers(self) -> list[int]:
        """Return the numbers of all rows in server order: by creation, then by insertion."""
        return sorted(range(len(self.created)), key=self.created.__getitem__)

    def row(self, number: int, skew_ms: int = 0, hidden_metadata: Collection[str] = ()) -> Row:
        """Return a row; its exported dates are off by up to `skew_ms`."""
        return Row(self, number, skew_ms, hidden_metadata)

    def rows(self, skew_ms: int = 0, hidden_metadata: Collection[str] = ()) -> Iterator[Row]:
        """Yield all rows in server order."""
        return (self.row(number, skew_ms, hidden_metadata) for number in self.numbers())
