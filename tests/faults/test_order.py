"""Wherever a run is killed, it and the next one have all rows: no STATE is right by luck only.

Files are in any order, in one part or several, and read with any lookback. A killed run writes the
beginning of its complete output, up to some byte; so each case runs once, to its end, and its
output is cut before, at and after each STATE.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import OBJECTS, Behaviour, Dataset, Sandbox
from tests.support.runner import Json, Output, Tap, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2025, 3, 1, tzinfo=timezone.utc)
# Half of the rows are created in bulk within the last minute of a week.
BULK = START + timedelta(days=7)
ROWS = 550
ROWS_PER_STATE = 250

ORDERS = ("ascending", "descending", "shuffled", "nearly_sorted", "equal_times")
DAY = 86_400
BOUNDS = {"start_date": "2025-02-01", "end_date": "2025-03-15"}


@pytest.fixture(scope="module", params=ORDERS)
def ordered(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Yield a sandbox that exports many new rows, created in bulk, in some order."""
    order = request.param
    dataset = Dataset(seed=6, sizes=dict.fromkeys(OBJECTS, 0), start=START)
    for number in range(ROWS):
        age = timedelta(minutes=number * 30) if number % 2 else timedelta(milliseconds=number * 100)
        dataset.add("customer", BULK if order == "equal_times" else BULK - age)
    with Sandbox(dataset) as ordered:
        ordered.behaviour = behaviour(order)
        yield ordered


def behaviour(order: str, files: int = 1) -> Behaviour:
    """Return a behaviour that exports rows in an order, in this many files."""
    row_order: Any = "requested" if order == "equal_times" else order
    return Behaviour(row_order=row_order, files=files, part_links="path", date_skew_ms=500)


def cuts(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines that are read before, at and after each STATE."""
    for number, line in enumerate(lines):
        if line.startswith('{"type":"STATE"'):
            yield lines[:number]
            yield [*lines[:number], line[: len(line) // 2]]
            yield lines[: number + 1]
            yield lines[: number + 2]


def committed(lines: list[str]) -> tuple[Json | None, frozenset[str]]:
    """Return the last whole STATE and the records that a loader commits with it."""
    ends = [n for n, line in enumerate(lines) if is_state(line)]
    if not ends:
        return None, frozenset()
    output = Output(lines[: ends[-1] + 1])
    return output.state, ids(output)


def ids(output: Output) -> frozenset[str]:
    """Return the IDs of the emitted customers."""
    return frozenset(record["id"] for record in output.records("customers"))


def is_state(line: str) -> bool:
    """Whether a line is a complete STATE message."""
    try:
        return bool(json.loads(line)["type"] == "STATE")
    except ValueError:
        return False


@pytest.mark.parametrize(("files", "settings"), [(1, {}), (3, BOUNDS)])
@pytest.mark.parametrize("lookback", [0, 60, 7 * DAY])
def test_a_killed_run_and_the_next_have_all_rows(  # noqa: PLR0913 - combinations
    *,
    ordered: Sandbox,
    discovered: Json,
    tmp_path: Path,
    files: int,
    lookback: int,
    settings: Json,
) -> None:
    """Whatever STATE a run has reached, its committed records and the next run's are all rows."""
    ordered.behaviour.files = files
    (entry,) = (e for e in discovered["streams"] if e["tap_stream_id"] == "customers")
    dropped = set(entry["schema"]["properties"]) - {"id", "created_at"}
    catalog = select(discovered, ["customers"], {"customers": dropped})
    expected = {row.cells["id"] for row in ordered.rows("customer")}
    tap = Tap(tmp_path, {**ordered.config, "lookback_seconds": lookback, **settings}, speed=100)
    tap.records_per_state = ROWS_PER_STATE
    whole = tap.run(catalog=catalog)
    assert (whole.exit_code, whole.errors) == (0, [])
    assert ids(whole) == expected

    # Cuts with equal results need one run.
    kept = {repr(state): (state, records) for state, records in map(committed, cuts(whole.lines))}

    assert len(kept) >= 2
    for state, records in kept.values():
        resumed = tap.run(catalog=catalog, state=state)
        assert (resumed.exit_code, resumed.errors) == (0, [])
        assert records | ids(resumed) == expected
