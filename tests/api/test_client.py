"""The client's handling of each response, and the masking of secrets, without the command."""

from __future__ import annotations

import errno
import gzip
import io
import logging
import math
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import pytest

from dev.sandbox import OBJECTS, Action, Behaviour, Dataset, Fault, Raw, Reply, Sandbox
from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import KeyPair, RenewableToken, TrustedHosts
from tap_voucherify.api.error_responses import error_from_response
from tap_voucherify.api.headers import server_time
from tap_voucherify.api.messages import Request, Response, StaleLinkError
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.api.responses import parse_object
from tap_voucherify.api.watchdog import Watchdog
from tap_voucherify.clock import Clock, Deadline, StoppedError
from tap_voucherify.errors import (
    AccountError,
    LinkExpiredError,
    NotFoundError,
    RateLimitError,
    RequestError,
    StorageError,
    TransientError,
    UnauthorizedError,
    root_cause,
)
from tap_voucherify.redaction import MASK, SecretFilter
from tests.support.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Buffer

LIST = Request("list", "GET", "/v1/exports")
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
AT_DATE = 1767225600


@pytest.fixture(scope="module")
def voucherify() -> Iterator[Sandbox]:
    """Yield a sandbox without rows."""
    with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS, 0))) as voucherify:
        yield voucherify


def acquire(rate_limit: RateLimit) -> None:
    """Wait for a call and claim it."""
    rate_limit.wait()
    assert rate_limit.try_acquire()


def send_list(client: Client, clock: Clock, deadline: Deadline | None = None) -> Response:
    """List the exports."""
    limit = deadline or Deadline(clock)
    return client.retry.run(lambda: client.send(LIST, limit), "Could not list", limit)


@contextmanager
def faults(voucherify: Sandbox, *added: Fault) -> Iterator[None]:
    """Add faults for the duration of a block."""
    voucherify.faults.add(*added)
    try:
        yield
    finally:
        voucherify.faults.clear()


def client_of(
    voucherify: Sandbox, clock: Clock, rate_limit: RateLimit | None = None, **options: Any
) -> Client:
    """Return a client whose pauses have no jitter."""
    return Client(
        api_url=voucherify.api_url,
        hosts=TrustedHosts(voucherify.api_url),
        rate_limit=rate_limit or RateLimit(clock, 0),
        clock=clock,
        jitter=lambda seconds: seconds,
        **{
            "credentials": KeyPair(voucherify.app_id, voucherify.app_token),
            "request_timeout_seconds": 20.0,
            **options,
        },
    )


def listing(voucherify: Sandbox) -> int:
    """Return how many times the exports have been listed."""
    return sum(request.kind == "list" for request in voucherify.requests)


# Retries


def test_pauses_grow_up_to_a_minute(voucherify: Sandbox) -> None:
    """A call is retried for fifteen minutes, with pauses that double up to a minute."""
    before = listing(voucherify)
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=Raw(), times=None)):
        client = client_of(voucherify, clock)
        with pytest.raises(TransientError, match=r"no response from 127\.0\.0\.1"):
            send_list(client, clock)

        assert clock.monotonic() == 900
    calls = 1 + 6 + math.ceil((900 - 63) / 60)
    assert listing(voucherify) - before == calls
    assert client.summary == f"{calls} calls ({calls} list); Voucherify reported no rate limit"


@pytest.mark.parametrize(
    "status", [408, 409, 425, 499, 500, 502, 503, 504, 507, *range(520, 528), 530, 598]
)
def test_a_status_that_may_pass_is_retried(voucherify: Sandbox, status: int) -> None:
    """A transient status is retried, whether Voucherify or a proxy sent it."""
    before = listing(voucherify)
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=Reply(status))):
        send_list(client_of(voucherify, clock), clock)
        assert clock.monotonic() == 1
    assert listing(voucherify) - before == 2


def test_a_response_that_lost_its_body_is_retried(voucherify: Sandbox) -> None:
    """A response without a body is retried, since only a deletion has none."""
    before = listing(voucherify)
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=Reply(200))):
        send_list(client_of(voucherify, clock), clock)
    assert listing(voucherify) - before == 2


@pytest.mark.parametrize("status", [203, 300, 304, 999])
def test_only_success_statuses_succeed(voucherify: Sandbox, status: int) -> None:
    """A status other than a success is an error that shows the status, whatever the body."""
    reply = Reply(status, {"status": "DONE"})
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply)):
        client = client_of(voucherify, clock)
        if status == 203:
            assert send_list(client, clock).content == {"status": "DONE"}
            return
        with pytest.raises(RequestError, match=f"Voucherify returned {status}"):
            send_list(client, clock)


