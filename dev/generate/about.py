"""What the tap says about itself."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

from tap_voucherify.tap import TapVoucherify


@cache
def about() -> dict[str, Any]:
    """Return what `--about --format=json` tells."""
    command = (sys.executable, "-m", "tap_voucherify", "--about", "--format=json")
    told: dict[str, Any] = json.loads(subprocess.check_output(command))
    return told


def sdk_settings() -> set[str]:
    """Return the names of the settings that the SDK adds to those of the tap."""
    schema: dict[str, Any] = {"properties": {}}
    TapVoucherify.append_builtin_config(schema)
    return set(schema["properties"])


def settings(*, with_sdk: bool = False) -> dict[str, dict[str, Any]]:
    """Return the schema of each setting, by its name.

    Args:
        with_sdk: Whether those that the SDK adds are among them.
    """
    left_out = set() if with_sdk else sdk_settings()
    declared = about()["settings"]["properties"]
    return {name: schema for name, schema in declared.items() if name not in left_out}


def json_type(schema: dict[str, Any]) -> str:
    """Return the one type that a setting has, apart from null."""
    (name,) = set(schema["type"]) - {"null"}
    return str(name)
