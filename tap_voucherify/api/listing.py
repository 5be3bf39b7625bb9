"""Read a list endpoint completely, while objects are created and deleted.

A page is a range of positions. When an object is deleted, all later ones move up one position, so
the first object of the next page moves to a page that was already read, and is missed. Therefore:

- Objects are listed in order of creation: new ones come last, and none moves down.
- Each page overlaps the one before. If the objects they share are where they were, none before them
  was deleted, and none was missed between the two pages.
- A pass over the list is consistent if this holds for all its pages, `total` is the same on each,
  and there are that many objects. Otherwise the list is read again, in at most three passes.
"""

from __future__ import annotations

import logging
import typing as t

from tap_voucherify.errors import RequestError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_PASSES = 3
# The documented maximum of both `limit` and `page`.
MAX_LIMIT = MAX_PAGE = 100
MAX_OBJECTS = MAX_LIMIT * MAX_PAGE
_PLAUSIBLE_TOTALS = range(10**15)
ORDER = "created_at"

logger = logging.getLogger("tap-voucherify")


class Page(t.NamedTuple):
    """A range of positions in a list.

    Attributes:
        limit: Maximum number of objects.
        number: Its number, from 1.
    """

    limit: int
    number: int

    @property
    def start(self) -> int:
        """The position of the first object."""
        return self.limit * (self.number - 1)

    @property
    def end(self) -> int:
        """The position after the last object."""
        return self.limit * self.number

    def next(self) -> Page:
        """Return the page to read after this one, which overlaps it.

        After 9,900 objects no such page reaches further, so the last one begins right there.
        """
        page = Page.containing(self.end - 1)
        return page if page.end > self.end else Page.containing(self.end)

    @classmethod
    def containing(cls, position: int) -> Page:
        """Return the page that contains a position and reaches furthest."""
        pages = (cls(limit, position // limit + 1) for limit in range(1, MAX_LIMIT + 1))
        return max((page for page in pages if page.number <= MAX_PAGE), key=lambda page: page.end)


class Listing:
    """A list; iterating yields its objects, page by page, each object once.

    Attributes:
        is_consistent: Whether the last pass was.
        calls: Number of pages that were read.

    Args:
        get_page: Returns the content of a page.
        path: The path of the endpoint.
        key: The property that holds the objects of a page.
    """

    def __init__(
        self, get_page: Callable[[str, Mapping[str, str]], dict[str, t.Any]], path: str, key: str
    ) -> None:
        self.is_consistent = False
        self.calls = 0
        self._get_page = get_page
        self._path = path
        self._key = key
        self._seen: set[str] = set()
        self._total = 0

    def count(self) -> int:
        """Return the number of objects, by reading one of them.

        Raises:
            RequestError: If the response is not a list of objects, or there are too many.
        """
        _, total = self._get(Page(1, 1))
        return total

    def __iter__(self) -> Iterator[list[dict[str, t.Any]]]:
        """Yield the objects of each page that were not on any other.

        Raises:
            RequestError: If the list has more objects than pages can hold, or pages never had as
                many objects as `total` says.
        """
        for number in range(1, MAX_PASSES + 1):
            yield from self._pass()
            if self.is_consistent:
                return
            logger.info(
                "%s: objects were created or deleted while the list was read (pass %d of %d)",
                self._path,
                number,
                MAX_PASSES,
            )
        if len(self._seen) < self._total:
            raise RequestError(
                f"{self._path} has {self._total} objects, but its pages list {len(self._seen)}"
            )

    def _pass(self) -> Iterator[list[dict[str, t.Any]]]:
        """Read the list from its first page to its last."""
        self.is_consistent = True
        page = Page(MAX_LIMIT, 1)
        ids: list[str] = []
        while True:
            objects, total = self._get(page)
            found = [each["id"] for each in objects]
            known = ids[page.start :]
            if (
                (page.start and total != self._total)
                or found[: len(known)] != known
                or len(found) != min(total, page.end) - page.start
            ):
                self.is_consistent = False
            self._total = total
            ids[page.start :] = found
            yield self._unseen(objects)
            if page.end >= total:
                break
            page = page.next()
        self.is_consistent &= len(set(ids)) == total

    def _unseen(self, objects: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        """Return the objects that were not seen before, each once."""
        unseen = {each["id"]: each for each in reversed(objects) if each["id"] not in self._seen}
        self._seen |= unseen.keys()
        return list(reversed(unseen.values()))

    def _get(self, page: Page) -> tuple[list[dict[str, t.Any]], int]:
        """Return the objects of a page, and the number of all objects.

        Raises:
            RequestError: If the response has an unexpected form, or there are too many objects.
        """
        self.calls += 1
        content = self._get_page(
            self._path, {"limit": str(page.limit), "page": str(page.number), "order": ORDER}
        )
        objects, total = content.get(self._key), content.get("total")
        if type(total) is not int or total not in _PLAUSIBLE_TOTALS:
            raise RequestError(f"unexpected response from {self._path} (total)")
        if total > MAX_OBJECTS:
            raise RequestError(
                f"{self._path} has {total} objects, but lists only {MAX_OBJECTS}; "
                "deselect the stream"
            )
        if not isinstance(objects, list):
            raise RequestError(f"unexpected response from {self._path} ({self._key})")
        for each in objects:
            if not isinstance(each, dict) or not isinstance(each.get("id"), str) or not each["id"]:
                raise RequestError(f"unexpected response from {self._path} (an object without id)")
        return objects, total
