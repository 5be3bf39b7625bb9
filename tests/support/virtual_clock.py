"""Threads in simulated time: fast, repeatable, and without real waits.

One thread runs at a time, until it waits for the clock, for a condition, or for a condition's
lock. The next one is drawn at random from those that are ready, so one seed is one schedule.
Time advances only when all threads wait, to the first moment at which one of them wakes up. If
none ever would, the thread that made the clock gets a `HangError`.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import os
import random
import sys
import threading
import typing as t
from dataclasses import dataclass, field

from tap_voucherify.clock import Clock, StoppedError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

STARTED_AT = 1_790_000_000.25

# Real seconds within which a new thread must use the clock, and a stopped one must end.
_PATIENCE_SECONDS = 20

# How often a ready thread keeps running at least, since switching threads takes real time.
_STAYING_SHARE = 0.6

# A thread that wakes up this many times while all others wait forever waits in vain.
_VAIN_WAKE_UPS = 300


class HangError(AssertionError):
    """All threads wait, and nothing would ever wake one."""


@dataclass(eq=False)
class _Task:
    """A thread as the scheduler sees it."""

    name: str
    is_ready: Callable[[], bool] = lambda: True
    wakes_at: float = math.inf
    is_patient: bool = False
    error: HangError | None = None
    gate: threading.Lock = field(default_factory=threading.Lock)


class _Presence:
    """Kept in a thread's local storage, so that it is deleted when the thread ends."""

    def __init__(self, scheduler: _Scheduler, task: _Task) -> None:
        self.task = task
        self._scheduler = scheduler

    def __del__(self) -> None:
        self._scheduler.leave(self.task)


class _Scheduler:
    """Runs one thread at a time, and advances the time."""

    def __init__(self, seed: int) -> None:
        self.time = 0.0
        self._random = random.Random(seed)
        self._tasks: list[_Task] = []
        self._threads: list[threading.Thread] = []
        self._known = {*threading.enumerate()} - {threading.current_thread()}
        self._arrival = threading.Condition()
        self._local = threading.local()
        self._last_waker: _Task | None = None
        self._vain_wake_ups = 0
        self._is_over = False
        self._first = self._enter()

    @property
    def others(self) -> int:
        """The number of threads other than the one that made the clock."""
        with self._arrival:
            self._await_arrivals()
            return len(self._tasks) - 1

    def current(self) -> _Task:
        """Return the running thread; a new one waits for its turn first."""
        if not hasattr(self._local, "presence"):
            self._wait_for_turn(self._enter())
        return t.cast("_Presence", self._local.presence).task

    def pause(
        self,
        is_ready: Callable[[], bool],
        wakes_at: float = math.inf,
        *,
        for_others: bool = False,
    ) -> None:
        """Let other threads run until this one is ready.

        Args:
            is_ready: Returns whether it may continue.
            wakes_at: The time at which it may become ready by itself.
            for_others: Whether it waits for other threads, with `wakes_at` as a timeout.
        """
        task = self.current()
        if self._is_over:
            self._end_thread(task)
            return  # in the first thread: no other is left
        task.is_ready, task.wakes_at, task.is_patient = is_ready, wakes_at, for_others
        chosen = self._choose(task)
        if chosen is not task:
            chosen.gate.release()
            self._wait_for_turn(task)
        error, task.error = task.error, None
        if error:
            raise error

    def leave(self, task: _Task) -> None:
        """Remove the running thread, which is ending."""
        with self._arrival:
            self._tasks.remove(task)
        if not self._is_over and self._tasks:
            self._choose().gate.release()

    def end(self) -> None:
        """End all other threads."""
        with self._arrival:
            self._await_arrivals()
            self._is_over = True
            waiting = [task for task in self._tasks if task is not self._first]
        # pytest would warn about each thread that is ended.
        usual_hook, threading.excepthook = threading.excepthook, lambda _: None
        for task in waiting:
            task.gate.release()
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)
            assert not thread.is_alive(), f"{thread.name} survives its test"
        threading.excepthook = usual_hook

    def _end_thread(self, task: _Task) -> None:
        if task is not self._first:
            raise SystemExit

    def _enter(self) -> _Task:
        thread = threading.current_thread()
        task = _Task(thread.name)
        task.gate.acquire()
        with self._arrival:
            self._local.presence = _Presence(self, task)
            # Sorted by name, so that the order of arrival does not matter.
            bisect.insort(self._tasks, task, key=lambda other: other.name)
            self._known.add(thread)
            if len(self._tasks) > 1:
                self._threads.append(thread)
            self._arrival.notify_all()
        return task

    def _wait_for_turn(self, task: _Task) -> None:
        task.gate.acquire()
        if self._is_over:
            self._end_thread(task)

    def _await_arrivals(self) -> None:
        """Wait until every started thread has entered."""
        arrived = self._arrival.wait_for(
            lambda: self._known.issuperset(threading.enumerate()), _PATIENCE_SECONDS
        )
        assert arrived, "A thread does not use the clock"

    def _choose(self, current: _Task | None = None) -> _Task:
        """Return the thread to run next; advance the time if none is ready."""
        with self._arrival:
            self._await_arrivals()
            while True:
                ready = [task for task in self._tasks if task.is_ready()]
                if ready:
                    chosen = self._random.choice(ready)
                    if current in ready and self._random.random() < _STAYING_SHARE:
                        chosen = current
                    if chosen is not self._last_waker:
                        self._last_waker = None
                    return chosen
                wakers = [task for task in self._tasks if self.time < task.wakes_at < math.inf]
                if not wakers or self._is_in_vain(wakers):
                    names = ", ".join(task.name for task in self._tasks)
                    self._first.error = HangError(f"Waiting forever at {self.time} s: {names}")
                    return self._first
                self.time = min(task.wakes_at for task in wakers)

    def _is_in_vain(self, wakers: list[_Task]) -> bool:
        if len(wakers) > 1 or not wakers[0].is_patient:
            self._last_waker = None
            return False
        if wakers[0] is not self._last_waker:
            self._last_waker, self._vain_wake_ups = wakers[0], 0
        self._vain_wake_ups += 1
        return self._vain_wake_ups > _VAIN_WAKE_UPS


