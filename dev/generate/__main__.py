"""Bring generated texts up to date, or tell which are not (`python -m dev.generate --check`)."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from dev import ROOT
from dev.generate.plugin import hub_definition, project_settings
from dev.generate.tables import settings_table, streams_table

if TYPE_CHECKING:
    from pathlib import Path


def generated() -> dict[Path, str]:
    """Return the files that hold something generated, with what they are to contain."""
    readme, project = ROOT / "README.md", ROOT / "meltano.yml"
    text = readme.read_text(encoding="utf-8")
    text = replace_between(text, "settings", settings_table())
    text = replace_between(text, "streams", streams_table())
    return {
        readme: text,
        project: replace_between(
            project.read_text(encoding="utf-8"), "generated", project_settings()
        ),
        ROOT / "plugin.yml": hub_definition(),
    }


def replace_between(text: str, name: str, content: str) -> str:
    """Replace the lines between one that says `begin` and one that says `end`.

    Raises:
        ValueError: If there is not exactly one place of this name.
    """
    pattern = rf"(?ms)^([^\n]*\bbegin {name}\b[^\n]*\n).*?^([^\n]*\bend {name}\b)"
    replaced, count = re.subn(pattern, lambda found: f"{found[1]}{content}{found[2]}", text)
    if count != 1:
        raise ValueError(f"{count} places begin with 'begin {name}' and end with 'end {name}'")
    return replaced


def outdated() -> list[Path]:
    """Return the files that are not as they are to be."""
    return [
        path
        for path, content in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]


def main() -> None:
    """Write what is out of date, or end with exit code 1 if asked to check only."""
    parser = argparse.ArgumentParser(prog="python -m dev.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    only_check = parser.parse_args().check
    paths = outdated()
    for path in paths:
        print(path.relative_to(ROOT), "is out of date" if only_check else "is brought up to date")
        if not only_check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path], encoding="utf-8")
    sys.exit(bool(paths) and only_check)


if __name__ == "__main__":
    main()
