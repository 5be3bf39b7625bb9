"""TLS in front of an HTTP server, with handshakes that can fail."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from aiohttp import web

    from .actions import Greeting

#: RFC 8446, 6: a fatal alert (2), `internal_error` (80).
_ALERT = b"\x15\x03\x03\x00\x02\x02\x50"
_HELLO_BYTES = 1 << 16


@asynccontextmanager
async def serve_tls(
    server: web.Server,
    certificate: Path,
    port: int,
    greet: Callable[[], Greeting | None],
) -> AsyncIterator[int]:
    """Accept TLS connections for a server, and yield the port.

    Args:
        server: The HTTP server.
        certificate: A file with a key and a certificate.
        port: The port; 0 for any free port.
        greet: Returns what happens to the next handshake, or None to let it succeed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0)
        accepting = asyncio.ensure_future(_accept(listener, server, context, greet))
        try:
            yield int(listener.getsockname()[1])
        finally:
            accepting.cancel()
            with suppress(asyncio.CancelledError):
                await accepting


async def _accept(
    listener: socket.socket,
    server: web.Server,
    context: ssl.SSLContext,
    greet: Callable[[], Greeting | None],
) -> None:
    """Accept connections until cancelled."""
    loop = asyncio.get_running_loop()
    greetings: set[asyncio.Task[None]] = set()
    try:
        while True:
            connection, _ = await loop.sock_accept(listener)
            greeting = asyncio.ensure_future(_greet(connection, server, context, greet()))
            greetings.add(greeting)
            greeting.add_done_callback(greetings.discard)
    finally:
        for greeting in greetings:
            greeting.cancel()


async def _greet(
    connection: socket.socket,
    server: web.Server,
    context: ssl.SSLContext,
    how: Greeting | None,
) -> None:
    """Pass a connection to the server, or end its handshake."""
    loop = asyncio.get_running_loop()
    # A client that rejects the certificate ends the handshake itself.
    with suppress(OSError):
        if how is None:
            await loop.connect_accepted_socket(server, connection, ssl=context)
            return
        with connection:
            await loop.sock_recv(connection, _HELLO_BYTES)
            if how == "alert":
                await loop.sock_sendall(connection, _ALERT)
            elif how == "reset":
                # A socket that does not linger is closed with RST instead of FIN.
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
