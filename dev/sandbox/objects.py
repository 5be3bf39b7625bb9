"""The ten exported objects: fields, titles, orders and filters, as Voucherify documents them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def _names(text: str) -> tuple[str, ...]:
    """Split a text into names."""
    return tuple(text.split())


#: Voucherify docs: Exports API, schema `FiltersCondition`.
OPERATORS = frozenset(
    _names(
        "$in $not_in $is $is_days_ago $is_days_in_future $is_not $has_value $is_unknown "
        "$contains $not_contain $starts_with $ends_with $more_than $less_than "
        "$more_than_ago $less_than_ago $more_than_future $less_than_future "
        "$more_than_equal $less_than_equal $after $before $count $count_less $count_more"
    )
)
_WINDOW = frozenset({"$after", "$before"})
_IS = frozenset({"$is"})

#: Voucherify docs: titles that do not snake-case back to the name of their field.
_SPECIAL_TITLES = {
    "loyalty_balance": "Loyalty Card Balance",
    "redemption_quantity": "Redemption Limit",
    "bar_code": "Barcode",
    "qr_code": "QR Code",
    "validity_day_of_week": "Validity Day of Week",
    "updated_at": "Last Update Date",
    "is_referral_code": "Is referral code?",
}


@dataclass(frozen=True)
class ExportedObject:
    """One value of `exported_object`.

    Attributes:
        name: What the API calls it.
        fields: The allowed fields, in the order of the documentation.
        default_fields: The exported fields when none are requested.
        orders: The fields by which an export can be ordered, up or down.
        filters: The allowed filters, with the operators of each.
        open_filters: Prefixes of other filters that are allowed.
        cells_of: The field that a filter or an order reads, where the names differ.
        undocumented_fields: Fields that only the dashboard offers; unknown whether they can be
            requested.
        created_field: The field of the creation time, or None.
        updated_field: The field of the last update, or None.
    """

    name: str
    fields: tuple[str, ...]
    default_fields: tuple[str, ...]
    orders: tuple[str, ...] = ()
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    open_filters: tuple[str, ...] = ()
    cells_of: Mapping[str, str] = field(default_factory=dict)
    undocumented_fields: tuple[str, ...] = ()
    created_field: str | None = "created_at"
    updated_field: str | None = None

    @cached_property
    def empty_cells(self) -> dict[str, str]:
        """The cells of a record without values: all fields but `metadata`, which has no cell."""
        return dict.fromkeys((name for name in self.fields if name != "metadata"), "")

    def operators_of(self, filter_name: str) -> frozenset[str] | None:
        """Return the operators of a filter, or None if the filter does not exist."""
        if filter_name in self.filters:
            return self.filters[filter_name]
        return OPERATORS if filter_name.startswith(self.open_filters) else None


def title_of(field_name: str, creation_title: str) -> str:
    """Return the display title of a field.

    Voucherify docs: the header row holds display titles. Apart from the known special ones they
    are the field's words in title case (seen in production for `Voucher Code`,
    `Customer Source ID`, `Order Amount`).
    """
    if field_name == "created_at":
        return creation_title
    if field_name in _SPECIAL_TITLES:
        return _SPECIAL_TITLES[field_name]
    return " ".join("ID" if word == "id" else word.capitalize() for word in field_name.split("_"))


def _filters(
    anything: str,
    **limited: frozenset[str],
) -> dict[str, frozenset[str]]:
    """Return filters: those that allow every operator, then those that allow a few."""
    return dict.fromkeys(_names(anything), OPERATORS) | limited


_DECLARATIONS = (
    ExportedObject(
        "voucher",
        fields=_names(
            "code voucher_type value formula discount_type campaign category start_date "
            "expiration_date gift_balance loyalty_balance redemption_quantity redemption_count "
            "active qr_code bar_code metadata id is_referral_code created_at updated_at "
            "validity_timeframe_interval validity_timeframe_duration validity_day_of_week "
            "discount_amount_limit campaign_id additional_info customer_id discount_effect "
            "discount_unit_type discount_unit_effect validation_rules_id "
            "customer_source_id"
        ),
        default_fields=("code", "voucher_type", "value", "discount_type"),
        orders=("created_at", "updated_at", "code"),
        filters=_filters(
            "created_at updated_at created_date active redemption_status start_date "
            "expiration_date validity_day_of_week code categories vouchers holder_id "
            "is_referral_code published_for_customer_id validity_timeframe category_ids",
        ),
        open_filters=("metadata.", "redemption."),
        cells_of={
            "created_date": "created_at",
            "categories": "category",
            "vouchers": "code",
            "holder_id": "customer_id",
            "published_for_customer_id": "customer_id",
            "validity_timeframe": "validity_timeframe_interval",
        },
        updated_field="updated_at",
    ),
    ExportedObject(
        "redemption",
        fields=_names(
            "id object date voucher_code campaign promotion_tier_id customer_id "
            "customer_source_id customer_name tracking_id order_id order_amount gift_amount "
            "loyalty_points result failure_code failure_message metadata"
        ),
        default_fields=("id", "object", "voucher_code", "customer_id", "date", "result"),
        orders=("id", "voucher_code", "tracking_id", "customer_id", "created_at"),
        filters=_filters(
            "voucher_code related_object_id related_object_parent_id parent_redemption_id "
            "failure_code result object customer_id campaign_name user_login status",
            created_at=_WINDOW,
            campaign=_IS,
            customer=_IS,
            voucher=_IS,
            related_object=frozenset({"$in"}),
        ),
        open_filters=("metadata.",),
        cells_of={
            "customer": "customer_id",
            "voucher": "voucher_code",
            "campaign_name": "campaign",
            "status": "result",
        },
        created_field="date",
    ),
    ExportedObject(
        "publication",
        fields=_names(
            "voucher_code customer_id customer_source_id date channel campaign is_winner metadata"
        ),
        # Voucherify docs: the prose calls the first one `code`, which the enum lacks.
        default_fields=("voucher_code", "customer_id", "date", "channel"),
        orders=("id", "voucher_code", "tracking_id", "customer_id", "created_at", "channel"),
        filters=_filters(
            "failure_code result customer_id campaign_name voucher_type is_referral_code "
            "parent_object_id related_object_id source_id",
            created_at=_WINDOW,
            campaign=_IS,
            customer=_IS,
            voucher=_IS,
        ),
        open_filters=("metadata.",),
        cells_of={
            "customer": "customer_id",
            "voucher": "voucher_code",
            "campaign_name": "campaign",
        },
        created_field="date",
    ),
    ExportedObject(
        "customer",
        fields=_names(
            "name id description email source_id created_at address_city address_state "
            "address_line_1 address_line_2 address_country address_postal_code "
            "redemptions_total_redeemed redemptions_total_failed redemptions_total_succeeded "
            "redemptions_total_rolled_back redemptions_total_rollback_failed "
            "redemptions_total_rollback_succeeded orders_total_amount orders_total_count "
            "orders_average_amount orders_last_order_amount orders_last_order_date "
            "loyalty_points loyalty_referred_customers updated_at phone birthday metadata "
            "birthdate"
        ),
        default_fields=("name", "source_id"),
        orders=("name", "id", "email", "source_id", "created_at", "updated_at"),
        filters=_filters(
            "email name phone birthday source_id publications.created_at "
            "publications.related_object_id",
            created_at=_WINDOW,
            updated_at=_WINDOW | _IS,
            city=_IS,
        ),
        open_filters=(
            "metadata.",
            "address.",
            "summary.",
            "loyalty.",
            "loyalty_tier.",
            "loyalty_points.",
            "system_metadata.",
        ),
        cells_of={
            "city": "address_city",
            "address.city": "address_city",
            "address.country": "address_country",
            "loyalty.points": "loyalty_points",
        },
        updated_field="updated_at",
    ),
    ExportedObject(
        "order",
        fields=_names(
            "id source_id created_at updated_at status amount discount_amount "
            "items_discount_amount total_discount_amount total_amount customer_id referrer_id "
            "metadata"
        ),
        default_fields=("id", "source_id", "status"),
        orders=("created_at", "updated_at", "status"),
        filters=_filters(
            "status source_id amount total_amount discount_amount total_discount_amount "
            "items_discount_amount",
            created_at=_WINDOW,
            updated_at=_WINDOW,
        ),
        open_filters=("metadata.",),
        updated_field="updated_at",
    ),
    ExportedObject(
        # Voucherify docs: no date filter, and `expires_at` is the only order.
        "points_expiration",
        fields=("id", "campaign_id", "voucher_id", "points", "status", "expires_at"),
        default_fields=("id", "campaign_id", "voucher_id", "status", "expires_at", "points"),
        orders=("expires_at",),
        filters=_filters("campaign_id voucher_id"),
        created_field=None,
    ),
    ExportedObject(
        "voucher_transactions",
        fields=_names(
            "id campaign_id voucher_id type source_id reason source balance amount "
            "related_transaction_id created_at details"
        ),
        # Voucherify docs: the prose adds `status`, which the enum of fields does not allow.
        default_fields=_names("id type source_id reason source balance amount created_at"),
        orders=("created_at",),
        filters=_filters("created_at voucher_id campaign_id"),
    ),
    ExportedObject(
        # Voucherify docs: product and sku are in the prose only, without orders or filters.
        "product",
        fields=_names("id name price image_url source_id attributes created_at"),
        default_fields=_names("id name price image_url source_id attributes created_at"),
        undocumented_fields=("metadata",),
    ),
    ExportedObject(
        "sku",
        fields=_names("id sku product_id currency price image_url source_id attributes created_at"),
        default_fields=_names(
            "id sku product_id currency price image_url source_id attributes created_at"
        ),
        undocumented_fields=("metadata",),
    ),
    ExportedObject(
        # Voucherify docs: changelog of October 2025; the default fields are unknown.
        "api_log",
        fields=_names(
            "id created_at status request_id channel method endpoint url user_email app_id "
            "client_app_id request_duration request_body response_body"
        ),
        default_fields=_names("id created_at status request_id channel method endpoint"),
        orders=("created_at",),
        filters=_filters("status channel app_id client_app_id", created_at=_WINDOW),
    ),
)

OBJECTS: Mapping[str, ExportedObject] = {declared.name: declared for declared in _DECLARATIONS}
