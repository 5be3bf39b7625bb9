"""A CSV file becomes records of typed values, exactly or not at all."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
import itertools
import re
import sys
import typing as t
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from tap_voucherify.columns import METADATA, Column, ColumnType, simplify
from tap_voucherify.errors import ExportFileError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Record = dict[str, t.Any]

ROWS_PER_BLOCK = 1000

# As much of a cell as an error shows.
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Binding:
    """Where the columns of a file stand.

    Attributes:
        positions: The position of each requested column; None if the file lacks it.
        metadata: The custom attributes' names with their positions.
        width: How many cells every row has.
        trusted: The columns bound by position alone, with the titles found there.
    """

    positions: tuple[int | None, ...]
    metadata: tuple[tuple[str, int], ...]
    width: int
    trusted: tuple[tuple[Column, str], ...] = ()


def bind(header: Sequence[str], columns: Sequence[Column]) -> Binding:
    """Find the requested columns in a header; the others are custom attributes.

    Voucherify writes the columns in the order in which they were asked for, so each is
    expected at its own position, and its title checked where that is known.

    Args:
        header: The titles of the file.
        columns: The columns asked for, in order; the last has a known title.

    Raises:
        ExportFileError: If the header leaves room for doubt.
    """
    titles = [simplify(title) for title in header]
    positions, trusted = _by_position(titles, columns), []
    if positions is None:
        positions = _by_title(header, titles, columns)
    else:
        trusted = [
            (column, header[index])
            for index, column in enumerate(columns)
            if titles[index] not in column.titles
        ]
    rest = [index for index in range(len(header)) if index not in set(positions)]
    names = [header[index] for index in rest]
    if names and all(name.startswith("metadata.") for name in names):
        names = [name.removeprefix("metadata.") for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ExportFileError(
            f"the header holds the custom attribute {repeated[0]!r} twice: {header}"
        )
    return Binding(tuple(positions), tuple(zip(names, rest)), len(header), tuple(trusted))


def _by_position(titles: list[str], columns: Sequence[Column]) -> list[int | None] | None:
    """Bind each column to its own position, or return None if a title speaks against it.

    A title that nobody knows is trusted only where the next known title to its right
    stands at its own position, once: a shifted column would have shifted that as well.
    """
    standard = titles[: len(columns)]
    if len(standard) < len(columns):
        return None
    known = set().union(*(column.titles for column in columns))
    anchored = False
    for column, title in zip(reversed(columns), reversed(standard)):
        if title in column.titles:
            if column.title:
                anchored = standard.count(title) == 1
        elif column.title or title in known or not anchored:
            return None
    return list(range(len(columns)))


def _by_title(
    header: Sequence[str], titles: list[str], columns: Sequence[Column]
) -> list[int | None]:
    """Bind each column to the one place where its title stands.

    A column may be missing if nothing else in the header could be it.
    """
    places = [
        [index for index, title in enumerate(titles) if title in column.titles]
        for column in columns
    ]
    bound = [index for found in places for index in found]
    missing = [column for column, found in zip(columns, places) if not found]
    unclear = len(bound) != len(set(bound)) or any(len(found) > 1 for found in places)
    hidden = len(bound) < len(header) and any(not column.title for column in missing)
    if unclear or hidden or not bound:
        raise ExportFileError(
            "the header does not show which column is which: it holds "
            f"{list(header)}, and these were asked for, in this order: "
            f"{[column.api_field for column in columns]}"
        )
    return [found[0] if found else None for found in places]


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T00:00:00(?:\.0+)?Z)?")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,3})0*)?(?:Z|\+00:00)?)?"
)
_BOOLEANS = {"true": True, "false": False}
_JSON = msgspec.json.Decoder(dict[str, t.Any], float_hook=Decimal)


def _matched(pattern: re.Pattern[str], cell: str) -> re.Match[str]:
    match = pattern.fullmatch(cell)
    if match is None:
        raise ValueError(cell)
    return match


def to_number(cell: str) -> Decimal:
    """Read a JSON number, with all its digits."""
    return Decimal(_matched(_NUMBER, cell)[0])


def to_integer(cell: str) -> int:
    """Read a whole number."""
    return int(_matched(_INTEGER, cell)[0])


def to_boolean(cell: str) -> bool:
    """Read `true` or `false`, in any case."""
    try:
        return _BOOLEANS[cell.lower()]
    except KeyError as error:
        raise ValueError(cell) from error


def to_date(cell: str) -> str:
    """Read a date; midnight may follow it."""
    return dt.date.fromisoformat(_matched(_DATE, cell)[1]).isoformat()


def to_timestamp(cell: str) -> str:
    """Read a time in UTC, with or without milliseconds, into the form of bookmarks."""
    date, time, fraction = _matched(_TIMESTAMP, cell).groups("")
    instant = dt.datetime.fromisoformat(f"{date}T{time or '00:00:00'}")
    return f"{instant.isoformat()}.{fraction.ljust(3, '0')}Z"


def to_json_object(cell: str) -> dict[str, t.Any]:
    """Read a JSON object."""
    return _JSON.decode(cell)


CONVERTERS: dict[ColumnType, tuple[Callable[[str], t.Any], str]] = {
    ColumnType.TEXT: (str, "text"),
    ColumnType.NUMBER: (to_number, "a number"),
    ColumnType.INTEGER: (to_integer, "an integer"),
    ColumnType.BOOLEAN: (to_boolean, "true or false"),
    ColumnType.DATE: (to_date, "a date"),
    ColumnType.TIMESTAMP: (to_timestamp, "a time in UTC"),
    ColumnType.JSON_OBJECT: (to_json_object, "a JSON object"),
}


class ExportReader:
    """Reads the records of one exported file, block by block."""

    def __init__(
        self,
        file: t.BinaryIO,
        columns: Sequence[Column],
        *,
        required: Sequence[str] = (),
        with_metadata: bool = False,
    ) -> None:
        """Read the header.

        Args:
            file: The file, from its beginning.
            columns: The columns asked for, in order.
            required: The names of the key columns: their empty cells become empty
                text, and are an error where the column is no text.
            with_metadata: Whether the custom attributes were asked for.

        Raises:
            ExportFileError: If the header does not fit the columns.
        """
        # Cells have no size limit of their own; the default one is 128 KiB.
        csv.field_size_limit(sys.maxsize)
        self._file = file
        self._columns = columns
        self._required = frozenset(required)
        self._with_metadata = with_metadata
        text = io.TextIOWrapper(t.cast("t.IO[bytes]", file), encoding="utf-8-sig", newline="")
        self._rows = csv.reader(text, strict=True)
        self._row_number = 0
        header = next(iter(self._read_rows(1)), None)
        if header is None:
            raise ExportFileError("the file is empty: not even a header")
        self.binding = bind(header[0], columns)
        self._check_header()
        self._converters = [
            (column, position, self._converter(column))
            for column, position in zip(columns, self.binding.positions)
        ]

    @property
    def missing(self) -> list[Column]:
        """The columns that were asked for and are not in the file."""
        return [
            column
            for column, position in zip(self._columns, self.binding.positions)
            if position is None
        ]

    def __iter__(self) -> Iterator[list[Record]]:
        """Yield the records in blocks; those before a faulty row come before its error.

        Raises:
            ExportFileError: If a row or a cell is not what was asked for.
        """
        for rows in self._read_rows(ROWS_PER_BLOCK):
            records: list[Record] = []
            try:
                for row in rows:
                    self._row_number += 1
                    records.append(self._to_record(row))
            except ExportFileError:
                yield records
                raise
            yield records

    def _check_header(self) -> None:
        lost = [column.name for column in self.missing if column.name in self._required]
        if lost:
            raise ExportFileError(f"the header lacks the key column {lost[0]!r}")
        if self.binding.metadata and not self._with_metadata:
            extra = [name for name, _ in self.binding.metadata]
            raise ExportFileError(f"the header holds columns not asked for: {extra}")

    def _read_rows(self, count: int) -> Iterator[list[list[str]]]:
        while True:
            rows: list[list[str]] = []
            try:
                rows.extend(itertools.islice(self._rows, count))
            except csv.Error as error:
                fault = ExportFileError(f"line {self._rows.line_num} is no CSV: {error}")
            except UnicodeDecodeError:
                offset = _invalid_utf8(self._file)
                fault = ExportFileError(f"byte {offset} of the file is not valid UTF-8")
            else:
                if not rows:
                    return
                yield rows
                continue
            if rows:
                yield rows
            raise fault

    def _converter(self, column: Column) -> Callable[[str], t.Any]:
        convert, _ = CONVERTERS[column.type]
        if column.name in self._required:
            return convert
        return lambda cell: convert(cell) if cell else None

    def _to_record(self, row: list[str]) -> Record:
        if len(row) != self.binding.width:
            raise ExportFileError(
                f"row {self._row_number} has {len(row)} cells, "
                f"and the header {self.binding.width}: {_shown(str(row))}"
            )
        record: Record = {}
        for column, position, convert in self._converters:
            try:
                record[column.name] = None if position is None else convert(row[position])
            except (ValueError, msgspec.DecodeError):
                raise ExportFileError(
                    f"row {self._row_number}, column {column.api_field!r}: "
                    f"{_shown(row[t.cast('int', position)])} "
                    f"is not {CONVERTERS[column.type][1]}"
                ) from None
        if self._with_metadata:
            record[METADATA] = {
                name: row[position] for name, position in self.binding.metadata if row[position]
            }
        return record


def _shown(text: str) -> str:
    short = text[:_SHOWN_CHARACTERS]
    return repr(short) + ("..." if short != text else "")


def _invalid_utf8(file: t.BinaryIO) -> int:
    """Return the offset of the first byte that is not UTF-8."""
    file.seek(0)
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    while True:
        pending = len(decoder.getstate()[0])
        chunk = file.read(1 << 16)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return offset - pending + error.start
        offset += len(chunk)
