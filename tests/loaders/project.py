"""A Meltano project with the tap and all loaders, which `make` installs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dev import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dev.sandbox import Sandbox

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"
INSTALLED = ROOT / ".meltano"
TAP = "tap-voucherify"

# Not as environment variables: Meltano 4.4 cannot pass on decimals from those.
_CONFIG = {"poll_interval_seconds": 0.05, "track_updates": True}

_OURS = ("MELTANO_", "TAP_VOUCHERIFY_", "TARGET_")
_TIMEOUT_SECONDS = 100


class Project:
    """A temporary project, in which the tap is configured for a sandbox."""

    def __init__(
        self,
        directory: Path,
        sandbox: Sandbox,
        loader: str,
        environment: str,
        **settings: object,
    ) -> None:
        """Write the project.

        Args:
            directory: An empty folder for everything that Meltano writes.
            sandbox: The source of the tap.
            loader: The loader of the tap's output.
            environment: The environment of meltano.yml.
            **settings: The loader's settings.
        """
        self.directory = directory
        self._loader = loader
        self._environment = environment
        self.variables = {
            f"{plugin}_{name}".replace("-", "_").upper(): str(value)
            for plugin, values in ((TAP, sandbox.config), (loader, settings))
            for name, value in values.items()
        }
        self._content = _merged()
        self._write()
        system = directory / ".meltano"
        system.mkdir()
        for plugins in ("extractors", "loaders"):
            (system / plugins).symlink_to(INSTALLED / plugins)

    def add_extractors(self, text: str) -> None:
        """Add the extractors of another meltano.yml."""
        self._content["plugins"]["extractors"] += yaml.safe_load(text)["plugins"]["extractors"]
        self._write()

    def run(self, *options: str) -> None:
        """Run the tap into the loader.

        Args:
            *options: Options of `meltano run`.
        """
        self.meltano("run", *options, TAP, self._loader)

    def bookmarks(self, suffix: str = "") -> dict[str, str]:
        """Return the bookmark of each stream that has one, from Meltano's state backend.

        Args:
            suffix: The value of `--state-id-suffix`.
        """
        name = f"{self._environment}:{TAP}-to-{self._loader}{suffix and ':'}{suffix}"
        state = json.loads(self.meltano("state", "get", name))
        return {
            stream: bookmark["replication_key_value"]
            for stream, bookmark in state["singer_state"]["bookmarks"].items()
            if "replication_key_value" in bookmark
        }

    def meltano(self, *arguments: str) -> str:
        """Run Meltano and return its output; its log is on standard error.

        Raises:
            RuntimeError: If it fails, with its log.
        """
        assert MELTANO.exists(), "`make pytest` installs what this test needs"
        with subprocess.Popen(
            (MELTANO, f"--environment={self._environment}", *arguments),
            cwd=self.directory,
            env={**_inherited(), **self.variables, **self._meltano_settings()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            try:
                output, log = process.communicate(timeout=_TIMEOUT_SECONDS)
            except BaseException:
                # Also ends the tap and the loader.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            raise RuntimeError(f"meltano {' '.join(arguments)}\n{output}\n{log}")
        return output

    def _write(self) -> None:
        text = yaml.safe_dump(self._content)
        (self.directory / "meltano.yml").write_text(text, encoding="utf-8")

    def _meltano_settings(self) -> Mapping[str, str]:
        return {
            "MELTANO_AUTO_INSTALL": "false",
            "XDG_STATE_HOME": str(self.directory / ".meltano"),
        }


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def _merged() -> dict[str, Any]:
    """Return the project at the root of the checkout, with the loaders of this folder's."""
    project, added = (
        yaml.safe_load((directory / "meltano.yml").read_text(encoding="utf-8"))
        for directory in (ROOT, Path(__file__).parent)
    )
    (tap,) = project["plugins"]["extractors"]
    tap["config"] = _CONFIG
    # Including streams that a new project would exclude.
    tap["select"] = ["*.*"]
    project["plugins"]["loaders"] += added["plugins"]["loaders"]
    project["environments"] += added["environments"]
    merged: dict[str, Any] = project
    return merged
