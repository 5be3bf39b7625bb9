"""Paths, statuses and shapes of responses, without HTTP."""

from __future__ import annotations

import datetime as dt
import io
import typing as t

import pytest

from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import KeyPair, TrustedHosts
from tap_voucherify.api.export import Export, ExportStatus
from tap_voucherify.api.messages import Request, Response
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.api.voucherify import Voucherify
from tap_voucherify.clock import Deadline
from tap_voucherify.errors import RequestError
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.instants import EPOCH
from tap_voucherify.windows import Window
from tests.support.virtual_clock import STARTED_AT, VirtualClock

if t.TYPE_CHECKING:
    from collections.abc import Iterator

NOON = dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc)
REQUEST = ExportRequest(
    "vouchers",
    "voucher",
    ("id", "code"),
    order="created_at",
    window=Window(NOON, NOON + dt.timedelta(hours=1)),
    filter_field="created_at",
)


class RecordingClient(Client):
    """Returns one response to every request.

    Attributes:
        content: The response.
        requests: Every request that was made.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(
            api_url="https://api.example.com",
            credentials=KeyPair("id", "token"),
            hosts=TrustedHosts("https://api.example.com"),
            rate_limit=RateLimit(clock, 0),
            clock=clock,
            request_timeout_seconds=60,
        )
        self.content: dict[str, t.Any] = {}
        self.requests: list[Request] = []

    def send(self, request: Request, deadline: Deadline) -> Response:
        """Return the response."""
        assert deadline.remaining_seconds > 0
        self.requests.append(request)
        return Response(self.content, STARTED_AT)

    def download(
        self, url: str, file: t.BinaryIO, deadline: Deadline, fresh_until: float = 0
    ) -> int:
        """Write the arguments."""
        return file.write(f"{url} {deadline.remaining_seconds:.0f} {fresh_until:.0f}".encode())


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Return a clock at its start."""
    with VirtualClock() as clock:
        yield clock


@pytest.fixture
def client(clock: VirtualClock) -> RecordingClient:
    """Return a client without a server."""
    return RecordingClient(clock)


@pytest.fixture
def api(client: RecordingClient, clock: VirtualClock) -> Voucherify:
    """Return the API of that client."""
    return Voucherify(client, clock)


@pytest.fixture
def deadline(clock: VirtualClock) -> Deadline:
    """Return an unlimited deadline."""
    return Deadline(clock)


def test_an_export_is_created(api: Voucherify, client: RecordingClient, deadline: Deadline) -> None:
    """The body names the object and its parameters; the response is an export."""
    client.content = {
        "id": "exp_1",
        "object": "export",
        "created_at": "2026-08-01T12:00:00.000Z",
        "status": "SCHEDULED",
        "exported_object": "voucher",
        "parameters": {"fields": ["code"], "filters": {"junction": "and"}},
        "result": None,
    }
    export = api.create_export("voucher", {"fields": ["code"]}, deadline)
    echo = {"fields": ["code"], "filters": {"junction": "and"}}
    assert export == Export("exp_1", ExportStatus.SCHEDULED, NOON, "voucher", echo, None)
    assert export.parameters == {"fields": ["code"]}
    (request,) = client.requests
    assert (request.method, request.path) == ("POST", "/v1/exports")
    assert request.json == {"exported_object": "voucher", "parameters": {"fields": ["code"]}}


@pytest.mark.parametrize("created_at", [None, "", "yesterday", 5])
def test_an_export_without_a_time_gets_the_server_s(
    api: Voucherify, client: RecordingClient, deadline: Deadline, created_at: object
) -> None:
    """The time of the response replaces a missing `created_at`."""
    client.content = {"id": "exp_1", "created_at": created_at}
    export = api.create_export("voucher", {}, deadline)
    assert export.created_at == EPOCH + dt.timedelta(seconds=STARTED_AT)


@pytest.mark.parametrize("content", [{}, {"id": None}, {"id": ""}, {"id": 5}], ids=repr)
def test_an_export_without_id_is_an_error(
    api: Voucherify, client: RecordingClient, deadline: Deadline, content: dict[str, t.Any]
) -> None:
    """It cannot be polled."""
    client.content = content
    with pytest.raises(RequestError, match="create export: the response has no id"):
        api.create_export("voucher", {}, deadline)


