"""HTTP as Voucherify needs it: hosts, retries, refused redirects, complete bodies."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import logging
import threading
import typing as t
import zlib
from collections import Counter
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import backoff
import msgspec
import requests
import urllib3

from tap_voucherify.clock import Deadline
from tap_voucherify.errors import (
    AccountError,
    LinkExpiredError,
    NotFoundError,
    RateLimitError,
    RequestError,
    StorageError,
    TransientError,
)
from tap_voucherify.rate_limit import QUOTA, server_time

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from _typeshed import WriteableBuffer

    from tap_voucherify.clock import Clock
    from tap_voucherify.credentials import Credentials, TrustedHosts
    from tap_voucherify.rate_limit import RateLimit

MAX_TRIES = 8
LONGEST_BACKOFF_SECONDS = 60
MAX_REDIRECTS = 5
MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16

_RETRIED = {
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_HINTS = {
    HTTPStatus.UNAUTHORIZED: "check the settings app_id and app_token, or access_token",
    HTTPStatus.PAYMENT_REQUIRED: "the account's plan is exceeded: waiting cannot help",
    HTTPStatus.FORBIDDEN: "check that the key of app_id and app_token, or the scope of "
    "access_token, allows exports, and that api_url or region is the account's own",
    HTTPStatus.NOT_FOUND: "check that api_url or region is the account's own",
    "invalid_export_fields": "deselect the property that is not among the allowed fields",
}

_T = t.TypeVar("_T")
_JSON = msgspec.json.Decoder(dict[str, t.Any])

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
        params: Mapping[str, str] | None = None,
        deadline: Deadline | None = None,
        if_answer_lost: str = "",
    ) -> Answer:
        """Call the API, repeating what can be repeated.

        Args:
            kind: What the call does, in the words of the log.
            method: The HTTP method.
            path: What follows the address of the API.
            json: The body.
            params: The query.
            deadline: Is extended by the time spent waiting for the rate limit.
            if_answer_lost: What to tell when a call is repeated that may have worked.

        Raises:
            AccountError: If Voucherify refuses the account.
            RequestError: If Voucherify refuses this request.
            TransientError: If it failed `MAX_TRIES` times.
        """

        def attempt() -> Answer:
            time_limit = Deadline(self._clock, self._request_timeout_seconds)
            response = self._send(
                kind,
                method,
                f"{self._api_url}{path}",
                self._credentials.headers() | {"Accept-Encoding": "identity"},
                deadline,
                json=json,
                params=params,
            )
            with contextlib.closing(response):
                body = _read_body(response, time_limit)
                if not response.ok or response.is_redirect:
                    raise self._refusal(response, body)
                return Answer(
                    _parse_object(body) if body else {},
                    server_time(response.headers, self._clock),
                )

        return self.retry(
            attempt, f"Could not {kind}", deadline=deadline, if_answer_lost=if_answer_lost
        )

    def download(self, url: str, file: t.BinaryIO, deadline: Deadline) -> int:
        """Write what is at `url` to `file`, in one attempt, and return its bytes' number.

        A file is complete when its length, its last chunk or the end of its gzip says
        so. One that nothing bounds is taken if it ends in a line break.

        Raises:
            LinkExpiredError: If the link is no longer valid.
            RequestError: If the download is refused.
            StorageError: If the file cannot be written.
            TransientError: If the body is incomplete or empty.
        """
        with contextlib.closing(self._open(url, deadline)) as response:
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                raise LinkExpiredError("the download answers 401, as expired links do")
            if response.status_code != HTTPStatus.OK:
                time_limit = Deadline(self._clock, self._request_timeout_seconds)
                raise self._refusal(response, _read_body(response, time_limit))
            return _save_body(response, file, deadline)

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
                reason = str(error)
                seconds = min(error.wait_seconds, self._longest_wait_seconds)
                if deadline:
                    deadline.extend(seconds)
            except TransientError as error:
                reason = f"{error} {if_answer_lost}".strip()
                seconds = self._jitter(pause)
            logger.warning("%s: %s; trying again in %.1f s", problem, reason, seconds)
            self._clock.sleep(seconds)
        return attempt()

    def _open(self, url: str, deadline: Deadline) -> requests.Response:
        """Request a file, following redirects without credentials to another host."""
        host = urlsplit(url).hostname
        for _ in range(MAX_REDIRECTS):
            headers = {"Accept-Encoding": "gzip, identity"}
            trusted = self._hosts.may_receive_credentials(url)
            if trusted and urlsplit(url).hostname == host:
                headers |= self._credentials.headers()
            response = self._send("download", "GET", url, headers, deadline)
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
        raise RequestError(f"the download was redirected {MAX_REDIRECTS} times")

    def _send(
        self,
        kind: str,
        method: str,
        url: str,
        headers: dict[str, str],
        deadline: Deadline | None,
        **content: t.Any,
    ) -> requests.Response:
        """Send one request as soon as the rate limit allows; the body is not read yet."""
        if not hasattr(self._local, "session"):
            self._local.session = _Session()
        self._rate_limit.acquire(deadline)
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
                f"{_innermost(error)}; a private authority is named in REQUESTS_CA_BUNDLE"
            ) from error
        except requests.exceptions.InvalidURL as error:
            raise RequestError("Voucherify names a file at an invalid address") from error
        except requests.RequestException as error:
            raise TransientError(
                f"{urlsplit(url).hostname} does not answer: {_innermost(error)}"
            ) from error
        finally:
            self._rate_limit.release(answer_headers)
        return response

    def _refusal(self, response: requests.Response, body: bytes) -> Exception:
        """Return the error that an answer other than success stands for."""
        status = response.status_code
        try:
            told = _parse_object(body)
        except (TransientError, RequestError):
            told = {}
        key = str(told.get("key", response.reason))
        message = f"Voucherify answers {status} {key}"
        if response.is_redirect:
            target = urlsplit(urljoin(response.url, response.headers["Location"]))
            message += f", a redirect to {target.hostname}, where credentials do not go"
        for part in ("message", "details"):
            if told.get(part):
                message += f": {told[part]}"
        if told.get("request_id"):
            message += f" (request_id {told['request_id']})"
        hint = _HINTS.get(key) or _HINTS.get(status)
        if hint:
            message += f"; {hint}"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            if response.headers.get("X-Rate-Limit-Type") == QUOTA:
                return AccountError(f"{message}; the plan's quota of calls is used up")
            return RateLimitError(message, self._asked_wait_seconds(response))
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED}:
            return AccountError(message)
        if status == HTTPStatus.NOT_FOUND:
            return NotFoundError(message)
        return (TransientError if status in _RETRIED else RequestError)(message)

    def _asked_wait_seconds(self, response: requests.Response) -> float:
        """How long a 429 asks to wait; at least a second."""
        headers = response.headers
        with contextlib.suppress(KeyError, ValueError):
            return max(1, float(headers["Retry-After"]))
        with contextlib.suppress(KeyError, ValueError):
            resets_at = float(headers["X-Rate-Limit-Retry"])
            return max(1, resets_at - server_time(headers, self._clock))
        return 1


class _Session(requests.Session):
    """A session that leaves redirects to `Client`."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Keep requests from reading the unbounded body of a redirect."""


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _innermost(error: BaseException) -> str:
    """Return what finally went wrong, without the chain of wrappers around it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def _parse_object(body: bytes) -> dict[str, t.Any]:
    try:
        return _JSON.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError("Voucherify answers with JSON that is no object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TransientError("the answer is incomplete or no JSON") from error


class _Body(io.RawIOBase):
    """The bytes of an answer as they were sent; an early end raises."""

    def __init__(self, response: requests.Response, time_limit: Deadline) -> None:
        self._raw = response.raw
        self._time_limit = time_limit
        self._missing: int | None = None
        self.is_bounded = "chunked" in response.headers.get("Transfer-Encoding", "")
        length = response.headers.get("Content-Length", "")
        if not self.is_bounded and length.isdecimal():
            self.is_bounded, self._missing = True, int(length)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._time_limit.remaining_seconds <= 0:
            raise TransientError("the answer did not end in time")
        try:
            # read1 returns what has arrived, so a slow drip cannot outlast the limit.
            chunk = self._raw.read1(len(view), decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"the answer broke off: {_innermost(error)}") from error
        if self._missing is not None:
            self._missing -= len(chunk)
            if self._missing and not chunk:
                raise TransientError(f"the answer lacks its last {self._missing} bytes")
        view[: len(chunk)] = chunk
        return len(chunk)


def _decode(response: requests.Response, body: _Body) -> Iterator[bytes]:
    """Yield the decoded bytes; gzip has to reach its end marker."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"gzip", "identity"}:
        raise RequestError(f"the answer is encoded as {encoding!r}, not as asked for")
    source = gzip.GzipFile(fileobj=body) if encoding == "gzip" else body
    try:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TransientError(f"the gzip of the answer is broken: {error}") from error


def _read_body(response: requests.Response, time_limit: Deadline) -> bytes:
    """Return a JSON body, within the bounds of size and time."""
    content = bytearray()
    for chunk in _decode(response, _Body(response, time_limit)):
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise RequestError(f"the answer is longer than {MAX_JSON_BYTES} bytes")
    return bytes(content)


def _save_body(response: requests.Response, file: t.BinaryIO, deadline: Deadline) -> int:
    """Write a complete body to `file` and return its size in bytes."""
    body = _Body(response, deadline)
    last = b""
    try:
        file.seek(0)
        file.truncate()
        for last in _decode(response, body):
            file.write(last)
        size = file.tell()
        file.seek(0)
    except OSError as error:
        raise StorageError(
            f"the exported file cannot be stored: {error.strerror}; make room, or set "
            "TMPDIR to a folder with room"
        ) from error
    if not size:
        raise TransientError("the exported file is empty: it lacks even a header")
    if not body.is_bounded and "Content-Encoding" not in response.headers:
        if not last.endswith((b"\n", b"\r")):
            raise TransientError("the exported file breaks off in mid-line")
        logger.warning(
            "Nothing in the answer says whether the exported file is complete; "
            "it is taken as complete, since it ends in a line break"
        )
    return size
