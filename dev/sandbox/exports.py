"""The life of an export: created, scheduled, done, listed, deleted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .csv_files import compress, render
from .errors import export_not_found, invalid_export_fields, invalid_payload, not_one_of
from .filters import check
from .instants import DAY_MS, to_text
from .objects import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .behaviour import Behaviour
    from .credentials import Credentials
    from .dataset import Dataset

_LIST_LIMIT = 100
_LIST_ORDERS = ("created_at", "-created_at", "status", "-status")


@dataclass
class Export:
    """One export.

    Attributes:
        id: Its id.
        exported_object: What it exports.
        parameters: The requested parameters.
        created: When it was created, in Unix seconds.
        clock: Unix time in seconds.
        latency_seconds: Seconds until it is done.
        deleted: Whether it was deleted, or has vanished by a fault.
        forced_status: A status that replaces the true one, by a fault.
    """

    id: str
    exported_object: str
    parameters: Mapping[str, Any]
    created: float
    clock: Callable[[], float] = field(repr=False)
    latency_seconds: float = 0.0
    deleted: bool = False
    forced_status: str | None = None
    paths: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def created_at(self) -> str:
        """Creation time, in the format of the API."""
        return to_text(round(self.created * 1000))

    @property
    def status(self) -> str:
        """Voucherify docs: `SCHEDULED`, `IN_PROGRESS`, `DONE` or `ERROR`."""
        if self.forced_status is not None:
            return self.forced_status
        age = self.clock() - self.created
        if age >= self.latency_seconds:
            return "DONE"
        return "SCHEDULED" if age < self.latency_seconds / 2 else "IN_PROGRESS"


class Exports:
    """All exports of a project."""

    def __init__(
        self,
        dataset: Dataset,
        credentials: Credentials,
        clock: Callable[[], float],
        directory: Path,
    ) -> None:
        """Start with no exports.

        Args:
            dataset: The data to export.
            credentials: Issues download tokens.
            clock: Unix time in seconds.
            directory: The directory for files.
        """
        self.download_url = ""
        self.created: list[Export] = []
        self._dataset = dataset
        self._credentials = credentials
        self._clock = clock
        self._directory = directory
        self._renderings: dict[str, tuple[tuple[Path, ...], asyncio.Task[None]]] = {}

    def create(self, body: bytes, behaviour: Behaviour) -> Export:
        """Create an export of the data as it is now.

        Voucherify docs: Exports API, Create Export.

        Raises:
            ApiError: If the request is not as documented.
        """
        name, parameters = _checked(body)
        behaviour = replace(behaviour)
        export = Export(
            id=self._credentials.identifier("exp_"),
            exported_object=name,
            parameters=parameters,
            created=self._clock(),
            clock=self._clock,
        )
        latency = behaviour.latency_seconds
        export.latency_seconds = latency(export) if callable(latency) else latency
        export.paths = self._render(export, behaviour)
        self.created.append(export)
        return export

    def find(self, export_id: str) -> Export | None:
        """Return an export that exists, or None."""
        found = (e for e in self.created if e.id == export_id and not e.deleted)
        return next(found, None)

    def get(self, export_id: str) -> Export:
        """Return an export.

        Raises:
            ApiError: If it does not exist.
        """
        export = self.find(export_id)
        if export is None:
            export_not_found(export_id)
        return export

    def delete(self, export_id: str) -> None:
        """Delete an export. Voucherify docs: Exports API, Delete Export.

        Raises:
            ApiError: If it does not exist.
        """
        self.get(export_id).deleted = True

    def list_page(self, query: Mapping[str, str], behaviour: Behaviour) -> dict[str, Any]:
        """Return a page of exports. Voucherify docs: Exports API, List Exports.

        Raises:
            ApiError: If the query is not as documented.
        """
        limit, page = (_whole_number(query, name) for name in ("limit", "page"))
        order = query.get("order", "-created_at")
        if order not in _LIST_ORDERS:
            not_one_of(".order", _LIST_ORDERS)
        alive = [export for export in self.created if not export.deleted]
        key = order.lstrip("-")
        alive.sort(key=lambda export: str(getattr(export, key)))
        if order != key:
            alive.reverse()
        # Voucherify docs: "If no limit is set, it returns 10 items."
        size, skipped = limit or 10, (limit or 10) * ((page or 1) - 1)
        shown = alive[skipped : skipped + size]
        return {
            "object": "list",
            "data_ref": "exports",
            "exports": [self.describe(export, behaviour) for export in shown],
            "total": len(alive),
        }

    def describe(
        self,
        export: Export,
        behaviour: Behaviour,
        status: str | None = None,
    ) -> dict[str, Any]:
        """Return an export in the format of the API, with fresh download tokens when it is done."""
        status = status or export.status
        echoed = {
            behaviour.filters_echo if name == "filters" else name: value
            for name, value in export.parameters.items()
        }
        return {
            "id": export.id,
            "object": "export",
            "created_at": export.created_at,
            "status": status,
            "channel": "API",
            "exported_object": export.exported_object,
            "parameters": echoed,
            "result": self._result(export, behaviour) if status == "DONE" else None,
            "user_id": None,
        }

    async def file(self, export: Export, part: int, *, compressed: bool) -> Path:
        """Wait until a file of an export is written, and return its path."""
        rendering = next(task for paths, task in self._renderings.values() if paths == export.paths)
        await rendering
        path = export.paths[part]
        return await asyncio.to_thread(compress, path) if compressed else path

    def _result(self, export: Export, behaviour: Behaviour) -> dict[str, Any]:
        urls = [
            f"{self.download_url}/v1/exports/{export.id}?token="
            + self._credentials.issue_download_token(export.id, part, behaviour.token_seconds)
            for part in range(len(export.paths))
        ]
        if behaviour.result_shape == "url":
            return {"url": urls if len(urls) > 1 else urls[0]}
        if behaviour.result_shape == "urls":
            return {"urls": urls}
        return {"chunks": [{"location": url} for url in urls]}

    def _render(self, export: Export, behaviour: Behaviour) -> tuple[Path, ...]:
        """Start writing the files of an export, or reuse those of an equal one.

        Equal exports of unchanged data share their files, so that a repeated benchmark does not
        measure this server.
        """
        table = self._dataset.snapshot(export.exported_object)
        today_ms = int(self._clock() * 1000) // DAY_MS * DAY_MS
        key = repr((table.name, table.version, export.parameters, today_ms, behaviour))
        if key not in self._renderings:
            stem = f"{len(self._renderings)}"
            paths = tuple(self._directory / f"{stem}-{n}.csv" for n in range(behaviour.files))
            writing = asyncio.to_thread(
                render,
                table,
                export.parameters,
                behaviour,
                today_ms,
                paths,
            )
            self._renderings[key] = paths, asyncio.ensure_future(writing)
        return self._renderings[key][0]


def _checked(body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the exported object and the parameters of a request.

    Raises:
        ApiError: If they are not as documented.
    """
    try:
        request = json.loads(body)
    except ValueError:
        invalid_payload("Malformed JSON")
    if not isinstance(request, dict):
        invalid_payload("Payload should be object")
    declared = OBJECTS.get(str(request.get("exported_object")))
    if declared is None:
        not_one_of(".exported_object", tuple(OBJECTS))
    parameters = request.get("parameters", {})
    if not isinstance(parameters, dict):
        invalid_payload("Property .parameters should be object")
    fields = parameters.get("fields", [])
    if not isinstance(fields, list):
        invalid_payload("Property .parameters.fields should be array")
    if any(name not in declared.fields for name in fields):
        invalid_export_fields(declared.fields)
    orders = tuple(sign + name for name in declared.orders for sign in ("-", ""))
    if "order" in parameters and parameters["order"] not in orders:
        not_one_of(".parameters.order", orders)
    check(parameters.get("filters", {}), declared)
    if not isinstance(parameters.get("campaign_id", ""), str):
        invalid_payload("Property .parameters.campaign_id should be string")
    return declared.name, parameters


def _whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Return a number of the query. Voucherify docs: `limit` and `page` go from 1 to 100.

    Raises:
        ApiError: If it is not such a number.
    """
    if name not in query:
        return None
    text = query[name]
    if not text.isdecimal() or not 1 <= int(text) <= _LIST_LIMIT:
        invalid_payload(f"Property .{name} should be a number from 1 to {_LIST_LIMIT}")
    return int(text)
