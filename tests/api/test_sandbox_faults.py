"""Faults of the sandbox's transport: slow headers, TLS, rate-limit headers, object-store errors."""

from __future__ import annotations

import socket
import ssl
import subprocess
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from dev.sandbox import (
    ENDLESS_CONTINUE,
    Amend,
    Behaviour,
    Delay,
    DripHead,
    Fault,
    Handshake,
    Reply,
    storage_reply,
)

from .sandbox_client import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .sandbox_client import Client


@contextmanager
def connection(client: Client) -> Iterator[socket.socket]:
    """Connect to the API and send a request."""
    host, port = client.sandbox.api_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connected:
        request = f"GET /v1/exports HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        headers = "".join(f"{name}: {value}\r\n" for name, value in client.key_pair.items())
        connected.sendall(f"{request}{headers}\r\n".encode())
        yield connected


def test_headers_can_come_byte_by_byte() -> None:
    """Headers can arrive byte by byte, and the response is complete in the end."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="list", action=DripHead(1, 0.001)))
        response = client.call("GET", "/v1/exports")
        assert (response.status_code, response.json()["total"]) == (200, 0)
        client.sandbox.faults.add(Fault(on="list", action=DripHead(1, 0.2)))
        with connection(client) as connected:
            assert connected.recv(4096) == b"H"
            assert connected.recv(4096) == b"T"


def test_informational_responses_without_end() -> None:
    """Endless 100 responses are well-formed, and the sandbox survives the client's disconnect."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="list", action=ENDLESS_CONTINUE))
        received = b""
        with connection(client) as connected:
            while len(received) < 200:
                received += connected.recv(4096)
        line = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert received.count(line) == len(received) // len(line) >= 8
        assert client.call("GET", "/v1/exports").status_code == 200


def test_a_response_can_be_late() -> None:
    """A response can be delayed beyond the client's timeout."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="list", action=Delay(30)))
        with pytest.raises(requests.ReadTimeout):
            requests.get(
                f"{client.sandbox.api_url}/v1/exports", headers=client.key_pair, timeout=0.05
            )
        assert client.call("GET", "/v1/exports").status_code == 200


@pytest.mark.parametrize(
    "status", [202, 204, 408, 409, 410, 425, 499, 507, *range(520, 528), 530, 598]
)
def test_any_status_can_be_sent(status: int) -> None:
    """A reply can have any status, even one that no standard defines."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="download", action=Reply(status)))
        url = client.done("order")["url"]
        assert [client.fetch(url).status_code for _ in range(2)] == [status, 200]


@pytest.mark.parametrize("form", ["xml", "json"])
def test_downloads_can_fail_like_an_object_store(form: Any) -> None:
    """A download can fail with any code and message, in XML or JSON."""
    with serving() as client:
        fault = storage_reply(403, "ExpiredToken", "The <token> has expired.", form)
        client.sandbox.faults.add(Fault(on="download", action=fault))
        response = client.fetch(client.done("order")["url"])
    assert response.status_code == 403
    assert response.headers["Content-Type"] == f"application/{form}"
    assert "ExpiredToken" in response.text
    if form == "xml":
        assert "<Message>The &lt;token&gt; has expired.</Message>" in response.text
    else:
        assert response.json()["Message"] == "The <token> has expired."


# Rate-limit headers


def test_retry_after_may_be_a_date() -> None:
    """`Retry-After` can be the date at which the period ends."""
    with serving(Behaviour(rate_limit=0, retry_after_form="date")) as client:
        response = client.call("GET", "/v1/exports")
        date = parsedate_to_datetime(response.headers["Retry-After"])
        assert response.status_code == 429
        assert date.timestamp() == client.clock.now + 3600


def test_the_reset_may_be_in_milliseconds() -> None:
    """The reset can be reported in milliseconds instead of seconds."""
    with serving(Behaviour(rate_limit=5, rate_limit_unit="milliseconds")) as client:
        headers = client.call("GET", "/v1/exports").headers
        assert int(headers["X-Rate-Limit-Retry"]) == (client.clock.now + 3600) * 1000


@pytest.mark.parametrize("value", ["9" * 400, "4102444800", "-1", "soon", ""])
@pytest.mark.parametrize("limit", [None, 5])
def test_rate_limit_headers_may_hold_anything(value: str, limit: int | None) -> None:
    """Rate-limit headers can have any value, in place of the true ones or without them."""
    strange = {"X-Rate-Limit-Retry": value, "X-Rate-Limit-Remaining": "0"}
    with serving(Behaviour(rate_limit=limit, rate_limit_headers=strange)) as client:
        headers = client.call("GET", "/v1/exports").headers
    assert strange.items() <= dict(headers).items()
    assert headers.get("X-Rate-Limit-Limit") == (None if limit is None else "5")


def test_a_token_may_expire_in_a_number_of_400_digits() -> None:
    """A token can expire in a number of seconds with 400 digits."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="oauth", action=Amend({"expires_in": 10**399})))
        form = {"grant_type": "client_credentials", "scope": "exports"}
        response = client.call("POST", "/v1/oauth/token", data=form)
        assert response.json()["expires_in"] == 10**399


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for localhost."""
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(file), "-out", str(file.with_name("certificate.pem"))]
    command = ["openssl", "req", *kind, *names, *files, "-days", "2"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + file.with_name("certificate.pem").read_text())
    return file


def test_both_hosts_may_have_tls(certificate: Path) -> None:
    """A client that trusts the certificate gets a file; another does not."""
    with serving(certificate=certificate) as client:
        client.session.verify = str(certificate)
        client.session.trust_env = False
        assert client.sandbox.api_url.startswith("https://localhost:")
        assert len(client.table("order")) == 31
        with pytest.raises(requests.exceptions.SSLError, match="verify failed"):
            requests.get(client.sandbox.download_url, timeout=5)
        assert client.call("GET", "/v1/exports").status_code == 200


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("close", "EOF|UNEXPECTED_EOF"),
        ("reset", "reset by peer"),
        ("alert", "internal error|INTERNAL_ERROR"),
    ],
)
def test_a_handshake_can_fail_once(certificate: Path, how: Any, message: str) -> None:
    """A handshake can end with FIN, RST or an alert; the next one succeeds."""
    with serving(certificate=certificate) as client:
        client.sandbox.faults.add(Fault(on="handshake", action=Handshake(how)))
        port = int(client.sandbox.api_url.rpartition(":")[2])
        context = ssl.create_default_context(cafile=certificate)
        for is_first in (True, False):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connected:
                if is_first:
                    with pytest.raises(OSError, match=message):
                        context.wrap_socket(connected, server_hostname="localhost")
                else:
                    with context.wrap_socket(connected, server_hostname="localhost") as secure:
                        assert secure.version() == "TLSv1.3"
        assert client.sandbox.requests == []
