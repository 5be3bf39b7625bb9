"""One declaration for each stream read from a list endpoint: what exports refer to.

Names, types and descriptions come from the reference of these endpoints. Properties that it does
not document are collected in `other`.

To add a stream, add a class here, list it in `LIST_STREAMS`, and run `python -m dev.generate`.
"""

from __future__ import annotations

from tap_voucherify.columns import (
    BOOLEAN,
    INTEGER,
    JSON_ARRAY,
    JSON_OBJECT,
    NUMBER,
    TEXT,
    TIMESTAMP,
    Column,
)
from tap_voucherify.list_stream import ListStream

# Shared by campaigns, their vouchers, and promotion tiers.
VALIDITY = (
    Column("start_date", TIMESTAMP, "Not valid before."),
    Column("expiration_date", TIMESTAMP, "Not valid after."),
    Column(
        "validity_timeframe",
        JSON_OBJECT,
        "Recurring periods of validity.",
        parts=(
            Column("interval", TEXT, "From one period's start to the next (ISO 8601 duration)."),
            Column("duration", TEXT, "Length of a period (ISO 8601 duration)."),
        ),
    ),
    Column("validity_day_of_week", JSON_ARRAY, "Valid days; 0 is Sunday.", items=INTEGER),
    Column(
        "validity_hours",
        JSON_OBJECT,
        "Valid hours of the day.",
        parts=(
            Column(
                "daily",
                JSON_ARRAY,
                "Valid hours, by days of the week.",
                parts=(
                    Column("start_time", TEXT, "First valid time, HH:mm."),
                    Column("days_of_week", JSON_ARRAY, "Days; 0 is Sunday.", items=INTEGER),
                    Column("expiration_time", TEXT, "Last valid time, HH:mm."),
                ),
            ),
        ),
    ),
)

CATEGORIES = Column(
    "categories",
    JSON_ARRAY,
    "Categories, where the endpoint returns them.",
    parts=(
        Column("id", TEXT, "Unique category ID."),
        Column("name", TEXT, "Category name."),
        Column("hierarchy", INTEGER, "Categories with a lower number come first."),
        Column("object", TEXT, "Type of object."),
        Column("created_at", TIMESTAMP, "When the category was created."),
        Column("updated_at", TIMESTAMP, "When the category was last updated."),
    ),
)

ASSIGNMENT = (
    Column("id", TEXT, "Unique assignment ID."),
    Column("rule_id", TEXT, "ID of the validation rule."),
    Column("related_object_id", TEXT, "ID of what the rule is assigned to."),
    Column(
        "related_object_type",
        TEXT,
        "voucher, campaign, earning_rule, reward_assignment, promotion_tier or distribution.",
    ),
    Column("created_at", TIMESTAMP, "When the assignment was created."),
    Column("object", TEXT, "Type of object."),
)


CODE_CONFIG = (
    Column("length", NUMBER, "Number of random characters."),
    Column("charset", TEXT, "Characters that may appear."),
    Column("prefix", TEXT, "Text before the random characters."),
    Column("postfix", TEXT, "Text after the random characters."),
    Column("pattern", TEXT, "Pattern with # for a random character; overrides the length."),
    Column("initial_count", INTEGER, "Internal."),
)
QUANTITY = Column("quantity", INTEGER, "Maximum number of redemptions; null is unlimited.")
TOTAL_REDEEMED = Column("total_redeemed", INTEGER, "Number of redemptions.")
ORDER_TOTALS = (
    Column("total_amount", INTEGER, "Sum of order totals."),
    Column("total_discount_amount", INTEGER, "Sum of discounts."),
)


