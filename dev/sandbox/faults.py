r"""What can go wrong, as a few actions that combine.

Several faults on one request all apply, in the order in which they were added::

    Fault(on="poll", nth=2, action=Reply(502))
    Fault(on="create", action=Raw(handled=True))                    # the answer is lost
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

from .wire import Answer, HangUp, RawAnswer

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
    """What a fault does to one request; this one does nothing."""

    def instead(self) -> Answer | RawAnswer | None:
        """Return the answer to a request that is not handled, or None to have it handled."""
        return None

    def turn(self, export: Export) -> None:
        """Change the export that the request is about."""

    def rewrite(self, answer: Answer) -> Answer | RawAnswer:
        """Return what is answered instead of the true answer."""
        return answer

    def shape(self, pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:  # noqa: ARG002 - for those that cut at a fraction
        """Return what is really sent of a body of a certain length."""
        return pieces


@dataclass(frozen=True)
class Reply(Action):
    """Answers something else: an error, a redirect, a 429 with its headers, anything as a body.

    Attributes:
        status: The HTTP status.
        body: The body: bytes as they are, anything else as JSON.
        headers: The headers.
        handled: Whether the request is handled before.
    """

    status: int
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    handled: bool = False

    def instead(self) -> Answer | None:
        """Answer at once, unless the request is to be handled."""
        return None if self.handled else self._answer()

    def rewrite(self, answer: Answer) -> Answer:  # noqa: ARG002 - whatever it was
        """Replace the answer."""
        return self._answer()

    def _answer(self) -> Answer:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Answer(status=self.status, body=body, headers=self.headers)


@dataclass(frozen=True)
class Raw(Action):
    """Sends bytes that need not be HTTP, none at all by default, and ends the connection.

    Attributes:
        first: What is sent.
        forever: What is sent after that until the client gives up, if anything.
        reset: Whether the connection is reset rather than closed.
        handled: Whether the request is handled before.
    """

    first: bytes = b""
    forever: bytes = b""
    reset: bool = False
    handled: bool = False

    def instead(self) -> RawAnswer | None:
        """Answer at once, unless the request is to be handled."""
        return None if self.handled else self._answer()

    def rewrite(self, answer: Answer) -> RawAnswer:  # noqa: ARG002 - whatever it was
        """Replace the answer."""
        return self._answer()

    def _answer(self) -> RawAnswer:
        return RawAnswer(self.first, self.forever, self.reset)


@dataclass(frozen=True)
class Rewrite(Action):
    """Changes the body, which keeps a right framing.

    Attributes:
        change: Turns the bytes, after any content coding, into others.
        headers: Headers that are added.
    """

    change: Callable[[bytes], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def rewrite(self, answer: Answer) -> Answer:
        """Change the body."""
        body = self.change(answer.content)
        return replace(answer, body=body, headers={**answer.headers, **self.headers})


@dataclass(frozen=True)
class Amend(Action):
    """Changes an answer that is JSON.

    Attributes:
        change: Members that replace those of the answer, or a function of the whole answer.
    """

    change: Json | Callable[[Json], object]

    def rewrite(self, answer: Answer) -> Answer:
        """Change the JSON."""
        value = json.loads(answer.content)
        amended = self.change(value) if callable(self.change) else {**value, **self.change}
        return replace(answer, body=json.dumps(amended).encode())


@dataclass(frozen=True)
class Cut(Action):
    """Ends the connection in the middle of a body, whose framing promises more.

    Attributes:
        after: How much of the body is sent: a number of bytes, or a fraction.
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
    """Stops once in the middle of a body.

    Attributes:
        seconds: For how long.
        after: After how many bytes.
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
        size: How many bytes at a time.
        seconds: How long to wait before each.
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
    """Turns an export, for good, into one of another status.

    Attributes:
        status: The status that it has from now on, known or unknown to anyone; None makes it
            vanish.
    """

    status: str | None

    def turn(self, export: Export) -> None:
        """Change the export."""
        export.deleted = export.deleted or self.status is None
        export.forced_status = self.status


@dataclass(kw_only=True)
class Fault:
    """Something that goes wrong with certain requests.

    Attributes:
        on: The kind of request.
        action: What happens.
        nth: The first matching request that it happens to, counted from when the fault was added.
        times: How many requests it happens to; None for all that follow.
        object: Counts only requests about exports of this object.
        seen: How many matching requests there were so far.
    """

    on: Kind
    action: Action
    nth: int = 1
    times: int | None = 1
    object: str | None = None
    seen: int = field(default=0, init=False)

    def strikes(self, kind: Kind, exported_object: str | None) -> bool:
        """Count a request if it matches, and return whether the fault happens to it."""
        if kind != self.on or self.object not in {None, exported_object}:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class Faults:
    """The faults of a sandbox."""

    def __init__(self) -> None:
        """Start without faults."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Make things go wrong."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Make everything go right again."""
        with self._lock:
            self._faults.clear()

    def actions(self, kind: Kind, exported_object: str | None) -> list[Action]:
        """Return what happens to a request."""
        with self._lock:
            return [f.action for f in self._faults if f.strikes(kind, exported_object)]
