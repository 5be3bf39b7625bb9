"""Loaders have the server's data after every random night."""

from __future__ import annotations

import pytest

from tests.support.nights import NIGHTS, play

# Thirty nights; `python -m tests.support.nights` plays any number.
PROJECTS = (1, 2, 3)


@pytest.mark.parametrize("seed", PROJECTS)
def test_nothing_is_lost_or_wrong(seed: int) -> None:
    """A loader has all data after ten nights of growth, faults, kills and changed settings."""
    figures, problem = play(seed)

    assert not problem, problem
    assert (figures["nights"], figures["failures"]) == (NIGHTS, 0)
    assert figures["runs"] >= NIGHTS
