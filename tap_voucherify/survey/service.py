"""Questions about calls, results and files."""

from __future__ import annotations

import typing as t
from collections import Counter
from urllib.parse import parse_qsl, urlsplit

from tap_voucherify.exports.request import size_of
from tap_voucherify.survey.cells import file_form, json_form
from tap_voucherify.survey.evidence import grouped
from tap_voucherify.survey.probes import JSON, WINDOW

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_voucherify.survey.evidence import Evidence

_LIMIT = "X-Rate-Limit-"
_MAX_JSON_BYTES = 1 << 24
_MILLISECONDS_FROM = 1e11
_MAX_SHOWN_CHARACTERS = 60
_MAX_DIGITS = 15
# Names in the hosts of all accounts; another may be a customer's.
_HOST_NAMES = {"api", "download", "us1", "as1", "eu1", "voucherify", "io"}


def response_format(evidence: Evidence) -> str:
    """Return what becomes of `response_format: JSON`."""
    probe = next(evidence.of_role(JSON), None)
    if probe is None or not (probe.files or probe.error):
        return "not asked"
    if probe.error:
        return probe.error
    file = probe.files[0]
    file.seek(0)
    form = json_form(file.read(_MAX_JSON_BYTES))
    echo = probe.echoes["create"]
    echoed = echo.get("response_format", "nothing") if isinstance(echo, dict) else "nothing"
    return f"{form or 'ignored: the file is CSV'}; echoed: {str(echoed)[:20]}"


def result_shape(evidence: Evidence) -> str:
    """Return the shape of `result`, and what its links look like."""
    shapes = [
        (probe.exported_object, shape(probe.result, evidence.api_url.hostname or ""))
        for probe in evidence.probes
        if probe.result is not None
    ]
    return grouped(shapes) or "no export has a result"


def shape(value: object, api_host: str) -> str:
    """Return the shape of a JSON value, links with their kind of host and names of parameters."""
    if isinstance(value, dict):
        members = [f"{name}: {shape(each, api_host)}" for name, each in value.items()]
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        kinds = dict.fromkeys(shape(each, api_host) for each in value)
        return f"[{len(value)} x {' or '.join(kinds)}]"
    if isinstance(value, str):
        return _link(value, api_host) if "://" in value else "text"
    return "null" if value is None else type(value).__name__


def _link(url: str, api_host: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "link"
    place = "the API's host" if host == api_host else "another host"
    if set(host.split(".")) <= _HOST_NAMES:
        place = f"`{host}`"
    names = "&".join(name for name, _ in parse_qsl(parts.query))
    return f"link to {place}, parameters {names or 'none'}"


def splits(evidence: Evidence) -> str:
    """Return how many files exports have."""
    return grouped(
        (probe.exported_object, "one file" if probe.links == 1 else f"{probe.links} files")
        for probe in evidence.probes
        if probe.links
    )


def echoes(evidence: Evidence) -> str:
    """Return how parameters are echoed, by the response to a creation and by the list."""
    answer = grouped(
        (source, differences(probe.parameters, echo))
        for probe in evidence.probes
        for source, echo in probe.echoes.items()
    )
    if evidence.list_error:
        answer = f"{answer}; exports cannot be listed: {evidence.list_error}".lstrip("; ")
    return answer or "nothing is echoed"


def differences(requested: Mapping[str, t.Any], echoed: object) -> str:
    """Compare the parameters of a request with their echo."""
    if not isinstance(echoed, dict):
        return "no parameters"
    parts = []
    for name, value in requested.items():
        names = [each for each in (name, name.rstrip("s")) if each in echoed]
        if not names:
            parts.append(f"without `{name}`")
        elif names[0] != name:
            parts.append(f"`{name}` as `{names[0]}`")
        elif echoed[name] != value:
            parts.append(f"another `{name}`")
    known = {*requested, *(name.rstrip("s") for name in requested)}
    parts += [f"with `{name}`" for name in echoed if name not in known]
    return ", ".join(parts) or "as requested"


def listing(evidence: Evidence) -> str:
    """Return which objects the list of exports lacks."""
    listed = {probe.exported_object for probe in evidence.probes if "list" in probe.echoes}
    others = {probe.exported_object for probe in evidence.probes if probe.files} - listed
    if evidence.list_error:
        return evidence.list_error
    return f"not listed: {', '.join(sorted(others))}" if others else "all exports are listed"


def file_forms(evidence: Evidence) -> str:
    """Return the form of the files: quoting, line ends, byte order mark, encoding."""
    forms = [
        file_form(probe.files[0])
        for probe in evidence.downloaded
        if probe.role not in {JSON, WINDOW} and size_of(probe.files[0])
    ]
    if not forms:
        return "no file"
    return "; ".join(
        f"{name}: {_values(values)}"
        for name, values in (
            ("byte order mark", ("yes" if form.mark else "no" for form in forms)),
            ("line ends", (end for form in forms for end in form.line_ends)),
            ("quoted", (form.quoting for form in forms)),
            ("quotes in cells", (form.escaping for form in forms)),
            ("encoding", (form.encoding for form in forms)),
            ("last line ends with", (form.ending for form in forms)),
        )
    )


def _values(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values))) or "none seen"


