"""The documents agree with the tap."""

from __future__ import annotations

import inspect
import json
import math
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from dev import ROOT
from dev.generate.__main__ import generated, replace_between
from dev.generate.about import about, settings
from dev.generate.plugin import VALID_GROUPS
from tap_voucherify import errors
from tap_voucherify.list_streams import LIST_STREAMS
from tap_voucherify.streams import STREAMS
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.validation import validate
from tests.cli import test_extra_stream
from tests.support.shell import blocks

if TYPE_CHECKING:
    from pathlib import Path

HUB = ROOT / "plugin.yml"
CHECK_JSONSCHEMA = (sys.executable, "-m", "check_jsonschema")

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_README_LINES = 133
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

ALL_STREAMS = TapVoucherify.stream_classes

# Without the settings that the SDK adds to every tap.
SETTINGS = settings()

# Meltano's kinds of settings by JSON schema type.
KINDS = {
    "string": {"string", "options", "date_iso8601"},
    "number": {"string"},
    "integer": {"integer"},
    "boolean": {"boolean"},
    "object": {"object"},
    "array": {"array"},
}

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", ".github/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)


def load_yaml(path: Path) -> Any:
    """Return a file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def in_meltano_yml() -> dict[str, dict[str, Any]]:
    """Return the settings of meltano.yml by name."""
    (tap,) = load_yaml(ROOT / "meltano.yml")["plugins"]["extractors"]
    return {setting["name"]: setting for setting in tap["settings"]}


@pytest.fixture(scope="module")
def in_hub() -> dict[str, Any]:
    """Return the plugin definition for Meltano Hub."""
    definition: dict[str, Any] = load_yaml(HUB)
    return definition


# Generated texts


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_generated_texts_are_up_to_date(path: Path) -> None:
    """`python -m dev.generate` would change nothing."""
    assert path.read_text(encoding="utf-8") == generated()[path]


def test_the_check_is_silent_if_everything_is_up_to_date() -> None:
    """`python -m dev.generate --check` succeeds without output if everything is up to date."""
    command = (sys.executable, "-m", "dev.generate", "--check")

    ended = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)

    assert ended.returncode == 0
    assert ended.stdout == b""


def test_missing_marks_are_an_error() -> None:
    """A file without the marks of its generated part is not overwritten."""
    with pytest.raises(ValueError, match="from 'begin settings' to 'end settings', found 0"):
        replace_between("begin streams\nend streams\n", "settings", "new")


# meltano.yml, and the definition for Meltano Hub


def test_meltano_knows_every_setting_in_order(in_meltano_yml: dict[str, dict[str, Any]]) -> None:
    """meltano.yml lists the tap's settings in the same order."""
    assert list(in_meltano_yml) == list(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_meltano_describes_a_setting_as_the_tap_does(
    in_meltano_yml: dict[str, dict[str, Any]], in_hub: dict[str, Any], name: str
) -> None:
    """Title, description, default, secrecy and type of a setting are the same everywhere."""
    schema, setting = SETTINGS[name], in_meltano_yml.get(name, {})

    assert setting.get("label") == schema["title"]
    assert setting.get("description") == schema["description"]
    assert setting.get("value") == schema.get("default")
    assert setting.get("sensitive", False) == schema.get("secret", False)
    (json_type,) = set(schema["type"]) - {"null"}
    assert setting.get("kind") in KINDS[json_type]
    choices = [option["value"] for option in setting.get("options", [])]
    assert choices == [choice for choice in schema.get("enum", []) if choice is not None]
    # The Hub has no fractions.
    kind = "integer" if json_type == "number" else setting["kind"]
    assert {**setting, "kind": kind} in in_hub["settings"]


def test_the_hub_knows_the_settings_of_the_sdk_too(in_hub: dict[str, Any]) -> None:
    """The Hub definition lists the settings and capabilities of `--about`."""
    assert [setting["name"] for setting in in_hub["settings"]] == list(settings(with_sdk=True))
    assert in_hub["capabilities"] == sorted(about()["capabilities"])


def test_the_example_declares_settings_as_the_project_does(
    in_meltano_yml: dict[str, dict[str, Any]],
) -> None:
    """The Airflow example declares its settings with the project's kinds and secrecy."""
    example = load_yaml(ROOT / "examples" / "airflow" / "meltano.yml")
    [plugin] = example["plugins"]["extractors"]

    for setting in plugin["settings"]:
        declared = in_meltano_yml[setting["name"]]
        assert setting["kind"] == declared["kind"].replace("options", "string"), setting
        assert setting.get("sensitive") == declared.get("sensitive"), setting


def test_the_hub_leaves_out_what_the_tap_deselects(in_hub: dict[str, Any]) -> None:
    """The Hub definition excludes the streams that the tap deselects by default."""
    deselected = [f"!{stream.name}.*" for stream in ALL_STREAMS if not stream.selected_by_default]

    assert in_hub["select"] == ["*.*", *deselected]


@pytest.mark.parametrize("group", VALID_GROUPS, ids="_and_".join)
def test_a_valid_group_is_what_the_tap_needs(group: list[str]) -> None:
    """The settings of a valid group are sufficient, and each of them is needed."""
    schema = {"properties": SETTINGS}

    assert validate(dict.fromkeys(group, "secret"), schema, STREAMS) == []
    for left_out in group:
        others = {name: "secret" for name in group if name != left_out}
        assert validate(others, schema, STREAMS)


@pytest.mark.parametrize("path", [ROOT / "meltano.yml", HUB], ids=lambda path: path.name)
def test_meltano_accepts_the_definition(tmp_path: Path, path: Path) -> None:
    """meltano.yml and plugin.yml are valid by the public schema of meltano.yml."""
    file = tmp_path / "meltano.json"
    file.write_text(json.dumps(as_project(path)), encoding="utf-8")

    subprocess.run((*CHECK_JSONSCHEMA, "--builtin-schema=vendor.meltano", file), check=True)


@pytest.mark.parametrize("path", [ROOT / "meltano.yml", HUB], ids=lambda path: path.name)
def test_the_installed_meltano_accepts_the_definition(path: Path) -> None:
    """meltano.yml and plugin.yml are valid by the installed Meltano's own schema."""
    found = [*ROOT.glob(".venv-meltano/lib/*/site-packages/meltano/schemas/meltano.schema.json")]
    if not found:
        pytest.skip("Meltano is not installed: `make demo` does that")

    jsonschema.validate(as_project(path), json.loads(found[0].read_text(encoding="utf-8")))


def as_project(path: Path) -> Any:
    """Return a project unchanged, or one around the definition of a plugin."""
    content = load_yaml(path)
    return content if "plugins" in content else {"plugins": {"extractors": [content]}}


# README.md and docs/settings.md


def test_readme_is_short() -> None:
    """README contains what a newcomer needs; everything else is in docs."""
    assert len(README.splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("name", settings(with_sdk=True))
def test_every_setting_is_documented(name: str) -> None:
    """docs/settings.md has a row for each setting, including the SDK's."""
    assert re.search(rf"(?m)^\| `{name}` \|", SETTINGS_PAGE)


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        pytest.param("troubleshooting", "**PostgreSQL fails on a NUL character**", id="b11"),
        pytest.param("troubleshooting", "or lower `max_concurrent_exports`.", id="c7"),
        pytest.param("settings", "selected later has values only in records", id="c8"),
        pytest.param("metadata", "`!vouchers.metadata.a.b` does **not** exclude", id="c10"),
    ],
)
def test_what_the_tap_cannot_change_is_documented(page: str, sentence: str) -> None:
    """The documents say what a warehouse, Meltano or an account does, and what to do about it."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")

    assert sentence in " ".join(text.split())


@pytest.mark.parametrize("stream", ALL_STREAMS, ids=lambda stream: stream.name)
def test_readme_describes_every_stream(stream: Any) -> None:
    """README has a table row for each stream, with its keys."""
    (row,) = re.findall(rf"(?m)^\| `{stream.name}` \|.*$", README)

    assert all(f"`{key}`" in row for key in stream.primary_keys)
    assert (f"`{stream.replication_key}`" in row) == bool(stream.replication_key)
    assert ("modified_at" in row) == bool(stream.updated_column)


def test_readme_names_the_streams_that_are_deselected_by_default() -> None:
    """README's Meltano selection excludes the streams that the tap deselects by default."""
    (rules,) = re.findall(r"_select '(.*)'$", README, re.MULTILINE)
    deselected = [f"!{stream.name}.*" for stream in ALL_STREAMS if not stream.selected_by_default]

    assert json.loads(rules) == ["*.*", *deselected]


