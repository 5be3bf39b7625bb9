"""An export request, and the files it produces."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field, replace

from tap_voucherify.windows import Window

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping


@dataclass(frozen=True)
class ExportRequest:
    """Parameters of an export.

    Attributes:
        stream: Stream name.
        exported_object: Voucherify's object name.
        fields: API names of the columns, in order.
        order: Field the rows are sorted by, if any.
        window: The time range.
        filter_field: Field the window filters on, if any.
        resumable: Whether an unfinished export of an earlier run may be used instead; the
            next run picks up anything newer.
        extra_parameters: Extra parameters from the settings.
    """

    stream: str
    exported_object: str
    fields: tuple[str, ...]
    order: str = ""
    window: Window = field(default_factory=Window)
    filter_field: str = ""
    resumable: bool = False
    extra_parameters: Mapping[str, t.Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, t.Any]:
        """The parameters to send."""
        parameters: dict[str, t.Any] = {"fields": list(self.fields)}
        if self.order:
            parameters["order"] = self.order
        parameters |= self.extra_parameters
        filters = dict(parameters.pop("filters", {}))
        if conditions := self.window.conditions():
            filters[self.filter_field] = {"conditions": conditions}
        if filters:
            parameters["filters"] = filters | {"junction": "and"}
        return parameters

    def over(self, window: Window) -> ExportRequest:
        """Return the same request for another window."""
        return replace(self, window=window)

    def __str__(self) -> str:
        """Describe it for the log."""
        if not self.filter_field:
            return self.stream
        verb = self.filter_field.removesuffix("_at")
        return f"{self.stream} {verb} {self.window}"


def size_of(file: t.BinaryIO) -> int:
    """Return the size of a file in bytes, and rewind it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


@dataclass(frozen=True)
class ExportedFiles:
    """A finished export's downloaded files.

    Attributes:
        request: The request.
        export_id: Voucherify's ID of the export.
        created_at: When it was created, by the server's clock.
        files: Files in order, each with a header.
    """

    request: ExportRequest
    export_id: str
    created_at: dt.datetime
    files: tuple[t.BinaryIO, ...]

    @property
    def has_empty_file(self) -> bool:
        """Whether a file has 0 bytes, and so not even a header."""
        return not all(map(size_of, self.files))

    def close(self) -> None:
        """Delete the temporary files."""
        for file in self.files:
            file.close()
