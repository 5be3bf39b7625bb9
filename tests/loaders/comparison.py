"""Compare the rows in loaders with the rows expected there."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dev.sandbox import Dataset
from tests.support.expectations import INCREMENTAL, KEYS, OBJECTS, expected_record
from tests.support.runner import created_exports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dev.sandbox import Sandbox

Record = dict[str, Any]
Key = tuple[object, ...]

#: The streams that `track_updates` applies to.
TRACKED = ("vouchers", "customers", "orders")

LONG_DECIMAL = "12345678901234567890.12345678901234567890"
EMOJI = "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿"
MEGABYTE = 1 << 20

_ROWS = 20
_TABLES = tuple(OBJECTS.values())
_LOOKBACK = timedelta(seconds=60)
_MARGIN = timedelta(seconds=1)


def make_dataset() -> Dataset:
    """Return a dataset with a few rows of every object, some of them hard to load."""
    dataset = Dataset(seed=7, sizes=dict.fromkeys(_TABLES, _ROWS))
    created = dataset.rows("voucher")[_ROWS // 2].created
    dataset.add("voucher", created, cells={"value": "2000.00", "gift_balance": LONG_DECIMAL})
    dataset.add("order", created, cells={"amount": "0.10"}, metadata={"order": f'{EMOJI}"\\\n'})
    megabyte = EMOJI * (MEGABYTE // len(EMOJI.encode()) + 1)
    dataset.add("customer", created, cells={"name": EMOJI, "description": megabyte})
    # Two failed publications that differ only in the channel.
    for channel in ("API", "Automation"):
        cells = {"voucher_code": "", "customer_id": "", "channel": channel}
        dataset.add("publication", created, cells=cells)
    return dataset


def grow(dataset: Dataset) -> None:
    """Add rows to every object, and update some existing ones."""
    newest = max(row.updated or row.created for name in _TABLES for row in dataset.rows(name))
    for name in _TABLES:
        # Growth must come after the updates of other objects.
        dataset.add(name, newest + timedelta(hours=1))
    dataset.grow(dict.fromkeys(_TABLES, _ROWS // 2))
    for stream in TRACKED:
        dataset.touch(OBJECTS[stream], _ROWS // 4)


def expected_rows(sandbox: Sandbox, stream: str) -> list[Record]:
    """Return the record of each row of the sandbox, as with `track_updates`."""
    records = [expected_record(stream, row) for row in sandbox.rows(OBJECTS[stream])]
    if stream in TRACKED:
        for record in records:
            record["modified_at"] = record["updated_at"] or record["created_at"]
    return records


def last_rows(stream: str, records: Iterable[Record]) -> list[Record]:
    """Return the last row of each key."""
    return list({_key(stream, record): record for record in records}.values())


def differences(
    sandbox: Sandbox,
    read: Callable[[str], list[Record]],
    convert: Callable[[Record], Record] = dict,
) -> list[str]:
    """Return how tables differ from the sandbox, one line per key.

    Publications may be equal in the whole key: a table holds one of them.

    Args:
        sandbox: The source of the data.
        read: Returns the rows of a stream's table.
        convert: Returns a record as the loader writes it.
    """
    lines = []
    for stream in OBJECTS:
        found = _by_key(stream, read(stream))
        allowed = _by_key(stream, map(convert, expected_rows(sandbox, stream)))
        lines += [
            f"{stream}: loaded {found.get(key)}, expected one of {allowed.get(key)}"
            for key in found.keys() | allowed.keys()
            if len(found.get(key, ())) != 1 or found[key][0] not in allowed.get(key, ())
        ]
    return lines


def _by_key(stream: str, records: Iterable[Record]) -> dict[Key, list[Record]]:
    found: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        found[_key(stream, record)].append(record)
    return found


def _key(stream: str, record: Record) -> Key:
    return tuple(record[name] for name in KEYS[stream])


def in_full(sandbox: Sandbox, earlier: int) -> bool:
    """Whether all exports after the first `earlier` ones requested all rows."""
    requested = [body["parameters"] for body in created_exports(sandbox)[earlier:]]
    return bool(requested) and not any("filters" in parameters for parameters in requested)


def starts(sandbox: Sandbox, earlier: int) -> dict[str, set[str]]:
    """Return where each stream's exports began, after the first `earlier` exports.

    Streams that are always read in full are excluded.
    """
    names = {OBJECTS[stream]: stream for stream in INCREMENTAL}
    found: dict[str, set[str]] = {stream: set() for stream in INCREMENTAL}
    for body in created_exports(sandbox)[earlier:]:
        if body["exported_object"] in names:
            filters = dict(body["parameters"]["filters"])
            filters.pop("junction")
            for bounds in filters.values():
                found[names[body["exported_object"]]].update(bounds["conditions"]["$after"])
    return found


def start_after(bookmark: str) -> str:
    """Return where a run's exports begin, given its bookmark."""
    instant = datetime.fromisoformat(bookmark.replace("Z", "+00:00")) - _LOOKBACK - _MARGIN
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
