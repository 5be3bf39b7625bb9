"""Start the command: import the tap, which takes most of the time of a start."""

from __future__ import annotations

import gc
import os
import signal
import sys
import typing as t


def main() -> None:
    """Run the command."""
    # Until the tap handles signals itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)
    # Imports leave no garbage.
    gc.disable()
    from tap_voucherify.tap import TapVoucherify  # noqa: PLC0415 - takes its time

    gc.freeze()
    gc.enable()
    TapVoucherify.cli()


def _exit(number: int, _frame: object) -> t.NoReturn:
    """End at once, as there is nothing to save; an exception could be caught by an import."""
    sys.stderr.write(f"tap-voucherify: ended by {signal.Signals(number).name} before the sync\n")
    sys.stderr.flush()
    os._exit(128 + number)
