"""Filters of an export: validation and evaluation."""

from __future__ import annotations

import operator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .errors import invalid_payload, not_one_of
from .instants import DAY_MS, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .behaviour import Behaviour
    from .objects import ExportedObject
    from .tables import Row

    Predicate: TypeAlias = Callable[[Row], bool]

_PLACE = ".parameters.filters"
_JUNCTIONS = ("and", "or")


class _Value(NamedTuple):
    """A value that is compared only with values of its own kind."""

    text: str
    kind: str
    key: Any


def _value(raw: object) -> _Value:
    """Parse a cell or filter argument as an instant, a number, or else text."""
    text = str(raw)
    instant = parse(text)
    if instant is not None:
        return _Value(text, "instant", instant)
    try:
        return _Value(text, "number", Decimal(text))
    except InvalidOperation:
        return _Value(text, "text", text)


def check(filters: object, declared: ExportedObject) -> None:
    """Check filters against the documented schema.

    Voucherify docs: Exports API, the `Export...Filters` schemas.

    Raises:
        ApiError: If they do not match it.
    """
    if not isinstance(filters, dict):
        invalid_payload(f"Property {_PLACE} should be object")
    for name, condition in filters.items():
        place = f"{_PLACE}.{name}"
        if name == "junction":
            if condition not in _JUNCTIONS:
                not_one_of(place, _JUNCTIONS)
            continue
        allowed = declared.operators_of(name)
        if allowed is None:
            invalid_payload(f"Property {place} is not supported")
        conditions = condition.get("conditions") if isinstance(condition, dict) else None
        if not isinstance(conditions, dict):
            invalid_payload(f"Property {place}.conditions should be object")
        for operator_name, arguments in conditions.items():
            if operator_name not in allowed:
                invalid_payload(f"Property {place}.conditions.{operator_name} is not supported")
            _check_arguments(f"{place}.conditions.{operator_name}", operator_name, arguments)


def _check_arguments(place: str, operator_name: str, arguments: object) -> None:
    """Check the arguments of an operator.

    Voucherify docs: Exports API, schema `Any`; values are arrays.

    Raises:
        ApiError: If they are not allowed.
    """
    if not isinstance(arguments, list):
        invalid_payload(f"Property {place} should be array")
    numeric = operator_name in _RELATIVE or operator_name.startswith("$count")
    if numeric and any(_value(argument).kind != "number" for argument in arguments):
        invalid_payload(f"Property {place} should be an array of numbers")


def compile_filters(
    filters: Mapping[str, Any],
    declared: ExportedObject,
    behaviour: Behaviour,
    today_ms: int,
) -> Predicate:
    """Return the predicate of the filters.

    Voucherify docs: Exports API, schema `Junction`. All conditions are joined by the one junction,
    so that `or` would also OR the two ends of a date window.

    Args:
        filters: Validated filters.
        declared: The exported object.
        behaviour: How date filters are evaluated.
        today_ms: The start of the current day, from which relative days count.
    """
    tests = [
        _test(_reader(name, declared), operator_name, arguments, behaviour, today_ms)
        for name, condition in filters.items()
        if name != "junction" and (behaviour.honours_filters or name not in _DATES)
        for operator_name, arguments in condition["conditions"].items()
        if not {name, operator_name} & set(behaviour.ignored_conditions)
    ]
    if not tests:
        return lambda _row: True
    junction = any if filters.get("junction") == "or" else all
    return lambda row: junction(test(row) for test in tests)


_DATES = {
    "created_at": operator.attrgetter("created_ms"),
    "updated_at": operator.attrgetter("updated_ms"),
}


def sort_key(name: str, declared: ExportedObject) -> Callable[[Row], Any]:
    """Return the sort key of an order; rows without a value come first."""
    if name in _DATES:
        instant = _DATES[name]
        return lambda row: -1 if instant(row) is None else instant(row)
    return lambda row: row.cells.get(declared.cells_of.get(name, name), "")


