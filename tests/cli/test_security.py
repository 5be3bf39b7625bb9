"""Secrets are sent only where they belong, and are never printed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from dev.sandbox import OBJECTS, Amend, Behaviour, Dataset, Fault, Raw, Reply, Rewrite, Sandbox
from tests.support.expectations import expected_record
from tests.support.relay import Relay
from tests.support.runner import Json, Run, Tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

CREDENTIALS = {"x-app-id", "x-app-token", "authorization"}

PLAIN = {"TAP_VOUCHERIFY_LOGLEVEL": "DEBUG"}
STRUCTURED = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {"()": "singer_sdk.logging.StructuredFormatter"},
        "plain": {"format": "%(levelname)s %(name)s %(message)s %(args)s"},
    },
    "handlers": {
        "structured": {
            "class": "logging.StreamHandler",
            "formatter": "structured",
            "stream": "ext://sys.stderr",
        },
        "file": {"class": "logging.FileHandler", "formatter": "plain", "filename": "tap.log"},
    },
    "root": {"level": "DEBUG", "handlers": ["structured", "file"], "propagate": True},
    "loggers": {"urllib3": {"level": "DEBUG", "handlers": ["file"]}},
}


@pytest.fixture
def voucherify() -> Iterator[Sandbox]:
    """Yield a sandbox with a few customers."""
    sizes = {**dict.fromkeys(OBJECTS, 0), "customer": 20}
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    with Sandbox(Dataset(seed=3, sizes=sizes, start=start)) as voucherify:
        yield voucherify


@pytest.fixture
def fast_tap(voucherify: Sandbox, tmp_path: Path) -> Tap:
    """Return the tap with a fast clock, configured for that sandbox."""
    return Tap(tmp_path, voucherify.config, speed=100)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for localhost that no client trusts."""
    directory = tmp_path_factory.mktemp("certificate")
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "certificate.pem")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", *kind, *names, *files, "-days", "2"]
    subprocess.run(command, check=True, capture_output=True)
    both = directory / "both.pem"
    texts = [(directory / name).read_text() for name in ("key.pem", "certificate.pem")]
    both.write_text("".join(texts))
    return both


def check_complete(voucherify: Sandbox, run: Run) -> None:
    """Check that a run has emitted every record."""
    assert (run.exit_code, run.errors) == (0, []), run.stderr
    expected = [expected_record("customers", row) for row in voucherify.rows("customer")]
    assert run.records("customers") == expected


def lead_elsewhere(voucherify: Sandbox, url: str) -> None:
    """Make the links of exports lead to another site."""

    def change(export: Json) -> Json:
        if export["status"] == "DONE":
            link = urlsplit(export["result"]["url"])
            export["result"]["url"] = f"{url}{link.path}?{link.query}"
        return export

    voucherify.faults.add(Fault(on="poll", action=Amend(change), times=None))


def redirect_downloads(voucherify: Sandbox, url: str, status: int = 302) -> None:
    """Redirect downloads to the same path of another site."""

    def location(export: Json) -> Json:
        if export["status"] == "DONE":
            link = urlsplit(export["result"]["url"])
            target = f"{url}{link.path}?{link.query}"
            reply = Reply(status, b"moved", {"Location": target})
            voucherify.faults.add(Fault(on="download", action=reply))
        return export

    voucherify.faults.add(Fault(on="poll", action=Amend(location), times=None))


# What is printed


@dataclass(frozen=True)
class Scene:
    """A run in which secrets could leak.

    Attributes:
        prepare: Makes something go wrong.
        settings: Additional settings.
        exit_code: The exit code of the run.
    """

    prepare: Callable[[Sandbox], object] = lambda _: None
    settings: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0


def faulty(on: Any, action: Any, times: int | None = None) -> Callable[[Sandbox], object]:
    """Return a function that adds a fault."""
    return lambda voucherify: voucherify.faults.add(Fault(on=on, action=action, times=times))


