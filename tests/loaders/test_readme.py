"""The commands of README's quick start work as described, from a clone in an empty folder.

They install the tap and a loader, and therefore need a package index.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from dev import ROOT
from dev.sandbox import Dataset, Sandbox
from tests.support.shell import blocks, environment, run

from .project import MELTANO

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

WITH_MELTANO, WITHOUT_MELTANO = blocks("README.md", "sh")
(LOGGED,) = blocks("README.md", "text")

VARIANT = "andyh1203"
PIP_CACHE = (sys.executable, "-m", "pip", "cache", "dir")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a small sandbox without publications, which may lack a key."""
    with Sandbox(Dataset(seed=7, sizes={"publication": 0}), latency_seconds=0.05) as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a clone of this repository."""
    clone = ["git", "clone", "--quiet", str(ROOT), "tap-voucherify"]
    subprocess.run(clone, cwd=tmp_path, check=True)
    return tmp_path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """Serve what Meltano requests from its Hub to add target-jsonl, and yield the address."""
    loaders = tmp_path / "hub" / "meltano" / "api" / "v1" / "plugins" / "loaders"
    loaders.mkdir(parents=True)
    content = yaml.safe_load((Path(__file__).parent / "meltano.yml").read_text())
    (plugin,) = (item for item in content["plugins"]["loaders"] if item["name"] == "target-jsonl")
    (loaders / "target-jsonl").write_text(json.dumps({**plugin, "variant": VARIANT}))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "hub"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        ref = f"{address}/meltano/api/v1/plugins/loaders/target-jsonl"
        entry = {"logo_url": "", "default_variant": VARIANT, "variants": {VARIANT: {"ref": ref}}}
        (loaders / "index").write_text(json.dumps({"target-jsonl": entry}))
        threading.Thread(target=server.serve_forever).start()
        yield address
        server.shutdown()


def ids(path: Path) -> set[str]:
    """Return the IDs in a file of JSON lines."""
    return {json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()}


def expected(sandbox: Sandbox, exported_object: str) -> set[str]:
    """Return the IDs in the sandbox."""
    return {row.cells["id"] for row in sandbox.rows(exported_object)}


def without_numbers(text: str) -> str:
    """Return a text with each number as 0, since the number of calls depends on the time."""
    return re.sub(r"\d+", "0", text)


def test_without_meltano(sandbox: Sandbox, folder: Path) -> None:
    """Two runs with the state between them load all data."""
    programs = folder / "bin"
    variables = environment(sandbox, programs, Path(sys.executable).parent)
    variables |= {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(programs)}
    *first, last = WITHOUT_MELTANO.splitlines()

    run("\n".join(first), folder, variables)
    sandbox.dataset.grow({"redemption": 20})
    run(last, folder, variables)

    files = sorted(folder.glob("redemptions-*.jsonl"))
    assert set().union(*map(ids, files)) == expected(sandbox, "redemption")
    state = json.loads((folder / "state.json").read_text())
    assert "redemptions" in state["bookmarks"]


def test_with_meltano(sandbox: Sandbox, hub: str, folder: Path) -> None:
    """A new Meltano project loads the selected streams."""
    project = folder / "project"
    project.mkdir()
    content = {"default_environment": "dev", "environments": [{"name": "dev"}]}
    (project / "meltano.yml").write_text(yaml.safe_dump(content))
    variables = environment(sandbox, MELTANO.parent)
    variables |= {
        "MELTANO_HUB_URL": hub,
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        # Installs with pip, and therefore from the index that pip is configured for.
        "MELTANO_VENV_BACKEND": "virtualenv",
        # For Meltano's logs, and its cache of the Hub.
        "XDG_STATE_HOME": str(project),
        "XDG_CACHE_HOME": str(project),
        "PIP_CACHE_DIR": subprocess.check_output(PIP_CACHE, encoding="utf-8").strip(),
        "TARGET_JSONL_DESTINATION_PATH": str(folder),
    }

    log = run(WITH_MELTANO, project, variables)

    shown = re.split(r"\n| \.\.\.", without_numbers(LOGGED))
    assert not [part for part in shown if part not in without_numbers(log)]
    assert ids(folder / "vouchers.jsonl") == expected(sandbox, "voucher")
    assert not (folder / "products.jsonl").exists()
