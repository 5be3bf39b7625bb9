"""Batch files: Parquet, or JSON lines, which may be gzipped."""

from __future__ import annotations

import contextlib
import gzip
import sys
import typing as t
from uuid import uuid4

from singer_sdk.exceptions import SingerSDKError

from tap_voucherify.errors import OutputError, one_line

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq
    from singer_sdk.helpers._batch import BatchConfig

    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import RecordBlock


_ROOT = "batch_config.storage.root"

# Much faster than the highest level, for files a tenth larger.
_GZIP_LEVEL = 6


def wants_parquet(config: BatchConfig | None) -> bool:
    """Whether batch files are to be Parquet."""
    return config is not None and config.encoding.format == "parquet"


def write_batches(
    name: str, config: BatchConfig, blocks: Iterator[RecordBlock | ArrowBlock | None]
) -> Iterator[list[str]]:
    """Write blocks to files, and yield the manifest of each file once it is complete.

    The stream's state covers a block as soon as the next one is requested. A partial file is
    therefore reported even if the blocks end in an error.

    Args:
        name: Prefix of the file names.
        config: Where and how to write.
        blocks: The blocks; None ends a file.

    Raises:
        OutputError: If a file cannot be written.
    """
    file = _BatchFile(name, config)
    try:
        for block in blocks:
            if block and not file.accepts(block):
                yield file.finish()
            while block:
                remaining = config.batch_size - file.rows
                file.write(block.slice(0, remaining))
                block = block.slice(remaining, len(block))  # noqa: PLW2901 - the rest of it
                if file.rows == config.batch_size:
                    yield file.finish()
            if block is None and file.rows:
                yield file.finish()
    except OutputError:
        raise
    except SingerSDKError:
        if file.rows:
            yield file.finish()
        raise
    if file.rows:
        yield file.finish()


def _storage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of unavailable storage; S3 adds its own once it is in use."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError, botocore.BotoCoreError) if botocore else (OSError,)


class _BatchFile:
    """The file being written; the next one begins after `finish`."""

    def __init__(self, name: str, config: BatchConfig) -> None:
        self.rows = 0
        self._config = config
        self._name = f"{config.storage.prefix or ''}{name}-{uuid4()}"
        self._number = 0
        self._opened = contextlib.ExitStack()
        self._is_gzipped = config.encoding.compression == "gzip"
        self._json_lines: t.IO[bytes] | gzip.GzipFile | None = None
        self._parquet: pq.ParquetWriter | None = None

    @property
    def _filename(self) -> str:
        suffix = "parquet" if wants_parquet(self._config) else "jsonl"
        if suffix == "jsonl" and self._is_gzipped:
            suffix += ".gz"
        return f"{self._name}-{self._number}.{suffix}"

    def accepts(self, block: RecordBlock | ArrowBlock) -> bool:
        """Whether the file can hold a block: all rows of a Parquet file have one schema."""
        if self._parquet is None:
            return True
        return bool(self._parquet.schema == t.cast("ArrowBlock", block).table.schema)

    def write(self, block: RecordBlock | ArrowBlock) -> None:
        """Append rows."""
        if not self.rows:
            self._number += 1
        self.rows += len(block)
        with self._raising_output_error():
            if wants_parquet(self._config):
                self._write_parquet(t.cast("ArrowBlock", block))
            else:
                self._write_json_lines(t.cast("RecordBlock", block))

    def finish(self) -> list[str]:
        """Complete the file and return its manifest."""
        with self._raising_output_error():
            self._opened.close()
        self._json_lines = self._parquet = None
        self.rows = 0
        return [self._config.storage.get_url(self._filename)]

    @contextlib.contextmanager
    def _raising_output_error(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            # The message names the extra to install.
            raise OutputError(f"{_ROOT}: {one_line(error)}") from error
        except ValueError as error:
            raise OutputError(f"{_ROOT}: must be the URL of a supported file system") from error
        except _storage_errors() as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise OutputError(f"{_ROOT}: batch files cannot be written: {reason}") from error

    def _open(self) -> t.IO[bytes]:
        return self._opened.enter_context(self._config.storage.open(self._filename, "wb"))

    def _write_json_lines(self, block: RecordBlock) -> None:
        if self._json_lines is None:
            self._json_lines = file = self._open()
            if self._is_gzipped:
                zipped = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL)
                self._json_lines = self._opened.enter_context(zipped)
        self._json_lines.write(block.json_lines())

    def _write_parquet(self, block: ArrowBlock) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

        if self._parquet is None:
            compression = self._config.encoding.compression or "snappy"
            self._parquet = self._opened.enter_context(
                pq.ParquetWriter(
                    self._open(),
                    block.table.schema,
                    compression=compression,
                    use_dictionary=block.repetitive_columns(),
                )
            )
        self._parquet.write_table(block.table)