def test_the_costs_are_those_of_the_default_streams() -> None:
    """README's numbers of calls follow from seven exports and four lists, rounded up."""
    exported, lists = (
        [stream for stream in streams if stream.selected_by_default]
        for streams in (STREAMS, LIST_STREAMS)
    )
    text = " ".join(README.split())

    assert (len(exported), len(lists)) == (7, 4)
    assert "at most 16 calls for the seven default exports, 30 if" in text
    assert "at least four for the lists" in text
    nightly = [31 * (calls + len(lists)) for calls in (16, 30)]
    hourly = [24 * calls for calls in nightly]
    assert "nightly one takes {:,} to {:,}.".format(*nightly) in text
    assert "hourly sync takes {:,} to {:,} calls in 31 days".format(*hourly) in text
    for plan, quota in (("Business", 100_000), ("Organization", 300_000)):
        low, high = (math.ceil(100 * calls / quota) for calls in hourly)
        assert f"{low} to {high}% of {plan}'s {quota:,}" in text


# docs/troubleshooting.md

# The heading that says what to do about each error class.
REMEDIES: dict[type[BaseException], str] = {
    errors.SettingsError: "settings-state-and-catalog",
    errors.AccountError: "401-and-403",
    errors.UnauthorizedError: "401-and-403",
    errors.RequestError: "undocumented-responses",
    errors.NotFoundError: "400-and-404",
    errors.FieldsRejectedError: "400-and-404",
    errors.ExportFileError: "header-and-cells",
    errors.StorageError: "disk",
    errors.TransientError: "5xx-timeouts-and-broken-connections",
    errors.RateLimitError: "429",
    errors.LinkExpiredError: "downloads",
    errors.ExportFailedError: "exports-that-fail-or-time-out",
    errors.ExportTimeoutError: "exports-that-fail-or-time-out",
    errors.OutputError: "output",
    errors.Interruption: "output",
}


