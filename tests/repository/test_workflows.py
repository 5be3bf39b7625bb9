"""The files in .github are valid, and workflows have the least privilege."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dev import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))

# check-jsonschema's names of the schemas.
SCHEMAS = {
    "workflows/*.yml": "vendor.github-workflows",
    "dependabot.yml": "vendor.dependabot",
    "ISSUE_TEMPLATE/[!c]*.yml": "vendor.github-issue-forms",
    "ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
}

FILES = [(path, schema) for files, schema in SCHEMAS.items() for path in sorted(GITHUB.glob(files))]


def load(path: Path) -> dict[str, Any]:
    """Return a file's content."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def run(*command: str | Path) -> None:
    """Run a command, and show its output if it fails."""
    ended = subprocess.run(
        command, capture_output=True, check=False, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_file_has_a_schema() -> None:
    """Every YAML file of .github is checked against a schema."""
    files = {path for path in GITHUB.rglob("*.yml") if "requirements" not in path.parts}

    assert files == {path for path, _ in FILES}


@pytest.mark.parametrize(("path", "schema"), FILES, ids=[path.name for path, _ in FILES])
def test_github_accepts(path: Path, schema: str) -> None:
    """Each file is valid by GitHub's schema."""
    run(sys.executable, "-m", "check_jsonschema", f"--builtin-schema={schema}", path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_runs_for_hours(path: Path) -> None:
    """Each job has a time limit."""
    schema = "custom.github-workflows-require-timeout"
    run(sys.executable, "-m", "check_jsonschema", f"--builtin-schema={schema}", path)


def test_the_audit_finds_nothing() -> None:
    """Zizmor's pedantic audit has no findings."""
    zizmor = shutil.which("zizmor", path=sysconfig.get_path("scripts"))
    assert zizmor

    run(zizmor, "--offline", "--no-progress", "--persona=pedantic", GITHUB)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_only_jobs_have_permissions(path: Path) -> None:
    """A workflow has no permissions; each job requests its own."""
    workflow = load(path)

    assert workflow["permissions"] == {}
    assert all(job["permissions"] for job in workflow["jobs"].values())
    assert workflow["concurrency"]["group"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """Each third-party action is pinned to a full commit, with its version in a comment."""
    text = path.read_text(encoding="utf-8")
    uses = [use for use in re.findall(r"\buses: (.+)", text) if not use.startswith("$/")]

    assert [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)] == []


def test_tools_are_pinned_by_their_hashes() -> None:
    """Tools for workflows are pinned by hash, without the address of an index."""
    for names in sorted((GITHUB / "requirements").glob("*.in")):
        pinned = names.with_suffix(".txt").read_text(encoding="utf-8")

        for name in names.read_text(encoding="utf-8").split():
            assert re.search(rf"(?m)^{name}==\S+ ", pinned)
        assert all("--hash=sha256:" in entry for entry in re.split(r"(?m)^(?=\w)", pinned)[1:])
        assert "://" not in pinned


@pytest.mark.skipif(sys.platform != "linux", reason="where releases are made")
@pytest.mark.parametrize(
    ("version", "readme", "is_ready"),
    [
        (
            "1.2.3",
            "[![CI](https://example.org/ci)](https://example.org) [Costs](#costs)",
            True,
        ),
        ("1.2.4", "", False),
        ("1.2.3", "The tap is not yet on PyPI.", False),
        ("1.2.3", "[Settings](docs/settings.md)", False),
    ],
)
def test_a_release_needs_documents_that_are_ready(
    tmp_path: Path, version: str, readme: str, *, is_ready: bool
) -> None:
    """A release needs a changelog section for its tag, and a README that is ready for PyPI."""
    steps = load(GITHUB / "workflows" / "release.yml")["jobs"]["publish"]["steps"]
    (check,) = (step["run"] for step in steps if "documents are ready" in step.get("name", ""))
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / f"tap_voucherify-{version}.tar.gz").touch()
    (tmp_path / "CHANGELOG.md").write_text("## [1.2.3] - 2026-12-01\n")
    (tmp_path / "README.md").write_text(f"{readme}\n")

    variables = {**os.environ, "GITHUB_REF_NAME": f"v{version}"}
    command = ("bash", "-e", "-c", check)
    ended = subprocess.run(command, cwd=tmp_path, env=variables, check=False, capture_output=True)

    assert (ended.returncode == 0) == is_ready
