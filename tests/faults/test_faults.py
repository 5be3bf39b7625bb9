"""Every fault ends with exact data, or one error line and a resumable state.

Each row of the table is a fault and its effect on a run of the real command. The faults concern
customers; orders, which are read after them, show the effect on other streams.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import (
    OBJECTS,
    Amend,
    Behaviour,
    Cut,
    Dataset,
    Drip,
    Export,
    Fault,
    Raw,
    Reply,
    Rewrite,
    Sandbox,
    Stall,
    Turn,
)
from dev.sandbox.faults import Action
from tests.support.expectations import expected_record, identity
from tests.support.runner import Json, Run, Tap, created_exports, select

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROWS = 40
START = datetime(2025, 3, 1, tzinfo=timezone.utc)
SELECTED = ("customers", "orders")

# No machine accepts connections to this port.
CLOSED_PORT = "http://127.0.0.1:1"

# The time range that contains all rows.
BOUNDS = {"start_date": "2025-03-01", "end_date": "2025-04-02"}

DAY = timedelta(days=1)


def at_most(days: float) -> timedelta:
    """Return the width of the widest export that succeeds."""
    return timedelta(days=days)


def width(export: Export) -> timedelta:
    """Return the length of time that an export covers."""
    conditions = export.parameters["filters"]["created_at"]["conditions"]
    after, before = (
        datetime.fromisoformat(conditions[name][0].replace("Z", "+00:00"))
        for name in ("$after", "$before")
    )
    return before - after - timedelta(seconds=2)


@dataclass(frozen=True)
class FailIfWide(Action):
    """Makes wide exports fail."""

    widest: timedelta

    def turn(self, export: Export) -> None:
        """Fail the export if it is wide."""
        if width(export) > self.widest:
            export.forced_status = "ERROR"


@dataclass(frozen=True)
class HangIfWide(Action):
    """Keeps wide exports in progress forever."""

    widest: timedelta

    def turn(self, export: Export) -> None:
        """Hang the export if it is wide."""
        if width(export) > self.widest:
            export.forced_status = "IN_PROGRESS"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault and its expected effect.

    Attributes:
        faults: The faults.
        error: A pattern of the one error line; empty if there is none.
        emitted: The number of customers emitted before the failure.
        is_final: Whether the failure ends the whole run, so that no other stream is read.
        every_stream: Whether each stream fails by itself.
        warnings: Patterns, each of at least one warning.
        creates: The number of requests that create exports of customers; None for any.
        behaviour: The behaviour of the sandbox.
        settings: Settings of both runs.
        broken_settings: Settings of the first run only.
        file_bytes: The maximum length of a file in the first run, as on a full disk.
        speed: The tap's seconds per real second.
    """

    faults: tuple[Fault, ...] = ()
    error: str = ""
    emitted: int = 0
    is_final: bool = False
    every_stream: bool = False
    warnings: tuple[str, ...] = ()
    creates: int | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    settings: Mapping[str, Any] = field(default_factory=dict)
    broken_settings: Mapping[str, Any] = field(default_factory=dict)
    file_bytes: int = -1
    speed: float = 100


@dataclass(frozen=True)
class Outcome:
    """The outcome of a row."""

    sandbox: Sandbox
    run: Run
    creates: list[Json]
    resumed: Run | None

    @cached_property
    def expected(self) -> dict[str, list[Json]]:
        """Every record of each stream, in order of creation."""
        return {
            stream: [expected_record(stream, row) for row in self.sandbox.rows(name)]
            for stream, name in (("customers", "customer"), ("orders", "order"))
        }


def fault(on: Any, action: Action, *, nth: int = 1, times: int | None = 1) -> Fault:
    """Return a fault of exports of customers."""
    return Fault(on=on, action=action, nth=nth, times=times, object="customer")


def forever(on: Any, action: Action) -> Fault:
    """Return a permanent fault of exports of customers."""
    return fault(on, action, times=None)


def rejected(status: int, key: str = "", **more: object) -> Reply:
    """Return an error response in the documented form."""
    error = {"code": status, "key": key, "message": "So it is", "request_id": "v-123", **more}
    return Reply(status, error)


def change_line(row: int, old: str, new: bytes) -> Rewrite:
    """Replace what a pattern matches in the line of a row, counted from one."""

    def change(body: bytes) -> bytes:
        lines = body.split(b"\r\n")
        lines[row], count = re.subn(old.encode(), new, lines[row], count=1)
        assert count == 1
        return b"\r\n".join(lines)

    return Rewrite(change)


