"""HTTP client: host checks, retries, redirects, downloads."""

from __future__ import annotations

import contextlib
import math
import threading
import typing as t
from collections import Counter
from http import HTTPStatus
from importlib import metadata
from urllib.parse import urljoin, urlsplit

import backoff
import requests
import urllib3

from tap_voucherify.api.credentials import is_loopback
from tap_voucherify.api.error_responses import error_from_download, error_from_response, tls_error
from tap_voucherify.api.headers import server_time
from tap_voucherify.api.messages import Request, Response, StaleLinkError
from tap_voucherify.api.responses import parse_object, read_body, save_body
from tap_voucherify.api.retry import Retry
from tap_voucherify.api.watchdog import POOL_CLASSES, Watchdog
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import RequestError, TransientError, root_cause

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.api.credentials import Credentials, TrustedHosts
    from tap_voucherify.api.rate_limit import RateLimit
    from tap_voucherify.clock import Clock

MAX_REDIRECTS = 5
_DOWNLOAD = Request("download", "GET", "")
# Override the proxies of the environment.
_NO_PROXIES: t.Any = dict.fromkeys(("http", "https", "all"))


class Client:
    """HTTP client for one run; thread-safe.

    Args:
        api_url: URL of the API.
        credentials: Default credentials.
        hosts: Hosts that may receive credentials.
        rate_limit: Paces requests.
        clock: Clock.
        request_timeout_seconds: Socket timeout, and total time for a JSON response.
        max_retry_seconds: How long a request is retried.
        redact: Masks secrets in a server's error messages.
        jitter: Randomizes a delay.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        *,
        api_url: str,
        credentials: Credentials,
        hosts: TrustedHosts,
        rate_limit: RateLimit,
        clock: Clock,
        request_timeout_seconds: float,
        max_retry_seconds: float = 900,
        redact: Callable[[str], str] = str,
        jitter: Callable[[float], float] = backoff.full_jitter,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.retry = Retry(clock, max_retry_seconds, jitter)
        # Called with the label of each request and the headers of its response.
        self.on_response: Callable[[str, Mapping[str, str]], None] = lambda *_: None
        self._api_url = api_url.rstrip("/")
        self._credentials = credentials
        self._hosts = hosts
        self._rate_limit = rate_limit
        self._clock = clock
        self._request_timeout_seconds = request_timeout_seconds
        self._redact = redact
        self._local = _Local()

    @property
    def summary(self) -> str:
        """Request counts and remaining rate limit, for the log."""
        kinds = ", ".join(f"{count} {label}" for label, count in self.calls.items())
        return f"{self.calls.total()} calls ({kinds}); {self._rate_limit.summary}"

    def send(self, request: Request, deadline: Deadline) -> Response:
        """Make a request to the API, in one attempt.

        The deadline is paused while waiting for the rate limit or a token.

        Raises:
            AccountError: If Voucherify rejects the account.
            RequestError: If Voucherify rejects this request.
            TransientError: If another attempt may succeed.
        """
        credentials = request.credentials or self._credentials
        url = f"{self._api_url}{request.path}"
        response = self._exchange(request, url, deadline, credentials, "identity")
        sent = t.cast("Mapping[str, str]", response.request.headers)
        with contextlib.closing(response):
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                with deadline.paused():
                    is_renewed = credentials.renew(sent)
                if is_renewed:
                    raise TransientError("the OAuth token has expired")
            if response.status_code // 100 != HTTPStatus.OK // 100:
                raise self._error(response, error_from_response)
            body = self._body(response)
            is_empty = not body and request.method == "DELETE"
            content = {} if is_empty else parse_object(body, keeps_digits=request.keeps_digits)
            return Response(content, server_time(response.headers, self._clock))

    def download(
        self, url: str, file: t.BinaryIO, deadline: Deadline, fresh_until: float = math.inf
    ) -> int:
        """Write a file of an export to `file`, in one attempt, and return its size.

        Completeness is checked by Content-Length or chunked encoding, and by the gzip trailer;
        without a length the file must end with a newline.

        Args:
            url: The link.
            file: File to write.
            deadline: When to give up; paused while waiting for the rate limit or a token.
            fresh_until: Clock time after which the link must not be sent.

        Raises:
            LinkExpiredError: If the link has expired, or there is no file yet.
            NotFoundError: If there is no file.
            StaleLinkError: If the link was too old after the wait for the rate limit.
            StreamError: If the download is rejected, or the file cannot be written.
            TransientError: If the body is incomplete, or may be; see `save_body`.
        """
        with contextlib.closing(self._open(url, deadline, fresh_until)) as response:
            if response.status_code != HTTPStatus.OK:
                raise self._error(response, error_from_download)
            with _watchdog(response).body(deadline):
                return save_body(response.raw, file, deadline)

    def _open(self, url: str, deadline: Deadline, fresh_until: float) -> requests.Response:
        """Open a download, following redirects; credentials are not sent to another host."""
        first_host = None
        for _ in range(MAX_REDIRECTS):
            is_trusted = self._hosts.may_receive_credentials(url)
            host = urlsplit(url).hostname
            first_host = first_host or host
            credentials = self._credentials if is_trusted and host == first_host else None
            response = self._exchange(
                _DOWNLOAD, url, deadline, credentials, "gzip, identity", fresh_until
            )
            if not response.is_redirect:
                return response
            response.close()
            fresh_until = math.inf
            try:
                url = urljoin(response.url, response.headers["Location"])
            except ValueError as error:
                raise RequestError("download redirects to an invalid URL") from error
        raise RequestError(f"too many redirects ({MAX_REDIRECTS})")

    def _exchange(  # noqa: PLR0913, PLR0917 - the parts of a request
        self,
        request: Request,
        url: str,
        deadline: Deadline,
        credentials: Credentials | None,
        accepted_encoding: str,
        fresh_until: float = math.inf,
    ) -> requests.Response:
        """Send one request when the rate limit allows. Does not read the body."""
        headers = self._acquire(deadline, credentials, fresh_until)
        self.calls[request.label] += 1
        response_headers: Mapping[str, str] = {}
        host = urlsplit(url).hostname or ""
        watchdog = Watchdog(self._request_timeout_seconds)
        try:
            with watchdog.headers(deadline):
                response = self._local.session.request(
                    request.method,
                    url,
                    headers={"Accept-Encoding": accepted_encoding, **headers},
                    json=request.json,
                    data=request.form,
                    params=request.params,
                    # A no-op auth stops requests from reading .netrc.
                    auth=lambda prepared: prepared,
                    allow_redirects=False,
                    stream=True,
                    timeout=self._request_timeout_seconds,
                    # Local traffic would reach a proxy in clear text.
                    proxies=_NO_PROXIES if is_loopback(host) else None,
                )
            response_headers = response.headers
            self.on_response(request.label, response_headers)
        except (OSError, TypeError, ValueError) as error:
            raise _connection_error(url, error) from error
        finally:
            self._rate_limit.release(response_headers)
        response.watchdog = watchdog  # type: ignore[attr-defined] # for `_watchdog`
        return response

    def _acquire(
        self, deadline: Deadline, credentials: Credentials | None, fresh_until: float
    ) -> dict[str, str]:
        """Claim one request of the rate limit and return its authentication headers.

        Tokens may expire during the wait, so they are issued after it; that may use requests.
        """
        while True:
            with deadline.paused():
                self._rate_limit.wait()
                headers = credentials.headers() if credentials else {}
            if self._clock.monotonic() > fresh_until:
                raise StaleLinkError
            if self._rate_limit.try_acquire():
                return headers

    def _body(self, response: requests.Response) -> bytes:
        """Return a body that is not a file."""
        deadline = Deadline(self._clock, self._request_timeout_seconds)
        with _watchdog(response).body():
            return read_body(response.raw, deadline)

    def _error(
        self, response: requests.Response, error_from: Callable[..., Exception]
    ) -> Exception:
        body = b""
        # Status and headers suffice if the body cannot be read.
        with contextlib.suppress(RequestError, TransientError):
            body = self._body(response)
        return error_from(response.status_code, response.headers, body, self._clock, self._redact)


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections that a watchdog can watch."""

    def __init__(self) -> None:
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **options: t.Any) -> urllib3.PoolManager:
        """Set the connection classes of proxies, except SOCKS proxies."""
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, urllib3.ProxyManager):  # pragma: no branch - no PySocks in tests
            manager.pool_classes_by_scheme = POOL_CLASSES
        return manager


