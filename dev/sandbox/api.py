"""What each request is answered, apart from how the answer gets to the client."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import parse_qsl

from .credentials import RateLimit
from .instants import to_ms, to_text
from .refusals import Refusal, no_such_route, too_many_requests
from .wire import Answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .behaviour import Behaviour
    from .credentials import Credentials
    from .dataset import Dataset
    from .exports import Exports
    from .faults import Kind

Site: TypeAlias = Literal["api", "download"]

#: Voucherify docs: Exports API, OAuth API and Metadata Schemas API.
_ROUTES: tuple[tuple[Site, str, re.Pattern[str], Kind], ...] = (
    ("api", "POST", re.compile(r"/v1/exports"), "create"),
    ("api", "GET", re.compile(r"/v1/exports"), "list"),
    ("api", "GET", re.compile(r"/v1/exports/([^/]+)"), "poll"),
    ("api", "DELETE", re.compile(r"/v1/exports/([^/]+)"), "delete"),
    ("api", "POST", re.compile(r"/v1/oauth/token"), "oauth"),
    ("api", "GET", re.compile(r"/v1/metadata-schemas"), "schemas"),
    ("download", "GET", re.compile(r"/v1/exports/([^/]+)"), "download"),
)


@dataclass
class Request:
    """One request that was made.

    Attributes:
        kind: What it asks for.
        method: The HTTP method.
        path: The path without the query.
        query: The query.
        headers: The headers, by their names in lower case.
        body: The body.
        site: Which of the two sites it was made to.
        at: When, in Unix seconds.
        export_id: The export it is about or has created; empty if there is none.
        status: The status of its answer; None until there is one, and if it never gets one.
    """

    kind: Kind
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    site: Site
    at: float
    export_id: str = ""
    status: int | None = None

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def route(site: Site, method: str, path: str) -> tuple[Kind, str]:
    """Return what a request asks for, and the export that its path names, if it names one."""
    for its_site, its_method, pattern, kind in _ROUTES:
        match = pattern.fullmatch(path)
        if match and (its_site, its_method) == (site, method):
            return kind, "".join(match.groups())
    return "other", ""


class Api:
    """Answers requests."""

    def __init__(
        self,
        dataset: Dataset,
        credentials: Credentials,
        exports: Exports,
        clock: Callable[[], float],
    ) -> None:
        """Answer about this data, for these credentials."""
        self._dataset = dataset
        self._credentials = credentials
        self._exports = exports
        self._rate_limit = RateLimit(clock)
        self._refusals = 0
        self._handlers: Mapping[Kind, Callable[[Request, Behaviour], Awaitable[Answer]]] = {
            "create": self._create,
            "poll": self._poll,
            "list": self._list,
            "download": self._download,
            "delete": self._delete,
            "oauth": self._grant,
            "schemas": self._schemas,
            "other": self._refuse,
        }

    def exported_object(self, request: Request) -> str | None:
        """Return the object of the export that a request is about, if there is one."""
        export = self._exports.find(request.export_id)
        if export is not None:
            return export.exported_object
        try:
            return str(request.json["exported_object"]) if request.kind == "create" else None
        except (ValueError, KeyError, TypeError):
            return None

    async def answer(self, request: Request, behaviour: Behaviour) -> Answer:
        """Return the true answer to a request."""
        limits: dict[str, str] = {}
        try:
            self._authorize(request, behaviour)
            if request.site == "api" or behaviour.rate_limit_downloads:
                limits, allowed = self._rate_limit.count(behaviour)
                if not allowed:
                    too_many_requests()
            answer = await self._handlers[request.kind](request, behaviour)
        except Refusal as refusal:
            self._refusals += 1
            digest = blake2b(b"%d" % self._refusals, digest_size=9).hexdigest()
            answer = json_answer({**refusal.body, "request_id": f"v-{digest}"}, refusal.status)
        return replace(answer, headers={**answer.headers, **limits})

    def _authorize(self, request: Request, behaviour: Behaviour) -> None:
        """Refuse a request without credentials.

        Raises:
            Refusal: If it may not be made.
        """
        if request.kind == "oauth":
            # Voucherify docs: OAuth API, an OAuth token is not enough to get another one.
            self._credentials.check_key_pair(request.headers)
        else:
            scope = "metadata-schemas" if request.kind == "schemas" else "exports"
            self._credentials.check(request.headers, scope, behaviour)

    async def _create(self, request: Request, behaviour: Behaviour) -> Answer:
        """Create an export. Voucherify docs: it answers `SCHEDULED`, however fast the export is."""
        export = self._exports.create(request.body, behaviour)
        request.export_id = export.id
        return json_answer(self._exports.describe(export, behaviour, "SCHEDULED"))

    async def _poll(self, request: Request, behaviour: Behaviour) -> Answer:
        """Return an export. Voucherify docs: Exports API, Get Export."""
        export = self._exports.get(request.export_id)
        return json_answer(self._exports.describe(export, behaviour))

    async def _list(self, request: Request, behaviour: Behaviour) -> Answer:
        """Return a page of exports. Voucherify docs: Exports API, List Exports."""
        return json_answer(self._exports.list_page(request.query, behaviour))

    async def _delete(self, request: Request, _behaviour: Behaviour) -> Answer:
        """Delete an export. Voucherify docs: Exports API, Delete Export."""
        self._exports.delete(request.export_id)
        return Answer(status=204)

    async def _grant(self, request: Request, _behaviour: Behaviour) -> Answer:
        """Return an OAuth token. Voucherify docs: the request is a form."""
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        return json_answer(self._credentials.grant(form))

    async def _refuse(self, _request: Request, _behaviour: Behaviour) -> Answer:
        """Refuse what is not part of these APIs."""
        no_such_route()

    async def _download(self, request: Request, behaviour: Behaviour) -> Answer:
        """Return a file. Voucherify docs: Exports API, Download Export."""
        token = request.query.get("token", "")
        part = self._credentials.check_download_token(request.export_id, token)
        export = self._exports.get(request.export_id)
        compressed = behaviour.gzip and "gzip" in request.headers.get("accept-encoding", "")
        path = await self._exports.file(export, part, compressed=compressed)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if compressed:
            headers["Content-Encoding"] = "gzip"
        elif behaviour.names_identity:
            headers["Content-Encoding"] = "identity"
        return Answer(body=path, headers=headers, framing=behaviour.transfer)

    async def _schemas(self, _request: Request, _behaviour: Behaviour) -> Answer:
        """Return the metadata schemas. Voucherify docs: List Metadata Schema Definitions."""
        created_at = to_text(to_ms(self._dataset.start))
        schemas = [
            {
                "id": f"ms_{blake2b(name.encode(), digest_size=12).hexdigest()}",
                "related_object": name,
                "properties": {
                    key.name: {
                        "type": key.type,
                        "array": key.array,
                        "optional": True,
                        "objectType": "Payment" if key.type == "object" else None,
                        **({"deleted": True} if key.deleted else {}),
                    }
                    for key in keys
                    if key.defined
                },
                "allow_defined_only": False,
                "created_at": created_at,
                "updated_at": None,
                "object": "metadata_schema",
            }
            for name, keys in self._dataset.metadata_keys.items()
        ]
        total = len(schemas)
        return json_answer(
            {"object": "list", "data_ref": "schemas", "schemas": schemas, "total": total},
        )
