"""Format and parse instants, which are milliseconds since 1970."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

DAY_MS = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_ISO_8601 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)?)?",
)
_OFFSET = re.compile(r"([+-])(\d\d)(?::?(\d\d))?")


def to_ms(moment: datetime) -> int:
    """Return the instant of a datetime with a time zone."""
    return (moment - EPOCH) // _MILLISECOND


def to_datetime(instant: int) -> datetime:
    """Return the UTC datetime of an instant."""
    return EPOCH + timedelta(milliseconds=instant)


def to_text(instant: int) -> str:
    """Format an instant like Voucherify: UTC, ISO 8601, milliseconds."""
    return f"{to_datetime(instant).isoformat(timespec='milliseconds')[:-6]}Z"


def format_instant(instant: int, digits: int, suffix: str, finer: int = 0) -> str:
    """Format an instant in another form of ISO 8601.

    Args:
        instant: The instant.
        digits: Number of fractional digits, 0 to 9.
        suffix: `Z`, nothing, or an offset such as `+05:30` or `+00`.
        finer: Nanoseconds within the millisecond.
    """
    offset = _OFFSET.fullmatch(suffix)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        instant += (minutes if offset[1] == "+" else -minutes) * 60_000
    text = to_text(instant)[:-1]
    fraction = f"{text[20:]}{finer:06d}"[:digits]
    return text[:19] + (f".{fraction}" if fraction else "") + suffix


def parse(text: str) -> int | None:
    """Parse a date, or a date and time; None for any other text."""
    match = _ISO_8601.fullmatch(text)
    if not match:
        return None
    # Python 3.10 reads neither `Z` nor a fraction of any other length than three or six.
    date, time, fraction, zone = match.groups(default="")
    clock = time if time.count(":") == 2 else f"{time or '00:00'}:00"
    offset = zone if zone.strip("Z") else "+00:00"
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}.{fraction:0<6}{offset}")
    except ValueError:
        return None
    return to_ms(moment)
