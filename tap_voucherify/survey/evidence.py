"""What the exports of a survey show; cells are reduced to their forms."""

from __future__ import annotations

import datetime as dt
import functools
import typing as t
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from tap_voucherify.columns import METADATA
from tap_voucherify.files.header import METADATA_PREFIX, KnownTitles
from tap_voucherify.instants import is_instant, parse_instant
from tap_voucherify.survey.cells import are_titles, form_of
from tap_voucherify.survey.layout import Layout, layout_of
from tap_voucherify.survey.probes import WINDOW, columns_of

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_voucherify.stream import ExportStream
    from tap_voucherify.survey.probes import Probe

# Of this many different times, each has another that is not adjacent.
_MIN_TIMES = 4


@dataclass
class Evidence:
    """What the calls of a survey returned.

    Attributes:
        created: The range of creation times whose rows were exported, as text.
        api_host: The API's host.
        probes: All exports.
        samples: The exports of all columns, by object.
        schemas: JSON schemas of the metadata keys, by object and key.
        schemas_error: Why there are none.
        responses: The label of each call with the headers of its response.
        now: The current Unix time in seconds.
        list_error: Why exports cannot be listed.
        account_error: Why Voucherify rejects the account; nothing is requested after that.
        undeleted: The number of exports that could not be deleted.
    """

    created: tuple[str, str]
    api_host: str
    probes: list[Probe] = field(default_factory=list)
    samples: Sequence[Sample] = ()
    schemas: Mapping[str, Mapping[str, Mapping[str, t.Any]]] = field(default_factory=dict)
    schemas_error: str = ""
    responses: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    now: float = 0.0
    list_error: str = ""
    account_error: str = ""
    undeleted: int = 0

    def of_role(self, role: str) -> Iterator[Probe]:
        """Yield the exports with this role."""
        return (probe for probe in self.probes if probe.role == role)

    @property
    def downloaded(self) -> list[Probe]:
        """The exports that have files."""
        return [probe for probe in self.probes if probe.files]

    @functools.cached_property
    def edge_rows(self) -> list[tuple[Sample, tuple[str, str], list[str]]]:
        """The exports between the times of two rows, if they can be read.

        Each is the export of all rows, the two times, and the times of its own rows in file order.
        """
        samples = {sample.name: sample for sample in self.samples}
        found = []
        for probe in self.of_role(WINDOW):
            sample = samples[probe.exported_object]
            if sample.time_title in probe.header:
                position = probe.header.index(sample.time_title)
                cells = [row[position] for row in probe.rows() if len(row) > position]
            elif not probe.error:
                missing = "the column of the creation time is not in the file"
                probe.error = missing if probe.header else "no header"
            if not probe.error:
                conditions = probe.parameters["filters"]["created_at"]["conditions"]
                edges = conditions["$after"][0], conditions["$before"][0]
                found.append((sample, edges, [cell for cell in cells if is_instant(cell)]))
        return found


def grouped(pairs: Iterable[tuple[str, str]]) -> str:
    """Format pairs of name and answer, grouped by answer."""
    names: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, answer in pairs:
        names[answer][name] = None
    return "; ".join(f"{answer} ({', '.join(each)})" for answer, each in names.items())


def described(pairs: Iterable[tuple[str, Counter[str]]]) -> str:
    """Format pairs of name and forms, merged by name, with the most common form first."""
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, seen in pairs:
        forms[name] += seen
    answers = []
    for name, seen in sorted(forms.items()):
        shown = [form for form, _ in seen.most_common() if form != "empty"]
        if seen:
            answers.append(f"{name}: {', '.join(shown) or 'empty cells only'}")
    return "; ".join(answers) or "no cells seen"


