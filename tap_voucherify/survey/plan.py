"""The exports that a survey makes.

First, every object is exported once, with metadata requested first and the columns in reverse
documented order, which reveals whether Voucherify has an order of its own. Then, objects with
metadata and a date filter are exported without metadata: these titles are certainly not a
customer's. Their range is empty, unless the first exports show that there is no header then. The
results decide what the remaining exports request.
"""

from __future__ import annotations

import typing as t

from tap_voucherify.columns import METADATA
from tap_voucherify.exports.request import size_of
from tap_voucherify.files.header import METADATA_PREFIX
from tap_voucherify.probe import NOTHING
from tap_voucherify.session import EMPTY_RANGE
from tap_voucherify.streams import STREAMS
from tap_voucherify.survey.probes import FULL, JSON, KEY, PLAIN, WINDOW, Probe, between, columns_of

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_voucherify.survey.evidence import Sample

# Its rows contain the bodies of requests, so none of them is exported.
API_LOG = "api_log"

MAX_WINDOWS = 2


def first_probes(start: str, end: str) -> Iterator[Probe]:
    """Yield the exports of all columns, for the rows created between two instants."""
    for stream in STREAMS:
        fields = [METADATA] if stream.has_metadata else []
        fields += [column.api_field for column in columns_of(stream)]
        parameters: dict[str, t.Any] = {"fields": fields}
        if stream.exported_object == API_LOG:
            parameters["filters"] = between(*EMPTY_RANGE.bounds_as_text)
        elif stream.replication_key:
            parameters |= {"order": "created_at", "filters": between(start, end)}
        elif stream.filter_of_nothing:
            parameters["filters"] = {"junction": "and", stream.filter_of_nothing: NOTHING}
        yield Probe(FULL, stream.exported_object, parameters)


def plain_probes(start: str, end: str, first: Iterable[Probe]) -> Iterator[Probe]:
    """Yield the exports without metadata.

    Args:
        start: The beginning of a range that has rows.
        end: Its end.
        first: The first exports.
    """
    if all(size_of(file) for probe in first for file in probe.files):
        start, end = EMPTY_RANGE.bounds_as_text
    for stream in STREAMS:
        if stream.has_metadata and stream.replication_key:
            fields = [column.api_field for column in stream.columns]
            parameters = {"fields": fields, "filters": between(start, end)}
            yield Probe(PLAIN, stream.exported_object, parameters)


def last_probes(samples: Sequence[Sample]) -> Iterator[Probe]:
    """Yield the exports that depend on what the others show."""
    dated = sorted(
        (sample for sample in samples if sample.edges), key=lambda sample: -len(sample.times)
    )
    windows = []
    for sample in dated[:MAX_WINDOWS]:
        fields = [sample.time_field, sample.stream.columns[0].api_field]
        parameters = {"fields": fields, "order": "-created_at", "filters": _filters(sample)}
        windows.append(Probe(WINDOW, sample.name, parameters))
    yield from windows[:1]
    for sample in samples:
        if key := sample.metadata_key:
            first, second, *_ = (column.api_field for column in sample.stream.columns)
            fields = [first, f"{METADATA_PREFIX}{key}", second]
            parameters = {"fields": fields, "filters": _filters(sample)}
            yield Probe(KEY, sample.name, parameters, metadata_key=key)
            break
    sample = (dated or samples)[0]
    fields = [column.api_field for column in sample.stream.columns[:2]]
    parameters = {"fields": fields, "filters": _filters(sample), "response_format": "JSON"}
    yield Probe(JSON, sample.name, parameters)
    yield from windows[1:]


def _filters(sample: Sample) -> dict[str, t.Any]:
    return between(*(sample.edges or EMPTY_RANGE.bounds_as_text))
