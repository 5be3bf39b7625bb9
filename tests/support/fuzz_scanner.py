"""A fuzz target: the compiled code and the exact reader must agree on every file.

`python -m tests.support.fuzz_scanner 1000000` tries that many random files, with a new seed each
time; a failure shows the seed and the file. A second argument names another build of the library.
"""

from __future__ import annotations

import io
import random
import secrets
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_voucherify.columns import BOOLEAN, DATE, INTEGER, NUMBER, TEXT, TIMESTAMP, Column
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.arrow import ArrowBlock
from tap_voucherify.files.compiled import LIBRARY, Compiled, load
from tests.support.csv_files import file_reader, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_voucherify.instants import Span

COLUMNS = (
    Column("id", TEXT, "The key."),
    Column("name", TEXT, "Any text."),
    Column("amount", NUMBER, "A number."),
    Column("count", INTEGER, "An integer."),
    Column("active", BOOLEAN, "True or false."),
    Column("day", DATE, "A date."),
    Column("updated_at", TIMESTAMP, "A time."),
    Column("creation_time", TIMESTAMP, "A time."),
)
KEYS = ("city", 'say "hi"')
SELECTION = select(COLUMNS, coalesce={"modified_at": ("updated_at", "creation_time")})

_BLOCK_BYTES = (2048, 2048, 300, 70)
_TIMES = (
    *("2025-03-01T10:20:30.123Z", "2025-03-01T10:20:31Z", "2025-03-01", "2024-02-29"),
    *(
        "2025-03-01T10:20:30.123456Z",
        "2025-03-01 10:20:30+02",
        "2025-02-29",
        "2025-13-01T10:20:30Z",
    ),
    *("2025-03-01T24:20:30.123Z", "2025-02-30T10:20:30.123Z", "0000-01-01", "1900-02-29", "noon"),
)
# Cells in the usual form come first.
_CELLS: Mapping[str, Sequence[str]] = {
    "id": ("v_1", "a,b", "1", "é", ""),
    "name": ("x", 'say "hi"', "a\r\nb", "tab\t", "\\", "\x7f\x1f", "店舗 🏬", "\0", "y" * 400),
    "amount": (
        "0",
        "-12.50",
        "2000",
        "1e5",
        "01",
        ".5",
        "1.",
        "9" * 19,
        "1." + "1" * 10,
        "nan",
        "-",
    ),
    "count": ("0", "-1", "42", "-0", "1.5", "5.00", "9" * 19, "9" * 5000, "--1", "\u0661"),
    "active": ("true", "false", "TRUE", "truE", "yes", "tru", "trua"),
    "day": _TIMES,
    "updated_at": _TIMES,
    "creation_time": _TIMES,
    "city": ("Łódź", "", "b"),
    'say "hi"': ("", "1", '"'),
}
_BYTES = (
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xf0\x9f"),
    *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b" ", b"x", b"\n\n"),
)


def random_file(randomness: random.Random) -> bytes:
    """Return a file that is mostly in the usual form."""
    line_end = randomness.choice((b"\n", b"\r\n"))
    oddity = randomness.choice((0, 0.002, 0.02, 0.3))
    names = [*_CELLS]
    rows = [names]
    for second in range(randomness.choice((0, 1, 3, 12, 40))):
        row = [_random_cell(randomness, name, oddity) for name in names]
        if randomness.random() < 0.9:
            second -= randomness.choice((0, 0, 0, 0, 1, 2))  # noqa: PLW2901 - rows out of order
            row[names.index("creation_time")] = f"2025-03-01T10:20:{max(second, 0):02}.000Z"
        rows.append(row[: -1 if randomness.random() < oddity / 10 else None])
    content = bytearray()
    for row in rows:
        quoted = (_quoted(cell, always=randomness.random() < 0.1) for cell in row)
        content += b",".join(quoted) + line_end
    while randomness.random() < min(10 * oddity, 0.5):
        position = randomness.randrange(len(content) + 1)
        content[position : position + randomness.randrange(2)] = randomness.choice(_BYTES)
    ends = (b"", b"", b"", b"\n\r\n", b'"', b"Total: 4 rows", b"v_1,x", b"v_1" + b"," * 9)
    return bytes(content[: -len(line_end) if randomness.random() < 0.1 else None]) + (
        randomness.choice(ends)
    )


def _random_cell(randomness: random.Random, name: str, oddity: float) -> str:
    cells = _CELLS[name]
    if randomness.random() < oddity:
        return randomness.choice(cells)
    return randomness.choice(("", *cells[:2]) if name != "id" else cells[:1])


def _quoted(cell: str, *, always: bool) -> bytes:
    if always or set(cell) & set(',"\r\n'):
        cell = '"' + cell.replace('"', '""') + '"'
    return cell.encode()


def compare(content: bytes, compiled: Compiled) -> str:
    """Read a file with both readers, and return the outcome.

    Raises:
        AssertionError: If the readers disagree.
    """
    lines, error, span = _read(content, None)
    assert _read(content, compiled) == (lines, error, span)
    if len(content) % 4 == 0:  # building tables takes most of the time
        assert _read_tables(content, compiled) == _read_tables(content, None)
    return error.partition(" ")[0] if error else "valid"


def _read(content: bytes, compiled: Compiled | None) -> tuple[bytes, str, Span | None]:
    """Return the records of a file, the error at its end, if any, and the span of its times."""
    reader = file_reader(SELECTION, compiled=compiled)
    lines, span = b"", None
    try:
        opened = reader.open(io.BytesIO(content))
        span = opened.span("creation_time")
        for block in opened:
            written = bytes(block.json_lines(b"<", b">"))  # type: ignore[union-attr] # no table
            assert written.count(b"\n") == len(block)
            lines += written
    except ExportFileError as error:
        return lines, str(error), span
    return lines, "", span


def _read_tables(content: bytes, compiled: Compiled | None) -> tuple[list[Any], str]:
    """Return the tables of a file, and the error at its end, if any."""
    tables = []
    try:
        for block in file_reader(SELECTION, compiled=compiled, as_tables=True).open(
            io.BytesIO(content)
        ):
            assert isinstance(block, ArrowBlock)
            block.table.validate(full=True)
            tables.append((block.table.combine_chunks(), block.span("creation_time")))
    except ExportFileError as error:
        return tables, str(error)
    return tables, ""


def try_files(seed: int, count: int, library: Path = LIBRARY) -> Mapping[str, int]:
    """Try random files and return how often each outcome occurred."""
    randomness, endings = random.Random(seed), Counter[str]()
    loaded = load(library)
    assert loaded
    for number in range(count):
        content = random_file(randomness)
        compiled = loaded._replace(block_bytes=randomness.choice(_BLOCK_BYTES))
        try:
            endings[compare(content, compiled)] += 1
        except BaseException:
            shown = f"seed {seed}, file {number}, {compiled}: {content[:5000]!r}"
            print(shown, file=sys.stderr)  # noqa: T201 - for a person
            raise
    return endings


if __name__ == "__main__":
    chosen = secrets.randbits(32)
    tried = try_files(chosen, int(sys.argv[1]), *map(Path, sys.argv[2:]))
    print(f"seed {chosen}: {sum(tried.values())} files, {dict(tried)}")  # noqa: T201 - for a person
