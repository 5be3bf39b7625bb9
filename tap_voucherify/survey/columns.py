"""Questions about columns, metadata and cells."""

from __future__ import annotations

import typing as t
from collections import Counter, defaultdict

from tap_voucherify.columns import METADATA, ColumnType
from tap_voucherify.files.header import METADATA_PREFIX
from tap_voucherify.survey.evidence import grouped
from tap_voucherify.survey.probes import FULL, KEY, PLAIN, UNDOCUMENTED_FIELD
from tap_voucherify.survey.sample import column_cells, header_of

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_voucherify.survey.evidence import Evidence
    from tap_voucherify.survey.sample import Sample

# Fields without a description or an example in the reference.
_UNDOCUMENTED_TYPES = {"is_winner", "price", "attributes", "request_duration"}
_NO_EXPORT = "no export"


def titles(evidence: Evidence) -> str:
    """Return how many titles the tap does not know."""
    shown = [
        sample.is_known(title, field)
        for sample in evidence.samples
        for title, field in sample.titles
    ]
    return f"{len(shown)} titles, of which the tap knows {sum(shown)}: see the table of titles"


def column_order(evidence: Evidence) -> str:
    """Return in which order columns come."""
    return grouped((each.name, each.layout.order) for each in evidence.samples if each.header)


def missing_columns(evidence: Evidence) -> str:
    """Return which requested columns do not come, and which fields are rejected."""
    parts = []
    for sample in evidence.samples:
        missing = len(sample.columns) - len(sample.titles)
        if sample.titles and missing > 0:
            fields = {field for _, field in sample.titles}
            unseen = [each.api_field for each in sample.columns if each.api_field not in fields]
            named = f" ({', '.join(unseen)})" if len(unseen) == missing else ""
            parts.append(f"{sample.name} lacks {missing} of the requested columns{named}")
        rejected = set(sample.full.rejected) - {METADATA, UNDOCUMENTED_FIELD.get(sample.name)}
        if rejected:
            parts.append(f"{sample.name} rejects {', '.join(sorted(map(str, rejected)))}")
    return "; ".join(parts) or "every documented column comes"


def undocumented_status(evidence: Evidence) -> str:
    """Return whether voucher transactions have a status."""
    return grouped(
        (probe.exported_object, "rejected" if field in probe.rejected else "accepted")
        for probe in evidence.of_role(FULL)
        for name, field in UNDOCUMENTED_FIELD.items()
        if name == probe.exported_object and (probe.files or field in probe.rejected)
    )


def undocumented_objects(evidence: Evidence) -> str:
    """Return what became of the exports that the reference does not have."""
    return grouped(
        (probe.exported_object, probe.error or "exported")
        for probe in evidence.of_role(FULL)
        if probe.exported_object in {"product", "sku", "api_log"}
    )


def metadata_columns(evidence: Evidence) -> str:
    """Return where metadata columns come, how many and in which form; no key is shown."""
    parts = []
    for sample in evidence.samples:
        if METADATA in sample.full.rejected:
            parts.append((sample.name, "the field `metadata` is rejected"))
        elif sample.has_metadata and sample.header:
            parts.append((sample.name, sample.layout.metadata))
    with_keys = [sample for sample in evidence.samples if sample.layout.others]
    details = [f"{each.name} {_positions(each)}" for each in with_keys]
    found = [title for sample in with_keys for title in sample.metadata_titles]
    if found:
        is_prefixed = all(title.startswith(METADATA_PREFIX) for title in found)
        details.append(f"titled by {'`metadata.` and the key' if is_prefixed else 'the plain key'}")
        details.append(f"in {'alphabetical' if _is_sorted(with_keys) else 'no alphabetical'} order")
        details.append(f"{sum(map(_collisions, with_keys))} titled like a standard column")
    return "; ".join([grouped(parts), *details])


def _positions(sample: Sample) -> str:
    first, last = sample.layout.others[0] + 1, sample.layout.others[-1] + 1
    return f"{len(sample.layout.others)} (columns {first} to {last} of {len(sample.header)})"


def _is_sorted(samples: Iterable[Sample]) -> bool:
    return all(each.metadata_titles == sorted(each.metadata_titles) for each in samples)


def _collisions(sample: Sample) -> int:
    return sum(key in sample.standard_titles for key in sample.metadata_keys)


