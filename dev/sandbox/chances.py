"""Random numbers that are reproducible from a name."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_Choice = TypeVar("_Choice")


class Chances:
    """A few random numbers, reproducible from a name.

    Seeding `random.Random` takes longer than generating a whole record.
    """

    def __init__(self, name: str) -> None:
        """Draw 512 random bits, which later draws consume."""
        self._coins = int.from_bytes(blake2b(name.encode()).digest(), "big")

    def below(self, limit: int) -> int:
        """Return a number from zero up to but not including a limit."""
        self._coins, drawn = divmod(self._coins, limit)
        return drawn

    def one_of(self, choices: Sequence[_Choice]) -> _Choice:
        """Return one of the choices."""
        return choices[self.below(len(choices))]

    def happens(self, percent: int) -> bool:
        """Return True with this probability."""
        return self.below(100) < percent
