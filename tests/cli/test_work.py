"""Work per record, counted because tests cannot measure time."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from dev.sandbox import OBJECTS, Dataset, Sandbox
from tap_voucherify.singer.writer import CHUNK_BYTES
from tests.support.commands import COMMAND
from tests.support.runner import CountedRun, Json, Tap, select

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

FEW, MANY = 2_000, 6_000

HEAVY = {"duckdb", "numpy", "pandas", "polars", "pyarrow", "sqlalchemy"}


def sync_vouchers(directory: Path, discovered: Json, count: int) -> CountedRun:
    """Sync `count` vouchers."""
    with Sandbox(Dataset(sizes={**dict.fromkeys(OBJECTS, 0), "voucher": count})) as sandbox:
        run = Tap(directory, sandbox.config).run_inline(catalog=select(discovered, ["vouchers"]))
    assert run.counts == {"vouchers": count}
    return run


def calls_by_package(directory: Path, discovered: Json, count: int) -> Counter[str]:
    """Count the calls of Python functions by package in a sync of `count` vouchers."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls[str(frame.f_globals.get("__name__")).partition(".")[0]] += 1

    sys.setprofile(note)
    try:
        sync_vouchers(directory, discovered, count)
    finally:
        sys.setprofile(None)
    return calls


@pytest.fixture(scope="module")
def calls_per_record(
    tmp_path_factory: pytest.TempPathFactory, discovered: Json
) -> dict[str, float]:
    """Return the number of calls per record by package, without those at start and end."""
    directory = tmp_path_factory.mktemp("work")
    few, many = (calls_by_package(directory, discovered, count) for count in (FEW, MANY))
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in many}


def test_records_are_written_in_large_chunks(tmp_path: Path, discovered: Json) -> None:
    """There is about one write per chunk of output, not one per record."""
    run = sync_vouchers(tmp_path, discovered, FEW)

    chunks = run.size / CHUNK_BYTES
    others = sum('"type":"RECORD"' not in line for line in run.lines)
    assert chunks <= run.writes <= 1.5 * chunks + others
    assert run.writes < 40 * FEW / 1000


def test_records_do_not_pass_through_the_sdk(calls_per_record: dict[str, float]) -> None:
    """The SDK's code runs for STATE and metrics, but not for each record."""
    assert calls_per_record["singer_sdk"] < 0.1


def test_no_code_of_ours_runs_for_a_single_record(calls_per_record: dict[str, float]) -> None:
    """Python handles blocks and columns; compiled code handles rows and cells."""
    assert calls_per_record["tap_voucherify"] < 1


def test_a_plain_sync_imports_nothing_heavy(
    sandbox: Sandbox, tap: Tap, tmp_path: Path, discovered: Json
) -> None:
    """A plain sync imports no heavy package beyond those of the SDK."""
    options = tap.options(sandbox.config, select(discovered, ["vouchers"]))
    modules = {}
    for what, arguments in {
        "sdk": (sys.executable, "-X", "importtime", "-c", "from singer_sdk import Tap"),
        "tap": (sys.executable, "-X", "importtime", *COMMAND[1:], *options),
    }.items():
        ended = subprocess.run(arguments, capture_output=True, check=True, cwd=tmp_path)
        lines = ended.stderr.decode().splitlines()
        imported = [line.rpartition("|")[2].strip() for line in lines if "import time:" in line]
        modules[what] = {name.partition(".")[0] for name in imported}
    ours = modules["tap"] - modules["sdk"] - sys.stdlib_module_names

    assert "tap_voucherify" in ours
    assert ours & HEAVY == set()
