"""Which column of a header is which, as far as it is proven.

The columns were requested in reverse of their documented order, behind metadata. If another
export without metadata and in the documented order shows the standard titles, its reverse or the
same sequence is looked for at the end and at the beginning of the header. Otherwise the titles
that the tap knows show the order.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_voucherify.columns import Column
    from tap_voucherify.files.header import KnownTitles

REQUESTED, OWN, UNKNOWN = "as requested", "the service's own", "unclear"
LAST, FIRST, BETWEEN, NONE = "last", "where requested", "between others", "none"

# The fewest known titles that show an order.
_MIN_KNOWN = 2


class Layout(t.NamedTuple):
    """The columns of a header.

    Attributes:
        order: How the standard columns are ordered.
        metadata: Where metadata columns are.
        standard: The positions of the columns that are certainly no metadata.
        fields: The field of each of them, or an empty text.
        others: The positions of the metadata columns.
    """

    order: str
    metadata: str
    standard: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    others: tuple[int, ...] = ()


def layout_of(
    header: Sequence[str],
    columns: Sequence[Column],
    known: KnownTitles,
    plain: Sequence[str],
    *,
    with_metadata: bool,
) -> Layout:
    """Return the layout of a header.

    Args:
        header: The header.
        columns: The requested columns, in order.
        known: Their known titles.
        plain: The header of the same columns without metadata, in reverse order of request;
            empty if there is none.
        with_metadata: Whether metadata was requested, before the columns.
    """
    count = len(plain) or len(columns)
    extra = len(header) - count
    if not with_metadata or extra <= 0:
        options = {NONE: 0}
        count = min(count, len(header)) if with_metadata else len(header)
    else:
        options = {LAST: 0, FIRST: extra}
    orders = {}
    for place, start in options.items():
        part = header[start : start + count]
        order = _order(part, plain) if plain else _order_by_titles(part, known)
        if order != UNKNOWN:
            orders[place] = (order, sum(owner is not None for owner in known.owners(part)))
    if not orders and with_metadata:
        return _interleaved(header, plain, known) or Layout(UNKNOWN, UNKNOWN)
    if not orders:
        fields = _fields(header, columns, known, is_in_order=False)
        return Layout(UNKNOWN, NONE, tuple(range(len(header))), fields)
    best = max(orders, key=lambda place: (orders[place][0] == REQUESTED, orders[place][1]))
    start = options[best]
    standard = tuple(range(start, start + count))
    order = orders[best][0]
    part = [header[position] for position in standard]
    return Layout(
        order,
        best,
        standard,
        _fields(part, columns, known, is_in_order=order == REQUESTED and count == len(columns)),
        tuple(position for position in range(len(header)) if position not in standard),
    )


def _order(part: Sequence[str], plain: Sequence[str]) -> str:
    if list(part) == list(plain)[::-1]:
        return REQUESTED
    return OWN if list(part) == list(plain) else UNKNOWN


def _order_by_titles(part: Sequence[str], known: KnownTitles) -> str:
    owners = [owner for owner in known.owners(part) if owner is not None]
    if len(owners) < min(_MIN_KNOWN, len(known.columns)):
        return UNKNOWN
    return REQUESTED if owners == sorted(set(owners)) else OWN


def _interleaved(header: Sequence[str], plain: Sequence[str], known: KnownTitles) -> Layout | None:
    """Return the layout of a header with metadata between other columns, if it is such a one."""
    for order, titles in ((REQUESTED, list(plain)[::-1]), (OWN, list(plain))):
        remaining = iter(range(len(header)))
        standard = [
            next((position for position in remaining if header[position] == title), None)
            for title in titles
        ]
        if titles and None not in standard:
            positions = t.cast("tuple[int, ...]", tuple(standard))
            others = tuple(each for each in range(len(header)) if each not in positions)
            fields = _fields(titles, known.columns, known, is_in_order=order == REQUESTED)
            return Layout(order, BETWEEN, positions, fields, others)
    return None


def _fields(
    part: Sequence[str], columns: Sequence[Column], known: KnownTitles, *, is_in_order: bool
) -> tuple[str, ...]:
    if is_in_order:
        return tuple(column.api_field for column in columns)
    owners = known.owners(part)
    return tuple(
        columns[owner].api_field if owner is not None and owners.count(owner) == 1 else ""
        for owner in owners
    )
