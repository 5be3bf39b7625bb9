"""`ProbedStream`: choose columns, and ask Voucherify about them with exports without rows."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import replace

from tap_voucherify.columns import METADATA, MODIFIED_AT
from tap_voucherify.declared import DeclaredStream
from tap_voucherify.errors import FieldsRejectedError
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.files.compiled import load
from tap_voucherify.files.exported import FileReader
from tap_voucherify.files.selection import Selection
from tap_voucherify.session import EMPTY_RANGE

if t.TYPE_CHECKING:
    from tap_voucherify.errors import StreamError
    from tap_voucherify.exports.request import ExportedFiles


# Conditions on `filter_of_nothing` that no object meets.
NOTHING: t.Any = {"conditions": {"$is": ["none"]}}


class ProbedStream(DeclaredStream):
    """A stream that probes the service for what a header does not show.

    Attributes:
        filter_of_nothing: Field by which to request an export without rows, if there is no date
            filter.
        request_being_read: The request whose files are being read.
    """

    filter_of_nothing: t.ClassVar[str] = ""
    request_being_read: ExportRequest | None = None
    _rejected: frozenset[str] = frozenset()

    @functools.cached_property
    def selection(self) -> Selection:
        """Which columns a run requests, and which properties they become."""
        sources = (self.updated_column, self.created_column or "")
        return Selection(
            exported_object=self.exported_object,
            declared=[column for column in self.columns if column.name not in self._rejected],
            digests=self.digests,
            keys=self.primary_keys,
            always_selected=self.always_selected,
            schemas=self.effective_schema.get("properties", {}),
            mask=self.mask,
            has_metadata=self.has_metadata and METADATA not in self._rejected,
            coalesce={MODIFIED_AT.name: sources} if self.tracks_updates else {},
            # Parquet columns have one type, and a value may not fit its schema.
            typed_metadata=not self.writes_parquet,
        )

    @functools.cached_property
    def file_reader(self) -> FileReader:
        """Reads the exported files of this run."""
        return FileReader(
            self.selection,
            as_tables=self.writes_parquet,
            is_flattened=self.flattened_depth > 0,
            warn=self.warn,
            ask=self._ask,
            titles=self.stream_state.get("titles"),
            compiled=load(for_tables=self.writes_parquet),
        )

    def empty_request(self) -> ExportRequest:
        """Return an export of all selected fields, without rows if a filter allows that."""
        request = ExportRequest(
            stream=self.name, exported_object=self.exported_object, fields=self.selection.fields
        )
        if self.created_column:
            return replace(request, window=EMPTY_RANGE, filter_field="created_at")
        filters = {self.filter_of_nothing: NOTHING} if self.filter_of_nothing else {}
        return replace(request, extra_parameters={"filters": filters} if filters else {})

    def describe(self, exported: ExportedFiles) -> str:
        """Describe for the log how the header of a test export matches.

        Raises:
            ExportFileError: If it does not.
        """
        if exported.has_empty_file:
            return "an export without rows has no header; the first sync with rows will match it"
        binding = self.file_reader.open(exported.files[0]).binding
        missing = binding.positions.count(None)
        parts = [f"{len(binding.positions) - missing} columns matched"]
        if binding.unverified:
            column, title = binding.unverified
            parts.append(f"{column.api_field!r} accepted by position as {title!r}")
        if self.file_reader.titles:
            parts.append("titles learned from Voucherify")
        if missing:
            parts.append(f"{missing} missing")
        if binding.metadata:
            parts.append(f"{len(binding.metadata)} metadata keys")
        return ", ".join(parts)

    def recover_test(self, error: StreamError) -> list[ExportRequest]:
        """Return the export to test with after a failure; none if it is final."""
        return [self.empty_request()] if self.drop_rejected_fields(error) else []

    def drop_rejected_fields(self, error: StreamError) -> bool:
        """Leave out fields that the service does not have; return whether that can help.

        Keys, and columns needed for filters, cannot be left out.
        """
        if not isinstance(error, FieldsRejectedError):
            return False
        fields = {column.name: column.api_field for column in self.selection.columns}
        fields |= {METADATA: METADATA} if self.selection.metadata else {}
        rejected = [name for name, field in fields.items() if field not in error.allowed]
        if not rejected or set(rejected) & set(self.always_selected):
            return False
        self.warn(f"Voucherify does not export {', '.join(map(repr, rejected))}; left out")
        self._rejected |= set(rejected)
        for outdated in ("selection", "file_reader"):
            vars(self).pop(outdated, None)
        return True

    def _ask(self, fields: list[tuple[str, ...]]) -> list[list[str]]:
        """Return the headers of exports of these fields.

        An export of an empty range costs least, but its file may have 0 bytes; then the range being
        read, which has rows, is exported instead.
        """
        headers = self._export_headers(self.empty_request(), fields)
        if self.request_being_read and not all(headers):
            headers = self._export_headers(self.request_being_read, fields)
        return headers

    def _export_headers(
        self, request: ExportRequest, fields: list[tuple[str, ...]]
    ) -> list[list[str]]:
        return self.session.export_headers([replace(request, fields=each) for each in fields])
