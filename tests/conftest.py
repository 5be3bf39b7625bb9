"""A small sandbox for each test, and the tap set up for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .runs import Json, Tap
from .sandbox import OBJECTS, Dataset, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 40


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a Voucherify with a few rows of everything."""
    with Sandbox(Dataset(seed=7, sizes=dict.fromkeys(OBJECTS, ROWS))) as sandbox:
        yield sandbox


@pytest.fixture
def tap(sandbox: Sandbox, tmp_path: Path) -> Tap:
    """Return the tap, set up for the sandbox."""
    return Tap(tmp_path, sandbox.config)


@pytest.fixture(scope="session")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Return the catalog as the tap discovers it."""
    run = Tap(tmp_path_factory.mktemp("discovery"), {}).run("--discover")
    catalog: Json = json.loads(run.stdout)
    return catalog
