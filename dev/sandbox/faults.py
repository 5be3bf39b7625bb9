r"""Faults: a few actions that combine.

Several faults on one request all apply, in the order in which they were added::

    Fault(on="poll", nth=2, action=Reply(502))
    Fault(on="create", action=Raw(handled=True))                    # the response is lost
    Fault(on="poll", action=Raw(reset=True))                        # reset before handling
    Fault(on="list", action=Raw(b"HTTP/1.1 200 OK\r\nX: ", forever=b"x" * 65536))
    Fault(on="download", action=Cut(0.5))                           # under any framing
    Fault(on="download", action=Rewrite(lambda body: body[:-8]))    # gzip without its end
    Fault(on="poll", action=Amend({"result": None}))
    Fault(on="create", times=2, object="voucher", action=Turn("ERROR"))
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .wire import HangUp, RawResponse, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from .exports import Export

Kind: TypeAlias = Literal[
    "create",
    "poll",
    "list",
    "download",
    "delete",
    "oauth",
    "schemas",
    "other",
]
Json: TypeAlias = dict[str, Any]


class Action:
    """The effect of a fault on one request; the base class has none."""

    def instead(self) -> Response | RawResponse | None:
        """Return a response without handling the request, or None to handle it."""
        return None

    def turn(self, export: Export) -> None:
        """Change the export that the request concerns."""

    def rewrite(self, response: Response) -> Response | RawResponse:
        """Return a replacement for the response."""
        return response

    def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:  # noqa: ARG002 - for those that cut at a fraction
        """Return the bytes that are actually sent of a body of this length."""
        return pieces


@dataclass(frozen=True)
class Reply(Action):
    """Sends another response: an error, a redirect, a 429 with headers, any body.

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
        """Response at once, unless the request is to be handled."""
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
    """

    first: bytes = b""
    forever: bytes = b""
    reset: bool = False
    handled: bool = False

    def instead(self) -> RawResponse | None:
        """Response at once, unless the request is to be handled."""
        return None if self.handled else self._response()

    def rewrite(self, response: Response) -> RawResponse:  # noqa: ARG002 - replaced whole
        """Replace the response."""
        return self._response()

    def _response(self) -> RawResponse:
        return RawResponse(self.first, self.forever, self.reset)


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
    """Ends the connection in the middle of a body; the headers announce all of it.

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
        after: Bytes to send before.
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


@dataclass(kw_only=True)
class Fault:
    """A fault that affects certain requests.

    Attributes:
        on: The endpoint.
        action: The effect.
        nth: The first matching request to affect, counted from when the fault was added.
        times: The number of requests to affect; None for all that follow.
        object: Counts only requests that concern exports of this object.
        seen: The number of matching requests so far.
    """

    on: Kind
    action: Action
    nth: int = 1
    times: int | None = 1
    object: str | None = None
    seen: int = field(default=0, init=False)

    def strikes(self, kind: Kind, exported_object: str | None) -> bool:
        """Count a request if it matches, and return whether the fault affects it."""
        if kind != self.on or self.object not in {None, exported_object}:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class Faults:
    """The faults of a sandbox."""

    def __init__(self) -> None:
        """Start with no faults."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Add faults."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def actions(self, kind: Kind, exported_object: str | None) -> list[Action]:
        """Return the actions that affect a request."""
        with self._lock:
            return [f.action for f in self._faults if f.strikes(kind, exported_object)]
