"""The recipes of docs/loaders.md load what the sandbox holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from dev import ROOT
from dev.sandbox import Dataset, Sandbox
from tests.support.expectations import OBJECTS

from .comparison import Record, differences, make_dataset
from .postgres import Postgres, postgres
from .project import INSTALLED
from .test_loaders import as_duckdb, read_postgres

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

EXAMPLES = ROOT / "examples" / "without_a_loader"
TAP = (sys.executable, "-m", "tap_voucherify")

#: How the recipe gets from the tap's messages to a file for `--state`.
STATE = r"""tail -n 1 messages.jsonl | sed 's/^{"type":"STATE","value":\(.*\)}$/\1/' > state.json"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a small Voucherify."""
    with Sandbox(Dataset(seed=7), latency_seconds=0.05) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a PostgreSQL server."""
    with postgres() as server:
        yield server


def write_config(directory: Path, sandbox: Sandbox, **settings: object) -> str:
    """Write a configuration file and return its name."""
    path = directory / "config.json"
    path.write_text(json.dumps({**sandbox.config, "poll_interval_seconds": 0.05, **settings}))
    return str(path)


def batch_config(directory: Path, encoding: dict[str, str]) -> dict[str, Any]:
    """Return settings that write batch files to a folder."""
    files = directory / "batches"
    files.mkdir()
    return {"batch_config": {"encoding": encoding, "storage": {"root": files.as_uri()}}}


def write_catalog(
    directory: Path, config: str, streams: Iterable[str], replication_method: str = ""
) -> str:
    """Write a catalog with some streams selected, and return its name."""
    catalog = json.loads(subprocess.check_output((*TAP, "--config", config, "--discover")))
    for stream in catalog["streams"]:
        (whole,) = (entry["metadata"] for entry in stream["metadata"] if not entry["breadcrumb"])
        whole["selected"] = stream["tap_stream_id"] in streams
        if replication_method:
            stream["replication_method"] = replication_method
    path = directory / "catalog.json"
    path.write_text(json.dumps(catalog))
    return str(path)


def pipe(tap: tuple[str, ...], loader: tuple[str, ...]) -> bytes:
    """Run the tap into a loader and return the loader's output."""
    with subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        loaded = subprocess.run(loader, stdin=source.stdout, stdout=subprocess.PIPE, check=True)
    assert source.returncode == 0
    return loaded.stdout


def ids(sandbox: Sandbox, exported_object: str) -> set[str]:
    """Return the ids that the sandbox holds."""
    return {row.cells["id"] for row in sandbox.rows(exported_object)}


