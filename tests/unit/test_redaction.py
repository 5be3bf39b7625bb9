"""No secret is printed in any encoding, and no text can forge a log line."""

from __future__ import annotations

import base64
import html
import json
import logging
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.redaction import MASK, SecretFilter, printable

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s3cr&t/to+ken=\"'~"

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "percent_lower": lambda text: quote(text, safe="").lower(),
    "percent_twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent_all": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json_slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json_unicode": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "json_in_json": lambda text: json.dumps(json.dumps(text))[3:-3],
    "python_bytes": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "html": html.escape,
    "html_numbers": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html_hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "hex": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64_url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic": lambda text: base64.b64encode(f"id:{text}".encode()).decode(),
    "base64_lines": lambda text: base64.encodebytes(f"{'ab' * 27}{text}".encode()).decode()[72:-1],
    "base64_json": lambda text: base64.b64encode(f"?{text}".encode()).decode().replace("/", "\\/"),
    "base64_percent": lambda text: quote(base64.b64encode(f"?{text}".encode()), safe=""),
    "base64_within": lambda text: base64.b64encode(f"ab{text}cd".encode()).decode(),
}


def test_passwords_of_urls_are_masked_to_their_end(secrets: SecretFilter) -> None:
    """They may contain an @, the character that ends them."""
    assert secrets.redact("via http://user:a@b@proxy:3128/ and back") == (
        f"via http://{MASK}@proxy:3128/ and back"
    )


def test_two_handlers_write_the_same_traceback(secrets: SecretFilter) -> None:
    """Each has the filter, and the second one gets the record that the first has cleaned."""
    try:
        int("no number")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "text", (), sys.exc_info())
    texts = []
    for _ in range(2):
        assert secrets.filter(record)
        texts.append(record.exc_text)

    assert texts[0] == texts[1]
    assert str(texts[0]).count("Traceback") == 1


def test_mismatched_arguments_are_not_an_error(secrets: SecretFilter) -> None:
    """A library's mistake in a log call does not end a sync."""
    record = logging.LogRecord("x", logging.WARNING, "", 1, f"%d of {SECRET}", ("a",), None)

    assert secrets.filter(record)
    assert record.getMessage() == f"%d of {MASK}"


@pytest.fixture
def secrets() -> SecretFilter:
    """A filter that knows the secret."""
    known = SecretFilter()
    known.add(SECRET)
    return known


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_c2_a_secret_is_masked_in_every_encoding(secrets: SecretFilter, encoding: str) -> None:
    """At most three characters remain: those that share bits with their neighbours in base64."""
    encoded = ENCODINGS[encoding](SECRET)

    masked = secrets.redact(f"before {encoded} after")

    assert MASK in masked
    assert len(masked) <= len(f"before {MASK} after") + 6
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=60))
def test_any_secret_is_masked(secret: str) -> None:
    """Whatever printable characters it contains."""
    known = SecretFilter()
    known.add(secret)
    assert secret not in known.redact(f"a {secret} b {quote(secret, safe='')} c")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET https://h/f?token=abc123", "GET https://h/f?token=***"),
        ("https://h/f?X-Amz-Sig=ab%2Fcd&X-Amz-Date=1", "https://h/f?X-Amz-Sig=***&X-Amz-Date=***"),
        ('"GET /f?sig=x HTTP/1.1" 200', '"GET /f?sig=*** HTTP/1.1" 200'),
        ("u=h%3A%2F%2Fh%3Ftoken%3Dabc%26b%3Dc d", "u=h%3A%2F%2Fh%3Ftoken%3D*** d"),
        ("u=h%253A%252F%252Fh%253Ftoken%253Dabc d", "u=h%253A%252F%252Fh%253Ftoken%253D*** d"),
        ("https://h/f?X%2DAmz%2DSig=abc&$a:b=c", "https://h/f?X%2DAmz%2DSig=***&$a:b=***"),
        ("https://h/f?t=ab%26cd&=ef#access=gh", "https://h/f?t=***&=***#access=***"),
        ("https://h/f?eyJhbGciOiJIUzI1NiJ9.abc", "https://h/f?***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("proxy http://user:pass@host:1", "proxy http://***@host:1"),
        ("what? nothing = secret", "what? nothing = secret"),
    ],
)  # fmt: skip
def test_c3_links_lose_their_query_values(text: str, masked: str) -> None:
    """Even if no secret is known."""
    assert SecretFilter().redact(text) == masked


def test_short_secrets_are_not_masked() -> None:
    """They are mistakes, and parts of ordinary words. Other types are not secrets."""
    known = SecretFilter()
    known.add("abc")
    known.add(None)
    assert known.redact("abcdef") == "abcdef"


def record(message: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    """Return a log record."""
    return logging.LogRecord("tap", level, __file__, 1, message, args, None)


def test_c3_a_warning_has_no_traceback(secrets: SecretFilter) -> None:
    """urllib3 logs one for a malformed header line, with the whole link in it."""
    warning = record("Failed to parse headers (url=%s)", "http://h/f?X-Amz-Signature=abc")
    try:
        int("harmless")
    except ValueError:
        warning.exc_info = sys.exc_info()
    secrets.filter(warning)
    shown = logging.Formatter().format(warning)
    assert shown == "Failed to parse headers (url=http://h/f?X-Amz-Signature=***"


def test_a_record_is_one_printable_line(secrets: SecretFilter) -> None:
    """Line breaks and terminal escapes from a server become spaces."""
    forged = record("status %s", "DONE\n2026 | ERROR | forged\x1b[31m\u2028\u202e")
    secrets.filter(forged)
    assert forged.getMessage() == "status DONE 2026 | ERROR | forged [31m  "


def test_a_harmless_record_keeps_its_arguments(secrets: SecretFilter) -> None:
    """Formatters read metrics from them."""
    metric = record("METRIC: %s", {"value": 1})
    secrets.filter(metric)
    assert metric.args == {"value": 1}


def test_a_traceback_is_masked_and_indented(secrets: SecretFilter) -> None:
    """No line of it looks like a record of its own, and none shows a secret."""
    failed = record("failed", level=logging.ERROR)
    try:
        int(f"{SECRET}\n2026 | ERROR | forged")
    except ValueError:
        failed.exc_info = sys.exc_info()
    failed.stack_info = f"Stack: {SECRET}"
    secrets.filter(failed)

    shown = logging.Formatter().format(failed)
    first, *others = shown.splitlines()
    assert first == "failed"
    assert all(line.startswith("    ") for line in others)
    assert MASK in shown
    assert SECRET not in shown
    assert "Traceback" in shown
    assert failed.exc_info is None


def test_a_stack_is_masked_and_indented(secrets: SecretFilter) -> None:
    """Even without an exception."""
    failed = record("failed", level=logging.ERROR)
    failed.stack_info = f"Stack: {SECRET}"
    secrets.filter(failed)
    assert logging.Formatter().format(failed) == f"failed\n    Stack: {MASK}"


def test_a_harmless_traceback_stays_for_other_formatters(secrets: SecretFilter) -> None:
    """Structured logs have their own format for it."""
    failed = record("failed", level=logging.ERROR)
    try:
        int("harmless")
    except ValueError:
        failed.exc_info = sys.exc_info()
    secrets.filter(failed)
    assert failed.exc_info is not None
    assert str(failed.exc_text).startswith("    Traceback")


def test_printable_keeps_printable_characters() -> None:
    """Letters of any script are printable."""
    assert printable("Gutschein für 50 €\t\r\nfin") == "Gutschein für 50 €   fin"
