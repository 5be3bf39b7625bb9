"""A small server between a client and a sandbox that records each request."""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

# Headers that are not forwarded.
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "date",
    "server",
}


class Relay:
    """A proxy for plain HTTP that also serves the sandbox's files as a site of its own.

    Attributes:
        requests: The target and the headers of each request, with names in lower case.
        url: Its URL, whose host name is not the sandbox's.
    """

    def __init__(
        self, upstream: str, credentials: dict[str, str], certificate: Path | None = None
    ) -> None:
        """Prepare.

        Args:
            upstream: The base URL of the files.
            credentials: The headers that give access to the files.
            certificate: The certificate and key of an https site; None for plain http.
        """
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._upstream = upstream
        self._credentials = credentials
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        scheme = "http"
        if certificate:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{scheme}://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)

    def __enter__(self) -> Self:
        """Open the site."""
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the site."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def header_names(self) -> set[str]:
        """Return the names of all headers that were sent here."""
        return {name for _, headers in self.requests for name in headers}

    def forward(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Forward a request, and its response back."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.path, headers))
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        target = handler.path
        if target.startswith("/"):
            target = self._upstream + target
            headers |= self._credentials
        parts = urlsplit(target)
        path = parts._replace(scheme="", netloc="").geturl()
        with closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as connection:
            forwarded = {k: v for k, v in headers.items() if k not in _HOP_BY_HOP | {"host"}}
            connection.request(handler.command, path, body or None, forwarded)
            response = connection.getresponse()
            content = response.read()
            handler.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Passes every request to the relay."""

            timeout = 10

            def do_GET(self) -> None:
                relay.forward(self)

            def do_POST(self) -> None:
                relay.forward(self)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the client aborted the handshake
                    self.close_connection = True

        return Handler
