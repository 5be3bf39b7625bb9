"""Lone surrogates in JSON: halves of a character, which UTF-8 cannot encode."""

from __future__ import annotations

import re

# An escaped surrogate pair, half of one, or any other escape.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def replace_lone_surrogates(text: str) -> str:
    """Replace escaped lone surrogates in JSON text with U+FFFD."""
    return _ESCAPE.sub(lambda match: r"\ufffd" if match[1] else match[0], text)
