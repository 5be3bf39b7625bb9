"""Generated records; each depends only on the seed and its number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .chances import Chances
from .instants import DAY_MS, to_text
from .objects import OBJECTS
from .vocabulary import (
    API_CALLS,
    API_STATUSES,
    CAMPAIGNS,
    CHANNELS,
    CITIES,
    FAILURES,
    ORDER_STATUSES,
    TRANSACTION_TYPES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .project import Project

Cells: TypeAlias = dict[str, str]


def generate(
    project: Project,
    name: str,
    number: int,
    created: int,
    updated: int | None,
) -> tuple[Cells, Cells]:
    """Return the cells and the metadata of one record.

    Args:
        project: The project of the record.
        name: The exported object.
        number: The record's number.
        created: The exported creation time.
        updated: The exported time of the last update.
    """
    declared = OBJECTS[name]
    chances = Chances(f"{project.seed}:{name}:{number}")
    cells = declared.empty_cells | _WRITERS[name](_Writer(project, chances, number, created))
    if declared.created_field:
        cells[declared.created_field] = to_text(created)
    if declared.updated_field and updated is not None:
        cells[declared.updated_field] = to_text(updated)
    metadata = {
        key.name: key.value(chances.below(1000), created)
        for key in project.metadata_keys.get(name, ())
        if chances.happens(70)
    }
    return cells, dict(sorted(metadata.items()))


@dataclass(frozen=True)
class _Writer:
    """Generates the cells of one record."""

    project: Project
    chances: Chances
    number: int
    created: int

    def some(self, name: str) -> int:
        """Return the number of some record of an object."""
        return self.chances.below(max(1, self.project.sizes[name]))

    def own_id(self, kind: str) -> str:
        return self.project.identifier(kind, self.number)

    def campaign(self) -> tuple[str, str]:
        """Return the id and the name of some campaign, both empty for none."""
        number = self.chances.below(len(CAMPAIGNS))
        if number > self.project.reference_sizes["campaigns"]:
            number = 0
        return self.project.identifier("campaign", number) if number else "", CAMPAIGNS[number]

    def text(self) -> str:
        """Return some free text, often none."""
        return self.chances.one_of(self.project.texts)

    def voucher(self) -> Cells:
        project, chances = self.project, self.chances
        kind = chances.below(3)
        percent, gift, loyalty = kind == 0, kind == 1, kind == 2
        amount = 50 + 50 * chances.below(100)
        campaign_id, campaign = self.campaign()
        holder = self.some("customer") if self.chances.happens(50) else None
        code = project.voucher_code(self.number)
        limited = self.chances.happens(30)
        return {
            "id": self.own_id("voucher"),
            "code": code,
            "voucher_type": ("DISCOUNT_VOUCHER", "GIFT_VOUCHER", "LOYALTY_CARD")[kind],
            "value": str(amount % 100) if percent else f"{amount}.00" if gift else str(amount),
            "discount_type": "PERCENT" if percent else "",
            "discount_effect": "APPLY_TO_ORDER" if percent else "",
            "discount_amount_limit": "50.00" if percent and limited else "",
            "gift_balance": f"{amount}.00" if gift else "",
            "loyalty_balance": str(amount) if loyalty else "",
            "campaign": campaign,
            "campaign_id": campaign_id,
            "category": ("", "New, Customers", "VIP")[amount % 3],
            "start_date": to_text(self.created - DAY_MS) if limited else "",
            "expiration_date": to_text(self.created + 90 * DAY_MS) if limited else "",
            "validity_timeframe_interval": "P2D" if limited else "",
            "validity_timeframe_duration": "PT1H" if limited else "",
            "validity_day_of_week": "1,2,3,4,5" if limited else "",
            "redemption_quantity": str(amount % 7 or ""),
            "redemption_count": str(amount % 5),
            "active": "false" if amount % 11 == 0 else "true",
            "qr_code": project.asset_url("qr", self.number),
            "bar_code": project.asset_url("barcode", self.number),
            "is_referral_code": "true" if amount % 13 == 0 else "false",
            "additional_info": self.text(),
            "customer_id": "" if holder is None else project.identifier("customer", holder),
            "customer_source_id": "" if holder is None else project.customer_source_id(holder),
            "validation_rules_id": (
                project.reference("validation_rules", "rules", amount // 50) if limited else ""
            ),
        }

    def redemption(self) -> Cells:
        project, chances = self.project, self.chances
        failed = self.chances.happens(15)
        code, message = chances.one_of(FAILURES) if failed else ("", "")
        customer = self.some("customer")
        amount = 100 + chances.below(99_900)
        return {
            "id": self.own_id("failed redemption" if failed else "redemption"),
            "object": "redemption",
            "voucher_code": project.voucher_code(self.some("voucher")),
            "campaign": self.campaign()[1],
            "promotion_tier_id": (
                project.reference("promotion_tiers", "tier", amount // 9) if amount % 9 == 0 else ""
            ),
            "customer_id": project.identifier("customer", customer),
            "customer_source_id": project.customer_source_id(customer),
            "customer_name": project.customer_name(customer),
            "tracking_id": project.identifier("tracking", customer),
            "order_id": project.identifier("order", self.some("order")) if amount % 2 else "",
            "order_amount": str(amount) if amount % 2 else "",
            "gift_amount": f"{amount % 100}.00" if amount % 3 == 0 else "",
            "loyalty_points": str(amount % 50) if amount % 3 == 1 else "",
            "result": "FAILURE" if failed else "SUCCESS",
            "failure_code": code,
            "failure_message": message,
        }

    def publication(self) -> Cells:
        # Voucherify docs: publications have no id, and failed ones may have no voucher code.
        project = self.project
        customer = self.some("customer")
        failed = self.chances.happens(6)
        return {
            "voucher_code": "" if failed else project.voucher_code(self.some("voucher")),
            "customer_id": project.identifier("customer", customer),
            "customer_source_id": project.customer_source_id(customer),
            "channel": self.chances.one_of(("voucherify-website", "API", "Automation")),
            "campaign": self.campaign()[1],
            "is_winner": self.chances.one_of(("", "true", "false")),
        }

    def customer(self) -> Cells:
        project, number = self.project, self.number
        city, state, country, postal_code = self.chances.one_of(CITIES)
        born = to_text(self.created - (20 + number % 40) * 365 * DAY_MS)[:10]
        orders, redeemed = number % 6, number % 5
        spent = self.chances.below(100_000) if orders else 0
        return {
            "id": self.own_id("customer"),
            "name": project.customer_name(number),
            "description": self.text(),
            "email": project.email(number),
            "source_id": project.customer_source_id(number),
            "address_city": city,
            "address_state": state,
            "address_line_1": f"{number} Main St, Apt. 4",
            "address_line_2": self.text(),
            "address_country": country,
            "address_postal_code": postal_code,
            "redemptions_total_redeemed": str(redeemed),
            "redemptions_total_failed": str(redeemed // 2),
            "redemptions_total_succeeded": str(redeemed - redeemed // 2),
            "redemptions_total_rolled_back": "0",
            "redemptions_total_rollback_failed": "0",
            "redemptions_total_rollback_succeeded": "0",
            "orders_total_amount": str(spent),
            "orders_total_count": str(orders),
            "orders_average_amount": str(spent // orders) if orders else "",
            "orders_last_order_amount": str(spent // 2) if orders else "",
            "orders_last_order_date": to_text(self.created + 61_001) if orders else "",
            "loyalty_points": str(number % 2000),
            "loyalty_referred_customers": str(number % 3),
            "phone": f"+1 (294) 752-{number % 10_000:04d}" if number % 2 else "",
            "birthday": born if number % 3 else "",
            "birthdate": born if number % 3 else "",
        }

    def order(self) -> Cells:
        chances = self.chances
        amount = 1_000 + chances.below(999_000)
        discount, item_discount = amount // 10, amount // 20
        referrer = chances.happens(10)
        customer = self.some("customer")
        return {
            "id": self.own_id("order"),
            "source_id": f"{self.number:05d}",
            "status": chances.one_of(ORDER_STATUSES),
            "amount": str(amount),
            "discount_amount": str(discount),
            "items_discount_amount": str(item_discount),
            "total_discount_amount": str(discount + item_discount),
            "total_amount": str(amount - discount - item_discount),
            "customer_id": self.project.identifier("customer", customer),
            "referrer_id": self.project.identifier("customer", customer + 1) if referrer else "",
        }

    def points_expiration(self) -> Cells:
        expired = self.chances.happens(20)
        campaigns = min(4, self.project.reference_sizes["campaigns"])
        campaign = 1 + self.number % max(1, campaigns)
        return {
            "id": self.own_id("points_expiration"),
            "campaign_id": self.project.identifier("campaign", campaign) if campaigns else "",
            "voucher_id": self.project.identifier("voucher", self.some("voucher")),
            "points": str(10 + 10 * self.chances.below(200)),
            "status": "EXPIRED" if expired else "ACTIVE",
            "expires_at": to_text(self.created + self.chances.below(400) * DAY_MS)[:10],
        }

    def voucher_transactions(self) -> Cells:
        project, chances = self.project, self.chances
        kind = chances.one_of(TRANSACTION_TYPES)
        amount = chances.below(10_000) - 5_000
        voucher = self.some("voucher")
        details = {
            "balance": {"type": kind.split("_")[0].lower(), "total": 5_000, "amount": amount},
            "order": {"id": project.identifier("order", self.some("order")), "source_id": None},
            "reason": 'a "quoted" reason,\nin two lines',
        }
        transferred = kind == "POINTS_TRANSFER_OUT"
        return {
            "id": self.own_id("voucher_transactions"),
            "campaign_id": self.campaign()[0],
            "voucher_id": project.identifier("voucher", voucher),
            "type": kind,
            "source_id": f"{self.number:06d}" if self.number % 2 else "",
            "reason": self.text(),
            "source": chances.one_of(("API", "voucherify-web-ui", "Automation")),
            "balance": f"{5_000 + amount}.00"
            if kind.startswith("CREDITS")
            else str(5_000 + amount),
            "amount": f"{amount}.00" if kind.startswith("CREDITS") else str(amount),
            "related_transaction_id": (
                project.identifier("voucher_transactions", self.number + 1) if transferred else ""
            ),
            "details": json.dumps(details, ensure_ascii=False),
        }

    def product(self) -> Cells:
        return {
            "id": self.own_id("product"),
            "name": f"Product {self.number}, {self.chances.one_of(('red', 'größer', '🎁'))}",
            "price": f"{(100 + self.chances.below(99_900)) / 100:.2f}",
            "image_url": f"https://img.example.com/{self.number}.png",
            "source_id": f"{self.number:05d}",
            "attributes": "color,size" if self.number % 2 else "",
        }

    def sku(self) -> Cells:
        return {
            "id": self.own_id("sku"),
            "sku": f"size {self.number}",
            "product_id": self.project.identifier("product", self.some("product")),
            "currency": self.chances.one_of(("USD", "EUR", "")),
            "price": f"{(100 + self.chances.below(99_900)) / 100:.2f}",
            "image_url": "",
            "source_id": f"00{self.number}",
            "attributes": '{"color": "red", "size": "L"}',
        }

    def api_log(self) -> Cells:
        project, chances = self.project, self.chances
        method, endpoint, path = chances.one_of(API_CALLS)
        status, channel = chances.one_of(API_STATUSES), chances.one_of(CHANNELS)
        customer = self.some("customer")
        body = {
            "customer": {"source_id": project.customer_source_id(customer)},
            "note": 'a "b"\n,c',
        }
        response = {"code": int(status), "message": self.text()} if status != "200" else body
        return {
            "id": self.own_id("api_log"),
            "status": status,
            "request_id": project.identifier("request", self.number),
            "channel": channel,
            "method": method,
            "endpoint": endpoint,
            "url": f"https://api.voucherify.io{path}",
            "user_email": project.email(customer) if channel == "WEBSITE" else "",
            "app_id": project.identifier("app", 1) if channel == "API" else "",
            "client_app_id": project.identifier("app", 2) if channel == "CLIENT" else "",
            "request_duration": str(5 + chances.below(900)),
            "request_body": json.dumps(body, ensure_ascii=False) if method != "GET" else "",
            "response_body": json.dumps(response, ensure_ascii=False),
        }


_WRITERS: Mapping[str, Callable[[_Writer], Cells]] = {
    "voucher": _Writer.voucher,
    "redemption": _Writer.redemption,
    "publication": _Writer.publication,
    "customer": _Writer.customer,
    "order": _Writer.order,
    "points_expiration": _Writer.points_expiration,
    "voucher_transactions": _Writer.voucher_transactions,
    "product": _Writer.product,
    "sku": _Writer.sku,
    "api_log": _Writer.api_log,
}
