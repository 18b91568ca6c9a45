"""`AsyncClient` and `Client`: httpx's behaviour, the arguments that they refuse, and tokens."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic.testing import MockProvider
from tests._support.clients import KINDS, both, refused
from tests._support.mocks import client_of
from tests._support.pki import mint
from tests._support.swapping import PairOnDisk


@KINDS
def test_a_client_tells_the_certificate_in_service(kind: Any, tmp_path: Path) -> None:
    """`certificate` is the current one, also after a reload; None without one."""
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
    assert client.auth.reload_certificate_sync()

    assert client.certificate.leaf.der == new.der
    assert isinstance(config.certificate, seic.ClientCertificate)
    assert config.certificate.leaf.der == old.der
    assert kind(seic.Config(**stated)).certificate is None


# As httpx users expect


async def test_a_call_has_token_and_key_and_a_base_url(gateway: MockProvider) -> None:
    """The URL may be a path; both kinds of client send the same."""
    client, blocking = both(gateway)
    async with client:
        reply = await client.get("/v1/echo", params={"limit": 50})
    with blocking:
        twin = blocking.get("/v1/echo", params={"limit": 50})

    for one in (reply.request, twin.request):
        assert str(one.url) == "https://api.example/v1/echo?limit=50"
        assert one.headers["Authorization"].startswith("Bearer token-")
        assert one.headers["AppKey"] == "AppKey-1"


async def test_httpx_keywords_work(gateway: MockProvider) -> None:
    """Headers, cookies, parameters, timeout, redirects, hooks, encoding and limits work as in httpx."""
    heard: list[str] = []

    async def hook(request: httpx.Request) -> None:
        heard.append(request.url.path)

    client = client_of(
        gateway,
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
    assert heard == ["/v1/echo"]  # the token request is not the user's


async def test_a_base_url_below_the_origin_is_kept(gateway: MockProvider) -> None:
    """A path in `base_url` is prefixed as in httpx."""
    async with client_of(gateway, base_url="https://api.example/v1") as client:
        reply = await client.get("echo")

    assert str(reply.request.url) == "https://api.example/v1/echo"


async def test_every_way_to_send_goes_through_the_auth(gateway: MockProvider) -> None:
    """A request from `build_request` and a stream have a token as well."""
    async with client_of(gateway) as client:
        built = await client.send(client.build_request("PUT", "/a", json={}))
        async with client.stream("GET", "/b") as streamed:
            await streamed.aread()

    assert built.request.headers["Authorization"] == "Bearer token-1"
    assert streamed.request.headers["Authorization"] == "Bearer token-1"


async def test_a_call_without_auth_stays_in_the_origin(gateway: MockProvider) -> None:
    """It has no token, but the connection would present the certificate."""
    client, blocking = both(gateway)
    async with client:
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://evil.example/", auth=None)
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/", auth=None)


async def test_a_url_without_a_scheme_is_a_path(gateway: MockProvider) -> None:
    """Httpx appends the path of `//host/path` to the base URL."""
    async with client_of(gateway) as client:
        reply = await client.get("//evil.example/x")

    assert str(reply.request.url) == "https://api.example/x"


async def test_a_foreign_url_costs_no_token(gateway: MockProvider) -> None:
    """The origin is checked first."""
    client, blocking = both(gateway)
    async with client:
        with pytest.raises(seic.HostNotAllowed) as caught:
            await client.get("https://evil.example/")
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/")

    assert caught.value.host == "evil.example"
    assert gateway.issued_tokens == 0


@KINDS
def test_http2_asks_for_its_package_at_once(kind: Any, gateway: MockProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The constructor raises httpx's error, which names the package to install."""
    monkeypatch.setitem(sys.modules, "h2", None)

    with pytest.raises(ImportError, match=r"httpx\[http2\]"):
        kind(gateway.config(), http2=True)


# Arguments that the configuration decides


@KINDS
@pytest.mark.parametrize("option", ["verify", "cert", "proxy", "trust_env", "local_address"])
def test_trust_and_identity_are_the_configurations_to_say(kind: Any, option: str, gateway: MockProvider) -> None:
    """Each is refused, and the error names the setting of `Config`."""
    error = refused(kind, gateway.config(), **{option: False})

    assert error.field == option
    assert "not to token requests; set seic.Config(" in str(error)


@KINDS
def test_a_client_is_made_of_a_config(kind: Any) -> None:
    """A URL in place of a `Config` is an error."""
    assert refused(kind, "https://api.example").field == "config"


class Recorder:
    """Answers 200, and records the URLs."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.urls.append(str(request.url))
        return httpx.Response(200)


async def test_a_mount_carries_calls_of_the_origin_only(gateway: MockProvider) -> None:
    """Transports in `mounts` check the origin too; None is the client's own transport, as in httpx."""
    recorder = Recorder()
    mounts: dict[str, Any] = {"all://": httpx.MockTransport(recorder), "https://api.example/": None}
    client, blocking = both(gateway, mounts=mounts)
    async with client:
        assert (await client.get("/")).json() == {"path": "/"}  # the gateway's own answer
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://evil.example/", auth=None)
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/", auth=None)
    assert recorder.urls == []
    async with client_of(gateway, mounts={"https://": httpx.MockTransport(recorder)}) as mounted:
        assert (await mounted.get("/mounted")).status_code == 200
    assert recorder.urls == ["https://api.example/mounted"]


# Tokens


async def test_the_token_itself_can_be_had(gateway: MockProvider) -> None:
    """`token` returns the token that requests use; with `force` a new one."""
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
    """`from_env` accepts the arguments of `Config.from_env` and of the client."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"SEIC_{name}", "x")
    monkeypatch.setenv("SEIC_ENVIRONMENT", "test")

    client = kind.from_env(timeout=3)

    assert str(client.base_url) == "https://test.api.seic.com"
    assert client.timeout == httpx.Timeout(3)


@KINDS
def test_a_client_is_made_of_other_variables_and_settings(kind: Any, gateway: MockProvider) -> None:
    """`environ` replaces the environment, and a setting replaces a variable."""
    environ = {"SEIC_CLIENT_ID": "AppKey-1", "SEIC_USERNAME": "svc-user", "SEIC_PASSWORD": "password-1"}
    client = kind.from_env(
        environ,
        client_secret="AppSecret-1",
        hosts=seic.Hosts(api="api.example"),
        transport=gateway,
        retry=seic.Retry(),
        headers={"X-Team": "a"},
    )

    assert str(client.base_url) == "https://api.example"
    assert client.headers["X-Team"] == "a"
    assert client.auth.token_sync().access_token == "token-1"
    assert gateway.forms[0]["username"] == "svc-user"


@KINDS
def test_an_argument_that_does_not_exist_is_a_type_error(kind: Any) -> None:
    """As in httpx; type checkers find it earlier."""
    with pytest.raises(TypeError, match="timeouts"):
        kind.from_env(
            {"SEIC_CLIENT_ID": "a", "SEIC_USERNAME": "b", "SEIC_PASSWORD": "c", "SEIC_CLIENT_SECRET": "d"}, timeouts=3
        )
