"""The life of one export, as far as it can be told without a server."""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import tempfile
import typing as t
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.clock import StoppedError
from tap_voucherify.errors import (
    AccountError,
    ExportFailedError,
    ExportTimeoutError,
    LinkExpiredError,
    NotFoundError,
    RateLimitError,
    RequestError,
    StorageError,
    TransientError,
)
from tap_voucherify.exports.job import ExportRequest, ExportRunner, file_urls, poll_pauses
from tap_voucherify.instants import EPOCH
from tap_voucherify.windows import Window
from tests.support.simulated_client import Json, SimulatedClient
from tests.support.virtual_clock import STARTED_AT, VirtualClock

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tap_voucherify.api.client import Answer

URL = "https://example.com/exp_1"
CREATED = {"id": "exp_1", "status": "SCHEDULED", "created_at": "2026-08-01T12:00:00.000Z"}
RUNNING = {"status": "IN_PROGRESS"}
DONE = {"status": "DONE", "result": {"url": URL}}
ERROR = {"status": "ERROR"}
NOON = dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc)

WHOLE = ExportRequest("vouchers", "voucher", ("id", "code"))
FIRST_OF_AUGUST = Window(NOON.replace(hour=0), NOON.replace(day=2, hour=0))
WINDOWED = ExportRequest(
    "vouchers",
    "voucher",
    ("id", "code"),
    order="created_at",
    window=FIRST_OF_AUGUST,
    filter_field="created_at",
    may_be_adopted=True,
)

Reply = t.Union["Json", Exception]


@dataclass
class Script:
    """A service that answers as it is written; the last answer to a kind of call stays.

    Attributes:
        clock: Tells when a call is made.
        replies: The answers to each kind of call, in order.
        files: What the links lead to, in order of the downloads.
        calls: The kind, subject and time of every call.
        done_at: From when on a poll is answered by DONE, whatever is written.
    """

    clock: VirtualClock
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    files: list[bytes | Exception] = field(default_factory=lambda: [b"ID\n"])
    calls: list[tuple[str, str, float]] = field(default_factory=list)
    done_at: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Tell no rate limit."""
        return {}

    @property
    def kinds(self) -> list[str]:
        """The kinds of all calls, in order."""
        return [kind for kind, *_ in self.calls]

    def times(self, kind: str) -> list[float]:
        """Return when calls of this kind were made."""
        return [time for other, _, time in self.calls if other == kind]

    def answer(
        self,
        kind: str,
        path: str,
        body: Mapping[str, t.Any],  # noqa: ARG002 - a subclass looks at it
    ) -> Json:
        """Answer by the script."""
        now = self.clock.monotonic()
        self.calls.append((kind, path, now))
        if kind == "poll" and self.done_at is not None:
            return DONE if now >= self.done_at else RUNNING
        usual: dict[str, list[Reply]] = {"create": [CREATED], "poll": [DONE], "delete": [{}]}
        replies = self.replies.get(kind) or usual[kind]
        return told(replies.pop(0) if len(replies) > 1 else replies[0])

    def file(self, url: str) -> bytes:
        """Return the next file."""
        self.calls.append(("download", url, self.clock.monotonic()))
        return told(self.files.pop(0) if len(self.files) > 1 else self.files[0])


_Told = t.TypeVar("_Told")


def told(reply: _Told | Exception) -> _Told:
    """Return an answer, or raise what stands for a refusal."""
    if isinstance(reply, Exception):
        raise reply
    return reply


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Return a clock at its beginning."""
    with VirtualClock() as clock:
        yield clock


@pytest.fixture
def script(clock: VirtualClock) -> Script:
    """Return a service where every export is done at the first poll."""
    return Script(clock)


def runner(script: Script, **limits: float) -> ExportRunner:
    """Return a runner of exports against a service."""
    return ExportRunner(
        SimulatedClient(script, script.clock),
        script.clock,
        poll_interval_seconds=limits.get("poll_interval_seconds", 1),
        export_timeout_seconds=limits.get("export_timeout_seconds", 3600),
        adopt_exports=bool(limits.get("adopt_exports")),
    )


def run(
    script: Script,
    request: ExportRequest = WHOLE,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
    **limits: float,
) -> list[bytes]:
    """Run an export and return what is in its files."""
    exported = runner(script, **limits).run(request, is_wanted)
    assert exported.request is request
    content = [file.read() for file in exported.files]
    exported.close()
    assert all(file.closed for file in exported.files)
    return content


# What is asked for


