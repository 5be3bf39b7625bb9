"""Run exports in background threads, from one queue.

Each worker takes the first export of the queue, runs it, and keeps it until its files are read, so
the number of workers is the limit. Then one of these cases applies:

- The export succeeds. Its worker waits until the reader has read it, closes its files, deletes it
  if configured, and takes the next from the queue. The reader does not wait for the deletion;
  `finish` does.
- The export fails before the reader wants it. Its worker waits, so that the slot stays taken.
  When the reader finds the failure, it puts one or two exports at the front of the queue and frees
  the worker in the same step. If the slot were free in between, a later export could take it and
  wait for the reader, while the reader waits for a slot.
- The failures of a stream and its exports in progress add up to its limit. The first in the queue
  then waits for those to end, and is not overtaken, since it is needed next. If the limit is
  reached, the reader gets the last failure.
- The export fails in any other way. The reader gets the exception when it wants that export.
- An export is cancelled. It is removed from the queue, closed without being deleted if it is done,
  or stops at its next check.
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
from tap_voucherify.errors import ExportFailedError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tap_voucherify.clock import Clock
    from tap_voucherify.exports.request import ExportedFiles, ExportRequest

# Failures before a stream is abandoned.
MAX_FAILURES_PER_STREAM = 12

# How often a waiting reader checks for interruption.
CHECK_SECONDS = 0.1

logger = logging.getLogger("tap-voucherify.exports")


@dataclass(eq=False)
class QueuedExport:
    """An export that is queued, in progress, or finished.

    Attributes:
        request: Its request.
        failures: How often it has failed before.
        outcome: Its files, or the error it ended with; None while it is queued or in progress.
        is_read: Whether its files have been read.
        is_cancelled: Whether it is no longer wanted.
    """

    request: ExportRequest
    failures: int = 0
    outcome: ExportedFiles | BaseException | None = None
    is_read: bool = False
    is_cancelled: bool = False


class ExportWorkers:
    """Daemon threads that run exports; each owns one from its creation until its files are read.

    Args:
        run: Runs one export to its end; gets a callback that says whether to continue.
        clock: Clock.
        limit: Maximum exports in progress or unread, which bounds disk use too.
        on_read: Called after an export has been read.
        check_interruption: Raises to interrupt the reader.
    """

    def __init__(
        self,
        run: Callable[[ExportRequest, Callable[[], bool]], ExportedFiles],
        clock: Clock,
        *,
        limit: int,
        on_read: Callable[[ExportedFiles], None] | None,
        check_interruption: Callable[[], None],
    ) -> None:
        self._run = run
        self._limit = limit
        self._on_read = on_read
        self._check_interruption = check_interruption
        self._changed = clock.condition()
        self._queue: deque[QueuedExport] = deque()
        self._running: Counter[str] = Counter()
        self._failures: defaultdict[str, list[ExportFailedError]] = defaultdict(list)
        self._workers = 0
        self._pending_deletes = 0
        self._is_closed = False

    def add(self, exports: Sequence[QueuedExport]) -> None:
        """Add exports to the end of the queue."""
        with self._changed:
            self._queue.extend(exports)
            self._start_workers(len(exports))

    def replace(self, export: QueuedExport, others: Sequence[QueuedExport]) -> None:
        """Replace an export with others, at the front of the queue."""
        with self._changed:
            # Atomically, so that no later export takes the slot in between.
            export.is_cancelled = True
            self._queue.extendleft(reversed(others))
            self._start_workers(len(others))

    def result(self, export: QueuedExport) -> ExportedFiles:
        """Wait for an export to end, and return its files.

        Raises:
            BaseException: If it failed, or its stream is abandoned.
        """
        stream = export.request.stream
        with self._changed:
            self._wait_for(
                lambda: export.outcome or (export in self._queue and self.is_abandoned(stream))
            )
        outcome = export.outcome or self._failures[stream][-1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def is_abandoned(self, stream: str) -> bool:
        """Whether a stream has failed too often."""
        return len(self._failures[stream]) >= MAX_FAILURES_PER_STREAM

    def release(self, export: QueuedExport) -> None:
        """Free the worker of an export whose files have been read."""
        with self._changed:
            export.is_read = True
            self._pending_deletes += bool(self._on_read)
            self._changed.notify_all()

    def cancel(self, exports: Iterable[QueuedExport]) -> None:
        """Cancel exports that will not be read."""
        with self._changed:
            for export in exports:
                export.is_cancelled = True
                if export in self._queue:
                    self._queue.remove(export)
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait for pending deletions."""
        with self._changed:
            self._wait_for(lambda: not self._pending_deletes)

    def close(self) -> None:
        """Close the queue; workers end when they next wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], object]) -> None:
        while not self._changed.wait_for(condition, CHECK_SECONDS):
            self._check_interruption()

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

    def _next(self) -> QueuedExport | None:
        """Wait for an export to run; None if there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._next_runnable is not None)
            if self._is_closed:
                return None
            export = self._queue.popleft()
            self._running[export.request.stream] += 1
            return export

    def _run_until_read(self, export: QueuedExport) -> None:
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
    def _next_runnable(self) -> QueuedExport | None:
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
        """Close the files of an export, and delete it if it was read."""
        try:
            exported.close()
            if is_read and self._on_read:
                self._on_read(exported)
        except StoppedError:
            pass  # the run has ended, and nothing waits for this export
        except Exception as error:  # noqa: BLE001 - the records are emitted
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