class _Mutex:
    """A reentrant lock between the threads of one scheduler."""

    def __init__(self, scheduler: _Scheduler) -> None:
        self.owner: _Task | None = None
        self._depth = 0
        self._scheduler = scheduler

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, *, depth: int = 1) -> bool:
        """Acquire the lock as soon as it is free and the scheduler chooses this thread."""
        task = self._scheduler.current()
        if self.owner is not task:
            self._scheduler.pause(lambda: self.owner is None)
            self.owner = task
        self._depth += depth
        return True

    def release(self) -> None:
        """Release the lock, unless a failed wait has already lost it."""
        self._depth = max(self._depth - 1, 0)
        if not self._depth:
            self.owner = None

    def give_up(self) -> int:
        """Release the lock completely, and return how many times it was held."""
        depth, self._depth, self.owner = self._depth, 0, None
        return depth

    def take(self, task: _Task, depth: int) -> None:
        """Acquire the lock, which is free, `depth` times."""
        assert self.owner is None
        self.owner, self._depth = task, depth


class _Condition(threading.Condition):
    """A condition between the threads of one scheduler."""

    def __init__(self, scheduler: _Scheduler) -> None:
        self._mutex = _Mutex(scheduler)
        super().__init__(t.cast("threading.Lock", self._mutex))
        self._scheduler = scheduler
        self._asleep: list[_Task] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified, and return whether that happened before the timeout."""
        assert timeout != math.inf, "A real condition rejects it"
        task = self._owner()
        wakes_at = math.inf if timeout is None else self._scheduler.time + max(timeout, 0)
        depth = self._mutex.give_up()
        self._asleep.append(task)
        try:
            self._scheduler.pause(
                lambda: (
                    self._mutex.owner is None
                    and (task not in self._asleep or self._scheduler.time >= wakes_at)
                ),
                wakes_at,
                for_others=True,
            )
            self._mutex.take(task, depth)
            return task not in self._asleep
        finally:
            if task in self._asleep:
                self._asleep.remove(task)

    def wait_for(self, predicate: Callable[[], t.Any], timeout: float | None = None) -> t.Any:
        """Wait until `predicate` is true, and return what it last returned."""
        end = math.inf if timeout is None else self._scheduler.time + timeout
        while not (result := predicate()) and self._scheduler.time < end:
            self.wait(None if end == math.inf else end - self._scheduler.time)
        return result

    def notify(self, n: int = 1) -> None:
        """Wake the threads that have waited longest."""
        self._owner()
        del self._asleep[:n]

    def notify_all(self) -> None:
        """Wake all threads."""
        self.notify(len(self._asleep))

    def _owner(self) -> _Task:
        task = self._scheduler.current()
        if self._mutex.owner is not task:
            raise RuntimeError("the lock is not held")
        return task


@contextlib.contextmanager
def _one_processor() -> Iterator[None]:
    """Keep this thread, and those it starts, on one processor, where they take turns faster."""
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@t.final
class VirtualClock(Clock):
    """A clock whose threads run in simulated time; use it as a context manager.

    All threads started within the block belong to it, and must use it. They end with the block at
    the latest.

    Attributes:
        resources: What a failing test may leave open; closed after the threads have ended.
    """

    def __init__(self, seed: int = 0) -> None:
        """Begin a schedule.

        Args:
            seed: Determines which thread runs when several are ready.
        """
        super().__init__()
        self._scheduler = _Scheduler(seed)
        self._is_stopped = False
        self.resources = contextlib.ExitStack()

    def __enter__(self) -> VirtualClock:
        """Keep this thread, and those it starts, on one processor."""
        self.resources.enter_context(_one_processor())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all threads."""
        with self.resources:
            self._scheduler.end()

    @property
    def other_threads(self) -> int:
        """The number of live threads other than the one that made the clock."""
        return self._scheduler.others

    def now(self) -> float:
        """Return the simulated seconds since 1970."""
        return STARTED_AT + self.monotonic()

    def monotonic(self) -> float:
        """Return the simulated seconds since the clock was made."""
        self._scheduler.current()
        return self._scheduler.time

    def sleep(self, seconds: float) -> None:
        """Wait, in simulated time.

        Raises:
            StoppedError: If the run ends meanwhile, or has ended.
        """
        end = self.monotonic() + max(seconds, 0)
        self._scheduler.pause(lambda: self._is_stopped or self._scheduler.time >= end, end)
        if self._is_stopped:
            raise StoppedError

    def spend(self, seconds: float) -> None:
        """Let time pass that no stop cuts short, as during a call or while a file is read."""
        end = self.monotonic() + seconds
        self._scheduler.pause(lambda: self._scheduler.time >= end, end)

    def condition(self) -> threading.Condition:
        """Return a condition whose waits take simulated time."""
        return _Condition(self._scheduler)

    def stop(self) -> None:
        """End every current and future sleep."""
        self._is_stopped = True

    def settle(self) -> None:
        """Wait until all other threads have ended."""
        self._scheduler.pause(lambda: not self.other_threads)
