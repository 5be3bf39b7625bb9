"""Cells and files are described by their form, without their content."""

from __future__ import annotations

import io

import pytest

from tap_voucherify.survey.cells import are_titles, file_form, form_of, json_form


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("", "empty"),
        ("2026-08-01T12:00:00.123Z", "`YYYY-MM-DDThh:mm:ss.fffZ`"),
        ("2026-08-01 12:00:00+00:00", "`YYYY-MM-DD hh:mm:ss+00:00`"),
        ("2026-08-01", "`YYYY-MM-DD`"),
        ("-12", "integer"),
        ("0.50", "number with 2 decimals"),
        ("true", "`true`/`false`"),
        ('{"name": "Ada"}', "JSON object"),
        ('["Ada"]', "JSON array"),
        ("[Ada]", "text"),
        ("Ada", "text"),
    ],
)
def test_a_cell_has_a_form(cell: str, form: str) -> None:
    """A title is text: times, numbers and empty cells are data."""
    assert form_of(cell) == form
    assert are_titles([cell]) == (form == "text")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"ID,Code\r\n", ""),
        (b'\xef\xbb\xbf [{"id": "1"}, {"id": "2"}]\n', "a JSON array of 2"),
        (b'{"ada@example.com": 1}', "a JSON object"),
        (b'{"id": 1}\n{"id": 2}\n', "lines or parts that begin like JSON"),
    ],
)
def test_a_file_may_be_json(content: bytes, form: str) -> None:
    """Property names may be data, and are not shown."""
    assert json_form(content) == form


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"a,b\r\n1,2\r\n", ("no", "CRLF", "none seen", "", "ASCII only", "CRLF")),
        (b"a,b\n1,2", ("no", "LF", "none seen", "", "ASCII only", "no line end")),
        (b"a,b\r1,2\r\r", ("no", "CR", "none seen", "", "ASCII only", "an empty line")),
        (
            b'\xef\xbb\xbf"a","b"\n"x ""y""",""\n',
            ("yes", "LF", "all cells", "doubled quotes", "ASCII only", "LF"),
        ),
        (
            b'a,b\n"x \\"y\\"",\xc5\xbc\n',
            ("no", "LF", "where needed", "backslashes", "UTF-8", "LF"),
        ),
        (b"a,b\n\xbf,2\n", ("no", "LF", "none seen", "", "not UTF-8", "LF")),
    ],
)
def test_a_file_has_a_form(content: bytes, form: tuple[str, ...]) -> None:
    """Byte order mark, line ends, quoting, escaping, encoding, ending."""
    assert tuple(map(", ".join, file_form(io.BytesIO(content)).values())) == form