def test_parquet_into_duckdb(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two runs with state leave one row per key, and no file."""
    config = write_config(tmp_path, sandbox, **batch_config(tmp_path, {"format": "parquet"}))
    catalog = write_catalog(tmp_path, config, ("vouchers", "redemptions"))
    tap = (*TAP, "--config", config, "--catalog", catalog)
    database, state = tmp_path / "warehouse.duckdb", tmp_path / "state.json"
    loader = (sys.executable, str(EXAMPLES / "load_duckdb.py"), str(database))

    state.write_bytes(pipe(tap, loader))
    sandbox.dataset.grow({"voucher": 20, "redemption": 30})
    state.write_bytes(pipe((*tap, "--state", str(state)), loader))

    with duckdb.connect(str(database), read_only=True) as loaded:
        vouchers = [name for (name,) in loaded.execute("SELECT id FROM vouchers").fetchall()]
        redemptions = [name for (name,) in loaded.execute("SELECT id FROM redemptions").fetchall()]
    assert sorted(vouchers) == sorted(ids(sandbox, "voucher"))
    assert sorted(redemptions) == sorted(ids(sandbox, "redemption"))
    assert set(json.loads(state.read_text())["bookmarks"]) >= {"vouchers", "redemptions"}
    assert not list((tmp_path / "batches").iterdir())


def test_jsonl_into_postgres(sandbox: Sandbox, server: Postgres, tmp_path: Path) -> None:
    """COPY and upsert leave one row per key, with the whole record, and no file."""
    encoding = {"format": "jsonl", "compression": "gzip"}
    config = write_config(tmp_path, sandbox, **batch_config(tmp_path, encoding))
    catalog = write_catalog(tmp_path, config, ("vouchers",))
    connection = {f"PG{name.upper()}": str(value) for name, value in server.settings.items()}
    path = f"{server.psql.parent}{os.pathsep}{os.environ['PATH']}"
    load = ("sh", str(EXAMPLES / "load_postgres.sh"), str(tmp_path / "batches"), "vouchers")
    assert STATE in (EXAMPLES / "load_postgres.sh").read_text()
    messages, state = tmp_path / "messages.jsonl", tmp_path / "state.json"

    for options in ((), ("--state", str(state))):
        with messages.open("wb") as output:
            subprocess.run(
                (*TAP, "--config", config, "--catalog", catalog, *options),
                stdout=output,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        subprocess.run(load, env={**os.environ, **connection, "PATH": path}, check=True)
        subprocess.run(("/bin/sh", "-c", STATE), cwd=tmp_path, check=True)
        sandbox.dataset.grow({"voucher": 20 if not options else 0})

    rows = server.query("SELECT record FROM vouchers")
    expected = {row.cells["id"]: row.cells["code"] for row in sandbox.rows("voucher")}
    assert {row["id"]: row["code"] for row in rows} == expected
    assert len(rows) == len(expected)
    assert not list((tmp_path / "batches").glob("vouchers-*"))


def target_postgres(directory: Path, server: Postgres, **settings: object) -> tuple[str, ...]:
    """Return the command of a loader with some settings."""
    path = directory / "loader.json"
    path.write_text(json.dumps({**server.settings, **settings}))
    program = INSTALLED / "loaders" / "target-postgres" / "venv" / "bin" / "target-postgres"
    return (str(program), "--config", str(path))


def read_as_floats(server: Postgres, schema: str, stream: str) -> list[Record]:
    """Return the rows of a table, with numbers as floats."""
    return [as_duckdb(row) for row in read_postgres(server, schema, stream)]


def test_the_fast_settings_of_target_postgres(server: Postgres, tmp_path: Path) -> None:
    """Without validation, with COPY and batch files, all arrives, but numbers are floats."""
    fast = {"validate_records": False, "use_copy": True, "default_target_schema": "fast"}
    loader = target_postgres(tmp_path, server, **fast)
    files = batch_config(tmp_path, {"format": "jsonl", "compression": "gzip"})
    with Sandbox(make_dataset(), latency_seconds=0.05) as sandbox:
        config = write_config(tmp_path, sandbox, track_updates=True, **files)
        catalog = write_catalog(tmp_path, config, OBJECTS)
        pipe((*TAP, "--config", config, "--catalog", catalog), loader)

        assert not differences(sandbox, partial(read_as_floats, server, "fast"), as_duckdb)


def test_a_weekly_refresh_finds_deletions(
    sandbox: Sandbox, server: Postgres, tmp_path: Path
) -> None:
    """A full-table sync with ACTIVATE_VERSION removes rows that Voucherify no longer has."""
    config = write_config(tmp_path, sandbox, emit_activate_version_messages=True)
    streams = ("vouchers", "customers")
    chosen = write_catalog(tmp_path, config, streams, replication_method="FULL_TABLE")
    loader = target_postgres(tmp_path, server, default_target_schema="weekly", hard_delete=True)
    tap = (*TAP, "--config", config, "--catalog", chosen)

    pipe(tap, loader)
    server.query("INSERT INTO weekly.vouchers (id, _sdc_table_version) VALUES ('v_deleted', 1)")
    pipe(tap, loader)

    assert set(server.query("SELECT to_json(id) FROM weekly.vouchers")) == ids(sandbox, "voucher")