def defined_metadata(evidence: Evidence) -> str:
    """Return how many metadata columns a metadata schema defines."""
    if evidence.schemas_error:
        return f"metadata schemas cannot be read: {evidence.schemas_error}"
    parts = []
    for sample in evidence.samples:
        defined = evidence.schemas.get(sample.name, {})
        keys = sample.metadata_keys
        if keys or defined:
            exported = sum(key in defined for key in keys)
            parts.append(
                f"{sample.name}: {exported} of {len(defined)} defined keys, and "
                f"{len(keys) - exported} that no schema defines"
            )
    return "; ".join(parts) or "no metadata"


def single_key(evidence: Evidence) -> str:
    """Return what the field `metadata.X` becomes."""
    probe = next(evidence.of_role(KEY), None)
    if probe is None:
        return "not asked: no export has a metadata column"
    field = next(name for name in probe.fields if name.startswith(METADATA_PREFIX))
    key = field.removeprefix(METADATA_PREFIX)
    if probe.error:
        return probe.error
    header = header_of(probe)
    forms = {key: "`X`", field: "`metadata.X`"}
    for position, title in enumerate(header):
        if title in forms:
            place = f"column {position + 1} of {len(header)}, requested as the second of 3"
            return f"titled {forms[title]}; {place} ({probe.exported_object})"
    if not header:
        return "not asked: no export has rows to ask with, and without rows there is no header"
    return f"a header of {len(header)} columns, none of them titled by the key"


def metadata_values(evidence: Evidence) -> str:
    """Return the forms of metadata values by the type of their keys."""
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in evidence.samples:
        for key, seen in sample.metadata_forms.items():
            schema = evidence.schemas.get(sample.name, {}).get(key, {})
            kind = schema.get("title") or next(iter(schema.get("type", ())), "no schema")
            forms[kind] += seen
    return _described(forms)


def cell_forms(evidence: Evidence) -> str:
    """Return the forms of cells by the type of their columns."""
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in evidence.samples:
        for column in sample.columns:
            if column.type is not ColumnType.TEXT:
                forms[column.type.name.lower()] += sample.forms[column.api_field]
    return _described(forms)


def undocumented_types(evidence: Evidence) -> str:
    """Return the forms of cells of fields whose type is not documented."""
    forms = {
        f"{sample.name} `{name}`": sample.forms[name]
        for sample in evidence.samples
        for name in sorted(_UNDOCUMENTED_TYPES & sample.forms.keys())
    }
    return _described(forms)


def _described(forms: t.Mapping[str, Counter[str]]) -> str:
    return (
        "; ".join(
            f"{name}: {', '.join(_most_common(seen))}"
            for name, seen in sorted(forms.items())
            if seen
        )
        or "no cells seen"
    )


def _most_common(seen: Counter[str]) -> Iterator[str]:
    names = [name for name, _ in seen.most_common() if name != "empty"]
    yield from names or ["empty cells only"]


def empty_range(evidence: Evidence) -> str:
    """Return what the file of an export without rows is."""
    answers = []
    for probe in evidence.downloaded:
        is_full = probe.role == FULL
        rows = next((each.rows for each in evidence.samples if is_full and each.full is probe), 0)
        if not is_full and not (probe.role == PLAIN and probe.is_of_nothing):
            continue
        if not header_of(probe):
            answers.append((probe.exported_object, "0 bytes"))
        elif not is_full:
            rows = len(column_cells(probe, 0))
            note = f"{rows} rows, although nothing can be in the range"
            answers.append((probe.exported_object, note if rows else "a header alone"))
        elif not rows:
            answers.append((probe.exported_object, "a header alone"))
    return grouped(answers) or _NO_EXPORT


def header_positions(sample: Sample) -> str:
    """Describe the titles of an object for the table of titles."""
    shown = []
    for title, field in sample.titles:
        name = f"{title} = `{field}`" if field else title
        shown.append(name if sample.is_known(title, field) else f"**{name}**")
    hidden = len(sample.header) - len(sample.titles) - len(sample.layout.others)
    if hidden > 0:
        shown.append(f"{hidden} titles not shown, since they may be metadata keys or cells")
    if sample.layout.others:
        shown.append(f"{len(sample.layout.others)} metadata columns")
    return ", ".join(shown) or sample.full.error or "no header"
