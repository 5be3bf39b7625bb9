"""Answers, written to the connection byte by byte so that they can also be written wrong."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import responses
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from aiohttp import ClientConnectionError, web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from .behaviour import Framing

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A well-formed answer.

    Attributes:
        status: The HTTP status.
        body: The bytes of the body after any content coding, or a file that holds them.
        headers: Headers apart from those that frame the body.
        framing: How the end of the body is told.
    """

    status: int = 200
    body: bytes | Path = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "length"

    @property
    def content(self) -> bytes:
        """The whole body."""
        return self.body.read_bytes() if isinstance(self.body, Path) else self.body

    @property
    def length(self) -> int:
        """The length of the body."""
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def open(self) -> BinaryIO:
        """Open the body for reading."""
        return self.body.open("rb") if isinstance(self.body, Path) else BytesIO(self.body)


def json_answer(
    value: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an answer that is JSON."""
    return Answer(
        status=status,
        body=json.dumps(value, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


@dataclass(frozen=True)
class RawAnswer:
    """Bytes that need not be HTTP, and then the end of the connection.

    Attributes:
        first: What is sent; nothing for an answer that is lost.
        forever: What is sent again and again after that, if anything.
        reset: Whether the connection is reset rather than closed.
    """

    first: bytes = b""
    forever: bytes = b""
    reset: bool = False


class HangUp(Exception):  # noqa: N818 - it is a deed rather than an error
    """Ends the connection where it is raised."""

    def __init__(self, *, reset: bool = False) -> None:
        """End the connection, with a reset or in order."""
        super().__init__()
        self.reset = reset


class Sent(web.StreamResponse):
    """Tells aiohttp that the answer is on the wire already."""

    def __init__(self, *, keep_alive: bool) -> None:
        """Keep the connection for the next request, or not."""
        super().__init__()
        self._is_kept_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can serve another request."""
        return self._is_kept_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send nothing more."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing more."""


async def deliver(
    request: web.BaseRequest,
    answer: Answer | RawAnswer,
    shape: Callable[[AsyncIterator[bytes], int], AsyncIterator[bytes]],
) -> Sent:
    """Write an answer to the connection.

    Args:
        request: The request that is answered.
        answer: The answer.
        shape: What turns the pieces of the body, given its length, into what is really sent.
    """
    try:
        keep_alive = await _write(request, answer, shape)
    except HangUp as end:
        _hang_up(request, reset=end.reset)
    except (ConnectionError, ClientConnectionError):
        pass  # the client has had enough
    else:
        return Sent(keep_alive=keep_alive)
    return Sent(keep_alive=False)


async def _write(
    request: web.BaseRequest,
    answer: Answer | RawAnswer,
    shape: Callable[[AsyncIterator[bytes], int], AsyncIterator[bytes]],
) -> bool:
    """Write an answer and return whether the connection can be kept.

    Raises:
        HangUp: If the answer ends with the connection.
    """
    writer = request.writer
    if isinstance(answer, RawAnswer):
        await writer.write(answer.first)
        while answer.forever:
            await writer.write(answer.forever)
        raise HangUp(reset=answer.reset)
    keep_alive = request.keep_alive and answer.framing != "close"
    await writer.write(_head(answer, keep_alive=keep_alive))
    chunked = answer.framing == "chunked"
    with answer.open() as body:
        async for piece in shape(_pieces(body), answer.length):
            await writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        await writer.write(b"0\r\n\r\n")
    if answer.framing == "close":
        raise HangUp
    return keep_alive


async def _pieces(body: BinaryIO) -> AsyncIterator[bytes]:
    """Yield a body piece by piece."""
    while piece := body.read(_PIECE_BYTES):
        yield piece


def _head(answer: Answer, *, keep_alive: bool) -> bytes:
    """Return the status line and the headers."""
    headers = dict(answer.headers)
    if answer.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    elif answer.framing == "length" and answer.status != HTTPStatus.NO_CONTENT:
        headers["Content-Length"] = str(answer.length)
    if not keep_alive:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def _hang_up(request: web.BaseRequest, *, reset: bool) -> None:
    """End the connection of a request."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        # A socket that does not linger is closed with RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