def test_an_id_cannot_change_the_path(
    api: Voucherify, client: RecordingClient, deadline: Deadline
) -> None:
    """An ID is one segment of a path, whatever characters it has."""
    client.content = {"status": "DONE"}
    assert api.get_export("../a?b#c", deadline).id == "../a?b#c"
    api.delete_export("../a?b#c")
    assert [(request.method, request.path) for request in client.requests] == [
        ("GET", "/v1/exports/..%2Fa%3Fb%23c"),
        ("DELETE", "/v1/exports/..%2Fa%3Fb%23c"),
    ]


@pytest.mark.parametrize("status", list(ExportStatus))
def test_every_status(
    api: Voucherify, client: RecordingClient, deadline: Deadline, status: ExportStatus
) -> None:
    """DONE and ERROR are final."""
    client.content = {"id": "exp_1", "status": status.value}
    export = api.get_export("exp_1", deadline)
    assert export.status is status
    assert status.is_final is (status.value in {"DONE", "ERROR"})


@pytest.mark.parametrize("status", ["PAUSED", None, 5, ["DONE"]])
def test_an_unknown_status_is_an_error(
    api: Voucherify, client: RecordingClient, deadline: Deadline, status: object
) -> None:
    """The tap does not wait for an export that it does not understand."""
    client.content = {"status": status}
    with pytest.raises(RequestError, match="unknown export status"):
        api.get_export("exp_1", deadline)


def test_the_newest_exports_are_listed(api: Voucherify, client: RecordingClient) -> None:
    """Entries in an unknown form are left out; the time is the server's."""
    entry = {"id": "exp_1", "status": "DONE", "created_at": "2026-08-01T12:00:00.000Z"}
    others = [{"id": None}, {"id": "exp_2", "status": "PAUSED"}, {"status": "DONE"}, None]
    client.content = {"object": "list", "exports": [*others, entry]}
    exports, server_time = api.list_exports()
    assert [(export.id, export.status, export.created_at) for export in exports] == [
        ("exp_1", ExportStatus.DONE, NOON)
    ]
    assert server_time == EPOCH + dt.timedelta(seconds=STARTED_AT)
    api.list_exports(limit=1)
    assert [request.params for request in client.requests] == [
        {"limit": "100", "order": "-created_at"},
        {"limit": "1", "order": "-created_at"},
    ]


@pytest.mark.parametrize("exports", [None, {}, "none"])
def test_an_invalid_list_is_an_error(
    api: Voucherify, client: RecordingClient, exports: object
) -> None:
    """It does not say which exports exist."""
    client.content = {"exports": exports}
    with pytest.raises(RequestError, match="list exports: the response has no list"):
        api.list_exports()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"filter": REQUEST.parameters["filters"], "filters": None},
        {"response_format": "CSV", "campaign_id": None},
    ],
    ids=["reference", "guide", "defaults"],
)
def test_an_echo_is_normalized(
    api: Voucherify, client: RecordingClient, changes: dict[str, t.Any]
) -> None:
    """Filters may be echoed as `filter`, and unrequested defaults added."""
    client.content = {
        "exports": [{"id": "1", "status": "DONE", "parameters": REQUEST.parameters | changes}]
    }
    (export,) = api.list_exports().exports
    assert export.parameters == REQUEST.parameters


def test_the_echo_of_an_export_without_filters_is_normalized(
    api: Voucherify, client: RecordingClient
) -> None:
    """A junction is echoed even without filters."""
    parameters = {"fields": ["id"]}
    echo = parameters | {"filters": {"junction": "and"}}
    client.content = {"exports": [{"id": "1", "status": "DONE", "parameters": echo}]}
    (export,) = api.list_exports().exports
    assert export.parameters == parameters


def test_schemas_and_pages_are_returned_as_they_are(
    api: Voucherify, client: RecordingClient
) -> None:
    """Their readers interpret them."""
    client.content = {"schemas": []}
    assert api.metadata_schemas() is client.content
    assert api.get_page("/v1/campaigns", {"page": "2"}) is client.content
    assert [(request.path, request.params) for request in client.requests] == [
        ("/v1/metadata-schemas", None),
        ("/v1/campaigns", {"page": "2"}),
    ]


