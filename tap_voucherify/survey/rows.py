"""Questions about rows: filters, order, times."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from itertools import pairwise

from tap_voucherify.errors import ExportFileError, one_line
from tap_voucherify.instants import is_instant, parse_instant
from tap_voucherify.survey.evidence import grouped
from tap_voucherify.survey.probes import WINDOW
from tap_voucherify.survey.sample import column_cells, header_of

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from tap_voucherify.survey.evidence import Evidence
    from tap_voucherify.survey.probes import Probe
    from tap_voucherify.survey.sample import Sample

_NO_ROWS = "not asked: no object has enough rows in the range; set start_date"

_MILLISECONDS = re.compile(r"[.,][0-9]{3}")


class EdgeRows(t.NamedTuple):
    """The rows of an export between the times of two other rows.

    Attributes:
        name: The exported object.
        edge: The instant of `$after`.
        after: Rows at the instant of `$after`: exported, and expected if it is included.
        before: The same for `$before`.
        outside: Rows outside of the range.
        missing: Expected rows within the range that were not exported.
        times: The times of all rows, in order.
    """

    name: str
    edge: str
    after: tuple[int, int]
    before: tuple[int, int]
    outside: int
    missing: int
    times: Sequence[str]


def edge_rows(probe: Probe, sample: Sample) -> EdgeRows:
    """Return the rows of an export between two instants, compared with all rows.

    Raises:
        ExportFileError: If the export has no file, or no column of times.
    """
    header = header_of(probe)
    if probe.error or not header:
        raise ExportFileError(probe.error or "no header")
    if sample.time_title not in header:
        raise ExportFileError("the column of the creation time is not in the file")
    cells = column_cells(probe, header.index(sample.time_title))
    times = [cell for cell in cells if is_instant(cell)]
    conditions = probe.parameters["filters"]["created_at"]["conditions"]
    first, last = conditions["$after"][0], conditions["$before"][0]
    expected, seen = Counter(sample.times), Counter(times)
    start, end = parse_instant(first), parse_instant(last)
    inner = [
        (time, count)
        for time, count in expected.items()
        if start < parse_instant(time) < end and time not in {first, last}
    ]
    return EdgeRows(
        probe.exported_object,
        first,
        (seen[first], expected[first]),
        (seen[last], expected[last]),
        sum(not start <= parse_instant(time) <= end for time in times),
        sum(max(count - seen[time], 0) for time, count in inner),
        times,
    )


def _edges(evidence: Evidence) -> Iterable[EdgeRows]:
    for probe in evidence.of_role(WINDOW):
        sample = next(each for each in evidence.samples if each.name == probe.exported_object)
        try:
            yield edge_rows(probe, sample)
        except ExportFileError as error:
            probe.error = one_line(error)


def boundaries(evidence: Evidence) -> str:
    """Return whether `$after` and `$before` include their instants."""
    parts = []
    for rows in _edges(evidence):
        if rows.outside or rows.missing:
            parts.append(
                f"unclear ({rows.name}): {rows.outside} rows outside of the range and "
                f"{rows.missing} missing within it"
            )
            continue
        if not _MILLISECONDS.search(rows.edge):
            parts.append(f"unclear ({rows.name}): times are exported without milliseconds")
            continue
        sides = [
            f"`{name}` {_inclusion(*counts)} ({counts[0]} of {counts[1]} rows at its instant)"
            for name, counts in (("$after", rows.after), ("$before", rows.before))
        ]
        parts.append(f"{rows.name}: {', '.join(sides)}")
    failed = [
        f"{probe.exported_object}: {probe.error}"
        for probe in evidence.of_role(WINDOW)
        if probe.error
    ]
    return "; ".join([*parts, *failed]) or _NO_ROWS


def _inclusion(seen: int, expected: int) -> str:
    if 0 < seen < expected:
        return "includes it for some rows only"
    verb = "includes" if seen else "excludes"
    return f"{verb} it" if expected > 1 else f"probably {verb} it, unless times are rounded"


def date_filter(evidence: Evidence) -> str:
    """Return whether rows lie outside of a requested range."""
    start, end = evidence.window.start, evidence.window.end
    parts = []
    for sample in evidence.samples:
        if not sample.times:
            continue
        distances = [
            max(_seconds(start, time), _seconds(time, end))
            for time in map(parse_instant, sample.times)
        ]
        outside = [seconds for seconds in distances if seconds > 0]
        answer = "all rows in the range"
        if outside:
            answer = (
                f"{len(outside)} of {len(distances)} rows outside, by up to {max(outside):.3f} s"
            )
        parts.append((sample.name, answer))
    parts += [
        (f"{rows.name} between two of its rows", f"{rows.outside} rows outside")
        for rows in _edges(evidence)
        if rows.outside
    ]
    return grouped(parts) or _NO_ROWS


def _seconds(earlier: dt.datetime | None, later: dt.datetime | None) -> float:
    """Return by how much two instants are in the wrong order."""
    return (earlier - later).total_seconds() if earlier and later else 0.0


def row_order(evidence: Evidence) -> str:
    """Return the order of rows where they were requested in order of creation."""
    parts = [(sample.name, order_of(sample.times)) for sample in evidence.samples if sample.times]
    parts += [
        (f"{rows.name} requested in descending order", order_of(rows.times))
        for rows in _edges(evidence)
    ]
    return grouped(parts) or _NO_ROWS


def order_of(times: Sequence[str]) -> str:
    """Return the order of times."""
    instants = list(map(parse_instant, times))
    steps = [(after - before).total_seconds() for before, after in pairwise(instants)]
    back = [-step for step in steps if step < 0]
    if not any(steps):
        return "too few rows"
    if not back:
        return "ascending"
    if all(step <= 0 for step in steps):
        return "descending"
    return f"{len(back)} of {len(times)} rows before their predecessor, by up to {max(back):.3f} s"
