"""The objects that exported records refer to: campaigns, validation rules, promotion tiers."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from .instants import to_text
from .reference_records import ABSENT, WRITERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .project import Project

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class ReferenceList:
    """A list endpoint.

    Attributes:
        name: The name of the list, which is also the endpoint in requests and faults.
        path: The path of the endpoint.
        data_ref: The property that holds the objects.
        scope: The OAuth scope, apart from `api`.
        orders: The properties to order by.
        has_more: Whether responses have the property `has_more`.
    """

    name: str
    path: str
    data_ref: str
    scope: str
    orders: tuple[str, ...]
    has_more: bool = False


_TIMES = ("created_at", "updated_at")
#: Voucherify docs: List Campaigns, List Validation Rules, List Validation Rules' Assignments and
#: List Promotion Tiers.
REFERENCES: Mapping[str, ReferenceList] = {
    declared.name: declared
    for declared in (
        ReferenceList("campaigns", "/v1/campaigns", "campaigns", "campaigns", _TIMES),
        ReferenceList(
            "validation_rules",
            "/v1/validation-rules",
            "data",
            "validation-rules",
            (*_TIMES, "name"),
        ),
        ReferenceList(
            "validation_rules_assignments",
            "/v1/validation-rules-assignments",
            "data",
            "validation-rules-assignments",
            ("created_at",),
        ),
        ReferenceList(
            "promotion_tiers", "/v1/promotions/tiers", "tiers", "promotions", _TIMES, has_more=True
        ),
    )
}


class References:
    """The objects of all list endpoints, which can be created and deleted."""

    def __init__(self, project: Project, start_ms: int, end_ms: int) -> None:
        """Generate the objects.

        Args:
            project: The project, which says how many there are.
            start_ms: Earliest creation time, in milliseconds.
            end_ms: Latest creation time, in milliseconds.
        """
        self._project = project
        self._lock = threading.Lock()
        self._created: dict[str, dict[int, int]] = {}
        self._written: dict[tuple[str, int], Json] = {}
        self._next = dict(project.reference_sizes)
        for name in REFERENCES:
            random = Random(f"{project.seed}:{name}")
            size = project.reference_sizes[name]
            times = sorted(random.randint(start_ms, end_ms) for _ in range(size))
            for position in range(4, size, 5):
                times[position] = times[position - 1]
            self._created[name] = dict(enumerate(times))

    def objects(self, name: str) -> list[Json]:
        """Return the objects of a list, by creation."""
        objects = self._own(name)
        if name == "validation_rules":
            counts = Counter(each["rule_id"] for each in self._own("validation_rules_assignments"))
            return [
                {**each, "assignments_count": counts[each["id"]]} if counts[each["id"]] else each
                for each in objects
            ]
        if name == "promotion_tiers":
            assignments: dict[str, list[Json]] = {}
            for each in self._own("validation_rules_assignments"):
                assignments.setdefault(each["related_object_id"], []).append(each)
            return [
                {**each, "validation_rule_assignments": _listed(assignments.get(each["id"], []))}
                for each in objects
            ]
        return objects

    def create(self, name: str) -> str:
        """Create an object a second after the newest, and return its id."""
        with self._lock:
            number = self._next[name]
            self._next[name] += 1
            created = self._created[name]
            created[number] = max(created.values(), default=0) + 1000
            return str(self._write(name, number)["id"])

    def delete(self, name: str, object_id: str) -> None:
        """Delete an object.

        Raises:
            KeyError: If it does not exist.
        """
        with self._lock:
            numbers = {self._write(name, number)["id"]: number for number in self._created[name]}
            del self._created[name][numbers[object_id]]

    def _own(self, name: str) -> list[Json]:
        """Return the objects of a list by creation, without what depends on other lists."""
        with self._lock:
            created = self._created[name]
            numbers = sorted(created, key=lambda number: (created[number], number))
            return [self._write(name, number) for number in numbers]

    def _write(self, name: str, number: int) -> Json:
        """Return an object in the format of the API, generated once."""
        if (name, number) not in self._written:
            instant = self._created[name][number]
            written = WRITERS[name](self._project, number, instant)
            present = {key: value for key, value in written.items() if value is not ABSENT}
            self._written[name, number] = present | {"created_at": to_text(instant)}
        return self._written[name, number]


def _listed(assignments: list[Json]) -> Json | None:
    """Return the assignments of a promotion tier; None for none, as documented."""
    if not assignments:
        return None
    return {
        "object": "list",
        "data_ref": "data",
        "data": assignments,
        "total": len(assignments),
    }
