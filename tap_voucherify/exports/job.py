"""The life of one export: create it, poll it, download its file, delete it."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import typing as t
from dataclasses import dataclass, field, replace
from urllib.parse import quote

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
from tap_voucherify.exports.resume import UNFINISHED, LeftBehind, created_at
from tap_voucherify.windows import Window

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping

    from tap_voucherify.api.client import Client
    from tap_voucherify.clock import Clock

# Polls follow each other after this share of the time waited so far, within bounds.
POLL_SHARE = 0.2
LONGEST_POLL_SECONDS = 30

# A link to a file is short-lived; older than this, it is asked for again.
FRESH_LINK_SECONDS = 10
LINK_TRIES = 3

FIRST_REPORT_SECONDS = 10

logger = logging.getLogger("tap-voucherify.exports")


@dataclass(frozen=True)
class ExportRequest:
    """What an export is asked for.

    Attributes:
        stream: The stream that reads it.
        exported_object: Voucherify's name of what is exported.
        fields: The API's names of the columns, in order.
        order: The field that the rows are sorted by, if any.
        window: The range of time.
        filter_field: The field that the window is about; empty if there is no filter.
        may_be_adopted: Whether an export that a killed run has left serves as well: what
            came after it is read by the next run.
        extra_parameters: What the settings add to its parameters.
    """

    stream: str
    exported_object: str
    fields: tuple[str, ...]
    order: str = ""
    window: Window = field(default_factory=Window)
    filter_field: str = ""
    may_be_adopted: bool = False
    extra_parameters: Mapping[str, t.Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, t.Any]:
        """The body of the call that creates it."""
        parameters: dict[str, t.Any] = {"fields": list(self.fields)}
        if self.order:
            parameters["order"] = self.order
        parameters |= self.extra_parameters
        filters = dict(parameters.pop("filters", {}))
        if conditions := self.window.conditions():
            filters[self.filter_field] = {"conditions": conditions}
        if filters:
            parameters["filters"] = filters | {"junction": "and"}
        return {"exported_object": self.exported_object, "parameters": parameters}

    def over(self, window: Window) -> ExportRequest:
        """Return the same request for another window."""
        return replace(self, window=window)

    def __str__(self) -> str:
        """Describe it for the log."""
        if not self.filter_field:
            return self.stream
        verb = self.filter_field.removesuffix("_at")
        return f"{self.stream} {verb} {self.window}"


@dataclass(frozen=True)
class ExportedFiles:
    """What an export led to, ready to be read.

    Attributes:
        request: What was asked for.
        export_id: Voucherify's id of the export.
        created_at: The server's time at which it was created.
        files: Its files, in order, each with a header of its own.
    """

    request: ExportRequest
    export_id: str
    created_at: dt.datetime
    files: tuple[t.BinaryIO, ...]

    def close(self) -> None:
        """Free the disk."""
        for file in self.files:
            file.close()


def poll_pauses(poll_interval_seconds: float) -> Iterator[float]:
    """Yield the pauses before each poll: a share of the time waited, within bounds.

    The end of an export is therefore noticed within a fifth of its duration, and an export of
    one minute costs about 20 calls.
    """
    waited = 0.0
    while True:
        pause = max(poll_interval_seconds, min(POLL_SHARE * waited, LONGEST_POLL_SECONDS))
        yield pause
        waited += pause


def file_urls(result: object) -> list[str]:
    """Return the links to an export's files.

    Documented is `{"url": ...}`. Of very large exports the reference says that they may
    be split, but not how that looks; a list in place of the one url is understood.

    Raises:
        RequestError: If `result` has any other shape, for nothing is read in part.
    """
    if isinstance(result, dict) and len(result) == 1:
        urls = result.get("url", result.get("urls"))
        if isinstance(urls, str):
            urls = [urls]
        if isinstance(urls, list) and urls and all(isinstance(url, str) for url in urls):
            return urls
    keys = sorted(map(str, result)) if isinstance(result, dict) else type(result).__name__
    raise RequestError(
        "Voucherify describes the exported file in a way this tap does not know: "
        f"{keys!s:.500}; please report it"
    )


class ExportRunner:
    """Runs one export after the other, from any number of threads."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        poll_interval_seconds: float,
        export_timeout_seconds: float,
        adopt_exports: bool = False,
    ) -> None:
        """Prepare, without a request.

        Args:
            client: Makes the calls.
            clock: Measures the waits.
            poll_interval_seconds: The first and shortest pause between polls.
            export_timeout_seconds: How long an export may take, its download included.
            adopt_exports: Whether to go on with exports that a killed run has left.
        """
        self._client = client
        self._clock = clock
        self._poll_interval_seconds = poll_interval_seconds
        self._export_timeout_seconds = export_timeout_seconds
        self._left_behind = LeftBehind(
            client, clock, export_timeout_seconds if adopt_exports else 0
        )

    def run(self, request: ExportRequest, is_wanted: Callable[[], bool]) -> ExportedFiles:
        """Run an export to its end and download its files.

        Args:
            request: What to export.
            is_wanted: Is asked now and then whether to go on.

        Raises:
            AccountError: If Voucherify refuses the account.
            ExportFailedError: If the export ends without a file, or vanishes.
            ExportTimeoutError: If it does not end in time.
            StoppedError: If it is not wanted any more.
            StreamError: If anything else goes wrong for good.
        """
        export = self._adopt(request)
        deadline = Deadline(self._clock, self._export_timeout_seconds)
        export = export or self._create(request, deadline)
        try:
            urls = self._wait(export, deadline, is_wanted)
            return ExportedFiles(
                request,
                export.export_id,
                export.created_at,
                self._download(export, urls, deadline, is_wanted),
            )
        except NotFoundError as error:
            raise ExportFailedError(f"the export vanished: {error}", export.created_at) from error

    def _create(self, request: ExportRequest, deadline: Deadline) -> _Export:
        answer = self._client.call(
            "create",
            "POST",
            "/v1/exports",
            json=request.body,
            deadline=deadline,
            if_answer_lost="(an export that was started all the same will not be read)",
        )
        export_id = answer.content.get("id")
        if not isinstance(export_id, str) or not export_id:
            raise RequestError("Voucherify created an export without telling its id")
        logger.info("%s: created export %s", request, export_id)
        return _Export(request, export_id, created_at(answer.content, answer.server_time))

    def _adopt(self, request: ExportRequest) -> _Export | None:
        """Take over an export of a killed run."""
        content = self._left_behind.take(request.body) if request.may_be_adopted else None
        if content is None:
            return None
        logger.info("%s: resuming export %s", request, content["id"])
        return _Export(request, content["id"], created_at(content, 0))

    def delete(self, exported: ExportedFiles) -> None:
        """Delete an export that has been read; a failure only logs a warning."""
        try:
            self._client.call("delete", "DELETE", _path(exported.export_id))
        except NotFoundError:
            return
        except (StreamError, AccountError) as error:
            logger.warning("%s: the export is not deleted: %s", exported.request, error)

    def _wait(
        self, export: _Export, deadline: Deadline, is_wanted: Callable[[], bool]
    ) -> list[str]:
        """Poll until the export is done and return the links to its files."""
        started, report_after = self._clock.monotonic(), FIRST_REPORT_SECONDS
        pauses = poll_pauses(self._poll_interval_seconds)
        while (remaining := deadline.remaining_seconds) > 0:
            self._clock.sleep(min(next(pauses), remaining))
            if not is_wanted():
                raise StoppedError
            urls = self._poll(export, deadline)
            waited = self._clock.monotonic() - started
            if urls:
                logger.info("%s: export is done after %.0f s", export.request, waited)
                return urls
            if waited >= report_after:
                logger.info("%s: still waiting after %.0f s", export.request, waited)
                report_after *= 2
        raise self._timeout(export)

    def _timeout(self, export: _Export) -> ExportTimeoutError:
        return ExportTimeoutError(
            f"the export did not end within {self._export_timeout_seconds:.0f} s "
            "(export_timeout_seconds)",
            export.created_at,
        )

    def _poll(self, export: _Export, deadline: Deadline) -> list[str]:
        """Return the links to the files; none while the export goes on."""
        path = _path(export.export_id)
        content = self._client.call("poll", "GET", path, deadline=deadline).content
        status = content.get("status")
        if status == "DONE":
            return file_urls(content.get("result"))
        if status == "ERROR":
            raise ExportFailedError("Voucherify ended the export with ERROR", export.created_at)
        if status not in UNFINISHED:
            raise RequestError(f"an export has the status {status!r:.80}, unknown to this tap")
        return []

    def _download(
        self,
        export: _Export,
        urls: list[str],
        deadline: Deadline,
        is_wanted: Callable[[], bool],
    ) -> tuple[t.BinaryIO, ...]:
        links = _Links(urls, self._clock, lambda: self._poll(export, deadline))
        with contextlib.ExitStack() as kept:
            files = tuple(kept.enter_context(_temporary_file()) for _ in urls)
            for index, file in enumerate(files):
                if not is_wanted():
                    raise StoppedError
                self._download_file(export, links, index, file, deadline)
            kept.pop_all()
            return files

    def _download_file(
        self, export: _Export, links: _Links, index: int, file: t.BinaryIO, deadline: Deadline
    ) -> None:
        def attempt() -> int:
            try:
                return links.use(index, lambda link: self._client.download(link, file, deadline))
            except TransientError as error:
                if deadline.remaining_seconds <= 0:
                    raise self._timeout(export) from error
                raise

        started = self._clock.monotonic()
        problem = f"{export.request}: could not download the file"
        size = self._client.retry(attempt, problem, deadline=deadline) / 1e6
        seconds = self._clock.monotonic() - started
        logger.info(
            "%s: downloaded %.1f MB in %.1f s (%.1f MB/s)",
            export.request,
            size,
            seconds,
            size / max(seconds, 1e-3),
        )


