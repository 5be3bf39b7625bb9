"""All files of a stream are read alike, and anomalies are reported."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from tap_voucherify.columns import JSON_OBJECT, TEXT, TIMESTAMP, Column
from tap_voucherify.errors import ExportFileError, SettingsError
from tests.support.csv_files import file_reader, select, write

ID = Column("id", TEXT, "The key.")
NAME = Column("name", TEXT, "A name.")
CREATED = Column("created_at", TIMESTAMP, "A time.")
DETAILS = Column("details", JSON_OBJECT, "An object.")


def records(reader: Any, rows: list[list[str]]) -> list[dict[str, Any]]:
    """Return the records of a file."""
    return [record for block in reader.open(io.BytesIO(write(rows))) for record in block.records()]


@pytest.mark.parametrize("with_prefix", [True, False])
def test_a14_the_metadata_prefix_is_decided_once(with_prefix: bool) -> None:  # noqa: FBT001 - an example
    """By the first file that has metadata, for those that follow."""
    reader = file_reader(select([ID, NAME]))
    first = ["metadata.x"] if with_prefix else ["metadata.x", "y"]
    values = ["1", "2"][: len(first)]

    assert records(reader, [["ID", "Name"], ["a", "b"]])[0]["metadata"] == {}
    prefix = "" if with_prefix else "metadata."
    (record,) = records(reader, [["ID", "Name", *first], ["a", "b", *values]])
    assert record["metadata"] == dict(zip([f"{prefix}x", "y"], values, strict=False))
    (record,) = records(reader, [["ID", "Name", "metadata.x", "z"], ["a", "b", "1", "2"]])
    assert record["metadata"] == {f"{prefix}x": "1", "z": "2"}
    (record,) = records(reader, [["ID", "Name", "metadata.x"], ["a", "b", "1"]])
    assert record["metadata"] == {f"{prefix}x": "1"}


def test_keys_that_become_equal_are_an_error() -> None:
    """Since the prefix is stripped from all files."""
    reader = file_reader(select([ID, NAME]))
    records(reader, [["ID", "Name", "metadata.x"]])

    with pytest.raises(ExportFileError, match="duplicate metadata column 'x'"):
        records(reader, [["ID", "Name", "x", "metadata.x"]])


def test_an_unknown_title_is_reported() -> None:
    """With the field that was requested."""
    warnings: list[str] = []
    reader = file_reader(select([ID, NAME, CREATED]), warnings.append)

    records(reader, [["ID", "Label", "Created at", "x"]])

    assert warnings == [
        (
            "requested field 'name', found column 'Label'; accepted by position. "
            "Please report both names"
        )
    ]


def test_a_missing_column_is_reported() -> None:
    """Its values are null."""
    warnings: list[str] = []
    reader = file_reader(
        select([ID, NAME, CREATED]), warnings.append, ask=lambda _: [["ID", "Created at"]]
    )

    assert records(reader, [["ID", "Created at"], ["a", ""]])[0]["name"] is None
    assert warnings == ["column 'name' is missing; emitting null"]


def test_a10_a_key_is_never_a_metadata_column() -> None:
    """If Voucherify leaves the key out, a metadata key of that name does not replace it."""
    reader = file_reader(select([ID, NAME]), ask=lambda _: [["Name"]])
    with pytest.raises(ExportFileError, match="column 'id' is missing"):
        records(reader, [["Name", "ID"], ["a", "an attribute"]])


def test_an_ambiguous_header_is_an_error() -> None:
    """If Voucherify cannot be asked, or its header does not match the file's."""
    for ask in (None, lambda _: [["Name", "ID"]]):
        reader = file_reader(select([ID, NAME]), ask=ask)
        message = r"ambiguous header: got \['ID', 'x', 'Name'\], requested \['id', 'name', 'meta"
        with pytest.raises(ExportFileError, match=message):
            records(reader, [["ID", "x", "Name"]])


