"""An interrupted run loses nothing, and reports how it ended."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from dev.sandbox import Behaviour, Dataset, Fault, Rewrite, Sandbox
from tests.support.commands import COMMAND
from tests.support.runner import Json, Output, Tap, read_lines, select, split_lines, wait_for_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Enough for a STATE in the middle of one export.
ROWS = 14_000

# The number of output lines after which a run is killed: more than precede its first STATE.
POINTS = [random.Random(seed).randrange(11_500, ROWS) for seed in range(3)]

# No loader or orchestrator waits longer for a stopped run.
SECONDS_TO_END = 4


@pytest.fixture(scope="module")
def large() -> Iterator[Sandbox]:
    """Yield a sandbox with enough customers that a sync of them can be interrupted."""
    with Sandbox(Dataset(sizes={"customer": ROWS})) as large:
        yield large


@pytest.fixture(scope="module")
def everyone(large: Sandbox) -> dict[str, str]:
    """Return each customer's creation time by ID, in the order of the server."""
    return {row.cells["id"]: row.cells["created_at"] for row in large.rows("customer")}


@pytest.fixture
def behaviour(large: Sandbox, request: pytest.FixtureRequest) -> Iterator[Behaviour]:
    """Yield a behaviour that the large sandbox has during a test."""
    usual, large.behaviour = large.behaviour, request.param
    yield request.param
    large.behaviour = usual


@pytest.fixture
def large_tap(large: Sandbox, tmp_path: Path) -> Tap:
    """Return the tap, configured for the large sandbox."""
    return Tap(tmp_path, large.config)


@pytest.fixture
def customers(discovered: Json) -> Json:
    """Return a catalog that selects only customers, with a few fields for speed."""
    (entry,) = (e for e in discovered["streams"] if e["tap_stream_id"] == "customers")
    kept = {"id", "created_at", "email", "metadata"}
    return select(
        discovered, ["customers"], {"customers": set(entry["schema"]["properties"]) - kept}
    )


def ids(output: Output) -> list[str]:
    """Return the IDs of the emitted customers."""
    return [record["id"] for record in output.records("customers")]


def kill_after(process: subprocess.Popen[bytes], lines: int) -> Output:
    """Read this many lines, kill the process and return what a loader has committed."""
    with process:
        output = Output(read_lines(process.stdout, lines))
        process.kill()
    assert len(output.lines) == lines
    return output.until_state


