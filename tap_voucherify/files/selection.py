"""Which columns a run requests for a stream, and which properties they become."""

from __future__ import annotations

import functools
import itertools
import typing as t
from dataclasses import dataclass, field

from tap_voucherify.columns import METADATA, Column
from tap_voucherify.files.fields import MetadataOptions
from tap_voucherify.files.metadata import metadata_parser

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Selection:
    """What a catalog selects of a stream.

    Attributes:
        exported_object: Voucherify's name of the object.
        declared: The stream's columns, in schema order.
        keys: Names of the key properties.
        always_selected: Names of the properties that are selected regardless of the catalog.
        schemas: JSON schemas of the properties in the catalog.
        mask: What the catalog selects, by breadcrumb.
        has_metadata: Whether metadata can be exported.
        coalesce: Extra properties: the first non-empty of two timestamps.
        digests: Extra properties: a key computed from the named columns.
        typed_metadata: Whether metadata keys are converted to the types of their schemas.
    """

    exported_object: str
    declared: Sequence[Column]
    keys: Sequence[str]
    always_selected: Sequence[str]
    schemas: Mapping[str, t.Any]
    mask: Mapping[tuple[str, ...], bool]
    has_metadata: bool = True
    coalesce: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    digests: Mapping[str, Sequence[str]] = field(default_factory=dict)
    typed_metadata: bool = True

    @functools.cached_property
    def columns(self) -> tuple[Column, ...]:
        """The requested columns, in order.

        The one with the longest name comes last: it reveals any shift in the header, unless
        a metadata key has that name, which is unlikely for a long one.
        """
        required = {*self.always_selected, *itertools.chain(*self.digests.values())}
        selected = [
            column
            for column in self.declared
            if column.name in required or self._is_selected(column.name)
        ]
        longest = max((len(column.api_field) for column in selected), default=0)
        anchors = [column for column in selected if len(column.api_field) == longest]
        # sorted is stable: everything but the anchor keeps its order.
        return tuple(sorted(selected, key=lambda column: column in anchors[:1]))

    @functools.cached_property
    def hidden(self) -> frozenset[str]:
        """Names of the columns that are requested only for a digest, and not emitted."""
        sources = frozenset(itertools.chain(*self.digests.values()))
        return frozenset(
            name
            for name in sources
            if name not in self.always_selected and not self._is_selected(name)
        )

    @functools.cached_property
    def fields(self) -> tuple[str, ...]:
        """Requested fields; metadata comes last."""
        fields = tuple(column.api_field for column in self.columns)
        return (*fields, METADATA) if self.metadata else fields

    @functools.cached_property
    def metadata(self) -> MetadataOptions | None:
        """How to read metadata columns; None if metadata is not requested."""
        if not (self.has_metadata and self._is_selected(METADATA)):
            return None
        schemas = self.metadata_schemas if self.typed_metadata else {}
        parsers = {name: metadata_parser(schema) for name, schema in schemas.items()}
        return MetadataOptions(
            {name: parser for name, parser in parsers.items() if parser},
            lambda name: self.mask["properties", METADATA, "properties", name],
        )

    @property
    def metadata_schemas(self) -> Mapping[str, t.Any]:
        """JSON schemas of the metadata keys in the catalog."""
        schemas: Mapping[str, t.Any] = self.schemas.get(METADATA, {}).get("properties", {})
        return schemas

    def _is_selected(self, name: str) -> bool:
        return name in self.schemas and self.mask["properties", name]
