"""Learn from Voucherify which title belongs to which field.

`header.bind` matches titles to columns. Only where a header is ambiguous is Voucherify asked, for
exports of an empty range, without metadata. The first requests all fields: its header shows
Voucherify's own order. Fields whose known titles are not in it are numbered from 1. For each bit
of these numbers, one more export requests the known fields and those whose number has that bit. A
title appears exactly in the exports that request its field, so these spell the field's number. A
number without a title is a field that Voucherify leaves out.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import msgspec

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.header import Binding, KnownTitles, bind

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from tap_voucherify.columns import Column

    Fields: TypeAlias = tuple[str, ...]
    Header: TypeAlias = list[str]
    Ask: TypeAlias = Callable[[list[Fields]], list[Header]]


@dataclass(frozen=True)
class LearnedTitles:
    """The header that Voucherify returns for some fields, without metadata.

    Attributes:
        titles: The fields with their titles, in header order.
        missing: The fields that Voucherify leaves out.
    """

    titles: tuple[tuple[str, str], ...]
    missing: tuple[str, ...] = ()

    @classmethod
    def from_state(cls, value: object) -> LearnedTitles | None:
        """Restore what `to_state` returned, or return None for any other value."""
        try:
            pairs = msgspec.convert(value, list[tuple[str, str | None]])
        except msgspec.ValidationError:
            return None
        return cls(
            tuple((field, title) for field, title in pairs if title is not None),
            tuple(field for field, title in pairs if title is None),
        )

    def to_state(self) -> list[list[str | None]]:
        """Return pairs of field and title for the state; a missing field has no title."""
        pairs = [*self.titles, *((field, None) for field in self.missing)]
        return [[field, title] for field, title in pairs]

    def unknown_titles(self, known: KnownTitles) -> list[tuple[str, str]]:
        """Return pairs of field and title that were not known before."""
        owners = known.owners(title for _, title in self.titles)
        return [
            pair
            for pair, owner in zip(self.titles, owners, strict=True)
            if owner is None or known.columns[owner].api_field != pair[0]
        ]

    def bind(
        self, header: Sequence[str], known: KnownTitles, *, with_metadata: bool, is_new: bool
    ) -> Binding | None:
        """Match a header by the learned titles, or return None if it is ambiguous.

        A header that does not begin with exactly the learned titles is matched like any other,
        with the learned titles as known ones.

        Args:
            header: The titles of the file.
            known: The titles of the requested columns.
            with_metadata: Whether metadata was requested.
            is_new: Whether the titles were learned in this run. Older ones do not apply if
                a metadata column has the title of a field that used to be missing.
        """
        columns = known.columns
        fields = [field for field, _ in self.titles]
        count = len(fields)
        if (
            {column.api_field for column in columns} != {*fields, *self.missing}
            or [title for _, title in self.titles] != list(header[:count])
            or (len(header) > count and not with_metadata)
        ):
            learned = dict(self.titles)
            titles = [
                [*known.titles[index], learned.get(column.api_field, "")]
                for index, column in enumerate(columns)
            ]
            binding = bind(header, KnownTitles(columns, titles), with_metadata=with_metadata)
            is_contradicted = (
                binding and binding.unverified and binding.unverified[0].api_field in learned
            )
            return None if is_contradicted else binding
        positions = {field: position for position, field in enumerate(fields)}
        owners = known.owners(header[count:])
        returned = [columns[owner].api_field for owner in owners if owner is not None]
        if not is_new and set(returned) & set(self.missing):
            return None
        return Binding(
            tuple(positions.get(column.api_field) for column in columns),
            tuple(zip(header[count:], range(count, len(header)), strict=True)),
            len(header),
        )


def learn_titles(known: KnownTitles, ask: Ask) -> LearnedTitles:
    """Learn the titles of columns.

    Args:
        known: The titles of the requested columns.
        ask: Exports each list of fields without metadata, and returns the headers of the files.

    Raises:
        ExportFileError: If the headers are ambiguous.
    """
    columns = known.columns
    every = tuple(column.api_field for column in columns)
    (header,) = ask([every])
    owners = known.owners(header)
    column_of = {
        title: owner
        for title, owner in zip(header, owners, strict=True)
        if owner is not None and owners.count(owner) == 1
    }
    unknown = [title for title in header if title not in column_of]
    numbered = [index for index in range(len(columns)) if index not in column_of.values()]
    if len(set(header)) < len(header) or len(unknown) > len(numbered):
        raise ambiguous_header(header, every)
    if len(unknown) == len(numbered) == 1:
        column_of[unknown[0]] = numbered[0]
    elif unknown:
        numbers = dict(zip(range(1, len(numbered) + 1), numbered, strict=True))
        column_of |= _spell(columns, header, column_of, numbers, ask)
    return LearnedTitles(
        tuple((every[column_of[title]], title) for title in header),
        tuple(field for index, field in enumerate(every) if index not in column_of.values()),
    )


def _spell(
    columns: Sequence[Column],
    header: Header,
    column_of: dict[str, int],
    numbers: dict[int, int],
    ask: Ask,
) -> dict[str, int]:
    """Return the columns of the titles that are not in `column_of`.

    Args:
        columns: The requested columns.
        header: The header of an export of all of them.
        column_of: The columns of the known titles.
        numbers: The columns whose titles are unknown, by their numbers.
        ask: See `learn_titles`.
    """
    number_of = {index: number for number, index in numbers.items()}
    bits = range(max(numbers).bit_length())
    requests = [
        tuple(
            column.api_field
            for index, column in enumerate(columns)
            if index not in number_of or number_of[index] >> bit & 1
        )
        for bit in bits
    ]
    spelled = dict.fromkeys((title for title in header if title not in column_of), 0)
    for bit, requested, titles in zip(bits, requests, ask(requests), strict=True):
        if len(set(titles)) < len(titles) or not column_of.keys() <= set(titles) <= set(header):
            raise ambiguous_header(titles, requested)
        for title in titles:
            if title in spelled:
                spelled[title] += 1 << bit
    if len(set(spelled.values())) < len(spelled) or not set(spelled.values()) <= numbers.keys():
        raise ambiguous_header(header, [column.api_field for column in columns])
    return {title: numbers[number] for title, number in spelled.items()}


def ambiguous_header(header: Sequence[str], fields: Sequence[str]) -> ExportFileError:
    """Return the error for a header that does not show which column is which."""
    return ExportFileError(
        f"ambiguous header: got {list(header)!s:.2000}, requested {list(fields)}"
    )
