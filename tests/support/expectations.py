"""The records expected for each row of the sandbox, derived without the tap's help."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dev.sandbox import Row, Sandbox

OBJECTS = {
    "vouchers": "voucher",
    "redemptions": "redemption",
    "publications": "publication",
    "customers": "customer",
    "orders": "order",
    "voucher_transactions": "voucher_transactions",
    "points_expirations": "points_expiration",
    "products": "product",
    "skus": "sku",
    "api_logs": "api_log",
}
KEYS = {
    "vouchers": ["id"],
    "redemptions": ["id"],
    "publications": ["publication_key"],
    "customers": ["id"],
    "orders": ["id"],
    "voucher_transactions": ["id"],
    "points_expirations": ["id"],
    "products": ["id"],
    "skus": ["id"],
    "api_logs": ["id"],
}
# The streams that are not exported, with the sandbox's names of their lists.
LISTS = {
    "campaigns": "campaigns",
    "validation_rules": "validation_rules",
    "validation_rule_assignments": "validation_rules_assignments",
    "promotion_tiers": "promotion_tiers",
}
# The documented properties of their objects.
_VALIDITY = "start_date expiration_date validity_timeframe validity_day_of_week validity_hours"
PROPERTIES = {
    name: set(names.split())
    for name, names in {
        "campaigns": "id name description campaign_type type voucher auto_join join_once "
        "use_voucher_metadata_schema activity_duration_after_publishing vouchers_count active "
        "metadata created_at updated_at category creation_status vouchers_generation_status "
        "readonly protected category_id categories object referral_program "
        f"loyalty_tiers_expiration {_VALIDITY}",
        "validation_rules": "id name rules bundle_rules error applicable_to type context_type "
        "assignments_count created_at updated_at object",
        "validation_rule_assignments": "id rule_id related_object_id related_object_type "
        "created_at object",
        "promotion_tiers": "id created_at updated_at name banner action metadata hierarchy "
        "promotion_id campaign campaign_id active summary object validation_rule_assignments "
        f"category_id categories {_VALIDITY}",
    }.items()
}
INCREMENTAL = (
    "vouchers",
    "redemptions",
    "publications",
    "customers",
    "orders",
    "voucher_transactions",
)
FULL_TABLE = ("points_expirations", "products", "skus")
# The streams that a new catalog selects.
DEFAULT = (*INCREMENTAL, "points_expirations")
WITH_METADATA = (
    "vouchers",
    "redemptions",
    "publications",
    "customers",
    "orders",
    "products",
    "skus",
)

# Cells other than numbers, booleans and JSON are emitted unchanged; so are dates and times, which
# the sandbox writes in the format of bookmarks.
_NUMBERS = {
    "vouchers": {
        "value",
        "gift_balance",
        "loyalty_balance",
        "redemption_quantity",
        "redemption_count",
        "discount_amount_limit",
    },
    "redemptions": {"order_amount", "gift_amount", "loyalty_points"},
    "customers": {
        "redemptions_total_redeemed",
        "redemptions_total_failed",
        "redemptions_total_succeeded",
        "redemptions_total_rolled_back",
        "redemptions_total_rollback_failed",
        "redemptions_total_rollback_succeeded",
        "orders_total_amount",
        "orders_total_count",
        "orders_average_amount",
        "orders_last_order_amount",
        "loyalty_points",
        "loyalty_referred_customers",
    },
    "orders": {
        "amount",
        "discount_amount",
        "items_discount_amount",
        "total_discount_amount",
        "total_amount",
    },
    "voucher_transactions": {"balance", "amount"},
    "points_expirations": {"points"},
}
_BOOLEANS = {"vouchers": {"active", "is_referral_code"}}
_JSON = {"voucher_transactions": {"details"}}
_RENAMED = {
    "redemptions": {"date": "created_at"},
    "publications": {"date": "created_at"},
}


# The properties that make up the key of a publication.
DIGESTED = (
    "voucher_code",
    "customer_id",
    "customer_source_id",
    "created_at",
    "channel",
    "campaign",
)


class Exact(Decimal):
    """A number that equals another only digit for digit: `1.0` is not `1.00`."""

    def __eq__(self, other: object) -> bool:
        """Compare digit by digit."""
        return isinstance(other, Decimal) and self.as_tuple() == other.as_tuple()

    __hash__ = Decimal.__hash__


def read_json(text: str) -> Any:
    """Read JSON without losing a digit."""
    return json.loads(text, parse_float=Exact, parse_int=Exact)


def expected_record(stream: str, row: Row) -> dict[str, Any]:
    """Return the record that the tap must emit for a row."""
    renamed = _RENAMED.get(stream, {})
    record: dict[str, Any] = {}
    for field, cell in row.cells.items():
        name = renamed.get(field, field)
        value: Any = cell
        if cell == "" and name not in KEYS[stream]:
            value = None
        elif field in _NUMBERS.get(stream, ()):
            value = Exact(cell)
        elif field in _BOOLEANS.get(stream, ()):
            value = {"true": True, "false": False}[cell]
        elif field in _JSON.get(stream, ()):
            value = read_json(cell)
        record[name] = value
    if stream == "publications":
        record["publication_key"] = publication_key(record)
    if stream in WITH_METADATA:
        record["metadata"] = {key: text for key, text in row.metadata.items() if text != ""}
    return record


def publication_key(record: Mapping[str, Any]) -> str:
    """Return the key of a publication, which the sandbox does not export."""
    texts = json.dumps(
        [record[name] or "" for name in DIGESTED], ensure_ascii=False, separators=(",", ":")
    )
    return hashlib.sha256(texts.encode()).hexdigest()


def expected_records(
    sandbox: Sandbox,
    stream: str,
    start: str = "",
    end: str = "~",
) -> list[dict[str, Any]]:
    """Return the records of all rows whose emitted time lies in `[start, end)`, in any order."""
    records = [expected_record(stream, row) for row in sandbox.rows(OBJECTS[stream])]
    if stream in {*INCREMENTAL, "api_logs"}:
        records = [record for record in records if start <= record["created_at"] < end]
    return in_any_order(records)


def expected_objects(sandbox: Sandbox, stream: str) -> list[dict[str, Any]]:
    """Return the records of all objects of a list, in any order."""
    objects = read_json(json.dumps(sandbox.dataset.references.objects(LISTS[stream])))
    return in_any_order([expected_object(stream, each) for each in objects])


def expected_object(stream: str, listed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record that the tap must emit for an object of a list."""
    names = PROPERTIES[stream]
    other = {name: value for name, value in listed.items() if name not in names}
    return {**{name: listed.get(name) for name in sorted(names)}, "other": other or None}


def in_any_order(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records sorted, so that two lists of the same records are equal."""
    return sorted(records, key=identity)


def identity(record: dict[str, Any]) -> str:
    """Return a text that two records share if and only if all their values are equal."""
    return repr(sorted(record.items()))


def missing(
    records: Iterable[dict[str, Any]],
    expected: Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return the expected records that were never emitted."""
    emitted = set(map(identity, records))
    return [record for record in expected if identity(record) not in emitted]
