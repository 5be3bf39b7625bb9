"""What may never be printed: credentials, and the tokens in download links."""

from __future__ import annotations

import logging
import re

MASK = "***"

# A download link's token stands in its query; a bearer token in a header; the password
# for a proxy or for the storage of batch files before a host.
_TOKENS = re.compile(r"(?i)([?&]token=|\bbearer\s+)[^\s&\"'<>]+|(?<=://)[^\s/@]+(?=@)")

# A shorter "secret" is a mistake in the settings, and would mask ordinary words.
_SHORTEST_SECRET = 6


class SecretFilter(logging.Filter):
    """A filter for logging handlers, and the one function that masks secrets."""

    def __init__(self) -> None:
        """Start without a secret."""
        super().__init__()
        self._secrets: set[str] = set()

    def add(self, secret: object) -> None:
        """Mask `secret` from now on: one of the settings, or a token that was just issued."""
        if isinstance(secret, str) and len(secret) >= _SHORTEST_SECRET:
            self._secrets.add(secret)

    def redact(self, text: str) -> str:
        """Return `text` with every secret masked."""
        # The longest first, in case one secret contains another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return _TOKENS.sub(lambda match: (match[1] or "") + MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the secrets of a log record, its traceback's included."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        clean = self.redact(text)
        if clean != text:
            # The record keeps its parts as long as it holds no secret: formatters
            # read metrics and tracebacks from them.
            record.msg, record.args = clean, ()
            record.exc_info = record.exc_text = None
        return True
