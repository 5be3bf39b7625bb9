"""Cells of Markdown tables."""

from __future__ import annotations


def limited(value: float, limit: float | None, digits: int) -> str:
    """Return a value with its limit in parentheses, in bold if it exceeds the limit."""
    shown = f"{value:.{digits}f}"
    if limit is None:
        return shown
    return f"{shown} ({limit:g})" if float(shown) <= limit else f"**{shown}** ({limit:g})"
