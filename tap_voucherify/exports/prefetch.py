"""Exports run ahead of their reader, in the order in which they will be read.

Time to sync is therefore that of the slowest exports, not the sum of all. No more than a given
number is unfinished or unread at once, which also bounds the disk.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import typing as t
from collections import Counter, defaultdict, deque
from dataclasses import dataclass

from tap_voucherify.clock import StoppedError
from tap_voucherify.errors import ExportFailedError, ExportTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.clock import Clock
    from tap_voucherify.exports.job import ExportedFiles, ExportRequest

# A window that can be cut is cut after so many exports ended with ERROR.
TRIES_BEFORE_CUT = 2
# One that cannot be cut is given up after so many failures.
TRIES_UNCUT = 3
# So many failed exports are enough for one stream in one run.
FAILURES_PER_STREAM = 12

# How often the reader looks up from waiting, to see whether the run is to end.
LOOK_UP_SECONDS = 0.1

logger = logging.getLogger("tap-voucherify.exports")


@dataclass(eq=False)
class _Job:
    """An export that is waiting to run, running, or finished."""

    request: ExportRequest
    tries: int = 0
    outcome: ExportedFiles | BaseException | None = None
    is_read: bool = False
    is_wanted: bool = True


class RunAhead:
    """Runs the exports of all streams in background threads.

    A thread keeps its place from the creation of an export until its files are read, so
    the number of threads is the number of places. They are daemons: they never keep the
    process alive.
    """

    def __init__(
        self,
        run: Callable[[ExportRequest, Callable[[], bool]], ExportedFiles],
        clock: Clock,
        *,
        max_concurrent_exports: int,
        clean_up: Callable[[ExportedFiles], None] | None = None,
        check_interruption: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare, without a thread.

        Args:
            run: Runs one export to its end; is told how to ask whether to go on.
            clock: Measures the waits.
            max_concurrent_exports: How many may be unfinished or unread at once.
            clean_up: Is called with each export that has been read.
            check_interruption: Raises if the reader is to stop waiting.
        """
        self._run = run
        self._places = max_concurrent_exports
        self._clean_up = clean_up
        self._check_interruption = check_interruption
        self._changed = clock.condition()
        self._waiting: deque[_Job] = deque()
        self._jobs: dict[str, deque[_Job]] = {}
        self._running: Counter[str] = Counter()
        self._failures: defaultdict[str, list[ExportFailedError]] = defaultdict(list)
        self._threads = 0
        self._unclean = 0
        self._is_closed = False

    def plan(self, stream: str, requests: Iterable[ExportRequest]) -> None:
        """Line up the exports of a stream, behind those of the streams before it."""
        jobs = self._jobs[stream] = deque(map(_Job, requests))
        with self._changed:
            self._waiting.extend(jobs)
            self._staff(len(jobs))

    def read(self, stream: str) -> Iterator[ExportedFiles]:
        """Yield the exports of a stream in order, each as soon as its files are there.

        An export that failed is repeated, or replaced by exports of smaller windows.

        Raises:
            StreamError: If the stream cannot go on.
        """
        jobs = self._jobs.pop(stream, deque())
        try:
            while jobs:
                try:
                    exported = self._result(jobs[0])
                except ExportFailedError as error:
                    if len(self._failures[stream]) >= FAILURES_PER_STREAM:
                        raise
                    jobs.extendleft(reversed(self._replace(jobs.popleft(), error)))
                    continue
                yield exported
                with self._changed:
                    jobs.popleft().is_read = True
                    self._unclean += bool(self._clean_up)
                    self._changed.notify_all()
        finally:
            # Whatever is left is not needed any more.
            self._drop(jobs)

    def finish(self) -> None:
        """Wait until all that was read is cleaned up."""
        with self._changed:
            self._wait_for(lambda: not self._unclean)

    def close(self) -> None:
        """Let go of everything."""
        for jobs in self._jobs.values():
            self._drop(jobs)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _staff(self, jobs: int) -> None:
        """Have so many more jobs worked on, as far as there are places."""
        for _ in range(min(jobs, self._places - self._threads)):
            self._threads += 1
            name = f"export-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._next_job is not None)
                if self._is_closed:
                    return
                job = self._waiting.popleft()
                self._running[job.request.stream] += 1
            with contextlib.suppress(StoppedError):
                self._finish_job(job)

    @property
    def _next_job(self) -> _Job | None:
        """The first in line, unless it has to wait.

        A stream whose exports fail stays within its bound. Nobody overtakes it then: the
        place is for what is read next.
        """
        if not self._waiting:
            return None
        job = self._waiting[0]
        failures = len(self._failures[job.request.stream])
        running = self._running[job.request.stream]
        is_held_back = failures and failures + running >= FAILURES_PER_STREAM
        return None if is_held_back else job

    def _finish_job(self, job: _Job) -> None:
        outcome: ExportedFiles | BaseException
        try:
            outcome = self._run(job.request, lambda: job.is_wanted)
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            outcome = error
        with self._changed:
            job.outcome = outcome
            self._running[job.request.stream] -= 1
            if isinstance(outcome, ExportFailedError):
                self._failures[job.request.stream].append(outcome)
            self._changed.notify_all()
            self._changed.wait_for(lambda: job.is_read or not job.is_wanted or self._is_closed)
        if isinstance(outcome, BaseException):
            return
        outcome.close()
        if job.is_read and self._clean_up:
            self._clean_up(outcome)
            with self._changed:
                self._unclean -= 1
                self._changed.notify_all()

    def _result(self, job: _Job) -> ExportedFiles:
        failures = self._failures[job.request.stream]

        def is_settled() -> bool:
            given_up = len(failures) >= FAILURES_PER_STREAM and job in self._waiting
            return job.outcome is not None or given_up

        with self._changed:
            self._wait_for(is_settled)
        outcome = job.outcome or failures[-1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        while not self._changed.wait_for(is_so, LOOK_UP_SECONDS):
            self._check_interruption()

    def _replace(self, job: _Job, error: ExportFailedError) -> list[_Job]:
        """Line up what is to be done instead of a failed export.

        Raises:
            ExportFailedError: If nothing is left to try.
        """
        tries = job.tries + 1
        parts = job.request.window.halves(error.created_at)
        if parts and (isinstance(error, ExportTimeoutError) or tries >= TRIES_BEFORE_CUT):
            jobs = [_Job(job.request.over(part)) for part in parts]
            logger.warning("%s: %s; trying %s", job.request, error, " and ".join(map(str, parts)))
        elif tries < TRIES_UNCUT:
            jobs = [_Job(job.request, tries)]
            logger.warning("%s: %s; trying again", job.request, error)
        else:
            self._drop([job])
            raise error
        with self._changed:
            # In one step: were the place free for a moment, an export that is read
            # later could take it, and wait for this reader as this reader for a place.
            job.is_wanted = False
            self._waiting.extendleft(reversed(jobs))
            self._staff(len(jobs))
        return jobs

    def _drop(self, jobs: Iterable[_Job]) -> None:
        with self._changed:
            for job in jobs:
                job.is_wanted = False
                if job in self._waiting:
                    self._waiting.remove(job)
            self._changed.notify_all()
