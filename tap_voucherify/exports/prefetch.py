"""Prefetch exports in reading order.

A sync takes as long as the slowest exports, not their sum. The limit also bounds disk use.

The exports of all streams stand in one queue, in the order in which the reader will want them.
Each worker thread takes the first, runs it, and keeps it until its files are read, so the number
of workers is the limit. From there, one of these cases applies:

- The export succeeds. Its worker waits until the reader has read it, closes its files, has it
  deleted if that is configured, and takes the next from the queue. Deletion does not hold the
  reader up; `finish` waits for it.
- The export fails before the reader wants it. Its worker waits, so that the slot stays taken.
  The reader then finds the failure and requeues the export, whole or split in two, at the front
  of the queue, and lets the worker go in the same step. Were the slot free in between, a later
  export could take it, and wait for its reader as the reader waits for a slot.
- The stream has failed so often that, together with its exports in progress, it reaches its limit.
  The first in the queue then waits for those to end, and is not overtaken, since it is needed
  next. If the limit is reached, the reader gets the last failure.
- The reader finds the files of an export useless, and replaces it: as if it had failed.
- The stream recovers from a failure by requesting other exports: as above, and its later exports
  are cancelled.
- The reader leaves a stream (it failed, or is not read to its end). Its exports are cancelled:
  those in the queue are removed, those that are done are closed without being deleted, those in
  progress stop when they next look.
- The export fails in any other way. The reader gets the exception when it wants that export.
- Closing a file or deleting an export fails. That is logged, and the worker continues.
- The run ends. The queue is closed, and workers end when they next wait.
"""

from __future__ import annotations

import logging
import threading
import typing as t
from collections import Counter, defaultdict, deque
from dataclasses import dataclass

from tap_voucherify.clock import StoppedError
from tap_voucherify.errors import ExportFailedError, ExportTimeoutError, StreamError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.clock import Clock
    from tap_voucherify.exports.request import ExportedFiles, ExportRequest

# Failures before a window is split.
FAILURES_BEFORE_SPLIT = 2
# Attempts for a window that cannot be split.
MAX_ATTEMPTS = 3
# Failures before a stream is abandoned.
MAX_FAILURES_PER_STREAM = 12

# How often a waiting reader checks for interruption.
CHECK_SECONDS = 0.1

logger = logging.getLogger("tap-voucherify.exports")


@dataclass(eq=False)
class _QueuedExport:
    """An export that is queued, in progress, or finished."""

    request: ExportRequest
    failures: int = 0
    outcome: ExportedFiles | BaseException | None = None
    is_read: bool = False
    is_cancelled: bool = False


