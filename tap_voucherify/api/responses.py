"""What an answer other than success means, and what to do about it."""

from __future__ import annotations

import contextlib
import typing as t
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from tap_voucherify.api.rate_limit import QUOTA, server_time
from tap_voucherify.errors import (
    AccountError,
    NotFoundError,
    RateLimitError,
    RequestError,
    TransientError,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.clock import Clock

_RETRIED = {
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_TOLD = ("key", "message", "details")
_HINTS: dict[str | int, str] = {
    HTTPStatus.UNAUTHORIZED: "check app_id and app_token, or access_token, and that "
    "api_url or region is the account's own",
    HTTPStatus.PAYMENT_REQUIRED: "the account's plan is exceeded: waiting cannot help",
    HTTPStatus.FORBIDDEN: "check that the key of app_id and app_token, or the scope of "
    "access_token, allows exports, and that api_url or region is the account's own",
    HTTPStatus.NOT_FOUND: "check that api_url or region is the account's own",
    "invalid_export_fields": "deselect the property that is not among the allowed fields",
}
# As much of each part of an answer as an error shows.
_SHOWN_CHARACTERS = 500

_OBJECT = msgspec.json.Decoder(dict[str, t.Any])


def parse_object(body: bytes) -> dict[str, t.Any]:
    """Return the JSON object that an answer consists of.

    Raises:
        RequestError: If it is JSON, but no object.
        TransientError: If it is no JSON, as an answer that was cut short.
    """
    try:
        return _OBJECT.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError("Voucherify answers with JSON that is no object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError("the answer is incomplete or no JSON") from error


def refusal(status: int, headers: Mapping[str, str], body: bytes, clock: Clock) -> Exception:
    """Return the error that an answer other than success stands for.

    Voucherify describes it by `key`, `message`, `details` and `request_id`.
    """
    try:
        told = parse_object(body)
    except (TransientError, RequestError):
        told = {}
    message = _describe(status, headers, told)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if headers.get("X-Rate-Limit-Type") == QUOTA:
            return AccountError(f"{message}; the plan's quota of calls is used up")
        return RateLimitError(message, _asked_wait_seconds(headers, clock))
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED}:
        return AccountError(message)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    return (TransientError if status in _RETRIED else RequestError)(message)


def _describe(status: int, headers: Mapping[str, str], told: Mapping[str, t.Any]) -> str:
    parts = [f"Voucherify answers {status}"]
    parts += [str(told[name])[:_SHOWN_CHARACTERS] for name in _TOLD if told.get(name)]
    if "Location" in headers:
        parts.append(
            f"a redirect to {_host(headers['Location'])}, where credentials do not "
            "go; check that api_url is the API's own address"
        )
    message = ": ".join(parts)
    if request_id := told.get("request_id"):
        message += f" (request_id {request_id!s:.80})"
    hint = _HINTS.get(str(told.get("key"))) or _HINTS.get(status)
    return f"{message}; {hint}" if hint else message


def _host(location: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(location).hostname or "another path"
    return "an invalid address"


def _asked_wait_seconds(headers: Mapping[str, str], clock: Clock) -> float:
    """How long a 429 asks to wait; at least a second."""
    with contextlib.suppress(KeyError, ValueError):
        return max(1, float(headers["Retry-After"]))
    with contextlib.suppress(KeyError, ValueError):
        return max(1, float(headers["X-Rate-Limit-Retry"]) - server_time(headers, clock))
    return 1
