"""A signal ends a run with what it has written, and a stuck run with what its reader took."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass

import pytest

from tap_voucherify import interruption
from tap_voucherify.errors import Interruption
from tap_voucherify.interruption import PATIENCE_SECONDS, StopRequest


@dataclass(frozen=True)
class End:
    """How a process has ended that a signal was sent to.

    Attributes:
        output: What its main thread has printed of the signal.
        exit_code: The exit code.
        seconds: How long that took, from the signal on.
    """

    output: str
    exit_code: int
    seconds: float


def interrupt(number: signal.Signals, *, progress: str) -> End:
    """Send a signal, and another one, to a process whose main thread gets stuck then.

    Args:
        number: The signal.
        progress: How much of the output is taken after so many `seconds`.
    """
    script = f"""
        import signal, time
        from tap_voucherify.errors import Interruption
        from tap_voucherify.interruption import StopRequest

        def progress():
            seconds = time.monotonic() - started
            return {progress}

        started = time.monotonic()
        stop = StopRequest(progress)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: stop(number))
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
            process.send_signal(number)
            output = process.stdout.read()
            return End(output, process.wait(60), time.monotonic() - started)
        finally:
            process.kill()


def test_without_a_signal_the_run_goes_on() -> None:
    """A look at the flag does nothing."""
    request = StopRequest()
    request.check()


def test_the_first_signal_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told to end twice ends once, with the first signal's exit code."""
    exit_codes: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(os, "_exit", exit_codes.put)
    monkeypatch.setattr(interruption, "PATIENCE_SECONDS", 0)
    request = StopRequest()

    request(signal.SIGTERM)
    request(signal.SIGINT)

    with pytest.raises(Interruption, match="SIGTERM"):
        request.check()
    assert exit_codes.get(timeout=60) == 143
    assert exit_codes.empty()


def test_a_run_whose_output_is_stuck_ends_by_itself() -> None:
    """The main thread gets to know at its next look, and is not waited for for ever."""
    end = interrupt(signal.SIGTERM, progress="0")
    assert end.output == "Interrupted by SIGTERM 143\n"
    assert end.exit_code == 143
    assert end.seconds > PATIENCE_SECONDS - 0.2


def test_a_run_whose_output_is_taken_has_time() -> None:
    """The patience begins anew with everything that is read."""
    end = interrupt(signal.SIGINT, progress="min(seconds, 1)")
    assert end.output == "Interrupted by SIGINT 130\n"
    assert end.exit_code == 130
    assert end.seconds > PATIENCE_SECONDS + 0.2
