"""The short-lived links to an export's files."""

from __future__ import annotations

import typing as t
from collections import Counter
from urllib.parse import urlsplit

from tap_voucherify.api.messages import StaleLinkError
from tap_voucherify.errors import LinkExpiredError, RequestError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_voucherify.clock import Clock

# Refresh download links older than this.
FRESH_LINK_SECONDS = 10
MAX_FRESH_LINKS = 3


class DownloadLinks:
    """The links to an export's files, refreshed when stale.

    Args:
        urls: The links.
        fetched_at: Clock time at which they were reported.
        clock: Clock.
        refresh: Returns fresh links; raises if there are none.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        fetched_at: float,
        clock: Clock,
        refresh: Callable[[], tuple[str, ...]],
    ) -> None:
        self._urls = urls
        self._clock = clock
        self._refresh = refresh
        self._fresh_until = fetched_at + FRESH_LINK_SECONDS
        self._rejections = 0

    def __len__(self) -> int:
        return len(self._urls)

    def expire(self) -> None:
        """Refresh the links before the next download."""
        self._fresh_until = float("-inf")

    def download(self, index: int, download: Callable[[str, float], int]) -> int:
        """Download with a current link; a rejected link raises a retryable error."""
        while True:
            url = self._current(index)
            try:
                return download(url, self._fresh_until)
            except StaleLinkError:
                continue
            except LinkExpiredError as error:
                self._rejections += 1
                self.expire()
                if self._rejections <= MAX_FRESH_LINKS:
                    raise
                raise RequestError(
                    f"{error}, even with new links: check that the API key may download exports"
                ) from error

    def _current(self, index: int) -> str:
        if self._clock.monotonic() > self._fresh_until:
            urls = self._refresh()
            self._urls = _in_order(self._urls, urls)
            self._fresh_until = self._clock.monotonic() + FRESH_LINK_SECONDS
        return self._urls[index]


def _in_order(known: tuple[str, ...], fresh: tuple[str, ...]) -> tuple[str, ...]:
    """Return fresh links in the order of the known ones.

    The parts of a split export are identified by their links without the query, which holds
    the token; they may come in another order.

    Raises:
        RequestError: If it is not certain which part is which.
    """
    if len(fresh) != len(known):
        raise RequestError("the number of an export's files changed")
    if len(known) == 1:
        return fresh
    order = [_part(url) for url in known]
    by_part = {_part(url): url for url in fresh}
    if Counter(order) != Counter(by_part.keys()):
        raise RequestError("the files of an export changed, or cannot be distinguished")
    return tuple(by_part[part] for part in order)


def _part(url: str) -> str:
    try:
        return urlsplit(url)._replace(query="", fragment="").geturl()
    except ValueError as error:
        raise RequestError("invalid download URL") from error
