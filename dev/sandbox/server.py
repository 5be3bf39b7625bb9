"""The API and download servers, in a thread."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from .api import Api, Request, Site, route
from .behaviour import Behaviour, Latency
from .credentials import Credentials
from .exports import Export, Exports
from .faults import Faults
from .tls import serve_tls
from .wire import RawResponse, Response, Sent, deliver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from typing_extensions import Self

    from .actions import Action, Greeting
    from .dataset import Dataset
    from .tables import Row

_SITES: tuple[Site, ...] = ("api", "download")


class Sandbox:
    """A mock Voucherify server on local ports, running inside a `with` block.

    Attributes:
        behaviour: The switches; may be changed or replaced at any time.
        dataset: The data of the project.
        faults: The faults.
        api_url: The URL of the API.
        download_url: The URL of the download host.
    """

    def __init__(  # noqa: PLR0913 - every one but the data has a default
        self,
        dataset: Dataset,
        behaviour: Behaviour | None = None,
        *,
        latency_seconds: Latency | None = None,
        clock: Callable[[], float] = time.time,
        ports: tuple[int, int] = (0, 0),
        certificate: Path | None = None,
    ) -> None:
        """Prepare the servers.

        Args:
            dataset: The data of the project.
            behaviour: The switches.
            latency_seconds: Replaces that of `behaviour`.
            clock: Unix time in seconds: for latencies, expiries, limits and `created_at`.
            ports: The ports of the API and the download host; 0 for any free port.
            certificate: A file with a key and a certificate for `localhost`, to serve https.
        """
        self.dataset = dataset
        self.behaviour = behaviour or Behaviour()
        if latency_seconds is not None:
            self.behaviour = replace(self.behaviour, latency_seconds=latency_seconds)
        self.faults = Faults()
        self.api_url = self.download_url = ""
        self._clock = clock
        self._ports = ports
        self._certificate = certificate
        self._requests: list[Request] = []
        self._credentials = Credentials(dataset.seed, clock)

    def __enter__(self) -> Self:
        """Start the servers."""
        with ExitStack() as resources:
            directory = tempfile.TemporaryDirectory(prefix="voucherify-sandbox-")
            path = Path(resources.enter_context(directory))
            self._exports = Exports(self.dataset, self._credentials, self._clock, path)
            self._api = Api(self.dataset, self._credentials, self._exports, self._clock)
            opened: Future[list[int]] = Future()
            serving = partial(asyncio.run, self._serve(opened))
            thread = threading.Thread(target=serving, name="voucherify-sandbox", daemon=True)
            thread.start()
            resources.callback(thread.join)
            ports = opened.result()
            resources.callback(self._loop.call_soon_threadsafe, self._closing.set)
            self._resources = resources.pop_all()
        site = "https://localhost" if self._certificate else "http://127.0.0.1"
        self.api_url, self.download_url = (f"{site}:{port}" for port in ports)
        self._exports.download_url = self.download_url
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop the servers and free their ports."""
        self._resources.close()

    @property
    def app_id(self) -> str:
        """The application id."""
        return self._credentials.app_id

    @property
    def app_token(self) -> str:
        """The secret key of the application."""
        return self._credentials.app_token

    @property
    def config(self) -> dict[str, str]:
        """The settings a client needs."""
        return {"api_url": self.api_url, "app_id": self.app_id, "app_token": self.app_token}

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order of receipt."""
        return [replace(request) for request in list(self._requests)]

    @property
    def exports(self) -> list[Export]:
        """All exports created so far, deleted ones too."""
        return list(self._exports.created)

    @property
    def secrets(self) -> list[str]:
        """All secrets so far: the key, download tokens, OAuth tokens."""
        return self._credentials.secrets

    def rows(self, exported_object: str) -> list[Row]:
        """Return the rows that a full export would contain now, in server order.

        Of the switches, `date_skew_ms` and `exports_undefined_metadata` apply.
        """
        keys = self.dataset.metadata_keys.get(exported_object, ())
        hidden = {
            key.name
            for key in keys
            if not key.defined and not self.behaviour.exports_undefined_metadata
        }
        skew_ms = self.behaviour.date_skew_ms
        return self.dataset.rows(exported_object, skew_ms=skew_ms, hidden_metadata=hidden)

    async def _serve(self, opened: Future[list[int]]) -> None:
        """Serve until closed, then cancel requests in progress."""
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        async with AsyncExitStack() as sites:
            try:
                ports = [
                    await self._open(*each, sites) for each in zip(_SITES, self._ports, strict=True)
                ]
            except OSError as error:
                opened.set_exception(error)
                return
            opened.set_result(ports)
            await self._closing.wait()

    async def _open(self, site: Site, port: int, sites: AsyncExitStack) -> int:
        """Start a server and return its port."""
        server = web.Server(partial(self._handle, site), access_log=None)
        # Zero would wait forever.
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        sites.push_async_callback(runner.cleanup)
        await runner.setup()
        if self._certificate:
            serving = serve_tls(server, self._certificate, port, self._greet)
            return await sites.enter_async_context(serving)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return int(runner.addresses[0][1])

    def _greet(self) -> Greeting | None:
        """Return what happens to the next TLS handshake."""
        actions = self.faults.actions("handshake", None)
        return next(filter(None, (action.greeting() for action in actions)), None)

    async def _handle(self, site: Site, received: web.BaseRequest) -> Sent:
        """Handle one request, with its faults."""
        request = await self._record(site, received)
        actions = self.faults.actions(request.kind, self._api.exported_object(request))
        response = await self._respond(request, actions)
        if isinstance(response, Response):
            request.status = response.status
            date = formatdate(self._clock(), usegmt=True)
            response = replace(response, headers={"Date": date, **response.headers})
        for action in actions:
            await action.wait()
        shape, shape_head = partial(_shape, actions), partial(_shape_head, actions)
        return await deliver(received, response, shape, shape_head)

    async def _record(self, site: Site, received: web.BaseRequest) -> Request:
        """Record a request before any fault affects it."""
        kind, export_id = route(site, received.method, received.path)
        request = Request(
            kind=kind,
            method=received.method,
            path=received.path,
            query=dict(received.query),
            headers={name.lower(): value for name, value in received.headers.items()},
            body=await received.read(),
            site=site,
            at=self._clock(),
            export_id=export_id,
        )
        self._requests.append(request)
        return request

    async def _respond(self, request: Request, actions: Sequence[Action]) -> Response | RawResponse:
        """Return the response after all actions."""
        for action in actions:
            instead = action.instead()
            if instead is not None:
                return instead
        self._turn(request, actions)
        response: Response | RawResponse = await self._api.respond(request, self.behaviour)
        if request.kind == "create":
            self._turn(request, actions)
        for action in actions:
            if isinstance(response, Response):
                response = action.rewrite(response)
        return response

    def _turn(self, request: Request, actions: Sequence[Action]) -> None:
        """Apply the actions to the export that a request concerns, if it exists."""
        export = self._exports.find(request.export_id)
        for action in actions:
            if export is not None:
                action.turn(export)


def _shape(
    actions: Sequence[Action],
    pieces: AsyncIterator[bytes],
    length: int,
) -> AsyncIterator[bytes]:
    """Apply the actions to a body."""
    for action in actions:
        pieces = action.shape(pieces, length)
    return pieces


def _shape_head(
    actions: Sequence[Action],
    pieces: AsyncIterator[bytes],
    length: int,
) -> AsyncIterator[bytes]:
    """Apply the actions to the status line and the headers."""
    for action in actions:
        pieces = action.shape_head(pieces, length)
    return pieces