class _Export(t.NamedTuple):
    request: ExportRequest
    export_id: str
    created_at: dt.datetime


class _Links:
    """The short-lived links to an export's files, renewed when they are old."""

    def __init__(self, urls: list[str], clock: Clock, renew: Callable[[], list[str]]) -> None:
        self._urls = urls
        self._clock = clock
        self._renew = renew
        self._told_at = clock.monotonic()
        self._expired = 0
        self._is_stale = False

    def use(self, index: int, download: Callable[[Callable[[], str]], int]) -> int:
        """Download with a fresh link, or raise an error that has this repeated."""
        try:
            return download(lambda: self._fresh(index))
        except LinkExpiredError as error:
            self._expired += 1
            self._is_stale = True
            if self._expired < LINK_TRIES:
                raise
            raise RequestError(
                f"{error}, and so do fresh ones: check that the key may download exports"
            ) from error

    def _fresh(self, index: int) -> str:
        age = self._clock.monotonic() - self._told_at
        if age > FRESH_LINK_SECONDS or self._is_stale:
            urls = self._renew()
            if len(urls) != len(self._urls):
                raise RequestError("the number of an export's files changed")
            self._urls, self._told_at = urls, self._clock.monotonic()
            self._is_stale = False
        return self._urls[index]


def _path(export_id: str) -> str:
    return f"/v1/exports/{quote(export_id, safe='')}"


def _temporary_file() -> t.BinaryIO:
    """Open a private file that no longer has a name, so that nothing can leave it."""
    try:
        # Without `dir`, a TMPDIR that cannot be used would be passed over in silence.
        directory = os.environ.get("TMPDIR") or None
        return t.cast("t.BinaryIO", tempfile.TemporaryFile(prefix="tap-voucherify-", dir=directory))
    except OSError as error:
        raise StorageError(
            f"no temporary file can be created: {error.strerror}; check TMPDIR"
        ) from error
