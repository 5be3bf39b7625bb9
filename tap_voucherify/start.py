"""The command's entry point, which a signal can stop while the tap is imported, the slow part."""

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
    # Imports leave no garbage to collect.
    gc.disable()
    from tap_voucherify.tap import TapVoucherify  # noqa: PLC0415 - slow

    gc.freeze()
    gc.enable()
    TapVoucherify.cli()


def _exit(number: int, _frame: object) -> t.NoReturn:
    """Exit at once: nothing needs saving, and an import might catch an exception."""
    sys.stderr.write(f"tap-voucherify: stopped by {signal.Signals(number).name} before the sync\n")
    sys.stderr.flush()
    os._exit(128 + number)
