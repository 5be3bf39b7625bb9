"""Exports are prefetched, however they end and whenever the reader stops."""

from __future__ import annotations

import datetime as dt
import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.api.export import Export, ExportList, ExportStatus
from tap_voucherify.clock import StoppedError
from tap_voucherify.errors import (
    AccountError,
    ExportFailedError,
    ExportTimeoutError,
    Interruption,
    NotFoundError,
    RequestError,
    TransientError,
)
from tap_voucherify.exports.job import ExportRunner
from tap_voucherify.exports.prefetch import ExportPrefetcher
from tap_voucherify.exports.request import ExportedFiles, ExportRequest
from tap_voucherify.exports.workers import ExportWorkers
from tap_voucherify.windows import Window
from tests.support.simulated_client import SimulatedLimit, SimulatedVoucherify
from tests.support.virtual_clock import STARTED_AT, VirtualClock

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UTC = dt.timezone.utc
HOUR = dt.timedelta(hours=1)
# Long before any export is created.
BEGINNING = dt.datetime(2026, 1, 1, tzinfo=UTC)

SEEDS = st.integers(0, 2**32)

# How long an example takes depends on how busy the machine is.
quick = settings(max_examples=40, deadline=None)

Ending = t.Literal["DONE", "ERROR", "MISSING", "NEVER"]


class Request(t.NamedTuple):
    """What an export is created with."""

    exported_object: str
    parameters: Mapping[str, t.Any]


class Fate(t.NamedTuple):
    """How an export ends, and after how many seconds."""

    seconds: float = 0
    ending: Ending = "DONE"


