"""Questions about titles, columns and metadata."""

from __future__ import annotations

import typing as t

from tap_voucherify.columns import METADATA
from tap_voucherify.files.header import METADATA_PREFIX
from tap_voucherify.survey.evidence import described, grouped
from tap_voucherify.survey.probes import KEY, PLAIN, UNDOCUMENTED_FIELD

if t.TYPE_CHECKING:
    from tap_voucherify.survey.evidence import Evidence, Sample


def titles(evidence: Evidence) -> str:
    """Which titles do columns have?

    Matches by position and by title, and verifies. If that is ambiguous, it learns the titles from
    at most seven exports of an empty range with different fields.
    """
    known = [is_known for sample in evidence.samples for *_, is_known in sample.titles]
    return f"{len(known)} titles, of which the tap knows {sum(known)}: see the table of titles"


def titles_of(sample: Sample) -> str:
    """Return the titles of an object, for the table of titles."""
    shown = []
    for title, field, is_known in sample.titles:
        name = f"{title} = `{field}`" if field else title
        shown.append(name if is_known else f"**{name}**")
    hidden = len(sample.header) - len(sample.titles) - len(sample.layout.others)
    if hidden > 0:
        shown.append(f"{hidden} titles not shown, since they may be metadata keys or cells")
    if sample.layout.others:
        shown.append(f"{len(sample.layout.others)} metadata columns")
    return ", ".join(shown) or sample.full.error or "no header"


def column_order(evidence: Evidence) -> str:
    """In what order are columns exported?

    Requests them in its own order, and accepts any order.
    """
    return grouped((each.name, each.layout.order) for each in evidence.samples if each.header)


def missing_columns(evidence: Evidence) -> str:
    """Which columns or fields are missing?

    Leaves out the fields that Voucherify rejects, and emits null for missing columns, with a
    warning; without a key the stream fails.
    """
    parts = []
    for sample in evidence.samples:
        missing = len(sample.columns) - len(sample.titles)
        if sample.titles and missing > 0:
            fields = {field for _, field, _ in sample.titles}
            unseen = [each.api_field for each in sample.columns if each.api_field not in fields]
            named = f" ({', '.join(unseen)})" if len(unseen) == missing else ""
            parts.append(f"{sample.name} lacks {missing} of the requested columns{named}")
        undocumented = {METADATA, UNDOCUMENTED_FIELD.get(sample.name)}
        if rejected := sorted(set(sample.full.rejected) - undocumented):
            parts.append(f"{sample.name} rejects {', '.join(rejected)}")
    return "; ".join(parts) or "no documented column is missing"


def metadata_columns(evidence: Evidence) -> str:
    """Where are metadata columns, and how are they titled?

    Requests them last, and accepts both `season` and `metadata.season`; omits them if Voucherify
    rejects them.
    """
    places, details, metadata = [], [], []
    collisions, is_sorted = 0, True
    for sample in evidence.samples:
        if METADATA in sample.full.rejected:
            places.append((sample.name, "the field `metadata` is rejected"))
        elif sample.has_metadata and sample.header:
            places.append((sample.name, sample.layout.metadata))
        if others := sample.layout.others:
            columns = f"columns {others[0] + 1} to {others[-1] + 1} of {len(sample.header)}"
            details.append(f"{sample.name} {len(others)} ({columns})")
        metadata += sample.metadata_titles
        is_sorted &= sample.metadata_titles == sorted(sample.metadata_titles)
        collisions += sum(key in sample.standard_titles for key in sample.metadata_keys)
    if metadata:
        is_prefixed = all(title.startswith(METADATA_PREFIX) for title in metadata)
        details.append(f"titled by {'`metadata.` and the key' if is_prefixed else 'the plain key'}")
        details.append(f"{'' if is_sorted else 'not '}in alphabetical order")
        details.append(f"{collisions} titled like a standard column")
    return "; ".join([grouped(places), *details])


def defined_metadata(evidence: Evidence) -> str:
    """Are metadata keys exported that no schema defines?

    Emits whatever metadata columns there are.
    """
    if evidence.schemas_error:
        return f"metadata schemas cannot be read: {evidence.schemas_error}"
    parts = []
    for sample in evidence.samples:
        defined, keys = evidence.schemas.get(sample.name, {}), sample.metadata_keys
        if keys or defined:
            exported = sum(key in defined for key in keys)
            parts.append(
                f"{sample.name}: {exported} of {len(defined)} defined keys, and "
                f"{len(keys) - exported} that no schema defines"
            )
    return "; ".join(parts) or "no metadata"


def single_key(evidence: Evidence) -> str:
    """How is the field `metadata.X` exported?

    Does not request it.
    """
    probe = next(evidence.of_role(KEY), None)
    if probe is None:
        return "not asked: no export has a metadata column"
    if probe.error:
        return probe.error
    width = len(probe.header)
    forms = {probe.metadata_key: "`X`", f"{METADATA_PREFIX}{probe.metadata_key}": "`metadata.X`"}
    for position, title in enumerate(probe.header, 1):
        if title in forms:
            place = f"column {position} of {width}, requested as the second of 3"
            return f"titled {forms[title]}; {place} ({probe.exported_object})"
    if not width:
        return "not asked: no export has rows to ask with, and without rows there is no header"
    return f"a header of {width} columns, none of them titled by the key"


def metadata_values(evidence: Evidence) -> str:
    """How are metadata values written?

    Emits them as text, or by their schema's type with `typed_metadata`.
    """
    forms = []
    for sample in evidence.samples:
        for key in dict.fromkeys(sample.metadata_keys):
            schema = evidence.schemas.get(sample.name, {}).get(key, {})
            kind = schema.get("title") or next(iter(schema.get("type", ())), "no schema")
            forms.append((kind, sample.forms[f"{METADATA_PREFIX}{key}"]))
    return described(forms)


def empty_range(evidence: Evidence) -> str:
    """What does an export without rows look like?

    Accepts a header alone; compares a file of 0 bytes with an export of an empty range, once per
    run.
    """
    answers = []
    full_rows = {sample.full: sample.rows for sample in evidence.samples}
    for probe in evidence.downloaded:
        is_plain = probe.role == PLAIN and probe.is_of_nothing
        if not is_plain and full_rows.get(probe, 1):
            continue
        answer = "a header alone" if probe.header else "0 bytes"
        if is_plain and probe.header and (rows := sum(map(bool, probe.rows()))):
            answer = f"{rows} rows, although nothing can be in the range"
        answers.append((probe.exported_object, answer))
    return grouped(answers) or "no export"