def framing(evidence: Evidence) -> str:
    """Return how the end of a download is signalled."""
    seen = [_framing(headers) for label, headers in evidence.responses if label == "download"]
    return "; ".join(dict.fromkeys(seen)) or "no download"


def _framing(headers: Mapping[str, str]) -> str:
    parts = [f"`{name}`" for name in ("Content-Length", "Transfer-Encoding") if name in headers]
    parts += [
        f"`{name}: {headers[name][:_MAX_SHOWN_CHARACTERS]}`"
        for name in ("Content-Encoding", "Content-Type")
        if name in headers
    ]
    return ", ".join(parts) or "only the end of the connection"


def rate_limit(evidence: Evidence) -> str:
    """Return the headers about the rate limit."""
    calls = [
        (label, {name.title(): value for name, value in headers.items() if _is_limit(name)})
        for label, headers in evidence.responses
    ]
    names = Counter(name for _, headers in calls for name in headers)
    if not names:
        return "no header about a rate limit"
    without = sorted({label for label, headers in calls if not headers})
    parts = [f"`{name}`" for name in sorted(names)]
    latest = next(headers for _, headers in reversed(calls) if headers)
    shown = [
        f"{name} {latest[f'{_LIMIT}{name}'][:20]}"
        for name in ("Limit", "Type")
        if f"{_LIMIT}{name}" in latest
    ]
    reset = _reset(latest.get(f"{_LIMIT}Retry", ""), evidence.now)
    missing = f"not in responses to: {', '.join(without)}" if without else ""
    return "; ".join(filter(None, [", ".join(parts), *shown, reset, missing]))


def _is_limit(name: str) -> bool:
    return name.lower().startswith(_LIMIT.lower()) or name.lower() == "retry-after"


def _reset(text: str, now: float) -> str:
    try:
        value = float(text[:20])
    except ValueError:
        return ""
    unit, seconds = (
        ("milliseconds", value / 1000) if value > _MILLISECONDS_FROM else ("seconds", value)
    )
    return f"Retry: a time in {unit}, {seconds - now:.0f} s ahead"


def counted_downloads(evidence: Evidence) -> str:
    """Return whether downloads count towards the rate limit.

    Between two other calls with downloads in between, the rest falls by one, or by one more for
    each download.
    """
    verdicts: Counter[str] = Counter()
    previous: int | None = None
    downloads = 0
    for label, headers in evidence.responses:
        if label == "download":
            downloads += 1
            continue
        text = next(
            (value for name, value in headers.items() if name.title() == f"{_LIMIT}Remaining"), ""
        )
        left = (
            int(text) if text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS else None
        )
        if downloads and left is not None and previous is not None:
            fall = previous - left
            verdicts[{1: "no", 1 + downloads: "yes"}.get(fall, "unclear")] += 1
        previous, downloads = left, 0
    return ", ".join(f"{each} ({count} times)" for each, count in verdicts.most_common()) or (
        "unclear: no header says how many calls are left"
    )


def durations(evidence: Evidence) -> str:
    """Return how long exports took, as far as looks at them show."""
    waits = [probe.waited for probe in evidence.probes if probe.waited[1]]
    if not waits:
        return "no export was finished"
    least, most = min(waits, key=lambda each: each[1]), max(waits, key=lambda each: each[1])
    late = sum(probe.downloads > 1 for probe in evidence.probes)
    note = f"; {late} file(s) came later than the link" if late else ""
    return (
        f"{len(waits)} exports: the quickest within {least[1]:.1f} s, the slowest after more than "
        f"{most[0]:.1f} s and within {most[1]:.1f} s{note}"
    )