@dataclass
class Voucherify:
    """A service whose exports end as specified.

    Attributes:
        clock: Measures how long an export takes.
        fate: Returns how the export of a request ends.
        limit: The account's rate limit, if any.
        distort: Returns the list, given the exports as they are.
        calls: The kind, stream and time of every call.
    """

    clock: VirtualClock
    fate: Callable[[Request], Fate] = lambda _: Fate()
    limit: SimulatedLimit | None = None
    distort: Callable[[list[Export]], list[Export]] = lambda exports: exports
    calls: list[tuple[str, str, float]] = field(default_factory=list)
    _exports: dict[str, tuple[Export, Ending, float]] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response sent now."""
        return self.limit.headers if self.limit else {}

    @property
    def deleted(self) -> set[str]:
        """The exports that no longer exist."""
        return {export for export, (_, ending, _) in self._exports.items() if ending == "MISSING"}

    def create(self, exported_object: str, parameters: Mapping[str, t.Any]) -> Export:
        """Create an export."""
        self._count("create", exported_object)
        now = self.clock.monotonic()
        fate = self.fate(Request(exported_object, parameters))
        export = Export(
            f"exp_{len(self._exports)}",
            ExportStatus.SCHEDULED,
            dt.datetime.fromtimestamp(STARTED_AT + now, UTC),
            exported_object,
            parameters,
        )
        self._exports[export.id] = (export, fate.ending, now + fate.seconds)
        return export

    def get(self, export_id: str) -> Export:
        """Report an export."""
        export, ending, _ = self._exports[export_id]
        self._count("poll", export.exported_object)
        if ending == "MISSING" and self._has_ended(export_id):
            raise NotFoundError("Voucherify returned 404")
        return self._now(export_id)

    def list(self) -> ExportList:
        """List the exports, newest first."""
        self._count("list", "")
        exports = [
            self._now(export_id)
            for export_id, (_, ending, _) in reversed(self._exports.items())
            if not (ending == "MISSING" and self._has_ended(export_id))
        ]
        return ExportList(
            tuple(self.distort(exports)), dt.datetime.fromtimestamp(self.clock.now(), UTC)
        )

    def _has_ended(self, export_id: str) -> bool:
        _, ending, ends_at = self._exports[export_id]
        return self.clock.monotonic() >= ends_at and ending != "NEVER"

    def _now(self, export_id: str) -> Export:
        export, ending, _ = self._exports[export_id]
        if not self._has_ended(export_id):
            return export
        return replace(
            export,
            status=ExportStatus(ending),
            result={"url": f"https://example.com/{export_id}"},
        )

    def delete(self, export_id: str) -> None:
        """Delete an export."""
        export, _, _ = self._exports[export_id]
        self._count("delete", export.exported_object)
        self._exports[export_id] = (export, "MISSING", self.clock.monotonic())

    def _count(self, kind: str, stream: str) -> None:
        if self.limit:
            self.limit.take()
        self.calls.append((kind, stream, self.clock.monotonic()))

    def file(self, url: str) -> bytes:
        """Return a file that holds the name of its export."""
        self.calls.append(("download", "", self.clock.monotonic()))
        return url.rpartition("/")[-1].encode()


class Observed:
    """A prefetcher that records what it does.

    Attributes:
        starts: Every request whose export was started, in order.
        failures: Every export that failed.
        most_at_once: Most exports in progress or unread at once.
        left: When the reader left each stream that it did not read to its end.
        exported: Every export that was downloaded.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        clock: VirtualClock,
        service: Voucherify,
        *,
        slots: int = 4,
        deletes: bool = False,
        latency: Callable[[], float] = lambda: 0,
        poll_interval_seconds: float = 1,
        export_timeout_seconds: float = 3600,
        check_interruption: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a run of the simulated client."""
        self.clock = clock
        self.service = service
        self.starts: list[ExportRequest] = []
        self.failures: list[tuple[ExportRequest, ExportFailedError]] = []
        self.exported: list[ExportedFiles] = []
        self.most_at_once = 0
        self.left: dict[str, float] = {}
        self._running = 0
        self._runner = ExportRunner(
            SimulatedVoucherify(service, clock, latency=latency),
            clock,
            poll_interval_seconds=poll_interval_seconds,
            export_timeout_seconds=export_timeout_seconds,
        )
        workers = ExportWorkers(
            self._run,
            clock,
            limit=slots,
            on_read=self._runner.delete if deletes else None,
            check_interruption=check_interruption,
        )
        self.prefetcher = ExportPrefetcher(workers)

    def plan(self, streams: Mapping[str, Sequence[ExportRequest]]) -> None:
        """Queue the exports of all streams."""
        for name, requests in streams.items():
            self.prefetcher.plan(name, requests)

    def read(self, stream: str, *, at_most: int | None = None, seconds: float = 0) -> list[Window]:
        """Read a stream, or leave it after `at_most` exports, and return their windows."""
        windows: list[Window] = []
        exports = self.prefetcher.read(stream)
        try:
            while len(windows) != at_most:
                exported = next(exports, None)
                if exported is None:
                    return windows
                assert exported.request.stream == stream
                assert exported.files[0].read() == exported.export_id.encode()
                windows.append(exported.request.window)
                self.clock.spend(seconds)
                assert not exported.files[0].closed
        finally:
            exports.close()  # type: ignore[attr-defined] # it is a generator
        self.left[stream] = self.clock.monotonic()
        return windows

    def end(self) -> None:
        """Cancel everything, and check that no file is left."""
        self.prefetcher.close()
        self.clock.settle()
        assert self.open_files == 0

    @property
    def open_files(self) -> int:
        """Number of files on disk."""
        return sum(not file.closed for exported in self.exported for file in exported.files)

    def _run(self, request: ExportRequest, should_continue: Callable[[], bool]) -> ExportedFiles:
        self.starts.append(request)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running + self.open_files)
        try:
            exported = self._runner.run(request, should_continue)
        except ExportFailedError as error:
            self.failures.append((request, error))
            raise
        finally:
            self._running -= 1
        self.exported.append(exported)
        self.clock.resources.callback(exported.close)
        return exported


def whole(stream: str) -> ExportRequest:
    """Return a request for a whole table."""
    return ExportRequest(stream, stream, ("id",))


def windowed(stream: str, *windows: Window) -> list[ExportRequest]:
    """Return requests for windows."""
    return [
        ExportRequest(stream, stream, ("id",), window=window, filter_field="created_at")
        for window in windows
    ]


def wanted(request: ExportRequest) -> Request:
    """Return a request as the service receives it."""
    return Request(request.exported_object, request.parameters)


def hours(first: int, last: int | None) -> Window:
    """Return the window between two hours, counted from `BEGINNING`."""
    return Window(BEGINNING + first * HOUR, None if last is None else BEGINNING + last * HOUR)


def width(request: Request) -> dt.timedelta:
    """Return the width of an export's window, without its margins."""
    conditions = request.parameters["filters"]["created_at"]["conditions"]
    after, before = (
        dt.datetime.fromisoformat(conditions[side][0].replace("Z", "+00:00"))
        for side in ("$after", "$before")
    )
    return before - after - dt.timedelta(seconds=2)


