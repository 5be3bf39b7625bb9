"""Match header columns to requested columns, without guessing."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from tap_voucherify.columns import Column, normalize_title
from tap_voucherify.errors import ExportFileError

if t.TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Binding:
    """Column positions in a file.

    Attributes:
        positions: The position of each requested column; None if the file lacks it.
        metadata: Metadata keys and positions.
        width: Cells per row.
        unverified: Columns matched by position only, with their titles.
    """

    positions: tuple[int | None, ...]
    metadata: tuple[tuple[str, int], ...]
    width: int
    unverified: tuple[tuple[Column, str], ...] = ()


def bind(
    header: Sequence[str], columns: Sequence[Column], *, with_metadata: bool = True
) -> Binding:
    """Find the requested columns in a header; the rest are metadata.

    Voucherify writes the columns in the requested order, so each is matched by position
    and verified by its title where that is known.

    Args:
        header: The titles of the file.
        columns: The requested columns, in order; the last has a known title.
        with_metadata: Whether metadata was requested.

    Raises:
        ExportFileError: If the header is ambiguous.
    """
    titles = [normalize_title(title) for title in header]
    positions, unverified = _by_position(titles, columns), []
    if positions is None:
        positions = _by_title(titles, columns)
    else:
        unverified = [
            (column, header[index])
            for index, column in enumerate(columns)
            if titles[index] not in column.titles
        ]
    rest = [index for index in range(len(header)) if index not in set(positions)]
    # Metadata columns follow the last requested column, and nothing else does.
    last = positions[-1] if positions else None
    if last is None or (rest and (rest[0] < last or not with_metadata)):
        raise ExportFileError(
            f"ambiguous header: got {list(header)!s:.2000}, requested "
            f"{[column.api_field for column in columns]}"
        )
    names = [header[index] for index in rest]
    if names and all(name.startswith("metadata.") for name in names):
        names = [name.removeprefix("metadata.") for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ExportFileError(f"duplicate metadata column {repeated[0]!r}: {header!s:.2000}")
    return Binding(
        tuple(positions), tuple(zip(names, rest, strict=True)), len(header), tuple(unverified)
    )


def _by_position(titles: list[str], columns: Sequence[Column]) -> list[int | None] | None:
    """Bind each column to its own position, or return None if a title contradicts it.

    An unknown title is accepted only if the next known title to its right is in place:
    a shift would have moved that too.
    """
    standard = titles[: len(columns)]
    if len(standard) < len(columns):
        return None
    known = set().union(*(column.titles for column in columns))
    anchored = False
    for column, title in zip(reversed(columns), reversed(standard), strict=True):
        if title in column.titles:
            anchored = anchored or bool(column.title)
        elif column.title or title in known or not anchored:
            return None
    return list(range(len(columns)))


def _by_title(titles: list[str], columns: Sequence[Column]) -> list[int | None]:
    """Match each column by title; the list is empty if the header is ambiguous.

    A title after the last requested column may be a metadata key. A column may be
    missing if no unmatched title could be it. Duplicates are left over and rejected by
    `bind`.
    """
    places = [
        [index for index, title in enumerate(titles) if title in column.titles]
        for column in columns
    ]
    last = min(places[-1], default=-1)
    within = [[index for index in matches if index <= last] for matches in places]
    missing = [column for column, matches in zip(columns, within, strict=True) if not matches]
    bound = [index for matches in within for index in matches]
    is_clear = (
        len(bound) == len(set(bound))
        and not any(matches and not mask for matches, mask in zip(places, within, strict=True))
        and not (len(bound) < len(titles) and any(not column.title for column in missing))
    )
    return [matches[0] if matches else None for matches in within] if is_clear else []
