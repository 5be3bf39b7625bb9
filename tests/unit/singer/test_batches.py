"""Batch files contain blocks of rows, complete and in order."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import pyarrow.parquet as pq
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig, StorageTarget

from tap_voucherify.columns import TEXT, Column
from tap_voucherify.singer.batches import write_batches
from tests.support.csv_files import file_reader, select, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = Column("id", TEXT, "The key.")


def blocks(*files: list[list[str]]) -> Iterator[Any]:
    """Yield the tables of files."""
    reader = file_reader(select([ID]), as_tables=True)
    for rows in files:
        yield from reader.open(io.BytesIO(write(rows)))


def test_a_file_has_one_schema(tmp_path: Path) -> None:
    """If the metadata columns of exported files differ, a new batch file begins."""
    config = BatchConfig(
        encoding=BaseBatchFileEncoding(format="parquet", compression="none"),
        storage=StorageTarget(root=tmp_path.as_uri()),
        batch_size=100,
    )
    exported = (
        [["ID", "x"], ["a", "1"]],
        [["ID", "x"], ["b", ""]],
        [["ID", "x", "y"], ["c", "", "3"]],
        [["ID"], ["d"]],
    )

    manifests = list(write_batches("orders", config, blocks(*exported)))

    paths = [urlparse(url).path for manifest in manifests for url in manifest]
    assert [pq.read_table(path).to_pylist() for path in paths] == [
        [{"id": "a", "metadata": {"x": "1"}}, {"id": "b", "metadata": {"x": None}}],
        [{"id": "c", "metadata": {"x": None, "y": "3"}}],
        [{"id": "d", "metadata": None}],
    ]
