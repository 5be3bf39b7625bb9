"""Responses, written to the connection as raw bytes so that they can be malformed."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import responses
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from aiohttp import ClientConnectionError, web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from .behaviour import Framing

    Shape: TypeAlias = Callable[[AsyncIterator[bytes], int], AsyncIterator[bytes]]

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Response:
    """A well-formed response.

    Attributes:
        status: The HTTP status.
        body: The bytes of the body after any content coding, or a file that holds them.
        headers: Headers other than those that frame the body.
        framing: How the end of the body is signalled.
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


def json_response(
    value: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a JSON response."""
    return Response(
        status=status,
        body=json.dumps(value, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


@dataclass(frozen=True)
class RawResponse:
    """Raw bytes, then the end of the connection.

    Attributes:
        first: Bytes to send; none for a lost response.
        forever: Bytes to repeat after that.
        reset: Whether the connection is reset rather than closed.
        pause_seconds: Pause before each repetition.
    """

    first: bytes = b""
    forever: bytes = b""
    reset: bool = False
    pause_seconds: float = 0.0


class HangUp(Exception):  # noqa: N818 - an action, not an error
    """Raised to end the connection."""

    def __init__(self, *, reset: bool = False) -> None:
        """End the connection, with a reset or cleanly."""
        super().__init__()
        self.reset = reset


class Sent(web.StreamResponse):
    """A placeholder for aiohttp: the response was already written."""

    def __init__(self, *, keep_alive: bool) -> None:
        """Set whether the connection is kept for the next request."""
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
    response: Response | RawResponse,
    shape: Shape,
    shape_head: Shape,
) -> Sent:
    """Write a response to the connection.

    Args:
        request: The request.
        response: The response.
        shape: Maps the chunks of the body, given its length, to the bytes actually sent.
        shape_head: The same for the status line and the headers.
    """
    try:
        keep_alive = await _write(request, response, shape, shape_head)
    except HangUp as end:
        _hang_up(request, reset=end.reset)
    except (ConnectionError, ClientConnectionError):
        pass  # the client disconnected
    else:
        return Sent(keep_alive=keep_alive)
    return Sent(keep_alive=False)


async def _write(
    request: web.BaseRequest,
    response: Response | RawResponse,
    shape: Shape,
    shape_head: Shape,
) -> bool:
    """Write a response and return whether the connection can be reused.

    Raises:
        HangUp: If the connection must end after the response.
    """
    writer = request.writer
    if isinstance(response, RawResponse):
        await writer.write(response.first)
        while response.forever:
            await asyncio.sleep(response.pause_seconds)
            await writer.write(response.forever)
        raise HangUp(reset=response.reset)
    keep_alive = request.keep_alive and response.framing != "close"
    head = _head(response, keep_alive=keep_alive)
    async for piece in shape_head(_pieces(BytesIO(head)), len(head)):
        await writer.write(piece)
    chunked = response.framing == "chunked"
    with response.open() as body:
        async for piece in shape(_pieces(body), response.length):
            await writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        await writer.write(b"0\r\n\r\n")
    if response.framing == "close":
        raise HangUp
    return keep_alive


async def _pieces(body: BinaryIO) -> AsyncIterator[bytes]:
    """Yield a body piece by piece."""
    while piece := body.read(_PIECE_BYTES):
        yield piece


def _head(response: Response, *, keep_alive: bool) -> bytes:
    """Return the status line and the headers."""
    headers = dict(response.headers)
    if response.framing == "chunked":
        headers.setdefault("Transfer-Encoding", "chunked")
    elif response.framing == "length" and response.status != HTTPStatus.NO_CONTENT:
        headers["Content-Length"] = str(response.length)
    if not keep_alive:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, 'Unknown')}"]
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
