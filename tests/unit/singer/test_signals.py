"""A signal stops a run with STATE for what it wrote; a stuck run exits without."""

from __future__ import annotations

import os
import queue
import signal
import threading

import pytest

from tap_voucherify.clock import Clock
from tap_voucherify.errors import Interruption
from tap_voucherify.singer.signals import StopFlag


class SkippingClock(Clock):
    """A clock on which every wait ends at once.

    Attributes:
        seconds: The time that has passed.
    """

    seconds = 0.0

    def monotonic(self) -> float:
        """Return the time that has passed."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@pytest.fixture
def exit_codes(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[int]:
    """Return the queue of exit codes, which replaces the exit of this process."""
    codes: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(os, "_exit", codes.put)
    return codes


def test_without_a_signal_the_run_continues() -> None:
    """Checking the flag does nothing."""
    flag = StopFlag(SkippingClock())
    flag.check()


def test_the_first_signal_counts(exit_codes: queue.Queue[int]) -> None:
    """Two signals end a run once, with the exit code of the first."""
    flag = StopFlag(SkippingClock())

    flag.set(signal.SIGTERM)
    flag.set(signal.SIGINT)

    with pytest.raises(Interruption, match="SIGTERM"):
        flag.check()
    assert exit_codes.get(timeout=60) == 143
    assert exit_codes.empty()


@pytest.mark.parametrize("taken_until", [0, 1, 100])
def test_every_read_restarts_the_stall_timeout(
    exit_codes: queue.Queue[int], taken_until: int
) -> None:
    """A slow reader has all the time it needs; one that stops reading has two seconds."""
    clock = SkippingClock()
    flag = StopFlag(clock, lambda: min(round(clock.seconds * 1000), taken_until * 1000))

    flag.set(signal.SIGINT)

    assert exit_codes.get(timeout=60) == 130
    assert clock.seconds == pytest.approx(taken_until + 2, abs=0.11)


def test_a_flag_listens_in_the_main_thread_only() -> None:
    """Python allows signal handlers nowhere else."""
    handler = signal.getsignal(signal.SIGTERM)

    thread = threading.Thread(target=StopFlag(SkippingClock()).listen)
    thread.start()
    thread.join()

    assert signal.getsignal(signal.SIGTERM) is handler
