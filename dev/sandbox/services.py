"""Named sets of switches: how the real service may turn out to behave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .behaviour import Behaviour

if TYPE_CHECKING:
    from collections.abc import Mapping

_REJECTED = {
    "customer": {"birthdate", "orders_last_order_date"},
    "voucher": {"discount_unit_effect", "customer_source_id"},
    "order": {"referrer_id"},
    "product": {"metadata"},
    "sku": {"metadata"},
}
_SERVICES: Mapping[str, Behaviour] = {
    "default": Behaviour(),
    "documented": Behaviour(
        exports_undefined_metadata=False, unlisted_objects={"product", "sku", "api_log"}
    ),
    "own_order": Behaviour(column_order="shuffled"),
    "unknown_titles": Behaviour(title_style="unknown"),
    "empty_files": Behaviour(empty_export="nothing"),
    "microseconds": Behaviour(time_digits=6, time_zone="+00:00"),
    "new_properties": Behaviour(extra_result="harmless", echoes_response_format=True),
    "late": Behaviour(export_delay_seconds=0.3, result_delay_seconds=0.3, file_delay_seconds=0.6),
    "object_store": Behaviour(download_errors="xml", token_seconds=0.5),
    "older_cluster": Behaviour(
        rejected_fields=_REJECTED,
        missing_endpoints={"promotion_tiers"},
        response_format="rejected",
    ),
    "newest_first": Behaviour(row_order="descending", after_inclusive=True, before_inclusive=True),
    "unusual": Behaviour(
        after_inclusive=True,
        row_order="nearly_sorted",
        column_order="shuffled",
        title_style="unknown",
        date_skew_ms=500,
        time_digits=6,
        time_zone="+00:00",
        dates_with_times=True,
        trailing_lines=1,
        empty_export="nothing",
        line_terminator="\n",
        quoting="all",
        bom=True,
        filters_echo="filter",
        list_omits={"campaign_id"},
        unlisted_objects={"product", "sku", "api_log"},
        extra_result="harmless",
        export_delay_seconds=0.3,
        result_delay_seconds=0.3,
        file_delay_seconds=0.6,
        gzip=True,
        transfer="chunked",
        rejected_fields=_REJECTED,
        exports_undefined_metadata=False,
    ),
}
SERVICE_NAMES = tuple(_SERVICES)


def service(name: str) -> Behaviour:
    """Return a new set of switches by its name.

    `unusual` combines everything that a client can cope with.

    Raises:
        KeyError: If there is no such name.
    """
    return replace(_SERVICES[name])
