"""Read the raw rows of a CSV file, strictly. Only this module decides what a row is."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import os
import re
import sys
import typing as t

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import shorten

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Small enough to stay in the CPU cache.
ROWS_PER_BLOCK = 250

# Limits the memory that a block of long rows needs.
_BYTES_PER_BLOCK = 1 << 20

# Rows read before the size of a block is checked.
_MAX_ROWS_PER_STEP = 5

# An empty line, or one with a single filled cell that a number may follow.
_FOOTER_LINE = re.compile(
    rb"""(?x)
    (?:
        (?: (?:"")?, )*
        (?P<text> [^",\r\n]+ | "[^",\r\n] (?: [^"\r\n] | "" )* " )
        (?: ,(?:"")? )*
        (?: (?<=,) "?(?P<total>[0-9]{1,15})"? (?: ,(?:"")? )* )?
    )?
    \r?\n?
    """
)
_MAX_FOOTER_BYTES = 1 << 14
_MIN_FOOTER_CELLS = 3

# Python 3.10's csv rejects NUL. No text that was valid UTF-8 contains a lone surrogate.
_NUL, _NUL_STAND_IN = "\0", "\udc00"


class CsvRows:
    """The raw rows of a file, in blocks; reading starts after the header.

    Attributes:
        file: The file, positioned after the rows read so far.
        header: The cells of its first row.
        rows_read: Number of rows read after the header.
        end: The offset at which to stop: before a footer, if there is one.
    """

    def __init__(self, file: t.BinaryIO, rows_per_block: int = ROWS_PER_BLOCK) -> None:
        """Read the header of a file, from its beginning.

        Args:
            file: The file.
            rows_per_block: Maximum rows per block; fewer if rows are long.

        Raises:
            ExportFileError: If there is no valid header.
        """
        # Lift csv's limit of 128 KiB per cell.
        csv.field_size_limit(sys.maxsize)
        self.file = file
        self._rows_per_block = rows_per_block
        self._has_nul = _has_nul(file)
        self._decode: Callable[[bytes], str] = _decode if self._has_nul else bytes.decode
        self._rows_per_step = 1
        self._skipped_lines = 0
        self._footer: tuple[str, bytes] | None = None
        self.rows_read = 0
        self.end = sys.maxsize
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        self._reader = csv.reader(map(self._decode, file), strict=True)
        header = next(self.block(1), None)
        if header is None:
            raise ExportFileError("the file is empty (no header)")
        self.header = header[0]
        self.rows_read = 0

    def __iter__(self) -> Iterator[list[list[str]]]:
        before = -1
        while self.rows_read != before:
            before = self.rows_read
            yield from self.block(self._rows_per_block)

    def reject_footer(self) -> None:
        """Make `block` raise at a footer: a last row with one filled cell of three or more.

        A record always has more: its key and a time, or its key and another selected column. With
        four or more cells, a second one may hold the number of rows, as in a line of totals.
        """
        start, width = self.file.tell(), len(self.header)
        tail = max(start, self.file.seek(0, os.SEEK_END) - _MAX_FOOTER_BYTES)
        self.file.seek(tail)
        if tail > start:
            self.file.readline()  # the rest of a line
        footer, total = _footer(self.file.readlines(), width)
        end = self.file.tell() - len(footer)
        self.file.seek(start)
        if footer and width >= _MIN_FOOTER_CELLS + bool(total):
            self._footer = footer.splitlines()[0].decode(errors="replace"), total
            self._read_until(end)

    def _read_until(self, end: int) -> None:
        """Continue reading at the file's position, up to this offset."""
        self.end = end
        self._skipped_lines += self._reader.line_num
        lines = itertools.takewhile(lambda _: self.file.tell() <= end, self.file)
        self._reader = csv.reader(map(self._decode, lines), strict=True)

    def skip(self, rows: int, size: int, lines: int) -> None:
        """Skip rows that compiled code has read.

        Args:
            rows: Their number.
            size: Their size in bytes.
            lines: Their number of lines.
        """
        self.file.seek(size, os.SEEK_CUR)
        self.rows_read += rows
        self._skipped_lines += lines

    def block(self, max_rows: int) -> Iterator[list[list[str]]]:
        """Yield the next block, if any; rows before an invalid line are yielded before the error.

        Raises:
            ExportFileError: If a line is not CSV or not UTF-8, or the footer is reached.
        """
        rows: list[list[str]] = []
        fault = None
        try:
            if self._read_block(rows, max_rows) and self._footer:
                count = self.rows_read + len(rows)
                footer, total = self._footer
                if total and int(total) != count:
                    self._footer = None
                    self.file.seek(self.end)
                    self._read_until(sys.maxsize)
                    self._read_block(rows, max_rows)
                else:
                    fault = (
                        f"row {count + 1} has too few filled cells, like a footer: "
                        f"{shorten(footer)}; if it is a record, select more columns"
                    )
        except csv.Error as error:
            line = self._skipped_lines + self._reader.line_num
            fault = f"line {line} is not valid CSV: {error}"
        except UnicodeDecodeError as error:
            offset = self.file.tell() - len(error.object) + error.start
            fault = f"byte {offset} of the file is not valid UTF-8"
        self.rows_read += len(rows)
        if rows:
            yield self._restore(rows) if self._has_nul else rows
        if fault:
            raise ExportFileError(fault)

    def _read_block(self, rows: list[list[str]], max_rows: int) -> bool:
        """Append rows, and return whether the file ended."""
        start, size = self.file.tell(), 0
        while len(rows) < max_rows and size < _BYTES_PER_BLOCK:
            step = min(self._rows_per_step, max_rows - len(rows))
            count = len(rows)
            rows.extend(itertools.islice(self._reader, step))
            if len(rows) < count + step:
                return True
            size = self.file.tell() - start
            affordable = _BYTES_PER_BLOCK * len(rows) // size
            self._rows_per_step = max(1, min(_MAX_ROWS_PER_STEP, affordable))
        return False

    @staticmethod
    def _restore(rows: list[list[str]]) -> list[list[str]]:
        return [[cell.replace(_NUL_STAND_IN, _NUL) for cell in row] for row in rows]


def parse_rows(content: bytes) -> list[list[str]]:
    """Return the rows of valid CSV without NUL."""
    return list(csv.reader(io.StringIO(content.decode(), newline="\n"), strict=True))


def _footer(lines: Sequence[bytes], width: int) -> tuple[bytes, bytes]:
    """Return trailing lines that look like a footer, and the number in the last of them, if any."""
    footer, total = b"", b""
    for line in reversed(lines):
        match = _FOOTER_LINE.fullmatch(line)
        if not match or (match["total"] and footer.strip()):
            break
        if match["text"] and line.count(b",") - match["text"].count(b",") != width - 1:
            break
        footer, total = line + footer, total or match["total"] or b""
    return footer.lstrip(b"\r\n"), total


def _has_nul(file: t.BinaryIO) -> bool:
    """Whether a file has a NUL anywhere; without one, decoding is faster."""
    found = any(b"\0" in chunk for chunk in iter(lambda: file.read(_BYTES_PER_BLOCK), b""))
    file.seek(0)
    return found


def _decode(line: bytes) -> str:
    return line.decode().replace(_NUL, _NUL_STAND_IN)