def test_a_whole_table_is_asked_for_without_filter() -> None:
    """The fields are asked for in order, and nothing else is."""
    assert WHOLE.body == {
        "exported_object": "voucher",
        "parameters": {"fields": ["id", "code"]},
    }
    assert str(WHOLE) == "vouchers"


def test_a_window_is_asked_for_with_a_second_more_on_each_side() -> None:
    """The filter is one conjunction, and the rows are asked for in order."""
    assert WINDOWED.body == {
        "exported_object": "voucher",
        "parameters": {
            "fields": ["id", "code"],
            "order": "created_at",
            "filters": {
                "junction": "and",
                "created_at": {
                    "conditions": {
                        "$after": ["2026-07-31T23:59:59.000Z"],
                        "$before": ["2026-08-02T00:00:01.000Z"],
                    }
                },
            },
        },
    }


def test_an_unbounded_window_is_no_filter() -> None:
    """A first run without a start date asks for everything."""
    request = ExportRequest("vouchers", "voucher", ("id",), filter_field="created_at")
    assert "filters" not in request.body["parameters"]


def test_extra_parameters_do_not_loosen_the_window() -> None:
    """Further filters are joined to the window by "and", whatever they say themselves."""
    extra = {
        "campaign_id": "camp_1",
        "filters": {"junction": "or", "code": {"conditions": {"$is": ["A"]}}},
    }
    request = ExportRequest(
        "vouchers",
        "voucher",
        ("id",),
        window=FIRST_OF_AUGUST,
        filter_field="created_at",
        extra_parameters=extra,
    )
    parameters = request.body["parameters"]
    assert parameters["campaign_id"] == "camp_1"
    assert set(parameters["filters"]) == {"junction", "code", "created_at"}
    assert parameters["filters"]["junction"] == "and"
    assert extra["filters"] == {"junction": "or", "code": {"conditions": {"$is": ["A"]}}}


def test_a_request_can_be_moved_to_another_window() -> None:
    """A part of a window is asked for like the whole."""
    part = Window(FIRST_OF_AUGUST.start, NOON)
    moved = WINDOWED.over(part)
    assert moved.window == part
    assert moved.over(FIRST_OF_AUGUST) == WINDOWED
    assert str(moved) == (
        "vouchers created from 2026-08-01T00:00:00.000Z before 2026-08-01T12:00:00.000Z"
    )


# The links to the files


@pytest.mark.parametrize(
    "result",
    [
        {"url": "a"},
        {"url": ["a"]},
        {"urls": ["a"]},
        {"urls": "a"},
    ],
    ids=repr,
)
def test_one_link(result: object) -> None:
    """The documented form and its likely relatives are understood."""
    assert file_urls(result) == ["a"]


@pytest.mark.parametrize("result", [{"url": ["b", "a"]}, {"urls": ["b", "a"]}], ids=repr)
def test_several_links_keep_their_order(result: object) -> None:
    """The parts of a large export are read in the order in which they are told."""
    assert file_urls(result) == ["b", "a"]


@pytest.mark.parametrize(
    "result",
    [
        None,
        "https://secret",
        ["https://secret"],
        {},
        {"url": None},
        {"url": []},
        {"url": ["https://secret", None]},
        {"url": {"0": "https://secret"}},
        {"chunks": ["https://secret"]},
        {"url": "https://secret", "next": "https://secret"},
        {"url": "https://secret", "urls": ["https://secret"]},
        {"url": "https://secret", 1: 2},
    ],
    ids=repr,
)
def test_an_unknown_result_is_never_read_in_part(result: object) -> None:
    """The error shows the keys of the result, and none of its values."""
    with pytest.raises(RequestError) as failure:
        file_urls(result)
    assert "secret" not in str(failure.value)
    for key in result if isinstance(result, dict) else ():
        assert repr(str(key)) in str(failure.value)


# Polling


@given(st.floats(0.1, 30))
def test_polls_follow_after_a_fifth_of_the_time_waited(interval: float) -> None:
    """The first comes after the interval, and none is further than 30 s from the next."""
    waited = 0.0
    for number, pause in enumerate(itertools.islice(poll_pauses(interval), 60)):
        expected = interval if not number else min(max(interval, 0.2 * waited), 30)
        assert pause == pytest.approx(expected)
        waited += pause