def echo(voucherify: Sandbox) -> None:
    """Make an error repeat the credentials of the request."""
    text = f"{voucherify.app_token} of {voucherify.app_id}"
    error = {"key": "odd", "message": text, "details": f"Bearer {text}", "request_id": text}
    voucherify.faults.add(Fault(on="create", action=Reply(400, error)))


def expire(voucherify: Sandbox) -> None:
    """Make every download link invalid."""
    voucherify.behaviour = Behaviour(token_seconds=-1)


IMPATIENT = {"max_retry_seconds": 100}
SCENES = {
    "success": Scene(),
    "oauth": Scene(settings={"use_oauth": True}),
    "deleting": Scene(settings={"delete_exports": True}),
    "wrong_key": Scene(faulty("create", Reply(401)), exit_code=1),
    "echo": Scene(echo, exit_code=1),
    "oauth_rejected": Scene(faulty("oauth", Reply(403)), {"use_oauth": True}, exit_code=1),
    "links_expired": Scene(expire, exit_code=1),
    "no_response": Scene(faulty("download", Raw(reset=True)), IMPATIENT, exit_code=1),
    "closed_port": Scene(lambda v: lead_elsewhere(v, "http://127.0.0.1:1"), IMPATIENT, exit_code=1),
    "insecure_link": Scene(lambda v: lead_elsewhere(v, "http://example.com"), exit_code=1),
    "broken_link": Scene(lambda v: lead_elsewhere(v, "https://[::1"), exit_code=1),
    "link_to_nowhere": Scene(lambda v: lead_elsewhere(v, "https://a..b"), exit_code=1),
    "insecure_redirect": Scene(lambda v: redirect_downloads(v, "http://example.com"), exit_code=1),
    "links_as_keys": Scene(
        faulty("poll", Amend(lambda body: {**body, "result": {body["result"]["url"]: 1, "a": 2}})),
        exit_code=1,
    ),
    "link_as_status": Scene(
        faulty("poll", Amend(lambda body: {**body, "status": body["result"]["url"]})), exit_code=1
    ),
    "bad_header": Scene(faulty("download", Rewrite(lambda _: b"a,b\r\n1,2\r\n")), exit_code=1),
    "server_errors": Scene(faulty("download", Reply(502, b"oops")), IMPATIENT, exit_code=1),
}


@pytest.mark.parametrize("logging", ["plain", "structured"])
@pytest.mark.parametrize("name", SCENES)
def test_no_output_holds_a_secret(  # noqa: PLR0913 - each is a fixture or a parameter
    *,
    voucherify: Sandbox,
    fast_tap: Tap,
    customers: Json,
    tmp_path: Path,
    name: str,
    logging: str,
) -> None:
    """Neither records, state nor any log, at any level and of any library, contains a secret."""
    scene = SCENES[name]
    scene.prepare(voucherify)
    fast_tap.environment |= PLAIN
    if logging == "structured":
        fast_tap.environment["SINGER_SDK_LOG_CONFIG"] = str(fast_tap.write(STRUCTURED))

    run = fast_tap.run(catalog=customers, **scene.settings)

    printed = run.stdout + run.stderr
    if logging == "structured":
        printed += (tmp_path / "tap.log").read_text(encoding="utf-8")
    assert run.exit_code == scene.exit_code
    # The lines of libraries are logged, without the secrets.
    assert '"POST /v1/' in printed.replace("\\", "")
    for secret in [*voucherify.secrets, voucherify.app_id]:
        assert secret not in printed


def test_an_access_token_is_not_printed(
    voucherify: Sandbox, fast_tap: Tap, customers: Json
) -> None:
    """The setting `access_token` is masked, even where an error repeats it."""
    response = requests.post(
        f"{voucherify.api_url}/v1/oauth/token",
        data={"grant_type": "client_credentials", "scope": "exports"},
        headers={"X-App-Id": voucherify.app_id, "X-App-Token": voucherify.app_token},
        timeout=10,
    )
    token = response.json()["access_token"]
    fast_tap.environment |= PLAIN
    keys = {"app_id": None, "app_token": None}

    run = fast_tap.run(catalog=customers, access_token=token, **keys)
    check_complete(voucherify, run)
    voucherify.faults.add(Fault(on="create", action=Reply(401, {"message": f"Who is {token}?"})))
    rejected = fast_tap.run(catalog=customers, access_token=token, **keys)

    assert rejected.exit_code == 1
    assert "***" in rejected.errors[0]
    assert "access_token" in rejected.errors[0]
    assert token not in run.stdout + run.stderr + rejected.stdout + rejected.stderr