@dataclass(frozen=True)
class Scenario:
    """A random schedule.

    Attributes:
        seed: Decides which thread runs when, and the fate of each export.
        slots: Maximum number of exports in progress or unread.
        streams: The windows of each stream; None stands for a whole table.
        slowest_seconds: The most that an export takes.
        failing_share: Fraction of exports that fail.
        latency_seconds: Maximum latency of requests and responses.
        poll_interval_seconds: The setting.
        export_timeout_seconds: The setting.
        reading_seconds: How long the reader takes per export.
        leaves_after: Number of exports after which the reader leaves a stream.
        reads: Number of streams that are read before the run ends.
        deletes: Whether exports are deleted once read.
    """

    seed: int
    slots: int
    streams: dict[str, list[Window]]
    slowest_seconds: float
    failing_share: float
    latency_seconds: float
    poll_interval_seconds: float
    export_timeout_seconds: float
    reading_seconds: float
    leaves_after: dict[str, int]
    reads: int
    deletes: bool

    @property
    def requests(self) -> dict[str, list[ExportRequest]]:
        """The planned requests of each stream."""
        return {
            name: windowed(name, *windows) if windows else [whole(name)]
            for name, windows in self.streams.items()
        }

    def fates(self) -> Callable[[object], Fate]:
        """Return a function that decides how each export ends."""
        random = Random(self.seed)
        failures: tuple[Ending, ...] = ("ERROR", "ERROR", "MISSING", "NEVER")

        def fate(_: object) -> Fate:
            ending: Ending = "DONE"
            if random.random() < self.failing_share:
                ending = random.choice(failures)
            return Fate(random.uniform(0, self.slowest_seconds), ending)

        return fate


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Return any schedule."""
    streams: dict[str, list[Window]] = {}
    for number in range(draw(st.integers(1, 4))):
        edges = sorted(draw(st.sets(st.integers(0, 200), max_size=6)))
        windows = [hours(*pair) for pair in pairwise(edges)]
        is_open = draw(st.booleans())
        if edges and is_open:
            windows.append(hours(edges[-1], None))
        streams[f"stream{number}"] = windows
    return Scenario(
        seed=draw(st.integers(0, 2**32)),
        slots=draw(st.integers(1, 5)),
        streams=streams,
        slowest_seconds=draw(st.sampled_from([0, 3, 30])),
        failing_share=draw(st.sampled_from([0, 0.1, 0.5, 0.9])),
        latency_seconds=draw(st.sampled_from([0, 0.3])),
        poll_interval_seconds=draw(st.sampled_from([0.5, 1, 5])),
        export_timeout_seconds=draw(st.sampled_from([10, 40])),
        reading_seconds=draw(st.sampled_from([0, 2, 20])),
        leaves_after=draw(st.dictionaries(st.sampled_from(sorted(streams)), st.integers(1, 3))),
        reads=draw(st.sampled_from([len(streams), *range(len(streams))])),
        deletes=draw(st.booleans()),
    )


@settings(quick, max_examples=300)
@given(scenarios())
def test_any_schedule_keeps_the_rules(scenario: Scenario) -> None:
    """Slots, order, windows, attempts and files are right, in whatever order things happen."""
    with VirtualClock(scenario.seed) as clock:
        random = Random(scenario.seed)
        service = Voucherify(clock, scenario.fates())
        run = Observed(
            clock,
            service,
            slots=scenario.slots,
            deletes=scenario.deletes,
            latency=lambda: random.uniform(0, scenario.latency_seconds),
            poll_interval_seconds=scenario.poll_interval_seconds,
            export_timeout_seconds=scenario.export_timeout_seconds,
        )
        run.plan(scenario.requests)

        def outcome(name: str) -> list[Window] | ExportFailedError:
            at_most = scenario.leaves_after.get(name)
            try:
                return run.read(name, at_most=at_most, seconds=scenario.reading_seconds)
            except ExportFailedError as error:
                return error

        outcomes = {name: outcome(name) for name in list(scenario.streams)[: scenario.reads]}
        read = {name: windows for name, windows in outcomes.items() if isinstance(windows, list)}
        failed = {name: error for name, error in outcomes.items() if isinstance(error, Exception)}
        run.prefetcher.finish()
        run.end()

        assert run.most_at_once <= scenario.slots
        for name, windows in read.items():
            check_windows(windows, scenario.streams[name], whole=name not in run.left)
        check_order(scenario, run)
        check_attempts(run, failed)
        if scenario.deletes:
            assert Counter(kind for kind, *_ in service.calls)["delete"] >= sum(
                map(len, read.values())
            ) - len(run.left)


def check_windows(read: list[Window], planned: list[Window], *, whole: bool) -> None:
    """Check that the plan was read from its start, without gaps or overlaps."""
    if not planned:
        assert read == [Window()] or not (whole or read)
        return
    if read:
        assert read[0].start == planned[0].start
    assert all(before.end == after.start for before, after in pairwise(read))
    if whole:
        assert read[-1].end == planned[-1].end
        # No boundary is lost when windows are split.
        assert {window.start for window in planned} <= {window.start for window in read}


def check_order(scenario: Scenario, run: Observed) -> None:
    """Check that exports start in order, up to the number of slots."""
    planned = [request for requests in scenario.requests.values() for request in requests]
    started: list[ExportRequest] = []
    for request in run.starts:
        if request in planned and request not in started:
            before = planned[: planned.index(request)]
            skipped = [
                earlier
                for earlier in before
                if earlier not in started and earlier.stream == request.stream
            ]
            assert len(skipped) < scenario.slots
        started.append(request)


def check_attempts(run: Observed, failed: Mapping[str, ExportFailedError]) -> None:
    """Check the number of attempts before a window is split and a stream abandoned."""
    attempts: dict[tuple[str, Window], list[ExportFailedError]] = {}
    for request, error in run.failures:
        attempts.setdefault((request.stream, request.window), []).append(error)
    for (_, window), errors in attempts.items():
        if not window.halves(errors[0].created_at):
            assert len(errors) <= 3
        elif isinstance(errors[0], ExportTimeoutError):
            assert len(errors) == 1
        else:
            assert len(errors) <= 2
    # Exports that fail before the reader wants them count, too.
    failures = Counter(request.stream for request, _ in run.failures)
    assert max(failures.values(), default=0) <= 12
    for name, last in failed.items():
        (request,) = (request for request, error in run.failures if error is last)
        assert failures[name] == 12 or len(attempts[name, request.window]) == 3


@quick
@given(SEEDS)
def test_exports_of_all_streams_run_at_once(seed: int) -> None:
    """A sync takes as long as the slowest export, not the sum of all."""
    with VirtualClock(seed) as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(4.5)))
        run.plan({name: [whole(name)] for name in "abcd"})
        for name in "abcd":
            assert run.read(name) == [Window()]
        # The first check after the end.
        assert clock.monotonic() == pytest.approx(4.05 * 1.35)
        run.end()


@quick
@given(SEEDS)
def test_windows_run_in_rounds(seed: int) -> None:
    """Twenty windows in four slots take five rounds, each up to the poll after its end."""
    with VirtualClock(seed) as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(1.5)))
        run.plan({"a": windowed("a", *(hours(n, n + 1) for n in range(20)))})
        assert len(run.read("a")) == 20
        assert clock.monotonic() == 10
        assert run.most_at_once == 4
        run.end()


@quick
@given(SEEDS)
def test_parts_of_a_window_run_at_once(seed: int) -> None:
    """The parts of a split window do not wait for each other if there are slots."""
    with VirtualClock(seed) as clock:

        def fate(request: Request) -> Fate:
            return Fate(0, "ERROR") if width(request) > 5 * HOUR else Fate(100)

        run = Observed(clock, Voucherify(clock, fate))
        run.plan({"a": windowed("a", hours(0, 10))})
        assert run.read("a") == [hours(0, 5), hours(5, 10)]
        assert [request.window for request in run.starts] == [
            *2 * [hours(0, 10)],
            hours(0, 5),
            hours(5, 10),
        ]
        assert clock.monotonic() < 2 * 100
        run.end()


def test_a_window_that_ends_with_error_twice_is_halved() -> None:
    """A backfill succeeds, however wide a window Voucherify cannot export."""
    with VirtualClock() as clock:

        def fate(request: Request) -> Fate:
            return Fate(1, "ERROR" if width(request) > 2 * HOUR else "DONE")

        run = Observed(clock, Voucherify(clock, fate), slots=1)
        run.plan({"a": windowed("a", hours(0, 5))})
        quarters = [BEGINNING + n * HOUR for n in (0, 1.25, 2.5, 3.75, 5)]
        assert run.read("a") == [Window(*pair) for pair in pairwise(quarters)]
        assert Counter(request.window for request, _ in run.failures) == {
            hours(0, 5): 2,
            Window(quarters[0], quarters[2]): 2,
            Window(quarters[2], quarters[4]): 2,
        }
        run.end()


def test_a_window_that_takes_too_long_is_halved_at_once() -> None:
    """A second attempt would probably time out as well."""
    with VirtualClock() as clock:

        def fate(request: Request) -> Fate:
            return Fate(1, "NEVER" if width(request) > HOUR else "DONE")

        run = Observed(clock, Voucherify(clock, fate), export_timeout_seconds=60)
        run.plan({"a": windowed("a", hours(0, 2))})
        assert run.read("a") == [hours(0, 1), hours(1, 2)]
        assert len(run.failures) == 1
        run.end()


@pytest.mark.parametrize("window", [hours(0, 1), Window(BEGINNING, BEGINNING + 1.5 * HOUR)])
def test_a_window_is_halved_down_to_an_hour(window: Window) -> None:
    """A window shorter than two hours is abandoned after three failures."""
    with VirtualClock() as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(1, "ERROR")))
        run.plan({"a": windowed("a", window)})
        with pytest.raises(ExportFailedError, match="ERROR"):
            run.read("a")
        assert [request.window for request in run.starts] == [window] * 3
        run.end()


@pytest.mark.parametrize("ending", ["ERROR", "NEVER", "MISSING"])
def test_a_whole_table_gets_three_attempts(ending: Ending) -> None:
    """It cannot be split, so it is abandoned, and its slot goes to the next stream."""
    with VirtualClock() as clock:

        def fate(request: Request) -> Fate:
            return Fate(1, ending if request.exported_object == "a" else "DONE")

        run = Observed(clock, Voucherify(clock, fate), slots=1, export_timeout_seconds=60)
        run.plan({"a": [whole("a")], "b": [whole("b")]})
        with pytest.raises(ExportFailedError):
            run.read("a")
        assert sum(request.stream == "a" for request in run.starts) == 3
        assert run.read("b") == [Window()]
        run.end()


def test_a_stream_fails_with_its_twelfth_export() -> None:
    """Windows are not split forever."""
    with VirtualClock() as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(1, "ERROR")), slots=1)
        run.plan({"a": windowed("a", hours(0, 2**20))})
        with pytest.raises(ExportFailedError):
            run.read("a")
        assert len(run.starts) == len(run.failures) == 12
        run.end()


@quick
@given(SEEDS, st.integers(1, 4), st.sampled_from(["DONE", "ERROR"]))
def test_the_last_attempt_of_a_stream_gets_a_slot(seed: int, slots: int, ending: Ending) -> None:
    """An export held back until others have ended does not wait behind a later one."""
    with VirtualClock(seed) as clock:
        wide, later = windowed("a", hours(0, 2**20), hours(2**20, 2**20 + 1))

        def fate(request: Request) -> Fate:
            if request.exported_object == "b":
                return Fate(1)
            return (
                Fate(60) if request == wanted(later) else Fate(1, "ERROR" if failing() else ending)
            )

        def failing() -> bool:
            return len(run.failures) < 11

        run = Observed(clock, Voucherify(clock, fate), slots=slots)
        run.plan({"a": [wide, later], "b": windowed("b", *(hours(n, n + 1) for n in range(4)))})
        try:
            run.read("a")
        except ExportFailedError:
            assert len(run.failures) == 12
        assert len(run.read("b")) == 4
        run.end()


def test_an_open_window_is_closed_when_its_export_was_created() -> None:
    """The rest becomes another window, so that nothing is left out."""
    with VirtualClock() as clock:

        def fate(_: object) -> Fate:
            return Fate(1, "NEVER" if len(run.starts) == 1 else "DONE")

        run = Observed(clock, Voucherify(clock, fate), export_timeout_seconds=60)
        run.plan({"a": windowed("a", hours(0, None))})
        closed_at = run.clock.now()
        first, second = run.read("a")
        assert first.start == BEGINNING
        assert first.end == second.start
        assert first.end is not None
        assert first.end.timestamp() == pytest.approx(closed_at, abs=0.001)
        assert second.end is None
        run.end()


@quick
@given(SEEDS, st.integers(1, 4))
def test_a_useless_export_is_replaced_at_once(seed: int, slots: int) -> None:
    """Its replacements run in its slot, ahead of exports that are read later."""
    with VirtualClock(seed) as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(5)), slots=slots, deletes=True)
        first, second, third = windowed("a", hours(0, 1), hours(1, 2), hours(2, 3))
        run.plan({"a": [first, second], "b": windowed("b", *(hours(n, n + 1) for n in range(5)))})
        read = []
        for exported in run.prefetcher.read("a"):
            read.append((exported.request, exported.export_id))
            if len(read) == 1:
                run.prefetcher.replace("a", [first, third])
        assert [request for request, _ in read] == [first, first, third, second]
        assert len(run.read("b")) == 5
        run.prefetcher.finish()
        (_, useless), *_ = read
        assert run.service.deleted == {each.export_id for each in run.exported} - {useless}
        assert run.most_at_once <= slots
        run.end()


def test_a_failure_surfaces_when_its_stream_is_read() -> None:
    """It does not stop a stream that is read before."""
    with VirtualClock() as clock:

        class Rejecting(Voucherify):
            def create(self, exported_object: str, parameters: Mapping[str, t.Any]) -> Export:
                if exported_object == "b":
                    raise AccountError("Voucherify returned 402")
                return super().create(exported_object, parameters)

        run = Observed(clock, Rejecting(clock, lambda _: Fate(60)))
        run.plan({"a": [whole("a")], "b": [whole("b")]})
        assert run.read("a") == [Window()]
        with pytest.raises(AccountError):
            run.read("b")
        run.end()


@settings(quick, max_examples=20)
@given(SEEDS, st.integers(0, 60))
def test_exports_of_an_abandoned_stream_are_not_polled(seed: int, seconds: int) -> None:
    """Exports that are no longer needed take no further calls."""
    with VirtualClock(seed) as clock:
        requests = windowed("a", *(hours(n, n + 1) for n in range(6)))
        service = Voucherify(
            clock, lambda request: Fate(1 if request == wanted(requests[0]) else 3000)
        )
        run = Observed(clock, service)
        run.plan({"a": requests})
        run.read("a", at_most=1, seconds=seconds)
        run.end()
        assert max(time for *_, time in service.calls) <= run.left["a"]


@settings(quick, max_examples=20)
@given(SEEDS, st.integers(60, 120))
def test_an_abandoned_stream_frees_its_slots_at_once(seed: int, seconds: int) -> None:
    """The next stream does not wait for the next poll of an export no longer needed."""
    with VirtualClock(seed) as clock:
        first, second = windowed("a", hours(0, 1), hours(1, 2))
        service = Voucherify(clock, lambda request: Fate(600 if request == wanted(second) else 1))
        run = Observed(clock, service, slots=2)
        run.plan({"a": [first, second], "b": windowed("b", hours(0, 1), hours(1, 2))})
        run.read("a", at_most=1, seconds=seconds)
        assert len(run.read("b")) == 2
        assert clock.monotonic() - run.left["a"] <= 1 + 1
        run.end()


@quick
@given(SEEDS)
def test_a_stopped_clock_ends_everything_at_once(seed: int) -> None:
    """No thread keeps sleeping once the run has ended, and none leaves a file."""
    with VirtualClock(seed) as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(50)))
        run.plan({name: windowed(name, hours(0, 1), hours(1, 2)) for name in "ab"})
        run.read("a", at_most=1)
        stopped_at = clock.monotonic()
        clock.stop()
        run.end()
        assert clock.monotonic() == stopped_at


def test_a_stopped_clock_ends_the_reader() -> None:
    """The reader does not wait for exports that no longer run."""
    with VirtualClock() as clock:
        run = Observed(clock, Voucherify(clock, lambda _: Fate(50)))
        run.plan({"a": [whole("a")]})
        clock.stop()
        with pytest.raises(StoppedError):
            run.read("a")
        run.end()


def test_an_interruption_ends_the_wait_of_the_reader() -> None:
    """A signal is noticed during a long export."""
    with VirtualClock() as clock:

        def check_interruption() -> None:
            if clock.monotonic() >= 7:
                raise Interruption(15)

        run = Observed(
            clock,
            Voucherify(clock, lambda _: Fate(ending="NEVER")),
            check_interruption=check_interruption,
        )
        run.plan({"a": [whole("a")]})
        with pytest.raises(Interruption):
            run.read("a")
        assert clock.monotonic() < 7.2
        clock.stop()
        run.end()


@quick
@given(SEEDS, st.floats(0, 5))
def test_finish_waits_for_deletions(seed: int, latency: float) -> None:
    """Exactly the exports that were read are deleted."""
    with VirtualClock(seed) as clock:
        service = Voucherify(clock, lambda _: Fate(1))
        run = Observed(clock, service, deletes=True, latency=lambda: latency)
        run.plan({"a": windowed("a", *(hours(n, n + 1) for n in range(6))), "b": [whole("b")]})
        run.read("a")
        run.read("b", at_most=1)
        run.prefetcher.finish()
        read = [exported for exported in run.exported if exported.request.stream == "a"]
        assert service.deleted == {exported.export_id for exported in read}
        run.end()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), RequestError("a rejection")])
@quick
@given(SEEDS)
def test_b9_an_error_in_a_deletion_does_not_hang_the_run(error: Exception, seed: int) -> None:
    """It is logged, the worker continues, and the end of the run does not wait for it."""
    with VirtualClock(seed) as clock:

        class Failing(Voucherify):
            def delete(self, export_id: str) -> None:
                super().delete(export_id)
                raise error

        service = Failing(clock, lambda _: Fate(1))
        run = Observed(clock, service, slots=1, deletes=True)
        run.plan({name: [whole(name)] for name in "abc"})
        for name in "abc":
            assert run.read(name) == [Window()]
        run.prefetcher.finish()
        assert Counter(kind for kind, *_ in service.calls)["delete"] == 3
        run.end()


def test_an_unexpected_error_in_a_deletion_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the stream, the export and the kind of error."""
    with VirtualClock() as clock:

        class Failing(Voucherify):
            def delete(self, export_id: str) -> None:
                raise RuntimeError(f"no {export_id}")

        run = Observed(clock, Failing(clock), deletes=True)
        run.plan({"a": [whole("a")]})
        run.read("a")
        run.prefetcher.finish()
        run.end()
    assert "a: could not clean up export exp_0: RuntimeError: no exp_0" in caplog.messages


