"""What the tap does with each response, and how it masks secrets, below the command line."""

from __future__ import annotations

import io
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import OBJECTS, Action, Behaviour, Dataset, Fault, Raw, Reply, Sandbox
from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import KeyPair, RenewableToken, TrustedHosts
from tap_voucherify.api.headers import server_time
from tap_voucherify.api.messages import Request, Response
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.api.responses import error_from_response, parse_object
from tap_voucherify.api.retry import MAX_ATTEMPTS
from tap_voucherify.clock import Clock, Deadline, StoppedError
from tap_voucherify.errors import (
    AccountError,
    NotFoundError,
    RateLimitError,
    RequestError,
    TransientError,
)
from tap_voucherify.redaction import MASK, SecretFilter
from tests.support.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIST = Request("list", "GET", "/v1/exports")
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
AT_DATE = 1767225600


@pytest.fixture(scope="module")
def voucherify() -> Iterator[Sandbox]:
    """Return a Voucherify without any data."""
    with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS, 0))) as voucherify:
        yield voucherify


def acquire(rate_limit: RateLimit) -> None:
    """Wait for a call and claim it."""
    rate_limit.wait()
    assert rate_limit.try_acquire()


def send_list(client: Client, clock: Clock, deadline: Deadline | None = None) -> Response:
    """List the exports."""
    return client.send(LIST, deadline or Deadline(clock))


@contextmanager
def faults(voucherify: Sandbox, *added: Fault) -> Iterator[None]:
    """Let something go wrong for a while."""
    voucherify.faults.add(*added)
    try:
        yield
    finally:
        voucherify.faults.clear()


def client_of(
    voucherify: Sandbox, clock: Clock, rate_limit: RateLimit | None = None, **options: Any
) -> Client:
    """Return a client that pauses as long as it may."""
    return Client(
        api_url=voucherify.api_url,
        hosts=TrustedHosts(voucherify.api_url),
        rate_limit=rate_limit or RateLimit(clock, 0),
        clock=clock,
        jitter=lambda seconds: seconds,
        **{
            "credentials": KeyPair(voucherify.app_id, voucherify.app_token),
            "request_timeout_seconds": 20.0,
            "max_wait_seconds": 100.0,
            **options,
        },
    )


def listing(voucherify: Sandbox) -> int:
    """Return how many times the exports were listed."""
    return sum(request.kind == "list" for request in voucherify.requests)


# Retries


def test_pauses_grow_up_to_a_minute(voucherify: Sandbox) -> None:
    """A call is tried eight times, with pauses that double, in about two minutes."""
    before = listing(voucherify)
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=Raw(), times=None)):
        client = client_of(voucherify, clock)
        with pytest.raises(TransientError, match=r"no response from 127\.0\.0\.1"):
            send_list(client, clock)

        assert clock.monotonic() == 1 + 2 + 4 + 8 + 16 + 32 + 60
    assert listing(voucherify) - before == MAX_ATTEMPTS
    assert client.summary == "8 calls (8 list); Voucherify reported no rate limit"


def test_a_token_is_looked_at_after_the_wait_for_the_rate_limit(voucherify: Sandbox) -> None:
    """A wait of an hour outlasts every token; what its renewal takes is no export's time."""
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
    # All but the pause before the second try.
    assert deadline.remaining_seconds == 100 - 1


def test_a_wait_for_the_rate_limit_is_no_slow_response(voucherify: Sandbox) -> None:
    """Only the server's time counts against a request, not the wait for the rate limit."""

    class Busy(RateLimit):
        """Makes every request wait."""

        def wait(self) -> None:
            """Let time pass first."""
            clock.spend(3600)
            super().wait()

    before = listing(voucherify)
    with VirtualClock() as clock:
        client = client_of(voucherify, clock, Busy(clock, 0))
        response = send_list(client, clock)

    assert response.content["object"] == "list"
    assert listing(voucherify) - before == 1


def test_a_wait_for_the_rate_limit_pauses_the_deadline(voucherify: Sandbox) -> None:
    """Time spent waiting for the rate limit counts towards no export's deadline."""
    reply = Reply(429, {}, {"Retry-After": "70"})
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply)):
        deadline = Deadline(clock, 100)
        send_list(client_of(voucherify, clock), clock, deadline)

        assert clock.monotonic() == 70
        assert deadline.remaining_seconds == 100


def test_a_long_wait_is_capped(voucherify: Sandbox) -> None:
    """No response makes the tap wait longer than an export may take."""
    reply = Reply(429, {}, {"Retry-After": "1e300"})
    with VirtualClock() as clock, faults(voucherify, Fault(on="list", action=reply)):
        send_list(client_of(voucherify, clock), clock)

        assert clock.monotonic() == 100


