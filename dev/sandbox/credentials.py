"""Credentials (key pairs, OAuth tokens, download tokens) and the rate limit."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from .errors import (
    invalid_grant_type,
    invalid_scope,
    missing_scope,
    restricted_key,
    unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .behaviour import Behaviour

#: Voucherify docs: OAuth API, "Allowed values" of `scope`.
SCOPES = frozenset(
    (
        "api",
        "assets",
        "async-actions",
        "campaigns",
        "categories",
        "client_api",
        "client_consents",
        "client_customers",
        "client_events",
        "client_promotions",
        "client_publish",
        "client_qualifications",
        "client_redeem",
        "client_redemptions",
        "client_validate",
        "client_validations",
        "client_vouchers",
        "consents",
        "customers",
        "events",
        "exports",
        "locations",
        "loyalties",
        "metadata-schemas",
        "orders",
        "product-collections",
        "products",
        "promotions",
        "publications",
        "qualifications",
        "redemptions",
        "referrals",
        "rewards",
        "segments",
        "skus",
        "task-results",
        "templates",
        "trash-bin",
        "validation-rules-assignments",
        "validation-rules",
        "validations",
        "vouchers",
    ),
)
#: Voucherify docs: OAuth API, "The token expires in 900 seconds (15 minutes)."
OAUTH_SECONDS = 900
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class OAuthToken(NamedTuple):
    """The scopes and expiry of an OAuth token."""

    scopes: frozenset[str]
    expires: float


class DownloadToken(NamedTuple):
    """The file that a download token gives access to."""

    export_id: str
    part: int
    expires: float


class Credentials:
    """All secrets, and what they give access to."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        """Generate a key pair."""
        self._random = Random(f"{seed}:credentials")
        self._clock = clock
        self.app_id = str(UUID(int=self._random.getrandbits(128), version=4))
        self.app_token = str(UUID(int=self._random.getrandbits(128), version=4))
        self._oauth_tokens: dict[str, OAuthToken] = {}
        self._download_tokens: dict[str, DownloadToken] = {}

    @property
    def secrets(self) -> list[str]:
        """All secrets so far; the application ID is not one."""
        return [self.app_token, *list(self._oauth_tokens), *list(self._download_tokens)]

    def identifier(self, prefix: str, length: int = 24) -> str:
        """Return a new identifier such as `exp_2bYLdY2lQ2886wmYIHyeBWUZ`."""
        return prefix + "".join(self._random.choices(_ALPHABET, k=length))

    def check_key_pair(self, headers: Mapping[str, str], behaviour: Behaviour) -> None:
        """Check the key pair of a request.

        Raises:
            ApiError: If it is missing or wrong.
        """
        pair = (headers.get("x-app-id"), headers.get("x-app-token"))
        if pair != (self.app_id, self.app_token):
            unauthorized()
        if behaviour.key_restriction:
            restricted_key(behaviour.key_restriction_status, behaviour.key_restriction)

    def check(self, headers: Mapping[str, str], scope: str, behaviour: Behaviour) -> None:
        """Check the key pair or OAuth token of a request.

        Voucherify docs: each operation allows the two headers, or an OAuth token with the scope
        `api` or its own.

        Raises:
            ApiError: If neither is valid for the scope.
        """
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind != "Bearer":
            self.check_key_pair(headers, behaviour)
            return
        token = self._oauth_tokens.get(bearer)
        if token is None or token.expires <= self._clock():
            unauthorized()
        # Voucherify docs: OAuth API, a token inherits the allowed IP addresses of its key.
        if behaviour.key_restriction == "ip":
            restricted_key(behaviour.key_restriction_status, "ip")
        if not token.scopes & {"api", scope}:
            missing_scope(behaviour.missing_scope_status)

    def grant(self, form: Mapping[str, str]) -> dict[str, str | int]:
        """Return the response to a request for an OAuth token.

        Voucherify docs: OAuth API, Generate OAuth 2.0 Token; scopes are separated by spaces.

        Raises:
            ApiError: `invalid_grant_type` or `invalid_scope`.
        """
        if form.get("grant_type") != "client_credentials":
            invalid_grant_type()
        scope = form.get("scope", "")
        if not scope.split() or set(scope.split()) - SCOPES:
            invalid_scope(scope)
        access_token = self.identifier("", 50)
        expires = self._clock() + OAUTH_SECONDS
        self._oauth_tokens[access_token] = OAuthToken(frozenset(scope.split()), expires)
        return {
            "access_token": access_token,
            "client_id": self.app_id,
            "expires_at": int(expires),
            "expires_in": OAUTH_SECONDS,
            "scope": scope,
            "token_type": "Bearer",
        }

    def issue_download_token(self, export_id: str, part: int, seconds: float) -> str:
        """Return a fresh short-lived token for a file of an export."""
        token = self.identifier("dl_", 48)
        self._download_tokens[token] = DownloadToken(export_id, part, self._clock() + seconds)
        return token

    def check_download_token(self, export_id: str, token: str) -> int:
        """Return the number of the file that a token gives access to.

        Voucherify docs: the token is short-lived; 401 with right credentials means it has expired.

        Raises:
            ApiError: If the token is not for this export, or has expired.
        """
        known = self._download_tokens.get(token)
        if known is None or known.export_id != export_id or known.expires <= self._clock():
            unauthorized()
        return known.part
