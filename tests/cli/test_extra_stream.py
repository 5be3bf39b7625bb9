"""Another export type takes one more class."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.expectations import expected_records, in_any_order
from tests.support.runner import Output, Tap, created_exports

if TYPE_CHECKING:
    from pathlib import Path

    from dev.sandbox import Sandbox

# What a user would write: the class, and a tap that has it.
MODULE = '''
from tap_voucherify.columns import NUMBER, TEXT, TIMESTAMP, Column
from tap_voucherify.stream import ExportStream
from tap_voucherify.tap import TapVoucherify


class OrderTotals(ExportStream):
    """What was paid for each order."""

    name = "order_totals"
    exported_object = "order"
    primary_keys = ("id",)
    replication_key = "created_at"
    columns = (
        Column("id", TEXT, "Unique order ID.", title="ID"),
        Column("created_at", TIMESTAMP, "When the order was created."),
        Column("total_amount", NUMBER, "Total after all discounts."),
    )


class MyTap(TapVoucherify):
    stream_classes = (*TapVoucherify.stream_classes, OrderTotals)


MyTap.cli()
'''


def test_a_stream_is_a_declaration(sandbox: Sandbox, tap: Tap, tmp_path: Path) -> None:
    """A stream declared elsewhere has schema, request, records and state like all others."""
    script = tmp_path / "my_tap.py"
    script.write_text(MODULE, encoding="utf-8")
    options = tap.options({**sandbox.config, "poll_interval_seconds": 0.02})

    ended = subprocess.run(
        (sys.executable, script, *options), capture_output=True, check=True, cwd=tmp_path
    )

    run = Output(ended.stdout.decode().splitlines())
    names = ("id", "created_at", "total_amount", "metadata")
    schema = run.schemas()["order_totals"]
    assert schema["key_properties"] == ["id"]
    assert set(schema["schema"]["properties"]) == set(names)
    expected = [{n: record[n] for n in names} for record in expected_records(sandbox, "orders")]
    assert in_any_order(run.records("order_totals")) == in_any_order(expected)
    newest = max(record["created_at"] for record in expected)
    assert run.bookmarks("order_totals")[-1] == newest
    requests = [body["parameters"]["fields"] for body in created_exports(sandbox, "order")]
    assert sorted(map(len, requests)) == [4, 13]
