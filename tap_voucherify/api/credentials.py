"""Credentials, and the hosts that may receive them."""

from __future__ import annotations

import abc
import ipaddress
import math
import socket
import threading
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from tap_voucherify.errors import RequestError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.clock import Clock

# Renew tokens this long before expiry.
RENEWAL_MARGIN_SECONDS = 60

VOUCHERIFY_DOMAIN = ".voucherify.io"


class Credentials(abc.ABC):
    """Authenticates requests."""

    @abc.abstractmethod
    def headers(self) -> dict[str, str]:
        """Return authentication headers."""

    def renew(self, rejected: Mapping[str, str]) -> bool:  # noqa: ARG002 - not for all kinds
        """Renew after these headers were rejected; return whether to retry."""
        return False


@dataclass(frozen=True, repr=False)
class KeyPair(Credentials):
    """The application's id and secret key."""

    app_id: str
    app_token: str

    def headers(self) -> dict[str, str]:
        """Return the two headers of a server-side API key."""
        return {"X-App-Id": self.app_id, "X-App-Token": self.app_token}


@dataclass(frozen=True, repr=False)
class AccessToken(Credentials):
    """An OAuth 2.0 token, issued and renewed elsewhere."""

    access_token: str

    def headers(self) -> dict[str, str]:
        """Return the header of a bearer token."""
        return {"Authorization": f"Bearer {self.access_token}"}


class RenewableToken(Credentials):
    """OAuth 2.0 tokens that the tap requests itself, each valid for 15 minutes.

    Args:
        issue: Returns a new token and its lifetime in seconds.
        clock: Clock.
    """

    def __init__(self, issue: Callable[[], tuple[str, float]], clock: Clock) -> None:
        self._issue = issue
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._valid_until = -math.inf
        self._is_replacement = False

    def headers(self) -> dict[str, str]:
        """Return the header with a valid token.

        Other threads wait while one requests a token.
        """
        with self._lock:
            if self._clock.monotonic() > self._valid_until - RENEWAL_MARGIN_SECONDS:
                self._replace()
                self._is_replacement = False
            return {"Authorization": f"Bearer {self._token}"}

    def renew(self, rejected: Mapping[str, str]) -> bool:
        """Replace a rejected token once; give up if the replacement is rejected too."""
        with self._lock:
            if rejected.get("Authorization") != f"Bearer {self._token}":
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
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_internal(host: str) -> bool:
    """Whether `host` is an address of this machine or of a private network."""
    # A trailing dot changes nothing.
    host = host.removesuffix(".")
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_private or address.is_link_local or address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return `host` as an IP address, in any form that resolvers accept; None if it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # Such as 127.1, 0x7f000001 and 2130706433.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address


@dataclass(frozen=True)
class TrustedHosts:
    """Where credentials may be sent; nothing is inferred beyond these rules.

    Attributes:
        api_url: URL of the API.
        download_host: Download host of a dedicated cluster, if different.
    """

    api_url: str
    download_host: str = ""

    def may_receive_credentials(self, url: str) -> bool:
        """Whether credentials may go to `url`.

        Raises:
            RequestError: If the URL may not be requested at all: neither HTTPS nor a
                trusted loopback host, or an internal address that the settings do not name.
        """
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise RequestError("invalid download URL") from error
        is_plain = url.isprintable() and parts.netloc.isascii()
        if not is_plain or set(url) & set(" \\") or "%" in parts.netloc:
            # HTTP libraries disagree on the host of such URLs.
            raise RequestError("ambiguous download URL")
        host = parts.hostname or ""
        is_trusted = self._is_trusted(host)
        if not host or (
            parts.scheme != "https"
            and not (parts.scheme == "http" and is_trusted and is_loopback(host))
        ):
            raise RequestError(f"download URL {parts.scheme}://{host} is not HTTPS")
        if _is_internal(host) and not is_trusted and not _is_internal(self._api_host):
            raise RequestError(f"download URL on an internal address ({host})")
        return is_trusted

    @property
    def _api_host(self) -> str:
        return (urlsplit(self.api_url).hostname or "").lower()

    def _is_trusted(self, host: str) -> bool:
        if f".{self._api_host}".endswith(VOUCHERIFY_DOMAIN):
            return f".{host}".endswith(VOUCHERIFY_DOMAIN)
        return host in {self._api_host, self.download_host.lower()} - {""}
