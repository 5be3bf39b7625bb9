"""Switches of the sandbox for the rows of a file, their order and their cells."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import OBJECTS, Behaviour, Dataset

from .sandbox_client import NO_ROWS, NOON, SMALL, after, iso, parsed, serving

if TYPE_CHECKING:
    from dev.sandbox.behaviour import RowOrder

HOUR = timedelta(hours=1)


def window(start: datetime, end: datetime) -> dict[str, Any]:
    """Return a filter with two bounds."""
    conditions = {"$after": [iso(start)], "$before": [iso(end)]}
    return {"junction": "and", "created_at": {"conditions": conditions}}


def hourly(count: int) -> Dataset:
    """Return redemptions at intervals of an hour, with their number as the tracking id."""
    dataset = Dataset(sizes=NO_ROWS)
    for number in range(count):
        cells = {"tracking_id": str(number)}
        dataset.add("redemption", NOON + number * HOUR, cells=cells, metadata={})
    return dataset


# Order


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("requested", lambda ids: ids),
        ("ascending", lambda ids: ids[::-1]),
        ("descending", lambda ids: ids),
    ],
)
def test_rows_may_come_in_an_order_of_their_own(order: RowOrder, expected: Any) -> None:
    """Rows may come oldest first or newest first, whatever the requested order."""
    with serving(Behaviour(row_order=order), hourly(30)) as client:
        ids = [str(number) for number in range(29, -1, -1)]
        assert client.column("redemption", "tracking_id", order="-created_at") == expected(ids)


def test_rows_may_be_nearly_sorted() -> None:
    """In a nearly sorted file each row is at most four positions from the requested order."""
    with serving(Behaviour(row_order="nearly_sorted"), hourly(100)) as client:
        numbers = list(map(int, client.column("redemption", "tracking_id", order="created_at")))
    assert numbers != sorted(numbers) == list(range(100))
    assert max(abs(number - position) for position, number in enumerate(numbers)) <= 4


def test_rows_may_be_shuffled() -> None:
    """`row_order="shuffled"` and `honours_order=False` shuffle the rows alike."""
    with serving(Behaviour(row_order="shuffled"), hourly(30)) as client:
        numbers = client.column("redemption", "tracking_id", order="created_at")
        client.sandbox.behaviour = Behaviour(honours_order=False)
        assert client.column("redemption", "tracking_id", order="created_at") == numbers
    assert sorted(map(int, numbers)) == list(range(30)) != list(map(int, numbers))


def test_all_rows_may_have_one_time() -> None:
    """All rows of a dataset of zero days are created in the same millisecond."""
    created = {row.created for row in Dataset(sizes=SMALL, days=0).rows("voucher")}
    assert len(created) == 1


# Filters


@pytest.mark.parametrize(("offset", "first"), [(-5, 15), (0, 10), (2, 8), (5.5, 5)])
def test_bounds_may_be_read_in_local_time(offset: float, first: int) -> None:
    """A UTC offset of the filters shifts a window of ten hours as a whole."""
    with serving(Behaviour(filter_utc_offset_hours=offset), hourly(72)) as client:
        start = NOON + 10 * HOUR - HOUR / 4
        filters = window(start, start + 10 * HOUR)
        numbers = list(map(int, client.column("redemption", "tracking_id", filters=filters)))
    assert numbers == list(range(first, first + 10))


def test_a_shift_leaves_other_values_alone() -> None:
    """A UTC offset of the filters does not change a number in `$after`."""
    with serving(Behaviour(filter_utc_offset_hours=-5), Dataset(sizes=NO_ROWS)) as client:
        client.sandbox.dataset.add("voucher", NOON, cells={"code": "00123"})
        filters = {"code": {"conditions": {"$after": ["00122"]}}}
        assert client.column("voucher", "code", filters=filters) == ["00123"]


def test_every_window_may_have_the_rows_of_the_first() -> None:
    """All windows of an object repeat the first one's rows; exports without a window do not."""
    with serving(Behaviour(repeats_first_window=True), hourly(72)) as client:
        day = 24 * HOUR
        windows = [window(NOON + n * day - HOUR / 2, NOON + (n + 1) * day) for n in range(3)]
        files = [client.column("redemption", "tracking_id", filters=each) for each in windows]
        assert files == [[str(number) for number in range(24)]] * 3
        assert len(client.column("redemption", "id")) == 72
        assert client.column("order", "id", filters=windows[1]) == []


