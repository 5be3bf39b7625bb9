"""Running the tap's command in a time that passes faster, see `fast_cli`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .runs import Json, Run, Tap

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = (sys.executable, str(Path(__file__).with_name("fast_cli.py")))


class FastTap(Tap):
    """The tap, set up for a sandbox, as a command whose time passes faster."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, object],
        *,
        speed: float = 100,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare, without a run.

        Args:
            directory: Where the files go that the command reads.
            config: The settings of every run.
            speed: How many seconds pass in a real one.
            environment: What is added to the environment of every run.
        """
        super().__init__(directory, config)
        self._config["poll_interval_seconds"] = speed / 100
        self._added = {"FAST_CLI_SPEED": str(speed), **(environment or {})}

    def run(self, *options: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run the command with any options."""
        ended = subprocess.run(
            (*COMMAND, *options),
            capture_output=True,
            check=False,
            cwd=self._directory,
            env=self._environment(environment or {}),
            timeout=100,
        )
        stdout, stderr = ended.stdout.decode(), ended.stderr.decode()
        return Run(stdout.splitlines(), ended.returncode, stderr)

    def start(
        self, *, catalog: Json | None = None, state: Json | None = None, **settings: object
    ) -> subprocess.Popen[bytes]:
        """Start a sync and return its process, both of whose outputs are pipes."""
        return subprocess.Popen(
            (*COMMAND, *self.options({**self._config, **settings}, catalog, state)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env=self._environment({}),
        )

    def _environment(self, added: Mapping[str, str]) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TAP_VOUCHERIFY_")}
        return {**inherited, **self._added, **added}
