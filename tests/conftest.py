"""Fixtures: a small sandbox for each test, and the tap configured for it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import tap_voucherify
from dev.sandbox import OBJECTS, Dataset, Sandbox
from tests.support.runner import Json, Tap, select

if TYPE_CHECKING:
    from collections.abc import Iterator

# An example's duration depends more on the machine than on the code.
settings.register_profile("tap", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tap")

# The SDK still supports it, but warns in each run of the tap.
os.environ["PYTHONWARNINGS"] = "ignore:Python 3.10 reached its end of life"

PACKAGE = Path(tap_voucherify.__file__).resolve().parent
ROWS = 40

# A tap in this process replaces these with its own.
SIGNAL_HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that checks which package is tested."""
    parser.addoption("--package-below", help="fail unless the tested package is in this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Check which package is tested, in each worker.

    Raises:
        UsageError: If it is not the expected one.
    """
    folder = config.getoption("--package-below")
    if folder and not PACKAGE.is_relative_to(Path(folder).resolve()):
        raise pytest.UsageError(f"the tested package is {PACKAGE}")


def pytest_report_header() -> str:
    """Report which package is tested."""
    return f"package: {PACKAGE}"


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Iterator[None]:
    """Make Ctrl-C stop the tests, not a tap that one of them created."""
    for number, handler in SIGNAL_HANDLERS.items():
        signal.signal(number, handler)
    yield
    for number, handler in SIGNAL_HANDLERS.items():
        signal.signal(number, handler)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a sandbox with a few rows of every object."""
    with Sandbox(Dataset(seed=7, sizes=dict.fromkeys(OBJECTS, ROWS))) as sandbox:
        yield sandbox


@pytest.fixture
def tap(sandbox: Sandbox, tmp_path: Path) -> Tap:
    """Return the tap, configured for the sandbox."""
    return Tap(tmp_path, sandbox.config)


@pytest.fixture(scope="session")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Return the discovered catalog."""
    run = Tap(tmp_path_factory.mktemp("discovery"), {}).command("--discover")
    catalog: Json = json.loads(run.stdout)
    return catalog


@pytest.fixture
def customers(discovered: Json) -> Json:
    """Return a catalog that selects only customers."""
    return select(discovered, ["customers"])