@pytest.mark.parametrize(
    ("ignored", "numbers"),
    [
        ((), range(2, 5)),
        ({"$before"}, range(2, 10)),
        ({"$after"}, range(5)),
        ({"created_at"}, range(10)),
    ],
)
def test_single_conditions_may_be_ignored(ignored: Any, numbers: range) -> None:
    """Conditions can be ignored by the name of their filter or of their operator."""
    with serving(Behaviour(ignored_conditions=ignored), hourly(10)) as client:
        filters = window(NOON + 1.5 * HOUR, NOON + 4.5 * HOUR)
        ids = client.column("redemption", "tracking_id", filters=filters)
    assert ids == [str(number) for number in numbers]


def test_the_campaign_may_be_ignored() -> None:
    """The parameter `campaign_id` can be ignored."""
    with serving(Behaviour(ignored_conditions=["campaign_id"])) as client:
        assert len(client.column("voucher", "id", campaign_id="camp_none")) == 30


# Cells


@pytest.mark.parametrize(
    ("digits", "zone", "pattern"),
    [
        (6, "+00:00", r"2026-01-10T12:00:00\.123\d{3}\+00:00"),
        (6, "Z", r"2026-01-10T12:00:00\.123\d{3}Z"),
        (9, "", r"2026-01-10T12:00:00\.123\d{6}"),
        (1, "+00", r"2026-01-10T12:00:00\.1\+00"),
        (0, "Z", r"2026-01-10T12:00:00Z"),
        (3, "+05:30", r"2026-01-10T17:30:00\.123\+05:30"),
        (3, "-0800", r"2026-01-10T04:00:00\.123-0800"),
    ],
)
def test_times_have_any_number_of_digits_and_any_offset(
    digits: int, zone: str, pattern: str
) -> None:
    """The format of times changes no instant, no metadata and no date."""
    dataset = Dataset(sizes=NO_ROWS)
    moment = NOON + timedelta(milliseconds=123)
    born = {"birthdate": "1990-02-03", "id": "cust_1"}
    dataset.add("customer", moment, cells=born, metadata={"birth_date": iso(moment)})
    behaviour = Behaviour(time_digits=digits, time_zone=zone)
    with serving(behaviour, dataset) as client:
        fields = ["created_at", "updated_at", "birthdate", "metadata"]
        header, row = client.table("customer", fields=fields)
    cells = dict(zip(header, row, strict=True))
    assert re.fullmatch(pattern, cells["Creation Date"])
    assert cells["Last Update Date"] == ""
    assert (cells["Birthdate"], cells["birth_date"]) == ("1990-02-03", iso(moment))


def test_dates_may_have_a_time() -> None:
    """Dates such as `expires_at` can have a time that is not midnight."""
    with serving(Behaviour(dates_with_times=True, time_digits=6)) as client:
        times = client.column("points_expiration", "expires_at")
        dates = [row.cells["expires_at"] for row in client.sandbox.rows("points_expiration")]
        assert [time[:10] for time in times] == dates
        assert all(re.fullmatch(r"T\d\d:30:00\.000\d{3}Z", time[10:]) for time in times)


def test_cells_may_be_empty() -> None:
    """Every third cell of a column can be empty."""
    with serving(Behaviour(blanks={("points_expiration", "id"): 3})) as client:
        ids = client.column("points_expiration", "id")
        assert [number for number, cell in enumerate(ids, 1) if not cell] == list(range(3, 31, 3))
        assert "" not in client.column("order", "id")


