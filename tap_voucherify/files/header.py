"""Match header columns to requested columns, without guessing.

The requested columns come first, metadata last. A header is matched

- by position, if every title is known and at its own position. One title may be unknown if the
  last requested column is in place (a shift would have moved it) and no metadata column has the
  missing title;
- by title, if metadata was not requested and no column is missing. One title may be unknown: it
  belongs to the one remaining column.

For any other header, Voucherify is asked; see `titles`.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from tap_voucherify.columns import normalize_title
from tap_voucherify.errors import ExportFileError

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_voucherify.columns import Column

METADATA_PREFIX = "metadata."


@dataclass(frozen=True)
class Binding:
    """Column positions in a file.

    Attributes:
        positions: The position of each requested column; None if the file lacks it.
        metadata: Metadata keys and positions.
        width: Cells per row.
        unverified: The column whose title is unknown, and that title.
    """

    positions: tuple[int | None, ...]
    metadata: tuple[tuple[str, int], ...]
    width: int
    unverified: tuple[Column, str] | None = None


class KnownTitles:
    """The known titles of the requested columns.

    A title that several columns could have identifies none of them.

    Attributes:
        columns: The requested columns, in order.
        titles: The normalized titles of each.
    """

    def __init__(self, columns: Sequence[Column], titles: Iterable[Iterable[str]]) -> None:
        """Index the titles of each column."""
        self.columns = columns
        self.titles = [frozenset(map(normalize_title, names)) for names in titles]
        claims = [(title, index) for index, names in enumerate(self.titles) for title in names]
        counts = Counter(title for title, _ in claims)
        self._owners = {title: index for title, index in claims if counts[title] == 1}

    def owners(self, header: Iterable[str]) -> list[int | None]:
        """Return the index of the column that each title belongs to, None if unknown."""
        return [self._owners.get(normalize_title(title)) for title in header]


def bind(header: Sequence[str], known: KnownTitles, *, with_metadata: bool) -> Binding | None:
    """Match a header to the requested columns, or return None if it is ambiguous on its own.

    Args:
        header: The titles of the file.
        known: The titles of the requested columns, in order.
        with_metadata: Whether metadata was requested, after them.
    """
    columns = known.columns
    count = len(columns)
    if len(header) < count or (len(header) > count and not with_metadata):
        return None
    owners = known.owners(header[:count])
    unknown = [position for position, owner in enumerate(owners) if owner is None]
    if len(unknown) > 1:
        return None
    positions: dict[int, int] = {}
    is_in_place = all(owner in {None, position} for position, owner in enumerate(owners))
    is_elsewhere = bool(set(unknown) & set(known.owners(header[count:])))
    if is_in_place and not is_elsewhere and owners[-1] is not None:
        positions = {position: position for position in range(count)}
    elif not with_metadata:
        positions = {owner: position for position, owner in enumerate(owners) if owner is not None}
        left = set(range(count)) - positions.keys()
        if len(left) == len(unknown):
            positions |= dict(zip(left, unknown, strict=True))
    if len(positions) < count:
        return None
    unverified = None
    if unknown:
        column = next(index for index, position in positions.items() if position == unknown[0])
        unverified = (columns[column], header[unknown[0]])
    return Binding(
        tuple(positions[index] for index in range(count)),
        tuple(zip(header[count:], range(count, len(header)), strict=True)),
        len(header),
        unverified,
    )


def metadata_keys(
    metadata: Sequence[tuple[str, int]], *, is_prefixed: bool
) -> tuple[tuple[str, int], ...]:
    """Return metadata keys and positions; a prefix, if any, is stripped from the titles.

    Raises:
        ExportFileError: If two columns have the same key.
    """
    prefix = METADATA_PREFIX if is_prefixed else ""
    keys = tuple((title.removeprefix(prefix), position) for title, position in metadata)
    repeated = [key for key, count in Counter(key for key, _ in keys).items() if count > 1]
    if repeated:
        raise ExportFileError(
            f"duplicate metadata column {repeated[0]!r}: {[title for title, _ in metadata]!s:.2000}"
        )
    return keys
