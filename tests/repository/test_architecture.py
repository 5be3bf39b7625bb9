"""What modules of the package may do, beyond the layers that import-linter checks."""

from __future__ import annotations

import ast
from pathlib import Path

import tap_voucherify

PACKAGE = Path(tap_voucherify.__file__).parent
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in PACKAGE.rglob("*.py")
}


def test_clocks_are_passed_in() -> None:
    """No module but the clock sleeps, measures time or reads the current time."""
    calls = {
        (module, ast.unparse(node.func))
        for module, code in MODULES.items()
        for node in ast.walk(code)
        if isinstance(node, ast.Call)
    }
    clocks = {"time.sleep", "time.time", "time.monotonic", "time.perf_counter"}
    clocks |= {f"{module}datetime.{name}" for module in ("", "dt.") for name in ("now", "utcnow")}

    assert {module for module, call in calls if call in clocks} == {"clock.py"}


def test_nothing_is_opened_or_configured_at_import() -> None:
    """At import, a module executes only declarations."""
    effects = [
        (module, ast.unparse(node))
        for module, code in MODULES.items()
        if not module.endswith("__main__.py")
        for node in code.body
        if isinstance(node, (ast.Expr, ast.For, ast.While, ast.With, ast.Try))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]

    assert effects == []