class Campaigns(ListStream):
    """Campaigns, which vouchers, promotion tiers and points expirations belong to."""

    name = "campaigns"
    path = "/v1/campaigns"
    list_key = "campaigns"
    scope = "campaigns"
    columns = (
        Column("id", TEXT, "Unique campaign ID."),
        Column("name", TEXT, "Campaign name."),
        Column("description", TEXT, "Description."),
        Column(
            "campaign_type",
            TEXT,
            "LOYALTY_PROGRAM, GIFT_VOUCHERS, DISCOUNT_COUPONS, PROMOTION or REFERRAL_PROGRAM.",
        ),
        Column("type", TEXT, "AUTO_UPDATE, STATIC or STANDALONE."),
        Column(
            "voucher",
            JSON_OBJECT,
            "Template of the campaign's vouchers.",
            parts=(
                Column("type", TEXT, "DISCOUNT_VOUCHER, GIFT_VOUCHER or LOYALTY_CARD."),
                Column("discount", JSON_OBJECT, "The discount."),
                Column("gift", JSON_OBJECT, "The gift card's amount and effect."),
                Column("loyalty_card", JSON_OBJECT, "The loyalty card's points and expiration."),
                Column("redemption", JSON_OBJECT, "Redemption limit.", parts=(QUANTITY,)),
                Column("code_config", JSON_OBJECT, "Pattern of the codes.", parts=CODE_CONFIG),
                Column("is_referral_code", BOOLEAN, "Whether the vouchers are referral codes."),
                *VALIDITY,
            ),
        ),
        Column("auto_join", BOOLEAN, "Whether customers join by fulfilling an earning rule."),
        Column("join_once", BOOLEAN, "Whether customers can join only once."),
        Column(
            "use_voucher_metadata_schema",
            BOOLEAN,
            "Whether the voucher metadata schema applies instead of the campaign one.",
        ),
        *VALIDITY,
        Column(
            "activity_duration_after_publishing",
            TEXT,
            "How long vouchers are valid once published (ISO 8601 duration).",
        ),
        Column("vouchers_count", INTEGER, "Number of vouchers."),
        Column("active", BOOLEAN, "Whether the campaign is switched on."),
        Column("metadata", JSON_OBJECT, "Custom attributes."),
        Column("created_at", TIMESTAMP, "When the campaign was created."),
        Column("updated_at", TIMESTAMP, "When the campaign was last updated."),
        Column("category", TEXT, "Category name."),
        Column("creation_status", TEXT, "DONE, IN_PROGRESS, FAILED, DRAFT or MODIFYING."),
        Column(
            "vouchers_generation_status", TEXT, "DONE, IN_PROGRESS, FAILED, DRAFT or MODIFYING."
        ),
        Column("readonly", BOOLEAN, "Whether a restricted user can only read the campaign."),
        Column("protected", BOOLEAN, "Whether the campaign cannot be deleted."),
        Column("category_id", TEXT, "Category ID."),
        CATEGORIES,
        Column("object", TEXT, "Type of object."),
        Column(
            "referral_program",
            JSON_OBJECT,
            "The referral program.",
            parts=(
                Column("conversion_event_type", TEXT, "redemption or custom_event."),
                Column("custom_event", JSON_OBJECT, "The custom event."),
                Column("referee_reward", JSON_OBJECT, "The referee's reward."),
            ),
        ),
        Column(
            "loyalty_tiers_expiration",
            JSON_OBJECT,
            "When loyalty tiers start and expire.",
            parts=(
                Column("qualification_type", TEXT, "BALANCE or POINTS_IN_PERIOD."),
                Column("qualification_period", TEXT, "MONTH, QUARTER, HALF_YEAR or YEAR."),
                Column("start_date", JSON_OBJECT, "What starts a tier."),
                Column("expiration_date", JSON_OBJECT, "What ends a tier."),
            ),
        ),
    )


