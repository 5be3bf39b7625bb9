"""Watching exports takes as few calls as possible and misses no end."""

from __future__ import annotations

import datetime as dt
import threading
import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.api.export import Export, ExportList, ExportStatus
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import (
    AccountError,
    ExportFailedError,
    ExportTimeoutError,
    RateLimitError,
    RequestError,
    TransientError,
)
from tap_voucherify.exports.job import ExportRunner
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.exports.watch import ExportWatch
from tests.support.simulated_client import SimulatedLimit, SimulatedVoucherify
from tests.support.virtual_clock import STARTED_AT, VirtualClock

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.api.voucherify import Voucherify

UTC = dt.timezone.utc
SEEDS = st.integers(0, 2**32)
SEVEN = dict.fromkeys("abcdefg", 60.0)

Distortion = t.Callable[[list[Export], float], list[Export]]


@dataclass
class Service:
    """A Voucherify whose list may be wrong.

    Attributes:
        clock: Measures how long an export takes.
        seconds: How long the export of each object takes.
        distort: Returns the list, given the exports as they are and the time.
        list_seconds: How long the list takes.
        limit: The account's rate limit, if any.
        calls: The kind and the time of every call.
        ends: When each object's export ended.
    """

    clock: VirtualClock
    seconds: Mapping[str, float]
    distort: Distortion = lambda exports, _: exports
    list_seconds: float = 0
    limit: SimulatedLimit | None = None
    calls: list[tuple[str, float]] = field(default_factory=list)
    ends: dict[str, float] = field(default_factory=dict)
    _exports: dict[str, Export] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response sent now."""
        return self.limit.headers if self.limit else {}

    @property
    def kinds(self) -> Counter[str]:
        """How many calls of each kind there were."""
        return Counter(kind for kind, _ in self.calls)

    def create(self, exported_object: str, parameters: Mapping[str, t.Any]) -> Export:
        """Create an export."""
        self._count("create")
        now = self.clock.monotonic()
        created_at = dt.datetime.fromtimestamp(STARTED_AT + now, UTC)
        export = Export(
            exported_object, ExportStatus.SCHEDULED, created_at, exported_object, parameters
        )
        self._exports[export.id] = export
        self.ends[export.id] = now + self.seconds[exported_object]
        return export

    def get(self, export_id: str) -> Export:
        """Report an export as it is."""
        self._count("poll")
        return self._now(export_id)

    def list(self) -> ExportList:
        """List the exports, newest first, distorted."""
        self._count("list")
        self.clock.spend(self.list_seconds)
        exports = [self._now(export_id) for export_id in reversed(self._exports)]
        listed = self.distort(exports, self.clock.monotonic())
        return ExportList(tuple(listed), dt.datetime.fromtimestamp(self.clock.now(), UTC))

    def delete(self, export_id: str) -> None:
        """Do nothing."""

    def file(self, url: str) -> bytes:
        """Return a file that holds its link."""
        self._count("download")
        return url.encode()

    def _count(self, kind: str) -> None:
        if self.limit:
            self.limit.take()
        self.calls.append((kind, self.clock.monotonic()))

    def _now(self, export_id: str) -> Export:
        export = self._exports[export_id]
        if self.clock.monotonic() < self.ends[export_id]:
            return replace(export, status=ExportStatus.IN_PROGRESS)
        return replace(export, status=ExportStatus.DONE, result={"url": f"https://{export_id}"})


class Outcome(t.NamedTuple):
    """How an export ended: when, and with which error, if any."""

    at: float
    error: Exception | None = None


def run_all(
    service: Service,
    *,
    latency: float = 0,
    seed: int = 0,
    timeout: float = 3600,
    stagger: float = 0,
) -> dict[str, Outcome]:
    """Run one export of each object at the same time."""
    random = Random(seed)
    runner = ExportRunner(
        SimulatedVoucherify(
            service, service.clock, latency=lambda: random.uniform(0, latency), reserve=0
        ),
        service.clock,
        poll_interval_seconds=1,
        export_timeout_seconds=timeout,
    )
    outcomes: dict[str, Outcome] = {}

    def run(name: str, delay: float) -> None:
        service.clock.spend(delay)
        error = None
        try:
            exported = runner.run(ExportRequest(name, name, ("id",)), lambda: True)
            assert exported.files[0].read() == f"https://{name}".encode()
            exported.close()
        except (AccountError, ExportFailedError, RequestError) as failure:
            error = failure
        outcomes[name] = Outcome(service.clock.monotonic(), error)

    for name in service.seconds:
        thread = threading.Thread(
            target=run, args=(name, random.uniform(0, stagger)), name=f"export-{name}", daemon=True
        )
        thread.start()
    service.clock.settle()
    return outcomes


def check_ends(service: Service, outcomes: Mapping[str, Outcome], *, slack: float = 1) -> None:
    """Check that every end is noticed within a second or about a third of the duration."""
    for name, outcome in outcomes.items():
        assert outcome.error is None
        late = outcome.at - service.ends[name]
        assert late <= max(1, min(0.35 * service.seconds[name], 30)) + slack


def test_seven_exports_of_a_minute_cost_thirty_calls() -> None:
    """Each is created and downloaded, and one list reports them all."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN)
        outcomes = run_all(service)
        assert len(service.calls) <= 30
        assert service.kinds["create"] == service.kinds["download"] == 7
        check_ends(service, outcomes, slack=0.01)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.1, 0.3]))