class ExportPrefetcher:
    """Runs the exports of all streams in background threads.

    A worker owns an export from creation until its files are read, so the number of workers is
    the limit. Workers are daemon threads.

    Args:
        run: Runs one export to its end; gets a callback that says whether to continue.
        clock: Clock.
        max_concurrent_exports: Maximum exports in progress or unread.
        on_read: Called after an export has been read.
        check_interruption: Raises to interrupt the reader.
    """

    def __init__(
        self,
        run: Callable[[ExportRequest, Callable[[], bool]], ExportedFiles],
        clock: Clock,
        *,
        max_concurrent_exports: int,
        on_read: Callable[[ExportedFiles], None] | None = None,
        check_interruption: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._limit = max_concurrent_exports
        self._on_read = on_read
        self._check_interruption = check_interruption
        self._changed = clock.condition()
        self._queue: deque[_QueuedExport] = deque()
        self._exports: dict[str, deque[_QueuedExport]] = {}
        self._running: Counter[str] = Counter()
        self._replacements: dict[str, list[ExportRequest]] = {}
        self._failures: defaultdict[str, list[ExportFailedError]] = defaultdict(list)
        self._workers = 0
        self._pending_deletes = 0
        self._is_closed = False

    def plan(self, stream: str, requests: Iterable[ExportRequest]) -> None:
        """Queue a stream's exports."""
        exports = self._exports[stream] = deque(map(_QueuedExport, requests))
        with self._changed:
            self._queue.extend(exports)
            self._start_workers(len(exports))

    def read(
        self,
        stream: str,
        recover: Callable[[StreamError], list[ExportRequest]] = lambda _: [],
    ) -> Iterator[ExportedFiles]:
        """Yield the exports of a stream in order, as their files become available.

        An export that failed is retried or split.

        Args:
            stream: The stream.
            recover: Returns the exports to read instead of this and all later ones after
                another failure; none if the stream fails.

        Raises:
            StreamError: If the stream fails.
        """
        exports = self._exports.pop(stream, deque())
        try:
            while exports:
                try:
                    exported = self._result(exports[0])
                except ExportFailedError as error:
                    if len(self._failures[stream]) >= MAX_FAILURES_PER_STREAM:
                        raise
                    exports.extendleft(reversed(self._requeue(exports.popleft(), error)))
                    continue
                except StreamError as error:
                    if not (requests := recover(error)):
                        raise
                    replacements = self._put_first(exports.popleft(), requests)
                    self._cancel(exports)
                    exports = deque(replacements)
                    continue
                yield exported
                if requests := self._replacements.pop(stream, []):
                    exports.extendleft(reversed(self._put_first(exports.popleft(), requests)))
                    continue
                with self._changed:
                    exports.popleft().is_read = True
                    self._pending_deletes += bool(self._on_read)
                    self._changed.notify_all()
        finally:
            # Cancel the rest.
            self._cancel(exports)

    def replace(self, stream: str, requests: list[ExportRequest]) -> None:
        """Replace the export that is being read: its files turned out to be useless."""
        self._replacements[stream] = requests

    def finish(self) -> None:
        """Wait for pending deletions."""
        with self._changed:
            self._wait_for(lambda: not self._pending_deletes)

    def close(self) -> None:
        """Cancel everything."""
        for exports in self._exports.values():
            self._cancel(exports)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _start_workers(self, count: int) -> None:
        """Start up to `count` workers, within the limit."""
        for _ in range(min(count, self._limit - self._workers)):
            self._workers += 1
            name = f"export-{self._workers}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._changed.notify_all()

    def _work(self) -> None:
        while export := self._next():
            self._run_until_read(export)

    def _next(self) -> _QueuedExport | None:
        """Wait for an export to run; None if there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._next_runnable is not None)
            if self._is_closed:
                return None
            export = self._queue.popleft()
            self._running[export.request.stream] += 1
            return export

    def _run_until_read(self, export: _QueuedExport) -> None:
        outcome: ExportedFiles | BaseException
        try:
            outcome = self._run(export.request, lambda: not export.is_cancelled)
        except BaseException as error:  # noqa: BLE001 - re-raised by the reader
            outcome = error
        with self._changed:
            export.outcome = outcome
            self._running[export.request.stream] -= 1
            if isinstance(outcome, ExportFailedError):
                self._failures[export.request.stream].append(outcome)
            self._changed.notify_all()
            self._changed.wait_for(lambda: export.is_read or export.is_cancelled or self._is_closed)
        if not isinstance(outcome, BaseException):
            self._dispose(outcome, is_read=export.is_read)

    @property
    def _next_runnable(self) -> _QueuedExport | None:
        """The next export, if it may run.

        A stream near its failure limit waits for its running exports.
        """
        if not self._queue:
            return None
        export = self._queue[0]
        failures = len(self._failures[export.request.stream])
        running = self._running[export.request.stream]
        is_held_back = failures and failures + running >= MAX_FAILURES_PER_STREAM
        return None if is_held_back else export

    def _dispose(self, exported: ExportedFiles, *, is_read: bool) -> None:
        """Close the files of an export, and have it deleted if it was read."""
        try:
            exported.close()
            if is_read and self._on_read:
                self._on_read(exported)
        except StoppedError:
            pass  # the run ends, and nothing waits for this export
        except Exception as error:  # noqa: BLE001 - the records are out, and the worker goes on
            logger.warning(
                "%s: could not clean up export %s: %s: %s",
                exported.request,
                exported.export_id,
                type(error).__name__,
                error,
            )
        finally:
            if is_read and self._on_read:
                with self._changed:
                    self._pending_deletes -= 1
                    self._changed.notify_all()

    def _result(self, export: _QueuedExport) -> ExportedFiles:
        failures = self._failures[export.request.stream]

        def is_settled() -> bool:
            is_abandoned = len(failures) >= MAX_FAILURES_PER_STREAM and export in self._queue
            return export.outcome is not None or is_abandoned

        with self._changed:
            self._wait_for(is_settled)
        outcome = export.outcome or failures[-1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not self._changed.wait_for(condition, CHECK_SECONDS):
            self._check_interruption()

    def _requeue(self, export: _QueuedExport, error: ExportFailedError) -> list[_QueuedExport]:
        """Requeue a failed export, whole or split.

        Raises:
            ExportFailedError: If nothing is left to try.
        """
        request, failures = export.request, export.failures + 1
        parts = request.window.halves(error.created_at)
        if parts and (isinstance(error, ExportTimeoutError) or failures >= FAILURES_BEFORE_SPLIT):
            requests, failures = [request.over(part) for part in parts], 0
            logger.warning("%s: %s; trying %s", request, error, " and ".join(map(str, parts)))
        elif failures < MAX_ATTEMPTS:
            requests = [request]
            logger.warning("%s: %s; trying again", request, error)
        else:
            self._cancel([export])
            raise error
        return self._put_first(export, requests, failures)

    def _put_first(
        self, export: _QueuedExport, requests: Iterable[ExportRequest], failures: int = 0
    ) -> list[_QueuedExport]:
        """Cancel an export and put others in its place, at the front of the queue."""
        exports = [_QueuedExport(request, failures) for request in requests]
        with self._changed:
            # Atomically, so that no later export takes the slot in between.
            export.is_cancelled = True
            self._queue.extendleft(reversed(exports))
            self._start_workers(len(exports))
        return exports

    def _cancel(self, exports: Iterable[_QueuedExport]) -> None:
        with self._changed:
            for export in exports:
                export.is_cancelled = True
                if export in self._queue:
                    self._queue.remove(export)
            self._changed.notify_all()
