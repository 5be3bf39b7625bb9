"""Mask secrets, and make every log message one printable line.

Credentials must not appear in any output, nor may a server forge log lines with line breaks or
terminal escapes in its texts.
"""

from __future__ import annotations

import base64
import functools
import html
import logging
import re
import traceback

MASK = "***"

# Query values of URLs (download links carry tokens and signatures there), even if the whole URL is
# percent-encoded; a query that is only a token; tokens of an Authorization header; the user and
# password of a URL.
_TOKENS = re.compile(
    r"""(?ix)
    (
        (?: [?&;\#] | %(?:25)*(?:3f|26) ) [^\s=&"'<>]{0,64}? (?: = | %(?:25)*3d )
        | \? (?= [^\s=&"'<>]{16} )
        | \b (?:bearer|basic) \s+
    )
    [^\s&"'<>\#]+
    | (?<= :// ) [^\s/]+ (?= @ )
    """
)

# Two base64 characters differ in URLs, and may be escaped.
_BASE64_SIGNS = {"+": "(?:[+-]|%2[bB])", "/": r"(?:\\*[/_]|%2[fF])"}

# A shorter secret is a mistake in the settings, and masking it would hide ordinary words.
_MIN_SECRET_LENGTH = 6


def printable(text: str) -> str:
    """Replace line breaks, terminal escapes and other unprintable characters with spaces."""
    return "".join(char if char.isprintable() else " " for char in text)


class SecretFilter(logging.Filter):
    """Masks secrets in log records, and in any text."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()

    def add(self, secret: object) -> None:
        """Mask a secret from now on: a setting, or a newly issued token."""
        if not isinstance(secret, str) or len(secret) < _MIN_SECRET_LENGTH:
            return
        self._secrets.add(secret)

    def redact(self, text: str) -> str:
        """Return `text` with every secret masked, in any encoding."""
        if self._secrets:
            text = _pattern_of(frozenset(self._secrets)).sub(MASK, text)
        return _TOKENS.sub(lambda match: (match[1] or "") + MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean a log record, including its traceback."""
        try:
            text = record.getMessage()
        except (KeyError, TypeError, ValueError):  # mismatched arguments; logging reports them
            text = str(record.msg)
        clean = self.redact(printable(text))
        if clean != text:
            # A clean record keeps its arguments: formatters read metrics from them.
            record.msg, record.args = clean, ()
        if record.levelno < logging.ERROR:
            # Libraries attach tracebacks to warnings; the message is enough.
            record.exc_info = record.exc_text = record.stack_info = None
        if record.exc_info or record.exc_text or record.stack_info:
            # Another handler's filter may have set the text already.
            text = record.exc_text or ""
            if record.exc_info:
                text = "".join(traceback.format_exception(*record.exc_info))
            trace = "\n".join(filter(None, (record.stack_info, text)))
            redacted = self.redact(trace)
            # Indented, so that no line of it looks like a record of its own.
            record.exc_text = "\n".join(f"    {printable(line)}" for line in redacted.splitlines())
            record.stack_info = None
            if redacted != trace:
                # A clean traceback stays for formatters that write it themselves.
                record.exc_info = None
        return True


@functools.lru_cache(maxsize=1)
def _pattern_of(secrets: frozenset[str]) -> re.Pattern[str]:
    forms = [
        form
        for secret in secrets
        for form in (_escaped(secret), f"(?i:{secret.encode().hex()})", *_in_base64(secret))
    ]
    # The longest first, in case one secret contains another.
    return re.compile("|".join(sorted(forms, key=len, reverse=True)))


def _escaped(secret: str) -> str:
    """Return a pattern for a secret whose characters may be escaped.

    A character may be percent-encoded, even repeatedly, escaped as in JSON, Python or HTML, or
    preceded by backslashes.
    """
    forms = []
    for char in secret:
        code = f"{ord(char):02x}"
        digits = "".join(f"[{digit}{digit.upper()}]" for digit in code)
        escapes = (
            rf"%(?:25)*{digits}",
            rf"\\+(?:u00|x){digits}",
            rf"&#(?:[xX]0*{digits}|0*{ord(char)});",
            re.escape(html.escape(char)),
        )
        forms.append(rf"(?:\\*{re.escape(char)}|{'|'.join(escapes)})")
    return "".join(forms)


def _in_base64(secret: str) -> list[str]:
    """Return patterns for a secret in base64 of a longer text, in lines of any length.

    The encoding depends on its position modulo three. Characters at its ends that share bits with
    neighbouring text are left out.
    """
    patterns = []
    for offset in range(3):
        padded = bytes(offset) + secret.encode()
        encoded = base64.b64encode(padded).decode()
        first = -(-offset * 8 // 6)
        whole = encoded[first : len(padded) * 8 // 6]
        patterns.append(r"\s*".join(_BASE64_SIGNS.get(char, char) for char in whole))
    return patterns
