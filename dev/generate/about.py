"""What the tap reports with `--about`."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

from tap_voucherify.tap import TapVoucherify


@cache
def about() -> dict[str, Any]:
    """Return the output of `--about --format=json`."""
    command = (sys.executable, "-m", "tap_voucherify", "--about", "--format=json")
    report: dict[str, Any] = json.loads(subprocess.check_output(command))
    return report


def sdk_settings() -> set[str]:
    """Return the names of the settings that the SDK adds."""
    schema: dict[str, Any] = {"properties": {}}
    TapVoucherify.append_builtin_config(schema)
    return set(schema["properties"])


def settings(*, with_sdk: bool = False) -> dict[str, dict[str, Any]]:
    """Return the schema of each setting by name.

    Args:
        with_sdk: Whether to include those that the SDK adds.
    """
    excluded = set() if with_sdk else sdk_settings()
    declared = about()["settings"]["properties"]
    return {name: schema for name, schema in declared.items() if name not in excluded}


def json_type(schema: dict[str, Any]) -> str:
    """Return the type of a setting, ignoring null."""
    (name,) = set(schema["type"]) - {"null"}
    return str(name)
