"""The tap's definition for Meltano: in this project's `meltano.yml`, and for Meltano Hub."""

from __future__ import annotations

from typing import Any

import yaml

from dev.generate.about import about, json_type, settings
from tap_voucherify.tap import TapVoucherify

# The two ways to authenticate.
VALID_GROUPS = [["app_id", "app_token"], ["access_token"]]

# Meltano's kinds of settings, by the type and the format of their schemas.
KINDS = {
    "string": "string",
    "date-time": "date_iso8601",
    # Meltano 4 fails on a decimal from the environment, and on a fraction where an integer is
    # declared. The tap also reads numbers from text.
    "number": "string",
    "integer": "integer",
    "boolean": "boolean",
    "object": "object",
}

# Meltano Hub, which generates definitions from `--about`, declares numbers as integers.
HUB_KINDS = {**KINDS, "number": "integer"}

OPTION_LABELS = {"eu": "Europe", "us": "United States", "as": "Asia"}

WIDTH = 120


def hub_definition() -> str:
    """Return the definition for Meltano Hub, and for `meltano add --from-ref`."""
    definition = {
        "name": about()["name"],
        "variant": "original",
        "label": "Voucherify",
        "description": about()["description"],
        "namespace": about()["name"].replace("-", "_"),
        "executable": about()["name"],
        **_interface(settings(with_sdk=True), HUB_KINDS),
    }
    return "# Generated from the tap by `python -m dev.generate`.\n" + _yaml(definition)


def project_settings() -> str:
    """Return the tap's capabilities, settings and selection for meltano.yml."""
    lines = _yaml(_interface(settings(), KINDS)).splitlines(keepends=True)
    return "".join(f"    {line}" for line in lines)


def _deselected() -> list[str]:
    """Return the streams that the tap does not select by default; Meltano selects them all."""
    streams = TapVoucherify.stream_classes
    return [vars(stream)["name"] for stream in streams if not stream.selected_by_default]


def _interface(declared: dict[str, dict[str, Any]], kinds: dict[str, str]) -> dict[str, Any]:
    return {
        "capabilities": sorted(about()["capabilities"]),
        "settings_group_validation": VALID_GROUPS,
        "settings": [_setting(name, schema, kinds) for name, schema in declared.items()],
        "select": ["*.*", *(f"!{name}.*" for name in _deselected())],
    }


def _setting(name: str, schema: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    setting = {
        "name": name,
        "label": schema["title"],
        "kind": kinds[schema.get("format") or json_type(schema)],
    }
    if choices := schema.get("enum"):
        setting["kind"] = "options"
        setting["options"] = [
            {"label": OPTION_LABELS[choice], "value": choice} for choice in choices
        ]
    if "default" in schema:
        setting["value"] = schema["default"]
    if schema.get("secret"):
        setting["sensitive"] = True
    return setting | {"description": schema["description"]}


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=WIDTH))
