"""Download a file, for tools that read one from disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.request import urlopen

CHUNK_BYTES = 1 << 20


def download(url: str, target: str) -> str:
    """Save a file next to the target and return its name."""
    path = Path(target).with_suffix(".csv")
    with urlopen(url) as body, path.open("wb") as file:
        shutil.copyfileobj(body, file, CHUNK_BYTES)
    return str(path)