def test_the_rate_limit_may_reject_a_request_eight_times(voucherify: Sandbox) -> None:
    """A request that the rate limit rejects eight times fails."""
    reply = Reply(429, {}, {"Retry-After": "3000"})
    before = listing(voucherify)
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply, times=None)):
        with pytest.raises(RateLimitError):
            send_list(client_of(voucherify, clock), clock)
        assert clock.monotonic() == 7 * 3000
    assert listing(voucherify) - before == 8


def test_the_tap_says_who_it_is(voucherify: Sandbox) -> None:
    """Every request has a User-Agent with the tap's version."""
    with VirtualClock() as clock:
        send_list(client_of(voucherify, clock), clock)
    agent = voucherify.requests[-1].headers["user-agent"]
    assert agent == f"tap-voucherify/{metadata.version('tap-voucherify')}"


def test_a_token_is_renewed_after_the_wait_for_the_rate_limit(voucherify: Sandbox) -> None:
    """A token that expires during the wait is renewed, and the time of that is not the export's."""
    with VirtualClock() as clock:

        def issue() -> tuple[str, float]:
            clock.spend(5)
            tokens.append(clock.monotonic())
            return f"{voucherify.app_token}-{len(tokens)}", 900

        tokens: list[float] = []
        limit, deadline = RateLimit(clock, 0.1), Deadline(clock, 100)
        acquire(limit)
        limit.release(reported(100, 10, AT_DATE + 3600))
        client = client_of(voucherify, clock, limit, credentials=RenewableToken(issue, clock))
        with pytest.raises(AccountError):
            send_list(client, clock, deadline)

    sent = voucherify.requests[-1].headers["authorization"]
    assert sent == f"Bearer {voucherify.app_token}-{len(tokens)}"
    assert tokens[1] > 3600
    # Only the pause before the second attempt counts.
    assert deadline.remaining_seconds == 100 - 1


def test_a_wait_for_the_rate_limit_is_no_slow_response(voucherify: Sandbox) -> None:
    """The wait for the rate limit does not count towards a request's timeout."""

    class Busy(RateLimit):
        """A limit that makes every request wait."""

        def wait(self) -> None:
            """Wait an hour more."""
            clock.spend(3600)
            super().wait()

    before = listing(voucherify)
    with VirtualClock() as clock:
        client = client_of(voucherify, clock, Busy(clock, 0))
        response = send_list(client, clock)

    assert response.content["object"] == "list"
    assert listing(voucherify) - before == 1


def test_a_wait_for_the_rate_limit_pauses_the_deadline(voucherify: Sandbox) -> None:
    """The wait for the rate limit does not count towards an export's deadline."""
    reply = Reply(429, {}, {"Retry-After": "70"})
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply)):
        deadline = Deadline(clock, 100)
        send_list(client_of(voucherify, clock), clock, deadline)

        assert clock.monotonic() == 70
        assert deadline.remaining_seconds == 100


@pytest.mark.parametrize("value", ["1e300", "9" * 400, "864000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_that_is_not_believable_is_ignored(voucherify: Sandbox, value: str) -> None:
    """An implausible `Retry-After` is ignored."""
    reply = Reply(429, {}, {"Retry-After": value})
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply)):
        send_list(client_of(voucherify, clock), clock)

        assert clock.monotonic() == 1


def test_a_wait_is_obeyed_even_if_the_body_is_cut_short(voucherify: Sandbox) -> None:
    """The `Retry-After` of a 429 is obeyed even if its body is incomplete."""
    reply = Raw(b"HTTP/1.1 429 X\r\nContent-Length: 99\r\nRetry-After: 50\r\n\r\n{")
    before = listing(voucherify)
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply)):
        send_list(client_of(voucherify, clock), clock)

        assert clock.monotonic() == 50
    assert listing(voucherify) - before == 2


@pytest.mark.parametrize(
    "action",
    [
        Raw(b"HTTP/1.1 200 OK\r\n", forever=b"X: y\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\nX: ", forever=b"y" * 65536),
        Raw(b"HTTP/1.1 200 OK\r\n\r\n", forever=b" " * 65536),
        Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", forever=b"1"),
    ],
    ids=["headers", "header", "body", "chunk"],
)
def test_an_endless_response_ends(voucherify: Sandbox, action: Action) -> None:
    """A call ends with an error, whatever a server sends endlessly."""
    outcome: list[BaseException] = []

    def call() -> None:
        clock = _Impatient()
        client = client_of(voucherify, clock, request_timeout_seconds=1.0)
        with pytest.raises((RequestError, TransientError)) as caught:
            send_list(client, clock)
        outcome.append(caught.value)

    with faults(voucherify, Fault(on="list", action=action)):
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(10)

    assert not thread.is_alive()
    assert len(outcome) == 1


