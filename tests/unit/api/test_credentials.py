"""Credentials are sent to trusted hosts only, and never printed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import AccessToken, KeyPair, RenewableToken, TrustedHosts
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.clock import Clock
from tap_voucherify.errors import RequestError
from tap_voucherify.redaction import SecretFilter
from tests.support.virtual_clock import VirtualClock


def test_repr_contains_no_secret() -> None:
    """No object that holds credentials shows them, for example in a traceback."""
    secrets = ("the-application", "the-secret-key", "the-issued-token", "the-access-token")
    with VirtualClock() as clock:
        pair = KeyPair("the-application", "the-secret-key")
        issued = RenewableToken(lambda: ("the-issued-token", 900.0), clock)
        issued.headers()
        hosts = TrustedHosts("https://api.voucherify.io")
        limit = RateLimit(clock, 0.1)
        client = Client(
            api_url="https://api.voucherify.io",
            credentials=issued,
            hosts=hosts,
            rate_limit=limit,
            clock=clock,
            request_timeout_seconds=60,
            max_retry_seconds=60,
        )
        redaction = SecretFilter()
        for secret in secrets:
            redaction.add(secret)
        for thing in (pair, AccessToken("the-access-token"), issued, client, redaction):
            for secret in secrets:
                assert secret not in repr(thing)
                assert secret not in str(thing)


@pytest.mark.parametrize(
    ("api_url", "download_host", "url", "trusted"),
    [
        ("https://api.voucherify.io", "", "https://api.voucherify.io/v1/exports/1", True),
        ("https://api.voucherify.io", "", "https://download.voucherify.io/a?token=1", True),
        ("https://as1.api.voucherify.io", "", "https://as1.download.voucherify.io/", True),
        ("https://API.Voucherify.IO", "", "https://DOWNLOAD.voucherify.io/", True),
        ("https://api.voucherify.io", "", "https://download.voucherify.io:8443/", True),
        ("https://api.voucherify.io", "", "https://voucherify.io.example.com/", False),
        ("https://api.voucherify.io", "", "https://evilvoucherify.io/", False),
        ("https://api.voucherify.io", "", "https://voucherify.io@example.com/", False),
        ("https://api.voucherify.io", "", "https://example.com/.voucherify.io", False),
        ("https://api.voucherify.io", "", "https://example.com#.voucherify.io", False),
        ("https://api.voucherify.io", "", "https://example.com?.voucherify.io", False),
        ("https://api.voucherify.io", "", "https://s3.amazonaws.com/", False),
        ("https://api.voucherify.io", "", "https://api.voucherify.io./", False),
        ("https://api.example.com", "", "https://api.example.com/", True),
        ("https://api.example.com", "", "https://api.example.com:9443/", True),
        ("https://api.example.com", "", "https://download.example.com/", False),
        ("https://api.example.com", "", "https://example.com/", False),
        ("https://api.example.com", "", "https://api.voucherify.io/", False),
        ("https://api.example.com", "files.example.com", "https://files.example.com/", True),
        ("https://api.example.com", "Files.Example.com", "https://files.example.com:444/", True),
        ("https://api.example.com", "files.example.com", "https://x.files.example.com/", False),
        ("https://api.example.com", "files.example.com", "https://api.example.com/", True),
        ("http://127.0.0.1:8080", "", "http://127.0.0.1:9090/", True),
        ("http://localhost:8080", "", "http://localhost/", True),
        ("http://[::1]:8080", "", "http://[::1]:9090/", True),
        ("http://127.0.0.1:8080", "", "https://localhost/", False),
        ("http://127.0.0.1:8080", "localhost", "http://localhost/", True),
    ],
)
def test_trusted_hosts(api_url: str, download_host: str, url: str, *, trusted: bool) -> None:
    """Credentials go to the API host, the configured download host, and Voucherify's hosts."""
    assert TrustedHosts(api_url, download_host).may_receive_credentials(url) is trusted


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        ("https://api.voucherify.io", "http://download.voucherify.io/"),
        ("https://api.voucherify.io", "http://example.com/"),
        ("https://api.voucherify.io", "http://127.0.0.1/"),
        ("https://api.voucherify.io", "http://localhost/"),
        ("https://api.voucherify.io", "ftp://download.voucherify.io/"),
        ("https://api.voucherify.io", "file:///etc/passwd"),
        ("https://api.voucherify.io", "https:///file"),
        ("https://api.voucherify.io", "/v1/exports"),
        ("https://api.voucherify.io", ""),
        ("https://api.voucherify.io", "https://["),
        ("https://api.voucherify.io", "https://[::1/file"),
        ("http://127.0.0.1:8080", "http://localhost:8080/"),
        ("http://127.0.0.1:8080", "http://127.0.0.2:8080/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1.example.com/"),
    ],
)
def test_rejected_urls(api_url: str, url: str) -> None:
    """Unencrypted requests go only to a trusted host that is this machine."""
    with pytest.raises(RequestError) as caught:
        TrustedHosts(api_url).may_receive_credentials(url)

    assert "token" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        r"https://example.com\@download.voucherify.io/file",
        r"https://example.com\.voucherify.io/file",
        r"https://example.com:443\@download.voucherify.io/file",
        r"https://example.com\\@download.voucherify.io/file",
        "https://example.com\\\t@download.voucherify.io/file",
    ],
)
def test_an_ambiguous_url_is_not_trusted(url: str) -> None:
    """A URL with one host for Python and another for urllib3 gets no credentials."""
    hosts = TrustedHosts("https://api.voucherify.io")
    try:
        trusted = hosts.may_receive_credentials(url)
    except RequestError:
        trusted = False

    assert not trusted


def test_a_replacement_that_has_expired_is_replaced() -> None:
    """It was rejected only for its age, so another may be issued."""
    tokens = iter("abc")
    with VirtualClock() as clock:
        issued = RenewableToken(lambda: (next(tokens), 900.0), clock)
        assert issued.renew(issued.headers())
        replacement = issued.headers()
        clock.spend(901)
        assert issued.renew(replacement)
        assert not issued.renew({"Authorization": "Bearer c"})


def test_a_token_is_renewed_in_time() -> None:
    """A token is renewed a minute before it expires, and once if it is rejected."""
    tokens = iter("abcdef")
    with VirtualClock() as clock:
        issued = RenewableToken(lambda: (next(tokens), 900.0), clock)
        first = issued.headers()
        clock.spend(839)
        assert issued.headers() == first == {"Authorization": "Bearer a"}
        clock.spend(2)
        second = issued.headers()
        assert second == {"Authorization": "Bearer b"}
        # A thread whose token was rejected uses the one that another thread has obtained.
        assert issued.renew(first)
        assert issued.headers() == second
        assert issued.renew(second)
        third = issued.headers()
        assert third == {"Authorization": "Bearer c"}
        assert not issued.renew(third)
        assert not issued.renew(third)
        clock.spend(900)
        fourth = issued.headers()
        assert issued.renew(fourth)


def test_threads_share_one_new_token() -> None:
    """The first requests it and the others wait, also after a rejection."""
    issued: list[str] = []
    start = threading.Barrier(8)

    def issue() -> tuple[str, float]:
        issued.append(f"token-{len(issued)}")
        return issued[-1], 900.0

    token = RenewableToken(issue, Clock())

    def call(_: int) -> None:
        start.wait()
        first = token.headers()
        start.wait()
        assert token.renew(first)
        assert token.headers() != first

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    assert issued == ["token-0", "token-1"]
