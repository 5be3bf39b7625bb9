"""The endpoints that the tap uses, typed.

Paths, status strings and the shapes of responses are known here only.
"""

from __future__ import annotations

import datetime as dt
import enum
import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote

from tap_voucherify.api.messages import Request
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import RequestError
from tap_voucherify.instants import EPOCH, is_instant, parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_voucherify.api.client import Client
    from tap_voucherify.api.credentials import Credentials
    from tap_voucherify.api.messages import Response
    from tap_voucherify.clock import Clock

_T = t.TypeVar("_T")


class ExportStatus(enum.Enum):
    """Status of an export, in Voucherify's words."""

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
        parameters: The parameters, in the form of a request.
        result: The result, as it was sent.
    """

    id: str
    status: ExportStatus
    created_at: dt.datetime
    exported_object: str = ""
    parameters: Mapping[str, t.Any] = field(default_factory=dict)
    result: object = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Links to the files of a finished export, in order.

        The documented result is `{"url": ...}`. Large exports may be split in an undocumented
        form; a list of URLs is accepted.

        Raises:
            RequestError: If the result has any other shape; never read partially.
        """
        if isinstance(self.result, dict) and len(self.result) == 1:
            urls = self.result.get("url", self.result.get("urls"))
            if isinstance(urls, str):
                urls = [urls]
            if isinstance(urls, list) and urls and all(isinstance(url, str) for url in urls):
                return tuple(urls)
        keys = (
            sorted(map(str, self.result))
            if isinstance(self.result, dict)
            else type(self.result).__name__
        )
        raise RequestError(f"unexpected export result (keys: {keys!s:.500}); please report this")


class Voucherify:
    """Voucherify's API; thread-safe.

    Args:
        client: HTTP client.
        clock: Clock.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def create_export(
        self, exported_object: str, parameters: Mapping[str, t.Any], deadline: Deadline
    ) -> Export:
        """Create an export; its parameters are those that Voucherify reports back.

        Raises:
            RequestError: If the response has no ID.
        """
        response = self._client.send(
            Request(
                "create",
                "POST",
                "/v1/exports",
                json={"exported_object": exported_object, "parameters": parameters},
                retry_warning="(if an export was created anyway, it is ignored)",
            ),
            deadline,
        )
        export_id = response.content.get("id")
        if not isinstance(export_id, str) or not export_id:
            raise RequestError("create export: the response has no id")
        return _export(response.content, export_id, ExportStatus.SCHEDULED, response.server_time)

    def get_export(self, export_id: str, deadline: Deadline) -> Export:
        """Return an export.

        Raises:
            NotFoundError: If there is no such export.
            RequestError: If its status is unknown.
        """
        response = self._client.send(Request("poll", "GET", _path(export_id)), deadline)
        status = _status(response.content)
        if status is None:
            raise RequestError(f"unknown export status {response.content.get('status')!r:.80}")
        return _export(response.content, export_id, status, response.server_time)

    def list_exports(self, limit: int = 100) -> ExportList:
        """Return the newest exports, newest first; those in an unknown form are left out."""
        response = self._client.send(
            Request(
                "list",
                "GET",
                "/v1/exports",
                params={"limit": str(limit), "order": "-created_at"},
            ),
            Deadline(self._clock),
        )
        return ExportList(tuple(_exports(response)), _instant(response.server_time))

    def delete_export(self, export_id: str) -> None:
        """Delete an export.

        Raises:
            NotFoundError: If there is no such export.
        """
        self._client.send(Request("delete", "DELETE", _path(export_id)), Deadline(self._clock))

    def download(self, url: str, file: t.BinaryIO, deadline: Deadline, fresh_until: float) -> int:
        """Write a file of an export to `file`, in one attempt; see `Client.download`."""
        return self._client.download(url, file, deadline, fresh_until)

    def retry(self, attempt: Callable[[], _T], problem: str, deadline: Deadline) -> _T:
        """Retry transient errors; see `Retry.run`."""
        return self._client.retry.run(attempt, problem, deadline)

    def metadata_schemas(self) -> dict[str, t.Any]:
        """Return the project's metadata schemas, as they were sent."""
        return self._client.send(
            Request("schemas", "GET", "/v1/metadata-schemas"), Deadline(self._clock)
        ).content

    def get_page(self, path: str, params: Mapping[str, str]) -> dict[str, t.Any]:
        """Return a page of a list endpoint, as it was sent."""
        return self._client.send(
            Request("list", "GET", path, params=params), Deadline(self._clock)
        ).content

    def issue_token(self, key_pair: Credentials, scopes: str) -> tuple[str, float]:
        """Exchange a key pair for an OAuth 2.0 token.

        Args:
            key_pair: Authenticates the request.
            scopes: Space-separated scopes.

        Returns:
            The token, and for how many seconds it is valid.

        Raises:
            RequestError: If the response has no token, or one in an unknown form.
        """
        content = self._client.send(
            Request(
                "token",
                "POST",
                "/v1/oauth/token",
                form={"grant_type": "client_credentials", "scope": scopes},
                credentials=key_pair,
            ),
            Deadline(self._clock),
        ).content
        try:
            return str(content["access_token"]), float(content["expires_in"])
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError("unexpected response to the token request") from error


class ExportList(t.NamedTuple):
    """The newest exports of the account.

    Attributes:
        exports: The exports, newest first.
        server_time: The server's time of the response.
    """

    exports: tuple[Export, ...]
    server_time: dt.datetime


def _path(export_id: str) -> str:
    return f"/v1/exports/{quote(export_id, safe='')}"


def _instant(seconds: float) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=seconds)


def _status(content: Mapping[str, t.Any]) -> ExportStatus | None:
    try:
        return ExportStatus(content.get("status"))
    except ValueError:
        return None


def _exports(response: Response) -> Iterator[Export]:
    entries = response.content.get("exports")
    for entry in entries if isinstance(entries, list) else ():
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
        _parameters(content.get("parameters")),
        content.get("result"),
    )


def _parameters(echo: object) -> dict[str, t.Any]:
    """Normalize an export's parameters for comparison with a request.

    The reference echoes `filters`, the guide `filter`; both add `junction` even to a single
    filter.
    """
    parameters = {
        "filters" if name == "filter" else name: value
        for name, value in (echo.items() if isinstance(echo, dict) else ())
        if value and name != "response_format"
    }
    if parameters.get("filters") == {"junction": "and"}:
        del parameters["filters"]
    return parameters
