"""The life of one export: create it, wait for it, download its files, delete it."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import typing as t

from tap_voucherify.api.messages import StaleLinkError
from tap_voucherify.api.voucherify import ExportStatus
from tap_voucherify.clock import Deadline, StoppedError
from tap_voucherify.errors import (
    AccountError,
    ExportFailedError,
    ExportTimeoutError,
    LinkExpiredError,
    NotFoundError,
    RequestError,
    StorageError,
    StreamError,
    TransientError,
)
from tap_voucherify.exports.request import ExportedFiles
from tap_voucherify.exports.resume import UnfinishedExports

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_voucherify.api.voucherify import Export, Voucherify
    from tap_voucherify.clock import Clock
    from tap_voucherify.exports.request import ExportRequest

# Poll interval as a fraction of the time waited so far (within limits).
POLL_SHARE = 0.2
MAX_POLL_SECONDS = 30

# Refresh download links older than this.
FRESH_LINK_SECONDS = 10
MAX_LINK_ATTEMPTS = 3

FIRST_REPORT_SECONDS = 10

logger = logging.getLogger("tap-voucherify.exports")


def poll_intervals(poll_interval_seconds: float) -> Iterator[float]:
    """Yield the pauses before each poll: a share of the time waited, within limits.

    Completion is noticed within 20 % of the export's duration; one minute costs about 20 polls.
    """
    waited = 0.0
    while True:
        pause = max(poll_interval_seconds, min(POLL_SHARE * waited, MAX_POLL_SECONDS))
        yield pause
        waited += pause


class ExportRunner:
    """Runs exports; thread-safe.

    Args:
        api: Voucherify's API.
        clock: Clock.
        poll_interval_seconds: Minimum poll interval.
        export_timeout_seconds: Time limit per export, including download.
        resume_exports: Whether to resume unfinished exports.
    """

    def __init__(
        self,
        api: Voucherify,
        clock: Clock,
        *,
        poll_interval_seconds: float,
        export_timeout_seconds: float,
        resume_exports: bool = False,
    ) -> None:
        self._api = api
        self._clock = clock
        self._poll_interval_seconds = poll_interval_seconds
        self._export_timeout_seconds = export_timeout_seconds
        self._unfinished = UnfinishedExports(
            api, clock, export_timeout_seconds if resume_exports else 0
        )

    def run(self, request: ExportRequest, should_continue: Callable[[], bool]) -> ExportedFiles:
        """Run an export to its end and download its files.

        Args:
            request: What to export.
            should_continue: Called between polls; False cancels.

        Raises:
            AccountError: If Voucherify rejects the account.
            ExportFailedError: If the export fails or disappears.
            ExportTimeoutError: If it times out.
            StoppedError: If cancelled.
            StreamError: On any other permanent failure.
        """
        export = self._resume(request)
        deadline = Deadline(self._clock, self._export_timeout_seconds)
        export = export or self._create(request, deadline)
        job = _Job(request, export, deadline, should_continue)
        try:
            urls = self._wait(job)
            files = self._download(job, urls)
            return ExportedFiles(request, export.id, export.created_at, files)
        except NotFoundError as error:
            raise ExportFailedError(
                f"the export no longer exists: {error}", export.created_at
            ) from error

    def delete(self, exported: ExportedFiles) -> None:
        """Delete an export that has been read; a failure only logs a warning."""
        try:
            self._api.delete_export(exported.export_id)
        except NotFoundError:
            return
        except (StreamError, AccountError) as error:
            logger.warning("%s: could not delete the export: %s", exported.request, error)

    def _create(self, request: ExportRequest, deadline: Deadline) -> Export:
        export = self._api.create_export(request.exported_object, request.parameters, deadline)
        logger.info("%s: created export %s", request, export.id)
        return export

    def _resume(self, request: ExportRequest) -> Export | None:
        """Resume an unfinished export, if there is one."""
        export = self._unfinished.claim(request) if request.resumable else None
        if export:
            logger.info("%s: resuming export %s", request, export.id)
        return export

    def _wait(self, job: _Job) -> tuple[str, ...]:
        """Poll until the export is done and return the links to its files."""
        started, report_after = self._clock.monotonic(), FIRST_REPORT_SECONDS
        intervals = poll_intervals(self._poll_interval_seconds)
        while (remaining := job.deadline.remaining_seconds) > 0:
            self._clock.sleep(min(next(intervals), remaining))
            job.check()
            urls = self._poll(job)
            waited = self._clock.monotonic() - started
            if urls:
                logger.info("%s: export finished after %.0f s", job.request, waited)
                return urls
            if waited >= report_after:
                logger.info("%s: still waiting after %.0f s", job.request, waited)
                report_after *= 2
        raise self._timeout(job.export)

    def _poll(self, job: _Job) -> tuple[str, ...]:
        """Return the links to the files; empty while the export is running."""
        export = self._api.get_export(job.export.id, job.deadline)
        if export.status is ExportStatus.ERROR:
            raise ExportFailedError("the export failed (status ERROR)", job.export.created_at)
        return export.urls if export.status is ExportStatus.DONE else ()

    def _timeout(self, export: Export) -> ExportTimeoutError:
        return ExportTimeoutError(
            f"the export did not finish within {self._export_timeout_seconds:.0f} s "
            "(export_timeout_seconds)",
            export.created_at,
        )

    def _download(self, job: _Job, urls: tuple[str, ...]) -> tuple[t.BinaryIO, ...]:
        links = _DownloadLinks(urls, self._clock, lambda: self._poll(job))
        with contextlib.ExitStack() as opened:
            files = tuple(opened.enter_context(_temporary_file()) for _ in urls)
            for index, file in enumerate(files):
                job.check()
                self._download_file(job, links, index, file)
            opened.pop_all()
            return files

    def _download_file(
        self, job: _Job, links: _DownloadLinks, index: int, file: t.BinaryIO
    ) -> None:
        def attempt() -> int:
            try:
                return links.download(
                    index,
                    lambda url, until: self._api.download(url, file, job.deadline, until),
                )
            except TransientError as error:
                if job.deadline.remaining_seconds <= 0:
                    raise self._timeout(job.export) from error
                raise

        started = self._clock.monotonic()
        size = self._api.retry(attempt, f"{job.request}: download failed", job.deadline) / 1e6
        seconds = self._clock.monotonic() - started
        logger.info(
            "%s: downloaded %.1f MB in %.1f s (%.1f MB/s)",
            job.request,
            size,
            seconds,
            size / max(seconds, 1e-3),
        )


class _Job(t.NamedTuple):
    """An export that is being run."""

    request: ExportRequest
    export: Export
    deadline: Deadline
    should_continue: Callable[[], bool]

    def check(self) -> None:
        """Raise `StoppedError` if the export was cancelled."""
        if not self.should_continue():
            raise StoppedError


class _DownloadLinks:
    """The short-lived links to an export's files, refreshed when stale."""

    def __init__(
        self, urls: tuple[str, ...], clock: Clock, refresh: Callable[[], tuple[str, ...]]
    ) -> None:
        self._urls = urls
        self._clock = clock
        self._refresh = refresh
        self._fetched_at = clock.monotonic()
        self._expired = 0
        self._is_stale = False

    def download(self, index: int, download: Callable[[str, float], int]) -> int:
        """Download with a current link; an expired link raises a retryable error."""
        while True:
            url = self._current(index)
            try:
                return download(url, self._fresh_until)
            except StaleLinkError:
                continue
            except LinkExpiredError as error:
                self._expired += 1
                self._is_stale = True
                if self._expired < MAX_LINK_ATTEMPTS:
                    raise
                raise RequestError(
                    f"{error}, even with a new link: check that the API key may download exports"
                ) from error

    @property
    def _fresh_until(self) -> float:
        return self._fetched_at + FRESH_LINK_SECONDS

    def _current(self, index: int) -> str:
        if self._clock.monotonic() > self._fresh_until or self._is_stale:
            urls = self._refresh()
            if len(urls) != len(self._urls):
                raise RequestError("the number of an export's files changed")
            self._urls, self._fetched_at = urls, self._clock.monotonic()
            self._is_stale = False
        return self._urls[index]


def _temporary_file() -> t.BinaryIO:
    """Open an unnamed temporary file; it disappears with the process."""
    try:
        # tempfile would silently ignore an unusable TMPDIR.
        directory = os.environ.get("TMPDIR") or None
        return t.cast("t.BinaryIO", tempfile.TemporaryFile(prefix="tap-voucherify-", dir=directory))
    except OSError as error:
        raise StorageError(
            f"cannot create a temporary file: {error.strerror}; check TMPDIR"
        ) from error
