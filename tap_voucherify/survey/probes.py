"""One export of a survey, and its outcome."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

from tap_voucherify.columns import TEXT, Column
from tap_voucherify.errors import ExportFileError, one_line
from tap_voucherify.exports.request import size_of
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.session import EMPTY_RANGE

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_voucherify.stream import ExportStream

# All columns and metadata; the same without metadata and rows; rows between two instants; a
# single metadata key; another format.
FULL, PLAIN, WINDOW, KEY, JSON = "full", "plain", "window", "key", "json"

# In the prose of the reference, but not in its list of fields.
UNDOCUMENTED_FIELD = {"voucher_transactions": "status"}


@dataclass(eq=False)
class Probe:
    """An export of the survey, and its outcome.

    Attributes:
        role: What it is for.
        exported_object: Voucherify's object name.
        parameters: Its parameters.
        metadata_key: The metadata key that it requests, which must not be shown.
        export_id: Voucherify's ID.
        created: When it was created, in seconds of the monotonic clock.
        waited: Seconds until it was last seen in progress, and until it was first seen done.
        rejected: Fields that were rejected.
        error: Why there is no file.
        echoes: Its parameters in the response to its creation and in the list of exports.
        result: The result, as it was sent.
        links: The number of links to files.
        is_repeated: Whether its creation has been retried.
        downloads: Number of attempts to download it.
        files: The downloaded files.
    """

    role: str
    exported_object: str
    parameters: dict[str, t.Any]
    metadata_key: str = ""
    export_id: str = ""
    created: float = 0.0
    waited: tuple[float, float] = (0.0, 0.0)
    rejected: list[str] = field(default_factory=list)
    error: str = ""
    echoes: dict[str, t.Any] = field(default_factory=dict)
    result: object = None
    links: int = 0
    is_repeated: bool = False
    downloads: int = 0
    files: list[t.BinaryIO] = field(default_factory=list)

    @property
    def is_of_nothing(self) -> bool:
        """Whether its range is empty."""
        return self.parameters.get("filters") == between(*EMPTY_RANGE.bounds_as_text)

    @functools.cached_property
    def header(self) -> list[str]:
        """The header of the first file; empty if there is none."""
        try:
            return CsvRows(self.files[0]).header if self.files and size_of(self.files[0]) else []
        except ExportFileError as error:
            self.error = one_line(error)
            return []

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows of all files, up to the first error."""
        try:
            for file in filter(size_of, self.files):
                for block in CsvRows(file):
                    yield from block
        except ExportFileError as error:
            self.error = one_line(error)

    def leave_out(self, allowed: frozenset[str]) -> bool:
        """Drop fields that are not allowed, and return whether there were any.

        Nothing is dropped from the export of a single metadata key, or if no field would remain.
        """
        fields = self.parameters["fields"]
        rejected = [name for name in fields if name not in allowed]
        if self.metadata_key or not 0 < len(rejected) < len(fields):
            return False
        self.rejected += rejected
        self.parameters["fields"] = [name for name in fields if name in allowed]
        return True

    def __str__(self) -> str:
        """Return its name in the log and in the report."""
        return f"{self.exported_object} ({self.role})"


def columns_of(stream: type[ExportStream]) -> list[Column]:
    """Return the columns of an object, in the order of request."""
    name = UNDOCUMENTED_FIELD.get(stream.exported_object)
    return [*stream.columns[::-1], *([Column(name, TEXT, "Undocumented.")] if name else [])]


def between(after: str, before: str) -> dict[str, t.Any]:
    """Return the filters of a range of creation times."""
    return {
        "junction": "and",
        "created_at": {"conditions": {"$after": [after], "$before": [before]}},
    }
