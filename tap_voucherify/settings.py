"""The settings, declared once."""

from __future__ import annotations

import typing as t

import singer_sdk.typing as th

API_URLS = {
    "eu": "https://api.voucherify.io",
    "us": "https://us1.api.voucherify.io",
    "as": "https://as1.api.voucherify.io",
}

SECONDS_PER_HOUR = 3600
MAX_LOOKBACK_SECONDS = 100 * 365 * 24 * SECONDS_PER_HOUR

SECRETS = ("app_id", "app_token", "access_token")

SETTINGS: dict[str, t.Any] = th.PropertiesList(
    th.Property(
        "app_id",
        th.StringType,
        secret=True,
        requires_properties=["app_token"],
        title="Application ID",
        description="ID of the application (Project Settings > Application Keys).",
    ),
    th.Property(
        "app_token",
        th.StringType,
        secret=True,
        requires_properties=["app_id"],
        title="Secret key",
        description="Server-side secret key of the application.",
    ),
    th.Property(
        "access_token",
        th.StringType,
        secret=True,
        title="OAuth 2.0 token",
        description="OAuth 2.0 token, instead of the application ID and secret key.",
    ),
    th.Property(
        "region",
        th.StringType,
        default="eu",
        allowed_values=list(API_URLS),
        title="Region",
        description="Region of the account: eu, us or as.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        title="API URL",
        description="API URL of a dedicated cluster, instead of a region.",
    ),
    th.Property(
        "download_host",
        th.StringType,
        title="Download host",
        description="Download host of a dedicated cluster, if it is neither the API host nor "
        "under voucherify.io.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="Earliest creation time to extract (inclusive, UTC).",
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description="Latest creation time to extract (exclusive, UTC).",
    ),
    th.Property(
        "lookback_seconds",
        th.NumberType(minimum=0, maximum=MAX_LOOKBACK_SECONDS),
        default=60,
        title="Lookback",
        description="Seconds before the bookmark at which each run starts, to catch records that "
        "appear late.",
    ),
    th.Property(
        "window_days",
        th.IntegerType(minimum=1),
        title="Window size",
        description="Days per export; without it, a run creates one export per stream.",
    ),
    th.Property(
        "max_concurrent_exports",
        th.IntegerType(minimum=1, maximum=100),
        default=8,
        title="Concurrent exports",
        description="Maximum number of exports in progress or waiting to be read.",
    ),
    th.Property(
        "poll_interval_seconds",
        th.NumberType(exclusive_minimum=0, maximum=SECONDS_PER_HOUR),
        default=1,
        title="Poll interval",
        description="Minimum number of seconds between two status checks of an export.",
    ),
    th.Property(
        "export_timeout_seconds",
        th.NumberType(exclusive_minimum=0, maximum=7 * 24 * SECONDS_PER_HOUR),
        default=3600,
        title="Export timeout",
        description="Seconds that one export may take, including its download.",
    ),
    th.Property(
        "request_timeout_seconds",
        th.NumberType(exclusive_minimum=0, maximum=SECONDS_PER_HOUR),
        default=60,
        title="Request timeout",
        description="Seconds that a server may stay silent during a request.",
    ),
    th.Property(
        "max_retry_seconds",
        th.NumberType(minimum=0, maximum=7 * 24 * SECONDS_PER_HOUR),
        default=900,
        title="Retry time",
        description="Seconds for which a failing request is retried.",
    ),
    th.Property(
        "resume_exports",
        th.BooleanType,
        default=False,
        title="Resume exports",
        description="Resumes unfinished exports of an interrupted run instead of creating them "
        "again.",
    ),
    th.Property(
        "delete_exports",
        th.BooleanType,
        default=False,
        title="Delete exports",
        description="Deletes each export from Voucherify after its records are emitted.",
    ),
    th.Property(
        "track_updates",
        th.BooleanType,
        default=False,
        title="Track updates",
        description="Extracts vouchers, customers and orders again when they are updated.",
    ),
    th.Property(
        "export_parameters",
        th.ObjectType(additional_properties=th.ObjectType(additional_properties=True)),
        title="Export parameters",
        description="Parameters to add to a stream's exports, such as filters and "
        "campaign_id, by stream name.",
    ),
    th.Property(
        "typed_metadata",
        th.BooleanType,
        default=False,
        title="Typed metadata",
        description="Gives metadata keys the types in the project's metadata schemas.",
    ),
    th.Property(
        "use_oauth",
        th.BooleanType,
        default=False,
        title="Use OAuth",
        description="Obtains and renews OAuth 2.0 tokens with the application's keys.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Emit ACTIVATE_VERSION",
        description="After a full-table sync, lets loaders delete rows that no longer exist in "
        "Voucherify.",
    ),
    th.Property(
        "rate_limit_reserve_percent",
        th.IntegerType(minimum=0, maximum=100),
        default=10,
        title="Rate limit reserve",
        description="Percentage of the account's rate limit to leave to other applications.",
    ),
).to_dict()