def test_a_row_may_have_an_empty_key_or_a_nul() -> None:
    """Rows can be added with any text in their cells, such as NUL or an empty key."""
    dataset = Dataset(sizes=NO_ROWS)
    dataset.add("voucher", NOON, cells={"id": "", "additional_info": "a\0b"})
    with serving(dataset=dataset) as client:
        file = client.file("voucher", fields=["id", "additional_info"])
    assert file == b"ID,Additional Info\r\n,a\0b\r\n"


# Files


def test_a_file_may_have_a_footer_and_empty_lines() -> None:
    """The footer of a file has as many cells as a row, and empty lines may follow it."""
    with serving(Behaviour(footer="Total: {rows} rows", trailing_lines=2)) as client:
        file = client.file("order", fields=["id", "status", "amount", "source_id"])
    assert file.endswith(b"\r\nTotal: 30 rows,,,\r\n\r\n\r\n")


@pytest.mark.parametrize("transfer", ["length", "chunked"])
def test_an_export_without_rows_is_a_header_or_nothing(transfer: Any) -> None:
    """An export without rows is a header or 0 bytes, and its length is certain either way."""
    empty = after(NOON + 365 * 24 * HOUR)
    with serving(Behaviour(transfer=transfer)) as client:
        assert client.file("order", fields=["id"], filters=empty) == b"ID\r\n"
        client.sandbox.behaviour = Behaviour(transfer=transfer, empty_export="nothing", bom=True)
        response = client.fetch(client.done("order", fields=["id"], filters=empty)["url"])
        assert response.content == b""
        assert response.headers.get("Content-Length") == ("0" if transfer == "length" else None)
        assert len(client.table("order")) == 31


@pytest.mark.parametrize("terminator", ["\r\n", "\n", "\r"])
def test_lines_end_with_any_terminator(terminator: Any) -> None:
    """Lines can end with any terminator, and all cells can be quoted."""
    with serving(Behaviour(line_terminator=terminator, quoting="all")) as client:
        file = client.file("sku", fields=["id", "source_id"]).decode()
    lines = file.split(terminator)
    assert (lines[0], lines[-1], len(lines)) == ('"ID","Source ID"', "", 32)
    assert all(re.fullmatch('"sku_[0-9a-f]+","00[0-9]+"', line) for line in lines[1:-1])


def test_quotes_may_be_escaped_with_backslashes() -> None:
    """Quotes can be escaped with backslashes, which is invalid CSV."""
    with serving(Behaviour(escaping="backslash"), Dataset(sizes=NO_ROWS)) as client:
        client.sandbox.dataset.add("voucher", NOON, cells={"additional_info": 'say "hi"'})
        assert client.file("voucher", fields=["additional_info"]) == (
            b'"Additional Info"\r\n"say \\"hi\\""\r\n'
        )


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("terminator", ["\r\n", "\n"])
def test_cells_with_crlf_may_lie_across_the_borders_of_blocks(
    terminator: Any, *, bom: bool
) -> None:
    """A CR can be the last byte of most blocks of a file without changing its values."""
    usual = Behaviour(bom=bom, line_terminator=terminator)
    size = 16_384
    dataset = Dataset(sizes=NO_ROWS | {"voucher": 1000}, texts=["first\r\nsecond"])
    with serving(usual, dataset) as client:
        long = {"metadata", "qr_code", "bar_code"}
        fields = [name for name in OBJECTS["voucher"].fields if name not in long]
        plain = client.file("voucher", fields=fields)
        client.sandbox.behaviour = Behaviour(
            bom=bom, line_terminator=terminator, crlf_block_bytes=size
        )
        file = client.file("voucher", fields=fields)
    header = 3 if bom else 0
    assert parsed(file[header:]) == parsed(plain[header:])
    borders = range(size, len(file), size)
    hits = [file[border - 1 : border + 1] == b"\r\n" for border in borders]
    assert len(hits) > 10
    assert hits.count(True) > 0.8 * len(hits)
