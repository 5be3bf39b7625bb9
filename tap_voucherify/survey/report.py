"""The report: what was asked, what the service answered, what the tap does today."""

from __future__ import annotations

import typing as t

from tap_voucherify.redaction import printable
from tap_voucherify.survey import columns, rows, service

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_voucherify.survey.evidence import Evidence


class Question(t.NamedTuple):
    """One row of the report.

    Attributes:
        text: The question.
        answer: Returns what the exports show.
        tap_does: What the tap does today.
    """

    text: str
    answer: Callable[[Evidence], str]
    tap_does: str


QUESTIONS = (
    Question(
        "Which titles do columns have?",
        columns.titles,
        "Matches by position and by title, and verifies. Where that is no proof, it learns the "
        "titles: at most seven exports of an empty range with different fields prove which title "
        "is whose.",
    ),
    Question(
        "In which order do columns come?",
        columns.column_order,
        "Requests them in its own order, and accepts any.",
    ),
    Question(
        "Which columns or fields are missing?",
        columns.missing_columns,
        "Leaves out the fields that Voucherify rejects, and emits null for missing columns, with a "
        "warning; without a key the stream fails.",
    ),
    Question(
        "Where do metadata columns come, and how are they titled?",
        columns.metadata_columns,
        "Requests them last, and understands both `season` and `metadata.season`; does without if "
        "Voucherify rejects them.",
    ),
    Question(
        "Is metadata exported that no schema defines?",
        columns.defined_metadata,
        "Emits whatever metadata columns there are.",
    ),
    Question(
        "What does the field `metadata.X` become?", columns.single_key, "Does not request it."
    ),
    Question(
        "How are metadata values written?",
        columns.metadata_values,
        "Emits them as text, or by their schema's type with `typed_metadata`.",
    ),
    Question(
        "What does an export without rows look like?",
        columns.empty_range,
        "A header alone, or 0 bytes: then the tap exports an empty range to compare, once per run.",
    ),
    Question(
        "Are `$after` and `$before` inclusive?",
        rows.boundaries,
        "Requests one extra second on each side, and drops the rest.",
    ),
    Question(
        "Does a date filter always apply?",
        rows.date_filter,
        "Drops rows outside the window, with a warning. Where rows must be missing, because a file "
        "is of another window or another time zone, the stream fails.",
    ),
    Question(
        "Are rows always in the requested order?",
        rows.row_order,
        "Checks, and moves the bookmark only at the end of an export that is not.",
    ),
    Question(
        "How are times, dates and numbers written?",
        columns.cell_forms,
        "Times may have any number of digits and any offset; they become UTC milliseconds. Numbers "
        "are those of JSON.",
    ),
    Question(
        "What are the types of fields without a description or an example?",
        columns.undocumented_types,
        "Emits them as text.",
    ),
    Question(
        "Do voucher transactions have a `status`?",
        columns.undocumented_status,
        "Does not request it: the prose lists it, the list of fields does not.",
    ),
    Question(
        "Can products, SKUs and API logs be exported?",
        columns.undocumented_objects,
        "Has a stream for each, deselected by default.",
    ),
    Question(
        "What does `response_format: JSON` do?",
        service.response_format,
        "Does not send it, and ignores it in echoes.",
    ),
    Question(
        "Which shape does `result` have?",
        service.result_shape,
        "Reads `url` or `urls`, a link or a list; ignores other properties without links.",
    ),
    Question(
        "How are very large results split?",
        service.splits,
        "Reads a list of links in order, and moves the bookmark only at the end; rejects any other "
        "form.",
    ),
    Question(
        "How are parameters echoed?",
        service.echoes,
        "Compares echoes only to resume exports; takes `filter` for `filters`.",
    ),
    Question(
        "Which exports does the list of exports have?",
        service.listing,
        "Polls an export that the list lacks.",
    ),
    Question(
        "Which form do files have?",
        service.file_forms,
        "Reads UTF-8 with or without a byte order mark, lines that end in CRLF or LF, and quotes "
        "doubled in cells.",
    ),
    Question(
        "How is the end of a file signalled?",
        service.framing,
        "By length, chunks or the gzip trailer; without any, the file must end in a line break, "
        "with a warning.",
    ),
    Question(
        "Which headers report the rate limit?",
        service.rate_limit,
        "Paces its calls by `X-Rate-Limit-*`, and obeys `Retry-After`.",
    ),
    Question(
        "Do downloads count towards the rate limit?", service.counted_downloads, "Counts them."
    ),
    Question(
        "How long do exports take?",
        service.durations,
        "Looks again after a third of the time waited so far, up to `export_timeout_seconds`.",
    ),
)


def report(evidence: Evidence, *, version: str, calls: int, undeleted: int) -> str:
    """Return the report as Markdown.

    Args:
        evidence: What was seen.
        version: Version of the tap.
        calls: The number of calls made.
        undeleted: The number of exports that could not be deleted.
    """
    created = [probe for probe in evidence.probes if probe.export_id]
    ending = "all of them deleted" if not undeleted else f"{undeleted} of them not deleted"
    summary = f"{calls} calls, {len(created)} exports, {ending}"
    window = " to ".join(evidence.window.bounds_as_text)
    lines = [
        "# How Voucherify's Exports API behaves",
        "",
        f"Survey by tap-voucherify {version}: {summary}.",
        f"Rows created {window} were read; no cell of them is below.",
        "",
        *_table(
            ("Question", "Answer", "What the tap does"),
            ((each.text, each.answer(evidence), each.tap_does) for each in QUESTIONS),
        ),
        "",
        "## Titles",
        "",
        "In the order of the file; those that the tap does not know are bold.",
        "",
        *_table(
            ("Object", "Titles"),
            ((each.name, columns.header_positions(each)) for each in evidence.samples),
        ),
    ]
    failed = [(str(probe), probe.error) for probe in evidence.probes if probe.error]
    if failed:
        lines += ["", "## Exports without an answer", "", *_table(("Export", "Reason"), failed)]
    return "\n".join(lines)


def _table(titles: tuple[str, ...], cells: t.Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(titles)
    yield _row(("---",) * len(titles))
    yield from map(_row, cells)


def _row(cells: tuple[str, ...]) -> str:
    shown = (printable(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"
