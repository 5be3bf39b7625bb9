"""A sync equals the data of every plausible variant of the service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from dev.sandbox import (
    OBJECTS,
    SERVICE_NAMES,
    Dataset,
    Sandbox,
    colliding_metadata,
    plausible_titles,
    service,
)
from tests.support.expectations import DEFAULT, expected_records, in_any_order
from tests.support.expectations import OBJECTS as STREAMS
from tests.support.runner import Json, Run, Tap, select

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 30


def check_complete(sandbox: Sandbox, run: Run) -> None:
    """Check that a run of all default streams has all data."""
    assert run.errors == []
    assert run.exit_code == 0
    for stream in DEFAULT:
        assert in_any_order(run.records(stream)) == expected_records(sandbox, stream), stream


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_a_whole_sync_equals_the_data(tmp_path: Path, name: str) -> None:
    """Two syncs emit all data of each service, the unusual one included."""
    dataset = Dataset(seed=5, sizes=dict.fromkeys(OBJECTS, ROWS))
    with Sandbox(dataset, service(name)) as sandbox:
        # Its delays of less than a second are those of real time.
        tap = Tap(tmp_path, sandbox.config, speed=20)
        run = tap.run()
        rejected = sandbox.behaviour.rejected_fields
        if not rejected:
            check_complete(sandbox, run)
        missing = sorted(sandbox.behaviour.missing_endpoints)
        # A second run needs what the first has learned, and reads only what is new.
        sandbox.dataset.grow(dict.fromkeys(OBJECTS, 3))
        again = tap.run(state=run.state)

    assert run.exit_code == again.exit_code == bool(missing)
    for each in (run, again):
        failed = [line.partition("Stream '")[2].partition("' failed: ")[0] for line in each.errors]
        assert sorted(failed) == missing
    for stream in DEFAULT:
        fields = set(rejected.get(STREAMS[stream], ()))
        emitted = {record_of(r, fields) for r in [*run.records(stream), *again.records(stream)]}
        expected = {record_of(r, fields) for r in expected_records(sandbox, stream)}
        assert emitted == expected, stream


def record_of(record: Json, left_out: set[str]) -> str:
    """Return a text that identifies a record, without some of its properties."""
    return repr(sorted((name, value) for name, value in record.items() if name not in left_out))


@pytest.mark.parametrize("count", [0, 3, 60])
@pytest.mark.parametrize("column_order", ["requested", "shuffled"])
@pytest.mark.parametrize("number", range(5))
def test_a_key_may_have_any_title(
    tmp_path: Path,
    discovered: Json,
    number: int,
    column_order: Literal["requested", "shuffled"],
    count: int,
) -> None:
    """A key may have any title, even among shuffled columns and metadata with standard titles."""
    dataset = Dataset(
        seed=5, sizes=dict.fromkeys(OBJECTS, ROWS), metadata_keys=colliding_metadata(count)
    )
    titles = {
        (name, "voucher_code" if name == "publication" else "id"): plausible_titles(name)[number]
        for name in OBJECTS
    }
    behaviour = replace(service("default"), titles=titles, column_order=column_order)
    with Sandbox(dataset, behaviour) as sandbox:
        tap = Tap(tmp_path, sandbox.config, speed=100)
        run = tap.run(catalog=select(discovered, DEFAULT))
        check_complete(sandbox, run)
