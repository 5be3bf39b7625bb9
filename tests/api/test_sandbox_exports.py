"""Switches of the sandbox for exports: echoes, lists, late files, links and results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from dev.sandbox import FORGED_TEXT, Amend, Behaviour, Delay, Fault, Reply, Turn

from .sandbox_client import NOON, after, parsed, serving

if TYPE_CHECKING:
    from .sandbox_client import Client

PARAMETERS = {"fields": ["id"], "filters": {"junction": "and"}, "campaign_id": "camp_1"}


def listed(client: Client, query: str = "limit=100") -> list[dict[str, Any]]:
    """Return the listed exports."""
    exports: list[dict[str, Any]] = client.call("GET", f"/v1/exports?{query}").json()["exports"]
    return exports


# Lists and echoes


def test_a_list_may_echo_in_part() -> None:
    """A list can omit one parameter and rename another while polls are complete."""
    behaviour = Behaviour(list_omits=["campaign_id"], list_filters_echo="filter")
    with serving(behaviour) as client:
        export_id = client.create("voucher", **PARAMETERS).json()["id"]
        partly = {"fields": ["id"], "filter": {"junction": "and"}}
        assert [export["parameters"] for export in listed(client)] == [partly]
        assert client.poll(export_id)["parameters"] == PARAMETERS


def test_every_response_may_echo_in_part() -> None:
    """All responses can omit a parameter that the export itself honours."""
    with serving(Behaviour(echo_omits=["filters"], echoes_response_format=True)) as client:
        everything = client.column("order", "id")
        created = client.create("order", fields=["id"], filters=after(NOON)).json()
        echo = {"fields": ["id"], "response_format": "CSV"}
        polled = client.poll(created["id"])
        assert [created["parameters"], polled["parameters"]] == [echo, echo]
        assert listed(client)[0]["parameters"] == echo
        rows = parsed(client.fetch(polled["result"]["url"]).content)[1:]
        assert 0 < len(rows) < len(everything)


def test_a_list_may_lack_objects() -> None:
    """Exports of unlisted objects can be found by ID only."""
    with serving(Behaviour(unlisted_objects={"product", "sku", "api_log"})) as client:
        ids = {name: client.create(name).json()["id"] for name in ("product", "order", "api_log")}
        assert [export["id"] for export in listed(client)] == [ids["order"]]
        assert client.poll(ids["product"])["status"] == "DONE"


def test_a_list_may_be_stale() -> None:
    """A list can show the status of some seconds ago."""
    with serving(Behaviour(list_lag_seconds=15, latency_seconds=10)) as client:
        export_id = client.create("order").json()["id"]
        seen = []
        for _ in range(4):
            entry = listed(client)[0]
            seen.append((entry["status"], client.poll(export_id)["status"]))
            assert (entry["result"] is not None) == (entry["status"] == "DONE")
            client.clock.now += 10
    assert seen == [
        ("SCHEDULED", "SCHEDULED"),
        ("SCHEDULED", "DONE"),
        ("IN_PROGRESS", "DONE"),
        ("DONE", "DONE"),
    ]


def test_a_list_may_have_no_results() -> None:
    """A list can lack the results, so that only polls give links."""
    with serving(Behaviour(list_results=False)) as client:
        client.done("order")
        assert [(e["status"], e["result"]) for e in listed(client)] == [("DONE", None)]


def test_a_list_has_at_most_a_hundred_entries_a_page() -> None:
    """A page lists at most a hundred exports; older ones are on the next page."""
    with serving() as client:
        for _ in range(103):
            client.create("order", fields=["id"])
            client.clock.now += 1
        first, second = listed(client), listed(client, "limit=100&page=2")
        assert (len(first), len(second)) == (100, 3)
        assert first[0]["created_at"] > first[-1]["created_at"] > second[0]["created_at"]


def test_a_list_may_fail_or_be_slow() -> None:
    """A list can fail repeatedly, or respond late but completely."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="list", action=Reply(500), times=None))
        assert [client.call("GET", "/v1/exports").status_code for _ in range(3)] == [500] * 3
        client.sandbox.faults.clear()
        client.sandbox.faults.add(Fault(on="list", action=Delay(0.2)))
        response = client.call("GET", "/v1/exports")
        assert response.elapsed.total_seconds() >= 0.2
        assert response.json()["exports"] == []


# Late exports, results and files


def test_a_new_export_may_not_be_found_yet() -> None:
    """A new export may be missing at first, for polls, for the list and for deletions."""
    with serving(Behaviour(export_delay_seconds=2)) as client:
        export_id = client.create("order").json()["id"]
        assert client.poll(export_id)["key"] == "not_found"
        assert client.call("DELETE", f"/v1/exports/{export_id}").status_code == 404
        assert listed(client) == []
        client.clock.now += 2
        assert client.poll(export_id)["status"] == "DONE"
        assert len(listed(client)) == 1


