"""Batch files contain what RECORD messages would, and STATE never gets ahead of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dev.sandbox import OBJECTS as DOCUMENTED
from dev.sandbox import Behaviour, Dataset, Fault, Rewrite, Sandbox
from dev.sandbox.objects import title_of
from tap_voucherify.files.rows import ROWS_PER_BLOCK
from tests.support.expectations import OBJECTS, expected_records, in_any_order
from tests.support.runner import Json, Output, Run, Tap, read_lines, select, split_lines

if TYPE_CHECKING:
    from datetime import datetime

FORMS = pytest.mark.parametrize("form", ["jsonl", "parquet"])

# Longer than any block of a file.
HUGE = 1 << 22

# No credentials, and no route to AWS.
NO_AWS = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

# Their columns together have all types.
OF_ALL_TYPES = ("vouchers", "customers", "voucher_transactions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder for the batch files."""
    return tmp_path / "batches"


def batches(folder: Path, form: str, size: int = 15, compression: str = "gzip") -> Json:
    """Return the setting for batch files."""
    return {
        "encoding": {"format": form, "compression": compression},
        "storage": {"root": folder.as_uri(), "prefix": "night-"},
        "batch_size": size,
    }


def files_of(run: Output, stream: str) -> list[Path]:
    """Return a stream's batch files, in order."""
    manifests = [
        m["manifest"] for m in run.messages if m.get("stream") == stream and "manifest" in m
    ]
    return [Path(urlparse(url).path) for manifest in manifests for url in manifest]


def rows_in(path: Path) -> list[Json]:
    """Return the rows of a batch file in the form of records."""
    if path.suffix == ".parquet":
        return [
            {name: in_json(name, value) for name, value in row.items()}
            for row in pq.read_table(path).to_pylist()
        ]
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [comparable(json.loads(line, parse_float=Decimal)) for line in split_lines(text)]


def in_json(name: str, value: Any) -> Any:
    """Return a value of a Parquet file as it is in a record."""
    if name == "metadata":
        return {key: text for key, text in (value or {}).items() if text is not None}
    if name == "details" and value is not None:
        return comparable(json.loads(value, parse_float=Decimal))
    if hasattr(value, "tzinfo"):
        return bookmark_form(value)
    return comparable(value.isoformat() if hasattr(value, "isoformat") else value)


def bookmark_form(instant: datetime) -> str:
    """Return a time in the format of records."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03}Z"


def comparable(value: Any) -> Any:
    """Return a value with its numbers normalized, so that `1.0` equals `1.00`."""
    if isinstance(value, dict):
        return {name: comparable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value).normalize() + 0
    return value


def rows_of(run: Output, stream: str) -> list[Json]:
    """Return the rows of all of a stream's batch files, in order."""
    return [row for path in files_of(run, stream) for row in rows_in(path)]


def records_of(run: Output, stream: str) -> list[Json]:
    """Return the records of a stream in the same form."""
    return [comparable(record) for record in run.records(stream)]


@FORMS
def test_batches_hold_what_records_would(
    tap: Tap, discovered: Json, folder: Path, form: str
) -> None:
    """The files together equal the records, and none has more rows than the batch size."""
    catalog = select(discovered, OBJECTS)
    plain = tap.run(catalog=catalog)

    run = tap.run(catalog=catalog, batch_config=batches(folder, form))

    assert run.exit_code == 0
    assert not [message for message in run.messages if message["type"] == "RECORD"]
    assert run.state == plain.state
    for stream in OBJECTS:
        assert rows_of(run, stream) == records_of(plain, stream)
        sizes = [len(rows_in(path)) for path in files_of(run, stream)]
        assert sizes == [15, 15, 10]
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {"night"}
    assert len(list(folder.iterdir())) == 3 * len(OBJECTS)


def test_files_need_not_be_compressed(tap: Tap, discovered: Json, folder: Path) -> None:
    """The encoding in a BATCH message is that of its file, compressed or not."""
    catalog = select(discovered, ["orders"])

    run = tap.run(catalog=catalog, batch_config=batches(folder, "jsonl", 100, "none"))

    (batch,) = (message for message in run.messages if message["type"] == "BATCH")
    assert batch["encoding"] == {"format": "jsonl", "compression": "none"}
    (path,) = files_of(run, "orders")
    assert path.suffix == ".jsonl"
    assert rows_of(run, "orders") == records_of(tap.run(catalog=catalog), "orders")


