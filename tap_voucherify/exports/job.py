"""The life of one export: create it, wait for it, download its files, delete it."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import tempfile
import typing as t

from tap_voucherify.api.export import ExportStatus
from tap_voucherify.clock import Deadline, StoppedError
from tap_voucherify.errors import (
    AccountError,
    ExportFailedError,
    ExportTimeoutError,
    NotFoundError,
    StorageError,
    StreamError,
    TransientError,
)
from tap_voucherify.exports.links import DownloadLinks
from tap_voucherify.exports.request import ExportedFiles
from tap_voucherify.exports.resume import UnfinishedExports
from tap_voucherify.exports.watch import ExportWatch

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_voucherify.api.export import Export
    from tap_voucherify.api.voucherify import Voucherify
    from tap_voucherify.clock import Clock
    from tap_voucherify.exports.request import ExportRequest

# How long a missing export, result or file may take to appear.
GRACE_SECONDS = 60

FIRST_REPORT_SECONDS = 10

NO_FILE = "the export has no file (status DONE without a result)"

logger = logging.getLogger("tap-voucherify.exports")


class ExportRunner:
    """Runs exports; thread-safe.

    Args:
        api: Voucherify's API.
        clock: Clock.
        poll_interval_seconds: Minimum pause between two checks of an export.
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
        self._export_timeout_seconds = export_timeout_seconds
        self._unfinished = UnfinishedExports(
            api, clock, export_timeout_seconds if resume_exports else 0
        )
        self._watch = ExportWatch(api, clock, poll_interval_seconds)

    def run(self, request: ExportRequest, should_continue: Callable[[], bool]) -> ExportedFiles:
        """Run an export to its end and download its files.

        Args:
            request: What to export.
            should_continue: Called between checks and downloads; False cancels.

        Raises:
            AccountError: If Voucherify rejects the account.
            ExportFailedError: If the export fails or disappears.
            ExportTimeoutError: If it times out.
            StoppedError: If cancelled.
            StreamError: On any other permanent failure.
        """
        export = self._unfinished.claim(request)
        deadline = Deadline(self._clock, self._export_timeout_seconds)
        export = export or self._create(request, deadline)
        job = _Job(request, export, deadline, should_continue)
        try:
            links = self._wait(job)
            files = self._download(job, links)
        except TransientError as error:
            if deadline.remaining_seconds > 0:
                raise
            raise self._timeout(export) from error
        return ExportedFiles(request, export.id, export.created_at, files)

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
        self._unfinished.check_echo(request, export)
        return export

    def _wait(self, job: _Job) -> DownloadLinks:
        """Wait until the export is done and return the links to its files."""
        started, report_after = self._clock.monotonic(), FIRST_REPORT_SECONDS
        grace = _Grace(job, self._clock)
        with self._watch.watch(job.export, job.deadline) as watched:
            while job.deadline.remaining_seconds > 0:
                self._clock.sleep(self._watch.pause_seconds(watched))
                job.check()
                waited = self._clock.monotonic() - started
                try:
                    has_news = self._watch.check(watched)
                except NotFoundError as error:
                    grace.wait(_missing(error))
                    watched.started = grace.started
                    continue
                if has_news and (urls := self._urls(job, watched.export)):
                    logger.info("%s: export finished after %.0f s", job.request, waited)
                    return DownloadLinks(
                        urls, watched.checked_at, self._clock, lambda: self._refresh(job)
                    )
                if has_news and watched.export.status is ExportStatus.DONE:
                    grace.wait(NO_FILE)
                    watched.started = grace.started
                elif has_news:
                    grace.end()
                if waited >= report_after:
                    logger.info("%s: still waiting after %.0f s", job.request, waited)
                    report_after *= 2
        raise self._timeout(job.export)

    def _urls(self, job: _Job, export: Export) -> tuple[str, ...]:
        """Return the links to the files; empty while there are none."""
        if export.status is ExportStatus.ERROR:
            raise ExportFailedError("the export failed (status ERROR)", job.export.created_at)
        return export.urls if export.status is ExportStatus.DONE else ()

    def _refresh(self, job: _Job) -> tuple[str, ...]:
        """Return fresh links to the files.

        Raises:
            NotFoundError: If there are none.
        """
        urls = self._urls(job, self._api.get_export(job.export.id, job.deadline))
        if not urls:
            raise NotFoundError(NO_FILE)
        return urls

    def _timeout(self, export: Export) -> ExportTimeoutError:
        return ExportTimeoutError(
            f"the export did not finish within {self._export_timeout_seconds:.0f} s "
            "(export_timeout_seconds)",
            export.created_at,
        )

    def _download(self, job: _Job, links: DownloadLinks) -> tuple[t.BinaryIO, ...]:
        with contextlib.ExitStack() as opened:
            files = tuple(opened.enter_context(temporary_file()) for _ in range(len(links)))
            for index, file in enumerate(files):
                job.check()
                self._download_file(job, links, index, file)
            opened.pop_all()
            return files

    def _download_file(self, job: _Job, links: DownloadLinks, index: int, file: t.BinaryIO) -> None:
        grace = _Grace(job, self._clock)

        def attempt() -> int:
            try:
                return links.download(
                    index, lambda url, until: self._api.download(url, file, job.deadline, until)
                )
            except NotFoundError as error:
                grace.wait(_missing(error))
                links.expire()
                raise TransientError(str(error)) from error

        started = self._clock.monotonic()
        problem = f"{job.request}: download failed"
        size = self._api.retry(attempt, problem, job.deadline) / 1e6
        if not size:
            # This may be an export without rows, or a fault.
            links.expire()
            size = self._api.retry(attempt, problem, job.deadline) / 1e6
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


def _missing(error: NotFoundError) -> str:
    return f"the export no longer exists: {error}"


class _Grace:
    """The time in which something missing may still appear."""

    def __init__(self, job: _Job, clock: Clock) -> None:
        self.started = math.inf
        self._job = job
        self._clock = clock

    def wait(self, problem: str) -> None:
        """Allow something to be missing for a while.

        Raises:
            ExportFailedError: If it has been missing for too long.
        """
        now = self._clock.monotonic()
        self.started = min(self.started, now)
        if now - self.started >= GRACE_SECONDS:
            raise ExportFailedError(problem, self._job.export.created_at)

    def end(self) -> None:
        """Reset: nothing is missing."""
        self.started = math.inf


def temporary_file() -> t.BinaryIO:
    """Open an unnamed temporary file; it disappears with the process."""
    try:
        # tempfile would silently ignore an unusable TMPDIR.
        directory = os.environ.get("TMPDIR") or None
        return t.cast("t.BinaryIO", tempfile.TemporaryFile(prefix="tap-voucherify-", dir=directory))
    except OSError as error:
        advice = "check TMPDIR"
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            advice = "raise the limit of open files (ulimit -n)"
        raise StorageError(f"cannot create a temporary file: {error.strerror}; {advice}") from error
