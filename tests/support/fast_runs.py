"""Running the tap's command in a time that passes faster, see `fast_cli`."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.runs import Run, Tap, split_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from tests.support.fast_cli import Job

COMMAND = (sys.executable, str(Path(__file__).with_name("fast_cli.py")))


class Servers:
    """Processes that run commands, as long as the `with` block."""

    def __init__(self, count: int) -> None:
        """Prepare so many processes."""
        self.count = count
        self._free: queue.Queue[subprocess.Popen[str]] = queue.Queue()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        """Start them."""
        for _ in range(self.count):
            server = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._resources.enter_context(server)
            # Also ends what it has forked.
            self._resources.callback(os.killpg, server.pid, signal.SIGKILL)
            self._free.put(server)
        return self

    def __exit__(self, *_exception: object) -> None:
        """End them."""
        self._resources.close()

    def run(self, job: Job) -> int:
        """Run a command and return its exit code."""
        server = self._free.get()
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline())
        finally:
            self._free.put(server)


class FastTap(Tap):
    """The tap, set up for a sandbox, as a command whose time passes faster.

    Attributes:
        environment: What is added to the environment of every run.
        file_bytes: How long a file can get, as if the disk were full then; -1 for any length.
        kill_after_seconds: After how many real seconds a run is killed.
        kill_at_bytes: At how much output it is killed; -1 for never.
    """

    def __init__(
        self,
        servers: Servers,
        directory: Path,
        config: Mapping[str, object],
        *,
        speed: float = 100,
    ) -> None:
        """Prepare, without a run.

        Args:
            servers: What runs the command.
            directory: Where the files go that the command reads and writes.
            config: The settings of every run.
            speed: How many seconds pass in a real one.
        """
        super().__init__(directory, {"request_timeout_seconds": 3000, **config})
        self.config["poll_interval_seconds"] = speed / 100
        self._servers = servers
        self._speed = speed
        self.environment: dict[str, str] = {}
        self.file_bytes = -1
        self.kill_after_seconds = 60.0
        self.kill_at_bytes = -1

    def run(self, *options: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run the command with any options."""
        output, log = self.write(""), self.write("")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TAP_VOUCHERIFY_")}
        exit_code = self._servers.run(
            {
                "options": list(options),
                "environment": {**inherited, **self.environment, **(environment or {})},
                "directory": str(self._directory),
                "output": str(output),
                "log": str(log),
                "speed": self._speed,
                "file_bytes": self.file_bytes,
                "kill_after_seconds": self.kill_after_seconds,
                "kill_at_bytes": self.kill_at_bytes,
            }
        )
        lines = split_lines(output.read_text(encoding="utf-8"))
        return Run(lines, exit_code, log.read_text(encoding="utf-8"))