@FORMS
def test_a_selection_holds_in_batches(sandbox: Sandbox, tap: Tap, folder: Path, form: str) -> None:
    """Batch files lack deselected properties and deselected metadata keys."""
    settings = {**sandbox.config, "typed_metadata": True}
    discovery = tap.command(*tap.options(settings), "--discover")
    catalog = select(
        json.loads(discovery.stdout),
        ["customers", "orders"],
        {"customers": ["email", "birth_date"]},
    )
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "orders":
            entry["metadata"].append(
                {"breadcrumb": ["properties", "metadata"], "metadata": {"selected": False}}
            )

    run = tap.run(catalog=catalog, typed_metadata=True, batch_config=batches(folder, form))

    rows = rows_of(run, "customers")
    assert rows
    assert not any("email" in row or "birth_date" in row["metadata"] for row in rows)
    assert any("opted_in" in row["metadata"] for row in rows)
    assert not any("metadata" in row for row in rows_of(run, "orders"))


def test_all_files_of_a_stream_have_one_schema(tap: Tap, discovered: Json, folder: Path) -> None:
    """All files have the declared column types, even where a column is empty."""
    catalog = select(discovered, OF_ALL_TYPES)

    run = tap.run(catalog=catalog, batch_config=batches(folder, "parquet", 7))

    types: dict[str, pa.DataType] = {}
    for stream in OF_ALL_TYPES:
        schemas = {pq.read_schema(path).remove_metadata() for path in files_of(run, stream)}
        assert len(schemas) == 1
        types |= {field.name: field.type for field in schemas.pop()}
    assert types["email"] == types["details"] == pa.string()
    assert types["value"] == pa.decimal128(38, 9)
    assert types["redemption_count"] == pa.int64()
    assert types["active"] == pa.bool_()
    assert types["birthdate"] == pa.date32()
    assert types["created_at"] == pa.timestamp("ms", tz="UTC")
    assert pa.types.is_struct(types["metadata"])


