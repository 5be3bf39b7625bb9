"""Lists of the objects that exports refer to, which can change while they are read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .paging import Page
from .references import REFERENCES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .behaviour import Behaviour
    from .references import Json, References


class Lists:
    """Pages of the lists."""

    def __init__(self, references: References) -> None:
        """Serve these objects."""
        self._references = references
        self._changes: Counter[str] = Counter()

    def page(self, name: str, query: Mapping[str, str], behaviour: Behaviour) -> dict[str, Any]:
        """Return a page.

        Voucherify docs: a campaign list is newest first by default; unknown for the others. If no
        more objects are available, a page is empty.

        Raises:
            ApiError: If the query is not as documented.
        """
        declared = REFERENCES[name]
        page = Page.of(query, declared.orders, "-created_at")
        objects = self._ordered(name, page)
        if page.begin and self._changes[name] < behaviour.page_change_limit:
            self._changes[name] += behaviour.page_changes != "none"
            if behaviour.page_changes in {"deleted", "replaced"} and objects:
                self._references.delete(name, objects[0]["id"])
            if behaviour.page_changes in {"created", "replaced"}:
                self._references.create(name)
            objects = self._ordered(name, page)
        response: dict[str, Any] = {
            "object": "list",
            "data_ref": declared.data_ref,
            declared.data_ref: objects[page.begin : page.end],
            "total": len(objects),
        }
        if declared.has_more:
            response["has_more"] = page.end < len(objects)
        return response

    def _ordered(self, name: str, page: Page) -> list[Json]:
        """Return all objects in the requested order."""
        objects = self._references.objects(name)
        objects.sort(key=lambda each: str(each.get(page.field, "")))
        return objects[::-1] if page.descending else objects
