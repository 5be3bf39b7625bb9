"""The house is built as it is described: each room imports only from the rooms above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tap_voucherify

PACKAGE = Path(tap_voucherify.__file__).parent

# From top to bottom.
ROOMS = (
    "errors",
    "columns",
    "windows",
    "bookmark",
    "header",
    "conversions",
    "export_csv",
    "arrow_csv",
    "redaction",
    "clock",
    "credentials",
    "rate_limit",
    "bodies",
    "refusals",
    "client",
    "metadata_schemas",
    "adoption",
    "exports",
    "run_ahead",
    "interruption",
    "messages",
    "batches",
    "stream",
    "streams",
    "settings",
    "command",
    "tap",
    "__main__",
)


def parsed(room: str) -> ast.Module:
    """Return the code of a module."""
    return ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))


def imports(code: ast.Module) -> set[str]:
    """Return the modules that are imported when the code runs, so not those for types alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [code]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return found


def test_every_module_is_a_room() -> None:
    """A new module has to be given its place."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}

    assert modules == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_from_above(room: str) -> None:
    """A module imports none of those below it."""
    own = {name.removeprefix("tap_voucherify.").split(".")[0] for name in imports(parsed(room))}

    assert own & set(ROOMS[ROOMS.index(room) :]) == set()


def test_http_is_made_by_the_client() -> None:
    """Nobody else imports `requests`."""
    users = {room for room in ROOMS if "requests" in imports(parsed(room))}

    assert users == {"client"}


def test_clocks_are_handed_in() -> None:
    """No other module sleeps, measures time or asks what time it is by itself."""
    calls = {
        (room, ast.unparse(node.func))
        for room in ROOMS
        for node in ast.walk(parsed(room))
        if isinstance(node, ast.Call)
    }
    clocks = {"time.sleep", "time.time", "time.monotonic", "time.perf_counter"}
    clocks |= {f"{module}datetime.{name}" for module in ("", "dt.") for name in ("now", "utcnow")}

    assert {room for room, call in calls if call in clocks} == {"clock"}


def test_nothing_is_opened_or_configured_at_import() -> None:
    """Apart from declarations, a module does nothing when it is imported."""
    effects = [
        (room, ast.unparse(node))
        for room in ROOMS
        if room != "__main__"
        for node in parsed(room).body
        if isinstance(node, (ast.Expr, ast.For, ast.While, ast.With, ast.Try))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]

    assert effects == []
