"""A list is read completely, each object once, even if it changes meanwhile."""

from __future__ import annotations

import typing as t
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.api.listing import MAX_LIMIT, MAX_OBJECTS, MAX_PAGE, MAX_PASSES, Listing, Page
from tap_voucherify.errors import RequestError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATH = "/v1/things"


class Service:
    """A list endpoint.

    Attributes:
        ids: The IDs of the objects, in order of creation.
        changes: What happens before each call, in order.
        pages: The pages that were requested.
    """

    def __init__(self, ids: Sequence[str], *changes: Callable[[list[str]], object]) -> None:
        self.ids = list(ids)
        self.changes = list(changes)
        self.pages: list[Page] = []

    def get_page(self, path: str, params: Mapping[str, str]) -> dict[str, t.Any]:
        """Return a page."""
        assert path == PATH
        assert params["order"] == "created_at"
        page = Page(int(params["limit"]), int(params["page"]))
        assert 1 <= page.limit <= MAX_LIMIT
        assert 1 <= page.number <= MAX_PAGE
        self.pages.append(page)
        if self.changes:
            self.changes.pop(0)(self.ids)
        ids = self.ids[page.start : page.end]
        return {"things": [{"id": each} for each in ids], "total": len(self.ids)}

    def read(self) -> tuple[list[str], Listing]:
        """Return the IDs that a listing yields, and the listing."""
        listing = Listing(self.get_page, PATH, "things")
        return [each["id"] for objects in listing for each in objects], listing


def ids(count: int) -> list[str]:
    """Return this many IDs."""
    return [f"id_{number}" for number in range(count)]


def nothing(_: list[str]) -> None:
    """Change nothing."""


def create(current: list[str]) -> None:
    """Create an object."""
    current.append(f"new_{len(current)}")


def delete_first(current: list[str]) -> None:
    """Delete the oldest object."""
    del current[0]


def replace(current: list[str]) -> None:
    """Delete the oldest object and create one, which leaves the total as it is."""
    delete_first(current)
    current.append("new")


@pytest.mark.parametrize(
    ("count", "calls"),
    [(0, 1), (1, 1), (100, 1), (101, 2), (198, 2), (250, 3), (1000, 11), (MAX_OBJECTS, 116)],
)
def test_every_object_is_read_once(count: int, calls: int) -> None:
    """It takes about one call per hundred objects."""
    service = Service(ids(count))

    found, listing = service.read()

    assert found == ids(count)
    assert listing.is_consistent
    assert len(service.pages) == listing.calls == calls


def test_pages_overlap() -> None:
    """Each starts before the end of the previous one, except for the very last hundred."""
    service = Service(ids(MAX_OBJECTS))

    service.read()

    *pages, last = service.pages
    overlaps = [before.end - page.start for before, page in pairwise(pages)]
    assert min(overlaps) >= 1
    assert pages[-1].end == last.start == MAX_OBJECTS - MAX_LIMIT


@pytest.mark.parametrize("change", [create, delete_first, replace])
@pytest.mark.parametrize("call", [1, 2])
def test_a_list_that_changes_is_read_again(change: Callable[[list[str]], None], call: int) -> None:
    """Every object that exists is found; deleted ones may be."""
    service = Service(ids(250), *[nothing] * call, change)

    found, listing = service.read()

    assert len(set(found)) == len(found)
    assert set(service.ids) <= set(found) <= {*service.ids, *ids(250)}
    assert listing.is_consistent
    assert listing.calls == 6


def test_a_list_is_read_three_times_at_most() -> None:
    """All objects seen are yielded, but the listing is not consistent."""
    service = Service(ids(250), *[nothing, create, create] * 5)

    found, listing = service.read()

    assert set(found) == set(service.ids)
    assert not listing.is_consistent
    assert listing.calls == 3 * MAX_PASSES


@given(
    st.integers(0, 450),
    st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 449)), max_size=3), max_size=16),
)
def test_a_consistent_list_misses_nothing(
    count: int, changes: list[list[tuple[bool, int]]]
) -> None:
    """Objects that exist throughout are found if the last pass is consistent."""
    created = iter(ids(10_000)[count:])

    def change(steps: list[tuple[bool, int]], current: list[str]) -> None:
        for is_created, position in steps:
            if is_created:
                current.append(next(created))
            elif current:
                del current[position % len(current)]

    service = Service(
        ids(count), *[lambda now, steps=steps: change(steps, now) for steps in changes]
    )
    listing = Listing(service.get_page, PATH, "things")
    found = []
    try:
        for objects in listing:
            found += [each["id"] for each in objects]
    except RequestError:
        assert not listing.is_consistent

    assert len(set(found)) == len(found)
    if listing.is_consistent:
        assert set(service.ids) <= set(found)


def test_an_object_on_a_page_twice_is_yielded_once() -> None:
    """It keeps its first position, but the list is not consistent."""
    service = Service(["a", "b", "a"])
    listing = Listing(service.get_page, PATH, "things")

    with pytest.raises(RequestError, match="has 3 objects, but its pages list 2"):
        assert [[each["id"] for each in objects] for objects in listing] == [["a", "b"]]
    assert not listing.is_consistent


def test_pages_that_are_too_short_are_an_error() -> None:
    """The limit may be ignored; most objects are then on no page."""

    def get_page(path: str, params: Mapping[str, str]) -> dict[str, t.Any]:
        content = Service(ids(250)).get_page(path, params)
        return {**content, "things": content["things"][:10]}

    with pytest.raises(RequestError, match="has 250 objects, but its pages list 30"):
        list(Listing(get_page, PATH, "things"))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"things": []}, r"unexpected response from /v1/things \(total\)"),
        ({"things": [], "total": "1"}, r"\(total\)"),
        ({"things": [], "total": True}, r"\(total\)"),
        ({"things": [], "total": -1}, r"\(total\)"),
        ({"things": [], "total": 10**400}, r"\(total\)"),
        ({"total": 0}, r"\(things\)"),
        ({"things": {}, "total": 0}, r"\(things\)"),
        ({"things": ["a"], "total": 1}, r"\(an object without id\)"),
        ({"things": [{}], "total": 1}, r"\(an object without id\)"),
        ({"things": [{"id": ""}], "total": 1}, r"\(an object without id\)"),
        ({"things": [{"id": 1}], "total": 1}, r"\(an object without id\)"),
        ({"things": [], "total": 10_001}, "has 10001 objects, but lists only 10000"),
    ],
)
def test_an_unexpected_response_is_an_error(content: dict[str, t.Any], error: str) -> None:
    """Nothing is guessed, and a list longer than its pages reach is not read in part."""
    listing = Listing(lambda _path, _params: content, PATH, "things")

    with pytest.raises(RequestError, match=error):
        list(listing)
    with pytest.raises(RequestError, match=error):
        listing.count()


def test_counting_reads_one_object() -> None:
    """It requests a page of one."""
    service = Service(ids(250))

    assert Listing(service.get_page, PATH, "things").count() == 250
    assert service.pages == [Page(1, 1)]
