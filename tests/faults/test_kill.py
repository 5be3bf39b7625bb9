"""A run killed at any moment leaves a state from which the next one resumes."""

from __future__ import annotations

import random
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from dev.sandbox import OBJECTS, Behaviour, Dataset, Sandbox
from tests.support.commands import Ending
from tests.support.expectations import expected_records, identity
from tests.support.runner import Json, Output, Tap, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 2_000
KILLS = 25
SETTINGS = {"start_date": "2025-03-01", "end_date": "2025-04-02", "window_days": 4}


@pytest.fixture(scope="module")
def busy() -> Iterator[Sandbox]:
    """Yield a sandbox whose customers take a while to read."""
    sizes = {**dict.fromkeys(OBJECTS, 0), "customer": ROWS}
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    behaviour = Behaviour(latency_seconds=0.01, date_skew_ms=500)
    with Sandbox(Dataset(seed=5, sizes=sizes, start=start), behaviour) as busy:
        yield busy


def killed_run(tap: Tap, catalog: Json, state: Json | None, ending: Ending) -> Output:
    """Kill a run after some seconds or bytes, and return the complete lines that it wrote."""
    tap.ending = ending
    run = tap.run(catalog=catalog, state=state, **SETTINGS)
    tap.ending = None
    assert run.exit_code in {-9, 0}
    return Output([line for line in run.lines if line.endswith("}")])


def play(tap: Tap, catalog: Json, seed: int) -> list[tuple[int, set[str]]]:
    """Kill one run after another; return the kills and the committed records of each series."""
    randomness = random.Random(seed)
    series: list[tuple[int, set[str]]] = []
    state: Json | None = None
    committed: set[str] = set()
    kills = total = length = 0
    while total < KILLS:
        if randomness.random() < 0.5:
            ending = Ending(signal.SIGKILL, after_seconds=randomness.uniform(0.02, 0.4))
        else:
            size = randomness.randrange(max(length, 400_000))
            ending = Ending(signal.SIGKILL, at_bytes=size)
        output = killed_run(tap, catalog, state, ending)
        length = max(length, sum(map(len, output.lines)))
        if output.states:
            output, state = output.until_state, output.state
            committed |= set(map(identity, output.records("customers")))
        bookmark = (state or {}).get("bookmarks", {}).get("customers", {})
        if bookmark.get("replication_key_value", "") >= str(SETTINGS["end_date"]):
            # Everything has been read, so the kill came too late; the next series starts over.
            series.append((kills, committed))
            kills, committed, state = 0, set(), None
        else:
            kills, total = kills + 1, total + 1
    last = tap.run(catalog=catalog, state=state, **SETTINGS)
    assert (last.exit_code, last.errors) == (0, [])
    return [*series, (kills, committed | set(map(identity, last.records("customers"))))]


def test_killed_runs_end_in_the_exact_data(busy: Sandbox, discovered: Json, tmp_path: Path) -> None:
    """However often runs are killed, the committed records are exactly the data in the end."""
    catalog = select(discovered, ["customers"])
    expected = set(map(identity, expected_records(busy, "customers")))
    seeds = (1, 2)

    with ThreadPoolExecutor(len(seeds)) as pool:
        directories = [tmp_path / str(seed) for seed in seeds]
        for directory in directories:
            directory.mkdir()
        taps = [Tap(directory, busy.config) for directory in directories]
        all_series = [
            series
            for played in pool.map(play, taps, [catalog] * len(seeds), seeds)
            for series in played
        ]

    assert sum(kills for kills, _ in all_series) == KILLS * len(seeds)
    for _, committed in all_series:
        assert committed == expected


def test_a_killed_run_leaves_no_file(
    busy: Sandbox, discovered: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even SIGKILL leaves no data in the folder for temporary files."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    tap = Tap(tmp_path, busy.config)
    with tap.start(catalog=select(discovered, ["customers"])) as process:
        assert process.stdout is not None
        while b'"RECORD"' not in process.stdout.readline():
            pass
        present = list(directory.iterdir())
        process.kill()

    assert present == []
    assert list(directory.iterdir()) == []
