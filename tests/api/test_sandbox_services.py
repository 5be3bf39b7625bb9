"""Named services of the sandbox, and its command."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from dev.sandbox import (
    METADATA_KEYS,
    OBJECTS,
    SERVICE_NAMES,
    Behaviour,
    Dataset,
    Fault,
    Rewrite,
    service,
)

from .sandbox_client import SMALL, after, iso, serving

if TYPE_CHECKING:
    from .sandbox_client import Client

ROOT = Path(__file__).parents[2]


def read(client: Client, name: str, fields: list[str], **parameters: object) -> list[list[str]]:
    """Return the header and the rows of an export, as a patient client reads them."""
    created = client.create(name, fields=fields, **parameters)
    client.clock.now += 1
    result = client.poll(created.json()["id"])["result"]
    text = client.fetch(result["url"]).content.decode("utf-8-sig")
    return [row for row in csv.reader(text.splitlines(keepends=True)) if row]


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_every_service_exports_all_rows(name: str) -> None:
    """Every service exports all rows, whatever its order, its titles and its file format."""
    with serving(service(name), Dataset(sizes=SMALL)) as client:
        for exported_object in ("order", "customer"):
            rows = client.sandbox.rows(exported_object)
            header, *cells = read(client, exported_object, ["id", "source_id"])
            position = next(
                index for index, cell in enumerate(cells[0]) if cell.startswith(("ord_", "cust_"))
            )
            assert len(header) == 2
            assert sorted(row[position] for row in cells) == sorted(row.cells["id"] for row in rows)


def test_the_unusual_service_is_unusual_in_all_ways_at_once() -> None:
    """The unusual service has unknown titles, rejected fields, microseconds and empty files."""
    with serving(service("unusual"), Dataset(sizes=SMALL)) as client:
        header, first, *_ = read(client, "order", ["created_at"], order="created_at")
        assert header[0].startswith("Column ")
        assert len(first[0]) == len("2026-01-01T00:00:00.000000+00:00")
        error = client.create("customer", fields=list(OBJECTS["customer"].fields)).json()
        assert error["key"] == "invalid_export_fields"
        newest = max(row.created for row in client.sandbox.rows("order"))
        assert read(client, "order", ["id"], filters=after(newest.replace(year=2030))) == []
        assert iso(newest)[:4] == "2026"
        metadata = read(client, "voucher", ["id", "metadata"])[0]
        assert len(metadata) == 1 + sum(key.defined for key in METADATA_KEYS["voucher"])


def test_each_service_is_a_new_set_of_switches() -> None:
    """Changing a service does not change the next one of the same name."""
    changed = service("late")
    changed.files = 3
    assert service("late") == Behaviour(
        export_delay_seconds=0.3, result_delay_seconds=0.3, file_delay_seconds=0.6
    )
    with pytest.raises(KeyError):
        service("none")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "x-gzip"},
        {"Content-Encoding": "utf-8"},
        {"Content-Encoding": ""},
        {"Transfer-Encoding": "Chunked"},
    ],
)
def test_headers_can_be_unusual(headers: dict[str, str]) -> None:
    """The headers of a fault replace those of the response."""
    with serving(Behaviour(transfer="chunked")) as client:
        client.sandbox.faults.add(
            Fault(on="download", action=Rewrite(lambda body: body, headers=headers))
        )
        response = client.fetch(client.done("order")["url"], stream=True)
        assert headers.items() <= dict(response.headers).items()
        response.close()


def test_the_command_serves_until_interrupted() -> None:
    """The command prints a client's settings, then runs the requested service until SIGINT."""
    command = (sys.executable, "-m", "dev.sandbox", "--service", "older_cluster", "--api-logs", "3")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        lines = [line.strip().split("=", 1) for line in islice(process.stdout, 3)]
        settings = {name.removeprefix("TAP_VOUCHERIFY_"): value for name, value in lines}
        headers = {"X-App-Id": settings["APP_ID"], "X-App-Token": settings["APP_TOKEN"]}
        url = settings["API_URL"]
        statuses = [
            requests.get(f"{url}{path}", headers=headers, timeout=5).status_code
            for path in ("/v1/campaigns", "/v1/promotions/tiers")
        ]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert statuses == [200, 404]
