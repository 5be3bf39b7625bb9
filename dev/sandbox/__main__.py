"""Run a mock Voucherify server: `python -m dev.sandbox --seed 7 --vouchers 1000`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import datetime, timedelta, timezone

from .dataset import DEFAULT_SIZES, Dataset
from .server import Sandbox
from .services import SERVICE_NAMES, service

_PLURALS = {f"{name.rstrip('s')}s".replace("_", "-"): name for name in DEFAULT_SIZES}


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    options = _parser().parse_args(arguments)
    now = datetime.now(tz=timezone.utc)
    sizes = {name: getattr(options, plural.replace("-", "_")) for plural, name in _PLURALS.items()}
    start = now - timedelta(days=options.days)
    dataset = Dataset(options.seed, sizes, start=start, days=options.days, now=now)
    sandbox = Sandbox(
        dataset,
        service(options.service),
        latency_seconds=options.export_seconds,
        ports=tuple(options.ports),
    )
    growth = {name: max(1, size // 100) for name, size in sizes.items() if size}
    with sandbox:
        for setting, value in sandbox.config.items():
            print(f"TAP_VOUCHERIFY_{setting.upper()}={value}", flush=True)  # noqa: T201 - for a shell
        print("Press Ctrl-C to stop.", file=sys.stderr)  # noqa: T201 - for a person
        # Shells make background jobs ignore SIGINT, and SIGTERM would leave files behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            while not threading.Event().wait(options.grow_every):
                dataset.grow(growth, now=datetime.now(tz=timezone.utc))
        except KeyboardInterrupt:
            return


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.sandbox", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=7, help="the seed of the data")
    add("--days", type=float, default=30, help="how many days, up to now, the data covers")
    add("--export-seconds", type=float, default=2.0, help="how long an export takes")
    add("--grow-every", type=float, metavar="SECONDS", help="add one percent of rows this often")
    add("--service", choices=SERVICE_NAMES, default="default", help="how it behaves")
    add("--ports", type=int, nargs=2, default=(0, 0), metavar=("API", "DOWNLOAD"))
    for plural, name in _PLURALS.items():
        add(f"--{plural}", type=int, default=DEFAULT_SIZES[name], metavar="ROWS")
    return parser


if __name__ == "__main__":
    main()