@contextmanager
def server(*parts: bytes, forever: bytes = b"", pause: float = 0.02) -> Iterator[str]:
    """Serve one connection at a time: send `parts` at once, then `forever` repeatedly."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    for part in parts:
                        connection.sendall(part)
                    while forever and not over.wait(pause):
                        connection.sendall(forever)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        # A thread in accept() is not woken by close().
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def client_at(url: str, clock: Clock, **options: Any) -> Client:
    """Return a client for any server, by default without retries."""
    return Client(
        api_url=url,
        hosts=TrustedHosts(url),
        credentials=KeyPair("id", "token"),
        clock=clock,
        **{
            "rate_limit": RateLimit(clock, 0),
            "request_timeout_seconds": 0.5,
            "max_retry_seconds": 0,
            **options,
        },
    )


@pytest.mark.parametrize(
    ("parts", "forever"),
    [
        ((b"HTTP/1.1 200 OK\r\nX: ",), b"y"),
        ((b"HTTP/1.1 200 OK\r\n",), b"X: y\r\n"),
        ((), b"HTTP/1.1 100 Continue\r\n\r\n"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",), b"0"),
        ((b"HTTP/1.1 200 OK\r\n\r\n{",), b" "),
        ((b"HTTP/1.1 500 X\r\nContent-Length: 9999\r\n\r\n{",), b" "),
    ],
    ids=["header", "headers", "continue", "chunk", "body", "error"],
)
def test_b7_a_trickle_ends_in_time(parts: tuple[bytes, ...], forever: bytes) -> None:
    """Neither headers nor a body outlast the timeout, however often a byte arrives."""
    clock = Clock()
    with server(*parts, forever=forever) as url:
        started = time.monotonic()
        with pytest.raises(TransientError):
            send_list(client_at(url, clock), clock)
        assert time.monotonic() - started < 5


def test_the_headers_of_a_download_end_in_time() -> None:
    """The headers of a download are subject to the request timeout."""
    clock = Clock()
    with server(b"HTTP/1.1 200 OK\r\nX: ", forever=b"y") as url:
        client = client_at(url, clock)
        with pytest.raises(TransientError, match="no complete headers within"):
            client.download(url, io.BytesIO(), Deadline(clock, 3600))


def test_the_root_cause_is_that_of_the_chain() -> None:
    """The root cause follows causes and contexts, except a suppressed context."""
    replaced, cause, wrapper = ConnectionResetError("reset"), TimeoutError("late"), OSError("send")
    cause.__context__ = replaced
    assert root_cause(cause) == "reset"
    cause.__suppress_context__ = True
    wrapper.__cause__ = cause
    assert root_cause(wrapper) == "late"


def test_a_download_ends_at_its_deadline() -> None:
    """A download without a length that its deadline cuts off is not taken as complete."""
    clock = Clock()
    with server(b"HTTP/1.1 200 OK\r\n\r\nID\r\n", forever=b"1\r\n") as url:
        client = client_at(url, clock)
        with pytest.raises(TransientError, match="took too long"):
            client.download(url, io.BytesIO(), Deadline(clock, 0.3))


def test_a_download_that_begins_at_its_deadline_is_not_read() -> None:
    """A download that begins at its deadline fails even if it would be complete."""
    clock = Clock()
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nID\n") as url:
        client = client_at(url, clock)
        with pytest.raises(TransientError, match="took too long"):
            client.download(url, io.BytesIO(), Deadline(clock, 0))


class _FullDisk(io.BytesIO):
    """A file that cannot grow."""

    def write(self, data: Buffer, /) -> int:  # noqa: ARG002 - of the base class
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_cannot_be_stored() -> None:
    """A full disk is an error that says what to do."""
    clock = Clock()
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nID\n") as url:
        client = client_at(url, clock)
        with pytest.raises(StorageError, match="No space left on device; free up disk space"):
            client.download(url, _FullDisk(), Deadline(clock, 10))


@pytest.mark.parametrize(
    ("location", "error"),
    [("/", r"too many redirects \(5\)"), ("https://[", "redirects to an invalid URL")],
)
def test_redirects_that_lead_nowhere(location: str, error: str) -> None:
    """Endless and invalid redirects are final errors."""
    with pytest.raises(RequestError, match=error):
        download(f"302 Found\r\nLocation: {location}\r\nContent-Length: 0", b"")


def download(head: str, body: bytes = b"ID\n", **options: Any) -> bytes:
    """Return what the client downloads from a server that sends this response."""
    clock = Clock()
    file = io.BytesIO()
    with server(f"HTTP/1.1 {head}\r\n\r\n".encode() + body) as url:
        client_at(url, clock, **options).download(f"{url}/file", file, Deadline(clock, 10))
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "UTF-8", "Identity"])
def test_encoding_headers_that_mean_none(encoding: str) -> None:
    """An empty `Content-Encoding`, an identity or a character set means no encoding."""
    assert download(f"200 OK\r\nContent-Length: 3\r\nContent-Encoding: {encoding}") == b"ID\n"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip"])
def test_encoding_headers_that_mean_gzip(encoding: str) -> None:
    """The encodings `gzip` and `x-gzip` mean the same, in any case."""
    body = gzip.compress(b"ID\n")
    head = f"200 OK\r\nContent-Length: {len(body)}\r\nContent-Encoding: {encoding}"
    assert download(head, body) == b"ID\n"


def test_a_body_that_is_not_what_its_encoding_says() -> None:
    """A body that is not the gzip data that its header announces is a transient error."""
    with pytest.raises(TransientError, match="invalid gzip data"):
        download("200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip")


def test_another_encoding() -> None:
    """An encoding that was not requested is an error."""
    with pytest.raises(RequestError, match="unexpected Content-Encoding 'br'"):
        download("200 OK\r\nContent-Length: 3\r\nContent-Encoding: br")


def test_chunks_in_capitals(caplog: pytest.LogCaptureFixture) -> None:
    """A chunked transfer is recognised in any case, and its file known to be complete."""
    body = b"3\r\nID\n\r\n0\r\n\r\n"
    assert download("200 OK\r\nTransfer-Encoding: Chunked", body) == b"ID\n"
    assert "completeness" not in caplog.text


def test_a_gzip_member_is_no_proof_that_none_follows(caplog: pytest.LogCaptureFixture) -> None:
    """Complete gzip members do not prove that a file of unknown length is complete."""
    head = "200 OK\r\nContent-Encoding: gzip"
    for content in (b"", gzip.compress(b"ID\na")):
        with pytest.raises(TransientError, match=r"the exported file is (empty|truncated)"):
            download(head, content)
    assert download(head, gzip.compress(b"ID\n") + gzip.compress(b"a\n")) == b"ID\na\n"
    assert "completeness cannot be verified" in caplog.text


def test_another_transfer_coding_is_no_length(caplog: pytest.LogCaptureFixture) -> None:
    """A transfer coding other than `chunked` does not prove that a file is complete."""
    assert download("200 OK\r\nTransfer-Encoding: unchunked") == b"ID\n"
    assert "completeness cannot be verified" in caplog.text


def test_two_lengths_are_a_fault_of_the_response() -> None:
    """A response with two lengths is a transient error."""
    with pytest.raises(TransientError, match=r"no response from 127\.0\.0\.1: Content-Length"):
        download("200 OK\r\nContent-Length: 3, 4")


def test_b12_half_a_surrogate_pair_in_a_response(caplog: pytest.LogCaptureFixture) -> None:
    """Half a surrogate pair in a response is replaced with a warning, and the rest is kept."""
    content = parse_object(rb'{"name": "cut \ud83d", "whole": "\ud83d\ude00", "total": 1}')

    assert content == {"name": "cut \ufffd", "whole": "\U0001f600", "total": 1}
    assert "half of a surrogate pair" in caplog.text


XML = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>Request &lt;has&gt; expired"
XML += b"</Message><Token>0</Token></Error>"


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (401, b"", LinkExpiredError, "download returned 401"),
        (403, XML, LinkExpiredError, "download returned 403: ExpiredToken: Request <has> expired"),
        (410, b'{"code": "Gone", "message": "a\\nb"}', LinkExpiredError, "410: Gone: a b"),
        (403, b'{"error": {"code": 7, "message": "no"}}', LinkExpiredError, "403: 7: no"),
        (403, b'{"error": "no", "code": null}', LinkExpiredError, "download returned 403"),
        (403, b"<html>s3cret</html>", LinkExpiredError, "download returned 403"),
        (202, b"", LinkExpiredError, "download returned 202"),
        (204, b"", LinkExpiredError, "download returned 204"),
        (404, XML, NotFoundError, "download returned 404: ExpiredToken"),
        (503, b"", TransientError, "download returned 503"),
        (400, XML, LinkExpiredError, "download returned 400: ExpiredToken"),
        (400, b'{"message": "' + b"a" * 300 + b'"}', RequestError, "400: " + "a" * 200),
        (402, b'{"message": "plan"}', AccountError, "Voucherify returned 402: plan"),
        (429, b"", RateLimitError, "Voucherify returned 429"),
    ],
)
def test_a_download_that_is_rejected(
    status: int, body: bytes, error: type[Exception], text: str
) -> None:
    """A rejected download shows the storage's own code and message as one short line."""
    length = f"\r\nContent-Length: {len(body)}" if status != 204 else ""
    with pytest.raises(error) as failure:
        download(f"{status} X{length}", body)
    assert type(failure.value) is error
    assert text in str(failure.value)
    assert len(str(failure.value)) < 300
    assert "s3cret" not in str(failure.value)