def test_a_finished_export_may_have_no_result_yet() -> None:
    """An export can be DONE before it has a result, and a single poll can lack it later."""
    with serving(Behaviour(result_delay_seconds=2, latency_seconds=10)) as client:
        export_id = client.create("order").json()["id"]
        client.clock.now += 11
        assert (client.poll(export_id)["status"], client.poll(export_id)["result"]) == (
            "DONE",
            None,
        )
        client.clock.now += 1
        client.sandbox.faults.add(Fault(on="poll", action=Amend({"result": None}), nth=2))
        results = [client.poll(export_id)["result"] for _ in range(3)]
        assert [result is None for result in results] == [False, True, False]


def test_a_file_may_not_be_found_yet() -> None:
    """A link can exist before its file does."""
    with serving(Behaviour(file_delay_seconds=2)) as client:
        url = client.done("order")["url"]
        assert client.fetch(url).status_code == 404
        client.clock.now += 2
        assert client.fetch(url).status_code == 200


# Links and results


@pytest.mark.parametrize(
    ("form", "expired", "missing"),
    [
        ("api", (401, "unauthorized"), (404, "not_found")),
        ("xml", (403, "<Code>AccessDenied</Code><Message>Request has expired<"), (404, "NoSuchK")),
        ("json", (403, '"Code": "ExpiredToken"'), (404, '"NoSuchKey"')),
    ],
)
def test_downloads_may_fail_in_the_words_of_an_object_store(
    form: Any, expired: tuple[int, str], missing: tuple[int, str]
) -> None:
    """Expired links and missing files can fail with the errors of an object store."""
    with serving(Behaviour(download_errors=form, file_delay_seconds=5)) as client:
        url = client.done("order")["url"]
        for status, text in (missing, expired):
            response = client.fetch(url)
            assert (response.status_code, text in response.text) == (status, True)
            client.clock.now += 60
        assert client.call("GET", "/v1/exports/exp_none").json()["key"] == "not_found"


def test_renewed_links_may_come_in_another_order() -> None:
    """Renewed links can come in another order, with paths that identify the files."""
    behaviour = Behaviour(files=3, rotates_links=True, part_links="path")
    with serving(behaviour) as client:
        export_id = client.create("order", fields=["id"]).json()["id"]
        polls = [client.poll(export_id)["result"]["url"] for _ in range(2)]
        paths = [[url.partition("?")[0] for url in urls] for urls in polls]
        assert paths[0] != paths[1]
        assert sorted(paths[0]) == sorted(paths[1])
        assert len(set(paths[0])) == 3
        files = [
            {url.partition("?")[0]: client.fetch(url).content for url in urls} for urls in polls
        ]
        assert files[0] == files[1]
        assert len(set(files[0].values())) == 3


def test_renewed_links_may_differ_in_nothing_but_their_token() -> None:
    """Renewed links can come in another order and differ by nothing but their tokens."""
    with serving(Behaviour(files=2, rotates_links=True)) as client:
        export_id = client.create("order").json()["id"]
        polls = [client.poll(export_id)["result"]["url"] for _ in range(2)]
        assert len({url.partition("?")[0] for urls in polls for url in urls}) == 1
        first, second = ([client.fetch(url).content for url in urls] for urls in polls)
        assert first == second[::-1] != second


@pytest.mark.parametrize(
    ("extra", "contains"), [("harmless", "checksum"), ("link", "location"), ("list", "part-2.csv")]
)
def test_results_may_have_further_properties(extra: Any, contains: str) -> None:
    """A result can have further properties, harmless or with a link or list, beside the file."""
    with serving(Behaviour(extra_result=extra)) as client:
        result = client.done("order")
        assert client.fetch(result.pop("url")).status_code == 200
        assert contains in json.dumps(result)
        assert ("http://" in json.dumps(result)) == (extra == "link")


# Forged text


def test_ids_and_errors_may_hold_forged_text() -> None:
    """IDs and errors can contain line breaks and escapes; such exports can be read and deleted."""
    with serving(Behaviour(forged_text=FORGED_TEXT)) as client:
        created = client.create("order", fields=["id"]).json()
        assert created["id"].endswith(FORGED_TEXT)
        path = path_of(created["id"])
        result = client.call("GET", path).json()["result"]
        assert client.fetch(result["url"]).content.startswith(b"ID\r\n")
        assert client.call("DELETE", path).status_code == 204
        error = client.call("GET", path).json()
        assert error["message"] == f"Resource not found{FORGED_TEXT}"
        assert error["details"].endswith(FORGED_TEXT)


def test_statuses_may_hold_forged_text() -> None:
    """A status can contain line breaks and escapes."""
    with serving() as client:
        client.sandbox.faults.add(Fault(on="create", action=Turn(f"WAITING{FORGED_TEXT}")))
        export = client.poll(client.create("order").json()["id"])
        assert (export["status"], export["result"]) == (f"WAITING{FORGED_TEXT}", None)


def path_of(export_id: str) -> str:
    """Return the path of an export."""
    return f"/v1/exports/{quote(export_id)}"
