"""Metadata keys of a project, and their values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .instants import DAY_MS, to_text
from .vocabulary import CITIES, TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Type = Literal["string", "number", "object", "date", "datetime", "geopoint", "boolean", "image_url"]


@dataclass(frozen=True)
class MetadataKey:
    """One metadata key of an object.

    Attributes:
        name: The key.
        type: Its type in the metadata schema.
        array: Whether its values are arrays.
        defined: Whether a metadata schema defines it. Voucherify docs: the schemas leave out keys
            defined elsewhere, such as in the campaign manager.
        deleted: Whether its definition was deleted from the schema.
    """

    name: str
    type: Type = "string"
    array: bool = False
    defined: bool = True
    deleted: bool = False

    def value(self, number: int, instant: int) -> str:
        """Return one of a thousand values of the key, as the text of a cell."""
        if self.array:
            return json.dumps([f"L{number % 3}", f"L{number % 7}"])
        return _VALUES[self.type](number, instant)


_VALUES: Mapping[Type, Callable[[int, int], str]] = {
    "string": lambda number, _: TEXTS[number % len(TEXTS)] or f"text {number}",
    "number": lambda number, _: str(number if number % 2 else number / 8),
    "object": lambda number, _: json.dumps({"city": CITIES[number % len(CITIES)][0]}),
    "date": lambda number, instant: to_text(instant - number * DAY_MS)[:10],
    "datetime": lambda number, instant: to_text(instant - number * DAY_MS),
    "geopoint": lambda number, _: f"{number / 20:.4f},{number / 10:.4f}",
    "boolean": lambda number, _: "true" if number % 2 else "false",
    "image_url": lambda number, _: f"https://img.example.com/{number}.png",
}


#: Seen in production: a metadata key may equal a standard title (`order`, `campaign`, `id`).
METADATA_KEYS: Mapping[str, tuple[MetadataKey, ...]] = {
    "voucher": (
        MetadataKey("Season"),
        MetadataKey("campaign"),
        MetadataKey("Code", defined=False),
        MetadataKey("Größe", "number"),
        MetadataKey("店舗 🏬", defined=False),
        MetadataKey("old key", deleted=True),
    ),
    "redemption": (
        MetadataKey("order"),
        MetadataKey("id", defined=False),
        MetadataKey("location_id", array=True),
        MetadataKey("terminal, number", "number"),
    ),
    "publication": (
        MetadataKey("campaign"),
        MetadataKey("year", "number"),
        MetadataKey("file_uploaded", "image_url"),
    ),
    "customer": (
        MetadataKey("id"),
        MetadataKey("birth_date", "datetime"),
        MetadataKey("customer_location", "geopoint"),
        MetadataKey("ulubiony_kolor_żółć", defined=False),
        MetadataKey("opted_in", "boolean"),
    ),
    "order": (
        MetadataKey("order"),
        MetadataKey("status"),
        MetadataKey("booking_start_date", "date"),
        MetadataKey("payment", "object"),
    ),
}

#: The dashboard offers metadata of products and SKUs; unknown whether exports do.
PRODUCT_METADATA_KEYS: Mapping[str, tuple[MetadataKey, ...]] = {
    "product": (MetadataKey("brand"), MetadataKey("price", "number")),
    "sku": (MetadataKey("sku"), MetadataKey("weight", "number")),
}