def test_c2_secrets_are_masked_before_a_message_is_cut() -> None:
    """Secrets are masked before a message is cut, so that no part of one is left at its end."""
    body = b'{"message": "' + b"a" * 195 + b's3cret-token"}'
    with pytest.raises(RequestError) as failure:
        download(
            f"400 X\r\nContent-Length: {len(body)}",
            body,
            redact=lambda text: text.replace("s3cret-token", "***"),
        )
    assert str(failure.value).endswith("aaa***")


def test_a_link_that_grew_old_while_waiting_is_not_sent() -> None:
    """A link that expires during the wait is not requested, and no call is claimed for it."""
    with VirtualClock() as clock:
        limit = RateLimit(clock, 0.1)
        acquire(limit)
        limit.release(reported(100, 10, AT_DATE + 600))
        client = client_at("https://api.example.com", clock, rate_limit=limit)
        with pytest.raises(StaleLinkError):
            client.download("https://api.example.com/", io.BytesIO(), Deadline(clock), 10)
        assert clock.monotonic() > 600
        assert client.calls.total() == 0


class Contended(RateLimit):
    """A limit whose first free call another thread takes.

    Attributes:
        attempts: The number of attempts to claim a call.
    """

    attempts = 0

    def try_acquire(self) -> bool:
        """Claim a call."""
        self.attempts += 1
        return self.attempts > 1 and super().try_acquire()


