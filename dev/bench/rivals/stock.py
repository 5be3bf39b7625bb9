"""A tap on the SDK's defaults, which reads the text of the file with a `DictReader`."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import Stream, Tap
from singer_sdk import typing as th

from .export import FIELDS, download

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk.helpers.types import Context

NUMBERS = {"value", "gift_balance", "loyalty_balance", "discount_amount_limit"}
INTEGERS = {"redemption_quantity", "redemption_count"}
BOOLEANS = {"active", "is_referral_code"}
TIMES = {"start_date", "expiration_date", "created_at", "updated_at"}


def schema_of(name: str) -> type[th.JSONTypeHelper[Any]]:
    """Return the type of a field."""
    if name in NUMBERS:
        return th.NumberType
    if name in INTEGERS:
        return th.IntegerType
    if name in BOOLEANS:
        return th.BooleanType
    return th.DateTimeType if name in TIMES else th.StringType


def value_of(name: str, cell: str) -> object:
    """Return the typed value of a cell."""
    if not cell:
        return None
    if name in NUMBERS:
        return float(cell)
    if name in INTEGERS:
        return int(cell)
    return cell == "true" if name in BOOLEANS else cell


class Vouchers(Stream):
    """All vouchers."""

    name = "vouchers"
    primary_keys: Sequence[str] = ("id",)
    replication_key = "created_at"
    schema: ClassVar[dict[str, Any]] = th.PropertiesList(
        *(th.Property(name, schema_of(name)) for name in FIELDS),
        th.Property("metadata", th.ObjectType(additional_properties=th.StringType)),
    ).to_dict()

    def get_records(
        self,
        context: Context | None,  # noqa: ARG002 - there are no partitions
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of an export with their types."""
        lines = self.lines()
        attributes = next(csv.reader(lines))[len(FIELDS) :]
        columns = [f"metadata.{name}" for name in attributes]
        for row in csv.DictReader(lines, [*FIELDS, *columns]):
            record: dict[str, Any] = {name: value_of(name, row[name]) for name in FIELDS}
            record["metadata"] = {
                name: row[column]
                for name, column in zip(attributes, columns, strict=True)
                if row[column]
            }
            yield record

    def lines(self) -> Iterator[str]:
        """Return the lines of the file."""
        return io.StringIO(download(self.config).text, newline="")


class TapStock(Tap):
    """The tap."""

    name = "tap-stock"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("api_url", th.StringType, required=True),
        th.Property("app_id", th.StringType, required=True),
        th.Property("app_token", th.StringType, required=True, secret=True),
    ).to_dict()

    def discover_streams(self) -> list[Stream]:
        """Return the one stream."""
        return [Vouchers(self)]


if __name__ == "__main__":
    TapStock.cli()
