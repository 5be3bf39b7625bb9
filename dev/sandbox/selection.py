"""The rows of an export, in the order of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from .filters import compile_filters, sort_key
from .objects import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .behaviour import Behaviour
    from .tables import Table


def select(
    table: Table,
    parameters: Mapping[str, Any],
    behaviour: Behaviour,
    today_ms: int,
) -> list[int]:
    """Return the numbers of the exported rows, in the order of the file."""
    declared = OBJECTS[table.name]
    passes = compile_filters(parameters.get("filters") or {}, declared, behaviour, today_ms)
    campaign_id = parameters.get("campaign_id")
    if "campaign_id" in behaviour.ignored_conditions:
        campaign_id = None
    numbers = [
        number
        for number in table.numbers()
        if passes(row := table.row(number))
        # Voucherify docs: Exports API, `campaign_id` beside the filters of a voucher export.
        and (campaign_id is None or row.cells.get("campaign_id") == campaign_id)
    ]
    return _ordered(numbers, table, parameters.get("order"), behaviour)


def _ordered(
    numbers: list[int], table: Table, order: str | None, behaviour: Behaviour
) -> list[int]:
    """Reorder rows from server order, as a switch or the request specifies."""
    if not behaviour.honours_order or behaviour.row_order == "shuffled":
        return sorted(numbers, key=lambda number: crc32(b"%d" % number))
    if behaviour.row_order == "ascending":
        return numbers
    if behaviour.row_order == "descending":
        return numbers[::-1]
    if order:
        key = sort_key(order.lstrip("-"), OBJECTS[table.name])
        numbers.sort(key=lambda number: key(table.row(number)), reverse=order.startswith("-"))
    if behaviour.row_order == "nearly_sorted":
        moved = {
            number: position + crc32(b"%d" % number) % 5 for position, number in enumerate(numbers)
        }
        numbers.sort(key=moved.__getitem__)
    return numbers
