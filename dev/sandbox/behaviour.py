"""Switches for what the documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias
from zlib import crc32

from .objects import title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .exports import Export
    from .faults import Kind

Latency: TypeAlias = "float | Callable[[Export], float]"
Framing: TypeAlias = Literal["length", "chunked", "close"]
RowOrder: TypeAlias = Literal["requested", "ascending", "descending", "shuffled", "nearly_sorted"]


@dataclass
class Behaviour:
    """How the server behaves where the documentation is silent, or the service was seen to vary.

    Switches that affect the content of a file are read when the export is created, all others at
    each request. The true behaviour is unknown unless a source is given.

    Attributes:
        after_inclusive: Whether `$after` includes its own instant.
        before_inclusive: Whether `$before` includes its own instant.
        honours_filters: False ignores the filters on `created_at` and `updated_at`. Voucherify's
            changelog: exports of campaign vouchers did so until June 2026.
        ignored_conditions: Names of filters, operators (`$before`), or `campaign_id`, that have no
            effect.
        filter_utc_offset_hours: UTC offset of the local time in which `$after` and `$before` are
            read, whatever their own offset; -5 shifts a window five hours later.
        repeats_first_window: Every export filtered by `created_at` has the rows of the first such
            export of its object.

        honours_order: False shuffles the rows, the same way every time.
        row_order: The order of the rows: `ascending` and `descending` by creation ignore the
            requested order; `nearly_sorted` moves each row by up to four positions.

        column_order: The order of the columns. Voucherify docs: that of the requested fields, for
            vouchers. `documented` is that of the reference, `shuffled` a fixed random one.
        omitted_columns: Columns, by object and field, that are accepted but left out of files.
        titles: Titles that replace the default ones, by object and field (most are unknown).
        title_style: `display` titles are documented, `name` is the name of the field, `unknown`
            a title that cannot be guessed.
        creation_title: The title of `created_at` (both are in the documentation).
        metadata_position: Whether metadata columns come after the standard columns (seen in
            production) or where the field `metadata` was requested.
        metadata_prefix: Whether metadata columns have the title `metadata.X`, rather than the plain
            key (seen in production).
        metadata_order: The order of metadata columns (alphabetical: seen in production).
        exports_undefined_metadata: Whether keys that no metadata schema defines are exported
            (evidence in production files: no).
        metadata_fields: Whether `metadata.X` is an allowed field. Voucherify docs: for orders.
        metadata_field_titles: The title of the column of a field `metadata.X`.
        undocumented_fields: Whether fields that only the dashboard offers are allowed, such as
            `metadata` of products.
        rejected_fields: Fields that are not allowed, by object, as on an older cluster.

        date_skew_ms: By how much, at most, a row's exported creation and update times differ from
            the instants that are filtered on.
        time_digits: Fractional digits of exported times, 0 to 9. Voucherify docs: 3; JSON responses
            were seen with 6.
        time_zone: Suffix of exported times, such as `Z`, `+00:00`, `+00`, `+05:30`, or nothing.
        dates_with_times: Whether dates such as `expires_at` are exported with a time of day.
        blanks: Every nth row has an empty cell in these columns, by object and field.
        footer: Text in the first cell of an additional last row; `{rows}` is the number of rows.
        trailing_lines: Number of empty lines at the end of a file.
        empty_export: Whether a file without rows is a header, or 0 bytes.

        bom: Whether files begin with a byte order mark.
        line_terminator: The end of each line of a file.
        quoting: Whether all cells are quoted, or only those that need it.
        escaping: How quotes in cells are written; `backslash` quotes all cells.
        crlf_block_bytes: Quotes additional cells so that the CR of a cell with CRLF is the last
            byte of a block of this size, wherever possible; 0 disables this.
        response_format: The effect of the parameter `response_format: JSON` (hinted at).

        filters_echo: The name under which filters are echoed: `filters` in the reference,
            `filter` in the guide.
        echo_omits: Parameters that are not echoed.
        echoes_response_format: Whether `response_format: CSV` is echoed (seen in the reference).
        list_filters_echo: Replaces `filters_echo` in the list of exports.
        list_omits: Parameters that are not echoed in the list of exports.
        list_results: Whether the list of exports has the results of finished ones (documented).
        list_lag_seconds: Age of the statuses in the list of exports.
        unlisted_objects: Objects whose exports are not listed. Voucherify docs: the list names all
            but `product`, `sku` and `api_log`.

        files: Number of files of an export. Voucherify docs: very large results may be split.
        result_shape: What `result` of an export looks like. `url` is `{"url": ...}`, with a list
            as value when there are several files; `urls` is `{"urls": [...]}`; `unknown` is a
            shape no client can expect (the shape for several files is unknown).
        extra_result: Additional properties of `result`: harmless ones, a link, or a list.
            Voucherify docs: properties may be added anywhere.
        part_links: Whether the links of several files differ only in their tokens, or in their
            paths.
        rotates_links: Whether the links of several files change their order at each request.
        export_delay_seconds: How long a new export is not found.
        result_delay_seconds: How long a finished export has no result.
        file_delay_seconds: How long the file of a finished export is not found.
        latency_seconds: Seconds from SCHEDULED to DONE, or a function of the export.
        token_seconds: Lifetime of a download token. Voucherify docs: "short-lived".
        download_errors: The format of the download host's errors. Voucherify docs: `api`, with 401
            for an expired token; object stores use XML or JSON of their own, with 403.

        gzip: Whether files are compressed for clients that accept it.
        names_identity: Whether uncompressed files have `Content-Encoding: identity` (RFC 9110,
            8.4.1, reserves the word for requests, but servers send it).
        transfer: How the end of a file is signalled: by length, by chunked coding, or only by
            closing the connection.

        rate_limit: Calls allowed per period; None for no limit and no rate-limit headers.
        rate_limit_period_seconds: The period, which begins with the first call. Voucherify docs:
            an hour on the sandbox plan, a minute on the others.
        rate_limit_type: `X-Rate-Limit-Type`; `api_calls_cycle` is the quota of the plan.
        rate_limit_downloads: Whether calls to the download host count.
        rate_limit_unit: The unit of `X-Rate-Limit-Retry`. Voucherify docs: seconds.
        rate_limit_headers: Headers that replace those about the limit, in every response.
        retry_after_header: Whether 429 carries the optional `Retry-After`.
        retry_after_form: `Retry-After` as a number (documented) or as an HTTP date.

        page_changes: What happens to a list of campaigns, rules, assignments or tiers when a page
            after the first is requested: the first object is deleted, a new one created, or both.
        page_change_limit: How many times that happens to each list.
        forbidden_endpoints: Endpoints that return 403, by the names of faults, as `campaigns`.
        missing_endpoints: Endpoints that return 404, as on an older cluster.

        missing_scope_status: The status for an OAuth token without the scope.
        key_restriction: Why the key is rejected: it is bound to other IP addresses, or belongs to
            OAuth v2, and `/v1/oauth/token` does not accept it.
        key_restriction_status: The status of that error.
        forged_text: Text that is appended to the ids of exports and to all error messages.
    """

    after_inclusive: bool = False
    before_inclusive: bool = False
    honours_filters: bool = True
    ignored_conditions: Collection[str] = ()
    filter_utc_offset_hours: float = 0.0
    repeats_first_window: bool = False

    honours_order: bool = True
    row_order: RowOrder = "requested"

    column_order: Literal["requested", "documented", "alphabetical", "shuffled"] = "requested"
    omitted_columns: Collection[tuple[str, str]] = ()
    titles: Mapping[tuple[str, str], str] = field(default_factory=dict)
    title_style: Literal["display", "name", "unknown"] = "display"
    creation_title: Literal["Creation Date", "Creation date"] = "Creation Date"
    metadata_position: Literal["end", "in_place"] = "end"
    metadata_prefix: bool = False
    metadata_order: Literal["alphabetical", "defined"] = "alphabetical"
    exports_undefined_metadata: bool = True
    metadata_fields: bool = True
    metadata_field_titles: Literal["plain", "prefixed"] = "plain"
    undocumented_fields: bool = True
    rejected_fields: Mapping[str, Collection[str]] = field(default_factory=dict)

    date_skew_ms: int = 0
    time_digits: int = 3
    time_zone: str = "Z"
    dates_with_times: bool = False
    blanks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    footer: str = ""
    trailing_lines: int = 0
    empty_export: Literal["header", "nothing"] = "header"

    bom: bool = False
    line_terminator: Literal["\r\n", "\n", "\r"] = "\r\n"
    quoting: Literal["minimal", "all"] = "minimal"
    escaping: Literal["doubled", "backslash"] = "doubled"
    crlf_block_bytes: int = 0
    response_format: Literal["ignored", "json", "rejected"] = "ignored"

    filters_echo: Literal["filters", "filter"] = "filters"
    echo_omits: Collection[str] = ()
    echoes_response_format: bool = False
    list_filters_echo: Literal["filters", "filter"] | None = None
    list_omits: Collection[str] = ()
    list_results: bool = True
    list_lag_seconds: float = 0.0
    unlisted_objects: Collection[str] = ()

    files: int = 1
    result_shape: Literal["url", "urls", "unknown"] = "url"
    extra_result: Literal["none", "harmless", "link", "list"] = "none"
    part_links: Literal["token", "path"] = "token"
    rotates_links: bool = False
    export_delay_seconds: float = 0.0
    result_delay_seconds: float = 0.0
    file_delay_seconds: float = 0.0
    latency_seconds: Latency = 0.0
    token_seconds: float = 60.0
    download_errors: Literal["api", "xml", "json"] = "api"

    gzip: bool = False
    names_identity: bool = False
    transfer: Framing = "length"

    rate_limit: int | None = None
    rate_limit_period_seconds: float = 3600.0
    rate_limit_type: str = "api_calls"
    rate_limit_downloads: bool = False
    rate_limit_unit: Literal["seconds", "milliseconds"] = "seconds"
    rate_limit_headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_header: bool = True
    retry_after_form: Literal["seconds", "date"] = "seconds"

    page_changes: Literal["none", "created", "deleted", "replaced"] = "none"
    page_change_limit: int = 1
    forbidden_endpoints: Collection[Kind] = ()
    missing_endpoints: Collection[Kind] = ()

    missing_scope_status: Literal[401, 403] = 401
    key_restriction: Literal["ip", "oauth_v2"] | None = None
    key_restriction_status: Literal[401, 403] = 401
    forged_text: str = ""

    def title(self, exported_object: str, field_name: str) -> str:
        """Return the title of a column."""
        if (exported_object, field_name) in self.titles:
            return self.titles[exported_object, field_name]
        if self.title_style == "name":
            return field_name
        if self.title_style == "unknown":
            return f"Column {crc32(f'{exported_object}:{field_name}'.encode()):08x}"
        return title_of(field_name, self.creation_title)
