"""`ListStream`: read all objects of a list endpoint."""

from __future__ import annotations

import typing as t

from typing_extensions import override

from tap_voucherify.api.listing import MAX_PASSES, Listing
from tap_voucherify.declared import DeclaredStream
from tap_voucherify.errors import RequestError, UnauthorizedError
from tap_voucherify.files.objects import OTHER, ObjectReader

if t.TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from tap_voucherify.columns import Column
    from tap_voucherify.singer.block_stream import AnyBlock


class ListStream(DeclaredStream):
    """A stream that reads all objects of a list endpoint.

    Attributes:
        path: Path of the endpoint.
        list_key: Property of a page that holds its objects.
        scope: OAuth scope of the endpoint.
    """

    path: t.ClassVar[str]
    list_key: t.ClassVar[str]
    scope: t.ClassVar[str]
    primary_keys = ("id",)
    has_metadata = False

    @property
    @override
    def all_columns(self) -> Sequence[Column]:
        """The declared columns, and the one for undocumented properties."""
        return (*self.columns, OTHER)

    @override
    def read(self) -> Generator[AnyBlock | None, None, bool]:
        """Yield the objects page by page; see `DeclaredStream.read`."""
        listing = Listing(self._get_page, self.path, self.list_key)
        reader = ObjectReader(
            self.columns,
            keys=self.primary_keys,
            is_selected=self._is_selected,
            as_tables=self.writes_parquet,
        )
        for objects in listing:
            if objects:
                yield reader.block(objects)
            self.session.stop.check()
        if not listing.is_consistent:
            self.warn(
                f"objects were created or deleted during each of {MAX_PASSES} passes over the "
                "list; all objects seen are emitted, but some may be missing until the next run"
            )
        if lost := {path for path in reader.undeclared if len(path) <= self.flattened_depth + 1}:
            self.warn(
                f"properties {', '.join(repr('.'.join(path)) for path in sorted(lost))} are not in "
                "the flattened SCHEMA and will be dropped by most loaders"
            )
        self.logger.info(
            "%s: emitted %d objects, read in %d calls",
            self.name,
            self.records_emitted,
            listing.calls,
        )
        return listing.is_consistent

    def count(self) -> int:
        """Return the number of objects, by reading one of them.

        Raises:
            RequestError: If the stream cannot be read.
        """
        return Listing(self._get_page, self.path, self.list_key).count()

    def _get_page(self, path: str, params: Mapping[str, str]) -> dict[str, t.Any]:
        """Return a page; only this stream fails if the account has no access to the endpoint."""
        try:
            return self.session.api.get_page(path, params)
        except (RequestError, UnauthorizedError) as error:
            if isinstance(error, UnauthorizedError):
                # Raises if the credentials are wrong, which ends the run.
                self.session.api.list_exports(limit=1)
            raise RequestError(
                f"{error}; if {path} is not available to you, deselect the stream"
            ) from error

    def _is_selected(self, path: tuple[str, ...]) -> bool:
        """Whether a property, or one of a nested object, is emitted."""
        breadcrumb = tuple(part for name in path for part in ("properties", name))
        return path[0] in self.effective_schema["properties"] and self.mask[breadcrumb]