def test_a_wait_is_obeyed_even_if_its_reason_is_cut_short(voucherify: Sandbox) -> None:
    """A 429 says how long to wait in its header, whatever becomes of its body."""
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
    """Whatever a server sends without end, a call ends with an error."""
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


class _Impatient(Clock):
    """Gives up at the first pause."""

    def sleep(self, seconds: float) -> None:
        """Fail instead of waiting."""
        raise TransientError(f"no patience for {seconds} s")


# Error responses


@pytest.mark.parametrize(
    ("status", "headers", "error", "text"),
    [
        (400, {}, RequestError, "returned 400"),
        (401, {}, AccountError, "app_token"),
        (402, {}, AccountError, "plan"),
        (403, {}, RequestError, "api_url"),
        (404, {}, NotFoundError, "region"),
        (409, {}, RequestError, "returned 409"),
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
        (302, {"Location": "https://["}, RequestError, "returned 302"),
    ],
)
def test_error_response(
    status: int, headers: Mapping[str, str], error: type[Exception], text: str
) -> None:
    """Each status is an error by the way one recovers from it."""
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
        ({"Retry-After": DATE, "X-Rate-Limit-Retry": str(AT_DATE + 30), "Date": DATE}, 30),
        ({"X-Rate-Limit-Retry": str(AT_DATE + 30), "Date": DATE}, 30),
        ({"X-Rate-Limit-Retry": str(AT_DATE - 30), "Date": DATE}, 1),
        ({"X-Rate-Limit-Retry": "soon", "Date": DATE}, 1),
    ],
)
def test_wait_of_a_429(headers: Mapping[str, str], seconds: float) -> None:
    """The wait is in seconds, or else a time of the server's own clock."""
    failure = error_from_response(429, headers, b"{}", Clock())

    assert isinstance(failure, RateLimitError)
    assert failure.wait_seconds == seconds


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
    """What was cut short is requested again; what is whole but no object is an error."""
    with pytest.raises(error) as caught:
        parse_object(body)

    assert type(caught.value) is error


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
    """What is no number, or about the plan's quota, does not block."""
    with VirtualClock() as clock:
        limit = RateLimit(clock, 0.1)
        for _ in range(3):
            acquire(limit)
            limit.release(headers)

        assert clock.monotonic() == 0


def test_responses_that_overtake_each_other() -> None:
    """Of the responses of one period, the one with the least left counts."""
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
    """A server that does not report its time is taken to have ours."""
    before = time.time()

    assert server_time({"Date": date}, Clock()) >= before
    assert server_time({}, Clock()) >= before
    assert server_time({"Date": DATE}, Clock()) == AT_DATE


def test_quota_ends_the_run(voucherify: Sandbox) -> None:
    """The exhausted quota of a plan is no reason to wait."""
    usual = voucherify.behaviour
    voucherify.behaviour = Behaviour(rate_limit=0, rate_limit_type="api_calls_cycle")
    with VirtualClock() as clock:
        with pytest.raises(AccountError, match="quota"):
            send_list(client_of(voucherify, clock), clock)

        assert clock.monotonic() == 0
    voucherify.behaviour = usual


# The clock


def test_a_stopped_clock_ends_every_sleep() -> None:
    """Nothing waits once the run has ended."""
    clock = Clock()
    clock.sleep(-1)
    clock.stop()

    with pytest.raises(StoppedError):
        clock.sleep(3600)
    with pytest.raises(StoppedError):
        clock.sleep(0)


# Redaction


def redaction_of(*secrets: object) -> SecretFilter:
    """Return what masks these secrets."""
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
        ("https://h/v1?a=1&token=abc&b=2", f"https://h/v1?a=1&token={MASK}&b=2"),
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
    """Known secrets, tokens of links and bearer tokens are masked; nothing else is."""
    redaction = redaction_of("s3cret-1", "s3cret-12", "short", None, 7, "")

    assert redaction.redact(text) == clean
    assert redaction.redact(clean) == clean
    assert redaction.redact("a short word") == "a short word"


def test_the_longest_secret_is_masked_first() -> None:
    """Else a secret within another one would leave the rest of that readable."""
    redaction = redaction_of("window", "a-window-of-my-house")
    assert redaction.redact("a-window-of-my-house, window") == f"{MASK}, {MASK}"


def test_redaction_of_log_records() -> None:
    """A record is masked in its message, its arguments and its traceback."""
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
    assert printed.count(MASK) == 4
    assert printed.count("Traceback") == 2
    assert "with a traceback\nTraceback" in printed
    assert "in passing\nTraceback" in printed
    assert printed.endswith("a line without\n")
