"""Identify the columns of a header, as far as that can be proven.

The columns were requested in reverse documented order, after metadata. If another export, without
metadata and in documented order, shows the standard titles, this sequence or its reverse is
searched at the beginning and at the end of the header, and with metadata in between. Otherwise
the titles that the tap knows show the order.
"""

from __future__ import annotations

import typing as t
from types import MappingProxyType

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_voucherify.files.header import KnownTitles

REQUESTED, OWN, UNKNOWN = "as requested", "the service's own", "unclear"
LAST, FIRST, BETWEEN, NONE = "last", "where requested", "between others", "none"

# Minimum number of known titles that show an order.
_MIN_KNOWN = 2


class Layout(t.NamedTuple):
    """The columns of a header.

    Attributes:
        order: How the standard columns are ordered.
        metadata: Where metadata columns are.
        standard: The field of each position that is certainly not metadata; empty if unknown.
        others: The positions of the metadata columns.
    """

    order: str = UNKNOWN
    metadata: str = UNKNOWN
    standard: Mapping[int, str] = MappingProxyType({})
    others: tuple[int, ...] = ()


def layout_of(
    header: list[str], known: KnownTitles, plain: list[str], *, with_metadata: bool
) -> Layout:
    """Return the layout of a header.

    Args:
        header: The header.
        known: The known titles of the requested columns, in order.
        plain: The header of the same columns, requested without metadata and in reverse order;
            empty if there is none.
        with_metadata: Whether metadata was requested, before the columns.
    """
    every, count = range(len(header)), len(plain) or len(known.columns)
    places: list[tuple[str, Sequence[int]]] = [(NONE, every)]
    if with_metadata and len(header) > count:
        places = [
            (LAST, every[:count]),
            (FIRST, every[-count:]),
            (BETWEEN, _subsequence(header, plain[::-1])),
            (BETWEEN, _subsequence(header, plain)),
        ]
    layouts = [_layout(header, known, plain, *place) for place in places]
    if not with_metadata:
        return layouts[0]

    def rank(layout: Layout) -> tuple[bool, bool, int]:
        owners = known.owners(header[position] for position in layout.standard)
        titles = len(owners) - owners.count(None)
        return layout.metadata != BETWEEN, layout.order == REQUESTED, titles

    proven = (layout for layout in layouts if layout.order != UNKNOWN)
    return max(proven, default=Layout(), key=rank)


def _layout(
    header: list[str], known: KnownTitles, plain: list[str], place: str, standard: Sequence[int]
) -> Layout:
    """Return the layout of a header whose standard columns are at these positions."""
    part = [header[position] for position in standard]
    owners, order = known.owners(part), UNKNOWN
    in_order = [owner for owner in owners if owner is not None]
    if plain:
        order = {tuple(plain): OWN, tuple(plain[::-1]): REQUESTED}.get(tuple(part), UNKNOWN)
    elif len(in_order) >= min(_MIN_KNOWN, len(known.columns)):
        order = REQUESTED if in_order == sorted(set(in_order)) else OWN
    fields = [column.api_field for column in known.columns]
    if order != REQUESTED or len(part) != len(fields):
        fields = [
            fields[owner] if owner is not None and owners.count(owner) == 1 else ""
            for owner in owners
        ]
    others = tuple(position for position in range(len(header)) if position not in standard)
    return Layout(order, place, dict(zip(standard, fields, strict=True)), others)


def _subsequence(header: list[str], titles: list[str]) -> list[int]:
    """Return the positions of titles in this order; fewer if some are missing."""
    positions: list[int] = []
    for position, title in enumerate(header):
        if titles[len(positions) :][:1] == [title]:
            positions.append(position)
    return positions
