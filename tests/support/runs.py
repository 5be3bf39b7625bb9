"""Running the tap as its users do: a command with files, which writes messages and a log."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from tests.support.expectations import read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from dev.sandbox import Request, Sandbox

Json = dict[str, Any]

COMMAND = (sys.executable, "-m", "tap_voucherify")


@dataclass(frozen=True)
class Output:
    """What a run of the tap, or the part of it that was read, has written to standard output."""

    lines: list[str]

    @cached_property
    def messages(self) -> list[Json]:
        """All messages; numbers keep their digits."""
        return [read_json(line) for line in self.lines]

    @cached_property
    def states(self) -> list[Json]:
        """The value of each STATE message, readable as the next run's state."""
        plain = (json.loads(line) for line in self.lines)
        return [message["value"] for message in plain if message["type"] == "STATE"]

    @property
    def state(self) -> Json:
        """The value of the last STATE message."""
        return self.states[-1]

    @property
    def until_state(self) -> Output:
        """What a loader has that keeps records only once a STATE follows them."""
        last = max(n for n, line in enumerate(self.lines) if line.startswith('{"type":"STATE"'))
        return Output(self.lines[: last + 1])

    def records(self, stream: str) -> list[Json]:
        """Return the records of a stream as they were written."""
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

    def schemas(self) -> dict[str, Json]:
        """Return the SCHEMA message of each stream, by its name."""
        plain = (json.loads(line) for line in self.lines if '"SCHEMA"' in line)
        return {message["stream"]: message for message in plain if message["type"] == "SCHEMA"}

    def bookmarks(self, stream: str) -> list[str]:
        """Return a stream's bookmark in each STATE message; empty where it had none."""
        states = (state["bookmarks"].get(stream, {}) for state in self.states)
        return [state.get("replication_key_value", "") for state in states]


@dataclass(frozen=True)
class Run(Output):
    """A run of the tap from its beginning to its end."""

    exit_code: int
    stderr: str

    @property
    def stdout(self) -> str:
        """Standard output as it is."""
        return "\n".join(self.lines)

    @property
    def errors(self) -> list[str]:
        """The lines of the log that tell errors."""
        return [line for line in self.stderr.splitlines() if "| ERROR " in line]

    @property
    def warnings(self) -> list[str]:
        """The lines of the log that warn."""
        return [line for line in self.stderr.splitlines() if "| WARNING " in line]


class Tap:
    """The tap, set up for a sandbox.

    Attributes:
        config: The settings of every run.
    """

    def __init__(self, directory: Path, config: Mapping[str, Any]) -> None:
        """Prepare, without a run.

        Args:
            directory: Where the files go that the command reads.
            config: The settings of every run.
        """
        self._directory = directory
        self.config = {**config, "poll_interval_seconds": 0.02}
        self._files = 0

    def __call__(
        self,
        *,
        catalog: Json | None = None,
        state: Json | None = None,
        **settings: object,
    ) -> Run:
        """Run a sync to its end.

        Args:
            catalog: The catalog, if one is given to the tap.
            state: The state, likewise.
            **settings: Settings that are added or replaced.
        """
        return self.run(*self.options({**self.config, **settings}, catalog, state))

    def run(self, *options: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run the command with any options.

        Args:
            *options: The options.
            environment: What is added to the environment.
        """
        ended = subprocess.run(
            (*COMMAND, *options),
            capture_output=True,
            check=False,
            cwd=self._directory,
            env=_environment(environment or {}),
            timeout=100,
        )
        stdout, stderr = ended.stdout.decode(), ended.stderr.decode()
        return Run(split_lines(stdout), ended.returncode, stderr)

    def start(
        self,
        *,
        catalog: Json | None = None,
        state: Json | None = None,
        stdout: int = subprocess.PIPE,
        **settings: object,
    ) -> subprocess.Popen[bytes]:
        """Start a sync and return its process, both of whose outputs are pipes unless told."""
        return subprocess.Popen(
            (*COMMAND, *self.options({**self.config, **settings}, catalog, state)),
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env=_environment({}),
        )

    def options(
        self,
        config: object,
        catalog: object = None,
        state: object = None,
    ) -> list[str]:
        """Write the files that are there and return the options that name them."""
        files = {"config": config, "catalog": catalog, "state": state}
        return [
            f"--{name}={self.write(content)}"
            for name, content in files.items()
            if content is not None
        ]

    def write(self, content: object) -> Path:
        """Write a file: text as it is, anything else as JSON."""
        self._files += 1
        path = self._directory / f"{self._files}.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path


def split_lines(text: str) -> list[str]:
    """Return lines as loaders do: JSON may hold what else Python takes for a line break."""
    return text.removesuffix("\n").split("\n") if text else []


def read_lines(pipe: IO[bytes] | None, count: int) -> list[str]:
    """Return so many lines of a pipe, fewer only at its end."""
    assert pipe is not None
    lines: list[str] = []
    while len(lines) < count and (line := pipe.readline()):
        lines.append(line.decode().rstrip("\n"))
    return lines


def wait_for_log(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read the log of a process up to a line that holds `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the log ended without {text!r}")


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without settings of the tap, apart from those added."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TAP_VOUCHERIFY_")}
    return {**inherited, **added}


def select(
    discovered: Json,
    streams: Collection[str],
    without: Mapping[str, Iterable[str]] | None = None,
) -> Json:
    """Return a catalog in which these streams are selected, apart from some properties."""
    catalog: Json = copy.deepcopy(discovered)
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        dropped = set((without or {}).get(name, ()))
        for field in entry["metadata"]:
            if not field["breadcrumb"]:
                field["metadata"]["selected"] = name in streams
            elif field["breadcrumb"][-1] in dropped:
                field["metadata"]["selected"] = False
    return catalog


def created_exports(sandbox: Sandbox, exported_object: str = "") -> list[Json]:
    """Return the bodies of the requests that created exports, in order."""
    requests: list[Request] = [r for r in sandbox.requests if r.kind == "create"]
    bodies: list[Json] = [request.json for request in requests]
    return [body for body in bodies if exported_object in {"", body["exported_object"]}]
