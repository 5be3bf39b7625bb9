"""Read the exported files of one stream: check headers, report anomalies, yield blocks."""

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from tap_voucherify.errors import ExportFileError, SettingsError
from tap_voucherify.files.reader import ExportReader
from tap_voucherify.instants import parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import Block
    from tap_voucherify.files.selection import Selection


class FileReader:
    """Reads all exported files that a stream has in one run."""

    def __init__(
        self,
        selection: Selection,
        *,
        as_tables: bool,
        is_flattened: bool,
        warn: Callable[[str], None],
    ) -> None:
        """Read no file yet.

        Args:
            selection: What was requested.
            as_tables: Whether to yield Arrow tables.
            is_flattened: Whether metadata keys become columns of the SCHEMA message.
            warn: Reports an anomaly; equal messages once per run.
        """
        self._selection = selection
        self._as_tables = as_tables
        self._is_flattened = is_flattened
        self._warn = warn

    def read(self, file: t.BinaryIO) -> Iterator[Block | ArrowBlock]:
        """Yield the rows of one file, and report anomalies.

        Raises:
            ExportFileError: If the header does not match the selection, or a row or cell
                is invalid.
            SettingsError: If tables need a package that is not installed.
        """
        reader = self._open(file)
        self._check_columns(reader)
        self._check_metadata(reader)
        yield from self._tables(reader) if self._as_tables else reader
        if reader.type_mismatches:
            mismatches = reader.type_mismatches.items()
            self._warn(
                "metadata values that do not match their schema are emitted as text: "
                + ", ".join(f"{count} of {name!r}" for name, count in mismatches)
            )

    def is_ascending(self, file: t.BinaryIO, name: str) -> bool:
        """Whether the times of a property are in ascending order, within a second.

        An invalid file is not; reading it raises the error.
        """
        greatest, result = "", True
        with contextlib.suppress(ExportFileError):
            for block in self._open(file):
                for value in filter(None, block.values(name)):
                    if value < greatest:
                        distance = parse_instant(greatest) - parse_instant(value)
                        result = result and distance <= dt.timedelta(seconds=1)
                    greatest = max(greatest, value)
        file.seek(0)
        return result

    def _open(self, file: t.BinaryIO) -> ExportReader:
        return ExportReader(
            file,
            self._selection.columns,
            keys=self._selection.keys,
            metadata=self._selection.metadata,
            coalesce=self._selection.coalesce,
        )

    @staticmethod
    def _tables(reader: ExportReader) -> Iterable[ArrowBlock]:
        try:
            from tap_voucherify.files.arrow import ArrowReader  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SettingsError(
                "batch_config: Parquet needs `pip install tap-voucherify[parquet]`"
            ) from error
        return ArrowReader(reader)

    def _check_columns(self, reader: ExportReader) -> None:
        for column, title in reader.binding.unverified:
            self._warn(
                f"requested field {column.api_field!r}, found column {title!r}; accepted by "
                "position. Please report both names"
            )
        for column in reader.missing:
            if column.name in self._selection.always_selected:
                raise ExportFileError(f"column {column.api_field!r} is missing")
            self._warn(f"column {column.api_field!r} is missing; emitting null")

    def _check_metadata(self, reader: ExportReader) -> None:
        """Warn about metadata keys missing from the flattened SCHEMA."""
        schemas = self._selection.metadata_schemas
        if not schemas or not self._is_flattened:
            return
        undeclared = [name for name, _ in reader.binding.metadata if name not in schemas]
        if undeclared:
            self._warn(
                f"metadata keys {', '.join(map(repr, undeclared))} are not in the flattened "
                "SCHEMA and will be dropped by most loaders; define them in Voucherify and "
                "refresh the catalog"
            )
