"""The body of an answer, complete or an error."""

from __future__ import annotations

import gzip
import io
import logging
import typing as t
import zlib

import urllib3

from tap_voucherify.errors import RequestError, StorageError, TransientError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from tap_voucherify.clock import Deadline

MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16

logger = logging.getLogger("tap-voucherify.client")


def innermost_reason(error: BaseException) -> str:
    """Return what finally went wrong, without the chain of wrappers around it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


class _Body(io.RawIOBase):
    """The bytes of an answer as they were sent; an early end raises."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, time_limit: Deadline) -> None:
        self._raw = answer
        self._time_limit = time_limit
        is_chunked = "chunked" in answer.headers.get("Transfer-Encoding", "")
        # urllib3 raises if the length was told and is not reached.
        self.is_bounded = is_chunked or answer.headers.get("Content-Length", "").isdecimal()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._time_limit.remaining_seconds <= 0:
            raise TransientError("the answer did not end in time")
        try:
            # read1 returns what has arrived, so a slow drip cannot outlast the limit.
            chunk = self._raw.read1(len(view), decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"the answer broke off: {innermost_reason(error)}") from error
        view[: len(chunk)] = chunk
        return len(chunk)


def _encoding(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers.get("Content-Encoding", "identity").lower()


def _decode(answer: urllib3.BaseHTTPResponse, body: _Body) -> Iterator[bytes]:
    """Yield the decoded bytes; gzip has to reach its end marker."""
    encoding = _encoding(answer)
    if encoding not in {"gzip", "identity"}:
        raise RequestError(f"the answer is encoded as {encoding!r}, not as asked for")
    source = gzip.GzipFile(fileobj=body) if encoding == "gzip" else body
    try:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TransientError(f"the gzip of the answer is broken: {error}") from error


def read_body(answer: urllib3.BaseHTTPResponse, time_limit: Deadline) -> bytes:
    """Return a JSON body, within the bounds of size and time.

    Raises:
        RequestError: If it is too long, or encoded as nobody asked for.
        TransientError: If it is incomplete, or does not end in time.
    """
    content = bytearray()
    for chunk in _decode(answer, _Body(answer, time_limit)):
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise RequestError(f"the answer is longer than {MAX_JSON_BYTES} bytes")
    return bytes(content)


def save_body(answer: urllib3.BaseHTTPResponse, file: t.BinaryIO, deadline: Deadline) -> int:
    """Write a complete body to `file` and return its size in bytes.

    Raises:
        RequestError: If it is encoded as nobody asked for.
        StorageError: If the file cannot be written.
        TransientError: If it is empty or incomplete, or does not end in time.
    """
    body = _Body(answer, deadline)
    last = b""
    try:
        file.seek(0)
        file.truncate()
        for last in _decode(answer, body):
            file.write(last)
        size = file.tell()
        file.seek(0)
    except OSError as error:
        raise StorageError(
            f"the exported file cannot be stored: {error.strerror}; make room, or set "
            "TMPDIR to a folder with room"
        ) from error
    if not size:
        raise TransientError("the exported file is empty: it lacks even a header")
    if not body.is_bounded and _encoding(answer) != "gzip":
        if not last.endswith((b"\n", b"\r")):
            raise TransientError("the exported file breaks off in mid-line")
        logger.warning(
            "Nothing in the answer says whether the exported file is complete; "
            "it is taken as complete, since it ends in a line break"
        )
    return size