# Where credentials go


@pytest.mark.parametrize("lead", [lead_elsewhere, redirect_downloads])
def test_an_ambiguous_address_gets_no_credentials(
    voucherify: Sandbox,
    fast_tap: Tap,
    customers: Json,
    certificate: Path,
    lead: Callable[[Sandbox, str], None],
) -> None:
    """No credentials go to a host whose URL only looks like the API's."""
    with Relay(voucherify.download_url, {}, certificate) as elsewhere:
        lead(voucherify, f"{elsewhere.url}\\@127.0.0.1")
        fast_tap.environment["REQUESTS_CA_BUNDLE"] = str(certificate)
        run = fast_tap.run(catalog=customers)

    assert run.exit_code == 1
    assert len(run.errors) == 1
    assert not elsewhere.header_names() & CREDENTIALS


def test_a_foreign_host_gets_no_credentials(
    voucherify: Sandbox, fast_tap: Tap, customers: Json, certificate: Path
) -> None:
    """A file on another host is downloaded over HTTPS without credentials."""
    keys = {"X-App-Id": voucherify.app_id, "X-App-Token": voucherify.app_token}
    with Relay(voucherify.download_url, keys, certificate) as elsewhere:
        lead_elsewhere(voucherify, elsewhere.url)
        fast_tap.environment["REQUESTS_CA_BUNDLE"] = str(certificate)
        run = fast_tap.run(catalog=customers)

    check_complete(voucherify, run)
    assert len(elsewhere.requests) == 1
    assert not elsewhere.header_names() & CREDENTIALS


@pytest.mark.parametrize("settings", [{}, {"use_oauth": True}])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_credentials_along(  # noqa: PLR0913 - each is a fixture or a parameter
    *,
    voucherify: Sandbox,
    fast_tap: Tap,
    customers: Json,
    certificate: Path,
    settings: Json,
    status: int,
) -> None:
    """A download redirected to another host continues there without credentials."""
    keys = {"X-App-Id": voucherify.app_id, "X-App-Token": voucherify.app_token}
    with Relay(voucherify.download_url, keys, certificate) as elsewhere:
        redirect_downloads(voucherify, elsewhere.url, status)
        fast_tap.environment["REQUESTS_CA_BUNDLE"] = str(certificate)
        run = fast_tap.run(catalog=customers, **settings)

    check_complete(voucherify, run)
    assert len(elsewhere.requests) == 1
    assert not elsewhere.header_names() & CREDENTIALS


@pytest.mark.parametrize("kind", ["create", "poll", "oauth"])
def test_a_call_is_not_redirected(
    voucherify: Sandbox, fast_tap: Tap, customers: Json, certificate: Path, kind: Any
) -> None:
    """An API call that is redirected to another host is an error."""
    with Relay(voucherify.api_url, {}, certificate) as elsewhere:
        reply = Reply(307, b"", {"Location": f"{elsewhere.url}/v1/exports"})
        voucherify.faults.add(Fault(on=kind, action=reply, times=None))
        fast_tap.environment["REQUESTS_CA_BUNDLE"] = str(certificate)
        run = fast_tap.run(catalog=customers, use_oauth=True)

    assert run.exit_code == 1
    assert len(run.errors) == 1
    assert "redirect to localhost" in run.errors[0]
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "environment", [{}, {"REQUESTS_CA_BUNDLE": ""}, {"CURL_CA_BUNDLE": ""}, {"SSL_VERIFY": "0"}]
)
def test_an_unknown_authority_is_not_trusted(
    voucherify: Sandbox,
    fast_tap: Tap,
    customers: Json,
    certificate: Path,
    environment: dict[str, str],
) -> None:
    """An untrusted certificate is an error that says how to name a private authority."""
    with Relay(voucherify.download_url, {}, certificate) as elsewhere:
        lead_elsewhere(voucherify, elsewhere.url)
        fast_tap.environment |= environment
        run = fast_tap.run(catalog=customers)

    assert run.exit_code == 1
    assert len(run.errors) == 1
    assert "REQUESTS_CA_BUNDLE" in run.errors[0]
    assert elsewhere.requests == []


