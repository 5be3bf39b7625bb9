"""Simulate nightly runs under random faults, and check that a loader keeps the server's data.

A project grows while its exports run. Every night the service behaves differently, requests hit
faults, the run is killed or signalled, and settings and selection change. A loader keeps what
precedes the last STATE it has seen, and upserts it by key. After each night it must have every row,
with its current values, or with earlier ones if the settings do not track updates.

A project lasts ten nights and is determined by its seed. `python -m tests.support.nights --seed 7
--nights 1000` plays projects 7, 8, 9 and so on; a failure shows the seed of its project. The same
seed makes the same decisions, but the moments of growth and of signals vary by milliseconds.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from dev.sandbox import OBJECTS as EXPORTED
from dev.sandbox import Action, Behaviour, Dataset, Fault, Sandbox
from tap_voucherify.exports.workers import MAX_FAILURES_PER_STREAM
from tests.support.commands import Ending
from tests.support.disturbances import FATAL_BEHAVIOURS, fatal_fault, random_behaviour, survivable
from tests.support.expectations import (
    INCREMENTAL,
    KEYS,
    OBJECTS,
    expected_record,
)
from tests.support.runner import Json, Run, Tap, select, split_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dev.sandbox import Row
    from dev.sandbox.faults import Kind
    from dev.sandbox.wire import RawResponse, Response

NIGHTS = 10

SPEED = 100
ROWS_PER_STATE = 250
# Real seconds, in addition to the export timeouts that the settings allow.
HANG_SECONDS = 60

UPDATED = ("vouchers", "customers", "orders")
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

# Rounded times and the order of rows within a millisecond may shift a row by this much.
_MARGIN = timedelta(seconds=1)

_MOMENTS: tuple[Kind, ...] = ("create", "poll", "list", "download")

_END_CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {-15, 143}, signal.SIGPIPE: {1}}


class NightError(AssertionError):
    """A night went wrong."""


@dataclass
class Kept:
    """A loaded record.

    Attributes:
        record: Its latest properties.
        left_out: Properties that the service did not export.
        version: The version of the table.
    """

    record: Json
    left_out: frozenset[str]
    version: int | None


@dataclass
class Loader:
    """A loader that upserts by key and commits at each STATE.

    Attributes:
        tables: The records of each stream, by key.
        state: The last STATE.
        records: The number of records received.
    """

    tables: dict[str, dict[str, Kept]] = field(default_factory=dict)
    state: Json | None = None
    records: int = 0

    def load(
        self, lines: list[str], left_out: dict[str, frozenset[str]], *, is_whole: bool
    ) -> None:
        """Load messages.

        Args:
            lines: The messages.
            left_out: The properties of each stream that the service does not export.
            is_whole: Whether to keep all messages, not only those up to the last STATE.
        """
        messages = [read(line) for line in lines]
        last = max((n for n, m in enumerate(messages) if m["type"] == "STATE"), default=-1)
        if is_whole:
            last = len(messages)
        keys: dict[str, list[str]] = {}
        names: dict[str, set[str]] = {}
        for number, message in enumerate(messages):
            stream = message.get("stream", "")
            if message["type"] == "SCHEMA":
                keys[stream] = message["key_properties"]
                names[stream] = set(message["schema"]["properties"])
            elif message["type"] == "STATE" and number <= last:
                self.state = message["value"]
            elif message["type"] == "ACTIVATE_VERSION" and number <= last:
                table = self.tables.get(stream, {})
                for key in [k for k, kept in table.items() if kept.version != message["version"]]:
                    del table[key]
            for record in records_of(message):
                self.records += 1
                omitted = left_out.get(stream, frozenset())
                if not names[stream] - omitted <= set(record) <= names[stream]:
                    raise NightError(f"{stream}: {set(record) ^ names[stream]} in {record}")
                if number <= last:
                    kept = Kept(record, omitted, message.get("version"))
                    key = json.dumps([record[name] for name in keys[stream]])
                    self.tables.setdefault(stream, {})[key] = kept


def read(line: str) -> Json:
    """Parse JSON with numbers that compare by value."""
    message: Json = json.loads(line, parse_float=Decimal, parse_int=Decimal)
    return message


def records_of(message: Json) -> Iterator[Json]:
    """Yield the records of a RECORD or a BATCH message."""
    if message["type"] == "RECORD":
        yield message["record"]
    for url in message.get("manifest", ()):
        path = Path(urlparse(url).path)
        yield from map(read, split_lines(gzip.decompress(path.read_bytes()).decode()))


def plain(value: Any) -> Any:
    """Return an expected value with numbers that compare by value."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return Decimal(value) if isinstance(value, Decimal) else value


