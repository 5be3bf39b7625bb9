"""The tap's API client, connected to a Voucherify simulated in this process."""

from __future__ import annotations

import typing as t
from email.utils import formatdate

from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import KeyPair, TrustedHosts
from tap_voucherify.api.export import Export, ExportList
from tap_voucherify.api.messages import StaleLinkError
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.api.voucherify import Voucherify
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import RateLimitError, TransientError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.virtual_clock import VirtualClock

_Content = t.TypeVar("_Content")


class Service(t.Protocol):
    """A Voucherify without HTTP: its methods return a response, or raise what the client would."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response sent now."""

    def create(self, exported_object: str, parameters: Mapping[str, t.Any]) -> Export:
        """Create an export."""

    def get(self, export_id: str) -> Export:
        """Return an export."""

    def list(self) -> ExportList:
        """Return the newest exports."""

    def delete(self, export_id: str) -> None:
        """Delete an export."""

    def file(self, url: str) -> bytes:
        """Return a file."""


class SimulatedLimit:
    """A rate limit as Voucherify enforces and reports it: a number of calls per period.

    Attributes:
        rejected: The number of rejected calls.
        unused: The number of calls left at each reset.
    """

    def __init__(
        self, clock: VirtualClock, calls: int, *, period_seconds: float = 3600, skew: float = 0
    ) -> None:
        """Allow `calls` in each period, which begins with its first call.

        Args:
            clock: The true time.
            calls: The number of calls allowed per period.
            period_seconds: The length of a period.
            skew: The seconds that the server's clock is ahead.
        """
        self.rejected = 0
        self.unused: list[int] = []
        self._clock = clock
        self._calls = calls
        self._period_seconds = period_seconds
        self._skew = skew
        self._remaining = calls
        self._resets_at = clock.now() + skew

    @property
    def headers(self) -> dict[str, str]:
        """The headers that report the limit."""
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
            RateLimitError: If none is left.
        """
        if self._now >= self._resets_at:
            self.unused.append(self._remaining)
            self._remaining = self._calls
            self._resets_at = self._now + self._period_seconds
        if not self._remaining:
            self.rejected += 1
            raise RateLimitError("Voucherify returned 429", self._resets_at - self._now)
        self._remaining -= 1


class SimulatedVoucherify(Voucherify):
    """Waits for the rate limit and retries like the real client, but sends nothing."""

    def __init__(
        self,
        service: Service,
        clock: VirtualClock,
        *,
        latency: Callable[[], float] = lambda: 0,
        reserve: float = 0.1,
        max_retry_seconds: float = 900,
    ) -> None:
        """Connect to a service.

        Args:
            service: The simulated service.
            clock: Measures the waits.
            latency: Returns the seconds that a request or a response takes.
            reserve: Fraction of the rate limit to leave unused.
            max_retry_seconds: How long failures are retried.
        """
        self._rate_limit = RateLimit(clock, reserve)
        client = Client(
            api_url="https://api.example.com",
            credentials=KeyPair("id", "token"),
            hosts=TrustedHosts("https://api.example.com", ""),
            rate_limit=self._rate_limit,
            clock=clock,
            request_timeout_seconds=60,
            max_retry_seconds=max_retry_seconds,
            jitter=lambda seconds: seconds,
        )
        super().__init__(client, clock)
        self._service = service
        self._virtual_clock = clock
        self._latency = latency

    def create_export(
        self, exported_object: str, parameters: Mapping[str, t.Any], deadline: Deadline
    ) -> Export:
        """Create an export."""
        return self._call(
            "create",
            lambda: self._service.create(exported_object, parameters),
            deadline,
            "(if an export was created anyway, it is ignored)",
        )

    def get_export(self, export_id: str, deadline: Deadline) -> Export:
        """Return an export."""
        return self._call("poll", lambda: self._service.get(export_id), deadline)

    def list_exports(
        self,
        limit: int = 100,
        *,
        deadline: Deadline | None = None,
        max_retry_seconds: float | None = None,
    ) -> ExportList:
        """Return the newest exports."""
        exports, server_time = self._call(
            "list", self._service.list, deadline or self._unlimited, "", max_retry_seconds
        )
        return ExportList(exports[:limit], server_time)

    def delete_export(self, export_id: str) -> None:
        """Delete an export."""
        self._call("delete", lambda: self._service.delete(export_id), self._unlimited, "", 10)

    def download(self, url: str, file: t.BinaryIO, deadline: Deadline, fresh_until: float) -> int:
        """Write the file at `url` to `file`, in one attempt."""
        content = self._exchange(lambda: self._service.file(url), deadline, fresh_until)
        if deadline.remaining_seconds <= 0:
            raise TransientError("the response took too long")
        file.seek(0)
        size = file.write(content)
        file.seek(0)
        return size

    @property
    def _unlimited(self) -> Deadline:
        return Deadline(self._virtual_clock)

    def _call(
        self,
        label: str,
        respond: Callable[[], _Content],
        deadline: Deadline,
        warning: str = "",
        max_retry_seconds: float | None = None,
    ) -> _Content:
        return self._client.retry.run(
            lambda: self._exchange(respond, deadline),
            f"Could not {label}",
            deadline,
            retry_warning=warning,
            max_retry_seconds=max_retry_seconds,
        )

    def _exchange(
        self,
        respond: Callable[[], _Content],
        deadline: Deadline,
        fresh_until: float = float("inf"),
    ) -> _Content:
        """Wait for the rate limit, then send a request and return its response."""
        while True:
            with deadline.paused():
                self._rate_limit.wait()
            if self._virtual_clock.monotonic() > fresh_until:
                raise StaleLinkError
            if self._rate_limit.try_acquire():
                break
        headers: dict[str, str] = {}
        try:
            self._virtual_clock.spend(self._latency())
            try:
                return respond()
            finally:
                headers = self._service.headers
                self._virtual_clock.spend(self._latency())
        finally:
            self._rate_limit.release(headers)
