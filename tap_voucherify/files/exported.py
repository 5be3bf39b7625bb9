"""Read the exported files of one stream: match headers, report anomalies, yield blocks."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

from tap_voucherify.errors import ExportFileError, SettingsError
from tap_voucherify.files.header import METADATA_PREFIX, KnownTitles, bind, metadata_keys
from tap_voucherify.files.order import measure
from tap_voucherify.files.reader import ExportReader
from tap_voucherify.files.rows import ROWS_PER_BLOCK, CsvRows
from tap_voucherify.files.scanned import read_blocks
from tap_voucherify.files.titles import LearnedTitles, ambiguous_header, learn_titles
from tap_voucherify.instants import Span

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.compiled import Compiled
    from tap_voucherify.files.header import Binding
    from tap_voucherify.files.reader import RowBlock
    from tap_voucherify.files.selection import Selection
    from tap_voucherify.files.titles import Ask

    AnyRows: TypeAlias = RowBlock | ArrowBlock

# Few long columns are faster to convert than many short ones.
_ROWS_PER_TABLE = 1000


@contextlib.contextmanager
def needs_pyarrow() -> Iterator[None]:
    """Turn a failed import of pyarrow into an error that names the extra `parquet`.

    Raises:
        SettingsError: If the import fails.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            "batch_config: Parquet needs `pip install tap-voucherify[parquet]`"
        ) from error


class FileReader:
    """Reads all files that a stream exports in one run."""

    def __init__(  # noqa: PLR0913 - by name
        self,
        selection: Selection,
        *,
        as_tables: bool,
        is_flattened: bool,
        warn: Callable[[str], None],
        ask: Ask | None = None,
        titles: object = None,
        compiled: Compiled | None = None,
    ) -> None:
        """Prepare without opening a file.

        Args:
            selection: What was requested.
            as_tables: Whether to yield Arrow tables.
            is_flattened: Whether metadata keys become columns of the SCHEMA message.
            warn: Logs a warning; the same message only once per run.
            ask: Exports each list of fields over an empty range, without metadata, and
                returns the headers.
            titles: The `titles` of an earlier run.
            compiled: Compiled code, if available.
        """
        self._selection = selection
        self._as_tables = as_tables
        self._is_flattened = is_flattened
        self._warn = warn
        self._ask = ask
        self._compiled = compiled
        self._learned = LearnedTitles.from_state(titles)
        # Decided by the first file that has metadata, for all files.
        self._is_prefixed: bool | None = None

    @property
    def titles(self) -> list[list[str | None]] | None:
        """Titles learned from Voucherify in this or an earlier run, for the stream's state."""
        return self._learned.to_state() if self._learned else None

    def open(self, file: t.BinaryIO) -> OpenFile:
        """Match the header of a file, and report anomalies.

        Raises:
            ExportFileError: If the header does not match the selection.
            SettingsError: If tables are requested and pyarrow is not installed.
        """
        rows = CsvRows(file, _ROWS_PER_TABLE if self._as_tables else ROWS_PER_BLOCK)
        selection = self._selection
        binding = self._bind(rows.header)
        if self._is_prefixed is None and binding.metadata:
            self._is_prefixed = all(
                title.startswith(METADATA_PREFIX) for title, _ in binding.metadata
            )
        keys = metadata_keys(binding.metadata, is_prefixed=bool(self._is_prefixed))
        reader = ExportReader(
            rows,
            replace(binding, metadata=keys),
            selection.columns,
            keys=selection.keys,
            metadata=selection.metadata,
            coalesce=selection.coalesce,
            digests=selection.digests,
            hidden=selection.hidden,
        )
        self._check_columns(reader)
        self._check_metadata(reader)
        blocks: Iterable[AnyRows] = (
            self._tables(reader) if self._as_tables else read_blocks(reader, self._compiled)
        )
        return OpenFile(reader, blocks, self._compiled, self._warn)

    def _bind(self, header: Sequence[str]) -> Binding:
        """Match a header on its own, by learned titles, or by asking Voucherify."""
        columns, exported_object = self._selection.columns, self._selection.exported_object
        with_metadata = self._selection.metadata is not None
        known = KnownTitles(columns, [column.titles(exported_object) for column in columns])
        binding = None
        if self._learned:
            binding = self._learned.bind(
                header, known, with_metadata=with_metadata, is_new=self._ask is None
            )
        else:
            binding = bind(header, known, with_metadata=with_metadata)
        if binding is None and self._ask:
            self._learned = learn_titles(known, self._ask)
            # At most once per stream and run.
            self._ask = None
            if new := self._learned.unknown_titles(known):
                self._warn(
                    "learned column titles from Voucherify: "
                    + ", ".join(f"field {field!r} is {title!r}" for field, title in new)
                    + ". Please report these names"
                )
            binding = self._learned.bind(header, known, with_metadata=with_metadata, is_new=True)
        if binding is None:
            raise ambiguous_header(header, self._selection.fields)
        return binding

    def _tables(self, reader: ExportReader) -> Iterable[ArrowBlock]:
        with needs_pyarrow():
            from tap_voucherify.files.arrow import ArrowReader  # noqa: PLC0415 - an extra
        return ArrowReader(reader, self._compiled)

    def _check_columns(self, reader: ExportReader) -> None:
        if reader.binding.unverified:
            column, title = reader.binding.unverified
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


class OpenFile:
    """An exported file whose header has been matched; iterating yields blocks of rows.

    Attributes:
        binding: Where the columns are.
    """

    def __init__(
        self,
        reader: ExportReader,
        blocks: Iterable[AnyRows],
        compiled: Compiled | None,
        warn: Callable[[str], None],
    ) -> None:
        self.binding = reader.binding
        self._reader = reader
        self._blocks = blocks
        self._compiled = compiled
        self._warn = warn

    def span(self, name: str) -> Span:
        """Measure the times of the whole file; call this before reading the first block.

        Args:
            name: A timestamp column.
        """
        names = [column.name for column in self._reader.columns]
        position = self.binding.positions[names.index(name)]
        if position is None:
            return Span(is_ascending=False)
        return measure(self._reader.rows.file, position, self._compiled)

    def __iter__(self) -> Iterator[AnyRows]:
        yield from self._blocks
        if self._reader.type_mismatches:
            mismatches = self._reader.type_mismatches.items()
            self._warn(
                "metadata values that do not match their schema are emitted as text: "
                + ", ".join(f"{count} of {name!r}" for name, count in mismatches)
            )
        for name in self._reader.replacements:
            self._warn(
                f"some values of {name!r} contain half of a surrogate pair (a character cut in "
                "two); it is emitted as U+FFFD"
            )
