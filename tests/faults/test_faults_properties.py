"""Any single fault, at any request, loses no data over a run and the next one."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from dev.sandbox import (
    OBJECTS,
    Action,
    Amend,
    Behaviour,
    Cut,
    Dataset,
    Fault,
    Raw,
    Reply,
    Rewrite,
    Sandbox,
    Turn,
)
from tests.support.expectations import expected_record, identity
from tests.support.runner import Json, Run, Tap, select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.sandbox.behaviour import Framing
    from dev.sandbox.faults import Kind

ROWS = 60
WINDOWS = {"start_date": "2025-03-01", "end_date": "2025-04-02", "window_days": 10}

# Few, since each is two runs of the command, and always the same, so that failures are repeatable.
few = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

KINDS: tuple[Kind, ...] = ("create", "poll", "download", "list", "delete")
ACTIONS: dict[str, Action] = {
    "no_response": Raw(),
    "reset": Raw(reset=True),
    "response_lost": Raw(handled=True),
    "response_lost_by_reset": Raw(handled=True, reset=True),
    "no_http": Raw(b"\x16\x03\x01"),
    "empty": Reply(200),
    "no_content": Reply(204),
    "other_json": Reply(200, {}),
    "html": Reply(200, b"<html></html>"),
    "redirect": Reply(302, b"", {"Location": "https://["}),
    "not_modified": Reply(304),
    "bad_request": Reply(400, {"key": "invalid_payload", "message": "no"}),
    "unauthorized": Reply(401),
    "payment_required": Reply(402),
    "forbidden": Reply(403),
    "not_found": Reply(404),
    "too_many": Reply(429, b"", {"Retry-After": "9"}),
    "quota": Reply(429, b"", {"X-Rate-Limit-Type": "api_calls_cycle"}),
    "server_error": Reply(500, b"oops"),
    "unavailable": Reply(503, b"", {"Retry-After": "9"}),
    "half": Cut(0.5),
    "half_by_reset": Cut(0.5, reset=True),
    "half_with_right_length": Rewrite(lambda body: body[: len(body) // 2]),
    "doubled": Rewrite(lambda body: body + body),
    "without_result": Amend({"result": None}),
    "failed": Turn("ERROR"),
    "vanished": Turn(None),
    "unknown_status": Turn("PAUSED"),
}

# A file cut between two rows, with a matching length, passes for complete: nothing in the transport
# shows the cut.
INVISIBLE = {("download", "half_with_right_length"), ("download", "doubled")}


class Pair:
    """A sandbox with a few customers, and the tap, configured for it."""

    def __init__(self, voucherify: Sandbox, tap: Tap, catalog: Json) -> None:
        """Keep both; hypothesis would print the fields of a dataclass."""
        self.voucherify = voucherify
        self.tap = tap
        self.catalog = catalog


@pytest.fixture(scope="module")
def pair(discovered: Json, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Yield both; only customers are selected."""
    sizes = {**dict.fromkeys(OBJECTS, 0), "customer": ROWS}
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    dataset = Dataset(seed=9, sizes=sizes, start=start)
    with Sandbox(dataset) as voucherify:
        directory = tmp_path_factory.mktemp("properties")
        tap = Tap(directory, voucherify.config, speed=1000)
        yield Pair(voucherify, tap, select(discovered, ["customers"]))


def check(pair: Pair, *faults: Fault, **more: Any) -> Run:
    """Run with faults, run again without them, and check that both runs together emit the data."""
    voucherify, tap, catalog = pair.voucherify, pair.tap, pair.catalog
    expected = [identity(expected_record("customers", row)) for row in voucherify.rows("customer")]
    voucherify.faults.add(*faults)
    run = tap.run(catalog=catalog, **more)
    voucherify.faults.clear()
    voucherify.behaviour = Behaviour()
    emitted = list(map(identity, run.records("customers")))
    # In order and never twice, whatever happened.
    assert emitted == expected[: len(emitted)]
    assert "Traceback" not in run.stderr, run.stderr
    assert len(run.errors) == run.exit_code <= 1
    if run.exit_code == 0:
        assert emitted == expected

    state = run.state if run.states else None
    resumed = tap.run(catalog=catalog, state=state, resume_exports=False, **more)

    assert (resumed.exit_code, resumed.errors) == (0, [])
    rest = list(map(identity, resumed.records("customers")))
    assert {*emitted, *rest} == set(expected)
    assert len(set(rest)) == len(rest)
    return run


@pytest.mark.timeout(600)  # each example is two commands
@few
@given(
    transfer=st.sampled_from(["length", "chunked", "close"]),
    gzip=st.booleans(),
    fraction=st.floats(0, 1, exclude_max=True),
    reset=st.booleans(),
    nth=st.integers(1, 4),
    times=st.sampled_from([1, 2, None]),
)
@example(transfer="length", gzip=False, fraction=0.0, reset=False, nth=1, times=None)
@example(transfer="chunked", gzip=False, fraction=0.9999, reset=False, nth=2, times=None)
@example(transfer="close", gzip=True, fraction=0.9999, reset=False, nth=3, times=None)
def test_a_truncated_file_is_never_emitted(  # noqa: PLR0913 - each is a fixture or drawn
    *,
    pair: Pair,
    transfer: Framing,
    gzip: bool,
    fraction: float,
    reset: bool,
    nth: int,
    times: int | None,
) -> None:
    """A file that the transport shows to be cut is not emitted, and no data is lost."""
    if transfer == "close" and not gzip:
        # Only a reset or a cut within a line shows here.
        reset = True
    pair.voucherify.behaviour = Behaviour(transfer=transfer, gzip=gzip)
    cut = Fault(on="download", action=Cut(fraction, reset=reset), nth=nth, times=times)

    run = check(pair, cut, **WINDOWS)

    assert run.exit_code == (times is None)


@pytest.mark.timeout(600)
@few
@given(
    kind=st.sampled_from(KINDS),
    name=st.sampled_from(sorted(ACTIONS)),
    nth=st.integers(1, 5),
    times=st.sampled_from([1, 1, 1, 2, None]),
)
@example(kind="create", name="response_lost", nth=2, times=2)
@example(kind="poll", name="failed", nth=3, times=2)
@example(kind="download", name="vanished", nth=2, times=1)
def test_a_single_fault_anywhere_loses_nothing(
    *,
    pair: Pair,
    kind: Kind,
    name: str,
    nth: int,
    times: int | None,
) -> None:
    """After any fault, at any request, that run and the next one emit all data."""
    if (kind, name) in INVISIBLE:
        name = "half"
    action = ACTIONS[name]
    if isinstance(action, Amend) and kind in {"download", "delete"}:
        action = ACTIONS["html"] if kind == "delete" else ACTIONS["half"]
    fault = Fault(on=kind, action=action, nth=nth, times=times)

    check(pair, fault, delete_exports=True, **WINDOWS)
