"""What faults can do to one request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .storage import error_body
from .wire import HangUp, RawResponse, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from .exports import Export
    from .storage import ErrorForm

Json: TypeAlias = dict[str, Any]
Greeting: TypeAlias = Literal["close", "reset", "alert"]


class Action:
    """The effect of a fault on one request; the base class has none."""

    def instead(self) -> Response | RawResponse | None:
        """Return a response without handling the request, or None to handle it."""
        return None

    def turn(self, export: Export) -> None:
        """Change the export that the request concerns."""

    async def wait(self) -> None:
        """Wait before the response, which is already decided."""

    def rewrite(self, response: Response) -> Response | RawResponse:
        """Return a replacement for the response."""
        return response

    def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:  # noqa: ARG002 - for those that cut at a fraction
        """Return the bytes actually sent for a body of this length."""
        return pieces

    def shape_head(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:  # noqa: ARG002 - for subclasses
        """Return the bytes actually sent for the status line and the headers."""
        return pieces

    def greeting(self) -> Greeting | None:
        """Return what happens to a TLS handshake, or None to let it succeed."""
        return None


@dataclass(frozen=True)
class Reply(Action):
    """Sends a different response: an error, a redirect, a 429 with headers, any body.

    Attributes:
        status: The HTTP status.
        body: Bytes, or a value to send as JSON.
        headers: The headers.
        handled: Whether the request is handled first.
    """

    status: int
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    handled: bool = False

    def instead(self) -> Response | None:
        """Respond at once, unless the request is to be handled."""
        return None if self.handled else self._response()

    def rewrite(self, response: Response) -> Response:  # noqa: ARG002 - replaced whole
        """Replace the response."""
        return self._response()

    def _response(self) -> Response:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Response(status=self.status, body=body, headers=self.headers)


@dataclass(frozen=True)
class Raw(Action):
    """Sends raw bytes, by default none, and ends the connection.

    Attributes:
        first: Bytes to send.
        forever: Bytes to repeat after that until the client disconnects.
        reset: Whether the connection is reset rather than closed.
        handled: Whether the request is handled first.
        pause_seconds: Pause before each repetition.
    """

    first: bytes = b""
    forever: bytes = b""
    reset: bool = False
    handled: bool = False
    pause_seconds: float = 0.0

    def instead(self) -> RawResponse | None:
        """Respond at once, unless the request is to be handled."""
        return None if self.handled else self._response()

    def rewrite(self, response: Response) -> RawResponse:  # noqa: ARG002 - replaced whole
        """Replace the response."""
        return self._response()

    def _response(self) -> RawResponse:
        return RawResponse(self.first, self.forever, self.reset, self.pause_seconds)


@dataclass(frozen=True)
class Rewrite(Action):
    """Changes the body; the framing stays correct.

    Attributes:
        change: Maps the body, after any content coding, to another.
        headers: Headers that are added.
    """

    change: Callable[[bytes], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def rewrite(self, response: Response) -> Response:
        """Change the body."""
        body = self.change(response.content)
        return replace(response, body=body, headers={**response.headers, **self.headers})


@dataclass(frozen=True)
class Amend(Action):
    """Changes a JSON response.

    Attributes:
        change: Members to replace, or a function of the whole value.
    """

    change: Json | Callable[[Json], object]

    def rewrite(self, response: Response) -> Response:
        """Change the JSON."""
        value = json.loads(response.content)
        amended = self.change(value) if callable(self.change) else {**value, **self.change}
        return replace(response, body=json.dumps(amended).encode())


@dataclass(frozen=True)
class Cut(Action):
    """Ends the connection in the middle of a body; the headers announce its full length.

    Attributes:
        after: The part of the body to send: a number of bytes, or a fraction.
        reset: Whether the connection is reset rather than closed.
    """

    after: int | float
    reset: bool = False

    async def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
        """Send the beginning."""
        left = self.after if isinstance(self.after, int) else int(self.after * length)
        async for piece in pieces:
            if left <= len(piece):
                if left:
                    yield piece[:left]
                break
            yield piece
            left -= len(piece)
        raise HangUp(reset=self.reset)


@dataclass(frozen=True)
class Stall(Action):
    """Pauses once in the middle of a body.

    Attributes:
        seconds: Length of the pause.
        after: Bytes to send first.
    """

    seconds: float
    after: int = 0

    async def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:  # noqa: ARG002 - any length
        """Send the beginning, and the rest later."""
        left: int | None = self.after
        async for piece in pieces:
            rest = piece
            if left is not None and left < len(piece):
                if left:
                    yield piece[:left]
                rest, left = piece[left:], None
                await asyncio.sleep(self.seconds)
            elif left is not None:
                left -= len(piece)
            yield rest


@dataclass(frozen=True)
class Drip(Action):
    """Sends a body slowly.

    Attributes:
        size: Bytes at a time.
        seconds: Pause before each.
    """

    size: int
    seconds: float

    async def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:  # noqa: ARG002 - any length
        """Send a little at a time."""
        async for piece in pieces:
            for begin in range(0, len(piece), self.size):
                await asyncio.sleep(self.seconds)
                yield piece[begin : begin + self.size]


@dataclass(frozen=True)
class DripHead(Drip):
    """Sends the status line and the headers slowly, and the body as usual."""

    def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
        """Send the body as usual."""
        return Action.shape(self, pieces, length)

    def shape_head(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
        """Send a little at a time."""
        return Drip.shape(self, pieces, length)


@dataclass(frozen=True)
class Delay(Action):
    """Waits before the response.

    Attributes:
        seconds: Length of the wait.
    """

    seconds: float

    async def wait(self) -> None:
        """Wait."""
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Handshake(Action):
    """Ends a TLS handshake after the client's first message. It affects `handshake` only.

    Attributes:
        how: Whether the connection is closed (FIN), reset (RST), or closed after a fatal alert
            `internal_error`.
    """

    how: Greeting

    def greeting(self) -> Greeting:
        """Return what happens to the handshake."""
        return self.how


#: Endless informational responses (RFC 9110, 15.2: a client must be able to parse several).
ENDLESS_CONTINUE = Raw(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause_seconds=0.01)
#: Line breaks and terminal escapes that would forge a line in a log.
FORGED_TEXT = "\r\n2026-01-01 00:00:00 ERROR forged\x1b[2K\x1b[31m\u2028forged\x00"


def storage_reply(
    status: int, code: str, message: str, form: ErrorForm = "xml", *, handled: bool = False
) -> Reply:
    """Return a reply with an error of an object store, such as `Request has expired`."""
    body, content_type = error_body(code, message, form)
    return Reply(status, body, {"Content-Type": content_type}, handled=handled)


@dataclass(frozen=True)
class Turn(Action):
    """Sets the status of an export permanently.

    Attributes:
        status: Any status, known or unknown; None removes the export.
    """

    status: str | None

    def turn(self, export: Export) -> None:
        """Change the export."""
        export.deleted = export.deleted or self.status is None
        export.forced_status = self.status