def test_a_call_that_another_thread_takes_is_waited_for_again(voucherify: Sandbox) -> None:
    """A call that another thread claims after the wait is waited for again."""
    clock = Clock()
    limit = Contended(clock, 0)
    send_list(client_of(voucherify, clock, limit), clock)
    assert limit.attempts == 2


def test_a_connection_that_is_not_known_is_not_watched() -> None:
    """Connections of other classes, such as a SOCKS proxy's, are not watched."""
    with Watchdog(1).body():
        pass


def test_b8_a_failed_handshake_is_retried() -> None:
    """A failed handshake is a transient error."""
    clock = Clock()
    with server() as url:
        client = client_at(url.replace("http:", "https:"), clock)
        with pytest.raises(TransientError, match=r"no response from 127\.0\.0\.1"):
            send_list(client, clock)


def test_c5_this_machine_is_not_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to this machine bypass a proxy, which would see the key in clear text."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert download("200 OK\r\nContent-Length: 3") == b"ID\n"


def test_c7_a_proxy_that_rejects_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the proxy names the proxy, not the host behind it."""
    clock = Clock()
    with server(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(TransientError, match="the proxy in the environment does not connect"):
            send_list(client_at("https://api.example.com", clock), clock)


def test_a_missing_bundle_of_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a missing bundle of certificates names its variable."""
    clock = Clock()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    with pytest.raises(RequestError, match="check REQUESTS_CA_BUNDLE"):
        send_list(client_at("https://127.0.0.1:1", clock), clock)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://127.0.0.1:70000/", "invalid download URL"),
        ("https://[::1", "invalid download URL"),
        ("https://[fe80::1%25eth0]/", "ambiguous download URL"),
        ("https://a%2eexample.com/", "ambiguous download URL"),
        ("https://10.0.0.1/", "internal address"),
        ("https://192.168.1.1/", "internal address"),
        ("https://127.0.0.1/", "internal address"),
        ("https://127.1/", "internal address"),
        ("https://2130706433/", "internal address"),
        ("https://localhost/", "internal address"),
        ("https://localhost./", "internal address"),
        ("https://127.0.0.1./", "internal address"),
        ("https://\uff11\uff12\uff17.0.0.1/", "ambiguous download URL"),
        ("https://169.254.169.254/", "internal address"),
        ("https://0.0.0.0/", "internal address"),
        ("https://[::]/", "internal address"),
        ("https://[::ffff:10.0.0.1]/", "internal address"),
        ("https://[fe80::1]/", "internal address"),
    ],
)
def test_c6_links_that_are_not_requested(url: str, error: str) -> None:
    """No foreign link makes the tap probe the network that it runs in."""
    with pytest.raises(RequestError, match=error):
        TrustedHosts("https://api.voucherify.io").may_receive_credentials(url)


