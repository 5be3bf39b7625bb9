"""Read a response completely, or raise the right error."""

from __future__ import annotations

import contextlib
import gzip
import html
import io
import logging
import re
import ssl
import typing as t
import zlib
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
import urllib3

from tap_voucherify.api.headers import QUOTA, retry_after_seconds
from tap_voucherify.errors import (
    AccountError,
    FieldsRejectedError,
    LinkExpiredError,
    NotFoundError,
    RateLimitError,
    RequestError,
    StorageError,
    TransientError,
    UnauthorizedError,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from _typeshed import WriteableBuffer

    from tap_voucherify.clock import Clock, Deadline

MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16
MAX_ERROR_BYTES = 1 << 16

# Beside those of the standards, 499 of nginx, 520 to 530 of Cloudflare, and 598 of proxies.
_RETRIED_STATUSES = {408, 409, 425, 499, 500, 502, 503, 504, 507, *range(520, 528), 530, 598}
# A fresh link may do better: expired, or not there yet.
_LINK_STATUSES = {202, 204, 401, 403, 410}
# `utf-8` is a mistake that some servers make, and harmless.
_NO_ENCODINGS = {"", "identity", "utf-8"}
_GZIP_ENCODINGS = {"gzip", "x-gzip"}
_ERRORS: dict[int, type[Exception]] = {
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.PAYMENT_REQUIRED: AccountError,
    HTTPStatus.NOT_FOUND: NotFoundError,
}
_SHOWN_FIELDS = ("key", "message", "details")
_HINTS: dict[str | int, str] = {
    HTTPStatus.UNAUTHORIZED: "check app_id and app_token, or access_token, and that "
    "region or api_url matches the account",
    HTTPStatus.PAYMENT_REQUIRED: "plan limit exceeded; retrying will not help",
    HTTPStatus.FORBIDDEN: "check that the API key or token scope allows this call, and that "
    "region or api_url matches the account",
    HTTPStatus.NOT_FOUND: "check that region or api_url matches the account",
    "invalid_export_fields": "deselect the field that is not allowed",
}
# Maximum characters of each part shown, and of what a storage says.
_MAX_SHOWN_CHARACTERS = 500
_MAX_STORAGE_CHARACTERS = 200

# "Unsupported field used. Allowed fields: id, object, ..." (the reference's example).
_ALLOWED_FIELDS = re.compile(r"(?i)allowed fields:(.*)", re.DOTALL)


_OBJECT = msgspec.json.Decoder(dict[str, t.Any])
_EXACT_OBJECT = msgspec.json.Decoder(dict[str, t.Any], float_hook=Decimal)

logger = logging.getLogger("tap-voucherify.client")


def root_cause(error: BaseException) -> str:
    """Return the root cause's message."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = cause
    return str(error) or type(error).__name__


def parse_object(body: bytes, *, keeps_digits: bool = False) -> dict[str, t.Any]:
    """Return the JSON object in a response.

    Args:
        body: The response.
        keeps_digits: Whether numbers with a fraction are decimals.

    Raises:
        RequestError: If it is JSON but not an object, or has a number beyond all decimals.
        TransientError: If it is not JSON, e.g. truncated.
    """
    try:
        return (_EXACT_OBJECT if keeps_digits else _OBJECT).decode(body)
    except (msgspec.ValidationError, InvalidOperation) as error:
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
        TransientError: If it is incomplete, takes too long, or is empty without any proof
            that it is complete.
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
    if not body.is_bounded and not _is_gzip(response):
        if not size:
            raise TransientError("the exported file is empty (no header)")
        if not last.endswith((b"\n", b"\r")):
            raise TransientError("the exported file is truncated (no final newline)")
        logger.warning(
            "The response gives no length, so completeness cannot be verified; accepting the "
            "file because it ends with a newline"
        )
    return size


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    clock: Clock,
    redact: Callable[[str], str] = str,
) -> Exception:
    """Return the exception for an error response of the API.

    Voucherify describes it by `key`, `message`, `details` and `request_id`. Secrets are masked
    by `redact` before anything is cut.
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
    """Return the exception for a download without a file; its storage may not be Voucherify's.

    Storages describe it by a code and a message, in XML or JSON.
    """
    words = ": ".join(filter(None, (_storage_word(body, name) for name in ("code", "message"))))
    message = f"download returned {status}"
    if words:
        message += f": {redact(' '.join(words.split())):.{_MAX_STORAGE_CHARACTERS}}"
    if status in _LINK_STATUSES:
        return LinkExpiredError(message)
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS}:
        return error_from_response(status, headers, body, clock, redact)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    return (TransientError if status in _RETRIED_STATUSES else RequestError)(message)


def tls_error(host: str, error: BaseException) -> RequestError | TransientError:
    """Return the error for a certificate that is not trusted, or a handshake that broke off."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__context__
    if cause is None:
        return TransientError(f"no response from {host}: {root_cause(error)}")
    return RequestError(
        f"TLS verification failed for {host}: {root_cause(error)}; for a private CA set "
        "REQUESTS_CA_BUNDLE"
    )


class _Body(io.RawIOBase):
    """Raw response bytes; raises on truncation or timeout."""

    def __init__(self, response: urllib3.BaseHTTPResponse, deadline: Deadline) -> None:
        self._raw = response
        self._deadline = deadline
        is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
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


def _is_gzip(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether a body is compressed.

    Raises:
        RequestError: If it has an encoding that was not requested.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _NO_ENCODINGS | _GZIP_ENCODINGS:
        raise RequestError(f"unexpected Content-Encoding {encoding!r:.80}")
    return encoding in _GZIP_ENCODINGS


def _decode(response: urllib3.BaseHTTPResponse, body: _Body) -> Iterator[bytes]:
    """Yield the decoded bytes; gzip must reach its trailer."""
    source = gzip.GzipFile(fileobj=body) if _is_gzip(response) else body
    try:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TransientError(f"invalid gzip data: {error}") from error


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