@settings(max_examples=150, deadline=None)
@given(seconds=st.floats(0, 3000), interval=st.sampled_from([0.5, 1, 5]))
def test_the_end_of_an_export_is_noticed_soon(seconds: float, interval: float) -> None:
    """That is within the interval, or a fifth of the time that the export took."""
    with VirtualClock() as clock:
        script = Script(clock, done_at=seconds)
        assert run(script, poll_interval_seconds=interval) == [b"ID\n"]
        late = clock.monotonic() - seconds
        assert 0 <= late <= max(interval, min(0.2 * seconds, 30)) + 1e-6


def test_an_export_of_a_minute_costs_twenty_polls(script: Script) -> None:
    """The tap is a good guest of the API."""
    script.done_at = 60
    run(script)
    assert len(script.times("poll")) <= 20
    assert script.kinds[0] == "create"
    assert script.kinds[-1] == "download"
    assert len(script.calls) == len(script.times("poll")) + 2


def test_waiting_is_told_at_a_growing_interval(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """A person sees that the export is alive, and for how long it has been waited for."""
    caplog.set_level(logging.INFO)
    script.done_at = 200
    run(script, WINDOWED)
    waits = [message for message in caplog.messages if "still waiting" in message]
    assert 4 <= len(waits) <= 6
    assert all(message.startswith(f"{WINDOWED}: still waiting after ") for message in waits)
    assert f"{WINDOWED}: created export exp_1" in caplog.messages
    assert any(f"{WINDOWED}: downloaded 0.0 MB" in message for message in caplog.messages)


# How an export ends


def test_a_finished_export_becomes_files(script: Script, clock: VirtualClock) -> None:
    """All is known that the reader needs."""
    exported = runner(script).run(WHOLE, lambda: True)
    assert exported.export_id == "exp_1"
    assert exported.created_at == NOON
    assert [file.read() for file in exported.files] == [b"ID\n"]
    assert script.kinds == ["create", "poll", "download"]
    assert clock.monotonic() == 1
    exported.close()


def test_several_files_are_downloaded_in_order(script: Script) -> None:
    """Each part of a large export is a file of its own."""
    script.replies["poll"] = [{"status": "DONE", "result": {"url": ["u1", "u2", "u3"]}}]
    script.files = [b"1", b"2", b"3"]
    assert run(script) == [b"1", b"2", b"3"]
    assert [url for kind, url, _ in script.calls if kind == "download"] == ["u1", "u2", "u3"]


@pytest.mark.parametrize("created_at", [None, "", "yesterday", 5])
def test_an_export_without_a_time_was_created_when_the_server_says_so(
    script: Script, created_at: object
) -> None:
    """The answer's own time takes the place of a missing `created_at`."""
    script.replies["create"] = [{"id": "exp_1", "created_at": created_at}]
    exported = runner(script).run(WHOLE, lambda: True)
    assert exported.created_at == EPOCH + dt.timedelta(seconds=STARTED_AT)
    exported.close()


@pytest.mark.parametrize("created", [{}, {"id": None}, {"id": ""}, {"id": 5}], ids=repr)
def test_an_export_without_id_is_an_error(script: Script, created: Json) -> None:
    """What cannot be polled is not waited for."""
    script.replies["create"] = [created]
    with pytest.raises(RequestError, match="without telling its id"):
        run(script)


def test_an_id_cannot_lead_elsewhere(script: Script) -> None:
    """An id is one part of a path, whatever characters it has."""
    script.replies["create"] = [CREATED | {"id": "../a?b#c"}]
    run(script)
    assert script.calls[1][:2] == ("poll", "/v1/exports/..%2Fa%3Fb%23c")


def test_an_export_that_ends_with_error_has_failed(script: Script) -> None:
    """The error tells when the export was created, where an open window can be closed."""
    script.replies["poll"] = [RUNNING, ERROR]
    with pytest.raises(ExportFailedError, match="ERROR") as failure:
        run(script)
    assert failure.value.created_at == NOON
    assert not isinstance(failure.value, ExportTimeoutError)


@pytest.mark.parametrize("where", ["poll", "download"])
def test_an_export_that_vanishes_has_failed(script: Script, where: str) -> None:
    """A new export may succeed."""
    if where == "poll":
        script.replies["poll"] = [RUNNING, NotFoundError("Voucherify answers 404")]
    else:
        script.files = [NotFoundError("Voucherify answers 404")]
    with pytest.raises(ExportFailedError, match="vanished") as failure:
        run(script)
    assert failure.value.created_at == NOON


def test_an_object_that_cannot_be_exported_did_not_vanish(script: Script) -> None:
    """To create the export again would fail again."""
    script.replies["create"] = [NotFoundError("Voucherify answers 404")]
    with pytest.raises(NotFoundError):
        run(script)


@pytest.mark.parametrize("status", ["PAUSED", None, 5])
def test_an_unknown_status_is_an_error(script: Script, status: object) -> None:
    """The tap does not wait for what it does not understand."""
    script.replies["poll"] = [{"status": status}]
    with pytest.raises(RequestError, match="unknown to this tap"):
        run(script)


def test_an_export_that_does_not_end_times_out(script: Script, clock: VirtualClock) -> None:
    """It is polled at the very end of its time, and not later."""
    script.replies["poll"] = [RUNNING]
    with pytest.raises(ExportTimeoutError, match="export_timeout_seconds") as failure:
        run(script, export_timeout_seconds=100)
    assert clock.monotonic() == script.times("poll")[-1] == 100
    assert failure.value.created_at == NOON


def test_a_download_that_does_not_end_in_time_times_out(
    script: Script, clock: VirtualClock
) -> None:
    """The time for an export includes its download; a smaller window may do better."""

    class Slow(Script):
        def file(self, url: str) -> bytes:
            self.clock.spend(200)
            return super().file(url)

    slow = Slow(clock, script.replies)
    with pytest.raises(ExportTimeoutError):
        run(slow, export_timeout_seconds=100)
    assert len(slow.times("download")) == 1


def test_a_call_that_fails_now_and_then_is_repeated(script: Script) -> None:
    """A poll or a download is repeated until it is answered."""
    failure = TransientError("Voucherify answers 502")
    script.replies["poll"] = [failure, failure, DONE]
    script.files = [failure, b"ID\n"]
    assert run(script) == [b"ID\n"]


def test_a_lost_answer_to_the_creation_is_told(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """There may be an export now that nobody reads."""
    script.replies["create"] = [TransientError("api.example.com does not answer"), CREATED]
    run(script)
    assert "an export that was started all the same will not be read" in caplog.text


@pytest.mark.parametrize("wanted_polls", [0, 1, 3])
def test_an_export_that_is_not_wanted_any_more_stops(script: Script, wanted_polls: int) -> None:
    """It is not polled any more."""
    script.replies["poll"] = [RUNNING]
    with pytest.raises(StoppedError):
        run(script, is_wanted=lambda: len(script.times("poll")) < wanted_polls)
    assert len(script.times("poll")) == wanted_polls


def test_files_that_are_not_wanted_any_more_are_not_downloaded(script: Script) -> None:
    """Each file is asked for only as long as somebody would read it."""
    script.replies["poll"] = [{"status": "DONE", "result": {"url": ["u1", "u2"]}}]
    with pytest.raises(StoppedError):
        run(script, is_wanted=lambda: "download" not in script.kinds)
    assert script.kinds.count("download") == 1


def test_a_failed_download_leaves_no_file(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither open files nor names of files remain, not even while they are in use."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script.files = [RequestError("the download was redirected 5 times")]
    with pytest.raises(RequestError):
        run(script)
    script.files = [b"ID\n"]
    exported = runner(script).run(WHOLE, lambda: True)
    assert list(tmp_path.iterdir()) == []
    exported.close()


def test_a_missing_folder_for_temporary_files_is_told(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error says which variable to look at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="check TMPDIR"):
        run(script)


# Links are short-lived


@pytest.mark.parametrize(("seconds", "polls"), [(9, 1), (11, 2)])
def test_a_link_is_fetched_again_when_it_is_old(
    script: Script, clock: VirtualClock, seconds: float, polls: int
) -> None:
    """The poll that says DONE gives the link, which is good for ten seconds."""

    class Slow(Script):
        def file(self, url: str) -> bytes:
            if not self.times("download"):
                self.clock.spend(seconds)
            return super().file(url)

    slow = Slow(clock, script.replies)
    slow.replies["poll"] = [
        {"status": "DONE", "result": {"url": ["old1", "old2"]}},
        {"status": "DONE", "result": {"url": ["new1", "new2"]}},
    ]
    slow.files = [b"1", b"2"]
    assert run(slow) == [b"1", b"2"]
    urls = [url for kind, url, _ in slow.calls if kind == "download"]
    assert urls == (["old1", "old2"] if polls == 1 else ["old1", "new2"])
    assert len(slow.times("poll")) == polls


def test_a_link_that_grew_old_while_waiting_for_the_limit_is_not_sent(clock: VirtualClock) -> None:
    """After the reset, a poll gives a fresh one, and then the file is downloaded."""

    class Limited(Script):
        @property
        def headers(self) -> dict[str, str]:
            # The poll that says DONE is the last call of its period.
            left = 1 if len(self.kinds) == 2 else 100
            end = STARTED_AT + (600 if len(self.kinds) <= 2 else 1200)
            return {
                "X-Rate-Limit-Limit": "100",
                "X-Rate-Limit-Remaining": str(left - 1),
                "X-Rate-Limit-Retry": str(int(end)),
            }

    limited = Limited(clock)
    limited.replies["poll"] = [DONE, {"status": "DONE", "result": {"url": "fresh"}}]
    assert run(limited) == [b"ID\n"]
    assert limited.kinds == ["create", "poll", "poll", "download"]
    assert limited.calls[-1][1] == "fresh"
    assert limited.calls[-1][2] >= 600


def test_an_expired_link_is_fetched_again(script: Script) -> None:
    """The fresh one is used at once."""
    script.replies["poll"] = [DONE, {"status": "DONE", "result": {"url": "fresh"}}]
    script.files = [LinkExpiredError("the download answers 401"), b"ID\n"]
    assert run(script) == [b"ID\n"]
    assert script.kinds == ["create", "poll", "download", "poll", "download"]
    assert script.calls[-1][1] == "fresh"
    assert script.calls[-1][2] == script.calls[-2][2]


def test_fresh_links_that_have_expired_are_an_error(script: Script) -> None:
    """A 401 to three links in turn is about the key."""
    script.files = [LinkExpiredError("the download answers 401")]
    with pytest.raises(RequestError, match="check that the key may download exports"):
        run(script)
    assert len(script.times("download")) == 3


def test_a_changed_number_of_files_is_an_error(script: Script) -> None:
    """Files of two answers are not mixed."""
    script.replies["poll"] = [DONE, {"status": "DONE", "result": {"url": ["u1", "u2"]}}]
    script.files = [LinkExpiredError("the download answers 401"), b"ID\n"]
    with pytest.raises(RequestError, match="number of an export's files changed"):
        run(script)


# Exports of a killed run


def left_behind(request: ExportRequest, **changes: t.Any) -> Json:
    """Return an export as the list of exports tells it."""
    created_at = "2026-09-21T14:13:00.000Z"
    return (
        {"id": "exp_0", "status": "IN_PROGRESS", "created_at": created_at} | request.body | changes
    )


def listed(*exports: object) -> list[Reply]:
    """Return the list of exports as an answer."""
    return [{"object": "list", "exports": list(exports), "total": len(exports)}]


def test_an_unfinished_export_is_adopted(script: Script) -> None:
    """A killed run's export is waited for in place of a second one."""
    script.replies["list"] = listed(left_behind(WINDOWED))
    exported = runner(script, adopt_exports=True).run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_0"
    assert script.kinds == ["list", "poll", "download"]
    exported.close()


def test_an_export_is_adopted_once(script: Script) -> None:
    """Two requests never share one export, and the list is asked for once."""
    script.replies["list"] = listed(left_behind(WINDOWED))
    adopting = runner(script, adopt_exports=True)
    first, second = (adopting.run(WINDOWED, lambda: True) for _ in range(2))
    assert (first.export_id, second.export_id) == ("exp_0", "exp_1")
    assert script.kinds.count("list") == 1
    first.close()
    second.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "DONE"},
        {"status": "ERROR"},
        {"status": None},
        {"id": None},
        {"exported_object": "order"},
        {"created_at": "2026-09-21T13:00:00.000Z"},
        {"created_at": None},
        {"parameters": None},
        {"parameters": {"fields": ["id", "code"]}},
        {"parameters": WINDOWED.body["parameters"] | {"campaign_id": "camp_1"}},
        {"parameters": WINDOWED.body["parameters"] | {"fields": ["code", "id"]}},
    ],
    ids=repr,
)
def test_no_other_export_is_adopted(script: Script, changes: Json) -> None:
    """Only an unfinished, young export with every parameter equal has not been read yet."""
    script.replies["list"] = listed(None, left_behind(WINDOWED, **changes))
    exported = runner(script, adopt_exports=True).run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_1"
    exported.close()