UNUSUAL: dict[str, tuple[str, Json]] = {
    "exponent": ("vouchers", {"value": "125e-2"}),
    "many_digits": ("vouchers", {"value": "12345678901234567890123456789.123456789"}),
    "long_integer": ("vouchers", {"redemption_quantity": "999999999999999999"}),
    "capital_truth": ("vouchers", {"active": "TRUE"}),
    "time_without_milliseconds": ("vouchers", {"updated_at": "2026-03-01T10:20:30Z"}),
    "time_with_offset": ("vouchers", {"updated_at": "2026-03-01 10:20:30+00:00"}),
    "date_with_midnight": ("customers", {"birthdate": "1999-12-31T00:00:00.000Z"}),
    "huge_cell": ("vouchers", {"additional_info": "é" * HUGE}),
    "line_breaks": ("vouchers", {"additional_info": 'a\r\nb\n"c",\u2028d'}),
    "spaced_json": ("voucher_transactions", {"details": '{ "a" : [1.10, 1e400, null] }'}),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_cell_in_unusual_form_is_the_same_in_a_file(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, name: str
) -> None:
    """A file has the value of the record, whatever the form of its cell."""
    stream, cells = UNUSUAL[name]
    newest = sandbox.rows(OBJECTS[stream])[-1].created
    sandbox.dataset.add(OBJECTS[stream], newest, cells=cells)
    sandbox.dataset.grow({OBJECTS[stream]: 20})
    catalog = select(discovered, [stream])

    run = tap.run(catalog=catalog, batch_config=batches(folder, "parquet", 1000))

    assert run.exit_code == 0
    assert rows_of(run, stream) == records_of(tap.run(catalog=catalog), stream)


def test_a_cell_in_unusual_form_may_come_late(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path
) -> None:
    """A late cell in unusual form neither loses nor repeats the rows before it."""
    sandbox.dataset.grow({"voucher": 3 * ROWS_PER_BLOCK})
    newest = sandbox.rows("voucher")[-1].created
    for number in range(6):
        large = f"{number}" * (HUGE // 4)
        sandbox.dataset.add("voucher", newest, cells={"additional_info": large})
    sandbox.dataset.add("voucher", newest, cells={"value": "1e2"})
    catalog = select(discovered, ["vouchers"])

    run = tap.run(catalog=catalog, batch_config=batches(folder, "parquet", 1000))

    assert rows_of(run, "vouchers") == records_of(tap.run(catalog=catalog), "vouchers")


@FORMS
def test_rows_out_of_order_end_one_file_only(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, form: str
) -> None:
    """Disorder ends at most one file early, and leaves rows and state as they are in records."""
    sandbox.dataset.grow({"order": 4 * ROWS_PER_BLOCK})
    sandbox.behaviour = Behaviour(honours_order=False)
    catalog = select(discovered, ["orders"])

    run = tap.run(catalog=catalog, batch_config=batches(folder, form, 100 * ROWS_PER_BLOCK))

    plain = tap.run(catalog=catalog)
    assert run.state == plain.state
    assert rows_of(run, "orders") == records_of(plain, "orders")
    assert len(files_of(run, "orders")) <= 2


@pytest.mark.parametrize(
    "settings",
    [
        {"start_date": "2026-01-10T12:00:00.500Z", "end_date": "2026-01-20"},
        {"start_date": "2026-01-01", "window_days": 7},
        {"track_updates": True},
    ],
    ids=["range", "windows", "updates"],
)
def test_ranges_and_updates_hold_in_parquet(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, settings: Json
) -> None:
    """Parquet files have the rows and bookmarks of records under ranges and updates."""
    sandbox.behaviour = Behaviour(date_skew_ms=500, honours_filters=False)
    catalog = select(discovered, OBJECTS)
    config = batches(folder, "parquet", 1000)
    plain, run = (
        tap.run(catalog=catalog, **settings),
        tap.run(catalog=catalog, batch_config=config, **settings),
    )
    for stream in ("customer", "order", "voucher"):
        sandbox.dataset.touch(stream, 5)
    plain_later = tap.run(catalog=catalog, state=plain.state, **settings)
    later = tap.run(catalog=catalog, state=run.state, batch_config=config, **settings)

    assert (run.state, later.state) == (plain.state, plain_later.state)
    for stream in OBJECTS:
        assert rows_of(run, stream) == records_of(plain, stream)
        assert rows_of(later, stream) == records_of(plain_later, stream)


def test_a_project_without_metadata_has_nulls(
    tmp_path: Path, discovered: Json, folder: Path
) -> None:
    """A Parquet file without metadata keys has a metadata column of nulls."""
    sizes = {**dict.fromkeys(DOCUMENTED, 0), "order": 20}
    with Sandbox(Dataset(sizes=sizes, metadata_keys={})) as sandbox:
        run = Tap(tmp_path, sandbox.config).run(
            catalog=select(discovered, ["orders"]), batch_config=batches(folder, "parquet", 1000)
        )

    rows = rows_of(run, "orders")
    assert [row["metadata"] for row in rows] == [{}] * 20
    (path,) = files_of(run, "orders")
    assert pq.read_schema(path).field("metadata").type == pa.null()


def test_an_invalid_cell_is_reported_as_for_records(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path
) -> None:
    """An invalid cell is the same error as for records, and the rows before it are in the file."""
    newest = sandbox.rows("voucher_transactions")[-1].created
    sandbox.dataset.add("voucher_transactions", newest, cells={"details": "{"})
    catalog = select(discovered, ["voucher_transactions"])

    plain = tap.run(catalog=catalog)
    run = tap.run(catalog=catalog, batch_config=batches(folder, "parquet", 1000))

    assert run.exit_code == plain.exit_code == 1
    assert run.errors[0].partition("failed")[2] == plain.errors[0].partition("failed")[2]
    assert "'details': '{' is not a JSON object" in run.errors[0]
    rows = rows_of(run, "voucher_transactions")
    assert rows == records_of(plain, "voucher_transactions")
    assert len(rows) == len(sandbox.rows("voucher_transactions")) - 1


@pytest.mark.parametrize("form", ["usual", "unusual"])
def test_attributes_are_the_text_of_their_cells_in_parquet(
    sandbox: Sandbox, tap: Tap, folder: Path, form: str
) -> None:
    """Metadata in Parquet is the text of its cells, whatever its schema or the row's form."""
    odd = {"birth_date": "2026-01-01", "opted_in": "TRUE"}
    newest = sandbox.rows("customer")[-1].created
    cells = {"birthdate": "1999-12-31T00:00:00.000Z"} if form == "unusual" else {}
    sandbox.dataset.add("customer", newest, cells=cells, metadata=odd)

    run = tap.run(typed_metadata=True, batch_config=batches(folder, "parquet", 1000))

    rows = {row["id"]: row["metadata"] for row in rows_of(run, "customers")}
    assert rows == {row["id"]: row["metadata"] for row in expected_records(sandbox, "customers")}
    assert odd in rows.values()
    assert not [line for line in run.warnings if "metadata schema" in line]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "1.0000000001"),
        ("value", "1e30"),
        ("redemption_quantity", "9223372036854775808"),
    ],
)
def test_a_number_beyond_the_type_of_its_column_is_an_error(  # noqa: PLR0913, PLR0917 - fixtures
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, field: str, value: str
) -> None:
    """A number beyond its Parquet type is an error that names the column."""
    newest = sandbox.rows("voucher")[-1].created
    sandbox.dataset.add("voucher", newest, cells={field: value})

    run = tap.run(
        catalog=select(discovered, ["vouchers"]), batch_config=batches(folder, "parquet", 1000)
    )

    assert run.exit_code == 1
    (error,) = run.errors
    assert f"column '{field}': '{value}' does not fit" in error
    assert len(rows_of(run, "vouchers")) == len(sandbox.rows("voucher")) - 1