@pytest.mark.parametrize("api_url", ["https://10.0.0.1", "http://127.0.0.1:8000"])
def test_an_internal_api_may_link_to_internal_hosts(api_url: str) -> None:
    """An internal API or `download_host` allows links to internal hosts."""
    assert not TrustedHosts(api_url).may_receive_credentials("https://192.168.1.1/")
    assert TrustedHosts("https://example.com", "10.0.0.2").may_receive_credentials(
        "https://10.0.0.2/"
    )


class _Impatient(Clock):
    """A clock that fails at the first pause."""

    def sleep(self, seconds: float) -> None:
        """Fail instead of waiting."""
        raise TransientError(f"no patience for {seconds} s")


# Error responses


@pytest.mark.parametrize(
    ("status", "headers", "error", "text"),
    [
        (400, {}, RequestError, "returned 400"),
        (401, {}, UnauthorizedError, "app_token"),
        (402, {}, AccountError, "plan"),
        (403, {}, RequestError, "api_url"),
        (404, {}, NotFoundError, "region"),
        (409, {}, TransientError, "returned 409"),
        (429, {}, RateLimitError, "returned 429"),
        (429, {"X-Rate-Limit-Type": "api_calls"}, RateLimitError, "returned 429"),
        (429, {"X-Rate-Limit-Type": "api_calls_cycle"}, AccountError, "quota"),
        (500, {}, TransientError, "returned 500"),
        (501, {}, RequestError, "returned 501"),
        (502, {}, TransientError, "returned 502"),
        (503, {}, TransientError, "returned 503"),
        (504, {}, TransientError, "returned 504"),
        (304, {}, RequestError, "returned 304"),
        (
            302,
            {"Location": "https://example.com/?token=abc"},
            RequestError,
            "redirect to example.com not",
        ),
        (302, {"Location": "/elsewhere"}, RequestError, "another path"),
        (302, {"Location": "https://["}, RequestError, "redirect to an invalid URL not"),
        (519, {}, RequestError, "returned 519"),
        (520, {}, TransientError, "returned 520"),
        (527, {}, TransientError, "returned 527"),
        (528, {}, RequestError, "returned 528"),
    ],
)
def test_error_response(
    status: int, headers: Mapping[str, str], error: type[Exception], text: str
) -> None:
    """Each status raises the error that says how to recover from it."""
    failure = error_from_response(status, headers, b"", Clock())

    assert type(failure) is error
    assert text in str(failure)
    assert "abc" not in str(failure)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "7.5"}, 7.5),
        ({"Retry-After": "-7"}, 1),
        ({"Retry-After": "nan"}, 1),
        ({"Retry-After": DATE, "X-Rate-Limit-Retry": str(AT_DATE + 30), "Date": DATE}, 1),
        ({"Retry-After": "Thu, 01 Jan 2026 00:10:00 GMT", "Date": DATE}, 600),
        ({"Retry-After": "Thu, 01 Jan 2026 10:00:00 GMT", "Date": DATE}, 1),
        ({"Retry-After": "86400", "X-Rate-Limit-Retry": str(AT_DATE + 30), "Date": DATE}, 30),
        ({"X-Rate-Limit-Retry": str(1000 * AT_DATE + 30_000), "Date": DATE}, 30),
        ({"X-Rate-Limit-Retry": "9" * 400, "Date": DATE}, 1),
        ({"X-Rate-Limit-Retry": str(AT_DATE + 30), "Date": DATE}, 30),
        ({"X-Rate-Limit-Retry": str(AT_DATE - 30), "Date": DATE}, 1),
        ({"X-Rate-Limit-Retry": "soon", "Date": DATE}, 1),
    ],
)
def test_b6_the_wait_of_a_429_may_be_a_date(headers: Mapping[str, str], seconds: float) -> None:
    """The wait of a 429 is in seconds or a date, and implausible ones are ignored."""
    failure = error_from_response(429, headers, b"{}", Clock())

    assert isinstance(failure, RateLimitError)
    assert failure.wait_seconds == seconds


