"""Describe cells and files by their form only."""

from __future__ import annotations

import codecs
import contextlib
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

_LINE_ENDS = {b"\r\n": "CRLF", b"\n": "LF", b"\r": "CR"}

# How much of a file is examined.
_FORM_BYTES = 1 << 20


def form_of(cell: str) -> str:
    """Return the form of a cell, such as `integer`, or a time pattern with its digits."""
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
    value = _parsed(cell) if cell[0] in "[{" else None
    kind = "array" if isinstance(value, list) else "object"
    return "text" if value is None else f"JSON {kind}"


def are_titles(cells: Iterable[str]) -> bool:
    """Whether cells may be titles: a row of data has times, numbers or empty cells."""
    return all(form_of(cell) == "text" for cell in cells)


def json_form(content: bytes) -> str:
    """Describe a file that may be JSON; empty if it is not."""
    text = content.decode(errors="replace").lstrip("\ufeff").strip()
    if not text.startswith(("[", "{")):
        return ""
    value = _parsed(text)
    if value is None:
        return "lines or parts that begin like JSON"
    return f"a JSON array of {len(value)}" if isinstance(value, list) else "a JSON object"


def _parsed(text: str) -> list[t.Any] | dict[str, t.Any] | None:
    with contextlib.suppress(ValueError):
        value: list[t.Any] | dict[str, t.Any] = json.loads(text)
        return value
    return None


def file_form(file: t.BinaryIO) -> dict[str, list[str]]:
    """Describe the form of a file by its beginning and its end.

    Returns:
        The values of each property; none if the file does not show it.
    """
    file.seek(0)
    start = file.read(_FORM_BYTES)
    file.seek(max(file.tell() - 4, 0))
    end = file.read()[-4:]
    body = start.removeprefix(codecs.BOM_UTF8)
    has_backslashes = b'\\"' in body and b'""' not in re.sub(rb'\\"|,""', b"", body)
    pattern = rb'"(?:[^"\\]|\\.)*"' if has_backslashes else rb'"(?:[^"]|"")*"'
    unquoted = re.sub(pattern, b"Q", body)
    ends = re.findall(rb"\r\n|\n|\r", unquoted)
    cells = set(re.split(rb",|\r\n|\n|\r", unquoted))
    quoting = "none seen"
    if b"Q" in cells:
        quoting = "where needed" if cells - {b"Q", b""} else "all cells"
    is_doubled = any(b'""' in cell[1:-1] for cell in re.findall(pattern, body))
    ending = next((name for each, name in _LINE_ENDS.items() if end.endswith(each)), "no line end")
    if re.search(rb"(\r\n|\n|\r)\1$", end):
        ending = "an empty line"
    return {
        "byte order mark": ["no" if body == start else "yes"],
        "line ends": [_LINE_ENDS[each] for each in dict.fromkeys(ends)],
        "quoted": [quoting],
        "quotes in cells": ["backslashes"] if has_backslashes else ["doubled quotes"] * is_doubled,
        "encoding": [_encoding(body)],
        "last line ends with": [ending],
    }


def _encoding(body: bytes) -> str:
    if body.isascii():
        return "ASCII only"
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return "not UTF-8"
    return "UTF-8"
