"""Watch all exports in progress with few calls.

Each export has a worker, which sleeps until its next check is due: after 35% of the time waited so
far, within limits. An export's end is therefore noticed within `poll_interval_seconds`, or 35% of
its duration, at most 30 s. How a check is made depends:

- The export is the only one in progress: its worker polls it.
- More than one is in progress: the worker lists the newest exports instead, one call for all of
  them. This checks the others as well, so the youngest export sets the pace. Their workers see the
  news when they next wake up, within a quarter of a second.
- The list lacks the export (more than a hundred are newer, or the list does not include its
  object): its worker polls it, until a list has it again.
- The list reports that the export failed, or is done without usable links: its worker polls it,
  and the poll decides.
- The list fails, or contradicts what is known (a status goes back, a status changes after the end,
  one export twice with different statuses): it is not used again in this run, and all workers poll.
- A list may also be stale without contradicting anything. After `MAX_LISTS_IN_A_ROW`, the next
  worker polls its export instead: if that has ended, the next list contradicts it.
- The time for the export is up: its worker polls one last time.

A worker that is due while another is listing waits for that list. If the list in turn waits for the
rate limit, that time counts towards none of their deadlines.
"""

from __future__ import annotations

import contextlib
import logging
import math
import typing as t
from dataclasses import dataclass

from tap_voucherify.api.export import ExportStatus
from tap_voucherify.clock import ROUNDING_SECONDS, Deadline
from tap_voucherify.errors import RequestError, TransientError

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_voucherify.api.export import Export
    from tap_voucherify.api.voucherify import Voucherify
    from tap_voucherify.clock import Clock

# The pause between two checks, as a fraction of the time waited so far.
PAUSE_SHARE = 0.35
MAX_PAUSE_SECONDS = 30

# How often a worker wakes to check for news and cancellation; this costs no call.
WAKE_SECONDS = 0.25

# A list that takes longer counts as failed.
LIST_TIMEOUT_SECONDS = 30
# After this many lists in a row, a poll shows whether they are up to date.
MAX_LISTS_IN_A_ROW = 7

logger = logging.getLogger("tap-voucherify.exports")


@dataclass(eq=False)
class WatchedExport:
    """An export in progress.

    Attributes:
        export: The export, as it was last reported.
        deadline: When to give up.
        started: Clock time from which pauses are computed.
        checked_at: Clock time of the last check.
        has_news: Whether a list has reported it since its worker last checked.
        is_listed: Whether the last list had it; None before the first.
    """

    export: Export
    deadline: Deadline
    started: float
    checked_at: float
    has_news: bool = False
    is_listed: bool | None = None

    def due_at(self, poll_interval_seconds: float) -> float:
        """Return the clock time at which the next check is due."""
        waited = self.checked_at - self.started
        pause = max(poll_interval_seconds, min(PAUSE_SHARE * waited, MAX_PAUSE_SECONDS))
        return self.checked_at + pause


