"""The recipes of docs/loaders.md load the data of the sandbox."""

from __future__ import annotations

import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
import requests

from dev import ROOT
from dev.sandbox import Dataset, Sandbox
from tests.support.expectations import OBJECTS
from tests.support.runner import select
from tests.support.shell import blocks, environment, run

from .comparison import Record, differences, grow, make_dataset
from .postgres import Postgres, postgres
from .project import INSTALLED, TAP, Project
from .test_loaders import as_duckdb, read_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.runner import Json, Tap

EXAMPLES = ROOT / "examples" / "without_a_loader"
TAP_COMMAND = f"{sys.executable} -m tap_voucherify"

(LOAD_DUCKDB,) = blocks("docs/loaders.md", "sh")
(BATCHES,) = blocks("docs/loaders.md", "json")
(LOOK,) = blocks("docs/loaders.md", "sql")
(CRON,) = blocks("docs/loaders.md", "text")
(WEEKLY,) = blocks("docs/loaders.md", "yaml")
FOLDER = "/var/lib/voucherify"
BUCKET = "my-bucket"
GZIPPED = {"format": "jsonl", "compression": "gzip"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a small sandbox."""
    with Sandbox(Dataset(seed=7), latency_seconds=0.05) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Yield a PostgreSQL server."""
    with postgres() as server:
        yield server


def write_config(directory: Path, sandbox: Sandbox, **settings: object) -> str:
    """Write a configuration file and return its name."""
    path = directory / "config.json"
    path.write_text(json.dumps({**sandbox.config, "poll_interval_seconds": 0.05, **settings}))
    return str(path)


def batch_config(directory: Path, encoding: dict[str, str]) -> Json:
    """Return settings that write batch files to a folder."""
    files = directory / "batches"
    files.mkdir()
    return {"batch_config": {"encoding": encoding, "storage": {"root": files.as_uri()}}}


def ids(sandbox: Sandbox, exported_object: str) -> set[str]:
    """Return the IDs in the sandbox."""
    return {row.cells["id"] for row in sandbox.rows(exported_object)}


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """Yield the environment variables of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow, and only needed here

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
        "AWS_SESSION_TOKEN": "the-session",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


def test_parquet_into_duckdb(sandbox: Sandbox, s3: dict[str, str], tmp_path: Path) -> None:
    """Runs with state leave one row per key in DuckDB and no file in a folder or in S3."""
    folder = tmp_path / "files"
    variables = environment(sandbox, Path(sys.executable).parent)
    variables |= {**s3, "TAP_VOUCHERIFY_LOGLEVEL": "DEBUG"}
    (tmp_path / "load_duckdb.py").symlink_to(EXAMPLES / "load_duckdb.py")
    first, second, third = LOAD_DUCKDB.splitlines()

    write_config(tmp_path, sandbox, **json.loads(BATCHES.replace(FOLDER, str(folder))))
    run(f"{first}\n{second}", tmp_path, variables)
    assert not list(folder.iterdir())
    sandbox.dataset.grow({"voucher": 20, "redemption": 30})
    root = f"s3://{BUCKET}/voucherify"
    write_config(tmp_path, sandbox, **json.loads(BATCHES.replace(f"file://{FOLDER}", root)))
    log = run(third, tmp_path, variables)

    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as loaded:
        for table, exported_object in (("vouchers", "voucher"), ("redemptions", "redemption")):
            rows = loaded.execute(f"SELECT id FROM {table}").fetchall()  # noqa: S608 - our own name
            assert sorted(name for (name,) in rows) == sorted(ids(sandbox, exported_object))
    listed = requests.get(f"{s3['AWS_ENDPOINT_URL']}/{BUCKET}", timeout=60).text
    assert BUCKET in listed
    assert "<Key>" not in listed
    assert "DEBUG" in log
    assert "the-se" not in log


def test_a_look_at_a_folder(sandbox: Sandbox, tap: Tap, tmp_path: Path) -> None:
    """The SQL statement of the document reads all files of a stream."""
    settings = json.loads(BATCHES.replace(FOLDER, str(tmp_path)))

    assert tap.run(**settings).exit_code == 0

    with duckdb.connect() as database:
        database.execute(LOOK.replace(FOLDER, str(tmp_path)))
        rows = database.execute("SELECT id FROM vouchers").fetchall()
    assert {name for (name,) in rows} == ids(sandbox, "voucher")


def test_old_files_are_deleted(tmp_path: Path) -> None:
    """The cron line deletes batch files, and only after a week."""
    for name in ("old.parquet", "new.parquet"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "old.parquet", (0, 0))

    command = CRON.split(maxsplit=5)[5].replace(FOLDER, str(tmp_path))
    run(command, tmp_path, os.environ)

    assert [path.name for path in tmp_path.iterdir()] == ["new.parquet"]


def test_jsonl_into_postgres(sandbox: Sandbox, server: Postgres, tmp_path: Path) -> None:
    """COPY and upsert leave one complete record per key in PostgreSQL, and no file."""
    script = EXAMPLES / "load_postgres.sh"
    (tmp_path / script.name).symlink_to(script)
    extract, load, keep_state = re.findall(r"(?m)^#     (.+)$", script.read_text())
    load += f"\n{load.replace('vouchers', 'publications')}"
    variables = environment(sandbox, Path(sys.executable).parent, server.psql.parent)
    variables |= {f"PG{name.upper()}": str(value) for name, value in server.settings.items()}
    write_config(tmp_path, sandbox, **batch_config(tmp_path, GZIPPED))

    run(f"{extract}\n{load}\n{keep_state}", tmp_path, variables)
    sandbox.dataset.grow({"voucher": 20})
    run(f"{extract} --state=state.json\n{load}", tmp_path, variables)

    rows = server.query("SELECT record FROM vouchers")
    expected = {row.cells["id"]: row.cells["code"] for row in sandbox.rows("voucher")}
    assert {row["id"]: row["code"] for row in rows} == expected
    assert len(rows) == len(expected)
    publications = set(server.query("SELECT record->'voucher_code' FROM publications"))
    assert publications == {
        row.cells["voucher_code"] or None for row in sandbox.rows("publication")
    }
    assert not list((tmp_path / "batches").glob("vouchers-*"))


def read_as_floats(server: Postgres, schema: str, stream: str) -> list[Record]:
    """Return the rows of a table, with numbers as floats."""
    return [as_duckdb(row) for row in read_postgres(server, schema, stream)]


def in_pipelinewise(record: Record) -> Record:
    """Return a record as PipelineWise's loader writes it: with JSON's escapes of line breaks."""
    return {
        name: re.sub(r'\\(["\\])', r"\1", json.dumps(value, ensure_ascii=False)[1:-1])
        if isinstance(value, str)
        else as_duckdb(value)
        for name, value in record.items()
    }


FAST = {"validate_records": False, "use_copy": True}
PIPELINEWISE = {"dbname": "postgres", "add_metadata_columns": True}


@pytest.mark.parametrize(
    ("loader", "settings", "encoding", "convert"),
    [
        ("target-postgres", FAST, GZIPPED, as_duckdb),
        ("pipelinewise-target-postgres", PIPELINEWISE, None, in_pipelinewise),
    ],
)
def test_loaders_that_store_numbers_as_floats(  # noqa: PLR0913, PLR0917 - fixtures, and a loader
    server: Postgres,
    discovered: Json,
    tmp_path: Path,
    loader: str,
    settings: Json,
    encoding: Json | None,
    convert: Callable[[Record], Record],
) -> None:
    """All rows and updates arrive, except for digits beyond a float."""
    schema = loader.partition("-")[0]
    settings = {**server.settings, **settings, "default_target_schema": schema}
    (tmp_path / "loader.json").write_text(json.dumps(settings))
    (tmp_path / "catalog.json").write_text(json.dumps(select(discovered, OBJECTS)))
    program = INSTALLED / "loaders" / loader / "venv" / "bin" / "target-postgres"
    tap = f"{TAP_COMMAND} --config=config.json --catalog=catalog.json"
    load = f"{program} --config=loader.json > states.jsonl\ntail -n 1 states.jsonl > state.json"
    read = partial(read_as_floats, server, schema)
    with Sandbox(make_dataset(), latency_seconds=0.05) as sandbox:
        batches = batch_config(tmp_path, encoding) if encoding else {}
        write_config(tmp_path, sandbox, track_updates=True, **batches)

        run(f"{tap} | {load}", tmp_path, os.environ)
        assert not differences(sandbox, read, convert)
        grow(sandbox.dataset)
        run(f"{tap} --state=state.json | {load}", tmp_path, os.environ)
        assert not differences(sandbox, read, convert)


def test_a_weekly_refresh_finds_deletions(
    sandbox: Sandbox, server: Postgres, tmp_path: Path
) -> None:
    """A full-table sync with ACTIVATE_VERSION marks rows that Voucherify no longer has."""
    settings = {**server.settings, "default_target_schema": "weekly"}
    project = Project(tmp_path, sandbox, "target-postgres", "dev", **settings)
    project.add_extractors(WEEKLY)
    read = partial(read_postgres, server, "weekly")
    server.query("CREATE SCHEMA weekly")
    server.query("CREATE TABLE weekly.vouchers (id text PRIMARY KEY, _sdc_table_version bigint)")
    server.query("INSERT INTO weekly.vouchers VALUES ('v_deleted', 1)")

    project.meltano("run", f"{TAP}--weekly", "target-postgres")

    assert {row["id"] for row in read("vouchers")} == ids(sandbox, "voucher")
    assert {row["id"] for row in read("customers")} == ids(sandbox, "customer")
    (deleted,) = server.query(
        "SELECT to_json(id) FROM weekly.vouchers WHERE _sdc_deleted_at IS NOT NULL"
    )
    assert deleted == "v_deleted"
