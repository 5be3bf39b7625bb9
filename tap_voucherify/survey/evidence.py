"""Everything that a survey has seen, for its questions."""

from __future__ import annotations

import typing as t
from collections import defaultdict
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from urllib.parse import SplitResult

    from tap_voucherify.survey.probes import Probe
    from tap_voucherify.survey.sample import Sample
    from tap_voucherify.windows import Window


@dataclass
class Evidence:
    """What the exports of a survey returned.

    Attributes:
        window: The range of creation times whose rows were exported.
        api_url: URL of the API.
        probes: All exports.
        samples: The exports of all columns, by object.
        schemas: JSON schemas of the metadata keys, by object and key.
        schemas_error: Why there are none.
        responses: The label of each call with the headers of its response.
        now: The present, in seconds since 1970.
        list_error: Why exports cannot be listed.
    """

    window: Window
    api_url: SplitResult
    probes: Sequence[Probe] = ()
    samples: Sequence[Sample] = ()
    schemas: Mapping[str, Mapping[str, Mapping[str, t.Any]]] = field(default_factory=dict)
    schemas_error: str = ""
    responses: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    now: float = 0.0
    list_error: str = ""

    def of_role(self, role: str) -> Iterator[Probe]:
        """Yield the exports that were made for this."""
        return (probe for probe in self.probes if probe.role == role)

    @property
    def downloaded(self) -> list[Probe]:
        """The exports that have files."""
        return [probe for probe in self.probes if probe.files]


def grouped(pairs: Iterable[tuple[str, str]]) -> str:
    """Write pairs of name and answer, once for each answer."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, answer in pairs:
        if name not in names[answer]:
            names[answer].append(name)
    return "; ".join(f"{answer} ({', '.join(each)})" for answer, each in names.items())
