"""The private parts of singer-sdk that the package uses are few, named, and unchanged."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.configuration import _dict_config
from singer_sdk.plugin_base import PluginBase

import tap_voucherify
from tap_voucherify import singer
from tap_voucherify.streams import STREAMS
from tap_voucherify.tap import TapVoucherify

NAMED = set(re.findall(r"(?m)^- `(?:\w+\.)*(\w+)`", inspect.getdoc(singer) or ""))

SIGNATURES: dict[str, tuple[Any, str]] = {
    "_sync_records": (
        vars(Stream)["_sync_records"],
        (
            "(self, context: 'types.Context | None' = None, *, "
            "write_messages: 'bool' = True) -> 't.Generator[dict, t.Any, t.Any]'"
        ),
    ),
    "_check_max_record_limit": (
        vars(Stream)["_check_max_record_limit"],
        "(self, current_record_index: 'int') -> 'None'",
    ),
    "_setup_signal_handlers": (vars(PluginBase)["_setup_signal_handlers"], "(self) -> 'None'"),
    "parse_environment_config": (
        _dict_config.parse_environment_config,
        (
            "(config_schema: 'dict[str, t.Any]', prefix: 'str', "
            "dotenv_path: 'StrPath | None' = None) -> 'dict[str, t.Any]'"
        ),
    ),
}


def used() -> set[str]:
    """Return the private names of the SDK's classes and modules that the package mentions."""
    private = {
        name for owner in (Stream, Tap) for name in dir(owner) if re.match(r"_[a-z]", name)
    } | {"_tap"}
    found = set()
    for path in Path(tap_voucherify.__file__).parent.rglob("*.py"):
        code = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            node.attr
            for node in ast.walk(code)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        for node in ast.walk(code):
            if isinstance(node, ast.Attribute):
                found |= {node.attr} - own
            elif isinstance(node, ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.ImportFrom) and "singer_sdk" in (node.module or ""):
                is_private = re.search(r"\._", node.module or "")
                found |= {alias.name for alias in node.names if is_private}
    return found & (private | {"parse_environment_config"})


def test_all_are_named() -> None:
    """`singer/__init__.py` names each private part in use, and no other."""
    assert used() == NAMED


def test_they_are_few() -> None:
    """At most five."""
    assert len(NAMED) <= 5


@pytest.mark.parametrize("name", SIGNATURES)
def test_functions_have_not_changed(name: str) -> None:
    """A new signature means an SDK that the package was not written for."""
    function, signature = SIGNATURES[name]

    assert name in NAMED
    assert str(inspect.signature(function)) == signature


def test_a_stream_knows_its_tap() -> None:
    """`_tap` is an attribute of every stream."""
    tap = TapVoucherify(config={"app_id": "id", "app_token": "token"})

    assert vars(STREAMS[0](tap, tap.session))["_tap"] is tap
    assert set(SIGNATURES) | {"_tap"} == NAMED