def test_exports_that_start_one_after_the_other(seed: int, latency: float) -> None:
    """They share their checks, although they were not created at the same time."""
    with VirtualClock(seed) as clock:
        service = Service(clock, SEVEN)
        outcomes = run_all(service, latency=latency, seed=seed)
        assert len(service.calls) <= 30
        check_ends(service, outcomes, slack=1 + 8 * latency)


def test_seven_quick_exports_cost_sixteen_calls() -> None:
    """They are done at the first check: one list, or two."""
    with VirtualClock() as clock:
        service = Service(clock, dict.fromkeys("abcdefg", 0.5))
        run_all(service)
        assert len(service.calls) <= 16
        assert service.kinds["poll"] == 0


def test_the_only_export_in_progress_is_polled() -> None:
    """A list would cost the same and be less certain."""
    with VirtualClock() as clock:
        service = Service(clock, {"a": 60})
        run_all(service)
        assert len(service.calls) <= 16
        assert service.kinds["list"] == 0


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_a_late_export_sets_the_pace(seed: int) -> None:
    """An export that starts late is not watched at the pace of old ones."""
    with VirtualClock(seed) as clock:
        service = Service(clock, {"old": 500, "new": 3})
        outcomes = run_all(service, seed=seed, stagger=300)
        check_ends(service, outcomes, slack=1)


def test_an_export_beyond_the_list_is_polled() -> None:
    """Either a hundred newer ones displace it, or the list does not include its object."""
    with VirtualClock() as clock:

        def distort(exports: list[Export], _: float) -> list[Export]:
            return [export for export in exports if export.id != "a"]

        service = Service(clock, SEVEN, distort)
        check_ends(service, run_all(service), slack=0.01)
        assert service.kinds["poll"] >= 13
        assert len(service.calls) <= 30 + 14


def test_exports_beyond_the_list_are_polled_without_a_list() -> None:
    """A list that has none of them is not requested again."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN, lambda *_: [])
        check_ends(service, run_all(service), slack=0.01)
        assert service.kinds["list"] == 1


def failing(error: Exception) -> Distortion:
    """Return a list that fails."""

    def fail(_: list[Export], __: float) -> list[Export]:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        RequestError("Voucherify returned 403"),
        TransientError("Voucherify returned 500"),
        RateLimitError("Voucherify returned 429", 60),
    ],
)
def test_a_list_that_fails_is_abandoned(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is not used again in the run, which one line reports."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN, failing(error))
        check_ends(service, run_all(service), slack=0.01)
        assert service.kinds["list"] == 1
    assert caplog.text.count("polling each one instead") == 1


def test_wrong_credentials_in_a_list_are_fatal() -> None:
    """They stop the run."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN, failing(AccountError("Voucherify returned 401")))
        outcomes = run_all(service)
        assert any(isinstance(outcome.error, AccountError) for outcome in outcomes.values())


