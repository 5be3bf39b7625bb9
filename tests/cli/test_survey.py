"""The survey answers every open question, and each switch changes only its own answers."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import (
    METADATA_KEYS,
    OBJECTS,
    PRODUCT_METADATA_KEYS,
    Action,
    Behaviour,
    Dataset,
    Fault,
    Reply,
    Sandbox,
    Turn,
    colliding_metadata,
    service,
)
from tap_voucherify.errors import AccountError, RequestError
from tap_voucherify.survey.__main__ import SurveyTap
from tap_voucherify.survey.report import QUESTIONS, question
from tap_voucherify.survey.runner import MAX_CALLS
from tests.support.runner import wait_for_log
from tests.support.shell import blocks, environment
from tests.support.shell import run as run_in_shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dev.sandbox.faults import Kind

(DOCUMENTED,) = blocks("docs/api.md", "sh")

ROWS = 40
RANGE = {"start_date": "2026-01-01", "end_date": "2026-03-01"}
SERVICES = (
    "documented",
    "own_order",
    "unknown_titles",
    "empty_files",
    "microseconds",
    "new_properties",
    "late",
    "object_store",
    "older_cluster",
    "newest_first",
    "unusual",
)

TITLES = "Which titles do columns have?"
ORDER = "In what order are columns exported?"
MISSING = "Which columns or fields are missing?"
METADATA = "Where are metadata columns, and how are they titled?"
DEFINED = "Are metadata keys exported that no schema defines?"
KEY = "How is the field `metadata.X` exported?"
VALUES = "How are metadata values written?"
EMPTY = "What does an export without rows look like?"
EDGES = "Are `$after` and `$before` inclusive?"
FILTER = "Does a date filter always apply?"
ROW_ORDER = "Are rows always in the requested order?"
FORMS = "How are times, dates and numbers written?"
TYPES = "What are the types of fields without a description or an example?"
STATUS = "Do voucher transactions have a `status`?"
EXTRA_OBJECTS = "Can products, SKUs and API logs be exported?"
FORMAT = "What does `response_format: JSON` do?"
RESULT = "What shape does `result` have?"
SPLIT = "How are very large results split?"
ECHO = "How are parameters echoed?"
LISTED = "Which exports are in the list of exports?"
FILES = "What form do files have?"
FRAMING = "How is the end of a file signalled?"
LIMIT = "Which headers report the rate limit?"
COUNTED = "Do downloads count towards the rate limit?"
DURATION = "How long do exports take?"

ONE_LESS = {TITLES: "144 titles", METADATA: "last (voucher"}
# Depends on the time that the test takes.
TIMED = {DURATION}


class Report:
    """The report of one survey.

    Attributes:
        text: The Markdown.
        answers: The answer to each question.
        calls: The kinds of the calls.
        error: Why the survey failed.
        exit_code: The exit code.
    """

    def __init__(self, sandbox: Sandbox, **settings: object) -> None:
        """Run a survey."""
        config = {**sandbox.config, **RANGE, "poll_interval_seconds": 0.02, **settings}
        output = io.StringIO()
        self.error = ""
        with contextlib.redirect_stdout(output):
            try:
                self.exit_code = SurveyTap(config=config).run()
            except (AccountError, RequestError) as error:
                self.exit_code, self.error = 1, str(error)
        self.text = output.getvalue()
        self.calls = [request.kind for request in sandbox.requests]
        rows = (line.split(" | ") for line in self.text.splitlines() if line.startswith("| "))
        cells = {row[0][2:]: row[1] for row in rows if len(row) == 3}
        self.answers = {text: answer for text, answer in cells.items() if text.endswith("?")}


def survey(behaviour: Behaviour | None = None, **options: Any) -> Report:
    """Run a survey of a sandbox, and check what every survey must fulfil."""
    dataset = options.pop("dataset", None) or Dataset(sizes=dict.fromkeys(OBJECTS, ROWS))
    faults = options.pop("faults", ())
    with Sandbox(dataset, behaviour) as sandbox:
        for fault in faults:
            sandbox.faults.add(fault)
        report = Report(sandbox, **options)
        assert all(export.deleted for export in sandbox.exports)
        assert len(report.calls) <= MAX_CALLS
        assert list(report.answers) == [question(answer)[0] for answer in QUESTIONS]
        assert not [secret for secret in sandbox.secrets if secret in report.text]
        assert_no_cells(sandbox, report.text)
    return report


@functools.cache
def own_words() -> str:
    """Return the report of a project without any data."""
    with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS, 0), metadata_keys={})) as sandbox:
        return Report(sandbox).text


def assert_no_cells(sandbox: Sandbox, text: str) -> None:
    """Check that a report contains no cell and no metadata key."""
    for name in OBJECTS:
        for row in sandbox.rows(name):
            for cell in (*row.cells.values(), *row.metadata.values()):
                is_distinctive = len(cell) > 4 and cell not in {"true", "false"}
                assert not is_distinctive or cell not in text or cell in own_words()
    own = ("Season", "Größe", "location_id", "terminal", "file_uploaded", "birth_date", "żółć")
    assert not [key for key in own if key in text]


@pytest.fixture(scope="module")
def usual() -> Mapping[str, str]:
    """Return the answers about a sandbox with default behaviour."""
    return survey().answers


def changed(report: Report, usual: Mapping[str, str]) -> set[str]:
    """Return the questions whose answers differ from the usual ones."""
    return {text for text, answer in report.answers.items() if answer != usual[text]} - TIMED


def test_every_question_is_answered(usual: Mapping[str, str]) -> None:
    """Every question is answered, except about a rate limit that the sandbox does not have."""
    unclear = {text for text, answer in usual.items() if "unclear" in answer}

    assert unclear == {COUNTED}
    assert not [text for text, answer in usual.items() if "not asked" in answer or not answer]
    assert usual[ORDER].startswith("as requested (voucher, ")
    assert usual[METADATA].startswith("last (voucher, redemption, publication, customer, order)")
    assert "voucher 6 (columns 33 to 38 of 38)" in usual[METADATA]
    assert "voucher: 4 of 4 defined keys, and 2 that no schema defines" in usual[DEFINED]
    assert usual[KEY] == "titled `X`; column 2 of 3, requested as the second of 3 (voucher)"
    assert "array: JSON array" in usual[VALUES]
    assert usual[EMPTY].startswith("a header alone (")
    assert "voucher: `$after` excludes it (0 of 2 rows" in usual[EDGES]
    assert usual[FILTER].startswith("all rows in the range (voucher, ")
    assert usual[ROW_ORDER].startswith("ascending (voucher, ")
    assert "descending (voucher requested in descending order" in usual[ROW_ORDER]
    assert "timestamp: `YYYY-MM-DDThh:mm:ss.fffZ`" in usual[FORMS]
    assert "product `price`: number with 2 decimals" in usual[TYPES]
    assert usual[STATUS] == "rejected (voucher_transactions)"
    assert usual[EXTRA_OBJECTS] == "exported (product, sku, api_log)"
    assert usual[FORMAT] == "ignored: the file is CSV; echoed: JSON"
    assert usual[RESULT].startswith("{url: link to the API's host, parameters token} (")
    assert usual[SPLIT].startswith("one file (voucher, ")
    assert usual[ECHO] == "as requested (create, list)"
    assert usual[LISTED] == "all exports are listed"
    assert "line ends: CRLF; quoted: where needed, none seen" in usual[FILES]
    assert usual[FRAMING].startswith("`Content-Length`")
    assert usual[LIMIT] == "no header about a rate limit"
    assert usual[DURATION].startswith("19 exports: ")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_be_surveyed(name: str) -> None:
    """Every service gets a complete report, and its exports are deleted."""
    # A late file is requested only twice.
    is_late = name in {"late", "unusual"}
    report = survey(service(name), poll_interval_seconds=0.7 if is_late else 0.02)

    assert not report.error
    assert report.answers[ORDER].count("unclear") <= (name in {"unknown_titles", "unusual"})
    assert report.answers[EDGES].startswith("unclear" if name == "unusual" else "voucher: `$after`")
    assert "at most" not in report.answers[KEY] + report.answers[FORMAT]


@pytest.mark.parametrize(
    ("switches", "answers"),
    [
        ({"after_inclusive": True}, {EDGES: "voucher: `$after` includes it (2 of 2"}),
        ({"before_inclusive": True}, {EDGES: "`$before` includes it (3 of 3"}),
        ({"filter_utc_offset_hours": -5}, {EDGES: "rows outside", FILTER: "", ROW_ORDER: ""}),
        (
            {"ignored_conditions": {"$before"}},
            {
                FILTER: "rows outside",
                EDGES: "unclear",
                EMPTY: "although",
                TYPES: "request_duration",
                ROW_ORDER: "descending",
            },
        ),
        (
            {"repeats_first_window": True},
            {FILTER: "rows outside", EDGES: "unclear", EMPTY: "although"},
        ),
        ({"row_order": "shuffled"}, {ROW_ORDER: "rows before their predecessor, by up to"}),
        ({"row_order": "ascending"}, {ROW_ORDER: "ascending (voucher, "}),
        ({"row_order": "descending"}, {ROW_ORDER: "descending (voucher, "}),
        ({"column_order": "shuffled"}, {ORDER: "the service's own (voucher, ", KEY: "column 3"}),
        ({"column_order": "alphabetical"}, {ORDER: "the service's own (voucher, ", KEY: "X"}),
        (
            {"column_order": "documented", "metadata_position": "in_place"},
            {ORDER: "the service's own (", METADATA: "between others (voucher", KEY: "column 3"},
        ),
        (
            {"omitted_columns": {("order", "status")}},
            {MISSING: "order lacks 1 of the requested columns (status)", **ONE_LESS},
        ),
        (
            {"titles": {("order", "id"): "Order No."}},
            {TITLES: "145 titles, of which the tap knows 144"},
        ),
        ({"metadata_position": "in_place"}, {METADATA: "where requested (voucher, "}),
        ({"metadata_prefix": True}, {METADATA: "titled by `metadata.` and the key"}),
        ({"metadata_order": "defined"}, {METADATA: "not in alphabetical order"}),
        (
            {"exports_undefined_metadata": False},
            {METADATA: "voucher 4 (", DEFINED: "and 0 that no schema", VALUES: "JSON array"},
        ),
        ({"metadata_fields": False}, {KEY: "Voucherify returned 400"}),
        ({"metadata_field_titles": "prefixed"}, {KEY: "titled `metadata.X`"}),
        (
            {"undocumented_fields": False},
            {METADATA: "the field `metadata` is rejected (product, sku)"},
        ),
        (
            {"rejected_fields": {"customer": {"birthdate"}}},
            {MISSING: "customer rejects birthdate", **ONE_LESS},
        ),
        ({"time_digits": 6, "time_zone": "+00:00"}, {FORMS: "ss.ffffff+00:00`", VALUES: "array"}),
        ({"time_digits": 0}, {FORMS: "hh:mm:ssZ`", EDGES: "unclear"}),
        ({"dates_with_times": True}, {FORMS: "date: `YYYY-MM-DDThh:mm:ss.fffZ`"}),
        ({"footer": "Total: {rows} rows"}, {FORMS: "text", EMPTY: "1 rows, although", TYPES: ""}),
        ({"trailing_lines": 1}, {FILES: "last line ends with: an empty line"}),
        (
            {"empty_export": "nothing"},
            {EMPTY: "0 bytes (points_expiration, api_log)", TITLES: "125 titles", ORDER: "sku)"},
        ),
        ({"bom": True}, {FILES: "byte order mark: yes"}),
        ({"line_terminator": "\n"}, {FILES: "line ends: LF"}),
        ({"quoting": "all"}, {FILES: "quoted: all cells"}),
        ({"response_format": "json"}, {FORMAT: "a JSON array of"}),
        ({"response_format": "rejected"}, {FORMAT: "Voucherify returned 400"}),
        ({"filters_echo": "filter"}, {ECHO: "`filters` as `filter` (create, list)"}),
        (
            {"list_filters_echo": "filter"},
            {ECHO: "as requested (create, list); `filters` as `filter` (list)"},
        ),
        ({"list_omits": {"order"}}, {ECHO: "without `order` (list)"}),
        ({"echoes_response_format": True}, {ECHO: "with `response_format`", FORMAT: "echoed: CSV"}),
        (
            {"list_results": False},
            {FORMAT: "", KEY: "", EDGES: "voucher: `$after` excludes", ROW_ORDER: "ascending"},
        ),
        ({"unlisted_objects": {"product"}}, {LISTED: "not listed: product"}),
        ({"files": 2}, {SPLIT: "2 files (", RESULT: "{url: [2 x link to", EDGES: "excludes"}),
        ({"result_shape": "urls"}, {RESULT: "{urls: [1 x link to"}),
        ({"extra_result": "harmless"}, {RESULT: "checksum: {algorithm: text, value: text}"}),
        ({"gzip": True, "transfer": "chunked"}, {FRAMING: "`Content-Encoding: gzip`"}),
        ({"transfer": "close"}, {FRAMING: "`Content-Type"}),
        (
            {"rate_limit": 100},
            {LIMIT: "`X-Rate-Limit-Limit`, `X-Rate-Limit-Remaining`", COUNTED: "no ("},
        ),
        (
            {"rate_limit": 100, "rate_limit_unit": "milliseconds", "rate_limit_downloads": True},
            {LIMIT: "a time in milliseconds", COUNTED: "yes ("},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_switch_changes_its_answer(
    usual: Mapping[str, str], switches: dict[str, Any], answers: dict[str, str]
) -> None:
    """A switch changes its own answers and no other."""
    report = survey(Behaviour(**switches))

    for text, answer in answers.items():
        assert answer in report.answers[text]
    assert changed(report, usual) <= set(answers)


@pytest.mark.parametrize(
    ("switches", "form"),
    [
        ({"line_terminator": "\r"}, "line ends: CR,"),
        ({"escaping": "backslash"}, "quotes in cells: backslashes"),
    ],
    ids=["line_terminator", "escaping"],
)
def test_files_that_the_tap_cannot_read_are_described(switches: dict[str, Any], form: str) -> None:
    """The report describes the form of unreadable files and names their exports."""
    report = survey(Behaviour(**switches))

    assert form in report.answers[FILES]
    assert "| voucher (full) | line " in report.text


def test_a_split_result_in_an_unknown_form_is_shown() -> None:
    """A result of unknown shape is shown in the report, and no file is read."""
    report = survey(Behaviour(result_shape="unknown", files=2))

    assert report.error
    assert "{chunks: [2 x {location: link to" in report.answers[RESULT]
    assert "unexpected export result" in report.text


def test_metadata_titled_like_standard_columns_is_distinguished() -> None:
    """Metadata columns with standard titles are counted correctly, and no key is shown."""
    keys = colliding_metadata(60)
    sizes = dict.fromkeys(OBJECTS, ROWS)
    for position in ("end", "in_place"):
        behaviour = replace(Behaviour(), metadata_position=position)
        report = survey(behaviour, dataset=Dataset(sizes=sizes, metadata_keys=keys))

        assert report.answers[ORDER].startswith("as requested (voucher, ")
        assert "voucher 60 (" in report.answers[METADATA]
        assert "attribute 0" not in report.text


def test_metadata_of_products_is_counted() -> None:
    """Metadata of products is counted without showing its keys."""
    keys = {**METADATA_KEYS, **PRODUCT_METADATA_KEYS}
    report = survey(dataset=Dataset(sizes=dict.fromkeys(OBJECTS, ROWS), metadata_keys=keys))

    assert "product 2 (columns 8 to 9 of 9)" in report.answers[METADATA]
    assert "brand" not in report.text
    assert "weight" not in report.text


def test_a_project_without_rows_shows_its_titles() -> None:
    """A project without rows shows its titles; questions that need rows are not asked."""
    report = survey(dataset=Dataset(sizes=dict.fromkeys(OBJECTS, 0), metadata_keys={}))

    assert report.answers[TITLES].startswith("145 titles")
    unasked = (EDGES, FILTER, ROW_ORDER)
    assert all(report.answers[text].startswith("not asked: no object has") for text in unasked)
    assert report.answers[KEY] == "not asked: no export has a metadata column"
    assert report.answers[DEFINED] == "no metadata"
    assert report.answers[FORMS] == "no cells seen"


def test_a_project_without_rows_or_headers_shows_that() -> None:
    """Files of 0 bytes are an answer too."""
    sizes = dict.fromkeys(OBJECTS, 0)
    report = survey(Behaviour(empty_export="nothing"), dataset=Dataset(sizes=sizes))

    assert report.answers[EMPTY].startswith("0 bytes (voucher, ")
    assert report.answers[FILES] == "no file"
    assert report.answers[TITLES].startswith("0 titles")


# Errors


def test_wrong_credentials_are_an_error_after_two_calls() -> None:
    """Wrong credentials end the survey after two calls, without a report."""
    with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS, 1))) as sandbox:
        report = Report(sandbox, app_token="somebody-else-s")

    assert report.calls == ["schemas", "create"]
    assert "Voucherify returned 401" in report.error
    assert "somebody-else-s" not in report.error
    assert not report.text


def test_an_object_that_is_forbidden_is_an_answer() -> None:
    """A forbidden object is an answer, and the others are surveyed."""
    forbidden = Fault(on="create", action=Reply(403, {"key": "no"}), object="sku", times=None)
    report = survey(faults=[forbidden])

    assert "exported (product, api_log)" in report.answers[EXTRA_OBJECTS]
    assert "Voucherify returned 403: no" in report.answers[EXTRA_OBJECTS]


@pytest.mark.parametrize(
    ("on", "action", "times", "answer"),
    [
        ("list", Reply(403), None, "exports cannot be listed"),
        ("list", Reply(503), 1, "all exports are listed"),
        ("schemas", Reply(403), None, "metadata schemas cannot be read"),
        ("create", Reply(503), 1, "19 exports, all of them deleted"),
        ("create", Reply(503), None, "| voucher (full) | Voucherify returned 503"),
        ("create", Turn("ERROR"), 1, "(full) | the export failed"),
        ("download", Reply(403), None, "download returned 403"),
        ("download", Reply(400), 1, "(full) | download returned 400"),
    ],
)
def test_a_failure_is_an_answer(on: Kind, action: Action, times: int | None, answer: str) -> None:
    """A failed call is an answer, and the survey continues."""
    assert answer in survey(faults=[Fault(on=on, action=action, times=times)]).text


def test_an_export_that_cannot_be_polled_is_polled_again() -> None:
    """An export whose poll failed is polled again, after the others that the list lacks."""
    behaviour = Behaviour(unlisted_objects={"product", "sku"})
    report = survey(behaviour, faults=[Fault(on="poll", action=Reply(503))])

    assert report.calls.count("poll") == 3
    assert report.answers[EXTRA_OBJECTS] == "exported (product, sku, api_log)"


def test_a_rejected_account_ends_the_survey() -> None:
    """A rejected account ends the survey with a report if any export was read."""
    for times, has_report in ((0, False), (11, True)):
        with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS, ROWS))) as sandbox:
            sandbox.behaviour = Behaviour(unlisted_objects=set(OBJECTS))
            sandbox.faults.add(Fault(on="poll", action=Reply(402), nth=times + 1, times=None))
            report = Report(sandbox)

            assert all(export.deleted for export in sandbox.exports)
        assert "plan limit exceeded" in report.error
        assert bool(report.text) == has_report
        assert report.calls.count("poll") == times + 1


def test_exports_that_cannot_be_deleted_are_counted() -> None:
    """The report counts exports that could not be deleted, except those already gone."""
    with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS, 1))) as sandbox:
        sandbox.faults.add(Fault(on="delete", action=Reply(404), times=1))
        sandbox.faults.add(Fault(on="delete", action=Reply(403), times=3))
        report = Report(sandbox)

    assert "exports, 2 of them not deleted" in report.text


def test_exports_that_never_end_are_abandoned_when_time_is_up() -> None:
    """Exports that never end are deleted when the time is up, and the report says so."""
    report = survey(Behaviour(latency_seconds=600), export_timeout_seconds=0.3)

    assert report.error
    assert "not finished when the survey ran out of time or calls" in report.text


# The command


def run(tmp_path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        (sys.executable, "-m", "tap_voucherify.survey", *options),
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def write_config(tmp_path: Path, **settings: object) -> str:
    """Write a configuration file and return the option that names it."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**RANGE, **settings}), encoding="utf-8")
    return f"--config={path}"


