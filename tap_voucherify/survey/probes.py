"""The exports of a survey.

First, every object is exported once, with metadata requested first and the columns in reverse of
their documented order, so that a service with an order of its own shows it. Then, objects that
have metadata and a date filter are exported without metadata: these titles are certainly not a
customer's. Their range is empty, unless the first exports show that there is no header then. What
these exports return decides what the others request.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from tap_voucherify.columns import METADATA
from tap_voucherify.exports.request import size_of
from tap_voucherify.probe import NOTHING
from tap_voucherify.session import EMPTY_RANGE

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_voucherify.stream import ExportStream
    from tap_voucherify.survey.sample import Sample
    from tap_voucherify.windows import Window

# All columns and metadata; the same without metadata and rows; rows between two instants; a
# single metadata key; another format.
FULL, PLAIN, WINDOW, KEY, JSON = "full", "plain", "window", "key", "json"

# Its exports hold the bodies of requests, so none of its rows is exported.
API_LOG = "api_log"
# The prose of the reference has it, the list of fields has not.
UNDOCUMENTED_FIELD = {"voucher_transactions": "status"}

MAX_WINDOWS = 2


@dataclass(eq=False)
class Probe:
    """An export of the survey, and what became of it.

    Attributes:
        role: What it is for.
        exported_object: Voucherify's object name.
        parameters: Its parameters.
        metadata_key: The metadata key that it requests, which is not to be shown.
        export_id: Voucherify's ID.
        created: Time of the clock at which it was created.
        waited: Seconds after which it was still in progress, and was done.
        rejected: Fields that were rejected.
        error: Why there is no file.
        echoes: Its parameters in the response to its creation and in the list of exports.
        result: The result, as it was sent.
        links: The number of links to files.
        tries: How often it was requested.
        downloads: How often it was downloaded.
        files: The downloaded files.
    """

    role: str
    exported_object: str
    parameters: dict[str, t.Any]
    metadata_key: str = ""
    export_id: str = ""
    created: float = 0.0
    waited: tuple[float, float] = (0.0, 0.0)
    rejected: tuple[str, ...] = ()
    error: str = ""
    echoes: dict[str, t.Any] = field(default_factory=dict)
    result: object = None
    links: int = 0
    tries: int = 0
    downloads: int = 0
    files: list[t.BinaryIO] = field(default_factory=list)

    @property
    def fields(self) -> list[str]:
        """The requested fields."""
        return list(self.parameters["fields"])

    @property
    def is_of_nothing(self) -> bool:
        """Whether its range is empty."""
        return self.parameters.get("filters") == _over(EMPTY_RANGE)

    def leave_out(self, allowed: frozenset[str]) -> bool:
        """Request only fields that are allowed, and return whether any is left out.

        Where no field would be left, nothing changes.
        """
        rejected = [name for name in self.fields if name not in allowed]
        left = [name for name in self.fields if name in allowed]
        if self.metadata_key or not (rejected and left):
            return False
        self.rejected += tuple(rejected)
        self.parameters = {**self.parameters, "fields": left}
        return True

    def close(self) -> None:
        """Delete the temporary files."""
        for file in self.files:
            file.close()

    def __str__(self) -> str:
        """Name it in the log and in the report."""
        return f"{self.exported_object} ({self.role})"


def time_field(stream: type[ExportStream]) -> str:
    """Return the API's name of the creation time; empty if exports have no date filter."""
    names = (column.api_field for column in stream.columns if column.name == stream.replication_key)
    return next(names, "")


def between(after: str, before: str) -> dict[str, t.Any]:
    """Return the filters of a range of creation times."""
    return {
        "junction": "and",
        "created_at": {"conditions": {"$after": [after], "$before": [before]}},
    }


def _over(window: Window) -> dict[str, t.Any]:
    return between(*window.bounds_as_text)


def first_probes(streams: Iterable[type[ExportStream]], window: Window) -> Iterator[Probe]:
    """Yield the exports of all columns.

    Args:
        streams: The streams.
        window: The range whose rows are exported.
    """
    for stream in streams:
        name = stream.exported_object
        fields = [column.api_field for column in reversed(stream.columns)]
        fields = [METADATA, *fields] if stream.has_metadata else fields
        parameters: dict[str, t.Any] = {"fields": fields}
        if name == API_LOG:
            parameters["filters"] = _over(EMPTY_RANGE)
        elif stream.replication_key:
            fields += [UNDOCUMENTED_FIELD[name]] if name in UNDOCUMENTED_FIELD else []
            parameters |= {"order": "created_at", "filters": _over(window)}
        elif stream.filter_of_nothing:
            parameters["filters"] = {"junction": "and", stream.filter_of_nothing: NOTHING}
        yield Probe(FULL, name, parameters)


def plain_probes(
    streams: Iterable[type[ExportStream]], window: Window, first: Iterable[Probe]
) -> Iterator[Probe]:
    """Yield the exports without metadata.

    Args:
        streams: The streams.
        window: A range that has rows.
        first: The first exports.
    """
    sizes = [size_of(file) for probe in first for file in probe.files]
    window = window if 0 in sizes else EMPTY_RANGE
    for stream in streams:
        if stream.has_metadata and stream.replication_key:
            fields = [column.api_field for column in stream.columns]
            yield Probe(PLAIN, stream.exported_object, {"fields": fields, "filters": _over(window)})


def last_probes(samples: Sequence[Sample]) -> Iterator[Probe]:
    """Yield the exports that depend on what the others show."""
    dated = sorted(
        (sample for sample in samples if sample.edges), key=lambda sample: -len(sample.times)
    )
    yield from map(_window_probe, dated[:1])
    with_key = next((sample for sample in samples if sample.metadata_key), None)
    if with_key:
        key, columns = with_key.metadata_key, with_key.stream.columns
        fields = [columns[0].api_field, f"{METADATA}.{key}", columns[1].api_field]
        parameters = {"fields": fields, "filters": _filters(with_key)}
        yield Probe(KEY, with_key.name, parameters, metadata_key=key)
    sample = (dated or samples)[0]
    parameters = {
        "fields": [column.api_field for column in sample.stream.columns[:2]],
        "filters": _filters(sample),
        "response_format": "JSON",
    }
    yield Probe(JSON, sample.name, parameters)
    yield from map(_window_probe, dated[1:MAX_WINDOWS])


def _window_probe(sample: Sample) -> Probe:
    parameters = {
        "fields": [time_field(sample.stream), sample.stream.columns[0].api_field],
        "order": "-created_at",
        "filters": between(*sample.edges),
    }
    return Probe(WINDOW, sample.name, parameters)


def _filters(sample: Sample) -> dict[str, t.Any]:
    return between(*sample.edges) if sample.edges else _over(EMPTY_RANGE)
