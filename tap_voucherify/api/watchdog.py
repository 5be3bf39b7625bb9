"""Limit the time that a response takes, however it trickles in.

A socket timeout limits only the silence between two packets: a server that sends a byte of a header
every half second, or one `100 Continue` after another, never triggers it. When time is up, the
watchdog therefore shuts the socket down, which ends any read.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t
from contextvars import ContextVar

import urllib3

from tap_voucherify.errors import TransientError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_voucherify.clock import Deadline

MIN_HEADER_SECONDS = 5

# The watchdog of the request that this thread is making; urllib3 has no argument for it.
_current: ContextVar[Watchdog] = ContextVar("watchdog")


class Watchdog:
    """Watches over the socket of one request.

    Args:
        request_timeout_seconds: Limit for the headers, and for a body that is not a file.
    """

    def __init__(self, request_timeout_seconds: float) -> None:
        self._request_timeout_seconds = request_timeout_seconds
        self._header_seconds = request_timeout_seconds
        self._socket: socket.socket | None = None

    @contextlib.contextmanager
    def headers(self, deadline: Deadline) -> Iterator[None]:
        """Limit the time for the headers of the request made inside the block."""
        # The last poll of an export is sent at its deadline, and still needs time.
        seconds = max(deadline.remaining_seconds, MIN_HEADER_SECONDS)
        self._header_seconds = min(self._request_timeout_seconds, seconds)
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextlib.contextmanager
    def attached(self, connected: socket.socket) -> Iterator[None]:
        """Watch this socket from now on; the headers are read inside the block."""
        self._socket = connected
        with self._limit(self._header_seconds):
            yield

    @contextlib.contextmanager
    def body(self, deadline: Deadline | None = None) -> Iterator[None]:
        """Limit the time for the body read inside the block.

        Raises:
            TransientError: If it takes longer.
        """
        seconds = deadline.remaining_seconds if deadline else self._request_timeout_seconds
        try:
            with self._limit(min(max(seconds, 0), threading.TIMEOUT_MAX)):
                yield
        except TimeoutError as error:
            raise TransientError("the response took too long") from error

    @contextlib.contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """Limit the time for reading from the socket inside the block.

        Raises:
            TimeoutError: At the end of the block, if the socket was shut down: what looked like
                the end of a response may not be it.
        """
        if self._socket is None:  # a SOCKS proxy uses other connections
            yield
            return
        expired = threading.Event()
        timer = threading.Timer(seconds, _shut_down, (self._socket, expired))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if expired.is_set():
                # However the shutdown ended the read, the timeout is the cause.
                raise TimeoutError(f"no complete headers within {seconds:.0f} s") from None


def _shut_down(connected: socket.socket, expired: threading.Event) -> None:
    expired.set()
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _HTTPConnection(urllib3.connection.HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as urllib3 does
        with _current.get().attached(t.cast("socket.socket", self.sock)):
            return super().getresponse()


class _HTTPSConnection(_HTTPConnection, urllib3.connection.HTTPSConnection):
    pass


class _HTTPConnectionPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSConnectionPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


# For `urllib3.PoolManager.pool_classes_by_scheme`.
POOL_CLASSES = {"http": _HTTPConnectionPool, "https": _HTTPSConnectionPool}
