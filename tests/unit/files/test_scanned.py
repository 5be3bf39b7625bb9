"""Compiled code reads files as the exact reader does, and leaves unusual rows to it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

import hatch_build
from dev import ROOT
from tap_voucherify.columns import NUMBER, TEXT, TIMESTAMP, Column
from tap_voucherify.files.compiled import Compiled, load
from tap_voucherify.files.scanned import ScannedBlock
from tests.support.csv_files import file_reader, select, write
from tests.support.fuzz_scanner import try_files

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (
    Column("id", TEXT, "The key."),
    Column("amount", NUMBER, "A number."),
    Column("created_at", TIMESTAMP, "A time."),
)


@pytest.fixture
def compiled() -> Compiled:
    """Return the compiled code."""
    loaded = load()
    if loaded is None:
        pytest.skip("not compiled")
    return loaded


def read(content: bytes, compiled: Compiled | None) -> list[Any]:
    """Return the type, length and lines of each block; a block is valid only until the next."""
    reader = file_reader(select(COLUMNS, has_metadata=False), compiled=compiled)
    return [
        (type(block), len(block), bytes(block.json_lines()))  # type: ignore[union-attr] # no table
        for block in reader.open(io.BytesIO(content))
    ]


def rows(count: int) -> list[list[str]]:
    """Return the header and rows in common formats."""
    header = ["id", "amount", "created_at"]
    return [header, *([str(n), "1.50", f"2026-01-01T00:00:{n % 60:02}.000Z"] for n in range(count))]


def test_random_files_are_read_alike(compiled: Compiled) -> None:
    """Records, errors with their positions, and spans; in blocks of 70 bytes or more."""
    assert compiled
    endings = try_files(7, 1500)

    assert min(endings[each] for each in ("valid", "row", "line", "byte")) > 20


def test_usual_rows_are_scanned(compiled: Compiled) -> None:
    """All of them, in large blocks."""
    ((kind, count, lines),) = read(write(rows(500)), compiled)

    assert (kind, count) == (ScannedBlock, 500)
    assert lines.startswith(
        b'{"id":"0","amount":1.50,"created_at":"2026-01-01T00:00:00.000Z"}\n{"id":"1",'
    )


def test_few_rows_after_an_odd_one_are_read_exactly(compiled: Compiled) -> None:
    """Then compiled code continues; if odd rows abound, the exact reader takes more at once."""
    odd = rows(2_000)
    odd[1_000][1] = "1e5"
    counts = [(kind is ScannedBlock, count) for kind, count, _ in read(write(odd), compiled)]
    assert counts == [(True, 999), (False, 16), (True, 985)]

    for row in odd[1::8]:
        row[1] = "1e5"
    counts = [(kind is ScannedBlock, count) for kind, count, _ in read(write(odd), compiled)]
    exact = [count for is_scanned, count in counts if not is_scanned]
    assert exact[:6] == [16, 32, 64, 128, 256, 256]


def test_a_block_can_be_sliced_and_selected_from(compiled: Compiled) -> None:
    """Like a block of the exact reader."""
    reader = file_reader(select(COLUMNS, has_metadata=False), compiled=compiled)
    block = next(iter(reader.open(io.BytesIO(write(rows(5))))))
    assert isinstance(block, ScannedBlock)

    part = block.slice(1, 4)
    assert [record["id"] for record in part.records()] == ["1", "2", "3"]
    assert bytes(part.json_lines()).count(b"\n") == 3
    assert [record["id"] for record in part.select([True, False, True]).records()] == ["1", "3"]
    assert part.values("created_at") == [f"2026-01-01T00:00:0{n}.000Z" for n in (1, 2, 3)]
    assert part.span("created_at").least == "2026-01-01T00:00:01.000Z"
    assert len(part.slice(2, 9)) == 1
    assert len(part.slice(5, 9)) == 0


def test_without_compiled_code_everything_is_read_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not have been built, or may be switched off."""
    assert load(tmp_path / "missing.so") is None
    monkeypatch.setenv("TAP_VOUCHERIFY_PURE", "1")
    assert load() is None

    assert sum(count for _, count, _ in read(write(rows(500)), None)) == 500


def test_the_scanner_compiles_without_warnings(tmp_path: Path) -> None:
    """With all warnings enabled."""
    source, library = ROOT / hatch_build.SOURCE, tmp_path / "scanner.so"
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")
    if not hatch_build.compile_scanner(source, library, *warnings):
        pytest.skip("there is no compiler")

    assert load(library)


def test_a_compiler_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package works without one."""
    monkeypatch.setenv("CC", "no-such-compiler -O2")

    assert not hatch_build.compile_scanner(ROOT / hatch_build.SOURCE, tmp_path / "scanner.so")
