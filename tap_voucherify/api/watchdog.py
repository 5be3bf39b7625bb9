"""Bound the time that a response takes, however it trickles in.

A socket's timeout bounds the silence between two packets only: a server that sends a byte of a
header every half second, or one `100 Continue` after another, never reaches it. At the end of the
allowed time, the watchdog therefore shuts the socket down, which ends any read.
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
        request_timeout_seconds: How long headers may take, and a body that is not a file.
    """

    def __init__(self, request_timeout_seconds: float) -> None:
        self._request_timeout_seconds = request_timeout_seconds
        self._header_seconds = request_timeout_seconds
        self._socket: socket.socket | None = None

    @contextlib.contextmanager
    def headers(self, deadline: Deadline) -> Iterator[None]:
        """Bound the time for the headers of the request that is made inside the block."""
        # The last poll of an export is made at its deadline, and needs time as well.
        seconds = max(deadline.remaining_seconds, MIN_HEADER_SECONDS)
        self._header_seconds = min(self._request_timeout_seconds, seconds)
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextlib.contextmanager
    def attached(self, connected: socket.socket) -> Iterator[None]:
        """Watch this socket, while the headers are read inside the block and afterwards."""
        self._socket = connected
        with self._limit(self._header_seconds):
            yield

    @contextlib.contextmanager
    def body(self, deadline: Deadline | None = None) -> Iterator[None]:
        """Bound the time for the body that is read inside the block.

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
        """Bound the time for reading from the socket inside the block.

        Raises:
            TimeoutError: At the end of the block, if the socket was shut down: what looked like
                the end of a response may be none.
        """
        if self._socket is None:  # a SOCKS proxy has connections of its own
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
                # What the shutdown made of the read, an end or a reset, is not the cause.
                raise TimeoutError(f"no complete headers within {seconds:.0f} s") from None


def _shut_down(connected: socket.socket, expired: threading.Event) -> None:
    expired.set()
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _HTTPConnection(urllib3.connection.HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as urllib3 does
        with _current.get().attached(t.cast("socket.socket", self.sock)):
            return super().getresponse()


class _HTTPSConnection(urllib3.connection.HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as urllib3 does
        with _current.get().attached(t.cast("socket.socket", self.sock)):
            return super().getresponse()


class _HTTPConnectionPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSConnectionPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


# For `urllib3.PoolManager.pool_classes_by_scheme`.
POOL_CLASSES = {"http": _HTTPConnectionPool, "https": _HTTPSConnectionPool}