@FORMS
def test_an_empty_export_needs_no_file(
    tmp_path: Path, discovered: Json, folder: Path, form: str
) -> None:
    """An export without rows writes no file and no BATCH message."""
    with Sandbox(Dataset(sizes=dict.fromkeys(DOCUMENTED, 0))) as empty:
        run = Tap(tmp_path, empty.config).run(
            catalog=select(discovered, OBJECTS), batch_config=batches(folder, form)
        )

    assert run.exit_code == 0
    assert set(run.schemas()) == set(OBJECTS)
    assert not [message for message in run.messages if message["type"] == "BATCH"]
    assert not folder.exists()


@FORMS
def test_a_column_that_the_file_lacks_is_empty(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, form: str
) -> None:
    """A column that the export lacks is null, with one warning, as in records."""
    drop_column(sandbox, "voucher", "bar_code")
    catalog = select(discovered, ["vouchers"])

    plain = tap.run(catalog=catalog)
    run = tap.run(catalog=catalog, batch_config=batches(folder, form))

    for ended in (plain, run):
        assert ended.exit_code == 0
        (warning,) = ended.warnings
        assert "vouchers: column 'bar_code' is missing; emitting null" in warning
    records = plain.records("vouchers")
    assert [record["bar_code"] for record in records] == [None] * len(sandbox.rows("voucher"))
    assert rows_of(run, "vouchers") == records_of(plain, "vouchers")


@FORMS
def test_a_file_without_the_replication_key_is_an_error(
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, form: str
) -> None:
    """An export without the replication key is an error, and no file is written."""
    drop_column(sandbox, "voucher", "created_at")

    run = tap.run(catalog=select(discovered, ["vouchers"]), batch_config=batches(folder, form))

    assert run.exit_code == 1
    (error,) = run.errors
    assert "column 'created_at' is missing" in error
    assert not files_of(run, "vouchers")


