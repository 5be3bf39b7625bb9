"""The life of an export: created, scheduled, done, listed, deleted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .csv_files import compress, render
from .errors import export_not_found
from .instants import DAY_MS, to_text
from .paging import Page
from .results import result_of
from .validation import parse_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .behaviour import Behaviour
    from .credentials import Credentials
    from .dataset import Dataset

_LIST_ORDERS = ("created_at", "status")


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
        deleted: Whether it was deleted, or removed by a fault.
        forced_status: A status set by a fault, which replaces the true one.
        described: How many times its result was returned.
    """

    id: str
    exported_object: str
    parameters: Mapping[str, Any]
    created: float
    clock: Callable[[], float] = field(repr=False)
    latency_seconds: float = 0.0
    deleted: bool = False
    forced_status: str | None = None
    described: int = 0
    paths: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def created_at(self) -> str:
        """Creation time, in the format of the API."""
        return to_text(round(self.created * 1000))

    @property
    def status(self) -> str:
        """Voucherify docs: `SCHEDULED`, `IN_PROGRESS`, `DONE` or `ERROR`."""
        return self.status_after(self.age)

    @property
    def age(self) -> float:
        """Seconds since its creation."""
        return self.clock() - self.created

    def status_after(self, seconds: float) -> str:
        """Return its status at an age."""
        if self.forced_status is not None:
            return self.forced_status
        if seconds >= self.latency_seconds:
            return "DONE"
        return "SCHEDULED" if seconds < self.latency_seconds / 2 else "IN_PROGRESS"


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
        self._first_filters: dict[str, Mapping[str, Any]] = {}
        self._renderings: dict[str, tuple[tuple[Path, ...], asyncio.Task[None]]] = {}

    def create(self, body: bytes, behaviour: Behaviour) -> Export:
        """Create an export of the data as it is now.

        Voucherify docs: Exports API, Create Export.

        Raises:
            ApiError: If the request is not as documented.
        """
        name, parameters = parse_request(body, behaviour)
        behaviour = replace(behaviour)
        export = Export(
            id=self._credentials.identifier("exp_") + behaviour.forged_text,
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
        matches = (e for e in self.created if e.id == export_id and not e.deleted)
        return next(matches, None)

    def get(self, export_id: str, behaviour: Behaviour) -> Export:
        """Return an export.

        Raises:
            ApiError: If it does not exist, or is not visible yet.
        """
        export = self.find(export_id)
        if export is None or export.age < behaviour.export_delay_seconds:
            export_not_found(export_id)
        return export

    def delete(self, export_id: str, behaviour: Behaviour) -> None:
        """Delete an export. Voucherify docs: Exports API, Delete Export.

        Raises:
            ApiError: If it does not exist.
        """
        self.get(export_id, behaviour).deleted = True

    def list_page(self, query: Mapping[str, str], behaviour: Behaviour) -> dict[str, Any]:
        """Return a page of exports. Voucherify docs: Exports API, List Exports.

        Raises:
            ApiError: If the query is not as documented.
        """
        page = Page.of(query, _LIST_ORDERS, "-created_at")
        listed = [
            export
            for export in self.created
            if not export.deleted
            and export.exported_object not in behaviour.unlisted_objects
            and export.age >= behaviour.export_delay_seconds
        ]
        listed.sort(key=lambda export: str(getattr(export, page.field)))
        if page.descending:
            listed.reverse()
        return {
            "object": "list",
            "data_ref": "exports",
            "exports": [
                self._describe_listed(export, behaviour) for export in listed[page.begin : page.end]
            ],
            "total": len(listed),
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
            if name not in behaviour.echo_omits
        }
        if behaviour.echoes_response_format:
            echoed["response_format"] = "CSV"
        has_result = (
            status == "DONE"
            and export.age >= export.latency_seconds + behaviour.result_delay_seconds
        )
        return {
            "id": export.id,
            "object": "export",
            "created_at": export.created_at,
            "status": status,
            "channel": "API",
            "exported_object": export.exported_object,
            "parameters": echoed,
            "result": self._result(export, behaviour) if has_result else None,
            "user_id": None,
        }

    def _describe_listed(self, export: Export, behaviour: Behaviour) -> dict[str, Any]:
        """Return an export in the format of the list."""
        in_list = replace(
            behaviour,
            filters_echo=behaviour.list_filters_echo or behaviour.filters_echo,
            echo_omits={*behaviour.echo_omits, *behaviour.list_omits},
        )
        status = export.status_after(export.age - behaviour.list_lag_seconds)
        described = self.describe(export, in_list, status)
        return described if behaviour.list_results else {**described, "result": None}

    async def file(
        self, export: Export, part: int, behaviour: Behaviour, *, compressed: bool
    ) -> Path:
        """Wait until a file of an export is written, and return its path.

        Raises:
            ApiError: If the file is not visible yet.
        """
        if export.age < export.latency_seconds + behaviour.file_delay_seconds:
            export_not_found(export.id)
        rendering = next(task for paths, task in self._renderings.values() if paths == export.paths)
        await rendering
        path = export.paths[part]
        return await asyncio.to_thread(compress, path) if compressed else path

    def _result(self, export: Export, behaviour: Behaviour) -> dict[str, Any]:
        """Return `result` with fresh links."""
        export.described += 1
        links = []
        for part in range(len(export.paths)):
            token = self._credentials.issue_download_token(export.id, part, behaviour.token_seconds)
            path = f"/part-{part + 1}" if behaviour.part_links == "path" else ""
            export_path = quote(export.id)
            links.append(f"{self.download_url}/v1/exports/{export_path}{path}?token={token}")
        if behaviour.rotates_links:
            first = export.described % len(links)
            links = links[first:] + links[:first]
        return result_of(links, behaviour)

    def _render(self, export: Export, behaviour: Behaviour) -> tuple[Path, ...]:
        """Start writing the files of an export, or reuse those of an equal one.

        Equal exports of unchanged data share their files, so that a repeated benchmark does not
        measure this server.
        """
        table = self._dataset.snapshot(export.exported_object)
        today_ms = int(self._clock() * 1000) // DAY_MS * DAY_MS
        parameters = self._effective(export, behaviour)
        key = repr((table.name, table.version, parameters, today_ms, behaviour))
        if key not in self._renderings:
            stem = f"{len(self._renderings)}"
            paths = tuple(self._directory / f"{stem}-{n}.csv" for n in range(behaviour.files))
            writing = asyncio.to_thread(
                render,
                table,
                parameters,
                behaviour,
                today_ms,
                paths,
            )
            self._renderings[key] = paths, asyncio.ensure_future(writing)
        return self._renderings[key][0]

    def _effective(self, export: Export, behaviour: Behaviour) -> Mapping[str, Any]:
        """Return the parameters that determine which rows an export has."""
        filters = export.parameters.get("filters") or {}
        if "created_at" in filters:
            first = self._first_filters.setdefault(export.exported_object, filters)
            if behaviour.repeats_first_window:
                return {**export.parameters, "filters": first}
        return export.parameters