@pytest.mark.skipif(sys.platform == "win32", reason="it has no tzset")
@pytest.mark.parametrize("date", [DATE, "Thu Jan  1 00:00:00 2026", DATE.replace("GMT", "-0000")])
def test_b6_dates_are_in_utc(monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    """Dates are in UTC in all their forms, whatever the local time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert server_time({"Date": date}, Clock()) == AT_DATE
    time.tzset()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", TransientError),
        (b"{", TransientError),
        (b'{"a":1}x', TransientError),
        (b'{"a":"\xff"}', TransientError),
        (b"{" * 10 + b'"a":' * 3, TransientError),
        (b'{"a":' * 100_000, TransientError),
        (b"<html></html>", TransientError),
        (b"[]", RequestError),
        (b"null", RequestError),
        (b"1", RequestError),
    ],
)
def test_json_that_is_no_object(body: bytes, error: type[Exception]) -> None:
    """Incomplete JSON is a transient error; complete JSON that is not an object is a final one."""
    with pytest.raises(error) as caught:
        parse_object(body)

    assert type(caught.value) is error


@pytest.mark.parametrize("status", [401, 403])
def test_the_hint_names_every_kind_of_key(voucherify: Sandbox, status: Literal[401, 403]) -> None:
    """The hint of a 401 or 403 covers tokens, regions and IP restrictions."""
    voucherify.behaviour = Behaviour(key_restriction="ip", key_restriction_status=status)
    with VirtualClock() as clock, pytest.raises((UnauthorizedError, RequestError)) as caught:
        send_list(client_of(voucherify, clock), clock)
    voucherify.behaviour = Behaviour()

    message = str(caught.value)
    assert message.startswith(f"Voucherify returned {status}")
    for named in ("OAuth 2.0 token", "region or api_url", "the key is not bound to other IP add"):
        assert named in message


def test_numbers_may_keep_their_digits() -> None:
    """Numbers can be read with all their digits, and those beyond any decimal are an error."""
    body = b'{"a":1.10,"b":12345678901234567890123,"c":1e400}'

    exact = parse_object(body, keeps_digits=True)

    assert {name: str(value) for name, value in exact.items()} == {
        "a": "1.10",
        "b": "12345678901234567890123",
        "c": "1E+400",
    }
    assert parse_object(b'{"a":1.10}') == {"a": 1.1}
    with pytest.raises(RequestError):
        parse_object(b'{"a":1e99999999999999999999}', keeps_digits=True)


# The rate limit


def reported(limit: object, remaining: object, retry: object, **more: str) -> dict[str, str]:
    """Return the headers of a response at `DATE`."""
    return {
        "Date": DATE,
        "X-Rate-Limit-Limit": str(limit),
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Retry": str(retry),
        **more,
    }


def test_the_reserve_is_left_to_others(caplog: pytest.LogCaptureFixture) -> None:
    """When only the reserve is left, the next call waits for the reset, and logs it once."""
    with VirtualClock() as clock, caplog.at_level(logging.INFO):
        limit, deadline = RateLimit(clock, 0.1), Deadline(clock, 10)
        acquire(limit)
        limit.release(reported(100, 11, AT_DATE + 30))
        acquire(limit)
        limit.release(reported(100, 10, AT_DATE + 30))
        assert clock.monotonic() == 0
        assert limit.summary == "10 of 100 calls left until it resets"

        with deadline.paused():
            acquire(limit)

        assert clock.monotonic() == 31
        assert deadline.remaining_seconds == 10
    assert caplog.text.count("waiting 31 s for the reset") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        reported("many", 0, AT_DATE + 30),
        reported(100, "none", AT_DATE + 30),
        reported(100, 0, "later"),
        reported(100, 0, "nan"),
        reported(100, 0, "inf"),
        reported(100, 0, "1e999"),
        reported(100, 0, AT_DATE + 30, **{"X-Rate-Limit-Type": "api_calls_cycle"}),
    ],
)
def test_headers_without_a_limit_are_ignored(headers: dict[str, str]) -> None:
    """Headers that are not numbers, or that report the plan's quota, do not block calls."""
    with VirtualClock() as clock:
        limit = RateLimit(clock, 0.1)
        for _ in range(3):
            acquire(limit)
            limit.release(headers)

        assert clock.monotonic() == 0


def test_responses_that_overtake_each_other() -> None:
    """Of the responses of one period, the one with the fewest calls left counts."""
    with VirtualClock() as clock:
        limit = RateLimit(clock, 0)
        acquire(limit)
        limit.release(reported(10, 9, AT_DATE + 30))
        for _ in range(2):
            acquire(limit)
        limit.release(reported(10, 1, AT_DATE + 30))
        limit.release(reported(10, 8, AT_DATE + 30))

        assert limit.summary == "0 of 10 calls left until it resets"


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 99999 00:00:00 GMT"]
)
def test_a_server_without_a_date(date: str) -> None:
    """A server that does not report a valid date is assumed to share the tap's clock."""
    before = time.time()

    assert server_time({"Date": date}, Clock()) >= before
    assert server_time({}, Clock()) >= before
    assert server_time({"Date": DATE}, Clock()) == AT_DATE


