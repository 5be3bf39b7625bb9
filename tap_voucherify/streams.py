"""One declaration for each object that Voucherify exports.

Names, types and descriptions come from the reference of `POST /v1/exports`. A field is
text if neither its description nor an example there shows its type. `declared` makes the JSON
schema of these columns, and adds digests, `metadata` and `modified_at`.

A `title` is set where Voucherify documents the CSV header or users have posted it publicly.

Points expirations, products and SKUs are read in full: the reference lists no filter on their
creation time, and for the last two no field to sort by either.

To add a stream, add a class here, list it in `STREAMS`, and run `python -m dev.generate`. The
attributes are documented in `declared`, `probe` and `stream`, those of a column in `columns`. A
stream that is read from a list endpoint is declared in `list_streams`.
"""

from __future__ import annotations

from types import MappingProxyType

from tap_voucherify.columns import (
    BOOLEAN,
    DATE,
    INTEGER,
    JSON_OBJECT,
    NUMBER,
    TEXT,
    TIMESTAMP,
    Column,
)
from tap_voucherify.stream import ExportStream


class Vouchers(ExportStream):
    """Discount vouchers, gift cards and loyalty cards."""

    name = "vouchers"
    exported_object = "voucher"
    primary_keys = ("id",)
    replication_key = "created_at"
    updated_column = "updated_at"
    columns = (
        Column("id", TEXT, "Unique voucher ID.", title="ID"),
        Column("code", TEXT, "Unique voucher code.", title="Code"),
        Column(
            "voucher_type",
            TEXT,
            "DISCOUNT_VOUCHER, GIFT_VOUCHER or LOYALTY_CARD.",
            title="Voucher Type",
        ),
        Column(
            "value",
            NUMBER,
            "The discount, the amount left to spend, or the points left to use.",
            title="Value",
        ),
        Column("formula", TEXT, "Formula by which the discount is calculated."),
        Column("discount_type", TEXT, "AMOUNT, PERCENT, UNIT or FIXED."),
        Column("campaign", TEXT, "Unique campaign name."),
        Column("category", TEXT, "Tag of the category that the voucher belongs to."),
        Column("start_date", TIMESTAMP, "When the code becomes active."),
        Column("expiration_date", TIMESTAMP, "When the code expires."),
        Column("gift_balance", NUMBER, "Amount left to spend."),
        Column("loyalty_balance", NUMBER, "Points left to use.", title="Loyalty Card Balance"),
        Column(
            "redemption_quantity",
            INTEGER,
            "Maximum number of redemptions.",
            title="Redemption Limit",
        ),
        Column("redemption_count", INTEGER, "Number of redemptions."),
        Column("active", BOOLEAN, "Whether the voucher is available for use."),
        Column("qr_code", TEXT, "URL of the encrypted code's QR code."),
        Column("bar_code", TEXT, "URL of the encrypted code's barcode.", title="Barcode"),
        Column(
            "is_referral_code",
            BOOLEAN,
            "Whether the voucher is a referral code.",
            title="Is referral code?",
        ),
        Column("created_at", TIMESTAMP, "When the voucher was created.", title="Creation Date"),
        Column(
            "updated_at", TIMESTAMP, "When the voucher was last updated.", title="Last Update Date"
        ),
        Column(
            "validity_timeframe_interval",
            TEXT,
            "ISO 8601 duration between the starts of two active periods.",
        ),
        Column("validity_timeframe_duration", TEXT, "ISO 8601 duration of an active period."),
        Column(
            "validity_day_of_week",
            TEXT,
            "Days of the week on which the voucher is valid, such as 1,2,3,4,5.",
        ),
        Column("discount_amount_limit", NUMBER, "Maximum amount of a PERCENT discount."),
        Column("campaign_id", TEXT, "ID of the parent campaign."),
        Column("additional_info", TEXT, "Any extra information about the code."),
        Column("customer_id", TEXT, "ID of the customer it was published to."),
        Column("discount_effect", TEXT, "What the discount applies to."),
        Column("discount_unit_type", TEXT, "ID of the shipping or product of a UNIT discount."),
        Column("discount_unit_effect", TEXT, "ADD_MANY_ITEMS, ADD_MISSING_ITEMS or ADD_NEW_ITEMS."),
        Column("validation_rules_id", TEXT, "ID of the validation rules."),
        Column(
            "customer_source_id",
            TEXT,
            "Your own ID for the customer it was published to.",
            title="Customer Source ID",
        ),
    )