def with_status(status: ExportStatus, *, after: float, result: object = None) -> Distortion:
    """Return a list that has this status for every export from `after` seconds on."""

    def distort(exports: list[Export], now: float) -> list[Export]:
        changed = [replace(export, status=status, result=result) for export in exports]
        return changed if now >= after else exports

    return distort


def test_an_older_status_than_seen_before_is_a_contradiction() -> None:
    """The list is abandoned when a status goes back."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN, with_status(ExportStatus.SCHEDULED, after=10))
        check_ends(service, run_all(service), slack=0.01)
        assert service.kinds["list"] <= 10


def test_an_export_listed_twice_is_a_contradiction() -> None:
    """One of the two is wrong."""
    with VirtualClock() as clock:

        def distort(exports: list[Export], _: float) -> list[Export]:
            return [*exports, replace(exports[0], status=ExportStatus.SCHEDULED)]

        service = Service(clock, SEVEN, distort)
        check_ends(service, run_all(service), slack=0.01)
        assert service.kinds["list"] == 1


@pytest.mark.parametrize(
    "distort",
    [
        with_status(ExportStatus.ERROR, after=20),
        with_status(ExportStatus.DONE, after=20),
        with_status(ExportStatus.DONE, after=20, result=["unknown"]),
    ],
    ids=["error", "no-result", "unknown-result"],
)
def test_an_end_that_a_poll_does_not_confirm_is_a_contradiction(distort: Distortion) -> None:
    """The list is abandoned, and no export fails because of it."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN, distort)
        check_ends(service, run_all(service), slack=0.01)
        assert service.kinds["list"] <= 10


def test_a_result_that_only_polls_have_is_used() -> None:
    """A finished export without a link in the list is polled at once."""
    with VirtualClock() as clock:

        def distort(exports: list[Export], _: float) -> list[Export]:
            return [replace(export, result=None) for export in exports]

        service = Service(clock, SEVEN, distort)
        check_ends(service, run_all(service), slack=0.01)
        assert len(service.calls) <= 30 + 7


def test_a_stale_list_is_detected() -> None:
    """A cached list never contradicts itself; an occasional poll contradicts it."""
    with VirtualClock() as clock:
        stale: list[Export] = []

        def distort(exports: list[Export], _: float) -> list[Export]:
            stale.extend(export for export in exports if len(stale) < len(SEVEN))
            return stale

        service = Service(clock, SEVEN, distort)
        outcomes = run_all(service)
        check_ends(service, outcomes, slack=120)
        assert len(service.calls) <= 40


@pytest.mark.parametrize("list_seconds", [10, 40])
def test_a_slow_list_delays_exports_only_briefly(list_seconds: float) -> None:
    """Workers that wait for it notice an end as soon as it arrives."""
    with VirtualClock() as clock:
        service = Service(clock, SEVEN, list_seconds=list_seconds)
        check_ends(service, run_all(service), slack=2 * list_seconds)


def test_an_export_is_polled_once_more_at_its_deadline() -> None:
    """The list is not requested then, and nothing waits any longer."""
    with VirtualClock() as clock:
        service = Service(clock, dict.fromkeys("ab", 1000.0))
        outcomes = run_all(service, timeout=50)
        for outcome in outcomes.values():
            assert isinstance(outcome.error, ExportTimeoutError)
            assert outcome.at == pytest.approx(50)
        assert [kind for kind, time in service.calls if time >= 50] == ["poll", "poll"]


def test_the_wait_of_a_list_for_the_rate_limit_does_not_count() -> None:
    """All exports wait for one list, and none of them times out."""
    with VirtualClock() as clock:
        limit = SimulatedLimit(clock, 10, period_seconds=2000)
        service = Service(clock, dict.fromkeys("abc", 30.0), limit=limit)
        outcomes = run_all(service, timeout=100)
        assert limit.rejected == 0
        assert all(outcome.error is None for outcome in outcomes.values())
        assert max(outcome.at for outcome in outcomes.values()) > 1900


