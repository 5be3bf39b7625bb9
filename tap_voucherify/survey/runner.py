"""Make the exports of a survey with as few calls as possible.

An export takes three calls: create, download, delete. One list call checks all exports in
progress; the pauses between checks double. Exports that the list lacks are polled, one after the
other. A link that does not work yet is tried again after a later check, and links of younger
exports wait as long.
"""

from __future__ import annotations

import contextlib
import logging
import math
import typing as t
from collections import deque

from typing_extensions import override

from tap_voucherify.api.export import Export, ExportStatus
from tap_voucherify.api.retry import Retry
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import (
    AccountError,
    FieldsRejectedError,
    NotFoundError,
    RequestError,
    StreamError,
    TransientError,
    one_line,
)
from tap_voucherify.exports.job import temporary_file
from tap_voucherify.survey.probes import WINDOW

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_voucherify.session import Session
    from tap_voucherify.survey.evidence import Evidence
    from tap_voucherify.survey.probes import Probe

MAX_CALLS = 75
# For OAuth tokens, which the session requests.
_SPARE_CALLS = 1
_CALLS_TO_READ = 2  # download and delete
_MAX_PAUSE_SECONDS = 300
_CHECK_SECONDS = 0.1
# Consecutive downloads that may fail, across all exports.
_MAX_LATE_FILES = 4

NO_CALLS_LEFT = f"not asked: the survey makes at most {MAX_CALLS} calls"
NOT_DONE = "not finished when the survey ran out of time or calls"

logger = logging.getLogger("tap-voucherify.survey")

_T = t.TypeVar("_T")


class SingleAttempts(Retry):
    """No retries: a failure is a result, too, and every attempt costs a call."""

    @override
    def run(self, attempt: Callable[[], _T], *_: object, **__: object) -> _T:
        """Make one attempt."""
        return attempt()


