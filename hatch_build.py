"""Compile the scanner for the package, if there is a compiler."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "tap_voucherify/files/scanner.c"
LIBRARY = "tap_voucherify/files/scanner.so"
OPTIONS = ("-std=c99", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")


class CompiledScanner(BuildHookInterface[Any]):
    """Adds the compiled scanner to the wheel, which is then specific to the platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library next to its source, where an editable installation finds it too."""
        _ = version
        if not compile_scanner(Path(self.root) / SOURCE, Path(self.root) / LIBRARY):
            self.app.display_warning("no compiler: the package will be pure Python, and slower")
            return
        build_data["artifacts"].append(LIBRARY)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data.update(pure_python=False, tag=f"py3-none-{platform}")


def compile_scanner(source: Path, library: Path, *options: str) -> bool:
    """Compile the scanner and return whether that succeeded.

    `CC` names the compiler; `TAP_VOUCHERIFY_PURE` skips compilation.
    """
    library.unlink(missing_ok=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if os.environ.get("TAP_VOUCHERIFY_PURE") or not shutil.which(compiler[0]):
        return False
    options = (*shlex.split(os.environ.get("ARCHFLAGS", "")), *OPTIONS, *options)
    command = (*compiler, *options, "-o", str(library), str(source))
    return subprocess.run(command, check=False).returncode == 0
