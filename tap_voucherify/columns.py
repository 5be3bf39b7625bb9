"""One exported column, declared once.

The JSON schema, the export request and the CSV reader derive from these declarations.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class ColumnType(enum.Enum):
    """What the cells of a column hold; the value is its JSON schema."""

    TEXT = ("string", None)
    NUMBER = ("number", None)
    INTEGER = ("integer", None)
    BOOLEAN = ("boolean", None)
    TIMESTAMP = ("string", "date-time")
    DATE = ("string", "date")
    JSON_OBJECT = ("object", None)


TEXT = ColumnType.TEXT
NUMBER = ColumnType.NUMBER
INTEGER = ColumnType.INTEGER
BOOLEAN = ColumnType.BOOLEAN
TIMESTAMP = ColumnType.TIMESTAMP
DATE = ColumnType.DATE
JSON_OBJECT = ColumnType.JSON_OBJECT


def simplify(title: str) -> str:
    """Reduce a title to what identifies it: `Is referral code?` -> `isreferralcode`."""
    return "".join(filter(str.isalnum, title)).casefold()


@dataclass(frozen=True)
class Column:
    """A field of an exported object.

    Attributes:
        name: The property's name in records.
        type: What its cells hold.
        description: What Voucherify's reference says of it.
        field: What the API calls it, where that is not `name`.
        title: Its title in the CSV header, where that is documented or was seen.
        likely_title: A title that the same field has in another object's header; unlike
            a known one, it need not be found.
    """

    name: str
    type: ColumnType
    description: str
    field: str = ""
    title: str = ""
    likely_title: str = ""

    @property
    def api_field(self) -> str:
        """The name by which an export asks for this column."""
        return self.field or self.name

    @property
    def titles(self) -> frozenset[str]:
        """The simplified titles by which a header may call this column."""
        titles = (self.api_field, self.title, self.likely_title)
        return frozenset(simplify(title) for title in titles if title)

    def schema(self, *, nullable: bool) -> dict[str, t.Any]:
        """Return the JSON schema of the property."""
        json_type, json_format = self.type.value
        schema: dict[str, t.Any] = {
            "type": [json_type, "null"] if nullable else [json_type],
            "description": self.description,
        }
        if json_format:
            schema["format"] = json_format
        return schema


METADATA = "metadata"

# The replication key of a stream that tracks updates: a record that was never updated has no time
# of its last update.
MODIFIED_AT = Column(
    "modified_at", TIMESTAMP, "When it was last updated, or else created (added by the tap)."
)


def metadata_schema(attributes: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the JSON schema of the property that holds the custom attributes.

    Args:
        attributes: The schemas of those whose types are known; the others are text.
    """
    schema = {
        "type": ["object"],
        "description": "The custom attributes that have a value, by their names.",
        "additionalProperties": {"type": "string"},
    }
    return schema | ({"properties": dict(attributes)} if attributes else {})