class Redemptions(ExportStream):
    """Every redemption attempt, failures and rollbacks included."""

    name = "redemptions"
    exported_object = "redemption"
    primary_keys = ("id",)
    replication_key = "created_at"
    columns = (
        Column("id", TEXT, "Unique redemption ID.", title="ID"),
        Column("object", TEXT, "Type of object: redemption."),
        Column(
            "created_at",
            TIMESTAMP,
            "When the voucher was redeemed.",
            field="date",
            expected_title="Creation Date",
        ),
        Column("voucher_code", TEXT, "Code redeemed.", title="Voucher Code", expected_title="Code"),
        Column("campaign", TEXT, "Name of the voucher's campaign."),
        Column(
            "promotion_tier_id",
            TEXT,
            "ID of the promotion tier redeemed.",
            expected_title="Promotion Tier",
        ),
        Column("customer_id", TEXT, "ID of the redeeming customer."),
        Column(
            "customer_source_id",
            TEXT,
            "Your own ID for the redeeming customer.",
            title="Customer Source ID",
        ),
        Column("customer_name", TEXT, "Name of the redeeming customer."),
        Column("tracking_id", TEXT, "Tracking ID of the redeeming customer."),
        Column("order_id", TEXT, "ID of the order."),
        Column("order_amount", NUMBER, "Order total before all discounts.", title="Order Amount"),
        Column("gift_amount", NUMBER, "Gift credits used."),
        Column("loyalty_points", NUMBER, "Loyalty points used."),
        Column("result", TEXT, "SUCCESS or FAILURE."),
        Column("failure_code", TEXT, "Voucherify's code for the failure."),
        Column("failure_message", TEXT, "Why it failed, in words."),
    )


class Publications(ExportStream):
    """Vouchers published to customers.

    A publication has no ID. Failed ones may lack a voucher code.
    """

    name = "publications"
    exported_object = "publication"
    primary_keys = ("publication_key",)
    digests = MappingProxyType(
        {
            "publication_key": (
                "voucher_code",
                "customer_id",
                "customer_source_id",
                "created_at",
                "channel",
                "campaign",
            )
        }
    )
    replication_key = "created_at"
    columns = (
        Column("voucher_code", TEXT, "Unique voucher code.", expected_title="Code"),
        Column("customer_id", TEXT, "ID of the customer it was published to."),
        Column(
            "customer_source_id",
            TEXT,
            "Your own ID for the customer it was published to.",
            title="Customer Source ID",
        ),
        Column(
            "created_at",
            TIMESTAMP,
            "When the voucher was published.",
            field="date",
            expected_title="Creation Date",
        ),
        Column("channel", TEXT, "Publication channel."),
        Column("campaign", TEXT, "Unique campaign name."),
        Column("is_winner", TEXT, "Whether the publication won, as exported."),
    )


