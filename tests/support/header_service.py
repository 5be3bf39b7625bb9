"""A simulated service that decides the titles and the order of its columns."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.exported import FileReader
from tap_voucherify.files.selection import Selection
from tap_voucherify.streams import STREAMS
from tests.support.csv_files import write

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tap_voucherify.stream import ExportStream


@dataclass
class HeaderService:
    """How a service turns requested fields into columns.

    Attributes:
        titles: The title of each field.
        order: The order of the columns; None for the requested one.
        left_out: Fields that have no column.
        metadata: Titles of the metadata columns.
        surplus: The position and title of a column that every export has.
        requests: How many exports were requested to learn titles.
    """

    titles: dict[str, str]
    order: list[str] | None = None
    left_out: set[str] = field(default_factory=set)
    metadata: Sequence[str] = ()
    surplus: tuple[int, str] | None = None
    requests: int = 0

    def columns(self, fields: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return each column's title and field; the field is None for metadata and the surplus."""
        standard = [name for name in fields if name != "metadata" and name not in self.left_out]
        if self.order:
            standard.sort(key=self.order.index)
        columns: list[tuple[str, str | None]] = [(self.titles[name], name) for name in standard]
        if self.surplus:
            columns.insert(self.surplus[0], (self.surplus[1], None))
        return columns + [(key, None) for key in self.metadata if "metadata" in fields]

    def ask(self, requests: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the header of one export per list of fields."""
        self.requests += len(requests)
        return [[title for title, _ in self.columns(fields)] for fields in requests]


def selection_of(
    stream: type[ExportStream], *, has_metadata: bool, without: Sequence[str] = ()
) -> Selection:
    """Return the selection of all columns of a stream except those in `without`."""
    names = [column.name for column in stream.columns if column.name not in without]
    return Selection(
        exported_object=stream.exported_object,
        declared=stream.columns,
        keys=(),
        always_selected=(),
        schemas={name: {} for name in [*names, "metadata"]},
        mask=defaultdict(lambda: True),
        has_metadata=has_metadata,
    )


def check(service: HeaderService, selection: Selection, titles: object = None) -> FileReader | None:
    """Match the service's header, and check that every column is bound to its own field.

    Returns:
        The reader that matched the header, or None if it was rejected.
    """
    columns = service.columns(selection.fields)
    reader = FileReader(
        selection,
        as_tables=False,
        is_flattened=False,
        warn=lambda _: None,
        ask=service.ask,
        titles=titles,
    )
    try:
        opened = reader.open(io.BytesIO(write([[title for title, _ in columns]])))
    except ExportFileError:
        return None
    binding = opened.binding
    for column, position in zip(selection.columns, binding.positions, strict=True):
        found = None if position is None else columns[position][1]
        assert found == (None if column.api_field in service.left_out else column.api_field)
    for _, position in binding.metadata:
        assert columns[position][1] is None
    return reader


def random_service(randomness: random.Random) -> tuple[HeaderService, Selection]:
    """Return a random service and a selection of a random stream."""
    stream = randomness.choice(STREAMS)
    selection = selection_of(stream, has_metadata=randomness.random() < 0.7)
    columns = selection.columns
    fields = [column.api_field for column in columns]
    titles = {c.api_field: c.title or c.api_field.replace("_", " ").title() for c in columns}
    renamed = randomness.sample(fields, k=randomness.choice((0, 0, 1, 1, 2, 3, len(fields))))
    titles |= {name: f"Unknown {number}" for number, name in enumerate(renamed)}
    service = HeaderService(titles)
    if randomness.random() < 0.4:
        service.order = randomness.sample(fields, k=len(fields))
    elif randomness.random() < 0.3:
        shift = randomness.randrange(len(fields))
        service.order = fields[shift:] + fields[:shift]
    if randomness.random() < 0.4:
        service.left_out = set(randomness.sample(fields, k=randomness.choice((1, 1, 2))))
    if selection.metadata is not None:
        # Keys that equal titles, except the last column's, which the tap assumes to be unique.
        standard = [title for name, title in titles.items() if name != fields[-1]]
        likely = standard + [f"Key {number}" for number in range(60)]
        service.metadata = randomness.sample(
            likely, k=min(len(likely), randomness.choice((0, 3, 60)))
        )
        missing = [titles[name] for name in service.left_out if name != fields[-1]]
        if randomness.random() < 0.5:
            service.metadata = list(dict.fromkeys([*missing, *service.metadata]))
    if not service.left_out and randomness.random() < 0.1:
        # Together with a left-out column, it would look like that column renamed.
        service.surplus = (randomness.randrange(len(fields) + 1), "Surplus")
    return service, selection
