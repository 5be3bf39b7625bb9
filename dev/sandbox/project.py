"""Identifiers and names that records of a project share."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import quote

from .vocabulary import CAMPAIGNS, CODE_PREFIXES, FIRST_NAMES, LAST_NAMES, TEXTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .metadata import MetadataKey

_PREFIXES = {
    "voucher": "v_",
    "redemption": "r_",
    "failed redemption": "rf_",
    "customer": "cust_",
    "order": "ord_",
    "points_expiration": "lopb_",
    "voucher_transactions": "vtx_",
    "campaign": "camp_",
    "product": "prod_",
    "sku": "sku_",
    "tier": "promo_",
    "tracking": "track_",
    "rules": "val_",
    "assignment": "asgm_",
    "category": "cat_",
    "distribution": "distr_",
    "api_log": "log_",
    "app": "app_",
    "request": "v-",
}


@dataclass(frozen=True)
class Project:
    """Identifiers and names of the records of a project.

    Attributes:
        seed: The seed of everything.
        sizes: Number of records of each object.
        metadata_keys: The metadata keys of each object, project-wide.
        reference_sizes: Number of objects of each list endpoint that records refer to.
        texts: The texts that free-text cells are chosen from.
    """

    seed: int
    sizes: Mapping[str, int]
    metadata_keys: Mapping[str, tuple[MetadataKey, ...]]
    reference_sizes: Mapping[str, int]
    texts: Sequence[str] = TEXTS

    def identifier(self, kind: str, number: int) -> str:
        """Return the id of a record, the same in every reference to it."""
        digest = blake2b(f"{self.seed}:{kind}:{number}".encode(), digest_size=9).hexdigest()
        return _PREFIXES[kind] + digest

    def reference(self, name: str, kind: str, number: int) -> str:
        """Return the id of one of the objects of a list endpoint, or nothing if there is none."""
        size = self.reference_sizes[name]
        return self.identifier(kind, number % size) if size else ""

    def campaign_name(self, number: int) -> str:
        """Return the name of a campaign, counted from 1."""
        return CAMPAIGNS[number] if number < len(CAMPAIGNS) else f"Campaign {number}"

    def voucher_code(self, number: int) -> str:
        """Return the code of a voucher; some are digits with leading zeros."""
        if number % 10 == 3:
            return f"00{number}"
        digest = blake2b(f"{self.seed}:code:{number}".encode(), digest_size=6).hexdigest()
        return f"{CODE_PREFIXES[number % len(CODE_PREFIXES)]}-{digest.upper()}"

    def asset_url(self, kind: str, number: int) -> str:
        """Return the URL of an image of a voucher's code, which ends in the encrypted code."""
        encrypted = blake2b(f"{self.seed}:{kind}:{number}".encode()).digest()
        token = quote(b64encode(b"Salted__" + encrypted), safe="")
        return f"https://dl.voucherify.io/api/v1/assets/{kind}/{token}"

    def customer_name(self, number: int) -> str:
        """Return the name of a customer."""
        first = FIRST_NAMES[number % len(FIRST_NAMES)]
        return f"{first} {LAST_NAMES[number % len(LAST_NAMES)]}"

    def customer_source_id(self, number: int) -> str:
        """Return the source id of a customer: digits with leading zeros, or an e-mail address."""
        return f"{number:05d}" if number % 4 == 0 else self.email(number)

    def email(self, number: int) -> str:
        """Return the e-mail address of a customer."""
        return f"jörg.{number}@exämple.com" if number % 9 == 0 else f"name.{number}@example.com"