@pytest.mark.parametrize(
    ("behaviour", "lines"),
    [
        pytest.param(Behaviour(), POINTS[0], id="in_order"),
        pytest.param(Behaviour(honours_order=False), POINTS[1], id="out_of_order"),
        pytest.param(Behaviour(date_skew_ms=500, after_inclusive=True), POINTS[2], id="skewed"),
        pytest.param(Behaviour(files=2), POINTS[0], id="split"),
    ],
    indirect=["behaviour"],
)
def test_a_killed_run_resumes_without_a_gap(
    large_tap: Tap,
    customers: Json,
    everyone: dict[str, str],
    behaviour: Behaviour,
    lines: int,
) -> None:
    """The committed records of a killed run and those of the next one are all records."""
    killed = kill_after(large_tap.start(catalog=customers), lines)
    resumed = large_tap.run(catalog=customers, state=killed.state)

    assert resumed.exit_code == 0
    assert {*ids(killed), *ids(resumed)} == set(everyone)
    # Only ordered rows are not re-read; over several files, the order is unknown.
    is_ordered = behaviour.honours_order and behaviour.files == 1
    assert (len(ids(resumed)) < ROWS // 2) == is_ordered
    bookmarks = killed.bookmarks("customers") + resumed.bookmarks("customers")
    assert bookmarks == sorted(bookmarks)


def test_no_state_trusts_a_file_that_is_out_of_order(
    large: Sandbox, large_tap: Tap, customers: Json
) -> None:
    """A row far out of order keeps the bookmark until the whole export is emitted."""

    def move_first_row_to_the_end(body: bytes) -> bytes:
        header, first, *others = body.splitlines(keepends=True)
        return b"".join([header, *others, first])

    large.faults.add(Fault(on="download", action=Rewrite(move_first_row_to_the_end)))
    old = "2025-01-01T00:00:00.000Z"
    bookmark = {"replication_key": "created_at", "replication_key_value": old}

    run = large_tap.run(catalog=customers, state={"bookmarks": {"customers": bookmark}})

    assert len(ids(run)) == ROWS
    *unmoved, last = run.bookmarks("customers")
    assert set(unmoved) == {old}
    assert last > old
    assert [line for line in run.warnings if "not in order of created_at" in line]


def test_a_run_of_windows_resumes_without_a_gap(
    large_tap: Tap, customers: Json, everyone: dict[str, str]
) -> None:
    """A run of many windows resumes from its last STATE, however often it is killed."""
    bounds: Json = {"start_date": "2026-01-01", "end_date": "2026-02-01", "window_days": 3}
    randomness = random.Random(11)
    state: Json | None = None
    committed: list[str] = []
    for _ in range(3):
        process = large_tap.start(catalog=customers, state=state, **bounds)
        killed = kill_after(process, randomness.randrange(2_500, 4_000))
        committed += ids(killed)
        state = killed.state

    last = large_tap.run(catalog=customers, state=state, **bounds)

    assert last.exit_code == 0
    assert 0 < len(ids(last)) < ROWS - 3_000
    assert {*committed, *ids(last)} == set(everyone)


@pytest.mark.parametrize(
    ("signal_number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_during_the_start_is_reported_on_one_line(
    tap: Tap, tmp_path: Path, signal_number: signal.Signals, exit_code: int
) -> None:
    """A signal before the tap's handlers exist ends the run with one line."""
    module = f"import os\nos.kill(os.getpid(), {int(signal_number)})\n"
    (tmp_path / "singer_sdk.py").write_text(module)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    with tap.start(environment={"PYTHONPATH": path}) as process:
        stdout, stderr = process.communicate()

    assert process.returncode == exit_code
    assert not stdout
    (line,) = stderr.decode().splitlines()
    assert signal_number.name in line


@pytest.mark.parametrize(
    ("signal_number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_the_run_with_the_state_of_what_is_written(
    large_tap: Tap,
    customers: Json,
    everyone: dict[str, str],
    signal_number: signal.Signals,
    exit_code: int,
) -> None:
    """After a signal, the last message is a STATE that covers exactly the emitted records."""
    with large_tap.start(catalog=customers) as process:
        assert process.stderr is not None
        lines = read_lines(process.stdout, 1_500)
        process.send_signal(signal_number)
        output = Output(lines + read_lines(process.stdout, ROWS))
        log = process.stderr.read()

    assert process.returncode == exit_code
    assert b"Traceback" not in log
    emitted = ids(output)
    assert emitted == list(everyone)[: len(emitted)]
    assert len(emitted) < ROWS
    assert output.messages[-1]["type"] == "STATE"
    assert output.bookmarks("customers")[-1] == everyone[emitted[-1]]


def test_a_signal_ends_a_run_that_waits_for_an_export(
    sandbox: Sandbox, tap: Tap, customers: Json
) -> None:
    """A signal ends the wait for an export."""
    sandbox.behaviour = Behaviour(latency_seconds=3600)
    with tap.start(catalog=customers) as process:
        assert process.stderr is not None
        wait_for_log(process, b"created export")
        started = time.monotonic()
        process.terminate()
        lines = read_lines(process.stdout, ROWS)
        log = process.stderr.read()
    seconds = time.monotonic() - started

    assert process.returncode == 143
    assert seconds < SECONDS_TO_END
    assert not any('"RECORD"' in line for line in lines)
    assert b"Traceback" not in log


def test_a_signal_ends_a_run_whose_output_is_not_read(large_tap: Tap, customers: Json) -> None:
    """A signal ends the run even if a hanging loader does not read its output."""
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
    """A broken pipe ends the run with one error line."""
    with large_tap.start(catalog=customers) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        log = process.stderr.read().decode()

    assert process.returncode == 1
    errors = [line for line in log.splitlines() if "| ERROR " in line]
    assert len(errors) == 1
    assert "broken pipe" in errors[0]
    assert "Traceback" not in log


def test_an_output_that_cannot_be_written_ends_the_run(tap: Tap) -> None:
    """A full disk behind standard output ends the run with one error line."""
    full = os.open("/dev/full", os.O_WRONLY)
    with tap.start(stdout=full) as process:
        os.close(full)
        assert process.stderr is not None
        log = process.stderr.read().decode()

    assert process.returncode == 1
    (error,) = (line for line in log.splitlines() if "| ERROR " in line)
    assert "cannot write to standard output: No space left on device" in error
    assert "Traceback" not in log


@pytest.mark.parametrize(("closed", "exit_code"), [(">&-", 1), ("2>&-", 0)])
def test_b13_a_closed_output_is_reported(
    tap: Tap, discovered: Json, closed: str, exit_code: int
) -> None:
    """A closed standard output is one error line; a closed standard error does not matter."""
    options = tap.options(tap.config, select(discovered, ["customers"]))
    command = ("/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *options)

    process = subprocess.run(command, capture_output=True, text=True, check=False)

    assert process.returncode == exit_code
    assert "Traceback" not in process.stderr
    errors = [line for line in process.stderr.splitlines() if "| ERROR " in line]
    assert len(errors) == exit_code
    assert all("standard output is closed" in line for line in errors)
    assert bool(process.stdout) == (exit_code == 0)


def test_an_output_that_does_not_block_gets_everything(
    large_tap: Tap, customers: Json, everyone: dict[str, str]
) -> None:
    """The tap waits while a non-blocking pipe is full."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with (
        large_tap.start(catalog=customers, stdout=writer) as process,
        os.fdopen(reader, "rb") as pipe,
    ):
        os.close(writer)
        output = Output(split_lines(pipe.read().decode()))

    assert process.returncode == 0
    assert ids(output) == list(everyone)


def test_a_run_whose_output_is_stuck_ends_by_itself() -> None:
    """A stopped run whose main thread hangs ends after two seconds."""
    script = """
        import signal, time
        from tap_voucherify.clock import Clock
        from tap_voucherify.errors import Interruption
        from tap_voucherify.singer.signals import StopFlag

        stop = StopFlag(Clock())
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: stop.set(number))
        print("ready", flush=True)
        try:
            while True:
                stop.check()
                time.sleep(0.01)
        except Interruption as interruption:
            signal.raise_signal(signal.SIGHUP)
            print(interruption, interruption.exit_code, flush=True)
        while True:
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == "Interrupted by SIGTERM 143\n"
            assert process.wait(60) == 143
            assert time.monotonic() - started > 2 - 0.2
        finally:
            process.kill()


def test_a_signal_before_the_sync_ends_the_run(tap: Tap, customers: Json) -> None:
    """A signal before the sync ends the run with the exit code of the signal."""
    script = """
        import signal
        from tap_voucherify.tap import TapVoucherify

        class Tap(TapVoucherify):
            def setup_mapper(self):
                signal.raise_signal(signal.SIGTERM)
                super().setup_mapper()

        Tap.cli()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]

    ended = subprocess.run(
        [*command, *tap.options(tap.config, customers)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 143
    assert "Interrupted by SIGTERM" in ended.stderr
