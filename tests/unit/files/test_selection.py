"""A selection decides what is requested, and in what order."""

from __future__ import annotations

from collections import defaultdict

from tap_voucherify.columns import TEXT, TIMESTAMP, Column
from tap_voucherify.files.cells import to_number
from tests.support.csv_files import select

ID = Column("id", TEXT, "The key.")
CODE = Column("voucher_code", TEXT, "A long name.")
CREATED = Column("created_at", TIMESTAMP, "A time.", field="date")
NAME = Column("voucher_name", TEXT, "A name as long.")


def test_the_longest_name_comes_last() -> None:
    """The first of several; the others keep their order, and metadata follows."""
    selection = select([CODE, ID, CREATED, NAME])

    assert selection.columns == (ID, CREATED, NAME, CODE)
    assert selection.fields == ("id", "date", "voucher_name", "voucher_code", "metadata")
    assert select([ID, CREATED], has_metadata=False).fields == ("id", "date")


def test_deselected_columns_are_not_requested() -> None:
    """Unless they are always selected, or a key is computed from them."""
    mask = defaultdict(bool, {("properties", "id"): True})
    columns = [CODE, ID, CREATED, NAME]

    assert select(columns, mask=mask, always_selected=()).fields == ("id",)
    assert select(columns, mask=mask, always_selected=("created_at",)).fields == ("id", "date")
    digests = {"key": ("voucher_code", "created_at")}
    assert select(columns, mask=mask, digests=digests).fields == ("id", "date", "voucher_code")


def test_metadata_is_read_as_the_catalog_says() -> None:
    """Each key has its type and its selection."""
    schema = {"properties": {"size": {"type": ["number"]}, "name": {"type": ["string"]}}}
    mask = defaultdict(lambda: True)
    mask["properties", "metadata", "properties", "hidden"] = False
    typed = select([ID], schema=schema, mask=mask)
    plain = select([ID], schema=schema, mask=mask, typed_metadata=False)

    assert typed.metadata is not None
    assert plain.metadata is not None
    assert dict(typed.metadata.parsers) == {"size": to_number}
    assert dict(plain.metadata.parsers) == {}
    assert (typed.metadata.is_selected("size"), typed.metadata.is_selected("hidden")) == (
        True,
        False,
    )
    assert typed.metadata_schemas == schema["properties"]
    assert select([ID], has_metadata=False).metadata is None