class Customers(ExportStream):
    """Customers with their addresses and totals."""

    name = "customers"
    exported_object = "customer"
    primary_keys = ("id",)
    replication_key = "created_at"
    updated_column = "updated_at"
    columns = (
        Column("name", TEXT, "Customer name."),
        Column("id", TEXT, "Unique customer ID."),
        Column("description", TEXT, "Any text attached to the customer."),
        Column("email", TEXT, "E-mail address."),
        Column("source_id", TEXT, "Your own ID for the customer."),
        Column(
            "created_at",
            TIMESTAMP,
            "When the customer was created.",
            expected_title="Creation Date",
        ),
        Column("address_city", TEXT, "City."),
        Column("address_state", TEXT, "State."),
        Column("address_line_1", TEXT, "First line of the address."),
        Column("address_line_2", TEXT, "Second line of the address."),
        Column("address_country", TEXT, "Country."),
        Column("address_postal_code", TEXT, "Postal code."),
        Column("redemptions_total_redeemed", INTEGER, "Redemptions."),
        Column("redemptions_total_failed", INTEGER, "Failed redemptions."),
        Column("redemptions_total_succeeded", INTEGER, "Successful redemptions."),
        Column("redemptions_total_rolled_back", INTEGER, "Rollbacks."),
        Column("redemptions_total_rollback_failed", INTEGER, "Failed rollbacks."),
        Column("redemptions_total_rollback_succeeded", INTEGER, "Successful rollbacks."),
        Column("orders_total_amount", NUMBER, "Sum of all orders, in hundredths (cents)."),
        Column("orders_total_count", INTEGER, "Number of orders."),
        Column("orders_average_amount", NUMBER, "Average order, in hundredths (cents)."),
        Column("orders_last_order_amount", NUMBER, "Last order, in hundredths (cents)."),
        Column("orders_last_order_date", TIMESTAMP, "When the last order was made."),
        Column("loyalty_points", NUMBER, "Points on all loyalty cards."),
        Column("loyalty_referred_customers", INTEGER, "Customers referred."),
        Column(
            "updated_at",
            TIMESTAMP,
            "When the customer was last updated.",
            expected_title="Last Update Date",
        ),
        Column("phone", TEXT, "Phone number."),
        Column("birthday", DATE, "Birth date; deprecated in favour of birthdate."),
        Column("birthdate", DATE, "Birth date."),
    )


class Orders(ExportStream):
    """Orders with their amounts."""

    name = "orders"
    exported_object = "order"
    primary_keys = ("id",)
    replication_key = "created_at"
    updated_column = "updated_at"
    columns = (
        Column("id", TEXT, "Unique order ID."),
        Column("source_id", TEXT, "Your own ID for the order."),
        Column(
            "created_at", TIMESTAMP, "When the order was created.", expected_title="Creation Date"
        ),
        Column(
            "updated_at",
            TIMESTAMP,
            "When the order was last updated.",
            expected_title="Last Update Date",
        ),
        Column("status", TEXT, "CREATED, PAID, FULFILLED or CANCELED."),
        Column("amount", NUMBER, "Total amount of the items."),
        Column("discount_amount", NUMBER, "Discount on the whole cart."),
        Column("items_discount_amount", NUMBER, "Discount on the items."),
        Column("total_discount_amount", NUMBER, "Sum of all discounts."),
        Column("total_amount", NUMBER, "Total after all discounts."),
        Column("customer_id", TEXT, "ID of the customer."),
        Column("referrer_id", TEXT, "ID of the referrer."),
    )


class VoucherTransactions(ExportStream):
    """Balance changes of gift cards and loyalty cards."""

    name = "voucher_transactions"
    exported_object = "voucher_transactions"
    primary_keys = ("id",)
    replication_key = "created_at"
    has_metadata = False
    # The reference's prose also lists `status`, but its list of fields does not.
    columns = (
        Column("id", TEXT, "Unique transaction ID.", title="ID"),
        Column("campaign_id", TEXT, "ID of the parent campaign."),
        Column("voucher_id", TEXT, "ID of the card."),
        Column("type", TEXT, "Such as CREDITS_ADDITION or POINTS_REDEMPTION."),
        Column("source_id", TEXT, "Your own ID for the transaction."),
        Column("reason", TEXT, "Reason given for the transaction."),
        Column("source", TEXT, "Channel through which it was initiated."),
        Column("balance", NUMBER, "Balance of the card after the transaction."),
        Column("amount", NUMBER, "Credits or points moved; may be negative."),
        Column(
            "related_transaction_id",
            TEXT,
            "ID of the other card's transaction in a transfer of points.",
        ),
        Column("created_at", TIMESTAMP, "When the transaction was created.", title="Creation Date"),
        Column("details", JSON_OBJECT, "Details of the transaction."),
    )


