"""Random behaviours and faults of the sandbox, grouped by whether a sync must survive them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from dev.sandbox import (
    SERVICE_NAMES,
    Action,
    Amend,
    Behaviour,
    Cut,
    Delay,
    Drip,
    DripHead,
    Fault,
    Raw,
    Reply,
    Rewrite,
    Stall,
    Turn,
    service,
    storage_reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from dev.sandbox.faults import Kind

#: Values of switches that a sync must survive, in any combination.
SURVIVABLE: dict[str, Sequence[Any]] = {
    "after_inclusive": (False, True),
    "before_inclusive": (False, True),
    "honours_order": (True, True, False),
    "row_order": ("requested", "ascending", "descending", "shuffled", "nearly_sorted"),
    "column_order": ("requested", "documented", "alphabetical", "shuffled"),
    "title_style": ("display", "name", "unknown"),
    "creation_title": ("Creation Date", "Creation date"),
    "metadata_prefix": (False, True),
    "metadata_order": ("alphabetical", "defined"),
    "undocumented_fields": (True, False),
    "time_digits": (3, 4, 6, 9),
    "time_zone": ("Z", "", "+00", "+00:00", "+05:30"),
    "dates_with_times": (False, True),
    "trailing_lines": (0, 1, 3),
    "empty_export": ("header", "nothing"),
    "bom": (False, True),
    "line_terminator": ("\r\n", "\n"),
    "quoting": ("minimal", "all"),
    "response_format": ("ignored", "rejected"),
    "filters_echo": ("filters", "filter"),
    "echo_omits": ((), ("order",), ("fields", "filters")),
    "echoes_response_format": (False, True),
    "list_filters_echo": (None, "filter"),
    "list_omits": ((), ("filters",)),
    "list_results": (True, False),
    "list_lag_seconds": (0.0, 5.0, 100.0),
    "unlisted_objects": ((), ("voucher", "product", "sku", "api_log")),
    "extra_result": ("none", "harmless"),
    "export_delay_seconds": (0.0, 0.0, 15.0),
    "result_delay_seconds": (0.0, 0.0, 15.0),
    "file_delay_seconds": (0.0, 0.0, 15.0),
    "latency_seconds": (0.0, 2.0, 20.0),
    "token_seconds": (60.0, 3600.0),
    "download_errors": ("api", "xml", "json"),
    "gzip": (False, True),
    "names_identity": (False, True),
    "transfer": ("length", "chunked", "close"),
    "rate_limit": (None, None, 2000, 100),
    "rate_limit_downloads": (False, True),
    "rate_limit_unit": ("seconds", "milliseconds"),
    "retry_after_header": (True, False),
    "retry_after_form": ("seconds", "date"),
}

#: Several files, identified by their links.
_SPLITS: Sequence[dict[str, Any]] = (
    {},
    {},
    {"files": 2, "part_links": "path"},
    {"files": 3, "part_links": "path", "rotates_links": True},
    {"files": 2, "part_links": "path", "result_shape": "urls"},
)

#: Behaviours that may fail a stream, but never lose or alter data.
FATAL_BEHAVIOURS: Sequence[tuple[str, Any]] = (
    ("extra_result", "link"),
    ("extra_result", "list"),
    ("result_shape", "unknown"),
    ("honours_filters", False),
    ("ignored_conditions", ("$before",)),
    ("ignored_conditions", ("$after",)),
    ("blanks", {(name, "id"): 3 for name in ("customer", "order", "voucher", "redemption")}),
    ("escaping", "backslash"),
    ("line_terminator", "\r"),
    ("omitted_columns", {(name, "id") for name in ("customer", "order", "voucher", "sku")}),
    ("key_restriction", "ip"),
    ("token_seconds", -1.0),
    ("files", 2),
    ("rate_limit_headers", {"X-Rate-Limit-Retry": "9" * 400, "X-Rate-Limit-Remaining": "0"}),
)

_TRANSIENT = (
    *(408, 409, 425, 429, 499, 500, 502, 503, 504, 507),
    *(520, 521, 522, 523, 524, 525, 526, 527, 530, 598),
)
_API: Sequence[Kind] = ("create", "poll", "list", "delete")
_ANY: Sequence[Kind] = (*_API, "download")


def random_behaviour(randomness: Random) -> Behaviour:
    """Return a behaviour that a sync must survive: a named service, or a random mixture."""
    if randomness.random() < 0.3:
        behaviour = service(randomness.choice(SERVICE_NAMES))
        # The clock is faster here.
        delays: dict[str, Any] = {
            each.name: 30 * value
            for each in fields(behaviour)
            if each.name.endswith("delay_seconds") and (value := getattr(behaviour, each.name))
        }
        behaviour = replace(behaviour, **delays)
        behaviour.token_seconds = max(60.0, behaviour.token_seconds)
        return behaviour
    share = randomness.choice([0.05, 0.2, 0.5])
    switched = {
        name: randomness.choice(values)
        for name, values in SURVIVABLE.items()
        if randomness.random() < share
    }
    split = randomness.choice(_SPLITS)
    behaviour = replace(Behaviour(), **switched, **split, rate_limit_period_seconds=60.0)
    if behaviour.transfer == "close":
        # A file of 0 bytes and unknown length is always a fault.
        behaviour.empty_export = "header"
    return behaviour


def survivable(randomness: Random, settings: dict[str, Any]) -> Fault:
    """Return a fault that a sync must survive."""
    on: Kind = randomness.choice(_ANY)
    times = randomness.choice([1, 1, 2])
    if settings["use_oauth"] and randomness.random() < 0.2:
        on = "oauth"
    kinds: list[Callable[[], Action]] = [
        lambda: Raw(reset=randomness.random() < 0.5),
        lambda: Raw(handled=True, reset=randomness.random() < 0.5),
        lambda: Raw(b"\x16\x03\x01"),
        lambda: Raw(b"HTTP/1.1 200 OK\r\nX: ", forever=b"x" * 65536),
        lambda: Reply(randomness.choice(_TRANSIENT), b"<html>oops</html>"),
        lambda: Reply(randomness.choice((429, 503)), b"", {"Retry-After": "9"}),
        lambda: Cut(randomness.random() * 0.99, reset=True),
        lambda: Delay(randomness.random() / 5),
        lambda: DripHead(20, 0.005),
        lambda: Drip(2000, 0.005),
        lambda: Stall(0.1, after=randomness.randrange(100)),
    ]
    if on == "create":
        kinds.append(lambda: Turn("ERROR"))
    if on == "poll":
        kinds += [lambda: Turn(None), lambda: Amend({"result": None})]
    if on in {"list", "delete"}:
        kinds += [lambda: Reply(403, {"key": "no"}), lambda: Reply(200, b"<html></html>")]
    if on == "list":
        kinds += [lambda: Amend({"exports": [{"id": 1}]}), lambda: Amend({"exports": []})]
    if on == "download":
        kinds += [
            lambda: Reply(randomness.choice((401, 403, 404, 410, 204, 202))),
            lambda: storage_reply(403, "AccessDenied", "Request has expired"),
            lambda: Rewrite(lambda _: b""),
        ]
    if on == "poll" and settings["use_oauth"] and randomness.randrange(len(kinds) + 1) == 0:
        # Always at the same request: a rejected token whose replacement is rejected too means wrong
        # credentials, which end a run.
        return Fault(on=on, action=Reply(401, {"key": "unauthorized"}), nth=4)
    return Fault(
        on=on, action=randomness.choice(kinds)(), nth=randomness.randrange(1, 9), times=times
    )


def fatal_fault(randomness: Random) -> Fault:
    """Return a fault that may end a stream, or the run."""
    on = randomness.choice(_ANY)
    kinds: list[Callable[[], Action]] = [
        lambda: Reply(400, {"key": "invalid_payload", "message": "no"}),
        lambda: Reply(401),
        lambda: Reply(402),
        lambda: Reply(403),
        lambda: Reply(404),
        lambda: Reply(302, b"", {"Location": "https://["}),
        lambda: Reply(429, b"", {"X-Rate-Limit-Type": "api_calls_cycle"}),
        lambda: Reply(503),
        lambda: Reply(200, {}),
        lambda: Raw(reset=True),
    ]
    if on != "delete":
        kinds.append(lambda: Turn(randomness.choice(["ERROR", "IN_PROGRESS", "PAUSED"])))
    if on == "download":
        kinds += [
            lambda: Rewrite(lambda body: body + b'"'),
            lambda: Rewrite(lambda body: body.replace(b"202", b"2o2")),
            lambda: Rewrite(lambda _: b""),
        ]
    return Fault(
        on=on,
        action=randomness.choice(kinds)(),
        nth=randomness.randrange(1, 9),
        times=randomness.choice([1, 3, None]),
    )
