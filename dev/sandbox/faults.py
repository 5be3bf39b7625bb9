r"""Faults: actions that affect certain requests.

Several faults on one request all apply, in the order they were added::

    Fault(on="poll", nth=2, action=Reply(502))
    Fault(on="create", action=Raw(handled=True))                    # the response is lost
    Fault(on="poll", action=Raw(reset=True))                        # reset before handling
    Fault(on="list", action=Raw(b"HTTP/1.1 200 OK\r\nX: ", forever=b"x" * 65536))
    Fault(on="download", action=Cut(0.5))                           # under any framing
    Fault(on="download", action=Rewrite(lambda body: body[:-8]))    # gzip without its end
    Fault(on="poll", action=Amend({"result": None}))
    Fault(on="create", times=2, object="voucher", action=Turn("ERROR"))
    Fault(on="list", action=Delay(5))
    Fault(on="poll", action=DripHead(1, 0.5))                       # one byte every half second
    Fault(on="download", action=storage_reply(403, "AccessDenied", "Request has expired"))
    Fault(on="handshake", action=Handshake("alert"))                # of a sandbox with TLS
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .actions import Action

__all__ = ["Action", "Fault", "Faults", "Kind"]

Kind: TypeAlias = Literal[
    "create",
    "poll",
    "list",
    "download",
    "delete",
    "oauth",
    "schemas",
    "campaigns",
    "validation_rules",
    "validation_rules_assignments",
    "promotion_tiers",
    "handshake",
    "other",
]


@dataclass(kw_only=True)
class Fault:
    """A fault that affects certain requests.

    Attributes:
        on: The endpoint.
        action: The effect.
        nth: The first matching request to affect, counted since the fault was added.
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
