"""Halves of surrogate pairs in JSON, which cut a character in two, and which UTF-8 cannot hold."""

from __future__ import annotations

import re

# A pair of JSON escapes that makes one character, half of such a pair, or any other escape.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def replace_lone_surrogates(text: str) -> str:
    """Replace escaped halves of surrogate pairs in JSON text by U+FFFD."""
    return _ESCAPE.sub(lambda match: r"\ufffd" if match[1] else match[0], text)
