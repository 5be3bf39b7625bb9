"""Read a response completely, or raise the right error."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import typing as t
import zlib
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
import urllib3

from tap_voucherify.api.headers import QUOTA, retry_after_seconds
from tap_voucherify.errors import (
    AccountError,
    NotFoundError,
    RateLimitError,
    RequestError,
    StorageError,
    TransientError,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import WriteableBuffer

    from tap_voucherify.clock import Clock, Deadline

MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16

_RETRIED_STATUSES = {
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_SHOWN_FIELDS = ("key", "message", "details")
_HINTS: dict[str | int, str] = {
    HTTPStatus.UNAUTHORIZED: "check app_id and app_token, or access_token, and that "
    "region or api_url matches the account",
    HTTPStatus.PAYMENT_REQUIRED: "plan limit exceeded; retrying will not help",
    HTTPStatus.FORBIDDEN: "check that the API key or token scope allows exports, and that "
    "region or api_url matches the account",
    HTTPStatus.NOT_FOUND: "check that region or api_url matches the account",
    "invalid_export_fields": "deselect the field that is not allowed",
}
# Maximum characters of each part shown.
_MAX_SHOWN_CHARACTERS = 500

_OBJECT = msgspec.json.Decoder(dict[str, t.Any])

logger = logging.getLogger("tap-voucherify.client")


def root_cause(error: BaseException) -> str:
    """Return the root cause's message."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def parse_object(body: bytes) -> dict[str, t.Any]:
    """Return the JSON object in a response.

    Raises:
        RequestError: If it is JSON but not an object.
        TransientError: If it is not JSON, e.g. truncated.
    """
    try:
        return _OBJECT.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError("expected a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError("invalid or truncated JSON response") from error


def read_body(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> bytes:
    """Return a JSON body, with limits on size and time.

    Raises:
        RequestError: If it is too long or has an unexpected encoding.
        TransientError: If it is incomplete or takes too long.
    """
    content = bytearray()
    for chunk in _decode(response, _Body(response, deadline)):
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise RequestError(f"the response exceeds {MAX_JSON_BYTES} bytes")
    return bytes(content)


def save_body(response: urllib3.BaseHTTPResponse, file: t.BinaryIO, deadline: Deadline) -> int:
    """Write a complete body to `file` and return its size in bytes.

    Raises:
        RequestError: If it has an unexpected encoding.
        StorageError: If the file cannot be written.
        TransientError: If it is empty or incomplete, or takes too long.
    """
    body = _Body(response, deadline)
    last = b""
    try:
        file.seek(0)
        file.truncate()
        for last in _decode(response, body):
            file.write(last)
        size = file.tell()
        file.seek(0)
    except OSError as error:
        raise StorageError(
            f"cannot store the exported file: {error.strerror}; free up disk space or set "
            "TMPDIR to a larger disk"
        ) from error
    if not size:
        raise TransientError("the exported file is empty (no header)")
    if not body.is_bounded and _encoding(response) != "gzip":
        if not last.endswith((b"\n", b"\r")):
            raise TransientError("the exported file is truncated (no final newline)")
        logger.warning(
            "The response gives no length, so completeness cannot be verified; accepting the "
            "file because it ends with a newline"
        )
    return size


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, clock: Clock
) -> Exception:
    """Return the exception for an error response.

    Voucherify describes it by `key`, `message`, `details` and `request_id`.
    """
    try:
        fields = parse_object(body)
    except (TransientError, RequestError):
        fields = {}
    message = _describe(status, headers, fields)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if headers.get("X-Rate-Limit-Type") == QUOTA:
            return AccountError(f"{message}; the plan's API call quota is exhausted")
        return RateLimitError(message, retry_after_seconds(headers, clock))
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED}:
        return AccountError(message)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    return (TransientError if status in _RETRIED_STATUSES else RequestError)(message)


class _Body(io.RawIOBase):
    """Raw response bytes; raises on truncation or timeout."""

    def __init__(self, response: urllib3.BaseHTTPResponse, deadline: Deadline) -> None:
        self._raw = response
        self._deadline = deadline
        is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "")
        # urllib3 raises if the body is shorter than Content-Length.
        self.is_bounded = is_chunked or response.headers.get("Content-Length", "").isdecimal()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._deadline.remaining_seconds <= 0:
            raise TransientError("the response took too long")
        try:
            # read1 returns what has arrived, so a slow trickle cannot exceed the limit.
            chunk = self._raw.read1(len(view), decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(
                f"the connection was lost mid-response: {root_cause(error)}"
            ) from error
        view[: len(chunk)] = chunk
        return len(chunk)


def _encoding(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("Content-Encoding", "identity").lower()


def _decode(response: urllib3.BaseHTTPResponse, body: _Body) -> Iterator[bytes]:
    """Yield the decoded bytes; gzip must reach its trailer."""
    encoding = _encoding(response)
    if encoding not in {"gzip", "identity"}:
        raise RequestError(f"unexpected Content-Encoding {encoding!r}")
    source = gzip.GzipFile(fileobj=body) if encoding == "gzip" else body
    try:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TransientError(f"invalid gzip data: {error}") from error


def _describe(status: int, headers: Mapping[str, str], fields: Mapping[str, t.Any]) -> str:
    parts = [f"Voucherify returned {status}"]
    parts += [
        str(fields[name])[:_MAX_SHOWN_CHARACTERS] for name in _SHOWN_FIELDS if fields.get(name)
    ]
    if "Location" in headers:
        parts.append(f"redirect to {_host(headers['Location'])} not followed; check api_url")
    message = ": ".join(parts)
    if request_id := fields.get("request_id"):
        message += f" (request_id {request_id!s:.80})"
    hint = _HINTS.get(str(fields.get("key"))) or _HINTS.get(status)
    return f"{message}; {hint}" if hint else message


def _host(location: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(location).hostname or "another path"
    return "an invalid URL"