def test_an_export_that_starts_while_a_list_waits_keeps_its_time() -> None:
    """It waits for that list before it is watched."""
    left: list[float] = []
    with VirtualClock() as clock:
        now = dt.datetime.fromtimestamp(clock.now(), UTC)
        export = Export("e", ExportStatus.IN_PROGRESS, now, "voucher", {})

        def list_exports(*, deadline: Deadline, max_retry_seconds: float) -> ExportList:
            assert max_retry_seconds == 0
            with deadline.paused():
                clock.spend(50)
            return ExportList((export,), now)

        api = SimpleNamespace(list_exports=list_exports)
        watch = ExportWatch(t.cast("Voucherify", api), clock, 1)

        def first() -> None:
            with (
                watch.watch(export, Deadline(clock, 1000)) as one,
                watch.watch(replace(export, id="other"), Deadline(clock, 1000)),
            ):
                clock.spend(1)
                assert watch.check(one)

        def second() -> None:
            clock.spend(10)
            deadline = Deadline(clock, 20)
            with watch.watch(export, deadline):
                left.append(deadline.remaining_seconds)

        for run in (first, second):
            threading.Thread(target=run, name=run.__name__, daemon=True).start()
        clock.settle()
    assert len(left) == 1
    assert left[0] >= 20


def test_a_poll_overtaken_by_a_list_is_no_contradiction(caplog: pytest.LogCaptureFixture) -> None:
    """Its status was true when it was sent; the newer one from the list stays."""
    with VirtualClock() as clock:
        now = dt.datetime.fromtimestamp(clock.now(), UTC)
        export = Export("e", ExportStatus.IN_PROGRESS, now, "voucher", {})
        done = replace(export, status=ExportStatus.DONE, result={"url": "https://e"})

        def get_export(export_id: str, _: Deadline) -> Export:
            clock.spend(10)
            return replace(export, id=export_id)

        api = SimpleNamespace(
            list_exports=lambda **_: ExportList((done,), now), get_export=get_export
        )
        watch = ExportWatch(t.cast("Voucherify", api), clock, 1)
        seen: list[ExportStatus] = []

        def only_one() -> None:
            with watch.watch(export, Deadline(clock, 1000)) as watched:
                clock.spend(1)
                assert watch.check(watched)
                seen.append(watched.export.status)

        def another() -> None:
            clock.spend(3)
            with watch.watch(replace(export, id="other"), Deadline(clock, 1000)) as watched:
                clock.spend(2)
                assert watch.check(watched)

        for run in (only_one, another):
            threading.Thread(target=run, name=run.__name__, daemon=True).start()
        clock.settle()
    assert seen == [ExportStatus.DONE]
    assert not caplog.text


def random_list(seed: int) -> Callable[[list[Export], float], list[Export]]:
    """Return a list that is sometimes wrong."""
    random = Random(seed)
    share = random.choice([0.05, 0.3, 1])
    wrongs: list[Callable[[list[Export]], list[Export]]] = [
        lambda exports: [export for export in exports if random.random() < 0.5],
        lambda exports: [
            replace(export, status=random.choice([*ExportStatus])) for export in exports
        ],
        lambda exports: [replace(export, result=None) for export in exports],
        lambda exports: exports + exports,
        lambda _: [],
        lambda exports: failing(TransientError("Voucherify returned 502"))(exports, 0),
        lambda exports: failing(RequestError("expected a JSON object"))(exports, 0),
    ]
    wrong = random.choice(wrongs)
    return lambda exports, _: wrong(exports) if random.random() < share else exports


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    exports=st.integers(1, 8),
    latency=st.sampled_from([0, 0.4]),
    list_seconds=st.sampled_from([0, 0, 5]),
    stagger=st.sampled_from([0, 3, 60]),
)
def test_any_list_costs_little_and_misses_nothing(
    seed: int, exports: int, latency: float, list_seconds: float, stagger: float
) -> None:
    """Whatever the list says, every export is read in time, and calls stay bounded."""
    with VirtualClock(seed) as clock:
        random = Random(seed)
        seconds = {f"{number}": random.uniform(0, 100) for number in range(exports)}
        service = Service(clock, seconds, random_list(seed), list_seconds=list_seconds)
        outcomes = run_all(service, latency=latency, seed=seed, stagger=stagger)
        assert sorted(outcomes) == sorted(seconds)
        # A wrong status that contradicts nothing is detected by the next cross-check.
        check_ends(service, outcomes, slack=120 + 4 * (latency + list_seconds))
        # Alone, each would take a creation, a download, and polls until it has ended.
        alone = 2 + 15
        assert len(service.calls) <= exports * alone + 20