def change_header(change: Mapping[str, str]) -> Rewrite:
    """Change titles of the header."""

    def rewrite(body: bytes) -> bytes:
        header, rest = body.split(b"\r\n", 1)
        titles = header.decode().split(",")
        assert set(change) <= set(titles)
        header = ",".join(change.get(title, title) for title in titles).encode()
        return header + b"\r\n" + rest

    return Rewrite(rewrite)


def flip(body: bytes) -> bytes:
    """Invert a byte in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]


def result(value: object) -> Amend:
    """Return an action that replaces the result of a finished export."""
    return Amend(lambda body: body if body["status"] != "DONE" else {**body, "result": value})


GZIP = Behaviour(gzip=True)
UNTIL_CLOSE = Behaviour(transfer="close")
TRIES = 8
ENDLESS_HEADER = Raw(b"HTTP/1.1 200 OK\r\nX: ", forever=b"x" * 65536)

TRANSPORT = {
    "connection_refused_forever": Row(
        broken_settings={"api_url": CLOSED_PORT},
        every_stream=True,
        error="no response from 127.0.0.1",
        creates=0,
    ),
    "create_reset_once": Row(faults=(fault("create", Raw(reset=True)),), creates=2),
    "create_response_lost": Row(
        faults=(fault("create", Raw(handled=True)),),
        warnings=("if an export was created anyway, it is ignored",),
        creates=2,
    ),
    "create_response_lost_twice": Row(
        faults=(fault("create", Raw(handled=True, reset=True), times=2),), creates=3
    ),
    "create_response_cut": Row(faults=(fault("create", Cut(0.5)),), creates=2),
    "create_no_response_forever": Row(faults=(forever("create", Raw()),), error="no response from"),
    "list_reset_once": Row(faults=(Fault(on="list", action=Raw(reset=True)),), creates=1),
    "poll_closed_twice": Row(faults=(fault("poll", Raw(), times=2),), creates=1),
    "poll_reset_forever": Row(
        faults=(forever("poll", Raw(reset=True)),), error="no response from", creates=1
    ),
    "poll_no_http": Row(faults=(fault("poll", Raw(b"220 smtp.example.com ESMTP\r\n")),), creates=1),
    "poll_stalls": Row(
        faults=(fault("poll", Stall(20, after=5)),),
        settings={"request_timeout_seconds": 1.5},
        speed=1,
        creates=1,
    ),
    "poll_drips": Row(
        faults=(fault("poll", Drip(1, 0.02)),),
        settings={"request_timeout_seconds": 1.5},
        speed=1,
        creates=1,
    ),
    "poll_endless_header": Row(faults=(fault("poll", ENDLESS_HEADER),), creates=1),
    "download_reset_before_response": Row(faults=(fault("download", Raw(reset=True)),), creates=1),
    "download_refused_forever": Row(
        faults=(forever("poll", result({"url": f"{CLOSED_PORT}/file"})),),
        error="no response from",
        creates=1,
    ),
    "download_endless_header": Row(faults=(fault("download", ENDLESS_HEADER),), creates=1),
    "download_stalls": Row(
        faults=(fault("download", Stall(20, after=1000)),),
        settings={"request_timeout_seconds": 1.5},
        speed=1,
        creates=1,
    ),
    "download_drips_beyond_the_deadline": Row(
        faults=(forever("download", Drip(100, 0.05)),),
        broken_settings={"export_timeout_seconds": 40},
        speed=20,
        error="export_timeout_seconds",
        creates=3,
    ),
    "download_of_a_wide_window_drips": Row(
        faults=(fault("download", Drip(100, 0.05)),),
        settings={**BOUNDS, "export_timeout_seconds": 200},
        speed=100,
        warnings=("export_timeout_seconds",),
        creates=3,
    ),
}

ERROR_RESPONSES = {
    "429_retry_after": Row(
        faults=(fault("poll", Reply(429, {}, {"Retry-After": "30"})),),
        warnings=(r"retrying in 30\.0 s",),
        creates=1,
    ),
    "429_retry_time": Row(
        faults=(
            fault(
                "create",
                Reply(
                    429,
                    {},
                    {"X-Rate-Limit-Retry": "1767225640", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"},
                ),
            ),
        ),
        warnings=(r"retrying in 40\.0 s",),
        creates=2,
    ),
    "429_retry_after_a_year": Row(
        faults=(fault("poll", Reply(429, {}, {"Retry-After": "31536000"})),),
        settings={"export_timeout_seconds": 500},
        speed=500,
        warnings=(r"returned 429.*retrying in [01]\.[0-9] s",),
        creates=1,
    ),
    "429_retry_after_nonsense": Row(
        faults=(fault("poll", Reply(429, {}, {"Retry-After": "nan", "X-Rate-Limit-Retry": "-"})),),
        warnings=(r"retrying in 1\.0 s",),
        creates=1,
    ),
    "429_download": Row(
        faults=(fault("download", Reply(429, {}, {"Retry-After": "20"})),),
        warnings=(r"retrying in 20\.0 s",),
        creates=1,
    ),
    "429_forever": Row(
        faults=(forever("create", Reply(429, {}, {"Retry-After": "2"})),),
        error="returned 429",
        creates=TRIES,
    ),
    "429_quota": Row(
        faults=(
            fault(
                "poll", Reply(429, {}, {"X-Rate-Limit-Type": "api_calls_cycle", "Retry-After": "1"})
            ),
        ),
        error="quota",
        is_final=True,
        creates=1,
    ),
    "402": Row(
        faults=(fault("create", rejected(402, "plan_exceeded")),),
        error="402.*plan",
        is_final=True,
        creates=1,
    ),
    "401": Row(
        faults=(fault("create", rejected(401, "unauthorized")),),
        error="401.*app_token",
        is_final=True,
        creates=1,
    ),
    "401_wrong_token": Row(
        broken_settings={"app_token": "wrong-app-token"},
        error="401.*app_token",
        is_final=True,
        creates=1,
    ),
    "403": Row(
        faults=(fault("create", rejected(403, "forbidden")),), error="403.*API key", creates=1
    ),
    "403_download": Row(
        faults=(forever("download", Reply(403, b"<html>no</html>")),),
        error="403.*new links",
        creates=1,
    ),
    "404_create": Row(
        faults=(fault("create", Reply(404)),), error="404.*(api_url|region)", creates=1
    ),
    "400_invalid_export_fields": Row(
        faults=(
            fault(
                "create", rejected(400, "invalid_export_fields", details="Unsupported field used")
            ),
        ),
        error="customers.*invalid_export_fields.*So it is.*Unsupported field.*v-123.*deselect",
        creates=1,
    ),
    "400_of_several_lines": Row(
        faults=(
            fault("create", rejected(400, "odd\nkey", details="a\r\nb\x1b[31m", request_id="1\n2")),
        ),
        error="customers.*400.*odd",
        creates=1,
    ),
    "400_of_other_types": Row(
        faults=(
            fault("create", Reply(400, {"key": ["odd"], "message": {"a": 1}, "request_id": [2]})),
        ),
        error="customers.*400",
        creates=1,
    ),
    "400_endless": Row(
        faults=(
            fault("create", rejected(400, "odd", details="d" * 10**6, request_id="r" * 10**6)),
        ),
        error="customers.*400.*odd",
        creates=1,
    ),
    "418_empty": Row(faults=(fault("poll", Reply(418)),), error="418", creates=1),
    "500_create": Row(faults=(fault("create", Reply(500)),), creates=2),
    "502_poll": Row(faults=(fault("poll", Reply(502, b"<html>Bad gateway</html>")),), creates=1),
    "503_download": Row(faults=(fault("download", Reply(503), times=3),), creates=1),
    "504_list": Row(faults=(Fault(on="list", action=Reply(504), times=2),), creates=1),
    "500_poll_forever": Row(
        faults=(forever("poll", rejected(500, "internal_error")),),
        error="500.*internal_error",
        creates=1,
    ),
    "503_create_forever": Row(faults=(forever("create", Reply(503)),), error="503"),
    "502_download_forever": Row(faults=(forever("download", Reply(502)),), error="502", creates=1),
    "500_list_forever": Row(
        faults=(Fault(on="list", action=Reply(500), times=None),),
        settings={"resume_exports": True},
        warnings=("so none will be resumed",),
        creates=1,
    ),
    "poll_redirected_elsewhere": Row(
        faults=(fault("poll", Reply(302, b"", {"Location": "https://example.com/take"})),),
        error="302.*redirect.*example.com",
        creates=1,
    ),
    "download_redirected_in_a_circle": Row(
        faults=(forever("download", Reply(302, b"", {"Location": "?again"})),),
        error="too many redirects",
        creates=1,
    ),
    "download_redirected_to_nowhere": Row(
        faults=(forever("download", Reply(302, b"", {"Location": "https://["})),),
        error="invalid URL",
        creates=1,
    ),
    "download_redirected_to_plain_http": Row(
        faults=(forever("download", Reply(302, b"", {"Location": "http://localhost:1/"})),),
        error="not HTTPS",
        creates=1,
    ),
    "delete_500_forever": Row(
        faults=(forever("delete", Reply(500)),),
        settings={"delete_exports": True},
        warnings=("could not delete",),
        creates=1,
    ),
    "delete_404": Row(
        faults=(fault("delete", Turn(None)),), settings={"delete_exports": True}, creates=1
    ),
    "oauth_500_once": Row(
        faults=(Fault(on="oauth", action=Reply(500)),), settings={"use_oauth": True}, creates=1
    ),
    "oauth_rejected": Row(
        faults=(Fault(on="oauth", action=rejected(401, "unauthorized"), times=None),),
        settings={"use_oauth": True},
        error="401.*app_token",
        is_final=True,
        creates=0,
    ),
    "oauth_token_of_another_form": Row(
        faults=(Fault(on="oauth", action=Reply(200, {"token": "abc"}), times=None),),
        settings={"use_oauth": True},
        error="unexpected response to the token request",
        every_stream=True,
        creates=0,
    ),
    "oauth_token_rejected_once": Row(
        faults=(fault("poll", rejected(401, "unauthorized")),),
        settings={"use_oauth": True},
        creates=1,
    ),
}

JSON = {
    "create_not_json": Row(
        faults=(fault("create", Rewrite(lambda body: body[: len(body) // 2])),), creates=2
    ),
    "create_without_id": Row(faults=(fault("create", Amend({"id": None})),), error="id", creates=1),
    "create_empty": Row(faults=(fault("create", Reply(200)),), creates=2),
    "poll_cut": Row(faults=(fault("poll", Cut(0.5)),), creates=1),
    "poll_half": Row(faults=(fault("poll", Rewrite(lambda body: body[:-1])),), creates=1),
    "poll_no_object": Row(
        faults=(fault("poll", Reply(200, [1])),), error="expected a JSON object", creates=1
    ),
    "poll_huge": Row(
        faults=(fault("poll", Rewrite(lambda body: body + b" " * (17 << 20))),),
        error="exceeds",
        creates=1,
    ),
    "poll_bomb": Row(
        faults=(
            fault(
                "poll",
                Reply(200, gzip.compress(b" " * (40 << 20), 1), {"Content-Encoding": "gzip"}),
            ),
        ),
        error="exceeds",
        creates=1,
    ),
    "poll_nested": Row(faults=(fault("poll", Reply(200, b'{"a":' + b"[" * 100_000)),), creates=1),
    "poll_not_utf8": Row(faults=(fault("poll", Reply(200, b'{"status":"\xff"}')),), creates=1),
    "list_of_another_shape": Row(
        faults=(Fault(on="list", action=Reply(200, {"exports": [1, {"id": 2}, {"status": []}]})),),
        creates=1,
    ),
}

LIFE = {
    "error_once": Row(faults=(fault("create", Turn("ERROR")),), warnings=("ERROR",), creates=2),
    "error_twice": Row(faults=(fault("create", Turn("ERROR"), times=2),), creates=3),
    "error_forever": Row(faults=(forever("create", Turn("ERROR")),), error="ERROR", creates=3),
    "error_once_in_a_window": Row(
        faults=(fault("create", Turn("ERROR")),), settings=BOUNDS, creates=2
    ),
    "error_in_wide_windows": Row(
        # The range has 32 days: 32 and 16 are tried twice each, then four windows of 8 succeed.
        faults=(forever("create", FailIfWide(at_most(8))),),
        settings=BOUNDS,
        creates=2 + 2 * 2 + 4,
    ),
    "error_in_an_open_window": Row(
        faults=(fault("create", Turn("ERROR"), times=2),),
        settings={"start_date": "2025-03-01"},
        creates=4,
    ),
    "error_forever_in_a_window": Row(
        # Prefetching would create more.
        faults=(forever("create", Turn("ERROR")),),
        settings={**BOUNDS, "max_concurrent_exports": 1},
        error="ERROR",
        creates=12,
    ),
    "error_forever_in_the_shortest_window": Row(
        faults=(forever("create", Turn("ERROR")),),
        broken_settings={"start_date": "2025-03-01T00:00:00Z", "end_date": "2025-03-01T01:59:00Z"},
        error="ERROR",
        creates=3,
    ),
    "never_done": Row(
        faults=(forever("create", Turn("IN_PROGRESS")),),
        settings={"resume_exports": False},
        broken_settings={"export_timeout_seconds": 150},
        error="export_timeout_seconds",
        creates=3,
    ),
    "never_done_in_wide_windows": Row(
        faults=(forever("create", HangIfWide(at_most(8))),),
        settings={**BOUNDS, "export_timeout_seconds": 150},
        warnings=("export_timeout_seconds",),
        creates=1 + 2 + 4,
    ),
    "unknown_status": Row(
        faults=(fault("poll", Amend({"status": "PAUSED"})),), error="PAUSED", creates=1
    ),
    "status_of_another_type": Row(
        faults=(fault("poll", Amend({"status": ["DONE"]})),), error="status", creates=1
    ),
    "endless_status": Row(
        faults=(fault("poll", Amend({"status": "S" * 10**6})),), error="status", creates=1
    ),
    "vanished_once": Row(
        faults=(fault("poll", Turn(None)),), warnings=("no longer exists",), creates=2
    ),
    "vanished_forever": Row(
        faults=(forever("poll", Turn(None)),), error="no longer exists", creates=3
    ),
    "vanished_before_download": Row(faults=(fault("download", Turn(None)),), creates=2),
}

RESULT_SHAPES: dict[str, tuple[object, str]] = {
    "none": (None, "has no file"),
    "empty": ({}, "has no file"),
    "text": ("https://127.0.0.1/s3cret-path", "str"),
    "url_none": ({"url": None}, "has no file"),
    "url_empty": ({"url": ""}, "has no file"),
    "no_urls": ({"url": []}, "has no file"),
    "of_parts": ({"parts": ["https://127.0.0.1/s3cret-path"], "count": 2}, "count.*parts"),
    "url_and_more": (
        {"url": "https://127.0.0.1/s3cret-path", "next": "https://127.0.0.1/s3cret-path"},
        "next.*url",
    ),
    "plain_http_elsewhere": ({"url": "http://localhost:1/s3cret-path"}, "not HTTPS"),
    "ftp": ({"url": "ftp://127.0.0.1/s3cret-path"}, "not HTTPS"),
    "file": ({"url": "file:///etc/s3cret-path"}, "not HTTPS"),
    "broken_address": ({"url": "https://[::1/s3cret-path"}, "invalid.*URL"),
    "broken_host": ({"url": "https://a..example/s3cret-path"}, "invalid.*URL"),
    "long_host": ({"url": f"https://{'a' * 80}.example/s3cret-path"}, "invalid.*URL"),
    "broken_port": ({"url": "https://127.0.0.1:99999/s3cret-path"}, "invalid.*URL"),
}

RESULTS = {
    f"result_{name}": Row(
        faults=(forever("poll", result(value)),),
        error=error,
        # A missing result is waited for; then the export is created again.
        creates=3 if error == "has no file" else 1,
    )
    for name, (value, error) in RESULT_SHAPES.items()
}

FILES = {
    "two_files": Row(behaviour=Behaviour(files=2), creates=1),
    "two_files_urls": Row(behaviour=Behaviour(files=2, result_shape="urls"), creates=1),
    "two_files_second_cut": Row(
        behaviour=Behaviour(files=2), faults=(fault("download", Cut(0.5), nth=2),), creates=1
    ),
    "two_files_second_of_another_header": Row(
        behaviour=Behaviour(files=2),
        faults=(
            fault(
                "download", change_header({"Email": "Name", "Name": "Email", "ID": "Key"}), nth=2
            ),
        ),
        emitted=0,
        error="header",
        creates=2,  # one of them to learn the titles
    ),
    "two_files_then_one": Row(
        behaviour=Behaviour(files=2),
        faults=(
            fault("download", rejected(401)),
            fault(
                "poll",
                Amend(lambda body: {**body, "result": {"url": body["result"]["url"][0]}}),
                nth=2,
            ),
        ),
        error="number of an export's files",
        creates=1,
    ),
    "unknown_shape": Row(
        behaviour=Behaviour(result_shape="unknown"), error="chunks", every_stream=True, creates=1
    ),
    "link_expired_once": Row(faults=(fault("download", rejected(401)),), creates=1),
    "links_expired_forever": Row(
        behaviour=Behaviour(token_seconds=-1), error="401", every_stream=True, creates=1
    ),
    "cut_under_length": Row(faults=(fault("download", Cut(0.7)),), creates=1),
    "cut_under_length_by_reset": Row(faults=(fault("download", Cut(0.7, reset=True)),), creates=1),
    "cut_at_its_start": Row(faults=(fault("download", Cut(0)),), creates=1),
    "cut_before_its_last_byte": Row(faults=(fault("download", Cut(0.9999)),), creates=1),
    "cut_forever": Row(
        faults=(forever("download", Cut(0.7)),), error="lost mid-response", creates=1
    ),
    "cut_under_chunks": Row(
        behaviour=Behaviour(transfer="chunked"), faults=(fault("download", Cut(0.7)),), creates=1
    ),
    "cut_under_chunks_forever": Row(
        behaviour=Behaviour(transfer="chunked"),
        faults=(forever("download", Cut(0.7)),),
        error="lost mid-response",
        creates=1,
    ),
    "cut_in_mid_line": Row(behaviour=UNTIL_CLOSE, faults=(fault("download", Cut(-7)),), creates=1),
    "cut_in_mid_line_of_named_identity": Row(
        behaviour=replace(UNTIL_CLOSE, names_identity=True),
        faults=(fault("download", Cut(-7)),),
        creates=1,
    ),
    "whole_until_close": Row(behaviour=UNTIL_CLOSE, warnings=("completeness cannot be verified",)),
    "cut_under_gzip_until_close": Row(
        behaviour=replace(GZIP, transfer="close"), faults=(fault("download", Cut(0.7)),), creates=1
    ),
    "gzip_without_its_end": Row(
        behaviour=GZIP, faults=(fault("download", Rewrite(lambda body: body[:-8])),), creates=1
    ),
    "gzip_corrupt": Row(behaviour=GZIP, faults=(fault("download", Rewrite(flip)),), creates=1),
    "gzip_corrupt_forever": Row(
        behaviour=GZIP, faults=(forever("download", Rewrite(flip)),), error="gzip", creates=1
    ),
    "gzip_that_is_none": Row(
        faults=(fault("download", Rewrite(lambda body: body, {"Content-Encoding": "gzip"})),),
        creates=1,
    ),
    "coding_not_requested": Row(
        faults=(fault("download", Rewrite(lambda body: body, {"Content-Encoding": "br"})),),
        error="'br'",
        creates=1,
    ),
    "empty_once": Row(faults=(fault("download", Rewrite(lambda _: b"")),), creates=1),
    "disk_full": Row(
        faults=(fault("download", Rewrite(lambda body: body + body[-200:] * 10_000)),),
        file_bytes=1 << 20,
        error="cannot store.*TMPDIR",
        creates=1,
    ),
}

CONTENT = {
    name: Row(
        faults=(fault("download", action),),
        error=error,
        emitted=emitted,
        creates=2 if error.startswith("header") else 1,
    )
    for name, (action, error, emitted) in {
        "header_without_key": (change_header({"ID": "Key"}), "header.*Key", 0),
        "header_with_key_twice": (change_header({"Email": "ID"}), "header", 0),
        "header_swapped": (
            change_header({"Email": "Name", "Name": "Email", "ID": "Key"}),
            "header",
            0,
        ),
        "no_table": (Rewrite(lambda _: b'{"error": "oops"}\n'), "header", 0),
        "a_picture": (Rewrite(lambda _: b"\x89PNG\r\n\x1a\n\0"), "UTF-8", 0),
        "bad_time": (
            change_line(21, r"2025-..-..T..:..:..\....Z", b"2025-13-01T00:00:00.000Z"),
            "row 21.*created_at.*2025-13-01",
            20,
        ),
        "bad_utf8": (change_line(21, "name", b"n\xff"), "byte [0-9]+ .*UTF-8", 20),
        "one_cell_less": (change_line(21, "^[^,]*,", b""), "row 21.*cells", 20),
        "one_cell_more": (change_line(ROWS, "$", b","), f"row {ROWS}.*cells", ROWS - 1),
        "open_quote": (change_line(21, "^", b'"'), "line [0-9]+ is not valid CSV", 20),
        "no_line_break_in_quotes": (
            change_line(ROWS, "$", b'\r\n"'),
            "line [0-9]+ is not valid CSV",
            ROWS,
        ),
    }.items()
}

TABLE = TRANSPORT | ERROR_RESPONSES | JSON | LIFE | RESULTS | FILES | CONTENT


def play(row: Row, catalog: Json, directory: Path) -> Outcome:
    """Run the tap with a fault and, if it fails, again without it."""
    sizes = {**dict.fromkeys(OBJECTS, 0), "customer": ROWS, "order": ROWS}
    with Sandbox(Dataset(seed=3, sizes=sizes, start=START), row.behaviour) as sandbox:
        sandbox.faults.add(*(replace(fault) for fault in row.faults))
        # A single export is polled, where several would be listed.
        config = {**sandbox.config, "max_concurrent_exports": 1, **row.settings}
        tap = Tap(directory, config, speed=row.speed)
        tap.file_bytes = row.file_bytes
        # A permanent fault does not pass, however long it is retried.
        retries = {"max_retry_seconds": 100} if row.error else {}
        run = tap.run(catalog=catalog, **{**retries, **row.broken_settings})
        creates = created_exports(sandbox, "customer")
        if not row.error:
            return Outcome(sandbox, run, creates, None)
        sandbox.faults.clear()
        sandbox.behaviour = Behaviour()
        tap.file_bytes = -1
        state = run.state if run.states else None
        return Outcome(sandbox, run, creates, tap.run(catalog=catalog, state=state))


@pytest.mark.parametrize("name", TABLE)
def test_fault(discovered: Json, tmp_path: Path, name: str) -> None:
    """The fault ends as its row says, and a run after a failure emits the rest of the data."""
    row = TABLE[name]
    outcome = play(row, select(discovered, SELECTED), tmp_path)
    run, expected = outcome.run, outcome.expected

    check_log(outcome)
    assert row.creates in {None, len(outcome.creates)}
    for pattern in row.warnings:
        assert any(re.search(pattern, line) for line in run.warnings), run.stderr
    if not row.error:
        assert (run.exit_code, run.errors) == (0, [])
        check_complete(run, expected)
        return
    failed = SELECTED if row.every_stream else SELECTED[:1]
    assert run.exit_code == 1
    assert len(run.errors) == len(failed), run.stderr
    for stream, line in zip(failed, run.errors, strict=True):
        assert re.search(row.error, line)
        assert row.is_final or f"'{stream}'" in line
    assert run.records("customers") == expected["customers"][: row.emitted]
    last = expected["customers"][row.emitted - 1]["created_at"] if row.emitted else ""
    assert [*run.bookmarks("customers"), ""][: len(run.states) or 1][-1] <= last
    untouched = row.every_stream or row.is_final
    end = str(row.broken_settings.get("end_date", "~"))
    others = [record for record in expected["orders"] if record["created_at"] < end]
    assert run.records("orders") == ([] if untouched else others)
    if others and not untouched:
        assert run.bookmarks("orders")[-1] >= others[-1]["created_at"]

    assert outcome.resumed
    assert (outcome.resumed.exit_code, outcome.resumed.errors) == (0, [])
    for stream in SELECTED:
        emitted = run.records(stream) + outcome.resumed.records(stream)
        assert set(map(identity, emitted)) == set(map(identity, expected[stream]))
        assert outcome.resumed.bookmarks(stream)[-1] >= expected[stream][-1]["created_at"]


def check_complete(run: Run, expected: dict[str, list[Json]]) -> None:
    """Check that a run has emitted every record, once and in order, and its last bookmark."""
    for stream in SELECTED:
        assert run.records(stream) == expected[stream]
        assert run.bookmarks(stream)[-1] >= expected[stream][-1]["created_at"]


def check_log(outcome: Outcome) -> None:
    """Check that every log entry is one line of limited length, without a secret."""
    for run in filter(None, (outcome.run, outcome.resumed)):
        for line in run.stderr.splitlines():
            assert re.match(r"20\d\d-\d\d-\d\d \S+ \| [A-Z]+ +\| ", line), run.stderr
            assert len(line) < 3000
            assert line.isprintable()
        for secret in (*outcome.sandbox.secrets, "s3cret"):
            assert secret not in run.stderr
            assert secret not in run.stdout
