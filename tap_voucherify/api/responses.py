"""Read a response completely."""

from __future__ import annotations

import gzip
import logging
import typing as t
import zlib
from decimal import Decimal, InvalidOperation

import msgspec
import urllib3

from tap_voucherify.errors import RequestError, StorageError, TransientError, root_cause
from tap_voucherify.surrogates import replace_lone_surrogates

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_voucherify.clock import Deadline

MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20

# `utf-8` is a harmless mistake of some servers.
_NO_ENCODINGS = {"", "identity", "utf-8"}
_GZIP_ENCODINGS = {"gzip", "x-gzip"}

_OBJECT = msgspec.json.Decoder(dict[str, t.Any])
_EXACT_OBJECT = msgspec.json.Decoder(dict[str, t.Any], float_hook=Decimal)

logger = logging.getLogger("tap-voucherify.client")


def parse_object(body: bytes, *, keeps_digits: bool = False) -> dict[str, t.Any]:
    """Return the JSON object in a response.

    Args:
        body: The response.
        keeps_digits: Whether numbers with a fraction become `Decimal`.

    Raises:
        RequestError: If it is JSON but not an object, or has a number that `Decimal` cannot hold.
        TransientError: If it is not JSON, e.g. truncated.
    """
    decoder = _EXACT_OBJECT if keeps_digits else _OBJECT
    try:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError:
            content = decoder.decode(replace_lone_surrogates(body.decode()))
            logger.warning(
                "A response contains half of a surrogate pair (half a character), read as U+FFFD"
            )
            return content
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
        TransientError: If it is incomplete or takes too long, or if it gives no length and is
            empty or lacks a final newline.
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
    # The end of a gzip member proves little: another may follow.
    if not body.is_bounded:
        if not size:
            raise TransientError("the exported file is empty (no header)")
        if not last.endswith((b"\n", b"\r")):
            raise TransientError("the exported file is truncated (no final newline)")
        logger.warning(
            "The response gives no length, so completeness cannot be verified; accepting the "
            "file because it ends with a newline"
        )
    return size


class _Body:
    """Raw response bytes; raises on truncation or timeout."""

    def __init__(self, response: urllib3.BaseHTTPResponse, deadline: Deadline) -> None:
        self._raw = response
        self._deadline = deadline
        # urllib3 raises if the body ends early.
        self.is_bounded = response.chunked or response.length_remaining is not None

    def read(self, size: int) -> bytes:
        """Return what has arrived, at most `size` bytes; empty at the end."""
        if self._deadline.remaining_seconds <= 0:
            raise TransientError("the response took too long")
        try:
            # Unlike read, read1 does not wait for more, so a slow trickle cannot exceed the limit.
            return self._raw.read1(size, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(
                f"the connection was lost mid-response: {root_cause(error)}"
            ) from error


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
    source = gzip.GzipFile(fileobj=t.cast("t.IO[bytes]", body)) if _is_gzip(response) else body
    try:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TransientError(f"invalid gzip data: {error}") from error
