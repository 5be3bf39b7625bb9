"""Who the tap is to Voucherify, and to which hosts it may say so."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from tap_voucherify.errors import RequestError

VOUCHERIFY_DOMAIN = ".voucherify.io"

API_URLS = {
    "eu": "https://api.voucherify.io",
    "us": "https://us1.api.voucherify.io",
    "as": "https://as1.api.voucherify.io",
}


class Credentials(t.Protocol):
    """What proves to Voucherify who is asking."""

    def headers(self) -> dict[str, str]:
        """Return the request headers that carry the proof."""


@dataclass(frozen=True, repr=False)
class KeyPair:
    """The application's id and secret key."""

    app_id: str
    app_token: str

    def headers(self) -> dict[str, str]:
        """Return the two headers of a server-side API key."""
        return {"X-App-Id": self.app_id, "X-App-Token": self.app_token}


@dataclass(frozen=True, repr=False)
class AccessToken:
    """An OAuth 2.0 token that somebody else issued and renews."""

    access_token: str

    def headers(self) -> dict[str, str]:
        """Return the header of a bearer token."""
        return {"Authorization": f"Bearer {self.access_token}"}


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
        parts = urlsplit(url)
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
