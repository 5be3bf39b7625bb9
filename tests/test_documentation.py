"""What is written about the tap agrees with the tap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_voucherify.tap import TapVoucherify

ROOT = Path(__file__).parents[1]

# The SDK adds these to every tap, as soon as there is one; they are documented there.
OF_THE_SDK = {
    "batch_config",
    "faker_config",
    "flattening_enabled",
    "flattening_max_depth",
    "flattening_max_key_length",
    "flattening_separator",
    "stream_map_config",
    "stream_maps",
}
SETTINGS: dict[str, dict[str, Any]] = {
    name: schema
    for name, schema in TapVoucherify.config_jsonschema["properties"].items()
    if name not in OF_THE_SDK
}

# The kinds of meltano.yml for the types of JSON schemas.
KINDS = {
    "string": {"string", "options", "date_iso8601"},
    "number": {"integer", "decimal"},
    "integer": {"integer"},
    "boolean": {"boolean"},
    "object": {"object"},
    "array": {"array"},
}


@pytest.fixture(scope="module")
def in_meltano_yml() -> dict[str, dict[str, Any]]:
    """Return the settings as meltano.yml declares them, by name."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (tap,) = project["plugins"]["extractors"]
    return {setting["name"]: setting for setting in tap["settings"]}


# meltano.yml


def test_meltano_knows_every_setting_in_order(in_meltano_yml: dict[str, dict[str, Any]]) -> None:
    """Both lists name the same settings, in the same order."""
    assert list(in_meltano_yml) == list(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_meltano_describes_a_setting_as_the_tap_does(
    in_meltano_yml: dict[str, dict[str, Any]], name: str
) -> None:
    """Title, description, default, secrecy and type of a setting are the same in both."""
    schema, setting = SETTINGS[name], in_meltano_yml.get(name, {})

    assert setting.get("label") == schema["title"]
    assert setting.get("description") == schema["description"]
    assert setting.get("value") == schema.get("default")
    assert setting.get("sensitive", False) == schema.get("secret", False)
    (json_type,) = set(schema["type"]) - {"null"}
    assert setting.get("kind", "string") in KINDS[json_type]
    choices = [option["value"] for option in setting.get("options", [])]
    assert choices == [choice for choice in schema.get("enum", []) if choice is not None]


# README.md: its tables of settings and streams belong here.
