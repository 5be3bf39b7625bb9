"""The endpoints: the response to each request, before faults and transport."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import parse_qsl

from .errors import ApiError, forbidden, no_such_route, too_many_requests
from .lists import Lists
from .rate_limit import RateLimit
from .references import REFERENCES
from .schemas import list_schemas
from .wire import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .behaviour import Behaviour
    from .credentials import Credentials
    from .dataset import Dataset
    from .exports import Exports
    from .faults import Kind

Site: TypeAlias = Literal["api", "download"]

#: Voucherify docs: Exports API, OAuth API, Metadata Schemas API, and those of `REFERENCES`.
_ROUTES: tuple[tuple[Site, str, re.Pattern[str], Kind], ...] = (
    ("api", "POST", re.compile(r"/v1/exports"), "create"),
    ("api", "GET", re.compile(r"/v1/exports"), "list"),
    ("api", "GET", re.compile(r"/v1/exports/([^/]+)"), "poll"),
    ("api", "DELETE", re.compile(r"/v1/exports/([^/]+)"), "delete"),
    ("api", "POST", re.compile(r"/v1/oauth/token"), "oauth"),
    ("api", "GET", re.compile(r"/v1/metadata-schemas"), "schemas"),
    *(
        ("api", "GET", re.compile(declared.path), cast("Kind", name))
        for name, declared in REFERENCES.items()
    ),
    ("download", "GET", re.compile(r"/v1/exports/([^/]+)(?:/part-\d+)?"), "download"),
)


@dataclass
class Request:
    """A received request.

    Attributes:
        kind: The endpoint.
        method: The HTTP method.
        path: The path without the query.
        query: The query.
        headers: The headers, by lower-case name.
        body: The body.
        site: The API or the download host.
        at: Time of receipt, in Unix seconds.
        export_id: ID of the export that it concerns or created; empty if none.
        status: The response status; None before the response, and if none is sent.
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
        """The parsed JSON body."""
        return json.loads(self.body)


def route(site: Site, method: str, path: str) -> tuple[Kind, str]:
    """Return the endpoint and the export id of a path, or an empty id."""
    for its_site, its_method, pattern, kind in _ROUTES:
        match = pattern.fullmatch(path)
        if match and (its_site, its_method) == (site, method):
            return kind, "".join(match.groups())
    return "other", ""


class Api:
    """Handles requests."""

    def __init__(
        self,
        dataset: Dataset,
        credentials: Credentials,
        exports: Exports,
        clock: Callable[[], float],
    ) -> None:
        """Serve this data to these credentials."""
        self._dataset = dataset
        self._credentials = credentials
        self._exports = exports
        self._rate_limit = RateLimit(clock)
        self._lists = Lists(dataset.references)
        self._error_count = 0
        self._handlers: Mapping[Kind, Callable[[Request, Behaviour], Awaitable[Response]]] = {
            "create": self._create,
            "poll": self._poll,
            "list": self._list,
            "download": self._download,
            "delete": self._delete,
            "oauth": self._grant,
            "schemas": self._schemas,
            "other": self._reject,
            **{cast("Kind", name): self._list_references for name in REFERENCES},
        }

    def exported_object(self, request: Request) -> str | None:
        """Return the object of the export that a request concerns, or None."""
        export = self._exports.find(request.export_id)
        if export is not None:
            return export.exported_object
        try:
            return str(request.json["exported_object"]) if request.kind == "create" else None
        except (ValueError, KeyError, TypeError):
            return None

    async def respond(self, request: Request, behaviour: Behaviour) -> Response:
        """Return the response to a request, without faults."""
        limits: dict[str, str] = {}
        try:
            self._authorize(request, behaviour)
            if request.kind in behaviour.missing_endpoints:
                no_such_route()
            if request.kind in behaviour.forbidden_endpoints:
                forbidden()
            if request.site == "api" or behaviour.rate_limit_downloads:
                limits, allowed = self._rate_limit.count(behaviour)
                if not allowed:
                    too_many_requests()
            response = await self._handlers[request.kind](request, behaviour)
        except ApiError as error:
            self._error_count += 1
            digest = blake2b(b"%d" % self._error_count, digest_size=9).hexdigest()
            if request.kind == "download" and behaviour.download_errors != "api":
                response = error.storage_response(behaviour.download_errors)
            else:
                response = error.response(f"v-{digest}", behaviour.forged_text)
        return replace(response, headers={**response.headers, **limits})

    def _authorize(self, request: Request, behaviour: Behaviour) -> None:
        """Check the credentials of a request.

        Raises:
            ApiError: If they do not allow it.
        """
        if request.kind == "oauth":
            # Voucherify docs: OAuth API, an OAuth token is not enough to get another one.
            self._credentials.check_key_pair(request.headers, behaviour)
        else:
            self._credentials.check(request.headers, _scope(request.kind), behaviour)

    async def _create(self, request: Request, behaviour: Behaviour) -> Response:
        """Create an export. Voucherify docs: its first status is always `SCHEDULED`."""
        export = self._exports.create(request.body, behaviour)
        request.export_id = export.id
        return json_response(self._exports.describe(export, behaviour, "SCHEDULED"))

    async def _poll(self, request: Request, behaviour: Behaviour) -> Response:
        """Return an export. Voucherify docs: Exports API, Get Export."""
        export = self._exports.get(request.export_id, behaviour)
        return json_response(self._exports.describe(export, behaviour))

    async def _list(self, request: Request, behaviour: Behaviour) -> Response:
        """Return a page of exports. Voucherify docs: Exports API, List Exports."""
        return json_response(self._exports.list_page(request.query, behaviour))

    async def _delete(self, request: Request, behaviour: Behaviour) -> Response:
        """Delete an export. Voucherify docs: Exports API, Delete Export."""
        self._exports.delete(request.export_id, behaviour)
        return Response(status=204)

    async def _grant(self, request: Request, _behaviour: Behaviour) -> Response:
        """Return an OAuth token. Voucherify docs: the request is a form."""
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        return json_response(self._credentials.grant(form))

    async def _reject(self, _request: Request, _behaviour: Behaviour) -> Response:
        """Reject an unknown endpoint."""
        no_such_route()

    async def _download(self, request: Request, behaviour: Behaviour) -> Response:
        """Return a file. Voucherify docs: Exports API, Download Export."""
        token = request.query.get("token", "")
        part = self._credentials.check_download_token(request.export_id, token)
        export = self._exports.get(request.export_id, behaviour)
        compressed = behaviour.gzip and "gzip" in request.headers.get("accept-encoding", "")
        path = await self._exports.file(export, part, behaviour, compressed=compressed)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if compressed:
            headers["Content-Encoding"] = "gzip"
        elif behaviour.names_identity:
            headers["Content-Encoding"] = "identity"
        return Response(body=path, headers=headers, framing=behaviour.transfer)

    async def _schemas(self, _request: Request, _behaviour: Behaviour) -> Response:
        """Return the metadata schemas. Voucherify docs: List Metadata Schema Definitions."""
        return json_response(list_schemas(self._dataset))

    async def _list_references(self, request: Request, behaviour: Behaviour) -> Response:
        """Return a page of campaigns, validation rules, assignments or promotion tiers."""
        return json_response(self._lists.page(request.kind, request.query, behaviour))


def _scope(kind: Kind) -> str:
    """Return the OAuth scope of an endpoint. Voucherify docs: the `security` of each operation."""
    if kind in REFERENCES:
        return REFERENCES[kind].scope
    return "metadata-schemas" if kind == "schemas" else "exports"
