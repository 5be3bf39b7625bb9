"""The tap's client, with a Voucherify in this process at the other end."""

from __future__ import annotations

import typing as t
from email.utils import formatdate

from tap_voucherify.api.client import Answer, Client
from tap_voucherify.api.credentials import KeyPair, TrustedHosts
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.errors import RateLimitError, TransientError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.clock import Deadline
    from tests.support.virtual_clock import VirtualClock

Json = dict[str, t.Any]


class Service(t.Protocol):
    """A Voucherify, apart from HTTP."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer that is given now."""

    def answer(self, kind: str, path: str, body: Mapping[str, t.Any]) -> Json:
        """Answer a call of the API, or raise what the client makes of a refusal."""

    def file(self, url: str) -> bytes:
        """Return a file, or raise what the client makes of a refusal."""


class SimulatedLimit:
    """A rate limit as Voucherify keeps and tells it: so many calls until it resets.

    Attributes:
        refused: How many calls were made beyond it.
        unused: What was left of it at each reset.
    """

    def __init__(
        self, clock: VirtualClock, calls: int, *, period_seconds: float = 3600, skew: float = 0
    ) -> None:
        """Allow `calls` in each period, which begins with its first call.

        Args:
            clock: The true time.
            calls: How many there may be in a period.
            period_seconds: How long a period lasts.
            skew: By how much the server's clock is wrong.
        """
        self.refused = 0
        self.unused: list[int] = []
        self._clock = clock
        self._calls = calls
        self._period_seconds = period_seconds
        self._skew = skew
        self._remaining = calls
        self._resets_at = clock.now() + skew

    @property
    def headers(self) -> dict[str, str]:
        """What an answer tells about it."""
        return {
            "Date": formatdate(self._now, usegmt=True),
            "X-Rate-Limit-Limit": str(self._calls),
            "X-Rate-Limit-Remaining": str(self._remaining),
            "X-Rate-Limit-Retry": str(int(self._resets_at)),
            "X-Rate-Limit-Type": "api_calls",
        }

    @property
    def _now(self) -> float:
        return self._clock.now() + self._skew

    def take(self) -> None:
        """Count a call.

        Raises:
            RateLimitError: If it is one too many.
        """
        if self._now >= self._resets_at:
            self.unused.append(self._remaining)
            self._remaining = self._calls
            self._resets_at = self._now + self._period_seconds
        if not self._remaining:
            self.refused += 1
            raise RateLimitError("Voucherify answers 429", self._resets_at - self._now)
        self._remaining -= 1


class SimulatedClient(Client):
    """Waits for the rate limit and repeats as the real one does, but sends nothing."""

    def __init__(
        self,
        service: Service,
        clock: VirtualClock,
        *,
        latency: Callable[[], float] = lambda: 0,
        reserve: float = 0.1,
        longest_wait_seconds: float = 3600,
    ) -> None:
        """Connect.

        Args:
            service: Answers.
            clock: Measures the waits.
            latency: Returns the seconds that something is under way.
            reserve: The share of the rate limit that is left to others.
            longest_wait_seconds: Bounds the wait that an answer can ask for.
        """
        super().__init__(
            api_url="https://api.example.com",
            credentials=KeyPair("id", "token"),
            hosts=TrustedHosts("https://api.example.com", ""),
            rate_limit=RateLimit(clock, reserve),
            clock=clock,
            request_timeout_seconds=60,
            longest_wait_seconds=longest_wait_seconds,
            jitter=lambda seconds: seconds,
        )
        self._service = service
        self._virtual_clock = clock
        self._latency = latency

    def call(  # noqa: PLR0913 - as in the client
        self,
        kind: str,
        method: str,  # noqa: ARG002 - the kind says it as well
        path: str,
        *,
        json: Mapping[str, t.Any] | None = None,
        form: Mapping[str, str] | None = None,  # noqa: ARG002 - asks for a token
        params: Mapping[str, str] | None = None,  # noqa: ARG002 - of the list only
        credentials: object = None,  # noqa: ARG002 - nobody checks them
        deadline: Deadline | None = None,
        if_answer_lost: str = "",
    ) -> Answer:
        """Call the service, repeating what can be repeated."""

        def attempt() -> Answer:
            content = self._exchange(
                kind,
                deadline,
                lambda body: self._service.answer(kind, path, body),
                lambda: json or {},
            )
            return Answer(content, self._virtual_clock.now())

        return self.retry(
            attempt, f"Could not {kind}", deadline=deadline, if_answer_lost=if_answer_lost
        )

    def download(self, link: Callable[[], str], file: t.BinaryIO, deadline: Deadline) -> int:
        """Write what the link leads to to `file`, in one attempt."""
        content = self._exchange("download", deadline, self._service.file, link)
        if deadline.remaining_seconds <= 0:
            raise TransientError("the answer did not end in time")
        file.seek(0)
        size = file.write(content)
        file.seek(0)
        return size

    def _exchange(
        self,
        kind: str,
        deadline: Deadline | None,
        answer: Callable[[_Request], _Content],
        prepare: Callable[[], _Request],
    ) -> _Content:
        """Let a request and its answer travel."""
        request = self._rate_limit.acquire(prepare, deadline)
        self.calls[kind] += 1
        headers: dict[str, str] = {}
        try:
            self._virtual_clock.spend(self._latency())
            try:
                return answer(request)
            finally:
                headers = self._service.headers
                self._virtual_clock.spend(self._latency())
        finally:
            self._rate_limit.release(headers)


_Request = t.TypeVar("_Request")
_Content = t.TypeVar("_Content")
