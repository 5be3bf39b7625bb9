"""Write CSV with NUL on every Python: the writer of 3.10 rejects it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

# No text that can be encoded contains a lone surrogate.
_NUL, _STAND_IN = "\0", "\udc00"


class _Restoring:
    """A text file in which stand-ins become NULs again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write text with its NULs restored."""
        return self._file.write(text.replace(_STAND_IN, _NUL))


def write_rows(file: TextIO, rows: Iterable[Sequence[str]], **form: Any) -> None:
    """Write rows of CSV.

    Args:
        file: The file.
        rows: The rows.
        **form: The formatting parameters of `csv.writer`.
    """
    writer = csv.writer(_Restoring(file), **form)
    writer.writerows([cell.replace(_NUL, _STAND_IN) for cell in row] for row in rows)