class Sample:
    """The export of all columns of an object, with what it shows.

    Args:
        stream: The stream class.
        full: The export of all columns and metadata.
        plain: The export without metadata and rows, if any.

    Attributes:
        columns: The requested columns.
        layout: The columns of the header.
        rows: The number of rows.
        time_field: Voucherify's name of the creation time; empty if there is no date filter.
        time_title: The title of its column. If it is unknown, this is the only column that has a
            time in every row.
        times: The creation time of each row, as text.
        forms: How often each form occurs, by field or `metadata.` and the key.
    """

    def __init__(self, stream: type[ExportStream], full: Probe, plain: Probe | None) -> None:
        self.stream, self.full, self.name = stream, full, stream.exported_object
        requested = full.parameters["fields"]
        self.columns = [each for each in columns_of(stream) if each.api_field in requested]
        self.known = KnownTitles(self.columns, [each.titles(self.name) for each in self.columns])
        self.has_metadata = METADATA in requested
        self.plain_header = plain.header if plain and are_titles(plain.header) else []
        self.header, self.layout = full.header, Layout()
        self.rows = 0
        self.time_title, self.times = "", list[str]()
        created = (each for each in stream.columns if each.name == stream.replication_key)
        self.time_field = next((each.api_field for each in created), "")
        self.forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._read()

    @functools.cached_property
    def edges(self) -> tuple[str, ...]:
        """Two creation times as text, the earlier one first; empty if there are too few.

        If possible, several rows share each, and others lie between them and close to each, so
        that a shifted range shows.
        """
        counts = Counter(self.times)
        times = sorted(counts, key=parse_instant)
        if len(times) < _MIN_TIMES:
            return ()
        between = (after - before for before, after in pairwise(map(parse_instant, times)))
        gaps = [dt.timedelta.max, *between, dt.timedelta.max]
        one, *others = sorted(
            range(len(times)),
            key=lambda index: (counts[times[index]] == 1, max(gaps[index], gaps[index + 1])),
        )
        other = next(index for index in others if abs(index - one) > 1)
        return times[min(one, other)], times[max(one, other)]

    @property
    def metadata_titles(self) -> list[str]:
        """The titles of metadata columns."""
        return [self.header[position] for position in self.layout.others]

    @property
    def metadata_keys(self) -> list[str]:
        """The metadata keys that have a column, in column order."""
        return [title.removeprefix(METADATA_PREFIX) for title in self.metadata_titles]

    @property
    def metadata_key(self) -> str:
        """A metadata key that is not the title of a standard column; empty if there is none."""
        keys = (key for key in self.metadata_keys if key not in self.standard_titles)
        return next(filter(None, keys), "")

    @property
    def standard_titles(self) -> list[str]:
        """The titles of the columns that are certainly not metadata."""
        return [self.header[position] for position in self.layout.standard]

    @property
    def titles(self) -> list[tuple[str, str, bool]]:
        """The titles that are certainly not metadata.

        Each has its field, if that is proven, and whether the tap knows the title of that field.
        """
        titles = self.standard_titles or self.plain_header
        known = [
            "" if owner is None else self.columns[owner].api_field
            for owner in self.known.owners(titles)
        ]
        fields = [*self.layout.standard.values()] or known
        return [
            (title, field, bool(field) and field == by_title)
            for title, field, by_title in zip(titles, fields, known, strict=True)
        ]

    def _read(self) -> None:
        layout = layout_of(
            self.header, self.known, self.plain_header, with_metadata=self.has_metadata
        )
        if are_titles(self.header[position] for position in layout.standard):
            self.layout = layout
        keys = (f"{METADATA_PREFIX}{key}" for key in self.metadata_keys)
        names = {**self.layout.standard, **dict(zip(self.layout.others, keys, strict=True))}
        standard = self.layout.standard.items()
        known = [position for position, field in standard if field == self.time_field]
        unknown = [position for position, field in standard if not field]
        timed: dict[int, list[str]] = {position: [] for position in known or unknown}
        for row in self.full.rows():
            if len(row) != len(self.header):
                continue
            self.rows += 1
            for position, times in list(timed.items()):
                if is_instant(row[position]):
                    times.append(row[position])
                elif position not in known:
                    del timed[position]
            for position, name in names.items():
                if name:
                    self.forms[name][form_of(row[position])] += 1
        if self.time_field and len(timed) == 1 and not self.full.error:
            ((position, self.times),) = timed.items()
            self.time_title = self.header[position]
