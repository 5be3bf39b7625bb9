"""Requests to the API and its responses, as `Client` takes and returns them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.api.credentials import Credentials


class StaleLinkError(Exception):
    """A link grew too old while its download waited for the rate limit; nothing was sent."""


@dataclass(frozen=True)
class Request:
    """A request to the API.

    Attributes:
        label: What it does, for the log.
        method: HTTP method.
        path: URL path.
        json: JSON body.
        form: Form body.
        params: Query.
        credentials: Credentials to use instead of the default.
        retry_warning: Warning if a request that may have succeeded is retried.
        max_retry_seconds: How long to retry it, instead of the default.
        keeps_digits: Whether numbers in the response must be exact.
    """

    label: str
    method: str
    path: str
    json: Mapping[str, t.Any] | None = None
    form: Mapping[str, str] | None = None
    params: Mapping[str, str] | None = None
    credentials: Credentials | None = None
    retry_warning: str = ""
    max_retry_seconds: float | None = None
    keeps_digits: bool = False


class Response(t.NamedTuple):
    """A JSON response.

    Attributes:
        content: The JSON object; empty if there is none.
        server_time: When it was sent, by the server's clock, in seconds since 1970.
    """

    content: dict[str, t.Any]
    server_time: float
