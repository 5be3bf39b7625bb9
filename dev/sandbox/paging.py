"""Pages of list endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .errors import invalid_payload, not_one_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX = 100
# Voucherify docs: "If no limit is set, it returns 10 items."
_DEFAULT_LIMIT = 10


class Page(NamedTuple):
    """A requested page.

    Attributes:
        field: The field to order by.
        descending: Whether the order is descending.
        begin: Position of the first item.
        end: Position after the last item.
    """

    field: str
    descending: bool
    begin: int
    end: int

    @classmethod
    def of(cls, query: Mapping[str, str], fields: Sequence[str], default_order: str) -> Page:
        """Parse a query.

        Args:
            query: The query.
            fields: The fields by which the list can be ordered.
            default_order: The order when none is requested.

        Raises:
            ApiError: If the query is not as documented.
        """
        limit = _whole_number(query, "limit") or _DEFAULT_LIMIT
        begin = limit * ((_whole_number(query, "page") or 1) - 1)
        orders = tuple(sign + name for name in fields for sign in ("", "-"))
        order = query.get("order", default_order)
        if order not in orders:
            not_one_of(".order", orders)
        return cls(order.lstrip("-"), order.startswith("-"), begin, begin + limit)


def _whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Return a number of a query. Voucherify docs: `limit` and `page` go from 1 to 100.

    Raises:
        ApiError: If it is not such a number.
    """
    if name not in query:
        return None
    text = query[name]
    if not text.isdecimal() or not 1 <= int(text) <= _MAX:
        invalid_payload(f"Property .{name} should be a number from 1 to {_MAX}")
    return int(text)