def test_an_unexpected_error_in_an_export_is_raised_by_the_reader() -> None:
    """The worker survives it, and the next stream is read."""
    with VirtualClock() as clock:

        class Failing(Voucherify):
            def get(self, export_id: str) -> Export:
                export = super().get(export_id)
                if export.exported_object == "a":
                    raise RuntimeError("a bug")
                return export

        run = Observed(clock, Failing(clock), slots=1)
        run.plan({"a": [whole("a")], "b": [whole("b")]})
        with pytest.raises(RuntimeError, match="a bug"):
            run.read("a")
        assert run.read("b") == [Window()]
        run.end()


def test_a_deletion_interrupted_by_the_end_of_the_run_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run that is stopped may leave exports behind."""
    with VirtualClock() as clock:

        class Failing(Voucherify):
            def delete(self, export_id: str) -> None:
                clock.stop()
                raise TransientError(f"no {export_id}")

        run = Observed(clock, Failing(clock), deletes=True)
        run.plan({"a": [whole("a")]})
        run.read("a")
        run.prefetcher.finish()
        run.end()
    assert not any("clean up" in message for message in caplog.messages)


def test_a_stream_that_was_not_planned_is_empty() -> None:
    """A stream without exports has nothing to read."""
    with VirtualClock() as clock:
        run = Observed(clock, Voucherify(clock))
        run.plan({"a": []})
        assert run.read("a") == run.read("b") == []
        run.end()


@settings(quick, max_examples=4)
@given(SEEDS, st.integers(1, 8))
def test_a_sandbox_account_suffices(seed: int, slots: int) -> None:
    """With 100 calls an hour, everything is read, and nothing is rejected or fails."""
    with VirtualClock(seed) as clock:
        limit = SimulatedLimit(clock, 100)
        random = Random(seed)
        service = Voucherify(clock, lambda _: Fate(random.uniform(0, 60)), limit)
        run = Observed(
            clock,
            service,
            slots=slots,
            latency=lambda: random.uniform(0, 0.5),
            export_timeout_seconds=100,
        )
        run.plan({name: windowed(name, *(hours(n, n + 1) for n in range(3))) for name in "abc"})
        for name in "abc":
            assert len(run.read(name)) == 3
        run.end()
        assert run.failures == []
        assert limit.rejected == 0
        assert min(limit.unused[1:], default=100) >= 10


def test_a_sandbox_account_allows_four_streams_an_hour() -> None:
    """The four core streams can be synced every hour, even where exports take a minute."""
    with VirtualClock() as clock:
        limit = SimulatedLimit(clock, 100)
        run = Observed(clock, Voucherify(clock, lambda _: Fate(60), limit))
        run.plan({name: windowed(name, hours(0, None)) for name in "abcd"})
        for name in "abcd":
            run.read(name)
        assert clock.monotonic() < 75
        run.end()