def emitted(stream: str, row: Row) -> Json:
    """Return a row's record, with `modified_at` if its object can be updated."""
    record: Json = plain(expected_record(stream, row))
    if stream in UPDATED:
        record["modified_at"] = record["updated_at"] or record["created_at"]
    return record


def key_of(stream: str, record: Json) -> str:
    """Return the key of a record."""
    return json.dumps([record[name] for name in KEYS[stream]])


def is_of(kept: Kept, versions: Collection[Json]) -> bool:
    """Whether a record has the values of one of its row's versions."""
    return any(
        all(
            value == version[name] or (value is None and name in kept.left_out)
            for name, value in kept.record.items()
        )
        for version in versions
    )


def differences(behaviour: Behaviour) -> Json:
    """Return the switches that differ from their defaults."""
    usual = vars(Behaviour())
    return {name: value for name, value in vars(behaviour).items() if value != usual[name]}


@dataclass
class Moment(Action):
    """Makes the project grow when a request arrives."""

    project: Project

    def instead(self) -> Response | RawResponse | None:
        """Grow, and respond as usual."""
        self.project.grow()
        return None


class Project:
    """A growing project, and a loader that must keep all of its data.

    Attributes:
        figures: Counts of what has happened so far.
    """

    def __init__(self, seed: int, catalog: Json, directory: Path) -> None:
        """Decide what stays the same every night.

        Args:
            seed: Determines every decision.
            catalog: The discovered catalog.
            directory: For the files of the tap.
        """
        self.figures: Counter[str] = Counter()
        self._seed = seed
        self._random = random.Random(seed)
        self._growth = random.Random(f"growth of {seed}")
        self._catalog = catalog
        self._directory = directory
        choice = self._random.choice
        self._lateness = timedelta(seconds=choice([0, 60, 3600, 7 * 86400]))
        self._start = datetime(2025, 3, 1, tzinfo=timezone.utc)
        days = choice([0.0, 0.2, 2, 6])
        self._epoch = (self._start + timedelta(days=days)).timestamp() - time.monotonic() * SPEED
        self._tap_is_ahead = choice([0, 0, 0, -120, 120, 86400])
        self._skew_ms = choice([0, 0, 500])
        self._exports_undefined = choice([True, False])
        self._streams = sorted(self._random.sample(sorted(OBJECTS), choice([2, 3, 4, 5])))
        large = choice(self._streams)
        sizes = {OBJECTS[stream]: self._random.randrange(3, 60) for stream in self._streams}
        sizes[OBJECTS[large]] = self._random.randrange(300, 1500)
        self._dataset = Dataset(
            seed,
            {**dict.fromkeys(EXPORTED, 0), **sizes},
            start=self._start,
            days=days,
            now=self._now(),
        )
        self._loader = Loader()
        self._versions: dict[str, dict[str, list[Json]]] = {stream: {} for stream in self._streams}
        self._known: dict[tuple[str, int, int | None], tuple[str, Json]] = {}
        self._changed: set[tuple[str, str]] = set()

    def play(self, nights: int = NIGHTS) -> None:
        """Play some nights.

        Raises:
            NightError: If data is lost or wrong, or a run ends as it must not.
        """
        with Sandbox(self._dataset, clock=lambda: self._now().timestamp()) as sandbox:
            self._sandbox = sandbox
            self._tap = Tap(self._directory, sandbox.config, speed=SPEED)
            self._tap.records_per_state = ROWS_PER_STATE
            for number in range(nights):
                self._random = random.Random(f"night {number} of {self._seed}")
                try:
                    self._night(is_last=number == NIGHTS - 1)
                except Exception as error:
                    self.figures["failures"] += 1
                    raise NightError(
                        f"project {self._seed}, night {number + 1}: {error}\n"
                        f"  {self._plan}\n"
                        f"To repeat it: python -m tests.support.nights --seed {self._seed} "
                        f"--nights {number + 1}"
                    ) from error
                self.figures["nights"] += 1
            self.figures["exports"] += len(sandbox.exports)
            self.figures["records"] += self._loader.records
            self.figures["requests"] += len(sandbox.requests)

    def grow(self) -> None:
        """Create and update a few rows now, some of them backdated."""
        self._create(self._now(), self._growth.randrange(1, 5))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._epoch + time.monotonic() * SPEED, timezone.utc)

    def _create(self, now: datetime, count: int, since: datetime | None = None) -> None:
        """Create and update rows.

        Args:
            now: The latest time of creation or update.
            count: The greatest random number of new rows per stream.
            since: The earliest time of creation; by default only late rows are older than `now`.
        """
        growth = self._growth
        for stream in self._streams:
            name, latest = OBJECTS[stream], timedelta(0)
            if self._lateness > 2 * _MARGIN:
                latest = self._lateness - 2 * _MARGIN
            for _ in range(growth.randrange(count + 1)):
                created = now - growth.random() * latest * growth.choice([0, 0, 0.001, 1])
                if since:
                    created = since + growth.random() * (now - since)
                created = max(created, self._start)
                updated = None
                if stream in UPDATED and growth.random() < 0.3:
                    updated = now
                self._dataset.add(name, created, updated=updated)
            if stream in UPDATED and growth.random() < 0.6:
                # Updates follow the newest row within a second, so one is added now.
                self._dataset.add(name, now)
                size = len(self._present(stream))
                for row in self._dataset.touch(name, growth.randrange(min(size, 5)) + 1, now=now):
                    # A new row may already be known with the same time.
                    self._known.pop(self._version(stream, row), None)
        self._note_versions()

    def _note_versions(self) -> None:
        """Note the current version of every row, and which rows have changed."""
        for stream in self._streams:
            self._present(stream)

    def _present(self, stream: str) -> dict[str, list[Json]]:
        """Return the current records of all rows by key, and note new versions."""
        present: dict[str, list[Json]] = {}
        for row in self._sandbox.rows(OBJECTS[stream]):
            version = self._version(stream, row)
            if version not in self._known:
                record = emitted(stream, row)
                self._known[version] = key_of(stream, record), record
                key = self._known[version][0]
                self._versions[stream].setdefault(key, []).append(record)
                self._changed.add((stream, key))
            key, record = self._known[version]
            present.setdefault(key, []).append(record)
        return present

    def _version(self, stream: str, row: Row) -> tuple[str, int, int | None]:
        """Return what identifies a version of a row; its cells are slow to generate."""
        return stream, row._number, row.updated_ms  # noqa: SLF001 - see above

    def _night(self, *, is_last: bool) -> None:
        choice = self._random.choice
        behaviour = random_behaviour(self._random)
        behaviour.date_skew_ms = self._skew_ms
        behaviour.exports_undefined_metadata = self._exports_undefined
        self._sandbox.behaviour = behaviour
        before = self._now()
        if self._versions[self._streams[0]]:
            self._epoch += choice([3600, 20 * 3600, 86400, 3 * 86400])
            self._create(self._now(), choice([0, 3, 12]), before)
        self._note_versions()
        selected = self._streams
        if not is_last:
            selected = self._random.sample(selected, self._random.randrange(1, len(selected) + 1))
        catalog = select(self._catalog, selected, self._deselected(selected))
        settings = self._settings()
        exports = MAX_FAILURES_PER_STREAM * len(selected)
        timeouts = exports * settings["export_timeout_seconds"] / SPEED
        self._tap.kill_after_seconds = HANG_SECONDS + timeouts
        self._plan: Json = {
            "selected": selected,
            "settings": settings,
            "behaviour": differences(behaviour),
        }
        self._changed.clear()
        present = {stream: self._present(stream) for stream in selected}
        runs = [self._random.randrange(1 << 30) for _ in range(choice([1, 1, 2, 3]))]
        for number, seed in enumerate(runs, 1):
            # Decisions must not depend on when a signal arrived.
            self._random = random.Random(seed)
            attempt_plan: Json = {}
            self._plan[f"run {number}"] = attempt_plan
            is_lenient = self._random.random() < 0.3
            self._disturb(attempt_plan, settings, is_lenient=is_lenient)
            is_complete = self._run(catalog, settings, is_lenient=is_lenient)
            self._sandbox.behaviour = behaviour
            if is_complete:
                break
        else:
            self._sandbox.faults.clear()
            self._tap.ending = None
            self._changed.clear()
            present = {stream: self._present(stream) for stream in selected}
            self._plan["last run"] = {}
            if not self._run(catalog, {**settings, "resume_exports": False}, is_lenient=False):
                raise NightError("the last run is not complete")
        self._compare(present, settings)

    def _deselected(self, selected: Collection[str]) -> dict[str, list[str]]:
        """Return the properties to deselect tonight."""
        deselected: dict[str, list[str]] = {}
        for entry in self._catalog["streams"]:
            name = entry["tap_stream_id"]
            if name in selected and self._random.random() < 0.3:
                kept = {*KEYS[name], "created_at", "updated_at"}
                names = sorted(set(entry["schema"]["properties"]) - kept)
                deselected[name] = self._random.sample(names, self._random.randrange(len(names)))
        return deselected

    def _settings(self) -> Json:
        choice = self._random.choice
        settings: Json = {
            "lookback_seconds": choice(
                [s for s in (0, 60, 3600, 7 * 86400) if s >= self._lateness.total_seconds()]
            ),
            "track_updates": choice([False, True, True]),
            "max_concurrent_exports": choice([1, 2, 3, 8]),
            "export_timeout_seconds": choice([1800, 3600]),
            "delete_exports": choice([False, True]),
            "resume_exports": choice([False, True]),
            "use_oauth": choice([False, False, True]),
            "emit_activate_version_messages": choice([False, True]),
            "rate_limit_reserve_percent": choice([0, 10, 50]),
        }
        if choice([False, True]):
            settings["start_date"] = (self._start - DAY).isoformat()
            if choice([False, True, True]):
                settings["window_days"] = choice([1, 2, 7, 30])
        if choice([False, False, False, True]):
            settings["batch_config"] = {
                "encoding": {"format": "jsonl", "compression": "gzip"},
                "storage": {"root": self._directory.as_uri(), "prefix": ""},
                "batch_size": choice([7, 100, 10_000]),
            }
        return settings

    def _disturb(self, plan: Json, settings: Json, *, is_lenient: bool) -> None:
        """Add faults, moments of growth and an ending to the next run."""
        randomness, faults = self._random, self._sandbox.faults
        faults.clear()
        for _ in range(randomness.randrange(4)):
            on: Kind = randomness.choice(_MOMENTS)
            faults.add(Fault(on=on, action=Moment(self), nth=randomness.randrange(1, 8)))
        added = [survivable(randomness, settings) for _ in range(randomness.choice([0, 1, 2, 4]))]
        if is_lenient and randomness.random() < 0.6:
            added.append(fatal_fault(randomness))
        elif is_lenient:
            name, value = randomness.choice(FATAL_BEHAVIOURS)
            self._sandbox.behaviour = replace(self._sandbox.behaviour, **{name: value})
            plan["behaviour"] = {name: value}
        faults.add(*added)
        self._tap.ending = None
        if randomness.random() < 0.45:
            at: Json = {"after_seconds": randomness.uniform(0.05, 1.5)}
            number = randomness.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGPIPE])
            if number == signal.SIGPIPE or randomness.random() < 0.5:
                at = {"at_bytes": int(10 ** randomness.uniform(2, 6))}
            self._tap.ending = Ending(number, **at)
        plan |= {"faults": added, "ending": self._tap.ending}

    def _run(self, catalog: Json, settings: Json, *, is_lenient: bool) -> bool:
        """Run the tap, check how it ends, load its output, and return whether it is complete."""
        ending = self._tap.ending
        self._tap.epoch = self._epoch + self._tap_is_ahead
        run = self._tap.run(catalog=catalog, state=self._loader.state, **settings)
        self.figures["runs"] += 1
        self.figures[f"exit code {run.exit_code}"] += 1
        allowed = {0} | ({1} if is_lenient else set())
        if ending:
            allowed |= _END_CODES[signal.Signals(ending.signal_number)]
            self.figures["kills and signals"] += run.exit_code != 0
        if "Traceback" in run.stderr:
            raise NightError(f"a traceback:\n{run.stderr}")
        if run.exit_code not in allowed:
            raise NightError(f"exit code {run.exit_code}:\n{run.stderr}")
        if bool(run.errors) != (run.exit_code == 1) and not (is_lenient or run.exit_code < 0):
            raise NightError(f"exit code {run.exit_code}, but errors {run.errors}")
        for secret in self._sandbox.secrets:
            if secret in run.stderr:
                raise NightError(f"a secret in the log:\n{run.stderr}")
        lines = run.lines
        if ending and lines and not _is_json(lines[-1]):
            lines = lines[:-1]
        # Loaders commit what they have at the end of their input, unless they end first.
        is_gone = ending is not None and ending.closes_pipe and _size(run) >= ending.at_bytes
        self._loader.load(
            lines,
            self._left_out(self._sandbox.behaviour),
            is_whole=not is_gone and run.exit_code in {0, 1, 143},
        )
        return run.exit_code == 0 and not is_gone

    def _left_out(self, behaviour: Behaviour) -> dict[str, frozenset[str]]:
        """Return the properties that the service does not export."""
        left_out = {}
        for stream in self._streams:
            name = OBJECTS[stream]
            omitted = {column for exported, column in behaviour.omitted_columns if exported == name}
            rejected = set(behaviour.rejected_fields.get(name, ()))
            if not behaviour.undocumented_fields:
                rejected |= set(EXPORTED[name].undocumented_fields)
            left_out[stream] = frozenset(rejected | omitted)
        return left_out

    def _compare(self, present: dict[str, dict[str, list[Json]]], settings: Json) -> None:
        """Compare the loaded records with the rows that existed when the night began."""
        problems = []
        self._note_versions()
        for stream, rows in present.items():
            table = self._loader.tables.get(stream, {})
            is_current = stream not in INCREMENTAL or (
                settings["track_updates"] and stream in UPDATED
            )
            for key, records in rows.items():
                kept = table.get(key)
                is_same = is_current and (stream, key) not in self._changed
                versions = records if is_same else self._versions[stream][key]
                if kept is None:
                    self.figures["missing"] += 1
                    problems.append(f"{stream} {key} is missing: {records[0]}")
                elif not is_of(kept, versions):
                    self.figures["wrong"] += 1
                    problems.append(f"{stream} {key} is {kept.record}\n    not {versions[-1]}")
        for stream in self._streams:
            for key, kept in self._loader.tables.get(stream, {}).items():
                if not is_of(kept, self._versions[stream].get(key, ())):
                    problems.append(f"{stream} {key} was never {kept.record}")
        if problems:
            raise NightError(f"{len(problems)} problems, such as {problems[0]}")


