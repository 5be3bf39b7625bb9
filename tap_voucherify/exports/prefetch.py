"""Prefetch exports in reading order.

The exports of all streams are in one queue, in the order in which the reader wants them. While it
reads one, `workers` run the next, so a sync takes as long as the slowest exports, not their sum.

- An export fails. It is requested again, whole or split in two, at the front of the queue.
- The reader finds the files of an export useless and replaces it, at the front of the queue.
- The stream recovers from a failure by requesting other exports. They go to the front, and its
  later exports are cancelled.
- The reader abandons a stream (it failed, or is not read to its end). Its exports are cancelled.
"""

from __future__ import annotations

import logging
import typing as t
from collections import deque

from tap_voucherify.errors import ExportFailedError, ExportTimeoutError, StreamError
from tap_voucherify.exports.workers import QueuedExport

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.exports.request import ExportedFiles, ExportRequest
    from tap_voucherify.exports.workers import ExportWorkers

# Failures before a window is split.
FAILURES_BEFORE_SPLIT = 2
# Attempts for a window that cannot be split.
MAX_ATTEMPTS = 3

logger = logging.getLogger("tap-voucherify.exports")


class ExportPrefetcher:
    """Runs the exports of all streams ahead of their reader.

    Args:
        workers: Run the exports.
    """

    def __init__(self, workers: ExportWorkers) -> None:
        self._workers = workers
        self._exports: dict[str, deque[QueuedExport]] = {}
        self._replacements: dict[str, list[ExportRequest]] = {}

    def plan(self, stream: str, requests: Iterable[ExportRequest]) -> None:
        """Queue a stream's exports."""
        exports = self._exports[stream] = deque(map(QueuedExport, requests))
        self._workers.add(exports)

    def read(
        self, stream: str, recover: Callable[[StreamError], list[ExportRequest]] = lambda _: []
    ) -> Iterator[ExportedFiles]:
        """Yield the exports of a stream in order, as their files become available.

        A failed export is retried or split.

        Args:
            stream: The stream.
            recover: Returns the exports to read instead of this and all later ones after
                any other failure; none if the stream fails.

        Raises:
            StreamError: If the stream fails.
        """
        exports = self._exports.pop(stream, deque())
        try:
            while exports:
                try:
                    exported = self._workers.result(exports[0])
                except ExportFailedError as error:
                    if self._workers.is_abandoned(stream):
                        raise
                    exports.extendleft(reversed(self._requeue(exports.popleft(), error)))
                    continue
                except StreamError as error:
                    if not (requests := recover(error)):
                        raise
                    replacements = self._put_first(exports.popleft(), requests)
                    self._workers.cancel(exports)
                    exports = deque(replacements)
                    continue
                yield exported
                if requests := self._replacements.pop(stream, []):
                    exports.extendleft(reversed(self._put_first(exports.popleft(), requests)))
                    continue
                self._workers.release(exports.popleft())
        finally:
            self._workers.cancel(exports)

    def replace(self, stream: str, requests: list[ExportRequest]) -> None:
        """Replace the export that is being read: its files turned out to be useless."""
        self._replacements[stream] = requests

    def finish(self) -> None:
        """Wait for pending deletions, and end the workers."""
        self._workers.finish()
        self.close()

    def close(self) -> None:
        """Cancel everything."""
        for exports in self._exports.values():
            self._workers.cancel(exports)
        self._workers.close()

    def _requeue(self, export: QueuedExport, error: ExportFailedError) -> list[QueuedExport]:
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
            self._workers.cancel([export])
            raise error
        return self._put_first(export, requests, failures)

    def _put_first(
        self, export: QueuedExport, requests: Iterable[ExportRequest], failures: int = 0
    ) -> list[QueuedExport]:
        """Replace an export with others, at the front of the queue."""
        exports = [QueuedExport(request, failures) for request in requests]
        self._workers.replace(export, exports)
        return exports
