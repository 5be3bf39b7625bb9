"""Describe cells and files by their form only."""

from __future__ import annotations

import codecs
import json
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<separator>[T ])[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.(?P<fraction>[0-9]+))?(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.(?P<fraction>[0-9]+))?")

# How much of a file shows its form.
_FORM_BYTES = 1 << 20


def form_of(cell: str) -> str:
    """Return the form of a cell: such as a number, or a time with its number of digits."""
    if not cell:
        return "empty"
    if match := _TIME.fullmatch(cell):
        fraction = f".{'f' * len(match['fraction'])}" if match["fraction"] else ""
        return f"`YYYY-MM-DD{match['separator']}hh:mm:ss{fraction}{match['zone'] or ''}`"
    if _DATE.fullmatch(cell):
        return "`YYYY-MM-DD`"
    if match := _NUMBER.fullmatch(cell):
        digits = len(match["fraction"] or "")
        return f"number with {digits} decimal{'s' * (digits > 1)}" if digits else "integer"
    if cell in {"true", "false"}:
        return "`true`/`false`"
    return _json_form(cell) if cell[0] in "[{" else "text"


def are_titles(cells: Iterable[str]) -> bool:
    """Whether cells may be titles: a row of data has times, numbers or empty cells."""
    return all(form_of(cell) == "text" for cell in cells)


def _json_form(cell: str) -> str:
    try:
        value = json.loads(cell)
    except ValueError:
        return "text"
    return "JSON array" if isinstance(value, list) else "JSON object"


def json_form(content: bytes) -> str:
    """Describe a file that may be JSON; empty if it is not."""
    text = content.decode(errors="replace").lstrip("\ufeff").strip()
    if not text.startswith(("[", "{")):
        return ""
    try:
        value = json.loads(text)
    except ValueError:
        return "lines or parts that begin like JSON"
    return f"a JSON array of {len(value)}" if isinstance(value, list) else "a JSON object"


class FileForm(t.NamedTuple):
    """The form of a file.

    Attributes:
        mark: Whether it begins with a byte order mark.
        line_ends: The line ends that occur outside of quotes.
        quoting: Which cells are quoted.
        escaping: How quotes in cells are written; empty if there are none.
        encoding: Its encoding.
        ending: How it ends.
    """

    mark: bool
    line_ends: tuple[str, ...]
    quoting: str
    escaping: str
    encoding: str
    ending: str


def file_form(file: t.BinaryIO) -> FileForm:
    """Return the form of a file, as its beginning and its end show it."""
    file.seek(0)
    start = file.read(_FORM_BYTES)
    file.seek(max(file.tell() - 4, 0))
    end = file.read()[-4:]
    body = start.removeprefix(codecs.BOM_UTF8)
    has_backslashes = b'\\"' in body and b'""' not in re.sub(rb'\\"|,""', b"", body)
    pattern = rb'"(?:[^"\\]|\\.)*"' if has_backslashes else rb'"(?:[^"]|"")*"'
    unquoted = re.sub(pattern, b"Q", body)
    ends = re.findall(rb"\r\n|\n|\r", unquoted)
    names = {b"\r\n": "CRLF", b"\n": "LF", b"\r": "CR"}
    cells = re.split(rb",|\r\n|\n|\r", unquoted)
    quoted = sum(cell == b"Q" for cell in cells)
    plain = sum(cell not in {b"Q", b""} for cell in cells)
    doubled = any(b'""' in cell[1:-1] for cell in re.findall(pattern, body))
    last = next((name for each, name in names.items() if end.endswith(each)), "")
    blank = bool(re.search(rb"(\r\n|\n|\r)\1$", end))
    return FileForm(
        mark=body != start,
        line_ends=tuple(dict.fromkeys(names[each] for each in ends)),
        quoting=("all cells" if not plain else "where needed") if quoted else "none seen",
        escaping="backslashes" if has_backslashes else "doubled quotes" if doubled else "",
        encoding=_encoding(body),
        ending="an empty line" if blank else f"{last or 'no line end'}",
    )


def _encoding(body: bytes) -> str:
    if body.isascii():
        return "ASCII only"
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return "not UTF-8"
    return "UTF-8"