def drop_column(sandbox: Sandbox, name: str, field: str) -> None:
    """Drop a requested column from the exports of an object."""

    def without(body: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
        index = rows[0].index(title_of(field, "Creation Date"))
        written = io.StringIO(newline="")
        csv.writer(written).writerows([*row[:index], *row[index + 1 :]] for row in rows)
        return written.getvalue().encode()

    fault = Fault(on="download", action=Rewrite(without), object=name, times=None)
    sandbox.faults.add(fault)


@FORMS
@pytest.mark.parametrize("row", [4, 33])
def test_rows_before_an_invalid_one_are_written(  # noqa: PLR0913, PLR0917 - each is a fixture or a parameter
    sandbox: Sandbox, tap: Tap, discovered: Json, folder: Path, form: str, row: int
) -> None:
    """A file that an error cuts short is announced before the STATE that covers it."""

    def spoil(body: bytes) -> bytes:
        lines = body.split(b"\r\n")
        lines[row] += b",one,cell,too,many"
        return b"\r\n".join(lines)

    sandbox.faults.add(Fault(on="download", action=Rewrite(spoil), object="order", times=None))
    catalog = select(discovered, ["orders"])

    run = tap.run(catalog=catalog, batch_config=batches(folder, form))

    assert run.exit_code == 1
    rows = rows_of(run, "orders")
    assert [r["id"] for r in rows] == [r.cells["id"] for r in sandbox.rows("order")[: row - 1]]
    assert run.bookmarks("orders")[-1] == rows[-1]["created_at"]
    assert run.messages[-1]["type"] == "STATE"


@FORMS
def test_a_signal_ends_a_run_with_the_files_it_has_reported(
    tmp_path: Path, discovered: Json, folder: Path, form: str
) -> None:
    """A signal announces the unfinished file, and the next run continues after it."""
    with Sandbox(Dataset(sizes={**dict.fromkeys(DOCUMENTED, 0), "order": 20_000})) as sandbox:
        tap = Tap(tmp_path, sandbox.config)
        catalog = select(discovered, ["orders"])
        # More messages than a pipe can hold.
        with tap.start(catalog=catalog, batch_config=batches(folder, form, 70)) as process:
            before = read_lines(process.stdout, 6)
            process.terminate()
            output = Output([*before, *read_lines(process.stdout, 20_000)])
        rest = tap.run(catalog=catalog, state=output.state)

        assert process.returncode == 143
        ids = [row["id"] for row in rows_of(output, "orders") + rest.records("orders")]
        assert set(ids) == {row.cells["id"] for row in sandbox.rows("order")}


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("file:///dev/null/batches", "Not a directory"),
        ("unheard://batches", "must be the URL of a supported file system"),
        ("gs://batches", "gcsfs"),
        ("s3://batches", "Unable to locate credentials"),
    ],
)
def test_c4_storage_that_cannot_be_written_is_named(
    tap: Tap, folder: Path, root: str, reason: str
) -> None:
    """Unwritable storage is one error with setting and reason, and no bookmark moves."""
    setting = {**batches(folder, "jsonl"), "storage": {"root": root}}
    tap.environment = NO_AWS

    run = tap.run(batch_config=setting)

    assert run.exit_code == 1
    (error,) = run.errors
    assert "batch_config.storage.root: " in error
    assert reason in error
    assert "//" not in error
    assert "Traceback" not in run.stderr
    assert not any("replication_key_value" in line for line in run.lines)


def test_parquet_needs_pyarrow(tap: Tap, tmp_path: Path, folder: Path) -> None:
    """Without PyArrow, the error names the extra to install."""
    (tmp_path / "pyarrow.py").write_text("raise ImportError")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}

    with tap.start(batch_config=batches(folder, "parquet"), environment=environment) as process:
        stdout, stderr = process.communicate()

    run = Run(split_lines(stdout.decode()), process.returncode, stderr.decode())
    assert run.exit_code == 1
    (error,) = run.errors
    assert "tap-voucherify[parquet]" in error


@pytest.mark.parametrize(
    "settings",
    [
        {"stream_maps": {"customers": {"email": "md5(email)"}}},
        {"stream_maps": {"customers": {"__alias__": "people", "email": None}}},
        {"stream_maps": {"customers": {"__alias__": "people", "__filter__": "True"}}},
        {"stream_maps": {"customers": {"__alias__": "people", "__key_properties__": ["name"]}}},
        {"stream_maps": {"c*": {"__alias__": "people", "id": "id", "__else__": None}}},
        {"stream_maps": {"people": {"__source__": "customers"}}},
        {"stream_maps": {"customers": None}},
        {
            "stream_maps": {"customers": {"__alias__": "people"}},
            "flattening_enabled": True,
            "flattening_max_depth": 1,
        },
    ],
)
def test_batches_do_not_escape_stream_maps(
    tap: Tap, folder: Path, discovered: Json, settings: Json
) -> None:
    """Batch output is an error if a stream map or flattening changes its records."""
    catalog = select(discovered, ["customers"])

    run = tap.run(catalog=catalog, batch_config=batches(folder, "jsonl"), **settings)

    assert run.exit_code == 1
    (error,) = run.errors
    assert "batch_config" in error
    assert not folder.exists()


@FORMS
def test_b17_a_stream_in_batches_may_have_an_alias(
    sandbox: Sandbox, tap: Tap, folder: Path, discovered: Json, form: str
) -> None:
    """A map that only renames a stream is allowed with batch output."""
    catalog = select(discovered, ["customers", "orders"])
    maps = {"customers": {"__alias__": "people"}, "ord*": {}}

    run = tap.run(catalog=catalog, batch_config=batches(folder, form), stream_maps=maps)

    assert (run.exit_code, run.errors) == (0, [])
    assert set(run.schemas()) == {"people", "orders"}
    for name, stream in (("people", "customers"), ("orders", "orders")):
        expected = [comparable(record) for record in expected_records(sandbox, stream)]
        assert in_any_order(rows_of(run, name)) == in_any_order(expected)
