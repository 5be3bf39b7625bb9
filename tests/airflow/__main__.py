"""Install and run the example DAG with two workers and check the result (`make test-airflow`).

Exits with 1 if a shard differs from the sandbox, if it lacks a state of its own, or if no two
shards ran at the same time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dev import ROOT
from dev.sandbox import Behaviour, Dataset, Sandbox
from tests.support.expectations import (
    INCREMENTAL,
    OBJECTS,
    expected_records,
    in_any_order,
    read_json,
)
from tests.support.shell import blocks, run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from dev.sandbox import Request

EXAMPLE = ROOT / "examples" / "airflow"
AIRFLOW = ROOT / ".venv-airflow" / "bin" / "airflow"
MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"

INSTALL, TRIGGER = blocks("docs/airflow.md", "sh")

WORKSPACE = ROOT / ".airflow"
RUN = WORKSPACE / "run"

WORKERS = 2
TIMEOUT_SECONDS = 240

SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
LOOKBACK = 60 * SECOND
#: The starts of the shards, and the end of the last one.
BOUNDARIES = [datetime(2026, month, 1, tzinfo=timezone.utc) for month in (1, 2, 3, 4, 5)]
#: The start and the exclusive end of each shard.
SHARDS = {f"{start:%Y-%m}": (start, end) for start, end in pairwise(BOUNDARIES)}
AGAIN = ("2026-02", "2026-03")


def main() -> None:
    """Run the DAG from scratch, and once more from each shard's own bookmark."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    # Exported times differ slightly from those filtered on.
    behaviour = Behaviour(latency_seconds=2.0, date_skew_ms=500)
    with Sandbox(make_dataset(), behaviour) as sandbox:
        environment = make_environment(sandbox)
        say("=== Installation, which creates the database that the shards will share")
        run(INSTALL, ROOT, environment)
        execute([AIRFLOW, "db", "migrate"], environment, "migrate")
        with api_server(environment):
            say(f"=== First run: {len(SHARDS)} months, {WORKERS} at once")
            problems = check(sandbox, environment, "first", SHARDS)
            problems += check_overlap(sandbox.requests)
            say("=== Second run: two of them again, each from its own bookmark")
            again = {month: (SHARDS[month][1] - LOOKBACK, SHARDS[month][1]) for month in AGAIN}
            problems += check(sandbox, environment, "second", again)
        say("=== States")
        problems += check_states(environment)
        say("=== A run that waits for a scheduler")
        run(TRIGGER, RUN, environment)
    if problems:
        sys.exit("\n".join(problems))
    say("Each month has exactly its own rows and its own state.")


def make_dataset() -> Dataset:
    """Return rows of all months, some of them right at the boundaries."""
    sizes = {OBJECTS[stream]: 150 for stream in INCREMENTAL}
    days = (BOUNDARIES[-1] - BOUNDARIES[0]).days
    dataset = Dataset(seed=7, sizes=sizes, start=BOUNDARIES[0], days=days)
    for name in sizes:
        for boundary in BOUNDARIES:
            for created in (boundary - LOOKBACK / 2, boundary - MILLISECOND, boundary):
                dataset.add(name, created)
    return dataset


