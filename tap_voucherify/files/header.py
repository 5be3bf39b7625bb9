"""Which column of a file is which: never by a guess."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from tap_voucherify.columns import Column, simplify
from tap_voucherify.errors import ExportFileError

if t.TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Binding:
    """Where the columns of a file stand.

    Attributes:
        positions: The position of each requested column; None if the file lacks it.
        metadata: The custom attributes' names with their positions.
        width: How many cells every row has.
        trusted: The columns bound by position alone, with the titles found there.
    """

    positions: tuple[int | None, ...]
    metadata: tuple[tuple[str, int], ...]
    width: int
    trusted: tuple[tuple[Column, str], ...] = ()


def bind(
    header: Sequence[str], columns: Sequence[Column], *, with_attributes: bool = True
) -> Binding:
    """Find the requested columns in a header; the others are custom attributes.

    Voucherify writes the columns in the order in which they were asked for, so each is
    expected at its own position, and its title checked where that is known.

    Args:
        header: The titles of the file.
        columns: The columns asked for, in order; the last has a known title.
        with_attributes: Whether the custom attributes were asked for, behind them.

    Raises:
        ExportFileError: If the header leaves room for doubt.
    """
    titles = [simplify(title) for title in header]
    positions, trusted = _by_position(titles, columns), []
    if positions is None:
        positions = _by_title(titles, columns)
    else:
        trusted = [
            (column, header[index])
            for index, column in enumerate(columns)
            if titles[index] not in column.titles
        ]
    rest = [index for index in range(len(header)) if index not in set(positions)]
    # Custom attributes stand behind the last column asked for, and nothing else does.
    last = positions[-1] if positions else None
    if last is None or (rest and (rest[0] < last or not with_attributes)):
        raise ExportFileError(
            "the header does not show which column is which: it holds "
            f"{list(header)!s:.2000}, and these were asked for, in this order: "
            f"{[column.api_field for column in columns]}"
        )
    names = [header[index] for index in rest]
    if names and all(name.startswith("metadata.") for name in names):
        names = [name.removeprefix("metadata.") for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ExportFileError(
            f"the header holds the custom attribute {repeated[0]!r} twice: {header!s:.2000}"
        )
    return Binding(
        tuple(positions), tuple(zip(names, rest, strict=True)), len(header), tuple(trusted)
    )


def _by_position(titles: list[str], columns: Sequence[Column]) -> list[int | None] | None:
    """Bind each column to its own position, or return None if a title speaks against it.

    A title that nobody knows is trusted only where the next known title to its right
    stands at its own position, once: a shifted column would have shifted that as well.
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
    """Bind each column to the one place where its title stands, or to none.

    A title behind that of the last column may be that of a custom attribute. A column
    may be missing if nothing else in the header could be it. A title that occurs twice
    leaves one place over, which `bind` refuses. The list is empty if there is any doubt.
    """
    places = [
        [index for index, title in enumerate(titles) if title in column.titles]
        for column in columns
    ]
    last = min(places[-1], default=-1)
    within = [[index for index in found if index <= last] for found in places]
    missing = [column for column, found in zip(columns, within, strict=True) if not found]
    bound = [index for found in within for index in found]
    is_clear = (
        len(bound) == len(set(bound))
        and not any(found and not kept for found, kept in zip(places, within, strict=True))
        and not (len(bound) < len(titles) and any(not column.title for column in missing))
    )
    return [found[0] if found else None for found in within] if is_clear else []
