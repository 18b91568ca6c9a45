"""The ready clients, as users of httpx expect them, and what they refuse."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic._transport import identity_of
from tests._support.clients import KINDS, both, refused
from tests._support.fakes.gateway import FakeGateway
from tests._support.pki import mint
from tests._support.swapping import PairOnDisk


@KINDS
def test_a_client_tells_the_certificate_in_service(kind: Any, tmp_path: Path) -> None:
    """After a renewal it is the new one, whatever was loaded once; without one there is none."""
    old, new = mint(number=61), mint(number=62)
    disk = PairOnDisk(tmp_path, old)
    stated: dict[str, Any] = {
        "provider": seic.OAUTH2,
        "hosts": seic.Hosts(api="api.example", mtls="mtls.example"),
        "client_id": "AppKey-1",
        "client_secret": "AppSecret-1",
        "grant": seic.ClientCredentials(),
    }
    config = seic.Config(**stated, certificate=disk.load())
    client = kind(config)
    assert client.certificate == config.certificate

    disk.put(new)
    assert identity_of(config).reload()

    assert client.certificate.leaf.der == new.der
    assert isinstance(config.certificate, seic.ClientCertificate)
    assert config.certificate.leaf.der == old.der
    assert kind(seic.Config(**stated)).certificate is None


# As httpx users expect


async def test_a_call_has_token_and_key_and_a_base_url(gateway: FakeGateway) -> None:
    """A path is enough, and both kinds of client send the same."""
    client, blocking = both(gateway)
    async with client:
        reply = await client.get("/v1/echo", params={"limit": 50})
    with blocking:
        twin = blocking.get("/v1/echo", params={"limit": 50})

    for one in (reply.request, twin.request):
        assert str(one.url) == "https://api.seic.com/v1/echo?limit=50"
        assert one.headers["Authorization"].startswith("Bearer token-")
        assert one.headers["AppKey"] == "AppKey-1"


async def test_httpx_keywords_work(gateway: FakeGateway) -> None:
    """Headers, cookies, parameters, timeout, redirects, hooks, encoding and limits are httpx's and stay so."""
    heard: list[str] = []

    async def hook(request: httpx.Request) -> None:
        heard.append(request.url.path)

    client = gateway.client(
        headers={"X-Team": "a"},
        cookies={"c": "1"},
        params={"p": "2"},
        timeout=7,
        follow_redirects=True,
        max_redirects=3,
        event_hooks={"request": [hook]},
        limits=httpx.Limits(max_connections=5),
        default_encoding="latin-1",
        http1=True,
        http2=False,
        mounts=None,
        proxy=None,
    )
    async with client:
        reply = await client.get("/v1/echo")

    assert reply.request.headers["X-Team"] == "a"
    assert reply.request.headers["Cookie"] == "c=1"
    assert reply.request.url.query == b"p=2"
    assert reply.request.extensions["timeout"] == dict.fromkeys(("connect", "read", "write", "pool"), 7)
    assert client.follow_redirects
    assert heard == ["/v1/echo"]  # the token call is not the user's request


async def test_a_base_url_below_the_origin_is_kept(gateway: FakeGateway) -> None:
    """A user's own base path is prefixed as httpx does it."""
    async with gateway.client(base_url="https://api.seic.com/v1") as client:
        reply = await client.get("echo")

    assert str(reply.request.url) == "https://api.seic.com/v1/echo"


async def test_every_way_to_send_goes_through_the_auth(gateway: FakeGateway) -> None:
    """A request built by hand and a stream have a token as well."""
    async with gateway.client() as client:
        built = await client.send(client.build_request("PUT", "/a", json={}))
        async with client.stream("GET", "/b") as streamed:
            await streamed.aread()

    assert built.request.headers["Authorization"] == "Bearer token-1"
    assert streamed.request.headers["Authorization"] == "Bearer token-1"


async def test_a_call_without_auth_stays_in_the_origin(gateway: FakeGateway) -> None:
    """It has no token, but the certificate would still go to whoever asks for it."""
    client, blocking = both(gateway)
    async with client:
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://evil.example/", auth=None)
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/", auth=None)


async def test_a_url_without_a_scheme_is_a_path(gateway: FakeGateway) -> None:
    """What a browser would take for a host, httpx takes the path of, and puts it below the base URL."""
    async with gateway.client() as client:
        reply = await client.get("//evil.example/x")

    assert str(reply.request.url) == "https://api.seic.com/x"


async def test_a_foreign_url_costs_no_token(gateway: FakeGateway) -> None:
    """The guard comes before everything else."""
    client, blocking = both(gateway)
    async with client:
        with pytest.raises(seic.HostNotAllowed) as caught:
            await client.get("https://evil.example/")
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/")

    assert caught.value.host == "evil.example"
    assert gateway.tokens == 0


@KINDS
def test_http2_asks_for_its_package_at_once(kind: Any, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the client cannot be made: httpx's own error says what to install, before the first call."""
    monkeypatch.setitem(sys.modules, "h2", None)

    with pytest.raises(ImportError, match=r"httpx\[http2\]"):
        kind(gateway.config(), http2=True)


# What would go past the identity


@KINDS
@pytest.mark.parametrize("option", ["verify", "cert", "proxy", "trust_env", "local_address"])
def test_trust_and_identity_are_the_configurations_to_say(kind: Any, option: str, gateway: FakeGateway) -> None:
    """Each is refused, with the place where it belongs."""
    error = refused(kind, gateway.config(), **{option: False})

    assert error.field == option
    assert "say it for both: seic.Config(" in str(error)


@KINDS
def test_a_client_is_made_of_a_config(kind: Any) -> None:
    """A URL in its place is named as the mistake."""
    assert refused(kind, "https://api.seic.com").field == "config"


class Recorder:
    """Answers 200, and notes what passes."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.urls.append(str(request.url))
        return httpx.Response(200)


async def test_a_mount_carries_calls_of_the_origin_only(gateway: FakeGateway) -> None:
    """A transport of the user's own for some URLs gets the same guard; None stands for the client's, as in httpx."""
    recorder = Recorder()
    mounts: dict[str, Any] = {"all://": httpx.MockTransport(recorder), "https://api.seic.com/": None}
    client, blocking = both(gateway, mounts=mounts)
    async with client:
        assert (await client.get("/")).json() == {"path": "/"}  # the gateway's own answer
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://evil.example/", auth=None)
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/", auth=None)
    assert recorder.urls == []
    async with gateway.client(mounts={"https://": httpx.MockTransport(recorder)}) as mounted:
        assert (await mounted.get("/mounted")).status_code == 200
    assert recorder.urls == ["https://api.seic.com/mounted"]


# Tokens


async def test_the_token_itself_can_be_had(gateway: FakeGateway) -> None:
    """`token` gives the one that calls use; `force` a new one."""
    client, blocking = both(gateway)
    async with client:
        first = await client.token()
        assert await client.token() is first
        assert (await client.token(force=True)).access_token == "token-2"
    with blocking:
        assert blocking.token().access_token == "token-3"
        assert blocking.token(force=True).access_token == "token-4"

    assert first.access_token == "token-1"


@KINDS
def test_a_client_is_made_of_the_environment(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` is `Config.from_env` and the client's own keywords."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"SEIC_{name}", "x")
    monkeypatch.setenv("SEIC_ENVIRONMENT", "test")

    client = kind.from_env(timeout=3)

    assert str(client.base_url) == "https://test.api.seic.com"
    assert client.timeout == httpx.Timeout(3)
