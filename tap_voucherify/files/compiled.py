"""Read rows in common formats with compiled code; `scanner.c` defines which formats these are.

All other rows are left to the exact reader, which alone decides what is an error. So output and
errors are the same with and without compiled code.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import typing as t
from pathlib import Path

from tap_voucherify.files.layout import PADDING, TIME_LENGTH, Layout, PropertyRow
from tap_voucherify.instants import Span

if t.TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from tap_voucherify.files.rows import CsvRows

B = t.TypeVar("B")

# Missing if the package was installed without a compiler.
LIBRARY = Path(__file__).with_name("scanner.so")

# A block and its lines fit into the CPU cache; tables are faster to build from longer columns.
_BLOCK_BYTES, _TABLE_BYTES = 1 << 18, 1 << 20
_MAX_CELLS = 1 << 16
_CELL_BYTES = 8

# Maximum bytes that escaping adds to one byte of text.
_ESCAPE_LENGTH = 5

# Rows passed to the exact reader at a time: initially, and at most.
_MIN_EXACT_ROWS, _MAX_EXACT_ROWS = 16, 256


class _Progress(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("line_ends", ctypes.c_uint64),
        ("escapes", ctypes.c_uint64),
    )


class Compiled(t.NamedTuple):
    """The compiled code and the size of the blocks that it reads."""

    library: ctypes.CDLL
    block_bytes: int


def load(path: Path = LIBRARY, *, for_tables: bool = False) -> Compiled | None:
    """Load the compiled code, or return None if it is not built or TAP_VOUCHERIFY_PURE is set."""
    if os.environ.get("TAP_VOUCHERIFY_PURE"):
        return None
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # not built, or built for another system
        return None
    library.lines.restype = ctypes.c_uint64
    return Compiled(library, _TABLE_BYTES if for_tables else _BLOCK_BYTES)


def _start_of(buffer: bytearray) -> t.Any:
    """Return a pointer to a buffer."""
    return ctypes.byref(ctypes.c_uint8.from_buffer(buffer))


class Scanner:
    """Splits blocks of a file into cells.

    Attributes:
        library: The compiled code.
        layout: The columns to check and write.
        input: The last block.
        cells: The positions of its cells.
        progress: How much of it the last `scan` accepted.
    """

    def __init__(self, compiled: Compiled, layout: Layout) -> None:
        self.library = compiled.library
        self.layout = layout
        self.input = bytearray(compiled.block_bytes + PADDING)
        self.cells = (ctypes.c_uint64 * _MAX_CELLS)()
        self.progress = _Progress()
        self._output = bytearray()

    def scan(self, file: t.BinaryIO, end: int) -> int:
        """Scan the next block of rows; the file's position does not change.

        Args:
            file: The file.
            end: The offset at which to stop.

        Returns:
            The number of rows accepted; 0 if the next row is left to the exact reader, or there
            is none.
        """
        start = file.tell()
        block = memoryview(self.input)[:-PADDING][: end - start]
        size = t.cast("io.BufferedIOBase", file).readinto(block)
        file.seek(start)
        layout = self.layout
        self.library.scan(
            _start_of(self.input),
            size,
            layout.checks,
            len(layout.checks),
            self.cells,
            layout.width,
            _MAX_CELLS // layout.width,
            ctypes.byref(self.progress),
        )
        return int(self.progress.rows)

    def output(self, size: int) -> bytearray:
        """Return the shared output buffer, grown to at least this size."""
        if len(self._output) < size:
            self._output = bytearray(size)
        return self._output


class Texts(t.NamedTuple):
    """A column of text in Arrow's layout.

    Attributes:
        data: The values, concatenated.
        offsets: The start of each value, and the end of the last one.
        validity: A bitmap, 1 for each value that is not null.
    """

    data: bytes
    offsets: ctypes.Array[ctypes.c_int32]
    validity: bytearray


class ScannedRows:
    """Consecutive rows of the last scanned block."""

    def __init__(self, scanner: Scanner, start: int, stop: int) -> None:
        """Take rows `start` to `stop` of the block."""
        self._scanner = scanner
        self._start, self._stop = start, stop
        width = scanner.layout.width
        cells = ctypes.byref(scanner.cells, start * width * _CELL_BYTES)
        self._rows = (_start_of(scanner.input), cells, width, stop - start)

    def __len__(self) -> int:
        return self._stop - self._start

    def span(self, name: str) -> Span:
        """Return the span of a timestamp property; `is_ascending` allows no margin."""
        least, greatest = (ctypes.create_string_buffer(TIME_LENGTH) for _ in range(2))
        is_ascending = ctypes.c_int32()
        rows = self._scanner.library.extremes(
            *self._rows,
            ctypes.byref(self._property(name)),
            least,
            greatest,
            ctypes.byref(is_ascending),
        )
        if not rows:
            return Span()
        return Span(
            rows, least.raw.decode(), greatest.raw.decode(), is_ascending=bool(is_ascending.value)
        )

    def values(self, name: str) -> list[str | None]:
        """Return the values of one property as text."""
        data, offsets, _ = self.column(name)
        return [data[start:end].decode() or None for start, end in itertools.pairwise(offsets)]

    def column(self, name: str) -> Texts:
        """Return one property as a column of text."""
        return self._texts(self._property(name))

    def metadata(self) -> Iterator[Texts]:
        """Return each metadata key as a column of text."""
        members = self._scanner.layout.members
        return map(self._texts, members.array if members else ())

    def _texts(self, column: t.Any) -> Texts:
        output = self._scanner.output(
            self._scanner.progress.bytes + len(self) * TIME_LENGTH + PADDING
        )
        offsets = (ctypes.c_int32 * (len(self) + 1))()
        validity = bytearray(len(self) // 8 + 1)
        self._scanner.library.column(
            *self._rows, ctypes.byref(column), _start_of(output), offsets, _start_of(validity)
        )
        return Texts(bytes(memoryview(output)[: offsets[len(self)]]), offsets, validity)

    def json_lines(self, prefix: bytes = b"", suffix: bytes = b"") -> memoryview:
        """Return the records as lines of JSON, each with a prefix and a suffix.

        The result is valid until the next call.
        """
        scanner, layout, members = self._scanner, self._scanner.layout, self._scanner.layout.members
        row_bytes = layout.row_bytes + len(prefix) + len(suffix)
        progress = scanner.progress
        size = progress.bytes + _ESCAPE_LENGTH * progress.escapes + len(self) * row_bytes
        output = scanner.output(size + PADDING)
        written = scanner.library.lines(
            *self._rows,
            layout.properties.array,
            len(layout.properties.array),
            members and members.array,
            len(members.array) if members else 0,
            prefix,
            len(prefix),
            suffix,
            len(suffix),
            _start_of(output),
        )
        return memoryview(output)[:written]

    def _property(self, name: str) -> PropertyRow:
        layout = self._scanner.layout
        return layout.properties.array[layout.names.index(name)]


def read(
    rows: CsvRows,
    scanner: Scanner,
    read_exactly: Callable[[Iterator[list[list[str]]]], Iterator[B]],
) -> Iterator[int | B]:
    """Read a file: yield the length of each scanned block, and the blocks of the exact reader.

    Args:
        rows: The file's rows.
        scanner: Reads the rows in common formats.
        read_exactly: Converts blocks of all other rows.
    """
    exact_rows = _MIN_EXACT_ROWS
    while True:
        read_so_far = 0
        while scanned := scanner.scan(rows.file, rows.end):
            progress = scanner.progress
            rows.skip(scanned, progress.bytes, progress.line_ends)
            yield scanned
            read_so_far += scanned
        before = rows.rows_read
        yield from read_exactly(rows.block(exact_rows))
        if rows.rows_read == before:
            return
        is_rare = read_so_far >= exact_rows
        exact_rows = _MIN_EXACT_ROWS if is_rare else min(2 * exact_rows, _MAX_EXACT_ROWS)
