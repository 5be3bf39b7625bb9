"""One column of an export, or one property of a listed object, declared once.

The JSON schema, the export request and the readers derive from these declarations.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class ColumnType(enum.Enum):
    """Column types; the value is (JSON type, format)."""

    TEXT = ("string", None)
    NUMBER = ("number", None)
    INTEGER = ("integer", None)
    BOOLEAN = ("boolean", None)
    TIMESTAMP = ("string", "date-time")
    DATE = ("string", "date")
    JSON_OBJECT = ("object", None)
    JSON_ARRAY = ("array", None)

    @property
    def is_json(self) -> bool:
        """Whether values are JSON objects or arrays."""
        return self in {ColumnType.JSON_OBJECT, ColumnType.JSON_ARRAY}


TEXT = ColumnType.TEXT
NUMBER = ColumnType.NUMBER
INTEGER = ColumnType.INTEGER
BOOLEAN = ColumnType.BOOLEAN
TIMESTAMP = ColumnType.TIMESTAMP
DATE = ColumnType.DATE
JSON_OBJECT = ColumnType.JSON_OBJECT
JSON_ARRAY = ColumnType.JSON_ARRAY


def normalize_title(title: str) -> str:
    """Normalize a title for comparison: `Is referral code?` -> `isreferralcode`."""
    return "".join(filter(str.isalnum, title)).casefold()


@dataclass(frozen=True)
class Column:
    """A field of an object.

    Attributes:
        name: The property's name in records.
        type: Type of its values.
        description: Description in the schema.
        field: API name, if different.
        title: CSV title, if documented or observed.
        expected_title: Another likely title, such as that of the same field in another object.
        parts: Documented properties of a JSON object, or of the objects in an array; there may
            be others.
        items: Type of the elements of an array.
    """

    name: str
    type: ColumnType
    description: str
    field: str = ""
    title: str = ""
    expected_title: str = ""
    parts: tuple[Column, ...] = ()
    items: ColumnType = ColumnType.JSON_OBJECT

    @property
    def api_field(self) -> str:
        """Voucherify's name of the field."""
        return self.field or self.name

    def titles(self, exported_object: str) -> frozenset[str]:
        """Return the normalized titles that identify this column of an object."""
        with_object = f"{exported_object.removesuffix('s')} {self.api_field}"
        titles = (self.api_field, with_object, self.title, self.expected_title)
        return frozenset(normalize_title(title) for title in titles if title)

    def schema(self, *, nullable: bool, as_text: bool = False) -> dict[str, t.Any]:
        """Return the JSON schema of the property.

        Args:
            nullable: Whether it may be null.
            as_text: Whether objects and arrays are JSON text, as in Parquet files.
        """
        json_type, json_format = self.type.value
        if as_text and self.type.is_json:
            json_type = "string"
        schema: dict[str, t.Any] = {
            "type": [json_type, "null"] if nullable else [json_type],
            "description": self.description,
        }
        if json_format:
            schema["format"] = json_format
        return schema if as_text else schema | self._contents()

    def _contents(self) -> dict[str, t.Any]:
        """Return the JSON schema of what an object or an array holds."""
        contents: dict[str, t.Any] = {}
        if self.parts:
            properties = {part.name: part.schema(nullable=True) for part in self.parts}
            contents = {"properties": properties, "additionalProperties": True}
        if self.type is JSON_ARRAY:
            contents = {"items": {"type": [self.items.value[0]], **contents}}
        return contents


METADATA = "metadata"

# The replication key of a stream that tracks updates: `updated_at` is empty until the
# first update.
MODIFIED_AT = Column(
    "modified_at",
    TIMESTAMP,
    "Time of last update, or of creation if never updated (added by the tap).",
)


def metadata_schema(schemas: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the JSON schema of the `metadata` property.

    Args:
        schemas: Schemas of the typed keys; all others are strings.
    """
    schema = {
        "type": ["object"],
        "description": "The metadata keys that have a value.",
        "additionalProperties": {"type": "string"},
    }
    return schema | ({"properties": dict(schemas)} if schemas else {})
