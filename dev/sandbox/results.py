"""The property `result` of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .behaviour import Behaviour


def result_of(links: Sequence[str], behaviour: Behaviour) -> dict[str, Any]:
    """Return the result of an export whose files have these links."""
    result: dict[str, Any]
    if behaviour.result_shape == "url":
        result = {"url": list(links) if len(links) > 1 else links[0]}
    elif behaviour.result_shape == "urls":
        result = {"urls": list(links)}
    else:
        result = {"chunks": [{"location": link} for link in links]}
    if behaviour.extra_result == "harmless":
        result |= {"format": "CSV", "size": 1234, "checksum": {"algorithm": "md5", "value": "00"}}
    elif behaviour.extra_result == "link":
        result |= {"next": {"page": 2, "location": links[0]}}
    elif behaviour.extra_result == "list":
        result |= {"parts": ["part-1.csv", "part-2.csv"]}
    return result
