"""Run the tap: as a command until it ends, as a process to act on, or in this process."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from tap_voucherify.tap import TapVoucherify
from tests.support.commands import COMMAND, Ending, Job
from tests.support.expectations import read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from typing_extensions import Buffer

    from dev.sandbox import Request, Sandbox

Json = dict[str, Any]


@dataclass(frozen=True)
class Output:
    """Standard output of a run of the tap, or the part of it that was read."""

    lines: list[str]

    @cached_property
    def messages(self) -> list[Json]:
        """All messages; numbers keep their digits."""
        return [read_json(line) for line in self.lines]

    @cached_property
    def states(self) -> list[Json]:
        """The value of each STATE message, usable as the next run's state."""
        plain = (json.loads(line) for line in self.lines)
        return [message["value"] for message in plain if message["type"] == "STATE"]

    @property
    def state(self) -> Json:
        """The value of the last STATE message."""
        return self.states[-1]

    @property
    def until_state(self) -> Output:
        """The messages that a loader keeps if it commits at each STATE."""
        last = max(n for n, line in enumerate(self.lines) if line.startswith('{"type":"STATE"'))
        return Output(self.lines[: last + 1])

    def records(self, stream: str) -> list[Json]:
        """Return the records of a stream in the order of their messages."""
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
    """A completed run of the command."""

    exit_code: int
    stderr: str

    @property
    def stdout(self) -> str:
        """Standard output, without its last line break."""
        return "\n".join(self.lines)

    @property
    def errors(self) -> list[str]:
        """The log lines of level ERROR."""
        return [line for line in self.stderr.splitlines() if "| ERROR " in line]

    @property
    def warnings(self) -> list[str]:
        """The log lines of level WARNING."""
        return [line for line in self.stderr.splitlines() if "| WARNING " in line]


@dataclass(frozen=True)
class CountedRun(Output):
    """A completed run of the tap in this process.

    Attributes:
        exit_code: The exit code.
        size: The length of the output in bytes.
        writes: The number of writes to the output.
        counts: The number of records that each stream counted.
    """

    exit_code: int
    size: int
    writes: int
    counts: Mapping[str, int]


