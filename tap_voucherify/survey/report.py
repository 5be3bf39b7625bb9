"""The report: the questions, the answers, and what the tap does."""

from __future__ import annotations

import inspect
import typing as t

from tap_voucherify.redaction import printable
from tap_voucherify.survey import columns, rows, service

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.survey.evidence import Evidence


# The first paragraph of a docstring is the question; the second one is what the tap does.
QUESTIONS: tuple[Callable[[Evidence], str], ...] = (
    columns.titles,
    columns.column_order,
    columns.missing_columns,
    columns.metadata_columns,
    columns.defined_metadata,
    columns.single_key,
    columns.metadata_values,
    columns.empty_range,
    rows.boundaries,
    rows.date_filter,
    rows.row_order,
    rows.cell_forms,
    rows.undocumented_types,
    rows.undocumented_status,
    rows.undocumented_objects,
    service.response_format,
    service.result_shape,
    service.splits,
    service.echoes,
    service.listing,
    service.file_forms,
    service.framing,
    service.rate_limit,
    service.counted_downloads,
    service.durations,
)


def question(answer: Callable[[Evidence], str]) -> tuple[str, str]:
    """Return the question that a function answers, and what the tap does."""
    text, _, tap_does = (inspect.getdoc(answer) or "").partition("\n\n")
    return text, tap_does.replace("\n", " ")


def report(evidence: Evidence, *, version: str, calls: int) -> str:
    """Return the report as Markdown.

    Args:
        evidence: What was seen.
        version: Version of the tap.
        calls: The number of calls made.
    """
    answers = []
    for answer in QUESTIONS:
        text, tap_does = question(answer)
        answers.append((text, answer(evidence), tap_does))
    titles = [(sample.name, columns.titles_of(sample)) for sample in evidence.samples]
    exports = sum(bool(probe.export_id) for probe in evidence.probes)
    deleted = f"{evidence.undeleted} of them not" if evidence.undeleted else "all of them"
    lines = [
        "# How Voucherify's Exports API behaves",
        "",
        f"Survey by tap-voucherify {version}: {calls} calls, {exports} exports, {deleted} deleted.",
        f"Rows created {' to '.join(evidence.created)} were read; no cell of them is below.",
        "",
        *_table(("Question", "Answer", "What the tap does"), answers),
        "",
        "## Titles",
        "",
        "In file order; titles that the tap does not know are bold.",
        "",
        *_table(("Object", "Titles"), titles),
    ]
    failed = [(str(probe), probe.error) for probe in evidence.probes if probe.error]
    if failed:
        lines += ["", "## Exports without an answer", "", *_table(("Export", "Reason"), failed)]
    return "\n".join(lines)


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for cells in (titles, ("---",) * len(titles), *rows):
        shown = (printable(cell).replace("|", "\\|") for cell in cells)
        yield f"| {' | '.join(shown)} |"
