"""One watch over all exports in progress.

Each export has a worker, which sleeps until a look at its export is due: after 35 % of the time
waited so far, within limits. An export's end is therefore noticed within a second, or a third of
its duration. What a look costs depends:

- The export is the only one in progress: its worker polls it.
- More than one is in progress: the worker lists the newest exports instead, one call for all of
  them. Nothing is due for the others then, so the youngest export sets the pace. They find their
  news when they next wake up, within a quarter of a second.
- The list lacks the export (it is older than a hundred others, or the list does not know its
  object): its worker polls it. It counts for the list again as soon as the list has it.
- The list reports that the export failed, or is done without usable links: its worker polls it,
  and what the poll says counts.
- The list failed, or contradicts what is known (a status goes back, a status changes after the end,
  one export twice with different statuses): the list is not used again in this run, and all poll.
- The list may also be out of date without a contradiction. After `MAX_LISTS_IN_A_ROW`, the
  worker that is due polls its export instead: if that has ended, the next list contradicts it.
- The time for the export is over: its worker polls a last time.

A worker that finds another one listing waits for that list. If the list in turn waits for the rate
limit, that time counts towards none of their deadlines.
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
    from collections.abc import Iterator

    from tap_voucherify.api.export import Export
    from tap_voucherify.api.voucherify import Voucherify
    from tap_voucherify.clock import Clock

# The pause between two looks, as a fraction of the time waited so far.
PAUSE_SHARE = 0.35
MAX_PAUSE_SECONDS = 30

# How often a worker looks for news, and whether to go on; this costs no call.
CHECK_SECONDS = 0.25

# A list that takes longer has failed.
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
        started: Time of the clock from which the pauses grow.
        looked_at: Time of the clock at which it was last reported.
        has_news: Whether a list has reported it since its worker last looked.
        is_listed: Whether the last list had it; None before the first.
    """

    export: Export
    deadline: Deadline
    started: float
    looked_at: float
    has_news: bool = False
    is_listed: bool | None = None

    def due_at(self, poll_interval_seconds: float) -> float:
        """Return the time of the clock at which the next look is due."""
        waited = self.looked_at - self.started
        pause = max(poll_interval_seconds, min(PAUSE_SHARE * waited, MAX_PAUSE_SECONDS))
        return self.looked_at + pause


class ExportWatch:
    """Reports the status of all exports in progress, with as few calls as possible.

    Args:
        api: Voucherify's API.
        clock: Clock.
        poll_interval_seconds: Minimum pause between two looks.
    """

    def __init__(self, api: Voucherify, clock: Clock, poll_interval_seconds: float) -> None:
        self._api = api
        self._clock = clock
        self._poll_interval_seconds = poll_interval_seconds
        self._lock = clock.condition()
        self._watched: list[WatchedExport] = []
        # The latest status of every export of this run, also after its end.
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
        with self._lock:
            self._watched.append(watched)
        try:
            yield watched
        finally:
            with self._lock:
                self._watched.remove(watched)

    def pause_seconds(self, watched: WatchedExport) -> float:
        """Return for how long its worker may sleep."""
        due_in = self._due_at(watched) - self._clock.monotonic()
        return min(max(due_in, 0), CHECK_SECONDS, max(watched.deadline.remaining_seconds, 0))

    def look(self, watched: WatchedExport) -> bool:
        """Look at an export, if that is due, and return whether there are news.

        Raises:
            NotFoundError: If there is no such export.
        """
        paused_before = self._paused_seconds
        with self._lock:
            if not watched.has_news and self._is_due(watched) and self._list_helps(watched):
                self._list()
            watched.deadline.extend(self._paused_seconds - paused_before)
            has_news, watched.has_news = watched.has_news, False
            if has_news and _is_conclusive(watched.export):
                return True
            if not (has_news or self._is_due(watched)):
                return False
            if watched.is_listed:
                self._lists_in_a_row = 0
        self._poll(watched)
        return True

    def _is_due(self, watched: WatchedExport) -> bool:
        # A sleep may end a rounding error too early.
        due_at = self._due_at(watched) - ROUNDING_SECONDS
        return watched.deadline.remaining_seconds <= 0 or self._clock.monotonic() >= due_at

    def _due_at(self, watched: WatchedExport) -> float:
        """Return when to look; lists have a pause between them, for whichever export they are."""
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

    def _list(self) -> None:
        """List the newest exports, and take the news of all that are watched."""
        deadline = Deadline(self._clock, LIST_TIMEOUT_SECONDS)
        try:
            exports = self._api.list_exports(deadline=deadline, max_retry_seconds=0).exports
        except (RequestError, TransientError) as error:
            self._give_up(str(error))
            return
        finally:
            self._paused_seconds += deadline.paused_seconds
        self._lists_in_a_row += 1
        self._listed_at = self._clock.monotonic()
        listed: dict[str, Export] = {}
        for export in exports:
            same = listed.setdefault(export.id, export)
            if same.status is not export.status or self._contradicts(export):
                self._give_up(f"it contradicts itself about export {export.id}")
                return
        for watched in self._watched:
            export_now = listed.get(watched.export.id)
            watched.is_listed = export_now is not None
            if export_now:
                self._report(watched, export_now)
                watched.has_news = True

    def _poll(self, watched: WatchedExport) -> None:
        try:
            export = self._api.get_export(watched.export.id, watched.deadline)
        finally:
            watched.looked_at = self._clock.monotonic()
        with self._lock:
            if watched.is_listed and self._contradicts(export):
                self._give_up(f"a poll contradicts it about export {export.id}")
            self._report(watched, export)

    def _report(self, watched: WatchedExport, export: Export) -> None:
        watched.export = export
        watched.looked_at = self._clock.monotonic()
        self._known[export.id] = export.status

    def _contradicts(self, export: Export) -> bool:
        """Whether a status is older than the known one, or another end."""
        known = self._known.get(export.id)
        if known is None or known is export.status:
            return False
        return known.is_final or export.status is ExportStatus.SCHEDULED

    def _give_up(self, reason: str) -> None:
        """Do without the list for the rest of the run."""
        if self._uses_list:
            logger.warning("The list of exports is of no use, polling each instead: %s", reason)
        self._uses_list = False


def _is_conclusive(export: Export) -> bool:
    """Whether a list's report needs no poll to be believed."""
    if export.status is ExportStatus.ERROR:
        return False
    try:
        return export.status is not ExportStatus.DONE or bool(export.urls)
    except RequestError:
        return False
