"""A minimal client of the sandbox, for the sandbox's own tests."""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import requests

from dev.sandbox import OBJECTS, Behaviour, Dataset, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 1, 10, 12, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
SMALL = dict.fromkeys(OBJECTS, 30)
NO_ROWS = dict.fromkeys(OBJECTS, 0)


class Clock:
    """A clock that moves only on demand."""

    def __init__(self) -> None:
        """Start on 1 March 2026."""
        self.now = datetime(2026, 3, 1, tzinfo=timezone.utc).timestamp()

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Client:
    """A minimal client of the sandbox."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        """Use the sandbox's own key pair."""
        self.sandbox = sandbox
        self.clock = clock
        self.key_pair = {"X-App-Id": sandbox.app_id, "X-App-Token": sandbox.app_token}
        self.session = requests.Session()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call the API."""
        options.setdefault("headers", self.key_pair)
        return self.session.request(method, f"{self.sandbox.api_url}{path}", timeout=5, **options)

    def create(self, exported_object: str, **parameters: Any) -> requests.Response:
        """Create an export."""
        body = {"exported_object": exported_object, "parameters": parameters}
        return self.call("POST", "/v1/exports", json=body)

    def poll(self, export_id: str) -> Any:
        """Return an export."""
        return self.call("GET", f"/v1/exports/{export_id}").json()

    def done(self, exported_object: str, **parameters: Any) -> Any:
        """Return the result of a new export."""
        return self.poll(self.create(exported_object, **parameters).json()["id"])["result"]

    def fetch(self, url: str, **options: Any) -> requests.Response:
        """Download a file."""
        options.setdefault("headers", self.key_pair)
        return self.session.get(url, timeout=5, **options)

    def file(self, exported_object: str, **parameters: Any) -> bytes:
        """Return the file of a new export."""
        return self.fetch(self.done(exported_object, **parameters)["url"]).content

    def table(self, exported_object: str, **parameters: Any) -> list[list[str]]:
        """Return the header and the rows of a new export."""
        return parsed(self.file(exported_object, **parameters))

    def column(self, exported_object: str, field: str, **parameters: Any) -> list[str]:
        """Return the cells of one field in a new export."""
        return [row[0] for row in self.table(exported_object, fields=[field], **parameters)[1:]]


def parsed(content: bytes) -> list[list[str]]:
    """Return the rows of a CSV file."""
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def iso(moment: datetime) -> str:
    """Format a time like Voucherify."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def after(moment: datetime, name: str = "created_at") -> dict[str, Any]:
    """Return a filter by `$after`."""
    return {name: {"conditions": {"$after": [iso(moment)]}}}


@contextmanager
def serving(
    behaviour: Behaviour | None = None,
    dataset: Dataset | None = None,
    **options: Any,
) -> Iterator[Client]:
    """Run a sandbox with its own clock."""
    clock = Clock()
    dataset = dataset or Dataset(sizes=SMALL)
    with Sandbox(dataset, behaviour, clock=clock, **options) as sandbox:
        client = Client(sandbox, clock)
        with client.session:
            yield client
