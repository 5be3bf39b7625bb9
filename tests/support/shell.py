"""Run the commands of the documents exactly as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from dev import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dev.sandbox import Sandbox


def blocks(document: str, language: str) -> list[str]:
    """Return a document's code blocks in a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def environment(sandbox: Sandbox, *programs: Path) -> dict[str, str]:
    """Return an environment with the tap's settings and these folders of programs."""
    settings = {f"TAP_VOUCHERIFY_{name.upper()}": value for name, value in sandbox.config.items()}
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    return {**os.environ, **settings, "PATH": path}


def run(commands: str, directory: Path, variables: Mapping[str, str]) -> str:
    """Run commands in a shell that stops at the first failure, and return their log."""
    ended = subprocess.run(
        ("/bin/sh", "-e", "-c", commands),
        cwd=directory,
        env=variables,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stderr
