"""Files of random content are read exactly, or rejected with the reader's own error."""

from __future__ import annotations

import random
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import fuzz_export_csv


def test_random_files_are_read_exactly_or_not_at_all() -> None:
    """The fuzz target holds for some files, the same ones each time."""
    randomness = random.Random(4)
    right = 0
    for number in count():
        right += fuzz_export_csv.test_one_input(fuzz_export_csv.random_input(randomness))
        if number == 1000:
            break

    assert right > 200


@given(st.binary(max_size=300))
@settings(derandomize=True, database=None, max_examples=200)
def test_random_bytes_are_no_file(content: bytes) -> None:
    """No bytes make the reader fail in another way than with its error."""
    assert fuzz_export_csv.test_one_input(content) >= 0
