"""Questions about rows and cells: filters, order, times, types."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from itertools import pairwise

from tap_voucherify.columns import ColumnType
from tap_voucherify.instants import parse_instant
from tap_voucherify.survey.evidence import described, grouped
from tap_voucherify.survey.probes import FULL, UNDOCUMENTED_FIELD, WINDOW

if t.TYPE_CHECKING:
    from tap_voucherify.survey.evidence import Evidence

# Fields without a description or an example in the reference.
_UNDOCUMENTED_TYPES = {"is_winner", "price", "attributes", "request_duration"}
_NO_ROWS = "not asked: no object has enough rows in the range; set start_date"

_MILLISECONDS = re.compile(r"[.,][0-9]{3}")


def _outside(times: list[str], edges: tuple[str, str]) -> list[float]:
    """Return the distance in seconds of each time that is outside a range."""
    start, end = map(parse_instant, edges)
    instants = map(parse_instant, times)
    distances = (max(start - instant, instant - end).total_seconds() for instant in instants)
    return [seconds for seconds in distances if seconds > 0]


def boundaries(evidence: Evidence) -> str:
    """Are `$after` and `$before` inclusive?

    Requests one extra second on each side, and drops the rest.
    """
    parts = []
    for sample, edges, times in evidence.edge_rows:
        name, outside = sample.name, len(_outside(times, edges))
        start, end = map(parse_instant, edges)
        inside = Counter(time for time in sample.times if start < parse_instant(time) < end)
        missing = (inside - Counter(times)).total()
        if outside or missing:
            reason = f"{outside} rows outside the range and {missing} missing within it"
            parts.append(f"unclear ({name}): {reason}")
        elif not _MILLISECONDS.search(edges[0]):
            parts.append(f"unclear ({name}): times are exported without milliseconds")
        else:
            after, before = (_inclusion(times, sample.times, edge) for edge in edges)
            parts.append(f"{name}: `$after` {after}, `$before` {before}")
    failed = (probe for probe in evidence.of_role(WINDOW) if probe.error)
    parts += [f"{probe.exported_object}: {probe.error}" for probe in failed]
    return "; ".join(parts) or _NO_ROWS


def _inclusion(times: list[str], every: list[str], edge: str) -> str:
    seen, expected = times.count(edge), every.count(edge)
    verb = "includes" if seen else "excludes"
    verdict = f"{verb} it" if expected > 1 else f"probably {verb} it, unless times are rounded"
    if 0 < seen < expected:
        verdict = "includes it for some rows only"
    return f"{verdict} ({seen} of {expected} rows at its instant)"


def date_filter(evidence: Evidence) -> str:
    """Does a date filter always apply?

    Drops rows outside the window, with a warning. If rows must be missing, because the file is for
    another window or time zone, the stream fails.
    """
    parts = []
    for sample in evidence.samples:
        if outside := _outside(sample.times, evidence.created):
            counts = f"{len(outside)} of {len(sample.times)} rows outside"
            parts.append((sample.name, f"{counts}, by up to {max(outside):.3f} s"))
        elif sample.times:
            parts.append((sample.name, "all rows in the range"))
    for sample, edges, times in evidence.edge_rows:
        if outside := _outside(times, edges):
            parts.append((f"{sample.name} between two of its rows", f"{len(outside)} rows outside"))
    return grouped(parts) or _NO_ROWS


def row_order(evidence: Evidence) -> str:
    """Are rows always in the requested order?

    Checks; if they are not, moves the bookmark only at the end of the export.
    """
    parts = [(sample.name, _order(sample.times)) for sample in evidence.samples if sample.times]
    parts += [
        (f"{sample.name} requested in descending order", _order(times))
        for sample, _, times in evidence.edge_rows
    ]
    return grouped(parts) or _NO_ROWS


def _order(times: list[str]) -> str:
    pairs = pairwise(map(parse_instant, times))
    steps = [(after - before).total_seconds() for before, after in pairs]
    back = [-step for step in steps if step < 0]
    if not any(steps):
        return "too few rows"
    if not back:
        return "ascending"
    if max(steps) <= 0:
        return "descending"
    return f"{len(back)} of {len(times)} rows before their predecessor, by up to {max(back):.3f} s"


def cell_forms(evidence: Evidence) -> str:
    """How are times, dates and numbers written?

    Accepts JSON numbers, and times with any number of digits and any offset, which become UTC
    milliseconds.
    """
    return described(
        (column.type.name.lower(), sample.forms[column.api_field])
        for sample in evidence.samples
        for column in sample.columns
        if column.type is not ColumnType.TEXT
    )


def undocumented_types(evidence: Evidence) -> str:
    """What are the types of fields without a description or an example?

    Emits them as text.
    """
    return described(
        (f"{sample.name} `{field}`", sample.forms[field])
        for sample in evidence.samples
        for field in _UNDOCUMENTED_TYPES
    )


def undocumented_status(evidence: Evidence) -> str:
    """Do voucher transactions have a `status`?

    Does not request it: the prose lists it, the list of fields does not.
    """
    return grouped(
        (probe.exported_object, "rejected" if field in probe.rejected else "accepted")
        for probe in evidence.of_role(FULL)
        for name, field in UNDOCUMENTED_FIELD.items()
        if name == probe.exported_object and (probe.files or field in probe.rejected)
    )


def undocumented_objects(evidence: Evidence) -> str:
    """Can products, SKUs and API logs be exported?

    Has a stream for each, deselected by default.
    """
    return grouped(
        (probe.exported_object, probe.error or "exported")
        for probe in evidence.of_role(FULL)
        if probe.exported_object in {"product", "sku", "api_log"}
    )