def test_quota_ends_the_run(voucherify: Sandbox) -> None:
    """The exhausted quota of a plan ends the run without a wait."""
    usual = voucherify.behaviour
    voucherify.behaviour = Behaviour(rate_limit=0, rate_limit_type="api_calls_cycle")
    with VirtualClock() as clock:
        with pytest.raises(AccountError, match="quota"):
            send_list(client_of(voucherify, clock), clock)

        assert clock.monotonic() == 0
    voucherify.behaviour = usual


# The clock


def test_a_stopped_clock_ends_every_sleep() -> None:
    """A stopped clock ends every sleep, even one of no time."""
    clock = Clock()
    clock.sleep(-1)
    clock.stop()

    with pytest.raises(StoppedError):
        clock.sleep(3600)
    with pytest.raises(StoppedError):
        clock.sleep(0)


# Redaction


def redaction_of(*secrets: object) -> SecretFilter:
    """Return a filter that masks these secrets."""
    redaction = SecretFilter()
    for secret in secrets:
        redaction.add(secret)
    return redaction


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("nothing here", "nothing here"),
        ("key s3cret-1 and s3cret-12", f"key {MASK} and {MASK}"),
        ("https://h/v1?token=abc", f"https://h/v1?token={MASK}"),
        ("https://h/v1?a=1&token=abc&b=2", f"https://h/v1?a={MASK}&token={MASK}&b={MASK}"),
        ("https://h/v1?TOKEN=abc.", f"https://h/v1?TOKEN={MASK}"),
        ("'https://h/v1?token=abc' failed", f"'https://h/v1?token={MASK}' failed"),
        ('{"url": "https://h/?token=a%20b"}', f'{{"url": "https://h/?token={MASK}"}}'),
        ("Authorization: Bearer abc.def-_~+/=", f"Authorization: Bearer {MASK}"),
        ("authorization: bearer abc", f"authorization: bearer {MASK}"),
        ("GET /v1/exports/1?token=abc HTTP/1.1", f"GET /v1/exports/1?token={MASK} HTTP/1.1"),
        ("to s3://me:pass:word@bucket/a@b: no", f"to s3://{MASK}@bucket/a@b: no"),
        ("mail me@example.com, see https://h/me@b", "mail me@example.com, see https://h/me@b"),
    ],
)
def test_redact(text: str, clean: str) -> None:
    """Known secrets, tokens of links and bearer tokens are masked, and nothing else is."""
    redaction = redaction_of("s3cret-1", "s3cret-12", "short", None, 7, "")

    assert redaction.redact(text) == clean
    assert redaction.redact(clean) == clean
    assert redaction.redact("a short word") == "a short word"


def test_the_longest_secret_is_masked_first() -> None:
    """A secret within a longer one leaves nothing of the longer one readable."""
    redaction = redaction_of("window", "a-window-of-my-house")
    assert redaction.redact("a-window-of-my-house, window") == f"{MASK}, {MASK}"


def test_redaction_of_log_records() -> None:
    """A log record is masked in its message, its arguments and its traceback."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    redaction = SecretFilter()
    handler.addFilter(redaction)
    logger = logging.getLogger("tests.redaction")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    secret = "the-secret"
    redaction.add(secret)

    logger.info("no %s", secret)
    logger.info("%(a)s", {"a": secret})
    try:
        int(secret)
    except ValueError:
        logger.exception("with a traceback")
        logger.info("in passing", exc_info=True)
    logger.info("a %s without", "line")

    logger.removeHandler(handler)
    printed = stream.getvalue()
    assert secret not in printed
    assert printed.count(MASK) == 3
    assert printed.count("Traceback") == 1
    assert "with a traceback\n    Traceback" in printed
    assert printed.endswith("in passing\na line without\n")