class ProbeRunner:
    """Runs exports and downloads their files.

    Args:
        session: The API, the clock and the stop flag.
        config: The settings.
        evidence: Collects the exports, and errors that concern all of them.
    """

    def __init__(self, session: Session, config: Mapping[str, t.Any], evidence: Evidence) -> None:
        self._api, self._clock, self._stop = session.api, session.clock, session.stop
        self._calls = session.client.calls
        self._config, self._evidence = config, evidence
        self._deadline = Deadline(self._clock)
        self._allowed: dict[str, frozenset[str]] = {}
        self._running: list[Probe] = []
        self._started = self._min_age_seconds = 0.0
        self._late_files = 0

    def run(self, probes: Iterable[Probe]) -> None:
        """Run exports to completion, and delete all of them, whatever happens.

        Raises:
            Interruption: If there was a signal.
        """
        waiting = deque(probes)
        self._evidence.probes += waiting
        self._deadline = Deadline(self._clock, float(self._config["export_timeout_seconds"]))
        try:
            while not self._evidence.account_error and (waiting or self._running):
                self._step(waiting)
        except AccountError as error:
            self._evidence.account_error = one_line(error)
        finally:
            for probe in list(self._running):
                self._end(probe)
        for probe in self._evidence.probes:
            if not probe.files:
                probe.error = probe.error or self._evidence.account_error

    def _step(self, waiting: deque[Probe]) -> None:
        """Create exports and check them once."""
        while waiting and len(self._running) < self._config["max_concurrent_exports"]:
            self._create(waiting)
        if self._running and (self._deadline.remaining_seconds <= 0 or self._calls_left <= 0):
            for probe in self._running:
                self._fail(probe, NOT_DONE)
        elif self._running:
            self._pause()
            self._check()
        for probe in [probe for probe in self._running if probe.error]:
            self._end(probe)

    @property
    def _calls_left(self) -> int:
        """Calls that are left, apart from those needed for reading and deleting."""
        used = self._calls.total() + _CALLS_TO_READ * len(self._running)
        return MAX_CALLS - _SPARE_CALLS - used

    def _pause(self) -> None:
        """Wait until the next check is due."""
        age = self._clock.monotonic() - self._started
        pause = min(max(age, self._min_age_seconds - age), _MAX_PAUSE_SECONDS)
        least = float(self._config["poll_interval_seconds"])
        wait = Deadline(self._clock, max(least, pause))
        while (left := wait.remaining_seconds) > 0:
            self._stop.check()
            self._clock.sleep(min(left, _CHECK_SECONDS))

    def _fail(self, probe: Probe, error: str) -> None:
        key = probe.metadata_key
        probe.error = error.replace(key, "X") if key else error
        logger.warning("%s: %s", probe, probe.error)

    def _create(self, waiting: deque[Probe]) -> None:
        """Create the first waiting export; requeue it if a later attempt may succeed."""
        probe = waiting.popleft()
        name = probe.exported_object
        self._stop.check()
        if self._calls_left <= 1 + _CALLS_TO_READ:
            self._fail(probe, NO_CALLS_LEFT)
            return
        if name in self._allowed:
            probe.leave_out(self._allowed[name])
        try:
            export = self._api.create_export(name, probe.parameters, self._deadline)
        except StreamError as error:
            if isinstance(error, FieldsRejectedError):
                self._allowed[name] = error.allowed
                if probe.leave_out(error.allowed):
                    waiting.appendleft(probe)
                    return
            if isinstance(error, TransientError) and not probe.is_repeated:
                probe.is_repeated = True
                waiting.append(probe)
            else:
                self._fail(probe, one_line(error))
            return
        logger.info("%s: created export %s", probe, export.id)
        probe.export_id = export.id
        probe.echoes["create"] = export.echo
        probe.created = self._started = self._clock.monotonic()
        self._running.append(probe)

    def _check(self) -> None:
        """Check the status of all exports in progress."""
        listed: dict[str, Export] = {}
        if not self._evidence.list_error:
            try:
                exports = self._api.list_exports(deadline=self._deadline).exports
                listed = {export.id: export for export in exports}
            except TransientError:
                return
            except (AccountError, RequestError) as error:
                self._evidence.list_error = one_line(error)
        # The first poll without a link ends the polls of this check, and goes last in the next.
        may_poll = True
        for probe in list(self._running):
            self._stop.check()
            export = listed.get(probe.export_id)
            try:
                if export:
                    probe.echoes["list"] = export.echo
                    self._update(probe, export)
                lacks_link = not export or (export.status is ExportStatus.DONE and not probe.links)
                if lacks_link and may_poll and self._calls_left > 0:
                    may_poll = self._poll(probe)
            except StreamError as error:
                self._fail(probe, one_line(error))

    def _poll(self, probe: Probe) -> bool:
        """Poll an export and return whether it has a link; a missing one may appear later."""
        with contextlib.suppress(NotFoundError, TransientError):
            self._update(probe, self._api.get_export(probe.export_id, self._deadline))
        if not probe.links:
            self._running.remove(probe)
            self._running.append(probe)
        return bool(probe.links)

    def _update(self, probe: Probe, export: Export) -> None:
        """Record the status of an export; download and delete it if it is done."""
        age = self._clock.monotonic() - probe.created
        probe.result = export.result or probe.result
        if export.status is ExportStatus.ERROR:
            self._fail(probe, "the export failed (status ERROR)")
        if export.status is not ExportStatus.DONE:
            probe.waited = (age, 0.0)
            return
        if not probe.waited[1]:
            probe.waited = (probe.waited[0], age)
        probe.links = len(export.urls)
        if export.urls and age >= self._min_age_seconds:
            self._download(probe, export.urls)

    def _download(self, probe: Probe, urls: tuple[str, ...]) -> None:
        """Download the first file of an export; all of them, if its rows are compared."""
        probe.downloads += 1
        files = []
        try:
            with contextlib.ExitStack() as opened:
                for url in urls if probe.role == WINDOW else urls[:1]:
                    files.append(opened.enter_context(temporary_file()))
                    self._api.download(url, files[-1], self._deadline, math.inf)
                opened.pop_all()
        except (NotFoundError, TransientError) as error:
            self._late_files += 1
            if self._late_files >= _MAX_LATE_FILES:
                self._fail(probe, one_line(error))
            else:
                self._min_age_seconds = 2 * (self._clock.monotonic() - probe.created)
            return
        probe.files = files
        self._late_files = 0
        self._end(probe)
        logger.info("%s: read after %d of %d calls", probe, self._calls.total(), MAX_CALLS)

    def _end(self, probe: Probe) -> None:
        """Delete an export."""
        self._running.remove(probe)
        try:
            self._api.delete_export(probe.export_id)
        except NotFoundError:
            return
        except (AccountError, StreamError) as error:
            self._evidence.undeleted += 1
            logger.warning("%s: could not delete export %s: %s", probe, probe.export_id, error)
