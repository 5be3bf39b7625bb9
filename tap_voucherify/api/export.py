"""An export as Voucherify reports it: its status, its parameters, the links to its files.

Only this module knows status strings and the shapes of these responses.
"""

from __future__ import annotations

import datetime as dt
import enum
import typing as t
from dataclasses import dataclass

from tap_voucherify.errors import RequestError
from tap_voucherify.instants import EPOCH, is_instant, parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_voucherify.api.messages import Response


class ExportStatus(enum.Enum):
    """Status of an export, as Voucherify names it."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    DONE = "DONE"
    ERROR = "ERROR"

    @property
    def is_final(self) -> bool:
        """Whether the export has ended."""
        return self in {ExportStatus.DONE, ExportStatus.ERROR}


@dataclass(frozen=True)
class Export:
    """An export as Voucherify reports it.

    Attributes:
        id: Voucherify's ID.
        status: The status.
        created_at: Time of creation, by the server's clock.
        exported_object: Voucherify's object name.
        echo: The parameters, as Voucherify echoes them.
        result: The result as sent.
    """

    id: str
    status: ExportStatus
    created_at: dt.datetime
    exported_object: str = ""
    echo: object = None
    result: object = None

    @property
    def parameters(self) -> dict[str, t.Any]:
        """The parameters, normalized for comparison with a request.

        The reference echoes `filters`, the guide `filter`; both add `junction` even to a single
        filter.
        """
        parameters = {
            "filters" if name == "filter" else name: value
            for name, value in (self.echo.items() if isinstance(self.echo, dict) else ())
            if value and name != "response_format"
        }
        if parameters.get("filters") == {"junction": "and"}:
            del parameters["filters"]
        return parameters

    @property
    def urls(self) -> tuple[str, ...]:
        """Links to the files of a finished export, in order; empty if there are none yet.

        The documented result is `{"url": ...}`, to which properties may be added. Large exports
        may be split in an undocumented form; a list of URLs is accepted.

        Raises:
            RequestError: If the result may have further files; never read partially.
        """
        if not self.result:
            return ()
        if isinstance(self.result, dict):
            name = "url" if "url" in self.result else "urls"
            urls = self.result.get(name) or []
            if isinstance(urls, str):
                urls = [urls]
            others = [value for key, value in self.result.items() if key != name]
            if (
                isinstance(urls, list)
                and all(isinstance(url, str) and url for url in urls)
                and not any(map(_may_name_files, others))
            ):
                return tuple(urls)
        keys = (
            sorted(map(str, self.result))
            if isinstance(self.result, dict)
            else type(self.result).__name__
        )
        raise RequestError(f"unexpected export result (keys: {keys!s:.500}); please report this")


class ExportList(t.NamedTuple):
    """The newest exports of the account.

    Attributes:
        exports: The exports, newest first.
        server_time: When the response was sent, by the server's clock.
    """

    exports: tuple[Export, ...]
    server_time: dt.datetime


def created_export(response: Response) -> Export:
    """Return the export that was created.

    Raises:
        RequestError: If the response has no ID.
    """
    export_id = response.content.get("id")
    if not isinstance(export_id, str) or not export_id:
        raise RequestError("create export: the response has no id")
    return _export(response.content, export_id, ExportStatus.SCHEDULED, response.server_time)


def reported_export(response: Response, export_id: str) -> Export:
    """Return the export with this ID.

    Raises:
        RequestError: If its status is unknown.
    """
    status = _status(response.content)
    if status is None:
        raise RequestError(f"unknown export status {response.content.get('status')!r:.80}")
    return _export(response.content, export_id, status, response.server_time)


def listed_exports(response: Response) -> ExportList:
    """Return the exports of a list; those in an unknown form are left out.

    Raises:
        RequestError: If it is not a list of exports.
    """
    entries = response.content.get("exports")
    if not isinstance(entries, list):
        raise RequestError("list exports: the response has no list")
    return ExportList(tuple(_exports(entries)), _instant(response.server_time))


def _may_name_files(value: object) -> bool:
    """Whether an unknown property holds a link or a list, at any depth."""
    if isinstance(value, dict):
        return any(map(_may_name_files, value.values()))
    return isinstance(value, list) or (isinstance(value, str) and "://" in value)


def _instant(seconds: float) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=seconds)


def _status(content: Mapping[str, t.Any]) -> ExportStatus | None:
    try:
        return ExportStatus(content.get("status"))
    except ValueError:
        return None


def _exports(entries: list[t.Any]) -> Iterator[Export]:
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            status = _status(entry)
            if status is not None:
                yield _export(entry, entry["id"], status, 0)


def _export(
    content: Mapping[str, t.Any], export_id: str, status: ExportStatus, otherwise: float
) -> Export:
    """Return an export, created at `otherwise` (Unix seconds) if the response lacks a time."""
    created_at = content.get("created_at")
    return Export(
        export_id,
        status,
        parse_instant(t.cast("str", created_at)) if is_instant(created_at) else _instant(otherwise),
        str(content.get("exported_object")),
        content.get("parameters"),
        content.get("result"),
    )
