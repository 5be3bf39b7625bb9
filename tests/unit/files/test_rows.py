"""What a row is, and how many make a block."""

from __future__ import annotations

import csv
import io

import pytest

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.rows import ROWS_PER_BLOCK, CsvRows

MIB = 1 << 20


def sizes(content: bytes, rows_per_block: int = ROWS_PER_BLOCK) -> list[int]:
    """Return how many rows each block of a file has."""
    return [len(rows) for rows in CsvRows(io.BytesIO(content), rows_per_block)]


def test_blocks_of_short_rows_are_full() -> None:
    """Except the last."""
    assert sizes(b"a\n" + b"1\n" * 600) == [250, 250, 100]
    assert sizes(b"a\n" + b"1\n" * 600, 500) == [500, 100]
    assert sizes(b"a\n") == []


@pytest.mark.parametrize("mebibytes", [1, 3])
def test_b16_blocks_of_long_rows_are_short(mebibytes: int) -> None:
    """Once their length is known, a block ends after a mebibyte."""
    assert sizes(b"a\n" + (b"x" * mebibytes * MIB + b"\n") * 15) == [5, *[1] * 10]


def test_long_rows_after_short_ones_end_a_block_soon() -> None:
    """The size is checked every few rows."""
    content = b"a\n" + b"1\n" * 100 + (b"x" * MIB + b"\n") * 30
    found = sizes(content)

    assert sum(found) == 130
    assert found[0] <= 105
    assert max(found[1:]) <= 5
    assert max(found[2:]) <= 2


def test_b11_nul_is_a_character_like_any_other() -> None:
    """Even on Python 3.10, whose csv module rejects it."""
    rows = CsvRows(io.BytesIO(b'a,b\0\n"\0",\xed\x9f\xbf\n1,2\n'))

    assert rows.header == ["a", "b\0"]
    assert list(rows) == [[["\0", "\ud7ff"], ["1", "2"]]]


def test_rows_before_a_broken_line_come_before_its_error() -> None:
    """The error names the line."""
    blocks = iter(CsvRows(io.BytesIO(b'a\n1\n2\n"3"3\n4\n')))

    assert next(blocks) == [["1"], ["2"]]
    with pytest.raises(ExportFileError, match="line 4 is not valid CSV"):
        next(blocks)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_a_file_has_a_header(content: bytes) -> None:
    """An empty one is an error."""
    with pytest.raises(ExportFileError, match="no header"):
        CsvRows(io.BytesIO(content))


def test_the_limit_of_a_cell_is_lifted() -> None:
    """The csv module's default is 128 KiB."""
    CsvRows(io.BytesIO(b"a\n"))

    assert csv.field_size_limit() > 1 << 30
