"""HTTP as Voucherify needs it: hosts, retries, refused redirects, complete bodies."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import typing as t
from collections import Counter
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import backoff
import requests

from tap_voucherify.api.bodies import innermost_reason, read_body, save_body
from tap_voucherify.api.rate_limit import server_time
from tap_voucherify.api.responses import parse_object, refusal
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import (
    LinkExpiredError,
    RateLimitError,
    RequestError,
    TransientError,
    one_line,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_voucherify.api.credentials import Credentials, TrustedHosts
    from tap_voucherify.api.rate_limit import RateLimit
    from tap_voucherify.clock import Clock

MAX_TRIES = 8
LONGEST_BACKOFF_SECONDS = 60
MAX_REDIRECTS = 5

_T = t.TypeVar("_T")

logger = logging.getLogger("tap-voucherify.client")


class Answer(t.NamedTuple):
    """What Voucherify answered.

    Attributes:
        content: The JSON object; empty if there is none.
        server_time: The server's time of the answer, in seconds since 1970.
    """

    content: dict[str, t.Any]
    server_time: float


class Client:
    """Makes the calls of one run, from any number of threads."""

    def __init__(  # noqa: PLR0913 - each is one collaborator or limit, by name
        self,
        *,
        api_url: str,
        credentials: Credentials,
        hosts: TrustedHosts,
        rate_limit: RateLimit,
        clock: Clock,
        request_timeout_seconds: float,
        longest_wait_seconds: float,
        jitter: Callable[[float], float] = backoff.full_jitter,
    ) -> None:
        """Prepare, without a request.

        Args:
            api_url: The address of the API.
            credentials: What proves who is asking.
            hosts: Where credentials may go.
            rate_limit: Gives leave to each call.
            clock: Measures every wait.
            request_timeout_seconds: Bounds the silence of a server, and a JSON answer.
            longest_wait_seconds: Bounds the wait that an answer can ask for.
            jitter: Spreads a pause of so many seconds at random.
        """
        self.calls: Counter[str] = Counter()
        self._api_url = api_url.rstrip("/")
        self._credentials = credentials
        self._hosts = hosts
        self._rate_limit = rate_limit
        self._clock = clock
        self._request_timeout_seconds = request_timeout_seconds
        self._longest_wait_seconds = longest_wait_seconds
        self._jitter = jitter
        self._local = threading.local()

    @property
    def summary(self) -> str:
        """How many calls were made, by kind, and what is left, for the log."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.calls.items())
        return f"{self.calls.total()} calls ({kinds}); {self._rate_limit.summary}"

    def call(  # noqa: PLR0913 - the parts of a request, by name
        self,
        kind: str,
        method: str,
        path: str,
        *,
        json: Mapping[str, t.Any] | None = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        deadline: Deadline | None = None,
        if_answer_lost: str = "",
    ) -> Answer:
        """Call the API, repeating what can be repeated.

        Args:
            kind: What the call does, in the words of the log.
            method: The HTTP method.
            path: What follows the address of the API.
            json: The body, as JSON.
            form: The body, as a form.
            params: The query.
            credentials: What to use in place of the usual ones.
            deadline: Is extended by the time spent waiting for the rate limit.
            if_answer_lost: What to tell when a call is repeated that may have worked.

        Raises:
            AccountError: If Voucherify refuses the account.
            RequestError: If Voucherify refuses this request.
            TransientError: If it failed `MAX_TRIES` times.
        """
        credentials = credentials or self._credentials

        def prepare() -> tuple[str, dict[str, str]]:
            with self._uncounted(deadline):
                headers = {"Accept-Encoding": "identity", **credentials.headers()}
            return f"{self._api_url}{path}", headers

        def attempt() -> Answer:
            response = self._send(
                kind, method, prepare, deadline, json=json, data=form, params=params
            )
            sent = t.cast("Mapping[str, str]", response.request.headers)
            with contextlib.closing(response):
                if response.status_code == HTTPStatus.UNAUTHORIZED:
                    with self._uncounted(deadline):
                        is_renewed = credentials.renew(sent)
                    if is_renewed:
                        raise TransientError("the OAuth token is no longer valid")
                if not response.ok or response.is_redirect:
                    raise self._refusal(response)
                body = read_body(response.raw, self._answer_limit)
                content = parse_object(body) if body else {}
                return Answer(content, server_time(response.headers, self._clock))

        return self.retry(
            attempt, f"Could not {kind}", deadline=deadline, if_answer_lost=if_answer_lost
        )

    def issue_token(self, key_pair: Credentials, scopes: str) -> tuple[str, float]:
        """Exchange a key pair for an OAuth 2.0 token.

        Args:
            key_pair: Who asks for the token.
            scopes: What the token is to allow, separated by spaces.

        Returns:
            The token, and for how many seconds it is valid.

        Raises:
            AccountError: If Voucherify refuses the key pair.
            RequestError: If it issues no token, or one in an unknown form.
            TransientError: If the call failed `MAX_TRIES` times.
        """
        content = self.call(
            "token",
            "POST",
            "/v1/oauth/token",
            form={"grant_type": "client_credentials", "scope": scopes},
            credentials=key_pair,
        ).content
        try:
            return str(content["access_token"]), float(content["expires_in"])
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError("Voucherify issued a token in an unknown form") from error

    def download(self, link: Callable[[], str], file: t.BinaryIO, deadline: Deadline) -> int:
        """Write a file of an export to `file`, in one attempt.

        It is complete when its length, its last chunk or the end of its gzip says so. One
        that nothing bounds is taken if it ends in a line break.

        Args:
            link: Returns the address, just before it is used.
            file: What to write to.
            deadline: When to give up.

        Returns:
            The number of bytes.

        Raises:
            LinkExpiredError: If the link is no longer valid.
            RequestError: If the download is refused.
            StorageError: If the file cannot be written.
            TransientError: If the body is incomplete or empty.
        """
        with contextlib.closing(self._open(link, deadline)) as response:
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                raise LinkExpiredError("the download answers 401, as expired links do")
            if response.status_code != HTTPStatus.OK:
                raise self._refusal(response)
            return save_body(response.raw, file, deadline)

    def retry(
        self,
        attempt: Callable[[], _T],
        problem: str,
        *,
        deadline: Deadline | None = None,
        if_answer_lost: str = "",
    ) -> _T:
        """Attempt something up to `MAX_TRIES` times, with growing, jittered pauses.

        Args:
            attempt: What to do; a `TransientError` has it repeated.
            problem: What to say of a failure.
            deadline: Is extended by the pauses that a rate limit asks for.
            if_answer_lost: What to add when the failed attempt may have worked.

        Raises:
            TransientError: That of the last attempt.
        """
        # The first value of the library's generator is there to be skipped.
        pauses = itertools.islice(backoff.expo(max_value=LONGEST_BACKOFF_SECONDS), 1, MAX_TRIES)
        for pause in pauses:
            try:
                return attempt()
            except RateLimitError as error:
                reason = one_line(error)
                seconds = min(error.wait_seconds, self._longest_wait_seconds)
                if deadline:
                    deadline.extend(seconds)
            except TransientError as error:
                reason = f"{one_line(error)} {if_answer_lost}".strip()
                seconds = self._jitter(pause)
            logger.warning("%s: %s; trying again in %.1f s", problem, reason, seconds)
            self._clock.sleep(seconds)
        return attempt()

    def _open(self, link: Callable[[], str], deadline: Deadline) -> requests.Response:
        """Request a file, following redirects without credentials to another host."""
        location, first_host = "", None

        def prepare() -> tuple[str, dict[str, str]]:
            nonlocal first_host
            url = location or link()
            headers = {"Accept-Encoding": "gzip, identity"}
            trusted = self._hosts.may_receive_credentials(url)
            host = urlsplit(url).hostname
            if not location:
                first_host = host
            if trusted and host == first_host:
                with self._uncounted(deadline):
                    headers |= self._credentials.headers()
            return url, headers

        for _ in range(MAX_REDIRECTS):
            response = self._send("download", "GET", prepare, deadline)
            if not response.is_redirect:
                return response
            response.close()
            try:
                location = urljoin(response.url, response.headers["Location"])
            except ValueError as error:
                raise RequestError("the download is redirected to an invalid address") from error
        raise RequestError(f"the download was redirected {MAX_REDIRECTS} times")

    @contextlib.contextmanager
    def _uncounted(self, deadline: Deadline | None) -> Iterator[None]:
        """Keep time off a deadline: what a new token takes is no export's time."""
        started = self._clock.monotonic()
        yield
        if deadline:
            deadline.extend(self._clock.monotonic() - started)

    def _send(
        self,
        kind: str,
        method: str,
        prepare: Callable[[], tuple[str, dict[str, str]]],
        deadline: Deadline | None,
        **content: t.Any,
    ) -> requests.Response:
        """Send one request as soon as the rate limit allows; the body is not read yet.

        The address and the headers come from `prepare`, just before they are sent.
        """
        if not hasattr(self._local, "session"):
            self._local.session = _Session()
        url, headers = self._rate_limit.acquire(prepare, deadline)
        self.calls[kind] += 1
        answer_headers: Mapping[str, str] = {}
        try:
            response: requests.Response = self._local.session.request(
                method,
                url,
                headers=headers,
                # Without an `auth` of ours, requests would consult .netrc.
                auth=_leave_as_is,
                allow_redirects=False,
                stream=True,
                timeout=self._request_timeout_seconds,
                **content,
            )
            answer_headers = response.headers
        except requests.exceptions.SSLError as error:
            raise RequestError(
                f"the certificate of {urlsplit(url).hostname} is not trusted: "
                f"{innermost_reason(error)}; a private authority is named in REQUESTS_CA_BUNDLE"
            ) from error
        except (TypeError, ValueError) as error:
            # requests fails with the former on a proxy that has a user, but no host.
            raise _invalid_address(url) from error
        except requests.RequestException as error:
            raise TransientError(
                f"{urlsplit(url).hostname} does not answer: {innermost_reason(error)}"
            ) from error
        finally:
            self._rate_limit.release(answer_headers)
        return response

    @property
    def _answer_limit(self) -> Deadline:
        return Deadline(self._clock, self._request_timeout_seconds)

    def _refusal(self, response: requests.Response) -> Exception:
        body = b""
        # What its status and headers say holds, whatever becomes of its body.
        with contextlib.suppress(RequestError, TransientError):
            body = read_body(response.raw, self._answer_limit)
        return refusal(response.status_code, response.headers, body, self._clock)


class _Session(requests.Session):
    """A session that leaves redirects to `Client`."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Keep requests from reading the unbounded body of a redirect."""


def _invalid_address(url: str) -> RequestError:
    """Tell which address requests could not use; a proxy's may hold a password."""
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return RequestError(
            "the proxy of the environment cannot be used: its address must be valid, and a "
            "SOCKS proxy needs PySocks"
        )
    return RequestError(f"the address of {urlsplit(url).hostname} is not valid")


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
