"""The rate limit is never exceeded, and the reserve stays unused."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import typing as t
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.api.headers import QUOTA, server_time
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import RateLimitError
from tests.support.simulated_client import SimulatedLimit
from tests.support.virtual_clock import STARTED_AT, VirtualClock

if t.TYPE_CHECKING:
    from collections.abc import Callable

# How long an example takes depends on how busy the machine is.
quick = settings(max_examples=150, deadline=None)

SEEDS = st.integers(0, 2**32)
PERIOD = 3600


def reported(limit: int, remaining: int, resets_in: float, **more: str) -> dict[str, str]:
    """Return the headers of a response at the start of the clock."""
    return {
        "X-Rate-Limit-Limit": str(limit),
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Retry": str(int(STARTED_AT + resets_in)),
        "X-Rate-Limit-Type": "api_calls",
        **more,
    }


def acquire(rate_limit: RateLimit) -> None:
    """Wait for a request and claim it."""
    rate_limit.wait()
    while not rate_limit.try_acquire():
        rate_limit.wait()


def in_threads(clock: VirtualClock, count: int, work: Callable[[], None]) -> None:
    """Run `work` in `count` threads and wait for them."""
    for number in range(count):
        threading.Thread(target=work, name=f"caller-{number}", daemon=True).start()
    clock.settle()


def make_calls(rate_limit: RateLimit, limit: SimulatedLimit, count: int) -> None:
    """Make calls with immediate responses."""
    for _ in range(count):
        acquire(rate_limit)
        limit.take()
        rate_limit.release(limit.headers)


@quick
@given(
    seed=SEEDS,
    calls=st.integers(20, 100),
    reserve=st.sampled_from([0, 0.1, 0.25, 0.5]),
    callers=st.integers(1, 8),
    latency_seconds=st.sampled_from([0, 0.5, 20]),
    skew=st.integers(-90, 90),
)
def test_nothing_is_ever_rejected(  # noqa: PLR0913, PLR0917 - the dimensions of a schedule
    seed: int, calls: int, reserve: float, callers: int, latency_seconds: float, skew: int
) -> None:
    """However calls and responses interleave, the reserve is unused at each reset."""
    with VirtualClock(seed) as clock:
        random = Random(seed)
        limit = SimulatedLimit(clock, calls, period_seconds=PERIOD, skew=skew)
        rate_limit = RateLimit(clock, reserve)
        under_way = [0]
        most_before_a_response = [0]
        responses = [0]

        def work() -> None:
            for _ in range(2 * calls // callers + 1):
                acquire(rate_limit)
                under_way[0] += 1
                if not responses[0]:
                    most_before_a_response[0] = max(most_before_a_response[0], under_way[0])
                clock.spend(random.uniform(0, latency_seconds))
                with contextlib.suppress(RateLimitError):
                    limit.take()
                headers = limit.headers
                clock.spend(random.uniform(0, latency_seconds))
                under_way[0] -= 1
                responses[0] += 1
                rate_limit.release(headers)
                clock.spend(random.choice([0, random.uniform(0, 100)]))

        in_threads(clock, callers, work)
        assert most_before_a_response[0] == 1
        assert limit.rejected == 0
        assert min(limit.unused[1:]) >= math.ceil(calls * reserve)


@quick
@given(seed=SEEDS, callers=st.integers(1, 8), resets_in=st.integers(5, 100))
def test_responses_of_an_earlier_period_do_not_count(
    seed: int, callers: int, resets_in: int
) -> None:
    """A late response from the last period causes no wait in this one."""
    with VirtualClock(seed) as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 50, resets_in))
        acquire(rate_limit)
        clock.spend(resets_in + 5)
        acquire(rate_limit)
        rate_limit.release(reported(100, 99, resets_in + PERIOD))
        # The response to the second call, sent before the reset, arrives late.
        rate_limit.release(reported(100, 10, resets_in))

        started = clock.monotonic()
        in_threads(clock, callers, lambda: acquire(rate_limit))
        assert clock.monotonic() == started


def test_the_tap_waits_when_only_the_reserve_is_left() -> None:
    """It waits for the reset, which may be rounded to seconds, and no longer."""
    with VirtualClock() as clock:
        limit = SimulatedLimit(clock, 100)
        rate_limit = RateLimit(clock, 0.1)
        make_calls(rate_limit, limit, 90)
        assert clock.monotonic() == 0
        make_calls(rate_limit, limit, 1)
        assert PERIOD <= clock.monotonic() <= PERIOD + 2
        assert limit.unused[1:] == [10]


def test_a_reset_starts_a_new_period() -> None:
    """After the reset, one call is sent alone, then as many as the limit allows."""
    with VirtualClock() as clock:
        limit = SimulatedLimit(clock, 100)
        rate_limit = RateLimit(clock, 0)
        make_calls(rate_limit, limit, 100)
        starts: list[float] = []

        def work() -> None:
            acquire(rate_limit)
            starts.append(clock.monotonic())
            clock.spend(3)
            limit.take()
            rate_limit.release(limit.headers)

        in_threads(clock, 5, work)
        assert starts == [starts[0], *[starts[0] + 3] * 4]
        assert starts[0] >= PERIOD


def starts_of_four(headers: dict[str, str]) -> list[float]:
    """Return when four callers start, each of which gets these headers after two seconds."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        starts: list[float] = []

        def work() -> None:
            acquire(rate_limit)
            starts.append(clock.monotonic())
            clock.spend(2)
            rate_limit.release(headers)

        in_threads(clock, 4, work)
    return starts


