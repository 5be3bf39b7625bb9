"""The packages contain what they should, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from email.parser import HeaderParser
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from dev import ROOT
from hatch_build import LIBRARY, SOURCE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source distribution, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Return the files that Git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git from the PATH
        cwd=ROOT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return {name for name in listed.stdout.split("\0") if name}


def test_the_source_distribution_is_the_repository(packages: Path, tracked: set[str]) -> None:
    """The source distribution contains exactly the files that Git tracks."""
    (archive,) = packages.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened.getmembers()}

    assert names == tracked | {"PKG-INFO"}


def test_the_wheel_is_the_package(packages: Path, tracked: set[str]) -> None:
    """The wheel contains the package alone, with the scanner if there is a compiler."""
    (wheel,) = packages.glob("*.whl")
    with ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        headers = HeaderParser().parsestr(opened.read(metadata).decode())

    about = metadata.removesuffix("METADATA")
    described = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    modules = {name for name in tracked if name.startswith("tap_voucherify/")} - {SOURCE}
    if not wheel.stem.endswith("-py3-none-any"):
        modules |= {LIBRARY}
    assert names == modules | {f"{about}{name}" for name in described}
    assert headers["Name"] == "tap-voucherify"
    assert headers.get_all("Provides-Extra") == ["parquet", "s3"]
    required = [name for name in headers.get_all("Requires-Dist", []) if "extra" not in name]
    names = {re.split("[<>=~]", requirement)[0] for requirement in required}
    assert names == {
        "singer-sdk[msgspec]",
        "jsonschema",
        "msgspec",
        "python-backoff",
        "requests",
        "typing-extensions",
        "urllib3",
    }