class ExportWatch:
    """Reports the status of all exports in progress, with as few calls as possible.

    Args:
        api: Voucherify's API.
        clock: Clock.
        poll_interval_seconds: Minimum pause between two checks.
    """

    def __init__(self, api: Voucherify, clock: Clock, poll_interval_seconds: float) -> None:
        self._api = api
        self._clock = clock
        self._poll_interval_seconds = poll_interval_seconds
        self._lock = clock.condition()
        self._watched: list[WatchedExport] = []
        # The latest status of every export of this run, ended ones included.
        self._known: dict[str, ExportStatus] = {}
        self._uses_list = True
        self._lists_in_a_row = 0
        self._listed_at = -math.inf
        self._paused_seconds = 0.0

    @contextlib.contextmanager
    def watch(self, export: Export, deadline: Deadline) -> Iterator[WatchedExport]:
        """Watch an export inside the block."""
        now = self._clock.monotonic()
        watched = WatchedExport(export, deadline, now, now)
        with self._locked(deadline):
            self._watched.append(watched)
        try:
            yield watched
        finally:
            with self._lock:
                self._watched.remove(watched)

    def pause_seconds(self, watched: WatchedExport) -> float:
        """Return how long its worker may sleep."""
        due_in = self._due_at(watched) - self._clock.monotonic()
        return min(max(due_in, 0), WAKE_SECONDS, max(watched.deadline.remaining_seconds, 0))

    def check(self, watched: WatchedExport) -> bool:
        """Check an export, if that is due, and return whether there is news.

        Raises:
            NotFoundError: If there is no such export.
        """
        with self._locked(watched.deadline):
            if not watched.has_news and self._is_due(watched) and self._list_helps(watched):
                watched.deadline.extend(self._list())
            has_news, watched.has_news = watched.has_news, False
            if has_news and _is_conclusive(watched.export):
                return True
            if not (has_news or self._is_due(watched)):
                return False
            if watched.is_listed:
                self._lists_in_a_row = 0
        self._poll(watched)
        return True

    @contextlib.contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        """Hold the lock; the deadline excludes a list's wait for the rate limit meanwhile."""
        paused_before = self._paused_seconds
        with self._lock:
            deadline.extend(self._paused_seconds - paused_before)
            yield

    def _is_due(self, watched: WatchedExport) -> bool:
        # A sleep may end early because of rounding.
        due_at = self._due_at(watched) - ROUNDING_SECONDS
        return watched.deadline.remaining_seconds <= 0 or self._clock.monotonic() >= due_at

    def _due_at(self, watched: WatchedExport) -> float:
        """Return when to check; any two lists are `poll_interval_seconds` apart."""
        due_at = watched.due_at(self._poll_interval_seconds)
        if watched.is_listed is False:
            return due_at
        return max(due_at, self._listed_at + self._poll_interval_seconds)

    def _list_helps(self, watched: WatchedExport) -> bool:
        listed = sum(other.is_listed is not False for other in self._watched)
        return (
            self._uses_list
            and listed > 1
            and watched.is_listed is not False
            and self._lists_in_a_row < MAX_LISTS_IN_A_ROW
            and watched.deadline.remaining_seconds > 0
        )

    def _list(self) -> float:
        """List the newest exports and update all watched ones.

        Returns:
            Seconds spent waiting for the rate limit.
        """
        deadline = Deadline(self._clock, LIST_TIMEOUT_SECONDS)
        try:
            exports = self._api.list_exports(deadline=deadline, max_retry_seconds=0).exports
        except (RequestError, TransientError) as error:
            self._give_up(str(error))
        else:
            self._take(exports)
        self._paused_seconds += deadline.paused_seconds
        return deadline.paused_seconds

    def _take(self, exports: Sequence[Export]) -> None:
        """Update all watched exports from a list."""
        self._lists_in_a_row += 1
        self._listed_at = self._clock.monotonic()
        listed: dict[str, Export] = {}
        for export in exports:
            same = listed.setdefault(export.id, export)
            if same.status is not export.status or self._contradicts(export):
                self._give_up(f"it contradicts an earlier report of export {export.id}")
                return
        for watched in self._watched:
            export_now = listed.get(watched.export.id)
            watched.is_listed = export_now is not None
            if export_now:
                watched.checked_at = self._listed_at
                watched.has_news = True
                self._report(watched, export_now)

    def _poll(self, watched: WatchedExport) -> None:
        sent_at = self._clock.monotonic()
        try:
            export = self._api.get_export(watched.export.id, watched.deadline)
        finally:
            watched.checked_at = self._clock.monotonic()
        with self._locked(watched.deadline):
            if self._listed_at > sent_at and not export.status.is_final:
                return  # a list may have reported its end since
            if watched.is_listed and self._contradicts(export):
                self._give_up(f"a poll contradicts it about export {export.id}")
            self._report(watched, export)

    def _report(self, watched: WatchedExport, export: Export) -> None:
        watched.export = export
        self._known[export.id] = export.status

    def _contradicts(self, export: Export) -> bool:
        """Whether a status is older than the known one, or a different final one."""
        known = self._known.get(export.id)
        if known is None or known is export.status:
            return False
        return known.is_final or export.status is ExportStatus.SCHEDULED

    def _give_up(self, reason: str) -> None:
        """Stop using the list for the rest of the run."""
        if self._uses_list:
            logger.warning(
                "No longer using the list of exports, polling each one instead: %s", reason
            )
        self._uses_list = False


def _is_conclusive(export: Export) -> bool:
    """Whether a list's report needs no poll to confirm it."""
    if export.status is ExportStatus.ERROR:
        return False
    try:
        return export.status is not ExportStatus.DONE or bool(export.urls)
    except RequestError:
        return False
