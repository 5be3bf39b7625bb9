"""Answers that the sandbox cannot lead to."""

from __future__ import annotations

import io
import typing as t

import pytest

from tap_voucherify.streams import ApiLogs, Customers, PointsExpirations
from tap_voucherify.survey import columns, rows, service
from tap_voucherify.survey.evidence import Evidence, Sample, grouped
from tap_voucherify.survey.probes import FULL, JSON, KEY, PLAIN, WINDOW, Probe, between

if t.TYPE_CHECKING:
    from tap_voucherify.stream import ExportStream

DAY = ("2026-08-01T00:00:00.000Z", "2026-08-02T00:00:00.000Z")
HOST = "api.voucherify.io"


def probe(role: str, exported_object: str, fields: list[str], *files: str, **more: t.Any) -> Probe:
    """Return an export with these files."""
    contents: list[t.BinaryIO] = [io.BytesIO(text.encode()) for text in files]
    return Probe(role, exported_object, {"fields": fields}, files=contents, **more)


def sample(stream: type[ExportStream], *files: str, fields: list[str] | None = None) -> Sample:
    """Return the export of some columns, by default of all."""
    name = stream.exported_object
    every = [column.api_field for column in stream.columns]
    return Sample(stream, probe(FULL, name, fields or every, *files), None)


def customers(*times: str, title: str = "Creation Date") -> Sample:
    """Return an export of customers who were created at these times of the day."""
    lines = [f"cust_1,2026-08-01T{time}Z" for time in times]
    text = "\n".join([f"ID,{title}", *lines, ""])
    return sample(Customers, text, fields=["id", "created_at"])


def evidence(*samples: Sample, probes: t.Sequence[Probe] = ()) -> Evidence:
    """Return what a survey of these exports has seen."""
    return Evidence(DAY, HOST, probes=[*probes, *(each.full for each in samples)], samples=samples)


def test_names_with_the_same_answer_are_grouped() -> None:
    """Each name appears once."""
    pairs = [("a", "yes"), ("b", "no"), ("c", "yes"), ("a", "yes")]
    assert grouped(pairs) == "yes (a, c); no (b)"


def test_rows_outside_the_range_are_counted() -> None:
    """With the distance of the farthest row."""
    seen = evidence(customers("12:00:00.000", "13:00:00.000"))
    assert rows.date_filter(seen) == "all rows in the range (customer)"
    seen.created = (DAY[0], "2026-08-01T12:59:00.000Z")
    assert rows.date_filter(seen) == "1 of 2 rows outside, by up to 60.000 s (customer)"


def edge_answer(text: str, *, title: str = "Creation Date") -> str:
    """Return the answer for an export between the first and the last of some rows."""
    times = ["01:00:00.000", "01:00:00.000", "02:00:00.000", "03:00:00.000", "04:00:00.000"]
    window = probe(WINDOW, "customer", ["created_at", "id"], text, "")
    window.parameters["filters"] = between("2026-08-01T01:00:00.000Z", "2026-08-01T04:00:00.000Z")
    return rows.boundaries(evidence(customers(*times, title=title), probes=[window]))


@pytest.mark.parametrize(
    ("times", "answer"),
    [
        (["01", "02", "03"], "`$after` includes it for some rows only (1 of 2 rows"),
        (["01", "01", "02", "03"], "`$after` includes it (2 of 2 rows"),
        (["02", "03"], "`$before` probably excludes it, unless times are rounded (0 of 1 rows"),
        (["02"], "unclear (customer): 0 rows outside the range and 1 missing within it"),
        (["02", "03", "05"], "unclear (customer): 1 rows outside the range and 0 missing"),
    ],
)
def test_edges_are_compared_with_all_rows(times: list[str], answer: str) -> None:
    """Some rows at an instant, none at it, rows that are missing, rows of other times."""
    lines = [f"2026-08-01T{hour}:00:00.000Z,cust_1" for hour in times]
    assert answer in edge_answer("\n".join(["Creation Date,ID", *lines, ""]))


def test_edges_need_a_known_column_of_times() -> None:
    """Without one, the answer says why."""
    assert edge_answer("ID\n") == "customer: the column of the creation time is not in the file"
    assert edge_answer("") == "customer: no header"
    assert edge_answer('"') == "customer: line 1 is not valid CSV: unexpected end of data"


def test_a_time_column_of_unknown_title_is_the_only_one_with_times() -> None:
    """Two are ambiguous, and a row of another width is ignored."""
    only = sample(ApiLogs, "ID,Created\na,2026-08-01\nb\n", fields=["id", "created_at"])
    assert (only.times, only.time_title, only.rows) == (["2026-08-01"], "Created", 1)
    both = sample(ApiLogs, "X,Y\n2026-08-01,2026-08-01\n", fields=["id", "created_at"])
    assert (both.times, both.time_title) == ([], "")


def test_a_row_of_data_is_not_a_header() -> None:
    """None of its cells is taken for a title."""
    seen = sample(PointsExpirations, "points_1,5,2026-08-01\nID,Points,Status\n")
    assert seen.titles == []
    assert columns.titles_of(seen) == (
        "3 titles not shown, since they may be metadata keys or cells"
    )


