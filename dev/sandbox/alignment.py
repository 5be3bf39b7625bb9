"""CSV in which a CRLF in a cell lies across the border of two blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def aligned(
    rows: Sequence[Sequence[str]],
    line_terminator: str,
    block_bytes: int,
    begin: int,
) -> Iterator[str]:
    """Yield lines in which, wherever possible, a CR in a cell is the last byte of a block.

    The values do not change: a cell moves because cells before it are quoted without need, which
    adds two bytes each.

    Args:
        rows: The cells.
        line_terminator: The end of each line.
        block_bytes: The size of a block.
        begin: The number of bytes in the file before the first row.
    """
    cells = [_quoted(cell) if _needs_quotes(cell) else cell for row in rows for cell in row]
    ends = {}
    last = -1
    for row in rows:
        last += len(row)
        ends[last] = line_terminator
    offset, candidates = begin, []
    for number, cell in enumerate(cells):
        if "\r\n" in cell:
            candidates.append((offset + len(cell.partition("\r\n")[0].encode()), number))
        offset += len(cell.encode()) + len(ends.get(number, ","))
    shift, free = 0, 0
    for border in range(block_bytes, offset + block_bytes, block_bytes):
        for position, number in reversed(candidates):
            missing = border - 1 - (position + shift)
            if number < free or missing < 0 or missing % 2:
                continue
            plain = [n for n in range(free, number) if cells[n] and cells[n][0] != '"']
            if len(plain) >= missing // 2:
                for each in plain[: missing // 2]:
                    cells[each] = _quoted(cells[each])
                shift, free = shift + missing, number + 1
            break
    for number, cell in enumerate(cells):
        yield cell + ends.get(number, ",")


def _needs_quotes(cell: str) -> bool:
    """Return whether a cell must be quoted."""
    return any(character in cell for character in ',"\r\n')


def _quoted(cell: str) -> str:
    """Return a cell in quotes."""
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'
