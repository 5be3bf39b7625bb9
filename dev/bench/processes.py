"""Run processes and measure their cost."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dev import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


PYTHON = sys.executable

# Without variables such as PYTHONDONTWRITEBYTECODE, which makes every start compile the tap.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "PYTHON" not in name}

Json = dict[str, Any]


class Usage(NamedTuple):
    """What one process used, end to end.

    Attributes:
        cpu_seconds: User and system time of all its threads.
        wall_seconds: Elapsed time.
        peak_mib: Peak resident memory.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float


def run(command: Sequence[str], output: Path) -> Usage:
    """Run a command with its standard output in a file."""
    log = output.with_suffix(".log")
    started = time.monotonic()
    with output.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=ROOT, env=ENVIRONMENT)
        _, status, used = os.wait4(process.pid, 0)
    wall_seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return Usage(used.ru_utime + used.ru_stime, wall_seconds, used.ru_maxrss / 1024)


@contextmanager
def sandbox(vouchers: int) -> Iterator[Json]:
    """Run a sandbox in a separate process; yields the client settings."""
    sizes = ("--vouchers", str(vouchers), "--export-seconds", "0")
    command = (PYTHON, "-m", "dev.sandbox", *sizes)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as process:
        # It prints nothing else until it ends.
        lines = itertools.islice(process.stdout or (), 3)
        settings = dict(line.strip().split("=", 1) for line in lines)
        try:
            yield {
                name.removeprefix("TAP_VOUCHERIFY_").lower(): value
                for name, value in settings.items()
            }
        finally:
            process.terminate()


@contextmanager
def exported(vouchers: int) -> Iterator[tuple[Json, Path]]:
    """Run a sandbox that has already written its file; yields the settings and a copy of it."""
    with scratch() as directory, sandbox(vouchers) as config:
        file = directory / "vouchers.csv"
        settings = write_json(directory / "config.json", config)
        command = [PYTHON, "-m", "dev.bench.rivals.export", settings, str(file)]
        run(command, directory / "export")
        yield config, file


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="tap-voucherify-bench-") as name:
        yield Path(name)


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve the files of a directory from a separate process; yields the URL."""
    command = (
        PYTHON,
        "-u",
        "-m",
        "http.server",
        "--bind=127.0.0.1",
        f"--directory={directory}",
        "0",
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        try:
            yield line.partition("(")[2].partition(")")[0]
        finally:
            process.terminate()


def write_json(path: Path, content: object) -> str:
    """Write a file and return its name."""
    path.write_text(json.dumps(content))
    return str(path)


def tap_command(
    directory: Path, config: Mapping[str, Any], streams: Sequence[str] = ("vouchers",)
) -> list[str]:
    """Return the command that syncs these streams in full."""
    settings = write_json(directory / "config.json", config)
    discovered = directory / "catalog.json"
    run([PYTHON, "-m", "tap_voucherify", "--config", settings, "--discover"], discovered)
    catalog = json.loads(discovered.read_text())
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["tap_stream_id"] in streams
    chosen = write_json(discovered, catalog)
    return [PYTHON, "-m", "tap_voucherify", "--config", settings, "--catalog", chosen]
