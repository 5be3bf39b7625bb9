"""Turn error responses, of the API or of a file storage, into exceptions."""

from __future__ import annotations

import contextlib
import html
import re
import ssl
import typing as t
from http import HTTPStatus
from urllib.parse import urlsplit

from tap_voucherify.api.headers import QUOTA, retry_after_seconds
from tap_voucherify.api.responses import parse_object
from tap_voucherify.errors import (
    AccountError,
    FieldsRejectedError,
    LinkExpiredError,
    NotFoundError,
    RateLimitError,
    RequestError,
    TransientError,
    UnauthorizedError,
    root_cause,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.clock import Clock

MAX_ERROR_BYTES = 1 << 16
# Standard ones, 499 of nginx, 520 to 530 of Cloudflare, and 598 of proxies.
_RETRIED_STATUSES = {408, 409, 425, 499, 500, 502, 503, 504, 507, *range(520, 528), 530, 598}
# The link has expired, or the file is not there yet: a fresh link may work.
_LINK_STATUSES = {202, 204, 401, 403, 410}
_ERRORS: dict[int, type[Exception]] = {
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.PAYMENT_REQUIRED: AccountError,
    HTTPStatus.NOT_FOUND: NotFoundError,
}
_SHOWN_FIELDS = ("key", "message", "details")
_HINTS: dict[str | int, str] = {
    HTTPStatus.UNAUTHORIZED: "check app_id and app_token, or access_token (an OAuth 2.0 token "
    "expires), that region or api_url matches the account, and that the key is not bound to other "
    "IP addresses",
    HTTPStatus.PAYMENT_REQUIRED: "plan limit exceeded; retrying will not help",
    HTTPStatus.FORBIDDEN: "check that the API key, or the OAuth 2.0 token's scope, allows this "
    "call, that region or api_url matches the account, and that the key is not bound to other IP "
    "addresses",
    HTTPStatus.NOT_FOUND: "check that region or api_url matches the account",
    "invalid_export_fields": "deselect the field that is not allowed",
}
# Maximum characters shown of each part, and of a storage's message.
_MAX_SHOWN_CHARACTERS = 500
_MAX_STORAGE_CHARACTERS = 200

# "Unsupported field used. Allowed fields: id, object, ..." (the reference's example).
_ALLOWED_FIELDS = re.compile(r"(?i)allowed fields:(.*)", re.DOTALL)


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    clock: Clock,
    redact: Callable[[str], str] = str,
) -> Exception:
    """Return the exception for an error response of the API.

    Voucherify describes it by `key`, `message`, `details` and `request_id`. Secrets are masked
    by `redact` before any text is truncated.
    """
    try:
        fields = parse_object(body)
    except (TransientError, RequestError):
        fields = {}
    message = _describe(status, headers, fields, redact)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if headers.get("X-Rate-Limit-Type") == QUOTA:
            return AccountError(f"{message}; the plan's API call quota is exhausted")
        return RateLimitError(message, retry_after_seconds(headers, clock))
    if status in _ERRORS:
        return _ERRORS[status](message)
    if fields.get("key") == "invalid_export_fields" and (
        listed := _ALLOWED_FIELDS.search(str(fields.get("details")))
    ):
        return FieldsRejectedError(message, frozenset(re.findall(r"[\w.]+", listed[1])))
    return (TransientError if status in _RETRIED_STATUSES else RequestError)(message)


def error_from_download(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    clock: Clock,
    redact: Callable[[str], str] = str,
) -> Exception:
    """Return the exception for a failed download; the storage may not be Voucherify's.

    A storage describes the error by a code and a message, in XML or JSON.
    """
    words = ": ".join(filter(None, (_storage_word(body, name) for name in ("code", "message"))))
    message = f"download returned {status}"
    if words:
        message += f": {redact(' '.join(words.split())):.{_MAX_STORAGE_CHARACTERS}}"
    # S3 reports an expired token with 400.
    is_expired = status == HTTPStatus.BAD_REQUEST and "expired" in words.lower()
    if status in _LINK_STATUSES or is_expired:
        return LinkExpiredError(message)
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS}:
        return error_from_response(status, headers, body, clock, redact)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    return (TransientError if status in _RETRIED_STATUSES else RequestError)(message)


def tls_error(host: str, error: BaseException) -> RequestError | TransientError:
    """Return the exception for an untrusted certificate or a failed handshake."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__context__
    if cause is None:
        return TransientError(f"no response from {host}: {root_cause(error)}")
    return RequestError(
        f"TLS verification failed for {host}: {root_cause(error)}; for a private CA set "
        "REQUESTS_CA_BUNDLE"
    )


def _storage_word(body: bytes, name: str) -> str:
    """Return a storage's code or message from XML or JSON, if there is one."""
    with contextlib.suppress(TransientError, RequestError):
        fields = parse_object(body)
        error = fields.get("error")
        for found in (fields, error if isinstance(error, dict) else {}):
            for key in (name, name.title()):
                if isinstance(found.get(key), (str, int)):
                    return str(found[key])
    text = body[:MAX_ERROR_BYTES].decode(errors="replace")
    match = re.search(rf"<{name.title()}>([^<]*)</{name.title()}>", text)
    return html.unescape(match[1]) if match else ""


def _describe(
    status: int,
    headers: Mapping[str, str],
    fields: Mapping[str, t.Any],
    redact: Callable[[str], str],
) -> str:
    parts = [f"Voucherify returned {status}"]
    parts += [
        redact(str(fields[name]))[:_MAX_SHOWN_CHARACTERS]
        for name in _SHOWN_FIELDS
        if fields.get(name)
    ]
    if "Location" in headers:
        parts.append(f"redirect to {_host(headers['Location'])} not followed; check api_url")
    message = ": ".join(parts)
    if request_id := fields.get("request_id"):
        message += f" (request_id {redact(str(request_id)):.80})"
    hint = _HINTS.get(str(fields.get("key"))) or _HINTS.get(status)
    return f"{message}; {hint}" if hint else message


def _host(location: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(location).hostname or "another path"
    return "an invalid URL"
