"""A header is matched by the rules, or is ambiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_voucherify.columns import TEXT, Column
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.header import Binding, KnownTitles, bind, metadata_keys
from tap_voucherify.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_voucherify.stream import ExportStream

ID = Column("id", TEXT, "The key.", title="ID")
CODE = Column("code", TEXT, "A known title.", title="Code")
COUNT = Column("redemption_quantity", TEXT, "Another one.", title="Redemption Limit")
CAMPAIGN = Column("campaign", TEXT, "Titled like its field.")


def match(
    header: Sequence[str], columns: Sequence[Column], *, with_metadata: bool = True
) -> Binding | None:
    """Match a header."""
    known = KnownTitles(columns, [column.titles("thing") for column in columns])
    return bind(header, known, with_metadata=with_metadata)


@pytest.mark.parametrize(
    "header",
    [
        ("Code", "ID", "Redemption Limit"),
        ("code", "id", "redemption_limit"),
        ("CODE", "Id", "Redemption  limit?"),
        ("thing code", "Thing ID", "redemption_quantity"),
    ],
)
@pytest.mark.parametrize("with_metadata", [False, True])
def test_known_titles_in_place(header: Sequence[str], with_metadata: bool) -> None:  # noqa: FBT001 - an example
    """Case, spaces and punctuation do not matter; the object may precede the field's name."""
    binding = match(header, [CODE, ID, COUNT], with_metadata=with_metadata)

    assert binding == Binding((0, 1, 2), (), 3)


def test_what_follows_is_metadata() -> None:
    """Even if it is titled like a standard column: its position identifies it."""
    binding = match(["Code", "ID", "ID", "Season", "店舗", "code"], [CODE, ID])

    assert binding == Binding((0, 1), (("ID", 2), ("Season", 3), ("店舗", 4), ("code", 5)), 6)


def test_one_unknown_title_is_accepted_in_place() -> None:
    """The last column shows that nothing is shifted."""
    binding = match(["Code", "Promotion", "ID", "Season"], [CODE, CAMPAIGN, ID])

    assert binding == Binding((0, 1, 2), (("Season", 3),), 4, (CAMPAIGN, "Promotion"))


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        pytest.param(("Code", "ID", "X", "Y"), (CODE, ID, CAMPAIGN), id="last_unknown"),
        pytest.param(("X", "Y", "ID"), (CODE, CAMPAIGN, ID), id="two_unknown"),
        pytest.param(("X", "ID", "Code"), (CODE, ID), id="missing_title_behind"),
        pytest.param(("ID", "Code", "Season"), (CODE, ID), id="other_order"),
        pytest.param(("ID", "Season"), (CODE, ID), id="first_missing"),
        pytest.param(("Code", "ID", "Campaign"), (CODE, CAMPAIGN, ID), id="metadata_instead"),
        pytest.param(("Code", "ID", "ID"), (CODE, CAMPAIGN, ID), id="shifted"),
        pytest.param(("Code", "ID"), (CODE, CAMPAIGN, ID), id="too_few"),
        pytest.param(("Season", "Code", "ID"), (CODE, ID), id="metadata_first"),
        pytest.param(("Code", "Season", "ID"), (CODE, ID), id="metadata_between"),
    ],
)
def test_with_metadata_any_other_header_is_ambiguous(
    header: Sequence[str], columns: Sequence[Column]
) -> None:
    """A metadata key may have any name."""
    assert match(header, columns) is None


def test_without_metadata_order_does_not_matter() -> None:
    """Every column is matched by its title, and one unknown title by elimination."""
    columns = [CODE, CAMPAIGN, ID]
    known = match(["ID", "Campaign", "Code"], columns, with_metadata=False)
    unknown = match(["ID", "Promotion", "Code"], columns, with_metadata=False)
    last = match(["Code", "Campaign", "Key"], columns, with_metadata=False)

    assert known == Binding((2, 1, 0), (), 3)
    assert unknown == Binding((2, 1, 0), (), 3, (CAMPAIGN, "Promotion"))
    assert last == Binding((0, 1, 2), (), 3, (ID, "Key"))


@pytest.mark.parametrize(
    "header",
    [
        ("ID", "X", "Y"),
        ("ID", "ID", "Code"),
        ("ID", "id", "X"),
        ("ID", "Code"),
        ("Code", "Campaign", "ID", "Season"),
        ("ID", "Campaign", "Code", "X"),
        (),
    ],
    ids=str,
)
def test_without_metadata_any_other_header_is_ambiguous(header: Sequence[str]) -> None:
    """A column is missing or superfluous, or two titles are unknown."""
    assert match(header, [CODE, CAMPAIGN, ID], with_metadata=False) is None


def test_a_title_of_two_columns_identifies_neither() -> None:
    """It counts as unknown."""
    other = Column("other", TEXT, "Another column.", title="Code")

    assert match(["Code", "other", "ID"], [CODE, other, ID]) == Binding(
        (0, 1, 2), (), 3, (CODE, "Code")
    )


@pytest.mark.parametrize("stream", STREAMS)
def test_declared_titles_are_unambiguous(stream: type[ExportStream]) -> None:
    """Within a stream, no title belongs to two columns."""
    titles = [t for column in stream.columns for t in column.titles(stream.exported_object)]

    assert len(titles) == len(set(titles))


def test_a_metadata_prefix_is_stripped() -> None:
    """From the keys that have it."""
    titles = (("metadata.a", 1), ("xb", 2), ("metadata.metadata.c", 3))

    assert metadata_keys(titles, is_prefixed=False) == titles
    assert metadata_keys(titles, is_prefixed=True) == (("a", 1), ("xb", 2), ("metadata.c", 3))


def test_equal_metadata_keys_are_an_error() -> None:
    """Neither column may overwrite the other."""
    with pytest.raises(ExportFileError, match="duplicate metadata column 'a'"):
        metadata_keys((("a", 1), ("b", 2), ("b", 3), ("a", 4)), is_prefixed=False)
    with pytest.raises(ExportFileError, match="duplicate metadata column 'a'"):
        metadata_keys((("metadata.a", 1), ("a", 2)), is_prefixed=True)
