"""The endpoints that the tap uses, typed; list endpoints are declared in `list_streams`."""

from __future__ import annotations

import math
import typing as t
from urllib.parse import quote

from tap_voucherify.api.export import created_export, listed_exports, reported_export
from tap_voucherify.api.messages import Request
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import RequestError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.api.client import Client
    from tap_voucherify.api.credentials import Credentials
    from tap_voucherify.api.export import Export, ExportList
    from tap_voucherify.api.messages import Response
    from tap_voucherify.clock import Clock

# Longer than any token is documented to be valid.
MAX_TOKEN_SECONDS = 3600
# Optional requests are not retried for long.
OPTIONAL_RETRY_SECONDS = 10

_T = t.TypeVar("_T")


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
        """Create an export and return it as Voucherify reports it.

        Raises:
            RequestError: If the response has no ID.
        """
        return created_export(
            self._send(
                Request(
                    "create",
                    "POST",
                    "/v1/exports",
                    json={"exported_object": exported_object, "parameters": parameters},
                    retry_warning="(if an export was created anyway, it is ignored)",
                ),
                deadline,
            )
        )

    def get_export(self, export_id: str, deadline: Deadline) -> Export:
        """Return an export.

        Raises:
            NotFoundError: If there is no such export.
            RequestError: If its status is unknown.
        """
        request = Request("poll", "GET", _path(export_id))
        return reported_export(self._send(request, deadline), export_id)

    def list_exports(
        self,
        limit: int = 100,
        *,
        deadline: Deadline | None = None,
        max_retry_seconds: float | None = None,
    ) -> ExportList:
        """Return the newest exports, newest first; entries in an unknown form are left out.

        Raises:
            RequestError: If the response is not a list of exports.
        """
        request = Request(
            "list",
            "GET",
            "/v1/exports",
            params={"limit": str(limit), "order": "-created_at"},
            max_retry_seconds=max_retry_seconds,
        )
        return listed_exports(self._send(request, deadline or Deadline(self._clock)))

    def delete_export(self, export_id: str) -> None:
        """Delete an export.

        Raises:
            NotFoundError: If there is no such export.
        """
        request = Request(
            "delete", "DELETE", _path(export_id), max_retry_seconds=OPTIONAL_RETRY_SECONDS
        )
        self._send(request, Deadline(self._clock))

    def download(self, url: str, file: t.BinaryIO, deadline: Deadline, fresh_until: float) -> int:
        """Write a file of an export to `file`, in one attempt; see `Client.download`."""
        return self._client.download(url, file, deadline, fresh_until)

    def retry(self, attempt: Callable[[], _T], problem: str, deadline: Deadline) -> _T:
        """Retry transient errors; see `Retry.run`."""
        return self._client.retry.run(attempt, problem, deadline)

    def metadata_schemas(self) -> dict[str, t.Any]:
        """Return the project's metadata schemas as sent."""
        return self._send(
            Request("schemas", "GET", "/v1/metadata-schemas"), Deadline(self._clock)
        ).content

    def get_page(self, path: str, params: Mapping[str, str]) -> dict[str, t.Any]:
        """Return a page of a list endpoint as sent; numbers keep their digits."""
        label = f"list {path.removeprefix('/v1/')}"
        request = Request(label, "GET", path, params=params, keeps_digits=True)
        return self._send(request, Deadline(self._clock)).content

    def issue_token(self, key_pair: Credentials, scopes: str) -> tuple[str, float]:
        """Exchange a key pair for an OAuth 2.0 token.

        Args:
            key_pair: Authenticates the request.
            scopes: Space-separated scopes.

        Returns:
            The token and its lifetime in seconds, at most an hour.

        Raises:
            RequestError: If the response lacks a valid token or lifetime.
        """
        content = self._send(
            Request(
                "token",
                "POST",
                "/v1/oauth/token",
                form={"grant_type": "client_credentials", "scope": scopes},
                credentials=key_pair,
            ),
            Deadline(self._clock),
        ).content
        token = content.get("access_token")
        is_token = isinstance(token, str) and token.isascii() and token.isprintable()
        if not is_token or not token or " " in token:
            raise RequestError("unexpected response to the token request (access_token)")
        try:
            seconds = float(content["expires_in"])
        except OverflowError:
            seconds = math.inf
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError("unexpected response to the token request (expires_in)") from error
        # NaN is outside the range, too.
        return token, seconds if 0 <= seconds <= MAX_TOKEN_SECONDS else MAX_TOKEN_SECONDS

    def _send(self, request: Request, deadline: Deadline) -> Response:
        return self._client.retry.run(
            lambda: self._client.send(request, deadline),
            f"Could not {request.label}",
            deadline,
            retry_warning=request.retry_warning,
            max_retry_seconds=request.max_retry_seconds,
        )


def _path(export_id: str) -> str:
    return f"/v1/exports/{quote(export_id, safe='')}"