def test_a_download_is_delegated(api: Voucherify, clock: VirtualClock) -> None:
    """The client gets all arguments."""
    file = io.BytesIO()
    api.download("https://example.com", file, Deadline(clock, 7), 9)
    assert file.getvalue() == b"https://example.com 7 9"


def test_a_token_is_issued(api: Voucherify, client: RecordingClient) -> None:
    """A key pair is exchanged for a token with these scopes."""
    client.content = {"access_token": "abc", "expires_in": "900"}
    key_pair = KeyPair("id", "token")
    assert api.issue_token(key_pair, "exports") == ("abc", 900)
    (request,) = client.requests
    assert (request.method, request.path) == ("POST", "/v1/oauth/token")
    assert request.form == {"grant_type": "client_credentials", "scope": "exports"}
    assert request.credentials is key_pair


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"access_token": "abc"},
        {"access_token": "abc", "expires_in": "soon"},
        {"access_token": "abc", "expires_in": None},
        {"access_token": None, "expires_in": 900},
        {"access_token": "", "expires_in": 900},
        {"access_token": "a\nb", "expires_in": 900},
        {"access_token": "a b", "expires_in": 900},
        {"access_token": "\u00fc", "expires_in": 900},
        {"access_token": 5, "expires_in": 900},
    ],
    ids=repr,
)
def test_c9_an_invalid_token_is_an_error(
    api: Voucherify, client: RecordingClient, content: dict[str, t.Any]
) -> None:
    """It is not sent in a request."""
    client.content = content
    with pytest.raises(RequestError, match="unexpected response to the token request"):
        api.issue_token(KeyPair("id", "token"), "exports")


@pytest.mark.parametrize("seconds", [10**400, "1e400", float("nan"), -1, 3601])
def test_b5_an_implausible_lifetime_of_a_token_is_an_hour(
    api: Voucherify, client: RecordingClient, seconds: object
) -> None:
    """Tokens are renewed after an hour at the latest."""
    client.content = {"access_token": "abc", "expires_in": seconds}
    assert api.issue_token(KeyPair("id", "token"), "exports") == ("abc", 3600)


# Links to files


def urls(result: object) -> tuple[str, ...]:
    """Return the links in a result."""
    return Export("exp_1", ExportStatus.DONE, NOON, result=result).urls


@pytest.mark.parametrize(
    "result",
    [
        {"url": "a"},
        {"url": ["a"]},
        {"urls": ["a"]},
        {"urls": "a"},
        {"url": "a", "rows": 5, "expires_at": "2026-08-01", "by": {"name": "b", "no": None}},
    ],
    ids=repr,
)
def test_one_link(result: object) -> None:
    """The documented form and likely variants are accepted, other properties ignored."""
    assert urls(result) == ("a",)


@pytest.mark.parametrize("result", [{"url": ["b", "a"]}, {"urls": ["b", "a"]}], ids=repr)
def test_several_links_keep_their_order(result: object) -> None:
    """The parts of a large export are read in the order of the result."""
    assert urls(result) == ("b", "a")


@pytest.mark.parametrize(
    "result", [None, "", [], {}, {"url": None}, {"url": ""}, {"url": []}, {"rows": 0}], ids=repr
)
def test_a_result_without_links(result: object) -> None:
    """There may be links at the next poll."""
    assert urls(result) == ()


@pytest.mark.parametrize(
    "result",
    [
        "https://secret",
        ["https://secret"],
        {"url": ["https://secret", None]},
        {"url": ["https://secret", ""]},
        {"url": {"0": "https://secret"}},
        {"url": 5},
        {"chunks": ["https://secret"]},
        {"url": "https://secret", "next": "https://secret"},
        {"url": "https://secret", "urls": ["https://secret"]},
        {"url": "https://secret", "parts": {"a": {"b": "s3://secret"}}},
        {"url": "https://secret", "parts": {"a": []}},
    ],
    ids=repr,
)
def test_a_result_with_further_files_is_never_read_in_part(result: object) -> None:
    """The error shows the keys of the result, but no values."""
    with pytest.raises(RequestError) as failure:
        urls(result)
    assert "secret" not in str(failure.value)
    for key in result if isinstance(result, dict) else ():
        assert repr(str(key)) in str(failure.value)
