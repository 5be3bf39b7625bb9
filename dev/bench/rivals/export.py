"""The export that all contenders read: `python -m dev.bench.rivals.export CONFIG FILE` saves it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

POLL_INTERVAL_SECONDS = 1
# Writing millions of rows for the first time takes the sandbox minutes.
TIMEOUT_SECONDS = 900

# What the tap requests, in the same order, so that the sandbox serves the same file.
FIELDS = (
    *("code", "voucher_type", "value", "formula", "discount_type", "campaign", "category"),
    *("start_date", "expiration_date", "gift_balance", "loyalty_balance", "redemption_quantity"),
    *("redemption_count", "active", "qr_code", "bar_code", "is_referral_code", "created_at"),
    *("updated_at", "validity_timeframe_interval", "validity_timeframe_duration"),
    *("validity_day_of_week", "discount_amount_limit", "campaign_id", "additional_info"),
    *("customer_id", "discount_effect", "discount_unit_type", "discount_unit_effect"),
    *("validation_rules_id", "customer_source_id", "id"),
)


def download(config: Mapping[str, Any], fields: Iterable[str] = FIELDS) -> requests.Response:
    """Export all vouchers and return the response with the file, its body unread."""
    session = requests.Session()
    session.headers.update({"X-App-Id": config["app_id"], "X-App-Token": config["app_token"]})
    exports = f"{config['api_url']}/v1/exports"
    export = session.post(
        exports,
        json={
            "exported_object": "voucher",
            "parameters": {"fields": [*fields, "metadata"], "order": "created_at"},
        },
        timeout=TIMEOUT_SECONDS,
    ).json()
    while export["status"] != "DONE":
        time.sleep(POLL_INTERVAL_SECONDS)
        export = session.get(f"{exports}/{export['id']}", timeout=TIMEOUT_SECONDS).json()
    return session.get(export["result"]["url"], stream=True, timeout=TIMEOUT_SECONDS)


def save(config: str, file: str) -> None:
    """Save an exported file with distinct titles, which many tools need."""
    settings = json.loads(Path(config).read_text())
    with download(settings) as response, Path(file).open("wb") as target:
        (titles,) = csv.reader([response.raw.readline().decode()])
        attributes = (f"metadata.{name}" for name in titles[len(FIELDS) :])
        target.write(f"{','.join([*FIELDS, *attributes])}\r\n".encode())
        shutil.copyfileobj(response.raw, target)


if __name__ == "__main__":
    save(*sys.argv[1:])