def _reader(name: str, declared: ExportedObject) -> Callable[[Row], _Value | None]:
    """Return a function that reads the filtered value of a row; None means no value.

    A property that no exported field contains has no value.
    """
    field_name = declared.cells_of.get(name, name)
    if field_name in _DATES:
        instant = _DATES[field_name]

        def read_instant(row: Row) -> _Value | None:
            key = instant(row)
            return None if key is None else _Value("", "instant", key)

        return read_instant

    def read_cell(row: Row) -> _Value | None:
        if name.startswith("metadata."):
            text = row.metadata.get(name.removeprefix("metadata."), "")
        else:
            text = row.cells.get(field_name, "")
        return _value(text) if text else None

    return read_cell


def _test(
    read: Callable[[Row], _Value | None],
    operator_name: str,
    arguments: list[object],
    behaviour: Behaviour,
    today_ms: int,
) -> Predicate:
    """Return the predicate of one condition: any argument matches, or no negated one does."""
    if operator_name == "$has_value":
        return lambda row: read(row) is not None
    if operator_name == "$is_unknown":
        return lambda row: read(row) is None
    values = [_value(argument) for argument in arguments]
    if operator_name in _NEGATED:
        positive = _COMPARISONS[_NEGATED[operator_name]]

        def passes_none(row: Row) -> bool:
            value = read(row)
            return value is None or not any(positive(value, other) for other in values)

        return passes_none
    if operator_name in _RELATIVE:
        compare = _RELATIVE[operator_name]
        values = [_Value("", "instant", today_ms + compare.sign * DAY_MS * v.key) for v in values]
        holds = compare.holds
    elif operator_name == "$after":
        values = [_in_local_time(value, behaviour) for value in values]
        holds = _ordered(operator.ge if behaviour.after_inclusive else operator.gt)
    elif operator_name == "$before":
        values = [_in_local_time(value, behaviour) for value in values]
        holds = _ordered(operator.le if behaviour.before_inclusive else operator.lt)
    else:
        holds = _COMPARISONS[operator_name]

    def passes_any(row: Row) -> bool:
        value = read(row)
        return value is not None and any(holds(value, other) for other in values)

    return passes_any


def _in_local_time(value: _Value, behaviour: Behaviour) -> _Value:
    """Read an instant as the local time of the server."""
    if value.kind != "instant":
        return value
    return value._replace(key=value.key - round(behaviour.filter_utc_offset_hours * 3_600_000))


_Holds: TypeAlias = "Callable[[_Value, _Value], bool]"


def _ordered(compare: Callable[[Any, Any], bool]) -> _Holds:
    return lambda value, other: value.kind == other.kind and compare(value.key, other.key)


def _counted(compare: Callable[[Any, Any], bool]) -> _Holds:
    """Compare the number of elements of an array, written `1,2,3` in a cell."""
    return lambda value, other: compare(len(value.text.split(",")), other.key)


def _equal(value: _Value, other: _Value) -> bool:
    return value.text == other.text or (value.kind == other.kind and value.key == other.key)


_COMPARISONS: Mapping[str, _Holds] = {
    "$is": _equal,
    "$in": _equal,
    "$contains": lambda value, other: other.text in value.text,
    "$starts_with": lambda value, other: value.text.startswith(other.text),
    "$ends_with": lambda value, other: value.text.endswith(other.text),
    "$more_than": _ordered(operator.gt),
    "$less_than": _ordered(operator.lt),
    "$more_than_equal": _ordered(operator.ge),
    "$less_than_equal": _ordered(operator.le),
    "$count": _counted(operator.eq),
    "$count_less": _counted(operator.lt),
    "$count_more": _counted(operator.gt),
}
_NEGATED = {"$is_not": "$is", "$not_in": "$in", "$not_contain": "$contains"}


class _Relative(NamedTuple):
    """A comparison with a day before (-1) or after (1) today."""

    sign: int
    holds: _Holds


def _same_day(value: _Value, other: _Value) -> bool:
    return value.kind == "instant" and value.key // DAY_MS == other.key // DAY_MS


_RELATIVE: Mapping[str, _Relative] = {
    "$is_days_ago": _Relative(-1, _same_day),
    "$is_days_in_future": _Relative(1, _same_day),
    "$more_than_ago": _Relative(-1, _ordered(operator.lt)),
    "$less_than_ago": _Relative(-1, _ordered(operator.gt)),
    "$more_than_future": _Relative(1, _ordered(operator.gt)),
    "$less_than_future": _Relative(1, _ordered(operator.lt)),
}
