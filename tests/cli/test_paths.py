"""The fast path and the SDK's path emit the same messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import OBJECTS as DOCUMENTED
from dev.sandbox import Dataset, Fault, Rewrite, Sandbox
from tap_voucherify.singer.block_stream import BlockStream
from tap_voucherify.streams import STREAMS
from tap_voucherify.tap import TapVoucherify
from tests.support.expectations import OBJECTS, expected_records, in_any_order
from tests.support.runner import CountedRun, Json, Tap, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


ROWS = 700


class SlowTap(TapVoucherify):
    """A tap whose records all go through the SDK."""

    stream_classes = tuple(
        type(stream.__name__, (stream,), {"has_transformations": True}) for stream in STREAMS
    )


@pytest.fixture(scope="module")
def large_sandbox() -> Iterator[Sandbox]:
    """Yield a sandbox with more rows than fit into one block."""
    with Sandbox(Dataset(seed=11, sizes=dict.fromkeys(DOCUMENTED, ROWS))) as sandbox:
        yield sandbox


def both_ways(
    directory: Path, sandbox: Sandbox, catalog: Json, **settings: Any
) -> tuple[CountedRun, CountedRun]:
    """Sync over the fast path and over the SDK's path."""
    tap = Tap(directory, sandbox.config)
    return (
        tap.run_inline(catalog=catalog, **settings),
        tap.run_inline(catalog=catalog, tap_class=SlowTap, **settings),
    )


def check_equal(fast: CountedRun, slow: CountedRun) -> None:
    """Check that two runs have emitted and counted the same."""
    assert timeless(fast) == timeless(slow)
    assert fast.states == slow.states
    assert fast.counts == slow.counts
    assert fast.exit_code == slow.exit_code


def timeless(run: CountedRun) -> list[Json]:
    """Return the messages without the properties that depend on the time of the run."""
    moments = ("time_extracted", "version")
    return [{k: v for k, v in message.items() if k not in moments} for message in run.messages]


def test_every_stream(large_sandbox: Sandbox, tmp_path: Path, discovered: Json) -> None:
    """Both paths emit the same messages for every stream and every type."""
    fast, slow = both_ways(tmp_path, large_sandbox, select(discovered, OBJECTS))

    check_equal(fast, slow)
    assert fast.counts == dict.fromkeys(OBJECTS, ROWS)
    assert fast.writes < slow.writes


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            {"window_days": 7, "start_date": "2026-01-03", "end_date": "2026-02-01"}, id="windows"
        ),
        pytest.param({"start_date": "2030-01-01"}, id="nothing_new"),
        pytest.param({"track_updates": True}, id="updates"),
        pytest.param({"typed_metadata": True}, id="typed_metadata"),
        pytest.param({"emit_activate_version_messages": True}, id="versions"),
    ],
)
def test_settings(large_sandbox: Sandbox, tmp_path: Path, discovered: Json, settings: Json) -> None:
    """Both paths emit the same messages under settings that change the output."""
    check_equal(*both_ways(tmp_path, large_sandbox, select(discovered, OBJECTS), **settings))


def test_records_one_by_one(large_sandbox: Sandbox, discovered: Json) -> None:
    """`get_records` of a stream, which the SDK calls, yields the same records."""
    config = {**large_sandbox.config, "poll_interval_seconds": 0.02}
    tap = TapVoucherify(config=config, catalog=select(discovered, ["orders"]))

    stream = tap.streams["orders"]
    assert isinstance(stream, BlockStream)
    records = list(stream.get_records(None))

    assert in_any_order(records) == expected_records(large_sandbox, "orders")


def test_selections(large_sandbox: Sandbox, tmp_path: Path, discovered: Json) -> None:
    """Both paths leave out deselected properties."""
    without = {
        "vouchers": ["value", "metadata", "qr_code"],
        "orders": ["status"],
        "voucher_transactions": ["details"],
    }

    fast, slow = both_ways(tmp_path, large_sandbox, select(discovered, without, without))

    check_equal(fast, slow)
    assert not any("metadata" in record for record in fast.records("vouchers"))


def test_empty_exports(tmp_path: Path, discovered: Json) -> None:
    """Both paths emit the same SCHEMA and STATE messages for an export without rows."""
    with Sandbox(Dataset(sizes=dict.fromkeys(DOCUMENTED, 0))) as sandbox:
        fast, slow = both_ways(tmp_path, sandbox, select(discovered, OBJECTS))

    check_equal(fast, slow)
    assert not any(fast.counts.values())


@pytest.mark.parametrize("row", [1, 450, ROWS])
def test_errors_in_mid_file(
    large_sandbox: Sandbox, tmp_path: Path, discovered: Json, row: int
) -> None:
    """Both paths emit the rows before an invalid one and fail the run."""

    def spoil(body: bytes) -> bytes:
        lines = body.split(b"\r\n")
        lines[row] += b",one,cell,too,many"
        return b"\r\n".join(lines)

    large_sandbox.faults.add(
        Fault(on="download", action=Rewrite(spoil), times=None, object="order")
    )
    try:
        fast, slow = both_ways(tmp_path, large_sandbox, select(discovered, ["customers", "orders"]))
    finally:
        large_sandbox.faults.clear()

    check_equal(fast, slow)
    assert fast.exit_code == 1
    assert fast.counts == {"customers": ROWS, "orders": row - 1}
