"""Convert cells to typed values, strictly.

Invalid cells raise `ValueError`.
"""

from __future__ import annotations

import datetime as dt
import re
import typing as t
from decimal import Decimal, InvalidOperation

import msgspec

from tap_voucherify.columns import ColumnType

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = t.TypeVar("T")

_DIGITS = r"-?(?:0|[1-9][0-9]*)"
_INTEGER = re.compile(rf"({_DIGITS})(?:\.0+)?")
_NUMBER = re.compile(rf"{_DIGITS}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# Exports are documented to be in UTC, so no offset means UTC.
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]((?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?)?"
)
# Matches timestamps already in bookmark format (except Feb 29).
_BOOKMARK_TIMESTAMP = re.compile(
    r"(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
)
# Maximum characters of a cell shown in an error.
_MAX_SHOWN_CHARACTERS = 80
_BOOLEANS = {"true": True, "false": False}


def _to_decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation as error:  # exponent too large
        raise ValueError(digits) from error


# Keeps every digit of decoded numbers.
JSON_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode_lines(records: Sequence[t.Any], prefix: bytes, suffix: bytes) -> bytes:
    """Return records as lines of JSON, each with a prefix and a suffix without line breaks."""
    lines = JSON_ENCODER.encode_lines(records)
    if not (lines and (prefix or suffix)):
        return lines
    # JSON escapes the line breaks in text.
    return prefix + lines.replace(b"\n", suffix + b"\n" + prefix)[: -len(prefix) or None]


_JSON_OBJECT = msgspec.json.Decoder(dict[str, t.Any], float_hook=_to_decimal)
_JSON_ARRAY = msgspec.json.Decoder(list[t.Any], float_hook=_to_decimal)


def _matched(pattern: re.Pattern[str], cell: str) -> re.Match[str]:
    match = pattern.fullmatch(cell)
    if match is None:
        raise ValueError(cell)
    return match


def to_number(cell: str) -> Decimal:
    """Parse a JSON number exactly."""
    return _to_decimal(_matched(_NUMBER, cell)[0])


def to_integer(cell: str) -> int:
    """Parse an integer; a fraction of zeros is allowed."""
    return int(_matched(_INTEGER, cell)[1])


def to_boolean(cell: str) -> bool:
    """Parse `true` or `false`, case-insensitively."""
    try:
        return _BOOLEANS[cell.lower()]
    except KeyError as error:
        raise ValueError(cell) from error


def to_date(cell: str) -> str:
    """Parse a date, or the UTC date of a time."""
    return to_timestamp(cell)[: len("YYYY-MM-DD")]


def to_timestamp(cell: str) -> str:
    """Parse a time to bookmark format: UTC, truncated to milliseconds."""
    date, time, fraction, sign, hours, minutes = _matched(_TIMESTAMP, cell).groups("")
    instant = dt.datetime.fromisoformat(f"{date}T{time or '00:00:00'}")
    if sign:
        offset = dt.timedelta(hours=int(hours), minutes=int(minutes or 0))
        try:
            instant += offset if sign == "-" else -offset
        except OverflowError as error:
            raise ValueError(cell) from error
    return f"{instant.isoformat()}.{fraction[:3].ljust(3, '0')}Z"


def to_json_object(cell: str) -> dict[str, t.Any]:
    """Parse a JSON object."""
    return _decoded(_JSON_OBJECT, cell)


def to_json_array(cell: str) -> list[t.Any]:
    """Parse a JSON array."""
    return _decoded(_JSON_ARRAY, cell)


def _decoded(decoder: msgspec.json.Decoder[T], cell: str) -> T:
    try:
        return decoder.decode(cell)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(cell) from error


def shorten(text: str) -> str:
    """Return the beginning of a cell, quoted, for an error message."""
    short = text[:_MAX_SHOWN_CHARACTERS]
    return repr(short) + ("..." if short != text else "")


class Conversion(t.NamedTuple):
    """How to convert the cells of a column type.

    Attributes:
        convert: Converts a non-empty cell, or raises `ValueError`.
        expected: Description for errors.
        unchanged: Matches cells that need no conversion.
        is_json: Whether the text is already valid JSON.
        is_immutable: Whether values are immutable and can be shared.
    """

    convert: Callable[[str], t.Any]
    expected: str
    unchanged: re.Pattern[str] | None = None
    is_json: bool = False
    is_immutable: bool = True


CONVERSIONS = {
    ColumnType.TEXT: Conversion(str, "text"),
    ColumnType.NUMBER: Conversion(to_number, "a number", is_json=True),
    ColumnType.INTEGER: Conversion(to_integer, "an integer", is_json=True),
    ColumnType.BOOLEAN: Conversion(to_boolean, "true or false"),
    ColumnType.DATE: Conversion(to_date, "a date"),
    ColumnType.TIMESTAMP: Conversion(to_timestamp, "a time", _BOOKMARK_TIMESTAMP),
    ColumnType.JSON_OBJECT: Conversion(to_json_object, "a JSON object", is_immutable=False),
    ColumnType.JSON_ARRAY: Conversion(to_json_array, "a JSON array", is_immutable=False),
}