class _Session(requests.Session):
    """A session without automatic redirects."""

    def __init__(self) -> None:
        super().__init__()
        self.headers["User-Agent"] = f"tap-voucherify/{metadata.version('tap-voucherify')}"
        for prefix in ("https://", "http://"):
            self.mount(prefix, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Stop requests from reading the body of a redirect."""


class _Local(threading.local):
    """One session per thread."""

    def __init__(self) -> None:
        self.session = _Session()


def _watchdog(response: requests.Response) -> Watchdog:
    return t.cast("Watchdog", response.watchdog)  # type: ignore[attr-defined] # set by `_exchange`


def _connection_error(url: str, error: Exception) -> RequestError | TransientError:
    """Return the error for a request without a response."""
    host = urlsplit(url).hostname or ""
    if isinstance(error, requests.exceptions.SSLError):
        return tls_error(host, error)
    # requests raises TypeError for a proxy URL with a user but no host; InvalidHeader is a
    # ValueError, but means that a response has two lengths.
    is_of_response = isinstance(error, requests.exceptions.InvalidHeader)
    if isinstance(error, TypeError | ValueError) and not is_of_response:
        return _invalid_url(url)
    if isinstance(error, requests.exceptions.ProxyError):
        return TransientError(
            f"the proxy in the environment does not connect to {host}: {root_cause(error)}"
        )
    if isinstance(error, requests.RequestException):
        return TransientError(f"no response from {host}: {root_cause(error)}")
    return RequestError(f"cannot verify {host}: {error}; check REQUESTS_CA_BUNDLE")


def _invalid_url(url: str) -> RequestError:
    """Say which URL was invalid; never print a proxy URL (it may contain a password)."""
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return RequestError(
            "invalid proxy in the environment (HTTPS_PROXY, ALL_PROXY); SOCKS proxies need PySocks"
        )
    return RequestError(f"invalid URL: {urlsplit(url).hostname}")
