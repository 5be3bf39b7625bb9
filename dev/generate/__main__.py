"""Update generated texts, or list outdated ones (`python -m dev.generate --check`)."""

from __future__ import annotations

import argparse
import re
import sys
from functools import reduce
from typing import TYPE_CHECKING

from dev import ROOT
from dev.generate.plugin import hub_definition, project_settings
from dev.generate.tables import (
    common_settings_table,
    questions_table,
    sdk_settings_table,
    settings_table,
    streams_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The generated parts of each file, by the name in their `begin` and `end` lines.
PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"common settings": common_settings_table, "streams": streams_table},
    "docs/api.md": {"questions": questions_table},
    "docs/settings.md": {"settings": settings_table, "sdk settings": sdk_settings_table},
    "meltano.yml": {"generated": project_settings},
}


def generated() -> dict[Path, str]:
    """Return each file with a generated part, and the text it should have."""
    texts = {ROOT / name: _updated(ROOT / name, parts) for name, parts in PARTS.items()}
    return {**texts, ROOT / "plugin.yml": hub_definition()}


def _updated(path: Path, parts: dict[str, Callable[[], str]]) -> str:
    return reduce(
        lambda text, part: replace_between(text, part[0], part[1]()),
        parts.items(),
        path.read_text(encoding="utf-8"),
    )


def replace_between(text: str, name: str, content: str) -> str:
    """Replace the lines between `begin <name>` and `end <name>`.

    Raises:
        ValueError: If the text does not have exactly one such pair of lines.
    """
    pattern = rf"(?ms)^([^\n]*\bbegin {name}\b[^\n]*\n).*?^([^\n]*\bend {name}\b)"
    replaced, count = re.subn(pattern, lambda match: f"{match[1]}{content}{match[2]}", text)
    if count != 1:
        raise ValueError(f"expected one part from 'begin {name}' to 'end {name}', found {count}")
    return replaced


def outdated() -> list[Path]:
    """Return the files whose generated text is out of date."""
    return [
        path
        for path, content in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]


def main() -> None:
    """Update outdated files; with `--check`, only list them and exit with 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m dev.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    only_check = parser.parse_args().check
    paths = outdated()
    for path in paths:
        print("out of date:" if only_check else "updated:", path.relative_to(ROOT))
        if not only_check:
            path.write_text(generated()[path], encoding="utf-8")
    sys.exit(bool(paths) and only_check)


if __name__ == "__main__":
    main()