def test_learned_titles_are_reported() -> None:
    """With the fields that they belong to."""
    warnings: list[str] = []
    reader = file_reader(select([ID, NAME]), warnings.append, ask=lambda _: [["Label", "ID"]])

    (record,) = records(reader, [["Label", "ID"], ["a", "b"]])

    assert record == {"id": "b", "name": "a", "metadata": {}}
    assert warnings == [
        (
            "learned column titles from Voucherify: field 'name' is 'Label'. "
            "Please report these names"
        )
    ]


def test_titles_are_learned_once_per_run() -> None:
    """After that, an ambiguous header is an error."""
    requests = []

    def ask(fields: list[tuple[str, ...]]) -> list[list[str]]:
        requests.append(fields)
        return [["Name", "ID"]]

    reader = file_reader(select([ID, NAME]), ask=ask)
    assert reader.titles is None
    for _ in range(2):
        (record,) = records(reader, [["Name", "ID", "x"], ["a", "b", "c"]])
        assert record == {"id": "b", "name": "a", "metadata": {"x": "c"}}
    with pytest.raises(ExportFileError, match="ambiguous"):
        records(reader, [["x", "Name", "ID"]])
    assert requests == [[("id", "name")]]
    assert reader.titles == [["name", "Name"], ["id", "ID"]]


@pytest.mark.parametrize("is_flattened", [True, False])
@pytest.mark.parametrize("is_typed", [True, False])
def test_undeclared_metadata_is_reported(is_flattened: bool, is_typed: bool) -> None:  # noqa: FBT001 - an example
    """If it becomes properties that no SCHEMA declares."""
    warnings: list[str] = []
    schema = {"properties": {"a": {"type": ["string"]}}} if is_typed else {}
    reader = file_reader(select([ID], schema=schema), warnings.append, is_flattened=is_flattened)
    records(reader, [["ID", "a"]])
    assert warnings == []

    records(reader, [["ID", "a", "b", "c"]])

    expected = ["metadata keys 'b', 'c' are not in the flattened SCHEMA"]
    found = [warning[: len(expected[0])] for warning in warnings]
    assert found == (expected if is_flattened and is_typed else [])


def test_values_that_are_changed_are_reported() -> None:
    """Metadata that does not fit its type stays text; halves of surrogate pairs are replaced."""
    warnings: list[str] = []
    schema = {"properties": {"a": {"type": ["number"]}}}
    reader = file_reader(select([ID, DETAILS], schema=schema), warnings.append)

    (record,) = records(reader, [["ID", "Details", "a"], ["1", r'{"b": "\ud83d"}', "large"]])

    assert record == {"id": "1", "details": {"b": "\ufffd"}, "metadata": {"a": "large"}}
    assert warnings == [
        "metadata values that do not match their schema are emitted as text: 1 of 'a'",
        (
            "some values of 'details' contain half of a surrogate pair (a character cut in two); "
            "it is emitted as U+FFFD"
        ),
    ]


def test_order_is_measured_before_the_first_block() -> None:
    """A missing column is not in order."""
    rows = [["ID", "Created at"], ["a", "2026-01-01"], ["b", "2026-01-02"]]
    opened = file_reader(select([ID, CREATED])).open(io.BytesIO(write(rows)))
    assert opened.span("created_at").is_ascending
    assert [len(block) for block in opened] == [2]

    opened = file_reader(select([ID, CREATED])).open(io.BytesIO(write([rows[0], *rows[:0:-1]])))
    assert not opened.span("created_at").is_ascending
    reader = file_reader(select([ID, NAME, CREATED]), ask=lambda _: [["ID", "Name"]])
    assert not reader.open(io.BytesIO(write([["ID", "Name"]]))).span("created_at").is_ascending


def test_tables_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.delitem(sys.modules, "tap_voucherify.files.arrow", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(SettingsError, match=r"tap-voucherify\[parquet\]"):
        file_reader(select([ID]), as_tables=True).open(io.BytesIO(b"ID\n"))