class PointsExpirations(ExportStream):
    """Buckets of loyalty points with their expiration dates."""

    name = "points_expirations"
    exported_object = "points_expiration"
    primary_keys = ("id",)
    has_metadata = False
    order = "expires_at"
    filter_of_nothing = "voucher_id"
    columns = (
        Column("id", TEXT, "Loyalty points bucket ID."),
        Column("campaign_id", TEXT, "ID of the loyalty campaign."),
        Column("voucher_id", TEXT, "ID of the loyalty card."),
        Column("points", NUMBER, "Number of points."),
        Column("status", TEXT, "ACTIVE or EXPIRED."),
        Column("expires_at", DATE, "When the points expire."),
    )


class Products(ExportStream):
    """Products, exportable since 2025-09."""

    name = "products"
    exported_object = "product"
    primary_keys = ("id",)
    selected_by_default = False
    order = ""
    columns = (
        Column("id", TEXT, "Unique product ID."),
        Column("name", TEXT, "Product name."),
        Column("price", TEXT, "Price."),
        Column("image_url", TEXT, "URL of an image."),
        Column("source_id", TEXT, "Your own ID for the product."),
        Column("attributes", TEXT, "Names of the product's attributes."),
        Column(
            "created_at", TIMESTAMP, "When the product was created.", expected_title="Creation Date"
        ),
    )


class Skus(ExportStream):
    """Stock keeping units, exportable since 2025-09."""

    name = "skus"
    exported_object = "sku"
    primary_keys = ("id",)
    selected_by_default = False
    order = ""
    columns = (
        Column("id", TEXT, "Unique SKU ID."),
        Column("sku", TEXT, "Name of the SKU."),
        Column("product_id", TEXT, "ID of the product."),
        Column("currency", TEXT, "Currency of the price."),
        Column("price", TEXT, "Price."),
        Column("image_url", TEXT, "URL of an image."),
        Column("source_id", TEXT, "Your own ID for the SKU."),
        Column("attributes", TEXT, "Values of the product's attributes."),
        Column(
            "created_at", TIMESTAMP, "When the SKU was created.", expected_title="Creation Date"
        ),
    )


class ApiLogs(ExportStream):
    """API calls with their bodies, exportable since 2025-10 and kept for six months."""

    name = "api_logs"
    exported_object = "api_log"
    primary_keys = ("id",)
    replication_key = "created_at"
    selected_by_default = False
    has_metadata = False
    columns = (
        Column("id", TEXT, "Unique log entry ID."),
        Column("created_at", TIMESTAMP, "When the call was made.", expected_title="Creation Date"),
        Column("status", TEXT, "Status of the response."),
        Column("request_id", TEXT, "Request ID."),
        Column("channel", TEXT, "Channel of the call."),
        Column("method", TEXT, "HTTP method."),
        Column("endpoint", TEXT, "Endpoint."),
        Column("url", TEXT, "URL."),
        Column("user_email", TEXT, "E-mail address of the user."),
        Column("app_id", TEXT, "Application ID."),
        Column("client_app_id", TEXT, "Client-side application ID."),
        Column("request_duration", TEXT, "Duration of the request, as exported."),
        Column("request_body", TEXT, "Body of the request."),
        Column("response_body", TEXT, "Body of the response."),
    )


STREAMS: tuple[type[ExportStream], ...] = (
    Vouchers,
    Redemptions,
    Publications,
    Customers,
    Orders,
    VoucherTransactions,
    PointsExpirations,
    Products,
    Skus,
    ApiLogs,
)