def test_netrc_is_not_consulted(
    voucherify: Sandbox, fast_tap: Tap, customers: Json, certificate: Path, tmp_path: Path
) -> None:
    """Passwords in `.netrc` are never sent."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\nmachine localhost login a password b\n")
    netrc.chmod(0o600)
    keys = {"X-App-Id": voucherify.app_id, "X-App-Token": voucherify.app_token}
    with Relay(voucherify.download_url, keys, certificate) as elsewhere:
        redirect_downloads(voucherify, elsewhere.url)
        fast_tap.environment |= {
            "HOME": str(tmp_path),
            "NETRC": str(netrc),
            "REQUESTS_CA_BUNDLE": str(certificate),
        }
        run = fast_tap.run(catalog=customers)

    check_complete(voucherify, run)
    assert not elsewhere.header_names() & CREDENTIALS
    assert all("authorization" not in request.headers for request in voucherify.requests)


def test_this_machine_is_not_reached_through_a_proxy(
    voucherify: Sandbox, fast_tap: Tap, customers: Json
) -> None:
    """Requests to a loopback API bypass a proxy, which would see the key in clear text."""
    with Relay("", {}) as proxy:
        fast_tap.environment |= {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "NO_PROXY": ""}
        fast_tap.environment |= {"no_proxy": ""}
        run = fast_tap.run(catalog=customers)

    check_complete(voucherify, run)
    assert list(proxy.requests) == []


@pytest.mark.parametrize(
    ("proxy", "api_url", "expected"),
    [
        (
            "socks5://user:pass-word@127.0.0.1:1",
            "https://api.example.com",
            "invalid proxy in the environment",
        ),
        (
            "http://user:pass-word@:3128",
            "https://api.example.com",
            "invalid proxy in the environment",
        ),
        (
            "http://user:pass-word@h:port",
            "https://api.example.com",
            "invalid proxy in the environment",
        ),
        ("", "https://a..b", "invalid URL: a..b"),
    ],
    ids=["without_pysocks", "without_a_host", "without_a_number_as_port", "without_a_proxy"],
)
def test_an_address_that_cannot_be_used_is_reported(
    fast_tap: Tap, proxy: str, api_url: str, expected: str
) -> None:
    """An invalid proxy or host is named in an error that shows no password."""
    proxies = dict.fromkeys(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"], proxy)
    fast_tap.environment |= {**proxies, "NO_PROXY": "", "no_proxy": ""}

    config = {**fast_tap.config, **({"api_url": api_url} if api_url else {})}
    run = fast_tap.command(*fast_tap.options(config), "--test")

    assert run.exit_code == 1
    assert [line for line in run.errors if expected in line]
    assert "pass-word" not in run.stderr
    assert "Traceback" not in run.stderr


def test_catalog_and_state_hold_no_secret(
    voucherify: Sandbox, fast_tap: Tap, customers: Json
) -> None:
    """The state contains only bookmarks, and neither it nor the catalog contains secrets."""
    state = fast_tap.run(catalog=customers).state
    bookmark = {"replication_key", "replication_key_value"}

    assert set(state) == {"bookmarks"}
    assert set(state["bookmarks"]["customers"]) == bookmark
    catalog = json.dumps(json.loads(fast_tap.command("--discover").stdout))
    assert all(secret not in catalog for secret in [*voucherify.secrets, voucherify.app_id])
