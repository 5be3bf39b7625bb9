"""The tap's command, for which time passes faster, and which need not be imported anew each time.

`python tests/support/fast_cli.py` reads one `Job` a line, runs each command in a process forked off
from this one, and then writes its exit code.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypedDict, TypeVar

from tap_voucherify.clock import Clock
from tap_voucherify.tap import TapVoucherify

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# A thread that looks up more often has no time left to work.
_SHORTEST_WAIT_SECONDS = 0.002


class Job(TypedDict):
    """A command to run.

    Attributes:
        options: The options.
        environment: The whole environment.
        directory: The working directory.
        output: The file that standard output goes to.
        log: The file that standard error goes to.
        speed: How many seconds of the tap pass in a real one.
        file_bytes: How long a file can get, as if the disk were full then; -1 for any length.
        kill_after_seconds: After how many real seconds the command is killed.
        kill_at_bytes: At how much output it is killed; -1 for never.
    """

    options: list[str]
    environment: dict[str, str]
    directory: str
    output: str
    log: str
    speed: float
    file_bytes: int
    kill_after_seconds: float
    kill_at_bytes: int


class FastClock(Clock):
    """A clock that runs fast; the date stays that of the server.

    Attributes:
        speed: How many seconds pass in a real one.
    """

    speed: ClassVar[float] = 1

    def monotonic(self) -> float:
        """Return seconds of the tap."""
        return time.monotonic() * self.speed

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds of the tap."""
        super().sleep(seconds / self.speed)

    def condition(self) -> threading.Condition:
        """Return a condition that measures its waits in seconds of the tap."""
        return _FastCondition()


class _FastCondition(threading.Condition):
    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            timeout = max(timeout / FastClock.speed, _SHORTEST_WAIT_SECONDS)
        return super().wait(timeout)

    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        clock = FastClock()
        end = None if timeout is None else clock.monotonic() + timeout
        while not (result := predicate()):
            left = None if end is None else end - clock.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result


class FastTap(TapVoucherify):
    """The tap with that clock."""

    clock_class = FastClock


def serve() -> None:
    """Run the jobs; returns in the processes that are to run one."""
    while line := sys.stdin.readline():
        job: Job = json.loads(line)
        process_id = os.fork()
        if not process_id:
            become(job)
            return
        print(attend(process_id, job), flush=True)  # noqa: T201 - to whoever asked


def attend(process_id: int, job: Job) -> int:
    """Wait for a process, kill it when that is due, and return its exit code."""
    end = time.monotonic() + job["kill_after_seconds"]
    while True:
        ended, status = os.waitpid(process_id, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        is_due = 0 <= job["kill_at_bytes"] <= Path(job["output"]).stat().st_size
        if is_due or time.monotonic() > end:
            os.kill(process_id, signal.SIGKILL)
        time.sleep(_SHORTEST_WAIT_SECONDS)


def become(job: Job) -> None:
    """Turn this process into one that was started for a job."""
    for number, path in enumerate((os.devnull, job["output"], job["log"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["directory"])
    FastClock.speed = job["speed"]
    if job["file_bytes"] >= 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    sys.argv[1:] = job["options"]


if __name__ == "__main__":
    serve()
    if sys.argv[1:]:
        FastTap.cli()
