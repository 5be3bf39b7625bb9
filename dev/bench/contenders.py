"""The contenders: the tap, taps on the same SDK, and other tools."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from dev import ROOT

from .processes import PYTHON, tap_command, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A separate environment: the SDK is slower to import where numpy is installed.
VENV = ROOT / ".venv-bench"
PACKAGES = [str(path) for path in VENV.glob("lib/*/site-packages")]
VERSIONS = {found.name: found.version for found in distributions(path=PACKAGES)}

LIMIT_MIB = 60


@dataclass(frozen=True, eq=False)
class Contender:
    """A process to measure.

    Attributes:
        title: Label of its row in the table.
        name: Its module in `rivals`; "compiled" or "pure" for the tap.
        suffix: Suffix of its files; records on standard output count as JSON lines.
        limits: Maximum CPU, as a share of that of others, by their names.
        limit_mib: Maximum memory.
    """

    title: str
    name: str
    suffix: str = "jsonl"
    limits: Mapping[str, float] = field(default_factory=dict)
    limit_mib: float | None = None

    def __str__(self) -> str:
        """Return its name in the benchmark's output."""
        return f"{self.title}, {self.suffix}"

    @property
    def missing(self) -> str:
        """Why it cannot run; empty if it can."""
        if self.name == "compiled":
            return "" if _is_compiled() else "not compiled"
        is_here = self.name.lower() in {"pure", "stock", "tuned", *VERSIONS}
        return "" if is_here else "not installed"

    def command(self, directory: Path, config: Mapping[str, Any], url: str) -> list[str]:
        """Return the command, which writes into a directory or to standard output.

        Args:
            directory: The directory.
            config: The sandbox's client settings, for contenders that export.
            url: The exported file, for all others.
        """
        if self.name in {"compiled", "pure"}:
            if self.suffix == "parquet":
                batches = {
                    "encoding": {"format": "parquet"},
                    "storage": {"root": directory.as_uri()},
                }
                config = {**config, "batch_config": batches}
            environment = ["env", "TAP_VOUCHERIFY_PURE=1"] if self.name == "pure" else []
            return [*environment, *tap_command(directory, config)]
        if self.name in {"stock", "tuned"}:
            settings = write_json(directory / "config.json", config)
            return [PYTHON, "-m", f"dev.bench.rivals.{self.name}", "--config", settings]
        return rival(self.name, url, str(directory / f"vouchers.{self.suffix}"))


def rival(name: str, *arguments: str) -> list[str]:
    """Return the command of a tool in the other environment."""
    python, module = VENV / "bin" / "python", name.lower().replace("-", "_")
    return [str(python), "-m", f"dev.bench.rivals.{module}", *arguments]


@cache
def _is_compiled() -> bool:
    """Return whether the tap reads files with compiled code, by its debug log."""
    version = subprocess.run(
        (PYTHON, "-m", "tap_voucherify", "--version"),
        env={**os.environ, "LOGLEVEL": "debug"},
        capture_output=True,
        check=True,
    )
    return b"with compiled code" in version.stderr


COMPILED, PURE = "**tap-voucherify**, compiled", "**tap-voucherify**, pure Python"
STOCK = Contender("stock singer-sdk stream (`csv.DictReader`, defaults)", "stock")

RECORDS = (
    Contender(
        COMPILED,
        "compiled",
        limits={"stock": 0.05, "polars": 0.6, "DuckDB": 0.6},
        limit_mib=LIMIT_MIB,
    ),
    Contender(PURE, "pure", limits={"stock": 0.17}),
    STOCK,
    Contender("the same, streamed, msgspec writer, no conformance", "tuned"),
    Contender("Airbyte CDK, declarative source", "airbyte-cdk"),
    Contender("dlt, pages of rows", "dlt"),
    Contender("pandas", "pandas"),
    Contender("polars, streaming, all cores", "polars"),
    Contender("DuckDB, all cores", "DuckDB"),
)
FILES = (
    Contender(COMPILED, "compiled", "parquet", limits={"stock": 0.09, "dlt": 1}),
    Contender(PURE, "pure", "parquet"),
    Contender("dlt, Arrow tables", "dlt", "parquet"),
    Contender("pandas", "pandas", "parquet"),
    Contender("polars, streaming, all cores", "polars", "parquet"),
    Contender("DuckDB, all cores", "DuckDB", "parquet"),
)
