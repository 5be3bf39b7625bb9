"""The columns of an export's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from .objects import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .behaviour import Behaviour
    from .objects import ExportedObject
    from .tables import Table

_PREFIX = "metadata."


class Column(NamedTuple):
    """One column of a file: a standard field or a metadata key."""

    name: str
    is_metadata: bool
    title: str


def columns_of(
    table: Table,
    parameters: Mapping[str, Any],
    behaviour: Behaviour,
) -> list[Column]:
    """Return the columns of a file.

    Voucherify docs: columns come in the order of the requested fields. Seen in production: the
    field `metadata` becomes one column per metadata key of the project.
    """
    declared = OBJECTS[table.name]
    rejected = behaviour.rejected_fields.get(table.name, ())
    default = [name for name in declared.default_fields if name not in rejected]
    names = [
        name
        for name in parameters.get("fields") or default
        if (table.name, name) not in behaviour.omitted_columns
    ]
    if behaviour.column_order != "requested":
        names.sort(key=_sort_key(declared, behaviour))
    if behaviour.metadata_position == "end" and "metadata" in names:
        names.remove("metadata")
        names.append("metadata")
    columns: list[Column] = []
    for name in names:
        if name == "metadata":
            columns += _metadata_columns(table, behaviour)
        elif name.startswith(_PREFIX):
            key = name.removeprefix(_PREFIX)
            title = key if behaviour.metadata_field_titles == "plain" else name
            columns.append(Column(key, is_metadata=True, title=title))
        else:
            columns.append(Column(name, False, behaviour.title(table.name, name)))  # noqa: FBT003
    return columns


def _sort_key(declared: ExportedObject, behaviour: Behaviour) -> Callable[[str], Any]:
    """Return the sort key of the service's own column order."""
    if behaviour.column_order == "alphabetical":
        return str
    if behaviour.column_order == "shuffled":
        return lambda name: crc32(f"{declared.name}:{name}".encode())
    positions = {name: position for position, name in enumerate(declared.fields)}
    return lambda name: positions.get(name, len(positions))


def _metadata_columns(table: Table, behaviour: Behaviour) -> list[Column]:
    """Return the columns of the field `metadata`."""
    prefix = _PREFIX if behaviour.metadata_prefix else ""
    columns = [
        Column(key.name, is_metadata=True, title=prefix + key.name)
        for key in table.project.metadata_keys.get(table.name, ())
        if key.defined or behaviour.exports_undefined_metadata
    ]
    return sorted(columns) if behaviour.metadata_order == "alphabetical" else columns
