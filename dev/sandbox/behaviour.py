"""Switches for what the documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from .objects import title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .exports import Export

Latency: TypeAlias = "float | Callable[[Export], float]"
Framing: TypeAlias = Literal["length", "chunked", "close"]


@dataclass
class Behaviour:
    """How the server behaves where the documentation is silent, or was seen to vary.

    Switches that affect the content of a file are read when the export is created, all others at
    each request.

    Attributes:
        after_inclusive: Whether `$after` includes its own instant (unknown).
        before_inclusive: Whether `$before` includes its own instant (unknown).
        honours_order: False shuffles the rows, the same way every time (unknown).
        honours_filters: False ignores the filters on `created_at` and `updated_at`. Voucherify's
            changelog: exports of campaign vouchers did so until June 2026.
        date_skew_ms: The exported creation and update times differ by up to this much from the
            instants that are filtered on, row by row (unknown).
        metadata_position: Metadata columns stand after the standard columns (seen in production)
            or where the field `metadata` was requested (unknown).
        metadata_prefix: Metadata columns are headed by the plain key (seen in production) or by
            `metadata.X` (Voucherify docs, for orders).
        filters_echo: The name under which filters are echoed: `filters` in the reference,
            `filter` in the guide.
        files: Number of files of an export. Voucherify docs: very large results may be split.
        result_shape: What `result` of an export looks like. `url` is `{"url": ...}`, with a list
            as value when there are several files; `urls` is `{"urls": [...]}`; `unknown` is a
            shape no client can expect (the shape for several files is unknown).
        titles: Titles that replace the default ones, by object and field (most are unknown).
        creation_title: The title of `created_at` (both were seen in the documentation).
        gzip: Whether files are compressed for clients that accept it (unknown).
        names_identity: Whether other files have `Content-Encoding: identity` (unknown; RFC 9110,
            8.4.1, reserves the word for requests, but servers send it).
        transfer: How the end of a file is signalled: by length, by chunked coding, or only by
            closing the connection (unknown).
        bom: Whether files begin with a byte order mark (unknown).
        line_terminator: What ends a line of a file (unknown).
        token_seconds: How long a download token lives. Voucherify docs: "short-lived".
        rate_limit: Calls allowed per period; None for no limit and no rate-limit headers.
        rate_limit_period_seconds: The period, which begins with the first call. Voucherify docs:
            an hour on the sandbox plan, a minute on the others.
        rate_limit_type: `X-Rate-Limit-Type`; `api_calls_cycle` is the quota of the plan.
        rate_limit_downloads: Whether calls of the download site count (unknown).
        retry_after_header: Whether 429 carries the optional `Retry-After`.
        missing_scope_status: The status for an OAuth token without the scope (unknown).
        latency_seconds: Seconds from SCHEDULED to DONE, or a function of the export.
    """

    after_inclusive: bool = False
    before_inclusive: bool = False
    honours_order: bool = True
    honours_filters: bool = True
    date_skew_ms: int = 0
    metadata_position: Literal["end", "in_place"] = "end"
    metadata_prefix: bool = False
    filters_echo: Literal["filters", "filter"] = "filters"
    files: int = 1
    result_shape: Literal["url", "urls", "unknown"] = "url"
    titles: Mapping[tuple[str, str], str] = field(default_factory=dict)
    creation_title: Literal["Creation Date", "Creation date"] = "Creation Date"
    gzip: bool = False
    names_identity: bool = False
    transfer: Framing = "length"
    bom: bool = False
    line_terminator: Literal["\r\n", "\n"] = "\r\n"
    token_seconds: float = 60.0
    rate_limit: int | None = None
    rate_limit_period_seconds: float = 3600.0
    rate_limit_type: str = "api_calls"
    rate_limit_downloads: bool = False
    retry_after_header: bool = True
    missing_scope_status: Literal[401, 403] = 401
    latency_seconds: Latency = 0.0

    def title(self, exported_object: str, field_name: str) -> str:
        """Return the title of a column."""
        usual = title_of(field_name, self.creation_title)
        return self.titles.get((exported_object, field_name), usual)