def test_the_age_of_an_export_is_told_by_the_server(script: Script, clock: VirtualClock) -> None:
    """A machine whose clock is two hours ahead of the server's adopts what is young there."""

    class Behind(SimulatedClient):
        def call(self, *arguments: t.Any, **options: t.Any) -> Answer:
            answer = super().call(*arguments, **options)
            return answer._replace(server_time=answer.server_time - 2 * 3600)

    created_at = "2026-09-21T12:13:00.000Z"
    script.replies["list"] = listed(left_behind(WINDOWED, created_at=created_at))
    adopting = ExportRunner(
        Behind(script, clock),
        clock,
        poll_interval_seconds=1,
        export_timeout_seconds=3600,
        adopt_exports=True,
    )
    exported = adopting.run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_0"
    exported.close()


def test_a_wait_that_the_download_is_asked_for_is_no_export_s_time(script: Script) -> None:
    """An export may take a minute; the hour that a 429 asks for does not count."""
    script.files = [RateLimitError("Voucherify answers 429", 3000), b"ID\n"]
    assert run(script, export_timeout_seconds=60) == [b"ID\n"]


def test_the_echo_of_the_guide_is_understood(script: Script) -> None:
    """Filters may be echoed as `filter`, and defaults that were not asked for be told."""
    parameters = dict(WINDOWED.body["parameters"])
    parameters["filter"] = parameters.pop("filters")
    parameters |= {"response_format": "CSV", "campaign_id": None}
    script.replies["list"] = listed(left_behind(WINDOWED, parameters=parameters))
    exported = runner(script, adopt_exports=True).run(WINDOWED, lambda: True)
    assert exported.export_id == "exp_0"
    exported.close()