def test_further_files_of_a_sample_belong_to_the_same_header() -> None:
    """An empty file is ignored."""
    seen = sample(PointsExpirations, "ID,Points\na,1\n", "", "ID,Points\nb,2\n")
    assert seen.rows == 2


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("ID,season,Source ID", "titled `X`; column 2 of 3, requested as the second of 3"),
        ("ID,metadata.season,Source ID", "titled `metadata.X`; column 2 of 3"),
        ("ID,Other,Source ID", "a header of 3 columns, none of them titled by the key"),
        ("", "not asked: no export has rows to ask with"),
    ],
)
def test_a_single_metadata_key_has_a_title(header: str, answer: str) -> None:
    """The key itself is not shown."""
    fields = ["id", "metadata.season", "source_id"]
    export = probe(KEY, "customer", fields, f"{header}\n" if header else "", metadata_key="season")
    assert columns.single_key(evidence(probes=[export])).startswith(answer)


def test_questions_may_have_no_answer() -> None:
    """If there is no export."""
    nothing = evidence()
    assert service.response_format(nothing) == "not asked"
    assert service.result_shape(nothing) == "no export has a result"
    assert service.echoes(nothing) == "nothing is echoed"
    assert service.framing(nothing) == "no download"
    assert service.durations(nothing) == "no export was finished"
    assert service.file_forms(nothing) == "no file"
    assert columns.empty_range(nothing) == "no export"


def test_an_unread_plain_export_shows_no_title() -> None:
    """Its error is in the report."""
    full = probe(FULL, "customer", ["metadata", "id"], "ID,season\n")
    plain = probe(PLAIN, "customer", ["id"], '"')
    assert Sample(Customers, full, plain).plain_header == []
    assert plain.error == "line 1 is not valid CSV: unexpected end of data"


@pytest.mark.parametrize(
    ("echo", "answer"),
    [
        (None, "no parameters"),
        ({"fields": ["id"]}, "without `filters`"),
        ({"fields": ["id"], "filter": {}}, "`filters` as `filter`"),
        ({"fields": [], "filters": {}, "limit": 1}, "another `fields`, with `limit`"),
        ({"fields": ["id"], "filters": {}}, "as requested"),
    ],
)
def test_an_echo_is_compared_with_the_request(echo: object, answer: str) -> None:
    """By the names of parameters; their values may be customer data."""
    assert service.differences({"fields": ["id"], "filters": {}}, echo) == answer


@pytest.mark.parametrize(
    ("result", "shape"),
    [
        ({"url": "https://api.voucherify.io/x?token=s"}, "{url: link to `api.voucherify.io`"),
        ({"url": "https://files.example.com/x"}, "link to another host, parameters none}"),
        ({"url": "https://[x"}, "{url: link}"),
        ([1, None, "x"], "[3 x int or null or text]"),
    ],
)
def test_a_result_has_a_shape(result: object, shape: str) -> None:
    """Hosts other than Voucherify's are not named, and tokens are not shown."""
    assert shape in service.shape(result, "api.example.com")


def test_json_has_an_echo() -> None:
    """Whatever the file is."""
    export = probe(JSON, "customer", ["id"], "[]", echoes={"create": None})
    answer = service.response_format(evidence(probes=[export]))
    assert answer == "a JSON array of 0; echoed: nothing"


def limited(*calls: tuple[str, dict[str, str]]) -> Evidence:
    """Return what a survey of these responses has seen."""
    return Evidence(DAY, HOST, responses=list(calls), now=1000)


@pytest.mark.parametrize(
    ("reset", "answer"),
    [
        ("1060", "; Retry: a time in seconds, 60 s ahead"),
        ("1060000000000", "; Retry: a time in milliseconds, 1059999000 s ahead"),
        ("soon", ""),
    ],
)
def test_rate_limit_headers_are_named(reset: str, answer: str) -> None:
    """With the calls that lack them, and the unit of the reset."""
    headers = {"x-rate-limit-limit": "100", "X-Rate-Limit-Retry": reset}
    seen = limited(("create", headers), ("download", {"Date": "now"}))
    expected = f"`X-Rate-Limit-Limit`, `X-Rate-Limit-Retry`; Limit 100{answer}"
    assert service.rate_limit(seen) == f"{expected}; not in responses to: download"


@pytest.mark.parametrize(
    ("rest", "answer"),
    [
        ("98", "no (1 times)"),
        ("97", "yes (1 times)"),
        ("90", "unclear (1 times)"),
        ("few", "unclear: no header says how many calls are left"),
    ],
)
def test_downloads_may_count_as_calls(rest: str, answer: str) -> None:
    """The remaining calls fall by one for each call that counts."""
    seen = limited(
        ("list", {"X-Rate-Limit-Remaining": "99"}),
        ("download", {}),
        ("delete", {"X-Rate-Limit-Remaining": rest}),
    )
    assert service.counted_downloads(seen) == answer
