"""HTTP client: host checks, retries, redirects, downloads."""

from __future__ import annotations

import contextlib
import math
import threading
import typing as t
from collections import Counter
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import backoff
import requests

from tap_voucherify.api.headers import server_time
from tap_voucherify.api.messages import Request, Response, StaleLinkError
from tap_voucherify.api.responses import (
    error_from_response,
    parse_object,
    read_body,
    root_cause,
    save_body,
)
from tap_voucherify.api.retry import Retry
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import LinkExpiredError, RequestError, TransientError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.api.credentials import Credentials, TrustedHosts
    from tap_voucherify.api.rate_limit import RateLimit
    from tap_voucherify.clock import Clock

MAX_REDIRECTS = 5


class Client:
    """HTTP client for one run; thread-safe.

    Args:
        api_url: URL of the API.
        credentials: Default credentials.
        hosts: Hosts that may receive credentials.
        rate_limit: Paces requests.
        clock: Clock.
        request_timeout_seconds: Socket timeout, and total time for a JSON response.
        max_wait_seconds: Maximum Retry-After.
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
        max_wait_seconds: float,
        jitter: Callable[[float], float] = backoff.full_jitter,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.retry = Retry(clock, max_wait_seconds, jitter)
        self._api_url = api_url.rstrip("/")
        self._credentials = credentials
        self._hosts = hosts
        self._rate_limit = rate_limit
        self._clock = clock
        self._request_timeout_seconds = request_timeout_seconds
        self._local = threading.local()

    @property
    def summary(self) -> str:
        """Request counts and remaining rate limit, for the log."""
        kinds = ", ".join(f"{count} {label}" for label, count in self.calls.items())
        return f"{self.calls.total()} calls ({kinds}); {self._rate_limit.summary}"

    def send(self, request: Request, deadline: Deadline) -> Response:
        """Make an API request, retrying transient errors.

        Args:
            request: The request.
            deadline: Paused while the request waits for the rate limit or a token.

        Raises:
            AccountError: If Voucherify rejects the account.
            RequestError: If Voucherify rejects this request.
            TransientError: If it still fails after all retries.
        """
        return self.retry.run(
            lambda: self._send_once(request, deadline),
            f"Could not {request.label}",
            deadline,
            retry_warning=request.retry_warning,
        )

    def download(
        self, url: str, file: t.BinaryIO, deadline: Deadline, fresh_until: float = math.inf
    ) -> int:
        """Write a file of an export to `file`, in one attempt.

        Completeness is checked by Content-Length, chunked encoding or gzip trailer; otherwise
        the file must end with a newline.

        Args:
            url: The link.
            file: File to write.
            deadline: When to give up; paused while waiting for the rate limit or a token.
            fresh_until: Time of the clock after which the link may not be sent.

        Returns:
            The number of bytes.

        Raises:
            LinkExpiredError: If the link has expired.
            RequestError: If the download is rejected.
            StaleLinkError: If the link was too old after the wait for the rate limit.
            StorageError: If the file cannot be written.
            TransientError: If the body is incomplete or empty.
        """
        with contextlib.closing(self._open(url, deadline, fresh_until)) as response:
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                raise LinkExpiredError("download returned 401 (expired link)")
            if response.status_code != HTTPStatus.OK:
                raise self._error(response)
            return save_body(response.raw, file, deadline)

    def _send_once(self, request: Request, deadline: Deadline) -> Response:
        credentials = request.credentials or self._credentials
        response = self._exchange(
            request.label,
            request.method,
            f"{self._api_url}{request.path}",
            deadline,
            credentials=credentials,
            headers={"Accept-Encoding": "identity"},
            json=request.json,
            data=request.form,
            params=request.params,
        )
        sent = t.cast("Mapping[str, str]", response.request.headers)
        with contextlib.closing(response):
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                with deadline.paused():
                    is_renewed = credentials.renew(sent)
                if is_renewed:
                    raise TransientError("the OAuth token has expired")
            if not response.ok or response.is_redirect:
                raise self._error(response)
            body = read_body(response.raw, self._body_deadline)
            content = parse_object(body) if body else {}
            return Response(content, server_time(response.headers, self._clock))

    def _open(self, url: str, deadline: Deadline, fresh_until: float) -> requests.Response:
        """Open a download, following redirects; credentials are not sent to another host."""
        first_host = None
        for _ in range(MAX_REDIRECTS):
            is_trusted = self._hosts.may_receive_credentials(url)
            host = urlsplit(url).hostname
            first_host = first_host or host
            response = self._exchange(
                "download",
                "GET",
                url,
                deadline,
                credentials=self._credentials if is_trusted and host == first_host else None,
                headers={"Accept-Encoding": "gzip, identity"},
                fresh_until=fresh_until,
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

    def _exchange(  # noqa: PLR0913 - the parts of a request
        self,
        label: str,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        credentials: Credentials | None,
        headers: dict[str, str],
        fresh_until: float = math.inf,
        **content: t.Any,
    ) -> requests.Response:
        """Send one request when the rate limit allows. Does not read the body."""
        sent_headers = self._acquire(deadline, credentials, fresh_until) | headers
        if not hasattr(self._local, "session"):
            self._local.session = _Session()
        self.calls[label] += 1
        response_headers: Mapping[str, str] = {}
        try:
            response: requests.Response = self._local.session.request(
                method,
                url,
                headers=sent_headers,
                # A no-op auth stops requests from reading .netrc.
                auth=_leave_as_is,
                allow_redirects=False,
                stream=True,
                timeout=self._request_timeout_seconds,
                **content,
            )
            response_headers = response.headers
        except requests.exceptions.SSLError as error:
            raise RequestError(
                f"TLS verification failed for {urlsplit(url).hostname}: {root_cause(error)}; "
                "for a private CA set REQUESTS_CA_BUNDLE"
            ) from error
        except (TypeError, ValueError) as error:
            # requests raises TypeError for a proxy URL with a user but no host.
            raise _invalid_url(url) from error
        except requests.RequestException as error:
            raise TransientError(
                f"no response from {urlsplit(url).hostname}: {root_cause(error)}"
            ) from error
        finally:
            self._rate_limit.release(response_headers)
        return response

    def _acquire(
        self, deadline: Deadline, credentials: Credentials | None, fresh_until: float
    ) -> dict[str, str]:
        """Claim one request of the rate limit and return its authentication headers.

        Tokens are made after the wait, in which they may expire, and may take requests.
        """
        while True:
            with deadline.paused():
                self._rate_limit.wait()
                headers = credentials.headers() if credentials else {}
            if self._clock.monotonic() > fresh_until:
                raise StaleLinkError
            if self._rate_limit.try_acquire():
                return headers

    @property
    def _body_deadline(self) -> Deadline:
        return Deadline(self._clock, self._request_timeout_seconds)

    def _error(self, response: requests.Response) -> Exception:
        body = b""
        # Status and headers suffice if the body cannot be read.
        with contextlib.suppress(RequestError, TransientError):
            body = read_body(response.raw, self._body_deadline)
        return error_from_response(response.status_code, response.headers, body, self._clock)


class _Session(requests.Session):
    """A session without automatic redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Stop requests from reading the body of a redirect."""


def _invalid_url(url: str) -> RequestError:
    """Say which URL was invalid; never print a proxy URL (it may contain a password)."""
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return RequestError(
            "invalid proxy in the environment (HTTPS_PROXY, ALL_PROXY); SOCKS proxies need PySocks"
        )
    return RequestError(f"invalid URL: {urlsplit(url).hostname}")


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