class Tap:
    """The tap, configured for a sandbox.

    Attributes:
        config: The settings of every run.
        environment: Additional environment variables of every command.
        file_bytes: The maximum length of a file, as on a full disk; -1 for no limit.
        kill_after_seconds: The real seconds after which `run` kills the command.
        epoch: The Unix time of the tap when the monotonic clock was zero, for an accelerated date;
            None for the real date.
        records_per_state: The number of records between STATE messages in `run`; 0 for the default.
        ending: What ends `run` early.
    """

    def __init__(self, directory: Path, config: Mapping[str, Any], *, speed: float = 1) -> None:
        """Prepare runs.

        Args:
            directory: The working directory, where the command's files are written.
            config: The settings of every run.
            speed: The tap's seconds per real second, in `run` and `command`.
        """
        self._directory = directory
        self._speed = speed
        self._files = 0
        self.config = {**config, "poll_interval_seconds": 0.02}
        if speed > 1:
            self.config = {"request_timeout_seconds": 3000, **config}
            self.config["poll_interval_seconds"] = speed / 100
        self.environment: dict[str, str] = {}
        self.file_bytes = -1
        self.kill_after_seconds = 60.0
        self.epoch: float | None = None
        self.records_per_state = 0
        self.ending: Ending | None = None

    def run(
        self, *, catalog: Json | None = None, state: Json | None = None, **settings: object
    ) -> Run:
        """Run a sync to its end, as a command.

        Args:
            catalog: The catalog, if any.
            state: The state, if any.
            **settings: Settings to add or replace.
        """
        return self.command(*self.options({**self.config, **settings}, catalog, state))

    def command(self, *options: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run the command with any options to its end.

        Args:
            *options: The options.
            environment: Variables to add to the environment.
        """
        output, log = self.write(""), self.write("")
        job = Job(
            options=list(options),
            environment=_environment({**self.environment, **(environment or {})}),
            directory=str(self._directory),
            output=str(output),
            log=str(log),
            speed=self._speed,
            file_bytes=self.file_bytes,
            kill_after_seconds=self.kill_after_seconds,
            epoch=self.epoch,
            records_per_state=self.records_per_state,
            ending=self.ending,
        )
        exit_code = job.run()
        # The output of a killed run may end within a character.
        lines = split_lines(output.read_bytes().decode(errors="replace"))
        return Run(lines, exit_code, log.read_bytes().decode())

    def run_inline(
        self,
        *,
        catalog: Json,
        tap_class: type[TapVoucherify] = TapVoucherify,
        **settings: object,
    ) -> CountedRun:
        """Run a sync to its end in this process, and count its writes and records.

        Args:
            catalog: The catalog.
            tap_class: The class of the tap.
            **settings: Settings to add or replace.
        """
        path = self.write("")
        metrics, logger = _Metrics(), logging.getLogger("singer_sdk.metrics")
        with _CountingFile(path, "w") as file:
            buffer = io.BufferedWriter(file)
            output = io.TextIOWrapper(buffer)
            with contextlib.redirect_stdout(output):
                tap = tap_class(config={**self.config, **settings}, catalog=catalog)
                logger.addHandler(metrics)
                try:
                    exit_code = tap.run()
                finally:
                    logger.removeHandler(metrics)
            output.detach()
            buffer.detach()
            content = path.read_bytes()
            lines = split_lines(content.decode())
            return CountedRun(lines, exit_code, len(content), file.writes, metrics.counts)

    def start(
        self,
        *,
        catalog: Json | None = None,
        state: Json | None = None,
        stdout: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> subprocess.Popen[bytes]:
        """Start a sync in a new interpreter and return its process.

        Args:
            catalog: The catalog, if any.
            state: The state, if any.
            stdout: Standard output, by default a pipe, as standard error is.
            environment: Variables to add to the environment.
            **settings: Settings to add or replace.
        """
        return subprocess.Popen(
            (*COMMAND, *self.options({**self.config, **settings}, catalog, state)),
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env=_environment({**self.environment, **(environment or {})}),
        )

    def options(self, config: object, catalog: object = None, state: object = None) -> list[str]:
        """Write the given files, and return the options that name them."""
        files = {"config": config, "catalog": catalog, "state": state}
        return [
            f"--{name}={self.write(content)}"
            for name, content in files.items()
            if content is not None
        ]

    def write(self, content: object) -> Path:
        """Write a file, text unchanged and anything else as JSON, and return its path."""
        self._files += 1
        path = self._directory / f"{self._files}.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path


def split_lines(text: str) -> list[str]:
    """Split text at line feeds only, as loaders do: JSON may contain Python's other line breaks."""
    return text.removesuffix("\n").split("\n") if text else []


def read_lines(pipe: IO[bytes] | None, count: int) -> list[str]:
    """Return `count` lines of a pipe, fewer only at its end."""
    assert pipe is not None
    lines: list[str] = []
    while len(lines) < count and (line := pipe.readline()):
        lines.append(line.decode().rstrip("\n"))
    return lines


def wait_for_log(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read the log of a process up to a line that contains `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the log ended without {text!r}")


def select(
    discovered: Json,
    streams: Collection[str],
    without: Mapping[str, Iterable[str]] | None = None,
) -> Json:
    """Return a catalog that selects these streams, without some of their properties."""
    catalog: Json = copy.deepcopy(discovered)
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        dropped = set((without or {}).get(name, ()))
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = name in streams
            elif item["breadcrumb"][-1] in dropped:
                item["metadata"]["selected"] = False
    return catalog


def created_exports(sandbox: Sandbox, exported_object: str = "") -> list[Json]:
    """Return the bodies of the requests that created exports, in order."""
    requests: list[Request] = [r for r in sandbox.requests if r.kind == "create"]
    bodies: list[Json] = [request.json for request in requests]
    return [body for body in bodies if exported_object in {"", body["exported_object"]}]


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without the tap's settings, plus the added variables."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TAP_VOUCHERIFY_") or name == "TAP_VOUCHERIFY_PURE"
    }
    return {**inherited, **added}


class _CountingFile(io.FileIO):
    """A file that counts its writes."""

    writes = 0

    def write(self, data: Buffer, /) -> int:
        self.writes += 1
        return super().write(data)


@dataclass
class _Metrics(logging.Handler):
    """Collects each stream's record count from the SDK's metrics."""

    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = logging.Handler.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        point: Any = record.args[0] if isinstance(record.args, tuple) else None
        if getattr(point, "metric", "") == "record_count":
            stream = point.tags["stream"]
            self.counts[stream] = self.counts.get(stream, 0) + point.value
