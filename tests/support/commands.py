"""Run the tap's command, optionally in accelerated time.

Commands are forked from a server (this module, run as a script) that has already imported the tap,
which saves most of the startup time. The server reads a job, forks a process for it, waits for it
to end and writes its exit code.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import runpy
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from tap_voucherify.clock import Clock
from tap_voucherify.singer.block_stream import BlockStream
from tap_voucherify.tap import TapVoucherify

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = (sys.executable, "-m", "tap_voucherify")

_T = TypeVar("_T")
_SERVER = (sys.executable, str(Path(__file__)))
# A thread that wakes up more often would take the processor from the work.
_MIN_WAIT_SECONDS = 0.002

_idle_servers: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()


@dataclass(frozen=True)
class Ending:
    """Ends a command early, when the first condition is met.

    Attributes:
        signal_number: The signal to send; SIGPIPE closes the other end of its output instead.
        after_seconds: The real seconds after its start.
        at_bytes: The length of its output.
    """

    signal_number: int = signal.SIGTERM
    after_seconds: float = 1e9
    at_bytes: int = 1 << 60

    @property
    def closes_pipe(self) -> bool:
        """Whether the output is a pipe that breaks, after exactly `at_bytes`."""
        return self.signal_number == signal.SIGPIPE

    def is_due(self, seconds: float, size: int) -> bool:
        """Whether it is time for the signal."""
        return not self.closes_pipe and (seconds >= self.after_seconds or size >= self.at_bytes)


@dataclass(frozen=True)
class Job:
    """A command to run; see `Tap` for the limits.

    Attributes:
        options: The options.
        environment: The complete environment.
        directory: The working directory.
        output: The file for standard output.
        log: The file for standard error.
        speed: The tap's seconds per real second.
        epoch: The tap's Unix time when its monotonic clock was zero; None for the real time.
        records_per_state: The number of records between STATE messages; 0 for the default.
        ending: What ends the command.
    """

    options: list[str]
    environment: dict[str, str]
    directory: str
    output: str
    log: str
    speed: float
    file_bytes: int
    kill_after_seconds: float
    epoch: float | None = None
    records_per_state: int = 0
    ending: Ending | None = None

    def run(self) -> int:
        """Run the command and return its exit code."""
        return _run_in_new_interpreter(self) if sys.platform == "win32" else _run_forked(self)


class _Clock(Clock):
    """A clock that runs fast; the date does too, if its epoch is set.

    Attributes:
        speed: Its seconds per real second.
        epoch: The Unix time when the monotonic clock was zero; None for the real date.
    """

    speed: ClassVar[float] = 1
    epoch: ClassVar[float | None] = None

    def now(self) -> float:
        return time.time() if self.epoch is None else self.epoch + self.monotonic()

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / self.speed)

    def condition(self) -> threading.Condition:
        return _Condition()


class _Condition(threading.Condition):
    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            timeout = max(timeout / _Clock.speed, _MIN_WAIT_SECONDS)
        return super().wait(timeout)

    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        clock = _Clock()
        end = None if timeout is None else clock.monotonic() + timeout
        while not (result := predicate()):
            remaining = None if end is None else end - clock.monotonic()
            if remaining is not None and remaining <= 0:
                break
            self.wait(remaining)
        return result


def _run_forked(job: Job) -> int:
    """Run a command in a fork of an idle server, or of a new one if none is idle."""
    try:
        server = _idle_servers.get_nowait()
    except queue.Empty:
        server = subprocess.Popen(
            _SERVER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(_end, server)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asdict(job)) + "\n")
    server.stdin.flush()
    exit_code = int(server.stdout.readline())
    _idle_servers.put(server)
    return exit_code


def _end(server: subprocess.Popen[str]) -> None:
    """End a server and everything it has forked."""
    os.killpg(server.pid, signal.SIGKILL)
    with server:
        pass


def _run_in_new_interpreter(job: Job) -> int:
    """Run a command in a new interpreter, in real time."""
    assert (job.speed, job.file_bytes, job.ending) == (1, -1, None)
    with open(job.output, "wb") as output, open(job.log, "wb") as log:  # noqa: PTH123 - paths as text
        return subprocess.run(
            (*COMMAND, *job.options),
            stdout=output,
            stderr=log,
            check=False,
            cwd=job.directory,
            env=job.environment,
            timeout=job.kill_after_seconds,
        ).returncode


def _serve() -> None:
    """Run jobs until standard input ends; returns only there and in the forked processes."""
    while line := sys.stdin.readline():
        arguments = json.loads(line)
        ending = arguments.pop("ending")
        job = Job(**arguments, ending=Ending(**ending) if ending else None)
        pipe = os.pipe() if job.ending and job.ending.closes_pipe else None
        process_id = os.fork()
        if not process_id:
            _become(job, pipe)
            try:
                runpy.run_module("tap_voucherify", run_name="__main__", alter_sys=True)
            except SystemExit as end:
                # Ending the interpreter takes longer than many of these commands.
                sys.stdout.flush()
                os._exit(int(end.code or 0))
            return
        print(_wait(process_id, job, pipe), flush=True)  # noqa: T201 - the response to the client


def _wait(process_id: int, job: Job, pipe: tuple[int, int] | None) -> int:
    """Wait for a process, ending it when that is due, and return its exit code."""
    started, ending, output = time.monotonic(), job.ending, Path(job.output)
    reader = threading.Thread(target=_read_pipe, args=(pipe, output, ending and ending.at_bytes))
    if pipe:
        reader.start()
    while True:
        ended, status = os.waitpid(process_id, os.WNOHANG)
        if ended:
            break
        seconds = time.monotonic() - started
        if ending and ending.is_due(seconds, output.stat().st_size):
            os.kill(process_id, ending.signal_number)
            ending = None
        if seconds > job.kill_after_seconds:
            os.kill(process_id, signal.SIGKILL)
        time.sleep(_MIN_WAIT_SECONDS)
    if pipe:
        reader.join()
    return os.waitstatus_to_exitcode(status)


def _read_pipe(pipe: tuple[int, int], output: Path, size: int) -> None:
    """Copy the first bytes that a process writes, then close the pipe like a loader that exits."""
    reader, writer = pipe
    os.close(writer)
    with output.open("wb") as file, os.fdopen(reader, "rb", buffering=0) as source:
        while size > 0 and (read := source.read(min(size, 1 << 16))):
            file.write(read)
            size -= len(read)


def _become(job: Job, pipe: tuple[int, int] | None) -> None:
    """Make this process look as if it had been started for a job."""
    for number, path in enumerate((os.devnull, job.output, job.log)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    if pipe:
        os.dup2(pipe[1], 1)
        os.close(pipe[0])
        os.close(pipe[1])
    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.directory)
    if job.speed > 1:
        _Clock.speed, _Clock.epoch = job.speed, job.epoch
        TapVoucherify.clock_class = _Clock
    if job.records_per_state:
        BlockStream.STATE_MSG_FREQUENCY = job.records_per_state
    if job.file_bytes >= 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.file_bytes, job.file_bytes))
    sys.argv[1:] = job.options


if __name__ == "__main__":
    _serve()
