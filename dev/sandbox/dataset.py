"""The data of a project: of any size, generated from a seed, and growing on demand."""

from __future__ import annotations

import threading
from array import array
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING

from .instants import DAY_MS, to_ms
from .metadata import METADATA_KEYS, MetadataKey
from .objects import OBJECTS
from .project import Project
from .references import References
from .tables import NEVER, Change, Row, Table
from .vocabulary import TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from .records import Cells

DEFAULT_SIZES: Mapping[str, int] = dict.fromkeys(OBJECTS, 100)
DEFAULT_REFERENCE_SIZES: Mapping[str, int] = {
    "campaigns": 12,
    "validation_rules": 40,
    "validation_rules_assignments": 60,
    "promotion_tiers": 8,
}
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Dataset:
    """The data of a Voucherify project. The same seed and the same calls give the same data.

    Nothing reads a clock: rows are created in the `days` after `start`, never later than `now`, and
    later changes follow the newest instant in the data.
    """

    def __init__(  # noqa: PLR0913 - every one has a default
        self,
        seed: int = 7,
        sizes: Mapping[str, int] | None = None,
        *,
        start: datetime = _START,
        days: float = 30,
        now: datetime | None = None,
        metadata_keys: Mapping[str, tuple[MetadataKey, ...]] = METADATA_KEYS,
        reference_sizes: Mapping[str, int] | None = None,
        texts: Sequence[str] = TEXTS,
    ) -> None:
        """Generate the data.

        Args:
            seed: The seed.
            sizes: Rows per exported object; 100 by default.
            start: No row is created earlier.
            days: How many days the rows are spread over.
            now: No row is created or updated later.
            metadata_keys: The metadata keys of each object, project-wide.
            reference_sizes: Objects per list endpoint, such as `campaigns`; a few by default.
            texts: The texts that free-text cells are chosen from.
        """
        self.start = start
        self.now = now
        self._sizes = {**DEFAULT_SIZES, **(sizes or {})}
        references = {**DEFAULT_REFERENCE_SIZES, **(reference_sizes or {})}
        self._project = Project(seed, self._sizes, metadata_keys, references, texts)
        self._lock = threading.RLock()
        self._random = Random(seed)
        self._version = 0
        start_ms = to_ms(start)
        end_ms = min(start_ms + round(days * DAY_MS), self._now_ms())
        #: The objects of the list endpoints.
        self.references = References(self._project, start_ms, end_ms)
        self._tables = {
            name: self._table(name, self._sizes[name], start_ms, end_ms) for name in OBJECTS
        }

    @property
    def seed(self) -> int:
        """The seed of the data."""
        return self._project.seed

    @property
    def metadata_keys(self) -> Mapping[str, tuple[MetadataKey, ...]]:
        """The metadata keys of each object, project-wide."""
        return self._project.metadata_keys

    def snapshot(self, name: str) -> Table:
        """Return an exported object as it is now, unaffected by later changes."""
        with self._lock:
            return self._tables[name].copy(self._version)

    def rows(
        self, name: str, *, skew_ms: int = 0, hidden_metadata: Collection[str] = ()
    ) -> list[Row]:
        """Return the rows of an exported object in server order: by creation, then insertion."""
        return list(self.snapshot(name).rows(skew_ms, hidden_metadata))

    def grow(self, counts: Mapping[str, int], *, now: datetime | None = None) -> None:
        """Add rows after the newest ones; the first few share the newest row's millisecond.

        Args:
            counts: How many rows to add per exported object.
            now: No row is created later; becomes the dataset's own `now`.
        """
        with self._lock:
            self.now = now or self.now
            self._version += 1
            for name, count in counts.items():
                table = self._tables[name]
                instant = max(table.created, default=to_ms(self.start))
                for position in range(count):
                    if position > count // 4:
                        later = instant + self._random.randrange(120_000)
                        instant = max(instant, min(later, self._now_ms()))
                    table.created.append(instant)
                    table.updated.append(NEVER)

    def touch(self, name: str, count: int, *, now: datetime | None = None) -> list[Row]:
        """Update existing rows, each with a newer `updated_at` and a changed amount or count.

        Args:
            name: `voucher`, `customer` or `order`, the objects that have `updated_at`.
            count: How many rows to update.
            now: No row is updated later; becomes the dataset's own `now`.

        Returns:
            The rows as they are now.
        """
        revise = _REVISIONS[name]
        with self._lock:
            self.now = now or self.now
            self._version += 1
            table = self._tables[name]
            newest = max(*table.created, *table.updated)
            instant = max(newest, min(newest + 1_000, self._now_ms()))
            numbers = sorted(self._random.sample(range(len(table.created)), count))
            for number in numbers:
                cells = table.row(number).cells
                change = table.changes.get(number, Change())
                table.changes[number] = Change(change.cells | revise(cells), change.metadata)
                table.updated[number] = instant
            snapshot = table.copy()
        return [snapshot.row(number) for number in numbers]

    def add(
        self,
        name: str,
        created: datetime,
        *,
        updated: datetime | None = None,
        cells: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Row:
        """Add one row created at any time, even before existing rows.

        Args:
            name: The exported object.
            created: When it was created.
            updated: When it was last updated.
            cells: Cells that replace the generated ones, dates included.
            metadata: All its metadata, replacing the generated metadata.

        Returns:
            The row.

        Raises:
            ValueError: If a cell does not exist.
        """
        unknown = set(cells or ()) - set(OBJECTS[name].empty_cells)
        if unknown:
            raise ValueError(unknown)
        with self._lock:
            self._version += 1
            table = self._tables[name]
            number = len(table.created)
            table.created.append(to_ms(created))
            table.updated.append(NEVER if updated is None else to_ms(updated))
            table.changes[number] = Change(
                dict(cells or {}),
                None if metadata is None else dict(metadata),
            )
            return table.copy().row(number)

    def _now_ms(self) -> int:
        return to_ms(self.now or datetime.max.replace(tzinfo=timezone.utc))

    def _table(self, name: str, size: int, start: int, end: int) -> Table:
        """Generate the instants of a table."""
        random = Random(f"{self.seed}:{name}")
        created = array("q", sorted(random.randint(start, end) for _ in range(size)))
        for number in range(1, size):
            # Voucherify docs: bulk generation makes many records share one millisecond.
            in_bulk = 4 * size < 10 * number < 5 * size
            if in_bulk or random.random() < 0.2:
                created[number] = created[number - 1]
        updated = array("q", [NEVER]) * size
        if OBJECTS[name].updated_field:
            for number in range(size):
                # Voucherify docs: a record that was never updated has an empty `updated_at`.
                if random.random() < 0.6:
                    updated[number] = random.randrange(created[number], end + 1)
        return Table(name, self._project, created, updated, {})


def _increment(name: str) -> Callable[[Cells], Cells]:
    return lambda cells: {name: str(int(cells[name]) + 1)}


def _revise_voucher(cells: Cells) -> Cells:
    spent = {"redemption_count": str(int(cells["redemption_count"]) + 1)}
    if cells["gift_balance"]:
        spent["gift_balance"] = f"{float(cells['gift_balance']) / 2:.2f}"
    return spent


_REVISIONS: Mapping[str, Callable[[Cells], Cells]] = {
    "voucher": _revise_voucher,
    "customer": _increment("orders_total_count"),
    "order": _increment("amount"),
}