def make_environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the environment of Airflow and of Meltano, which its tasks run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    prefixes = ("AIRFLOW_", "_AIRFLOW_", "MELTANO_", "TAP_VOUCHERIFY_", "TARGET_JSONL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    settings = {f"TAP_VOUCHERIFY_{name.upper()}": value for name, value in sandbox.config.items()}
    return {
        **inherited,
        **settings,
        "PATH": os.pathsep.join([str(MELTANO.parent), str(AIRFLOW.parent), os.environ["PATH"]]),
        # Outside the example, which contains only files from Git.
        "MELTANO_PROJECT_ROOT": str(EXAMPLE),
        "MELTANO_SYS_DIR_ROOT": str(WORKSPACE / "meltano"),
        "MELTANO_DATABASE_URI": f"sqlite:///{RUN / 'meltano.db'}",
        "AIRFLOW_HOME": str(RUN / "airflow"),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(WORKERS),
        # Seconds that a worker takes to notice that its task has ended.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


@contextmanager
def api_server(environment: Mapping[str, str]) -> Iterator[None]:
    """Run the part of Airflow that its workers connect to."""
    command = [str(AIRFLOW), "api-server", "--apps=execution", "--host=127.0.0.1", "--workers=1"]
    with (RUN / "api-server.log").open("w") as log:
        server = start(command, environment, log)
        try:
            address = ("127.0.0.1", int(environment["AIRFLOW__API__PORT"]))
            wait_until_open(address, server)
            yield
        finally:
            stop(server)


def wait_until_open(address: tuple[str, int], server: subprocess.Popen[str]) -> None:
    """Wait until a server accepts connections."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_open(address):
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Airflow's API server did not start: see {RUN / 'api-server.log'}")
        time.sleep(0.2)


def is_open(address: tuple[str, int]) -> bool:
    """Whether a server accepts connections."""
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def start(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: TextIO,
) -> subprocess.Popen[str]:
    """Start a command as the leader of a process group."""
    return subprocess.Popen(
        command,
        cwd=RUN,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a command and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def execute(command: Sequence[str | Path], environment: Mapping[str, str], name: str) -> None:
    """Run a command to its end and, if it fails, show the end of its log."""
    path = RUN / f"{name}.log"
    with path.open("w") as log:
        process = start(command, environment, log)
        try:
            exit_code = process.wait(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            stop(process)
    if exit_code != 0:
        say("\n".join(path.read_text(encoding="utf-8").splitlines()[-80:]))
        sys.exit(f"{path.name}: exit code {exit_code}")


def meltano(environment: Mapping[str, str], *arguments: str) -> str:
    """Run Meltano on the example's project and return its output."""
    finished = subprocess.run(
        [MELTANO, "--log-level=error", *arguments],
        cwd=EXAMPLE,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return finished.stdout


def check(
    sandbox: Sandbox,
    environment: Mapping[str, str],
    name: str,
    ranges: Mapping[str, tuple[datetime, datetime]],
) -> list[str]:
    """Run the DAG and return what is wrong with the outcome."""
    output = RUN / name
    conf = {"first_month": min(ranges), "last_month": max(ranges), "output": str(output)}
    earlier = len(sandbox.requests)
    execute(
        [
            AIRFLOW,
            "dags",
            "test",
            "--use-executor",
            f"--conf={json.dumps(conf)}",
            "voucherify_backfill",
        ],
        environment,
        name,
    )
    return [
        *check_records(sandbox, output, ranges),
        *check_exports(sandbox.requests[earlier:], ranges.keys()),
    ]


def check_records(
    sandbox: Sandbox,
    output: Path,
    ranges: Mapping[str, tuple[datetime, datetime]],
) -> Iterator[str]:
    """Report the shards that differ from the rows of their range, in any value of any row.

    The ranges have no overlaps and no gaps, so this also proves that the shards are disjoint and
    together complete.
    """
    expected_paths = {Path(month, f"{stream}.jsonl") for month in ranges for stream in INCREMENTAL}
    for path in sorted({path.relative_to(output) for path in output.glob("*/*")} - expected_paths):
        yield f"{path}: not expected"
    for month, (start, end) in ranges.items():
        counts = []
        for stream in INCREMENTAL:
            path = output / month / f"{stream}.jsonl"
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            loaded = in_any_order(map(read_json, lines))
            expected = expected_records(sandbox, stream, to_text(start), to_text(end))
            if loaded != expected:
                yield f"{month}: the {len(loaded)} {stream} are not the {len(expected)} expected"
            counts.append(f"{len(loaded)} {stream}")
        say(f"{month}: {', '.join(counts)}")


def check_states(environment: Mapping[str, str]) -> Iterator[str]:
    """Report the shards that lack a state of their own that ends where they do."""
    expected_ids = {f"voucherify-backfill-{month}": end for month, (_, end) in SHARDS.items()}
    ids = sorted(meltano(environment, "state", "list").split())
    if ids != sorted(expected_ids):
        yield f"The states are {ids}, not {sorted(expected_ids)}"
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        states = list(pool.map(partial(meltano, environment, "state", "get"), ids))
    for state_id, state in zip(ids, states, strict=True):
        bookmarks = {
            stream: bookmark.get("replication_key_value", "none")
            for stream, bookmark in json.loads(state)["singer_state"]["bookmarks"].items()
        }
        if bookmarks != dict.fromkeys(INCREMENTAL, to_text(expected_ids[state_id])):
            yield f"The bookmarks of {state_id} are {bookmarks}"
        say(f"{state_id}: {', '.join(sorted(set(bookmarks.values())))}")


def check_exports(requests: Sequence[Request], shards: Collection[str]) -> Iterator[str]:
    """Report if the shards created other exports than one per stream."""
    exports = Counter(
        (month_of(request), request.json["exported_object"])
        for request in requests
        if request.kind == "create"
    )
    if exports != Counter(product(shards, [OBJECTS[stream] for stream in INCREMENTAL])):
        yield f"The exports were {dict(exports)}"


def check_overlap(requests: Sequence[Request]) -> Iterator[str]:
    """Report if each shard's exports ended before another's began."""
    months = {each.export_id: month_of(each) for each in requests if each.kind == "create"}
    times = defaultdict(list)
    for request in requests:
        if request.export_id in months:
            times[months[request.export_id]].append(request.at - requests[0].at)
    for month, moments in sorted(times.items()):
        say(f"{month}: exports from {min(moments):.1f} s to {max(moments):.1f} s")
    if not any(
        max(min(one), min(other)) < min(max(one), max(other))
        for one, other in combinations(times.values(), 2)
    ):
        yield "No two shards ran at the same time"


def month_of(request: Request) -> str:
    """Return the month in which an export begins; it requests one second more than it keeps."""
    filters = request.json["parameters"].get("filters", {})
    if "created_at" not in filters:
        return "all months"
    after = filters["created_at"]["conditions"]["$after"][0]
    return f"{datetime.fromisoformat(after.removesuffix('Z')) + SECOND:%Y-%m}"


def say(text: str) -> None:
    """Print to the terminal at once."""
    print(text, flush=True)  # noqa: T201 - the one place


def to_text(moment: datetime) -> str:
    """Return a time as the tap writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.000Z}"


if __name__ == "__main__":
    main()