def test_the_first_call_is_sent_alone() -> None:
    """The limit is known before others follow."""
    assert starts_of_four(reported(100, 99, PERIOD)) == [0, 2, 2, 2]


@pytest.mark.parametrize(
    "headers",
    [{"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, reported(9, 0, 9, **{"X-Rate-Limit-Type": QUOTA})],
    ids=["none", "quota"],
)
def test_a_response_without_a_limit_releases_the_others(headers: dict[str, str]) -> None:
    """An account without one is not limited to one call at a time."""
    assert starts_of_four(headers) == [0, 2, 2, 2]


def test_a_response_about_the_quota_releases_the_others_after_a_reset() -> None:
    """It is about another limit, whose period is unknown."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 10, 30))
        clock.spend(40)
        starts: list[float] = []

        def work() -> None:
            acquire(rate_limit)
            starts.append(clock.monotonic())
            clock.spend(2)
            rate_limit.release(reported(100, 50, PERIOD, **{"X-Rate-Limit-Type": QUOTA}))

        in_threads(clock, 3, work)
        assert starts == [40, 42, 42]


def test_there_is_no_wait_while_calls_are_left() -> None:
    """A reset in the meantime is no reason to send a call alone."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 90, 10))
        clock.spend(20)
        in_threads(clock, 4, lambda: acquire(rate_limit))
        assert clock.monotonic() == 20


def test_the_first_call_with_a_response_is_sent_alone() -> None:
    """A call without a response reports nothing, so the next one is sent alone as well."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        starts: list[float] = []

        def work() -> None:
            acquire(rate_limit)
            starts.append(clock.monotonic())
            clock.spend(2)
            rate_limit.release(reported(100, 99, PERIOD) if len(starts) > 1 else {})

        in_threads(clock, 4, work)
        assert starts == [0, 2, 4, 4]


@pytest.mark.parametrize(
    "headers",
    [
        {"Date": "Thu, 01 Oct 2026 00:00:00 GMT"},
        {"X-Rate-Limit-Limit": "100"},
        reported(100, 0, PERIOD, **{"X-Rate-Limit-Limit": "many"}),
        reported(100, 0, PERIOD, **{"X-Rate-Limit-Retry": ""}),
        reported(100, 0, PERIOD, **{"X-Rate-Limit-Retry": "nan"}),
        reported(100, 0, PERIOD, **{"X-Rate-Limit-Retry": "inf"}),
        reported(100, 0, PERIOD, **{"X-Rate-Limit-Type": QUOTA}),
    ],
    ids=["none", "one", "word", "empty", "nan", "inf", "quota"],
)
def test_headers_without_a_limit_do_not_block(headers: dict[str, str]) -> None:
    """An account without a rate limit, or with invalid headers, is not paced."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        for _ in range(200):
            acquire(rate_limit)
            rate_limit.release(headers)
        assert clock.monotonic() == 0
        assert rate_limit.summary == "Voucherify reported no rate limit"


@pytest.mark.parametrize(
    "headers",
    [{"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, reported(10, 5, 10 * 24 * PERIOD)],
    ids=["none", "not_believable"],
)
def test_calls_are_sent_alone_until_the_new_period_is_known(headers: dict[str, str]) -> None:
    """After a reset, a response without a limit does not release the others."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.5)
        acquire(rate_limit)
        rate_limit.release(reported(10, 5, 30))
        acquire(rate_limit)
        assert clock.monotonic() >= 30
        rate_limit.release(headers)
        assert rate_limit.summary == "10 of 10 calls left until it resets"

        def work() -> None:
            acquire(rate_limit)
            started.append(clock.monotonic())
            clock.spend(1)
            rate_limit.release({})

        started: list[float] = []
        in_threads(clock, 3, work)
        assert started == [started[0], started[0] + 1, started[0] + 2]


def test_a_wait_may_have_to_be_repeated() -> None:
    """A claim fails once only the reserve is left; after the reset it succeeds."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        rate_limit.wait()
        assert rate_limit.try_acquire()
        rate_limit.release(reported(100, 10, 600))
        assert not rate_limit.try_acquire()
        rate_limit.wait()
        assert clock.monotonic() >= 600
        assert rate_limit.try_acquire()


def test_a_wait_claims_nothing() -> None:
    """Preparing a request after the wait may itself use the last call."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 11, 600))
        rate_limit.wait()
        # Requesting a token uses the last call above the reserve.
        acquire(rate_limit)
        rate_limit.release(reported(100, 10, 600))
        assert clock.monotonic() == 0
        assert not rate_limit.try_acquire()
        acquire(rate_limit)
        assert clock.monotonic() >= 600


def test_the_lowest_reported_number_counts() -> None:
    """Responses arrive out of order; a late one does not give calls back."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0)
        acquire(rate_limit)
        rate_limit.release(reported(100, 10, PERIOD))
        for _ in range(4):
            acquire(rate_limit)
        rate_limit.release(reported(100, 6, PERIOD))
        # Responses sent before that one, ten seconds late.
        clock.spend(10)
        for remaining in (9, 8, 7):
            rate_limit.release(reported(100, remaining, PERIOD))
        calls = 0
        while clock.monotonic() < PERIOD:
            acquire(rate_limit)
            rate_limit.release({})
            calls += 1
        assert 1 < calls - 1 <= 6


def test_a_reset_reported_a_second_off_is_the_same() -> None:
    """A server that rounds the reset up and down gives no calls back."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0)
        for remaining, resets_in in ((50, PERIOD), (4, PERIOD - 1), (9, PERIOD + 1)):
            acquire(rate_limit)
            rate_limit.release(reported(100, remaining, resets_in))
        calls = 0
        while not clock.monotonic():
            acquire(rate_limit)
            rate_limit.release({})
            calls += 1
        assert calls - 1 <= 4


@pytest.mark.parametrize(
    ("later", "remaining", "left"),
    [(3, 90, 90), (2, 90, 49), (0, 90, 49), (-2, 4, 4), (-3, 4, 49)],
)
def test_a_period_is_identified_by_its_end(later: int, remaining: int, left: int) -> None:
    """To within two seconds: the reset and the time of the response are both rounded."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0)
        for resets_in, reported_left in ((PERIOD - 9, 50), (PERIOD - 9 + later, remaining)):
            acquire(rate_limit)
            rate_limit.release(reported(100, reported_left, resets_in))
        assert rate_limit.summary == f"{left} of 100 calls left until it resets"


@pytest.mark.parametrize("resets", [(600, 599), (599, 600)])
def test_the_earliest_reset_of_a_period_counts(resets: tuple[int, int]) -> None:
    """The next call is sent then, or up to a second later."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        clock.spend(100)
        for resets_in in resets:
            acquire(rate_limit)
            rate_limit.release(reported(100, 20 if resets_in == resets[0] else 10, resets_in))
        acquire(rate_limit)
        assert 599 < clock.monotonic() <= 600


def test_calls_in_flight_count_in_a_new_period() -> None:
    """A call without a response at the reset may reach the server after it."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(20, 18, 10))
        for _ in range(5):
            acquire(rate_limit)
        clock.spend(20)
        acquire(rate_limit)
        rate_limit.release(reported(20, 19, PERIOD))
        calls = 1 + 5
        while clock.monotonic() < PERIOD:
            acquire(rate_limit)
            rate_limit.release({})
            calls += 1
        assert calls - 1 == 20 - 2


@pytest.mark.parametrize("remaining", [10, 9, 0])
def test_the_calls_of_others_count(remaining: int) -> None:
    """Responses include what other applications use of the limit."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, remaining, 30))
        acquire(rate_limit)
        assert 30 <= clock.monotonic() <= 32


def test_the_wait_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line reports the wait, however many calls are waiting."""
    caplog.set_level(logging.INFO)
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 10, 600))

        def work() -> None:
            acquire(rate_limit)
            rate_limit.release(reported(100, 99, 600 + PERIOD))

        in_threads(clock, 4, work)
    assert caplog.messages == ["Rate limit reserve reached; waiting 601 s for the reset"]


def test_a_wait_for_a_response_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It ends with that response, not with a reset."""
    caplog.set_level(logging.INFO)
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 10, 30))
        clock.spend(40)

        def work() -> None:
            acquire(rate_limit)
            clock.spend(1)
            rate_limit.release(reported(100, 99, PERIOD))

        in_threads(clock, 3, work)
    assert caplog.messages == []


def test_the_wait_does_not_count_towards_a_deadline() -> None:
    """An export does not time out because of the rate limit."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 10, 600))
        deadline = Deadline(clock, 60)
        clock.spend(10)
        with deadline.paused():
            acquire(rate_limit)
        assert clock.monotonic() >= 600
        assert deadline.remaining_seconds == 50


def test_a_reset_in_milliseconds() -> None:
    """It is recognised as such."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        milliseconds = str(int(STARTED_AT * 1000) + 600_000)
        rate_limit.release(reported(100, 0, 0, **{"X-Rate-Limit-Retry": milliseconds}))
        acquire(rate_limit)
        assert 600 <= clock.monotonic() <= 602


@pytest.mark.parametrize("resets_in", [2 * PERIOD, 10 * 24 * PERIOD, 10 * 365 * 24 * PERIOD])
def test_b5_a_reset_that_is_too_far_ahead_is_ignored(
    caplog: pytest.LogCaptureFixture, resets_in: float
) -> None:
    """One warning reports it, and nothing waits for it."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        for _ in range(3):
            acquire(rate_limit)
            rate_limit.release(reported(100, 0, resets_in))
        assert clock.monotonic() == 0
    (message,) = caplog.messages
    assert message.startswith("Ignoring a rate limit that resets in more than an hour")


@pytest.mark.parametrize(
    "name", ["X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Retry"]
)
@pytest.mark.parametrize("value", ["9" * 400, "-5", "1e3", "1_0", "5.5", "\u0665"])
def test_b5_implausible_numbers_do_not_block(name: str, value: str) -> None:
    """Neither endless digits nor other number formats are accepted."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        for _ in range(3):
            acquire(rate_limit)
            rate_limit.release(reported(100, 0, PERIOD, **{name: value}))
        assert clock.monotonic() == 0


def test_the_summary_reports_what_is_left() -> None:
    """The log ends with what is left of the limit."""
    with VirtualClock() as clock:
        rate_limit = RateLimit(clock, 0.1)
        acquire(rate_limit)
        rate_limit.release(reported(100, 73, PERIOD))
        assert rate_limit.summary == "73 of 100 calls left until it resets"
        for _ in range(3):
            acquire(rate_limit)
        rate_limit.release(reported(100, 1, PERIOD))
        assert rate_limit.summary == "0 of 100 calls left until it resets"


def test_the_server_time_is_that_of_its_response() -> None:
    """Without a valid `Date`, the local time is used."""
    with VirtualClock() as clock:
        assert server_time({"Date": "Thu, 01 Jan 1970 00:01:00 GMT"}, clock) == 60
        assert server_time({"Date": "yesterday"}, clock) == STARTED_AT
        assert server_time({}, clock) == STARTED_AT