def _size(run: Run) -> int:
    return sum(len(line.encode()) + 1 for line in run.lines)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@functools.cache
def discovered() -> Json:
    """Return the discovered catalog."""
    with tempfile.TemporaryDirectory() as directory:
        run = Tap(Path(directory), {}).command("--discover")
    catalog: Json = json.loads(run.stdout)
    return catalog


def play(seed: int, nights: int = NIGHTS) -> tuple[Counter[str], str]:
    """Play the nights of one project and return its figures, and a description of any failure."""
    with tempfile.TemporaryDirectory(prefix="nights-") as directory:
        project = Project(seed, discovered(), Path(directory))
        try:
            project.play(nights)
        except NightError as error:
            return project.figures, str(error)
        except Exception:  # noqa: BLE001 - the other projects go on
            project.figures["failures"] += 1
            return project.figures, f"project {seed}:\n{traceback.format_exc()}"
        return project.figures, ""


def main(arguments: list[str] | None = None) -> int:
    """Play nights, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(description="Simulate random nights of the tap.")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first project")
    parser.add_argument("--nights", type=int, default=30, help="total number of nights")
    parser.add_argument("--jobs", type=int, default=1, help="number of projects in parallel")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no project after SECONDS")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    full, rest = divmod(options.nights, NIGHTS)
    projects = [(options.seed + n, NIGHTS) for n in range(full)]
    if rest:
        projects.append((options.seed + full, rest))
    figures: Counter[str] = Counter()
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(play, *project) for project in projects]
        for future in as_completed(futures):
            if future.cancelled():
                continue
            played, problem = future.result()
            figures.update(played)
            if problem:
                print(problem[:20_000], file=sys.stderr, flush=True)  # noqa: T201 - for a person
            if time.monotonic() - started > options.seconds:
                # Projects that have started are played to the end.
                for pending in futures:
                    pending.cancel()
    seconds = time.monotonic() - started
    for name in ("nights", "failures", "missing", "wrong"):
        figures[name] += 0
    shown = ", ".join(f"{name} {count}" for name, count in sorted(figures.items()))
    print(f"seed {options.seed}, {seconds:.0f} s: {shown}")  # noqa: T201 - for a person
    return 1 if figures["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
