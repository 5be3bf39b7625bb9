"""Unusual headers: other titles for keys, and metadata keys that equal standard titles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .metadata import MetadataKey
from .objects import OBJECTS, title_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def plausible_titles(exported_object: str) -> tuple[str, ...]:
    """Return plausible titles of an object's key; most of the true ones are unknown."""
    name = exported_object.replace("_", " ").title()
    return (f"{name} ID", f"{name} Identifier", "Identifier", "Unique ID", f"{name} No.", "Key")


def colliding_metadata(count: int) -> Mapping[str, tuple[MetadataKey, ...]]:
    """Return metadata keys for each object, as many as possible with the name of another column.

    Seen in production: a metadata key may equal a standard title (`order`, `campaign`, `id`).

    Args:
        count: The number of keys of each object: first the standard titles, then the names of
            fields, then others.
    """
    keys = {}
    for declared in OBJECTS.values():
        if "metadata" in (*declared.fields, *declared.undocumented_fields):
            fields = [name for name in declared.fields if name != "metadata"]
            titles = [title_of(name, "Creation Date") for name in fields]
            others = [f"attribute {number:03d}" for number in range(count)]
            names = list(dict.fromkeys([*titles, *fields, *others]))[:count]
            keys[declared.name] = tuple(map(MetadataKey, names))
    return keys
