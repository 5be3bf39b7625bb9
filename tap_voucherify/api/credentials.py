"""Who the tap is to Voucherify, and to which hosts it may say so."""

from __future__ import annotations

import ipaddress
import math
import threading
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from tap_voucherify.errors import RequestError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.clock import Clock

# A token is renewed so long before it ends.
RENEWAL_MARGIN_SECONDS = 60

VOUCHERIFY_DOMAIN = ".voucherify.io"


class Credentials(t.Protocol):
    """What proves to Voucherify who is asking."""

    def headers(self) -> dict[str, str]:
        """Return the request headers that carry the proof."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Whether there are others now, after these headers were refused."""


class _Lasting:
    """Credentials that nothing renews."""

    def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 - for those who can
        """Say that there are no others."""
        return False


@dataclass(frozen=True, repr=False)
class KeyPair(_Lasting):
    """The application's id and secret key."""

    app_id: str
    app_token: str

    def headers(self) -> dict[str, str]:
        """Return the two headers of a server-side API key."""
        return {"X-App-Id": self.app_id, "X-App-Token": self.app_token}


@dataclass(frozen=True, repr=False)
class AccessToken(_Lasting):
    """An OAuth 2.0 token that somebody else issued and renews."""

    access_token: str

    def headers(self) -> dict[str, str]:
        """Return the header of a bearer token."""
        return {"Authorization": f"Bearer {self.access_token}"}


class IssuedToken:
    """OAuth 2.0 tokens that are issued to the tap, each valid for 15 minutes."""

    def __init__(self, issue: Callable[[], tuple[str, float]], clock: Clock) -> None:
        """Start without a token.

        Args:
            issue: Returns a new token, and for how many seconds it is valid.
            clock: Measures that time.
        """
        self._issue = issue
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._valid_until = -math.inf
        self._is_replacement = False

    def headers(self) -> dict[str, str]:
        """Return the header of a token that is valid for a while yet.

        While one thread has a token issued, the others wait for it.
        """
        with self._lock:
            if self._clock.monotonic() > self._valid_until - RENEWAL_MARGIN_SECONDS:
                self._replace()
                self._is_replacement = False
            return {"Authorization": f"Bearer {self._token}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Replace a token that was refused; a refused replacement is the last."""
        with self._lock:
            if refused.get("Authorization") != f"Bearer {self._token}":
                return True
            if self._is_replacement and self._clock.monotonic() <= self._valid_until:
                return False
            self._replace()
            self._is_replacement = True
            return True

    def _replace(self) -> None:
        started = self._clock.monotonic()
        self._token, seconds = self._issue()
        self._valid_until = started + seconds


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class TrustedHosts:
    """Where credentials may be sent; nothing is inferred beyond these rules.

    Attributes:
        api_url: The address of the API.
        download_host: The host of a dedicated cluster's files, if it is another.
    """

    api_url: str
    download_host: str = ""

    def may_receive_credentials(self, url: str) -> bool:
        """Whether credentials may go to `url`.

        Raises:
            RequestError: If nothing at all may be requested from it: it is neither
                https nor a trusted host on this machine.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise RequestError("Voucherify names a file at an invalid address") from error
        if not url.isprintable() or set(url) & set(" \\"):
            # Libraries differ in which host such an address names.
            raise RequestError("Voucherify names a file at an ambiguous address")
        host = (parts.hostname or "").lower()
        trusted = self._is_trusted(host)
        if parts.scheme == "https" and host:
            return trusted
        if parts.scheme == "http" and trusted and is_loopback(host):
            return True
        raise RequestError(
            f"Voucherify names a file at {parts.scheme}://{host}, which is no https "
            "address: nothing is requested from there"
        )

    def _is_trusted(self, host: str) -> bool:
        api_host = (urlsplit(self.api_url).hostname or "").lower()
        if f".{api_host}".endswith(VOUCHERIFY_DOMAIN):
            return f".{host}".endswith(VOUCHERIFY_DOMAIN)
        return host in {api_host, self.download_host.lower()} - {""}
