"""What the exports of one object show; cells are reduced to their forms."""

from __future__ import annotations

import datetime as dt
import typing as t
from collections import Counter, defaultdict
from itertools import pairwise

from tap_voucherify.columns import METADATA, Column, ColumnType
from tap_voucherify.errors import ExportFileError, one_line
from tap_voucherify.exports.request import size_of
from tap_voucherify.files.header import METADATA_PREFIX, KnownTitles
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import is_instant, parse_instant
from tap_voucherify.survey.cells import are_titles, form_of
from tap_voucherify.survey.layout import UNKNOWN, Layout, layout_of
from tap_voucherify.survey.probes import UNDOCUMENTED_FIELD, time_field

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_voucherify.stream import ExportStream
    from tap_voucherify.survey.probes import Probe

# Of this many different times, each has another that is not its neighbour.
_MIN_TIMES = 4


class Sample:
    """The export of all columns of an object, with what it shows.

    Args:
        stream: The stream class.
        full: The export of all columns and metadata.
        plain: The export without metadata and rows, if any.

    Attributes:
        header: The header of the full export; empty if there is none.
        plain_header: That of the other.
        layout: The columns of the header.
        rows: The number of rows.
        times: The creation time of each row, as text. If its title is unknown, it is the only
            column that has a time in every row.
        time_title: The title of that column.
        forms: How often each form occurs, by field.
        metadata_forms: The same by metadata key.
    """

    def __init__(self, stream: type[ExportStream], full: Probe, plain: Probe | None) -> None:
        self.stream = stream
        self.full = full
        self.plain = plain
        self.name = stream.exported_object
        self.rows = 0
        self.times: list[str] = []
        self.time_title = ""
        self._timed: dict[int, list[str]] = {}
        self.forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.metadata_forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        requested = set(full.fields)
        self.columns = [
            column for column in _columns(stream)[::-1] if column.api_field in requested
        ]
        self.known = KnownTitles(
            self.columns, [column.titles(self.name) for column in self.columns]
        )
        self.has_metadata = METADATA in requested
        plain_header = header_of(plain) if plain else []
        self.plain_header = plain_header if are_titles(plain_header) else []
        self.header: list[str] = []
        self.layout = Layout(UNKNOWN, UNKNOWN)
        try:
            self._read()
        except ExportFileError as error:
            full.error = one_line(error)

    @property
    def edges(self) -> tuple[str, str] | tuple[()]:
        """Two creation times as text, the earlier one first.

        Several rows share each, if possible; others are between them, and close before and after
        each, so that a shifted range shows.
        """
        counts = Counter(self.times)
        times = sorted(counts, key=parse_instant)
        if len(times) < _MIN_TIMES:
            return ()
        instants = [parse_instant(time) for time in times]
        gaps = [after - before for before, after in pairwise(instants)]
        longest = dt.timedelta.max
        around = zip([longest, *gaps], [*gaps, longest], strict=True)
        best = sorted(
            (counts[time] == 1, max(pair), position)
            for position, (time, pair) in enumerate(zip(times, around, strict=True))
        )
        (*_, one), *others = best
        other = next(position for *_, position in others if abs(position - one) > 1)
        return times[min(one, other)], times[max(one, other)]

    @property
    def metadata_key(self) -> str:
        """A metadata key that no standard column has as its title; empty if there is none."""
        titles = self.standard_titles
        return next((key for key in self.metadata_keys if key and key not in titles), "")

    @property
    def metadata_titles(self) -> list[str]:
        """The titles of metadata columns."""
        return [self.header[position] for position in self.layout.others]

    @property
    def metadata_keys(self) -> list[str]:
        """The metadata keys that have a column, in its order."""
        return [title.removeprefix(METADATA_PREFIX) for title in self.metadata_titles]

    @property
    def standard_titles(self) -> list[str]:
        """The titles of the columns that are certainly no metadata."""
        return [self.header[position] for position in self.layout.standard]

    @property
    def titles(self) -> list[tuple[str, str]]:
        """The titles that are certainly no metadata, each with its field if that is proven."""
        if self.layout.standard:
            return list(zip(self.standard_titles, self.layout.fields, strict=True))
        if not self.plain_header:
            return []
        fields = [
            "" if owner is None else self.columns[owner].api_field
            for owner in self.known.owners(self.plain_header)
        ]
        return list(zip(self.plain_header, fields, strict=True))

    def is_known(self, title: str, field: str) -> bool:
        """Whether the tap knows this title of a field."""
        (owner,) = self.known.owners([title])
        return owner is not None and self.columns[owner].api_field == field

    def _read(self) -> None:
        for number, file in enumerate(self.full.files):
            if not size_of(file):
                continue
            rows = CsvRows(file)
            if not number:
                self._bind(rows.header)
            for block in rows:
                for row in block:
                    self._take(row)
        if self.stream.replication_key and len(self._timed) == 1:
            ((position, self.times),) = self._timed.items()
            self.time_title = self.header[position]

    def _bind(self, header: list[str]) -> None:
        self.header = header
        layout = layout_of(
            header,
            self.columns,
            self.known,
            self.plain_header,
            with_metadata=self.has_metadata,
        )
        if are_titles(header[position] for position in layout.standard):
            self.layout = layout
        self._fields = dict(zip(self.layout.standard, self.layout.fields, strict=True))
        self._keys = dict(zip(self.layout.others, self.metadata_keys, strict=True))
        self._time = time_field(self.stream)
        known = [each for each, field in self._fields.items() if field == self._time]
        unknown = [each for each, field in self._fields.items() if not field]
        self._timed = {each: [] for each in known or unknown}

    def _take(self, row: Sequence[str]) -> None:
        if len(row) != len(self.header):
            return
        self.rows += 1
        for position, times in list(self._timed.items()):
            if is_instant(row[position]):
                times.append(row[position])
            elif not self._fields[position]:
                del self._timed[position]
        for position, cell in enumerate(row):
            if field := self._fields.get(position):
                self.forms[field][form_of(cell)] += 1
            elif position in self._keys:
                self.metadata_forms[self._keys[position]][form_of(cell)] += 1


def _columns(stream: type[ExportStream]) -> list[Column]:
    name = UNDOCUMENTED_FIELD.get(stream.exported_object)
    undocumented = Column(name, ColumnType.TEXT, "Undocumented.") if name else None
    # It was requested last, so it comes first here.
    return [*([undocumented] if undocumented else []), *stream.columns]


def header_of(probe: Probe) -> list[str]:
    """Return the header of an export; empty if there is none."""
    try:
        return CsvRows(probe.files[0]).header if probe.files and size_of(probe.files[0]) else []
    except ExportFileError as error:
        probe.error = one_line(error)
        return []


def column_cells(probe: Probe, position: int) -> list[str]:
    """Return the cells of one column of all files of an export.

    Raises:
        ExportFileError: If a file is not CSV.
    """
    return [row[position] for row in _all_rows(probe.files) if len(row) > position]


def _all_rows(files: Iterable[t.BinaryIO]) -> Iterator[list[str]]:
    for file in files:
        if size_of(file):
            for block in CsvRows(file):
                yield from block
