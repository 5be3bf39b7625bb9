"""The commands of README's quick start do what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from dev import ROOT
from dev.sandbox import Dataset, Sandbox

from .project import INSTALLED, MELTANO
from .shell import blocks, environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(110)

WITH_MELTANO, WITHOUT_MELTANO = blocks("README.md", "sh")

# These two look at a package index and at Meltano Hub: the test provides what they install.
ONLINE = ("meltano install", "meltano add target-jsonl")

INSTALLED_TAP = "meltano --no-environment config set tap-voucherify _pip_url -- '-e .'"

LOADER_PROGRAMS = INSTALLED / "loaders" / "target-jsonl" / "venv" / "bin"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a small Voucherify without publications, which may lack a key."""
    with Sandbox(Dataset(seed=7, sizes={"publication": 0}), latency_seconds=0.05) as sandbox:
        yield sandbox


def ids(path: Path) -> set[str]:
    """Return the ids in a file of JSON lines."""
    return {json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()}


def expected(sandbox: Sandbox, exported_object: str) -> set[str]:
    """Return the ids that the sandbox holds."""
    return {row.cells["id"] for row in sandbox.rows(exported_object)}


def test_without_meltano(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two runs with the state between them load everything."""
    variables = environment(sandbox, Path(sys.executable).parent, LOADER_PROGRAMS)
    first, second, third = WITHOUT_MELTANO.splitlines()

    run(f"{first}\n{second}", tmp_path, variables)
    sandbox.dataset.grow({"redemption": 20})
    run(third, tmp_path, variables)

    files = sorted(tmp_path.glob("redemptions-*.jsonl"))
    assert set().union(*map(ids, files)) == expected(sandbox, "redemption")
    state = json.loads((tmp_path / "state.json").read_text())
    assert "redemptions" in state["bookmarks"]


def test_with_meltano(sandbox: Sandbox, tmp_path: Path) -> None:
    """A new project loads the selected streams."""
    (tmp_path / "tap-voucherify").symlink_to(ROOT)
    project = tmp_path / "project"
    plugins = project / ".meltano"
    plugins.mkdir(parents=True)
    for kind in ("extractors", "loaders"):
        (plugins / kind).symlink_to(INSTALLED / kind)
    loaders = yaml.safe_load((Path(__file__).parent / "meltano.yml").read_text())["plugins"]
    content = {
        "version": 1,
        "default_environment": "dev",
        "send_anonymous_usage_stats": False,
        "environments": [{"name": "dev"}],
        "plugins": {
            "loaders": [item for item in loaders["loaders"] if item["name"] == "target-jsonl"]
        },
    }
    (project / "meltano.yml").write_text(yaml.safe_dump(content))
    variables = environment(sandbox, MELTANO.parent)
    variables |= {
        "MELTANO_AUTO_INSTALL": "false",
        "XDG_STATE_HOME": str(plugins),
        "TARGET_JSONL_DESTINATION_PATH": str(tmp_path / "files"),
    }
    lines = WITH_MELTANO.splitlines()
    assert all(any(line.startswith(online) for line in lines) for online in ONLINE)
    # Meltano would install the tap again if it came from elsewhere than what `make` installed.
    commands = [line if line != ONLINE[0] else INSTALLED_TAP for line in lines]

    run("\n".join(line for line in commands if not line.startswith(ONLINE)), project, variables)

    assert ids(tmp_path / "files" / "vouchers.jsonl") == expected(sandbox, "voucher")
    assert not (tmp_path / "files" / "products.jsonl").exists()