def test_the_command_prints_the_report(sandbox: Sandbox, tmp_path: Path) -> None:
    """The report goes to standard output, and progress to the log, however it is configured."""
    config = {**sandbox.config, "poll_interval_seconds": 0.02}
    variables = environment(sandbox, Path(sys.executable).parent)
    variables |= {
        "TAP_VOUCHERIFY_USE_OAUTH": "true",
        "TAP_VOUCHERIFY_POLL_INTERVAL_SECONDS": "0.02",
    }

    ended = run(tmp_path, write_config(tmp_path, **config))
    log = run_in_shell(DOCUMENTED, tmp_path, variables)

    assert ended.returncode == 0, ended.stderr
    report = (tmp_path / "survey.md").read_text(encoding="utf-8")
    for output, progress in ((ended.stdout, ended.stderr), (report, log)):
        assert output.startswith("# How Voucherify's Exports API behaves\n")
        assert "voucher (full): created export exp_" in progress
        assert "of 75 calls" in progress
        assert not [each for each in sandbox.secrets if each in output + progress]
    assert all(export.deleted for export in sandbox.exports)


def test_the_command_fails_in_one_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """A wrong setting or wrong credentials fail the command with one error line."""
    wrong = {**sandbox.config, "app_token": "wrong-token"}
    invalid = run(tmp_path)
    rejected = run(tmp_path, write_config(tmp_path, **wrong))

    for ended, message in ((invalid, "app_token: both"), (rejected, "returned 401")):
        assert ended.returncode == 1
        assert not ended.stdout
        (error,) = (line for line in ended.stderr.splitlines() if "| ERROR " in line)
        assert message in error
        assert "Traceback" not in ended.stderr
        assert "wrong-token" not in ended.stderr


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_survey_once_its_exports_are_deleted(
    sandbox: Sandbox, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    """A signal ends the survey after its exports are deleted, without a report."""
    sandbox.behaviour = Behaviour(latency_seconds=600)
    command = [sys.executable, "-m", "tap_voucherify.survey"]
    with subprocess.Popen(
        [*command, write_config(tmp_path, **sandbox.config)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        wait_for_log(process, b"created export")
        process.send_signal(number)
        output, log = process.communicate(timeout=30)

    assert process.returncode == exit_code
    assert f"Interrupted by {number.name}; there is no report".encode() in log
    assert not output
    assert sandbox.exports
    assert all(export.deleted for export in sandbox.exports)