def test_the_echo_of_an_export_without_filters_is_understood(script: Script) -> None:
    """A junction is echoed also where there is nothing to join."""
    request = replace(WINDOWED, window=Window())
    assert "filters" not in request.body["parameters"]
    parameters = request.body["parameters"] | {"filters": {"junction": "and"}}
    script.replies["list"] = listed(left_behind(request, parameters=parameters))
    exported = runner(script, adopt_exports=True).run(request, lambda: True)
    assert exported.export_id == "exp_0"
    exported.close()


def test_a_whole_table_is_never_adopted(script: Script) -> None:
    """An export of everything may have been read already, and is never looked for."""
    run(script, WHOLE, adopt_exports=True)
    assert script.kinds == ["create", "poll", "download"]


@pytest.mark.parametrize("exports", [None, {}, "none"])
def test_a_list_of_another_form_is_empty(script: Script, exports: object) -> None:
    """Adoption is a courtesy: the run goes on without it."""
    script.replies["list"] = [{"exports": exports}]
    run(script, WINDOWED, adopt_exports=True)
    assert script.kinds == ["list", "create", "poll", "download"]


def test_a_refused_list_is_a_warning(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """A key that may not list exports can still export."""
    script.replies["list"] = [RequestError("Voucherify answers 403")]
    run(script, WINDOWED, adopt_exports=True)
    assert "Exports of an earlier run cannot be looked for: Voucherify answers 403" in caplog.text


def test_the_time_that_adoption_takes_counts_to_no_deadline(clock: VirtualClock) -> None:
    """An export's time begins with the export."""

    class Busy(Script):
        def answer(self, kind: str, path: str, body: Mapping[str, t.Any]) -> Json:
            if kind == "list":
                self.clock.spend(500)
            return super().answer(kind, path, body)

    busy = Busy(clock, {"list": listed(), "poll": [RUNNING, RUNNING, DONE]})
    assert run(busy, WINDOWED, adopt_exports=True, export_timeout_seconds=100) == [b"ID\n"]


# Deletion


def test_an_export_that_was_read_is_deleted(script: Script) -> None:
    """It is deleted by its id."""
    exports = runner(script)
    exported = exports.run(WHOLE, lambda: True)
    exports.delete(exported)
    assert script.calls[-1][:2] == ("delete", "/v1/exports/exp_1")
    exported.close()


@pytest.mark.parametrize(
    ("failure", "warnings"),
    [
        (NotFoundError("Voucherify answers 404"), []),
        (RequestError("no"), ["vouchers: the export is not deleted: no"]),
        (AccountError("no"), ["vouchers: the export is not deleted: no"]),
    ],
    ids=["gone", "refused", "account"],
)
def test_a_failed_deletion_is_a_warning(
    script: Script,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    warnings: list[str],
) -> None:
    """The records are written; one that is gone already is not worth a word."""
    script.replies["delete"] = [failure]
    exports = runner(script)
    exported = exports.run(WHOLE, lambda: True)
    exports.delete(exported)
    assert [record.message for record in caplog.records if record.levelno >= 30] == warnings
    exported.close()