def test_every_kind_of_error_has_a_remedy() -> None:
    """Each error class except the base has a section in docs/troubleshooting.md."""
    kinds = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__ and issubclass(kind, BaseException)
    }

    assert set(REMEDIES) == kinds - {errors.StreamError}
    assert set(REMEDIES.values()) <= anchors(ROOT / "docs" / "troubleshooting.md")


# All documents


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file or a heading has a target."""
    text = re.sub(r"(?ms)^```.*?^```", "", path.read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(path: Path) -> set[str]:
    """Return GitHub's anchors of a file's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(path: Path) -> None:
    """Every `make` target and `python -m` module that a document names exists."""
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))

    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    for module in re.findall(r"python -m ((?:dev|tap_voucherify)[\w.]*)", text):
        folder = ROOT.joinpath(*module.split("."))
        assert (folder / "__main__.py").exists() or folder.with_suffix(".py").exists(), module


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if ".github" not in path.parts], ids=lambda path: path.name
)
def test_commands_are_run(path: Path) -> None:
    """Tests run the shell blocks of each document."""
    name = path.relative_to(ROOT).as_posix()
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))

    assert "sh" not in languages(path) or f'blocks("{name}", "sh")' in tests
    assert not languages(path) & {"bash", "console", "shell", ""}


def languages(path: Path) -> set[str]:
    """Return the languages of a document's code blocks."""
    return set(re.findall(r"(?m)^```(\w*)\n(?s:.*?)^```", path.read_text(encoding="utf-8")))


def test_the_makefile_builds_the_models_as_their_page_does() -> None:
    """The Makefile contains the command of the dbt example's page."""
    (command,) = blocks("examples/dbt/README.md", "sh")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert command.strip() in " ".join(makefile.replace("\\\n", "").split())


def test_benchmarks_have_the_options_of_their_page() -> None:
    """The benchmarks have the options on their page, where running them would take hours."""
    (commands,) = blocks("docs/benchmarks.md", "sh")
    for command in commands.splitlines()[1:]:
        _, _, module, *options = shlex.split(command, comments=True)
        shown = subprocess.check_output(
            (sys.executable, "-m", module, "--help"), cwd=ROOT, encoding="utf-8"
        )
        assert not [name for name in options if name.startswith("-") and name not in shown]


def test_contributing_shows_the_stream_that_is_tested() -> None:
    """The example stream in CONTRIBUTING.md is the one that is tested."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (declaration,) = re.findall(r"(?ms)^class OrderTotals.*?^    \)\n", text)

    assert declaration in test_extra_stream.MODULE
