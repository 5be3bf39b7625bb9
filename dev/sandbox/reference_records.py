"""Generated campaigns, validation rules, assignments and promotion tiers.

Each depends only on the seed and its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .chances import Chances
from .instants import DAY_MS, to_text
from .vocabulary import TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .project import Project

Json: TypeAlias = dict[str, Any]

#: Marks an optional property that the API leaves out.
ABSENT = object()
_CHARSET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CAMPAIGN_TYPES = (
    *("DISCOUNT_COUPONS", "LOYALTY_PROGRAM", "GIFT_VOUCHERS", "REFERRAL_PROGRAM", "PROMOTION"),
)
_CONTEXTS = (
    "campaign.discount_coupons.discount.apply_to_order",
    "campaign.promotion",
    "voucher.discount_voucher",
    "global",
)


def _discount(number: int) -> Json:
    """Return one of the documented kinds of discounts. Voucherify docs: schema `Discount`."""
    return (
        {"type": "AMOUNT", "amount_off": 2000 + number, "effect": "APPLY_TO_ORDER"},
        {
            "type": "PERCENT",
            "percent_off": 12.5,
            "percent_off_formula": "IF(ORDER_AMOUNT > 300;15;5)",
            "amount_limit": 4400,
            "effect": "APPLY_TO_ITEMS",
        },
        {"type": "FIXED", "fixed_amount": 0.1, "effect": "APPLY_TO_ORDER"},
        {
            "type": "UNIT",
            "unit_off": 2,
            "unit_type": "prod_1",
            "effect": "ADD_MISSING_ITEMS",
            "product": {"id": "prod_1", "source_id": "00123", "name": 'Mug, "large"'},
        },
    )[number % 4]


def _validity(created: int, *, limited: bool) -> Json:
    """Return the properties that limit when something is valid."""
    if not limited:
        return {}
    return {
        "start_date": to_text(created - created % DAY_MS),
        "expiration_date": to_text(created - created % DAY_MS + 90 * DAY_MS),
        "validity_timeframe": {"interval": "P3D", "duration": "P1D"},
        "validity_day_of_week": [1, 2, 3, 4, 5],
        "validity_hours": {
            "daily": [
                {"start_time": "12:00", "days_of_week": [1, 2], "expiration_time": "14:30"},
            ],
        },
    }


def _updated(chances: Chances, created: int) -> object:
    """Return the time of the last update; objects that were never updated have none."""
    return to_text(created + chances.below(9 * DAY_MS)) if chances.happens(50) else ABSENT


def _category(project: Project, number: int, created: int) -> Json:
    """Return a category. Voucherify docs: schema `Category`."""
    return {
        "id": project.identifier("category", number),
        "name": ("New, Customers", "VIP")[number],
        "hierarchy": number,
        "created_at": to_text(created),
        "object": "category",
    }


def _campaign_voucher(kind: str, number: int, validity: Json) -> Json:
    """Return how the vouchers of a campaign are made. Voucherify docs: `CampaignVoucher`."""
    content: Json
    if kind == "LOYALTY_PROGRAM":
        rules = {"period_type": "MONTH", "period_value": 7, "rounding_type": "END_OF_YEAR"}
        loyalty_card = {"points": 10 * number, "expiration_rules": rules}
        content = {"type": "LOYALTY_CARD", "loyalty_card": loyalty_card}
    elif kind == "GIFT_VOUCHERS":
        gift = {"amount": 10_000, "balance": 10_000, "effect": "APPLY_TO_ORDER"}
        content = {"type": "GIFT_VOUCHER", "gift": gift}
    else:
        content = {"type": "DISCOUNT_VOUCHER", "discount": _discount(number)}
    return {
        **content,
        "redemption": {"quantity": None if number % 2 else 1},
        "code_config": {"length": 8, "charset": _CHARSET, "pattern": "########", "prefix": "É-"},
        "is_referral_code": kind == "REFERRAL_PROGRAM",
        **validity,
    }


def _campaign(project: Project, position: int, created: int) -> Json:
    """Return a campaign. Voucherify docs: schema `CampaignBase`."""
    number = position + 1
    chances = Chances(f"{project.seed}:campaigns:{number}")
    kind = _CAMPAIGN_TYPES[position % len(_CAMPAIGN_TYPES)]
    validity = _validity(created, limited=number % 3 == 0)
    categories = [_category(project, number % 2, created)] if number % 3 else []
    tiers_expiration = {
        "qualification_type": "BALANCE",
        "start_date": {"type": "IMMEDIATE"},
        "expiration_date": {"type": "END_OF_PERIOD", "extend": "P3M"},
    }
    return {
        "id": project.identifier("campaign", number),
        "name": project.campaign_name(number),
        "description": chances.one_of(TEXTS) or ABSENT,
        "campaign_type": kind,
        "type": ("AUTO_UPDATE", "STATIC")[number % 2],
        "voucher": ABSENT if kind == "PROMOTION" else _campaign_voucher(kind, number, validity),
        "auto_join": kind == "LOYALTY_PROGRAM",
        "join_once": number % 2 == 0,
        "use_voucher_metadata_schema": number % 4 == 0,
        **validity,
        "activity_duration_after_publishing": "P24D" if number % 4 == 1 else ABSENT,
        "vouchers_count": ABSENT if kind == "PROMOTION" else chances.below(100_000),
        "active": number % 7 != 0,
        "metadata": _metadata(number),
        "updated_at": _updated(chances, created),
        "category": categories[0]["name"] if categories else ABSENT,
        "creation_status": "DONE",
        "vouchers_generation_status": "DONE",
        "readonly": False,
        "protected": number % 5 == 0,
        "category_id": categories[0]["id"] if categories else None,
        "categories": categories,
        "object": "campaign",
        "referral_program": (
            {"conversion_event_type": "redemption", "referee_reward": {"amount": 10}}
            if kind == "REFERRAL_PROGRAM"
            else ABSENT
        ),
        "loyalty_tiers_expiration": tiers_expiration if kind == "LOYALTY_PROGRAM" else ABSENT,
    }


def _metadata(number: int) -> Json:
    """Return metadata, some with numbers of more digits than a float holds."""
    if number % 3 == 0:
        return {}
    return {"region": "AMER", "größe": number / 8, "big": 12345678901234567890, "tags": ["a", "b"]}


def _validation_rule(project: Project, number: int, created: int) -> Json:
    """Return a validation rule. Voucherify docs: schema `ValidationRule`."""
    chances = Chances(f"{project.seed}:validation_rules:{number}")
    rule = {
        "name": "order.amount",
        "rules": {},
        "property": None,
        "conditions": {"$more_than": [10_000 + number]},
    }
    is_basic = number % 4 == 0
    included = {
        "object": "products_collection",
        "id": "pc_a11pr0dUc75",
        "source_id": None,
        "effect": "APPLY_TO_EVERY",
        "quantity_limit": 1,
    }
    return {
        "id": project.identifier("rules", number),
        "name": f'Order total more than {100 + number}, "net"',
        "rules": {"logic": ""} if is_basic else {"1": rule, "logic": "1"},
        "error": {"message": "Order\ntoo small"} if number % 5 == 0 else ABSENT,
        "applicable_to": {
            "excluded": [],
            "included": [included] if is_basic else [],
            "included_all": False,
        },
        "updated_at": _updated(chances, created),
        "type": "basic" if is_basic else "advanced",
        "context_type": _CONTEXTS[number % len(_CONTEXTS)],
        "object": "validation_rules",
    }


def _assignment(project: Project, number: int, _created: int) -> Json:
    """Return an assignment. Voucherify docs: schema `ValidationRuleAssignment`."""
    sizes = project.reference_sizes
    kinds: list[tuple[str, str, int]] = [
        ("voucher", "voucher", project.sizes["voucher"]),
        ("campaign", "campaign", sizes["campaigns"]),
        ("promotion_tier", "tier", sizes["promotion_tiers"]),
    ]
    related_type, kind, size = kinds[number % 3]
    if size:
        related = number // 3 % size + (kind == "campaign")
    else:
        related_type, kind, related = "distribution", "distribution", number
    rule = number % max(1, sizes["validation_rules"])
    return {
        "id": project.identifier("assignment", number),
        "rule_id": project.identifier("rules", rule),
        "related_object_id": project.identifier(kind, related),
        "related_object_type": related_type,
        "object": "validation_rules_assignment",
    }


def _promotion_tier(project: Project, number: int, created: int) -> Json:
    """Return a promotion tier. Voucherify docs: schema `PromotionTier`."""
    chances = Chances(f"{project.seed}:promotion_tiers:{number}")
    sizes = project.reference_sizes
    promotions = range(5, sizes["campaigns"] + 1, 5)
    campaign_id = (
        project.identifier("campaign", promotions[number % len(promotions)]) if promotions else None
    )
    validity = _validity(created, limited=number % 2 == 0)
    redeemed = chances.below(500)
    return {
        "id": project.identifier("tier", number),
        "updated_at": _updated(chances, created),
        "name": f"Tier {number}, {chances.one_of(('größer', '🎁'))}",
        "banner": chances.one_of(TEXTS) or ABSENT,
        "action": {"discount": _discount(number)},
        "metadata": _metadata(number),
        "hierarchy": 1 + number % 30,
        "promotion_id": campaign_id,
        "campaign": {
            "id": campaign_id,
            "start_date": None,
            "expiration_date": None,
            "active": True,
            "category_id": None,
            "object": "campaign",
        },
        "campaign_id": campaign_id,
        "active": number % 6 != 0,
        **validity,
        "summary": {
            "redemptions": {"total_redeemed": redeemed},
            "orders": {"total_amount": redeemed * 15_733, "total_discount_amount": redeemed * 1000},
        },
        "object": "promotion_tier",
        "categories": [],
    }


WRITERS: Mapping[str, Callable[[Project, int, int], Json]] = {
    "campaigns": _campaign,
    "validation_rules": _validation_rule,
    "validation_rules_assignments": _assignment,
    "promotion_tiers": _promotion_tier,
}
