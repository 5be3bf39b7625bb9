"""A run that is killed, at whatever moment, leaves a state that the next one can trust."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from .expectations import expected_records, identity
from .runs import Json, Output, Tap, select
from .sandbox import OBJECTS, Behaviour, Dataset, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 4_000
KILLS = 25

# By these moments a run has not yet started, or is reading its exports.
SECONDS = (0.2, 1.2)


@pytest.fixture(scope="module")
def busy() -> Iterator[Sandbox]:
    """Return a Voucherify whose customers take a while to read."""
    sizes = {**dict.fromkeys(OBJECTS, 0), "customer": ROWS}
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    behaviour = Behaviour(latency_seconds=0.01, date_skew_ms=500)
    with Sandbox(Dataset(seed=5, sizes=sizes, start=start), behaviour) as busy:
        yield busy


def killed_run(tap: Tap, catalog: Json, state: Json | None, randomness: random.Random) -> Output:
    """Kill a run at a random moment and return all it has written, in whole lines."""
    by_time = randomness.random() < 0.5
    lines: list[str] = []
    last = randomness.randrange(ROWS)
    settings = {"start_date": "2025-03-01", "end_date": "2025-04-02", "window_days": 4}
    with tap.start(catalog=catalog, state=state, **settings) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # Else a log that nobody reads would hold the run up.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        timer = threading.Timer(randomness.uniform(*SECONDS), process.kill)
        if by_time:
            timer.start()
        for line in process.stdout:
            if line.endswith(b"\n"):
                lines.append(line.decode().rstrip("\n"))
            if not by_time and len(lines) > last:
                process.kill()
        timer.cancel()
    return Output(lines)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(1, 2)])
def test_killed_runs_end_in_the_exact_data(
    busy: Sandbox, discovered: Json, tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    """However often runs are killed, what was committed in the end is the data, nothing else."""
    catalog = select(discovered, ["customers"])
    expected = set(map(identity, expected_records(busy, "customers")))

    def play(seed: int) -> list[tuple[int, set[str]]]:
        """Return what was committed by each series of runs, and how many kills it saw."""
        directory = tmp_path / str(seed)
        directory.mkdir()
        tap, randomness = Tap(directory, busy.config), random.Random(seed)
        series: list[tuple[int, set[str]]] = []
        state: Json | None = None
        kills, committed = 0, set[str]()
        for _ in range(KILLS):
            output = killed_run(tap, catalog, state, randomness)
            kills += 1
            if not output.states:
                continue
            output, state = output.until_state, output.state
            committed |= set(map(identity, output.records("customers")))
            if state["bookmarks"]["customers"].get("replication_key_value", "") >= "2025-04-02":
                # The kill came too late; the next series begins anew.
                series.append((kills, committed))
                kills, committed, state = 0, set(), None
        last = tap(catalog=catalog, state=state)
        assert last.exit_code == 0
        return [*series, (kills, committed | set(map(identity, last.records("customers"))))]

    with ThreadPoolExecutor(len(seeds)) as pool:
        for series in pool.map(play, seeds):
            assert sum(kills for kills, _ in series) == KILLS
            for _, committed in series:
                assert committed == expected


@pytest.mark.slow
def test_a_killed_run_leaves_no_file(
    busy: Sandbox, discovered: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even kill -9 leaves customers' data in a folder for temporary files."""
    catalog = select(discovered, ["customers"])
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    tap = Tap(tmp_path, busy.config)
    with tap.start(catalog=catalog) as process:
        assert process.stdout is not None
        while b'"RECORD"' not in process.stdout.readline():
            pass
        present = list(directory.iterdir())
        process.kill()

    assert present == []
    assert list(directory.iterdir()) == []
