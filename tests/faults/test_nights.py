"""However a night goes, loaders have the server's data after it."""

from __future__ import annotations

import pytest

from tests.support.nights import NIGHTS, play

# Thirty nights; `python -m tests.support.nights` plays any number.
PROJECTS = (1, 2, 3)


@pytest.mark.parametrize("seed", PROJECTS)
def test_nothing_is_lost_or_wrong(seed: int) -> None:
    """A project grows, behaves oddly and fails at random; runs are killed; settings change."""
    figures, problem = play(seed)

    assert not problem, problem
    assert (figures["nights"], figures["failures"]) == (NIGHTS, 0)
    assert figures["runs"] >= NIGHTS
