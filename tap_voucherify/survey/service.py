"""Questions about calls, results and files."""

from __future__ import annotations

import typing as t
from collections import Counter
from urllib.parse import parse_qsl, urlsplit

from tap_voucherify.api.headers import count, reset_time
from tap_voucherify.exports.request import size_of
from tap_voucherify.survey.cells import file_form, json_form
from tap_voucherify.survey.evidence import grouped
from tap_voucherify.survey.probes import JSON, WINDOW

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.survey.evidence import Evidence

_MAX_JSON_BYTES = 1 << 24
_MAX_SHOWN_CHARACTERS = 60
_LIMIT_HEADERS = ("X-Rate-Limit-", "Retry-After")
# Labels in the host names of all accounts; others may identify a customer.
_HOST_NAMES = {"api", "download", "us1", "as1", "eu1", "voucherify", "io"}


def response_format(evidence: Evidence) -> str:
    """What does `response_format: JSON` do?

    Does not send it, and ignores it in echoes.
    """
    probe = next(evidence.of_role(JSON), None)
    if probe is None or not probe.files:
        return (probe and probe.error) or "not asked"
    probe.files[0].seek(0)
    form = json_form(probe.files[0].read(_MAX_JSON_BYTES))
    echo = probe.echoes["create"]
    echoed = echo.get("response_format", "nothing") if isinstance(echo, dict) else "nothing"
    return f"{form or 'ignored: the file is CSV'}; echoed: {str(echoed)[:20]}"


def result_shape(evidence: Evidence) -> str:
    """What shape does `result` have?

    Reads `url` or `urls`, a link or a list; ignores other properties without links.
    """
    shapes = (
        (probe.exported_object, shape(probe.result, evidence.api_host))
        for probe in evidence.probes
        if probe.result is not None
    )
    return grouped(shapes) or "no export has a result"


def shape(value: object, api_host: str) -> str:
    """Return the shape of a JSON value; links show their kind of host and parameter names."""
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
    """How are very large results split?

    Reads a list of links in order, and moves the bookmark only at the end; rejects any other form.
    """
    return grouped(
        (probe.exported_object, "one file" if probe.links == 1 else f"{probe.links} files")
        for probe in evidence.probes
        if probe.links
    )


def echoes(evidence: Evidence) -> str:
    """How are parameters echoed?

    Compares echoes only to resume exports; treats `filter` as `filters`.
    """
    answer = grouped(
        (source, differences(probe.parameters, echo))
        for probe in evidence.probes
        for source, echo in probe.echoes.items()
    )
    error = evidence.list_error and f"exports cannot be listed: {evidence.list_error}"
    return "; ".join(filter(None, (answer, error))) or "nothing is echoed"


def differences(requested: Mapping[str, t.Any], echoed: object) -> str:
    """Compare the parameters of a request with their echo."""
    if not isinstance(echoed, dict):
        return "no parameters"
    parts, known = [], set()
    for name, value in requested.items():
        singular = name.rstrip("s")
        known |= {name, singular}
        if name in echoed:
            if echoed[name] != value:
                parts.append(f"another `{name}`")
        else:
            parts.append(f"`{name}` as `{singular}`" if singular in echoed else f"without `{name}`")
    parts += [f"with `{name}`" for name in echoed if name not in known]
    return ", ".join(parts) or "as requested"


def listing(evidence: Evidence) -> str:
    """Which exports are in the list of exports?

    Polls an export that the list lacks.
    """
    listed = {probe.exported_object for probe in evidence.probes if "list" in probe.echoes}
    others = {probe.exported_object for probe in evidence.downloaded} - listed
    answer = f"not listed: {', '.join(sorted(others))}" if others else "all exports are listed"
    return evidence.list_error or answer


def file_forms(evidence: Evidence) -> str:
    """What form do files have?

    Reads UTF-8 with or without a byte order mark, CRLF or LF line ends, and doubled quotes.
    """
    forms = [
        file_form(probe.files[0])
        for probe in evidence.downloaded
        if probe.role not in {JSON, WINDOW} and size_of(probe.files[0])
    ]
    parts = []
    for name in forms[0] if forms else ():
        values = dict.fromkeys(value for form in forms for value in form[name])
        parts.append(f"{name}: {', '.join(values) or 'none seen'}")
    return "; ".join(parts) or "no file"


def framing(evidence: Evidence) -> str:
    """How is the end of a file signalled?

    Relies on the length, chunks or the gzip trailer; without any, warns and requires a line break
    at the end.
    """
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
    """Which headers report the rate limit?

    Paces its calls by `X-Rate-Limit-*`, and obeys `Retry-After`.
    """
    calls = []
    for label, headers in evidence.responses:
        named = {name.title(): value for name, value in headers.items()}
        limits = {name: value for name, value in named.items() if name.startswith(_LIMIT_HEADERS)}
        calls.append((label, limits))
    names = sorted({name for _, limits in calls for name in limits})
    if not names:
        return "no header about a rate limit"
    latest = next(limits for _, limits in reversed(calls) if limits)
    without = sorted({label for label, limits in calls if not limits})
    parts = [", ".join(f"`{name}`" for name in names)]
    parts += [
        f"{name} {latest[header][:20]}"
        for name in ("Limit", "Type")
        if (header := f"X-Rate-Limit-{name}") in latest
    ]
    if (reset := reset_time(latest)) is not None:
        unit = "seconds" if reset == float(latest["X-Rate-Limit-Retry"]) else "milliseconds"
        parts.append(f"Retry: a time in {unit}, {reset - evidence.now:.0f} s ahead")
    if without:
        parts.append(f"not in responses to: {', '.join(without)}")
    return "; ".join(parts)


def counted_downloads(evidence: Evidence) -> str:
    """Do downloads count towards the rate limit?

    Counts them.
    """
    # From one other call to the next, the remaining calls fall by one, or by one more for each
    # download in between.
    verdicts: Counter[str] = Counter()
    previous: int | None = None
    downloads = 0
    for label, headers in evidence.responses:
        if label == "download":
            downloads += 1
            continue
        left = count(headers, "X-Rate-Limit-Remaining")
        if downloads and left is not None and previous is not None:
            verdicts[{1: "no", 1 + downloads: "yes"}.get(previous - left, "unclear")] += 1
        previous, downloads = left, 0
    return ", ".join(f"{each} ({times} times)" for each, times in verdicts.most_common()) or (
        "unclear: no header says how many calls are left"
    )


def durations(evidence: Evidence) -> str:
    """How long do exports take?

    Polls again after a third of the time waited so far, up to `export_timeout_seconds`.
    """
    waits = [probe.waited for probe in evidence.probes if probe.waited[1]]
    if not waits:
        return "no export was finished"
    quickest = min(done for _, done in waits)
    still_waiting, slowest = max(waits, key=lambda each: each[1])
    late = sum(probe.downloads > 1 for probe in evidence.probes)
    note = f"; {late} file(s) came later than the link" if late else ""
    return (
        f"{len(waits)} exports: the quickest within {quickest:.1f} s, the slowest after more than "
        f"{still_waiting:.1f} s and within {slowest:.1f} s{note}"
    )
