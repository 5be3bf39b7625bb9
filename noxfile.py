"""Build the wheel and test it on every supported Python that is installed.

The Python that runs nox runs all tests. The others run those of `unit` and `api` and one sync, one
of them without compiled code. `make test` tests all; `nox --session wheel-3.12` tests one.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
DIST = ROOT / ".nox" / "dist"

MAIN = f"{sys.version_info.major}.{sys.version_info.minor}"
SUPPORTED = nox.project.python_versions(nox.project.load_toml(ROOT / "pyproject.toml"))
OTHERS = [version for version in SUPPORTED if version != MAIN]
PURE = OTHERS[0]

# One process more than there are cores, since tests of commands spend part of their time waiting.
PROCESSES = (f"--numprocesses={(os.cpu_count() or 1) + 1}", "--dist=worksteal")
# Measuring coverage takes a third of the time, and the slow tests add nothing to it.
MEASURED = ("tests/unit", "tests/api", "tests/cli")
MEASURED_TESTS = (*PROCESSES, *MEASURED, "--cov")
OTHER_TESTS = (*PROCESSES, *(f"--ignore={folder}" for folder in MEASURED))
QUICK_TESTS = (
    *("-p", "no:cacheprovider"),
    "--ignore=tests/unit/exports",  # thousands of simulated schedules, the same on every Python
    *("tests/unit", "tests/api", "tests/cli/test_sync.py::test_every_stream_equals_the_data"),
)

nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.parallel = os.cpu_count()

# pyenv's commands start only the versions that are enabled.
if root := os.environ.get("PYENV_ROOT"):
    os.environ["PYENV_VERSION"] = ":".join(
        path.name for path in sorted(Path(root).glob("versions/3.*"))
    )


@nox.session(python=False)
def build(session: nox.Session) -> None:
    """Build the source distribution, and the wheel from it."""
    shutil.rmtree(DIST, ignore_errors=True)
    session.run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST))


@nox.session(python=[MAIN, *OTHERS], requires=["build"], allow_parallel=True)
def wheel(session: nox.Session) -> None:
    """Test the wheel."""
    (built,) = DIST.glob("*.whl")
    session.install("--upgrade", "pip>=25.1")  # the first that supports dependency groups
    if is_main := session.python == MAIN:
        session.install(f"{built}[parquet,s3]", "--group", "test", "--group", "loaders")
    else:
        session.install(f"{built}[parquet]", "--group", "test")
    # PYTHONPATH would come before the wheel.
    env = {"PYTHONPATH": None, "TAP_VOUCHERIFY_PURE": "1" if session.python == PURE else None}
    runs = [MEASURED_TESTS, OTHER_TESTS] if is_main else [QUICK_TESTS]
    for tests in [session.posargs] if session.posargs else runs:
        session.run("pytest", f"--package-below={session.virtualenv.location}", *tests, env=env)
