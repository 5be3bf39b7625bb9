"""Install the built wheel on every supported Python there is and run the tests against it.

`make test-wheel` does so. The Python that runs this gets all of them, and measures which lines
they reach; the others get those that are neither slow nor the same for every Python. Exits with 1
if any test fails, or any line is not reached.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from dev import ROOT

WORKSPACE = ROOT / ".wheel"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

ALL_TESTS = ("--cov",)
# Meltano runs the tap in an environment of its own.
FAST_TESTS = ("-p", "no:cacheprovider", "-m", "not slow and not meltano and not repository")


def main() -> None:
    """Build the wheel, and test it on each Python."""
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", str(WORKSPACE))
    (wheel,) = WORKSPACE.glob("*.whl")
    pythons = found_pythons()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        checks = [threads.submit(check, version, pythons[version], wheel) for version in pythons]
        for each in as_completed(checks):
            # Whichever fails, the others are told as well.
            say(str(each.exception() or each.result()))
    sys.exit(any(each.exception() for each in checks))


def found_pythons() -> dict[str, str]:
    """Return a command for each supported version there is, beginning with the present one."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r'"Programming Language :: Python :: (3\.[0-9]+)"', project)
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    pythons = {PYTHON: sys.executable}
    for version in supported:
        name = f"python{version}"
        for command in [name, *map(str, pyenv.glob(f"versions/{version}.*/bin/{name}"))]:
            # What is on the path may be pyenv's hint that another version is switched on.
            if version not in pythons and shutil.which(command) and is_complete(command):
                pythons[version] = command
    return pythons


def is_complete(command: str) -> bool:
    """Whether a Python runs and can make environments."""
    probe = subprocess.run([command, "-c", "import ensurepip"], capture_output=True, check=False)
    return probe.returncode == 0


def check(version: str, python: str, wheel: Path) -> str:
    """Run the tests against the wheel in a clean environment, and return what pytest tells."""
    environment = WORKSPACE / f"python{version}"
    run(python, "-m", "venv", str(environment))
    pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet")
    run(*pip, "--upgrade", "pip>=25.1")
    run(*pip, f"{wheel}[parquet]", "--group", "test")
    tests = ALL_TESTS if version == PYTHON else FAST_TESTS
    output = run(str(environment / "bin" / "pytest"), *tests)
    if f"package: {environment}" not in output:
        sys.exit(f"The tests on Python {version} were not about the wheel:\n{output}")
    return f"Python {version}\n{output}"


def run(*command: str) -> str:
    """Return the output of a command; if it fails, this shows it and ends."""
    ended = subprocess.run(
        command,
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if ended.returncode:
        sys.exit(f"{' '.join(command)}\n{ended.stdout}")
    return ended.stdout


def say(text: str) -> None:
    """Tell the person at the terminal, ahead of what comes next."""
    print(text, flush=True)  # noqa: T201 - the one place


if __name__ == "__main__":
    main()
