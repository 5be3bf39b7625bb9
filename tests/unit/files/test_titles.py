"""Titles are learned from Voucherify, and no column is ever bound to another's cells."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from tap_voucherify.columns import TEXT, Column
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.header import KnownTitles
from tap_voucherify.files.titles import LearnedTitles, learn_titles
from tap_voucherify.streams import STREAMS, Customers, Vouchers
from tests.support.header_service import HeaderService, check, random_service, selection_of

COLUMNS = [Column(name, TEXT, "A column.") for name in ("a", "b", "c", "d", "e")]
FIELDS = [column.api_field for column in COLUMNS]


def learn(service: HeaderService) -> LearnedTitles:
    """Learn the titles of all columns."""
    known = KnownTitles(COLUMNS, [column.titles("thing") for column in COLUMNS])
    return learn_titles(known, service.ask)


def test_known_titles_take_one_export() -> None:
    """Its header shows the order and the missing fields."""
    service = HeaderService({name: name for name in FIELDS}, list("edcba"), {"b", "d"})

    assert learn(service) == LearnedTitles((("e", "e"), ("c", "c"), ("a", "a")), ("b", "d"))
    assert service.requests == 1


def test_one_unknown_title_takes_one_export() -> None:
    """It belongs to the one remaining column."""
    service = HeaderService({**{name: name for name in FIELDS}, "c": "Sea"}, list("edcba"))

    assert learn(service).titles[2] == ("c", "Sea")
    assert service.requests == 1


@pytest.mark.parametrize(("unknown", "requests"), [(2, 3), (3, 3), (4, 4), (5, 4)])
def test_unknown_titles_are_spelled_in_bits(unknown: int, requests: int) -> None:
    """The number of exports grows with its logarithm."""
    titles = {name: f"T{name}" if name in FIELDS[:unknown] else name for name in FIELDS}
    service = HeaderService(titles, list("cabed"))

    assert learn(service).titles == tuple((name, titles[name]) for name in "cabed")
    assert service.requests == requests


def test_unknown_titles_show_missing_fields() -> None:
    """No title spells the number of a missing field."""
    service = HeaderService({name: f"T{name}" for name in FIELDS}, list("cabed"), {"a", "d"})

    assert learn(service) == LearnedTitles((("c", "Tc"), ("b", "Tb"), ("e", "Te")), ("a", "d"))


def test_exports_contain_the_known_fields_too() -> None:
    """In the order of request."""
    requests = []

    def ask(fields: list[tuple[str, ...]]) -> list[list[str]]:
        requests.append(fields)
        return [["x", "b", "y", "d", "z"]] if len(fields) == 1 else [["x", "b", "d", "y"]] * 2

    known = KnownTitles(COLUMNS, [column.titles("thing") for column in COLUMNS])
    with pytest.raises(ExportFileError):
        learn_titles(known, ask)

    assert requests == [[tuple("abcde")], [tuple("abde"), tuple("bcde")]]


@pytest.mark.parametrize(
    "headers",
    [
        [["a", "b", "c", "d", "e", "f"]],
        [["a", "b", "c", "d", "x", "y"]],
        [["x", "x", "c", "d", "e"]],
        [["x", "y", "c", "d", "e"], ["x", "c", "d", "e"], ["x", "y", "c", "d", "e"]],
        [["x", "y", "c", "d", "e"], ["x", "c", "d", "e"], ["x", "c", "d", "e"]],
        [["x", "y", "c", "d", "e"], ["c", "d", "e"], ["y", "c", "d", "e"]],
        [["x", "y", "c", "d", "e"], ["x", "d", "e"], ["y", "c", "d", "e"]],
        [["x", "y", "c", "d", "e"], ["z", "c", "d", "e"], ["y", "c", "d", "e"]],
        [["x", "y", "c", "d", "e"], ["x", "x", "c", "d", "e"], ["y", "c", "d", "e"]],
    ],
    ids=[
        *("surplus_known", "surplus_unknown", "equal_titles", "same_number", "number_of_none"),
        *("never_there", "known_missing", "new_title", "equal_titles_later"),
    ],
)
def test_ambiguous_headers_are_an_error(headers: list[list[str]]) -> None:
    """Nothing is guessed; the error shows a header and the requested fields."""
    remaining = list(headers)

    def ask(requests: list[tuple[str, ...]]) -> list[list[str]]:
        return [remaining.pop(0) for _ in requests]

    known = KnownTitles(COLUMNS, [column.titles("thing") for column in COLUMNS])
    with pytest.raises(ExportFileError, match=r"ambiguous header: got \[.*\], requested \["):
        learn_titles(known, ask)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("own_order", [False, True])
def test_unknown_titles_of_a_whole_stream(stream: Any, own_order: bool) -> None:  # noqa: FBT001 - an example
    """At most seven exports reveal all titles; the next run knows them."""
    selection = selection_of(stream, has_metadata=stream.has_metadata)
    fields = [column.api_field for column in selection.columns]
    titles = {name: f"Title {number}" for number, name in enumerate(fields)}
    order = sorted(fields, key=lambda name: name[::-1]) if own_order else None
    service = HeaderService(titles, order, metadata=["Title 0x", "campaign"])

    reader = check(service, selection)

    assert reader is not None
    assert 1 < service.requests <= 7
    service.requests = 0
    state = json.loads(json.dumps(reader.titles))
    again = check(service, selection, state)
    assert again is not None
    assert (service.requests, again.titles) == (0, state)


def test_titles_are_learned_again_if_a_header_contradicts_them() -> None:
    """Even if a column returns that used to be missing."""
    selection = selection_of(Customers, has_metadata=True)
    fields = [column.api_field for column in selection.columns]
    titles = {name: f"Title {number}" for number, name in enumerate(fields)}
    service = HeaderService(titles, left_out={"phone"})
    before = check(service, selection)
    assert before is not None

    service.left_out = set()
    titles["phone"] = "Phone"
    service.order = [*(name for name in fields if name != "phone"), "phone"]
    service.requests = 0
    after = check(service, selection, before.titles)

    assert after is not None
    assert service.requests > 1
    assert after.titles != before.titles


def test_a_metadata_key_titled_like_a_missing_column_is_checked_every_time() -> None:
    """It could be that column, but Voucherify shows that it is not."""
    selection = selection_of(Vouchers, has_metadata=True)
    titles = {c.api_field: c.title or c.api_field for c in selection.columns}
    service = HeaderService(titles, left_out={"barcode", "bar_code"}, metadata=["Barcode"])
    reader = check(service, selection)
    assert reader is not None
    assert check(service, selection, reader.titles) is not None
    assert service.requests == 2


@pytest.mark.parametrize(
    "state", [None, {}, "titles", [["a"]], [[1, "a"]], [["a", 1]], [["a", "b", "c"]]], ids=str
)
def test_a_damaged_state_is_ignored(state: object) -> None:
    """Voucherify is asked again if necessary."""
    assert LearnedTitles.from_state(state) is None


def test_a_smaller_selection_uses_what_was_learned() -> None:
    """A title does not depend on the other fields that are requested."""
    selection = selection_of(Customers, has_metadata=True)
    fields = [column.api_field for column in selection.columns]
    titles = {name: f"Title {number}" for number, name in enumerate(fields)}
    service = HeaderService(titles, metadata=["Key"])
    reader = check(service, selection)
    assert reader is not None

    service.requests = 0
    smaller = selection_of(Customers, has_metadata=True, without=["email", "phone"])

    assert check(service, smaller, reader.titles) is not None
    assert service.requests == 0


def test_no_random_header_is_bound_wrongly() -> None:
    """Permuted, renamed, shifted, with columns missing or added, and misleading metadata."""
    randomness = random.Random(7)
    count = int(os.environ.get("TAP_VOUCHERIFY_RANDOM_HEADERS", "2000"))
    bound = asked = 0
    for _ in range(count):
        service, selection = random_service(randomness)
        bound += check(service, selection) is not None
        assert service.requests <= 7
        asked += service.requests > 0

    assert bound > 0.9 * count
    assert 0.1 * count < asked < count