class ValidationRules(ListStream):
    """Validation rules, which limit when vouchers and campaigns apply."""

    name = "validation_rules"
    path = "/v1/validation-rules"
    list_key = "data"
    scope = "validation-rules"
    columns = (
        Column("id", TEXT, "Unique validation rule ID."),
        Column("name", TEXT, "Unique name."),
        # Properties are named by rule numbers, so even the documented `logic` is not declared.
        Column("rules", JSON_OBJECT, "The rules by number, and the logic between them."),
        Column("bundle_rules", JSON_OBJECT, "The bundle rules by number, and their logic."),
        Column(
            "error",
            JSON_OBJECT,
            "The error message for redemptions that break the rule.",
            parts=(Column("message", TEXT, "The message."),),
        ),
        Column(
            "applicable_to",
            JSON_OBJECT,
            "Which items the discount applies to.",
            parts=(
                Column("excluded", JSON_ARRAY, "Excluded items."),
                Column("included", JSON_ARRAY, "Included items."),
                Column("included_all", BOOLEAN, "Whether all items are included."),
            ),
        ),
        Column("type", TEXT, "expression, basic, advanced or complex."),
        Column("context_type", TEXT, "What the rule is for, such as voucher.discount_voucher."),
        Column("assignments_count", INTEGER, "Number of assignments."),
        Column("created_at", TIMESTAMP, "When the rule was created."),
        Column("updated_at", TIMESTAMP, "When the rule was last updated."),
        Column("object", TEXT, "Type of object."),
    )


class ValidationRuleAssignments(ListStream):
    """What validation rules are assigned to: vouchers, campaigns, promotion tiers and more."""

    name = "validation_rule_assignments"
    path = "/v1/validation-rules-assignments"
    list_key = "data"
    scope = "validation-rules-assignments"
    columns = ASSIGNMENT


class PromotionTiers(ListStream):
    """Promotion tiers, which redemptions without a voucher belong to."""

    name = "promotion_tiers"
    path = "/v1/promotions/tiers"
    list_key = "tiers"
    scope = "promotions"
    columns = (
        Column("id", TEXT, "Unique promotion tier ID."),
        Column("name", TEXT, "Name."),
        Column("banner", TEXT, "Text shown to customers."),
        Column(
            "action",
            JSON_OBJECT,
            "What the promotion tier does.",
            parts=(Column("discount", JSON_OBJECT, "The discount."),),
        ),
        Column("metadata", JSON_OBJECT, "Custom attributes."),
        Column("hierarchy", INTEGER, "Position in the order in which tiers apply."),
        Column("promotion_id", TEXT, "Promotion ID."),
        Column("campaign_id", TEXT, "Campaign ID."),
        Column(
            "campaign",
            JSON_OBJECT,
            "Summary of the campaign.",
            parts=(
                Column("id", TEXT, "Campaign ID."),
                *VALIDITY,
                Column("active", BOOLEAN, "Whether the campaign is switched on."),
                Column("category_id", TEXT, "Category ID."),
                Column("object", TEXT, "Type of object."),
            ),
        ),
        Column("active", BOOLEAN, "Whether the promotion tier is switched on."),
        *VALIDITY,
        Column(
            "summary",
            JSON_OBJECT,
            "Totals of its redemptions and orders.",
            parts=(
                Column("redemptions", JSON_OBJECT, "Redemptions.", parts=(TOTAL_REDEEMED,)),
                Column("orders", JSON_OBJECT, "Orders.", parts=ORDER_TOTALS),
            ),
        ),
        Column("created_at", TIMESTAMP, "When the promotion tier was created."),
        Column("updated_at", TIMESTAMP, "When the promotion tier was last updated."),
        Column("object", TEXT, "Type of object."),
        Column(
            "validation_rule_assignments",
            JSON_OBJECT,
            "The assigned validation rules.",
            parts=(
                Column("object", TEXT, "Type of object."),
                Column("data_ref", TEXT, "Name of the property with the assignments."),
                Column("data", JSON_ARRAY, "The assignments.", parts=ASSIGNMENT),
                Column("total", INTEGER, "Number of assignments."),
            ),
        ),
        Column("category_id", TEXT, "Category ID."),
        CATEGORIES,
    )


LIST_STREAMS: tuple[type[ListStream], ...] = (
    Campaigns,
    ValidationRules,
    ValidationRuleAssignments,
    PromotionTiers,
)
