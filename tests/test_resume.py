"""A run that is ended in its midst loses nothing, and says how it ended."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from .expectations import OBJECTS, expected_records, in_any_order, missing
from .runs import Json, Output, Tap, read_lines, select
from .sandbox import Behaviour, Dataset, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Enough for a few STATE messages within one export.
ROWS = 24_000

# Neither a loader nor an orchestrator waits longer for a run that is told to end.
SECONDS_TO_END = 4


@pytest.fixture(scope="module")
def large() -> Iterator[Sandbox]:
    """Return a Voucherify with enough customers that a sync of them can be interrupted."""
    with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS.values(), 50) | {"customer": ROWS})) as large:
        yield large


@pytest.fixture(scope="module")
def everything(large: Sandbox) -> list[Json]:
    """Return what has to be read of the customers in the end."""
    return expected_records(large, "customers")


@pytest.fixture
def large_tap(large: Sandbox, tmp_path: Path) -> Iterator[Tap]:
    """Return the tap, set up for the large sandbox as it is documented."""
    usual = large.behaviour
    yield Tap(tmp_path, large.config)
    large.behaviour = usual


@pytest.fixture
def customers(discovered: Json) -> Json:
    """Return a catalog of the customers alone, with as few fields as can be."""
    (entry,) = (e for e in discovered["streams"] if e["tap_stream_id"] == "customers")
    unselected = set(entry["schema"]["properties"]) - {"id", "created_at", "email", "metadata"}
    return select(discovered, ["customers"], {"customers": unselected})


def narrow(records: list[Json]) -> list[Json]:
    """Return the records with the selected properties alone."""
    names = ("id", "created_at", "email", "metadata")
    return in_any_order([{name: record[name] for name in names} for record in records])


def kill_after(process: subprocess.Popen[bytes], lines: int) -> Output:
    """Read so many lines, kill the process at once and return what was read."""
    with process:
        output = Output(read_lines(process.stdout, lines))
        process.kill()
    assert len(output.lines) == lines
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(), id="in_order"),
        pytest.param(Behaviour(honours_order=False), id="out_of_order"),
        pytest.param(Behaviour(date_skew_ms=500, after_inclusive=True), id="dates_skewed"),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_run_resumes_without_a_gap(
    large: Sandbox, large_tap: Tap, customers: Json, behaviour: Behaviour, seed: int
) -> None:
    """What a loader has committed and what the next run emits are everything there is."""
    large.behaviour = behaviour
    lines = random.Random(seed).randrange(ROWS // 2, ROWS)

    killed = kill_after(large_tap.start(catalog=customers), lines).until_state
    resumed = large_tap(catalog=customers, state=killed.state)

    assert resumed.exit_code == 0
    expected = narrow(expected_records(large, "customers"))
    assert 0 < len(killed.records("customers")) < ROWS
    assert not missing(killed.records("customers") + resumed.records("customers"), expected)
    if behaviour.honours_order:
        assert len(resumed.records("customers")) < ROWS
    newest = max(record["created_at"] for record in expected)
    assert resumed.bookmarks("customers")[-1] == newest


@pytest.mark.slow
def test_a_run_of_windows_resumes_without_a_gap(
    large: Sandbox, large_tap: Tap, customers: Json, everything: list[Json]
) -> None:
    """However often a run of many windows is killed, each resumes from the last STATE."""
    bounds = {"start_date": "2026-01-01", "end_date": "2026-02-01", "window_days": 3}
    randomness = random.Random(11)
    state: Json | None = None
    records: list[Json] = []
    for _ in range(3):
        process = large_tap.start(catalog=customers, state=state, **bounds)
        killed = kill_after(process, randomness.randrange(6_000, 8_000)).until_state
        records += killed.records("customers")
        state = killed.state

    last = large_tap(catalog=customers, state=state, **bounds)

    assert last.exit_code == 0
    assert 0 < len(last.records("customers")) < ROWS
    assert not missing(records + last.records("customers"), narrow(everything))
    assert large.requests


@pytest.mark.parametrize(
    ("signal_number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_the_run_with_the_state_of_what_is_written(
    large_tap: Tap,
    customers: Json,
    everything: list[Json],
    signal_number: signal.Signals,
    exit_code: int,
) -> None:
    """The last message is a STATE that covers all records before it, and nothing beyond them."""
    with large_tap.start(catalog=customers) as process:
        lines = read_lines(process.stdout, 2_000)
        process.send_signal(signal_number)
        rest, log = process.communicate(timeout=60)
    output = Output(lines + rest.decode().splitlines())

    assert process.returncode == exit_code
    records = output.records("customers")
    assert 2_000 < len(records) < ROWS
    assert output.messages[-1]["type"] == "STATE"
    assert output.bookmarks("customers")[-1] == records[-1]["created_at"]
    covered = [r for r in everything if r["created_at"] < records[-1]["created_at"]]
    assert not missing(records, narrow(covered))
    assert b"Traceback" not in log


def test_a_signal_ends_a_run_that_waits_for_an_export(sandbox: Sandbox, tap: Tap) -> None:
    """A run does not wait for its exports any more once it is told to end."""
    sandbox.behaviour = Behaviour(latency_seconds=3600)
    with tap.start() as process:
        assert process.stderr is not None
        while b"created export" not in process.stderr.readline():
            pass
        started = time.monotonic()
        process.terminate()
        output, log = process.communicate(timeout=60)
    seconds = time.monotonic() - started

    assert process.returncode == 143
    assert seconds < SECONDS_TO_END
    assert b'"RECORD"' not in output
    assert b"Traceback" not in log


def test_a_signal_ends_a_run_whose_output_nobody_reads(large_tap: Tap, customers: Json) -> None:
    """A loader that hangs does not keep the tap from ending."""
    with large_tap.start(catalog=customers) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = time.monotonic()
        process.terminate()
        exit_code = process.wait(timeout=60)
        seconds = time.monotonic() - started

    assert exit_code == 143
    assert seconds < SECONDS_TO_END


def test_a_loader_that_is_gone_ends_the_run(large_tap: Tap, customers: Json) -> None:
    """When the pipe to the loader breaks, the tap says so in one line and ends."""
    with large_tap.start(catalog=customers) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        log = process.stderr.read().decode()

    assert process.returncode == 1
    errors = [line for line in log.splitlines() if "| ERROR " in line]
    assert len(errors) == 1
    assert "output" in errors[0]
    assert "Traceback" not in log
