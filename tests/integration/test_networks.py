"""Proxies, local addresses and trust as in a bank's network, for token requests and API calls with mutual TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from tests._support.connect_proxy import ConnectProxy
from tests._support.edge import Edge, Line
from tests._support.pki import Minted, authority, mint, openssl, server
from tests._support.reports import report
from tests._support.swapping import settings_for
from tests._support.wire import wire

_CREDENTIALS = "proxy-user:proxy-Secret-77"
_SECRETS = ("AppSecret-1", "password-1", "AppKey-1", "token-")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def root() -> Minted:
    """Return the authority of client and server."""
    return authority()


@pytest.fixture
def certificate(root: Minted) -> seic.ClientCertificate:
    """Return the client certificate."""
    return seic.ClientCertificate.load(mint(issuer=root, number=41).pair)


@pytest.fixture
def edge(root: Minted, tmp_path: Path) -> Iterator[Edge]:
    """Run a gateway that requires a certificate."""
    with Edge(tmp_path / "nginx", root) as running:
        yield running


@pytest.fixture
def made(edge: Edge, root: Minted, certificate: seic.ClientCertificate) -> Callable[..., seic.Config]:
    """Return a function that creates configurations for the gateway with the certificate."""
    return lambda **changes: settings_for(edge, root, **{"certificate": certificate, **changes})


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    """Run a proxy without authentication."""
    with ConnectProxy() as running:
        yield running


async def call(config: seic.Config) -> None:
    """Make an API call with each kind of client, each with a token request."""

    def block() -> None:
        with seic.Client(config) as client:
            assert client.get("/v1/echo").status_code == 200

    async with seic.AsyncClient(config) as client:
        assert (await client.get("/v1/echo")).status_code == 200
    await asyncio.to_thread(block)


def assert_served_by_mutual_tls(log: list[Line]) -> None:
    """Check that both clients made a token request and an API call, each with the certificate."""
    assert sorted(line.path for line in log) == ["/v1/echo"] * 2 + ["/v2/oauthtoken"] * 2
    assert {line.verify for line in log} == {"SUCCESS"}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used_for_all_requests(
    variable: str,
    edge: Edge,
    made: Callable[..., seic.Config],
    proxy: ConnectProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each connection has its own tunnel to the host; its content is TLS, without a readable secret."""
    monkeypatch.setenv(variable, proxy.url)
    await call(made())

    assert_served_by_mutual_tls(edge.log())
    assert proxy.targets == [edge.host] * 4
    assert not [secret for secret in _SECRETS if secret.encode() in proxy.seen]


@pytest.mark.parametrize("exempt", ["*", "localhost", "LOCALHOST:{port}", "other.example, localhost"])
async def test_no_proxy_excludes_hosts(
    exempt: str,
    edge: Edge,
    made: Callable[..., seic.Config],
    proxy: ConnectProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host in NO_PROXY is called directly."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", exempt.format(port=edge.port))
    await call(made())

    assert_served_by_mutual_tls(edge.log())
    assert proxy.heads == []


async def test_the_environment_is_read_only_with_trust_env(
    edge: Edge,
    made: Callable[..., seic.Config],
    proxy: ConnectProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`trust_env=False` ignores the variables."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    await call(made(trust_env=False))

    assert_served_by_mutual_tls(edge.log())
    assert proxy.heads == []


@pytest.mark.parametrize("kind", ["text", "httpx.URL", "httpx.Proxy"])
async def test_a_configured_proxy_overrides_the_environment(
    kind: str,
    edge: Edge,
    made: Callable[..., seic.Config],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The proxy receives its credentials; they are in no repr, no DEBUG log, and not in the tunnel."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    with ConnectProxy(_CREDENTIALS) as proxy:
        text = proxy.url.replace("//", f"//{_CREDENTIALS}@")
        stated: Any = {"text": text, "httpx.URL": httpx.URL(text), "httpx.Proxy": httpx.Proxy(text)}[kind]
        config = made(proxy=stated)
        await call(config)

    assert_served_by_mutual_tls(edge.log())
    assert proxy.targets == [edge.host] * 4
    assert all(b"proxy-authorization: basic" in head.lower() for head in proxy.heads)
    assert not [secret for secret in _SECRETS if secret.encode() in proxy.seen]
    for shown in (repr(config), str(config), repr(seic.AsyncTransport(config)), caplog.text):
        assert "proxy-Secret-77" not in shown
    assert f"proxy='{proxy.url}'" in repr(config)


async def test_a_proxy_that_refuses_is_named(edge: Edge, made: Callable[..., seic.Config]) -> None:
    """The error contains its address and response, but not its credentials."""
    with ConnectProxy(_CREDENTIALS) as proxy:
        wrong = proxy.url.replace("//", "//proxy-user:another-Secret-88@")
        config = made(proxy=wrong)
        async with seic.AsyncClient(config) as client:
            with pytest.raises(seic.TokenEndpointUnavailable) as token_error:
                await client.token()
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as plain:
            with pytest.raises(httpx.ProxyError) as api_error:
                await plain.get("/")

    for error in (token_error.value, api_error.value):
        assert f"through the proxy {proxy.url}: 407 Proxy Authentication Required" in str(error)
        assert "another-Secret-88" not in report(error)


@pytest.mark.parametrize("said", ["password", "header", "own header"])
async def test_credentials_in_the_response_of_a_proxy_are_masked(
    said: str, made: Callable[..., seic.Config], caplog: pytest.LogCaptureFixture
) -> None:
    """Its response contains its credentials, but no error, cause or log line of seic does."""
    basic = base64.b64encode(_CREDENTIALS.encode()).decode()
    echo = {"password": "proxy-Secret-77", "header": basic, "own header": "Bearer-Secret-99"}[said]
    with answering(f"HTTP/1.1 407 no {echo}\r\nContent-Length: 0\r\n\r\n".encode()) as port:
        url = f"http://localhost:{port}"
        proxy = (
            httpx.Proxy(url, headers={"Proxy-Authorization": f"Bearer {echo}"})
            if said == "own header"
            else url.replace("//", f"//{_CREDENTIALS}@")
        )
        config = made(proxy=proxy)
        async with seic.AsyncClient(config) as client:
            with pytest.raises(seic.TokenEndpointUnavailable) as token_error:
                await client.token()
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as plain:
            with pytest.raises(httpx.ProxyError) as api_error:
                await plain.get("/")

    for error in (token_error.value, api_error.value):
        assert f"through the proxy {url}: 407 no ***" in str(error)
        assert echo not in report(error)
    assert echo not in "".join(line.getMessage() for line in caplog.records if line.name == "seic")


async def test_an_unreachable_proxy_is_named(edge: Edge, made: Callable[..., seic.Config], proxy: ConnectProxy) -> None:
    """A failed connection to the proxy is not attributed to the provider."""
    config = made(proxy="http://127.0.0.1:1")
    async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client:
        with pytest.raises(httpx.ConnectError, match=r"through the proxy http://127\.0\.0\.1:1: .*NO_PROXY"):
            await client.get("/")


async def test_nothing_is_sent_unencrypted_to_a_proxy(proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an http host a configured proxy is refused, and one in the environment is ignored."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    with wire() as server:
        settings: dict[str, Any] = {
            "provider": seic.SEI_GATEWAY,
            "hosts": seic.Hosts(api=server.url, allow_http_on_loopback=True),
            "client_id": "AppKey-1",
            "client_secret": "AppSecret-1",
            "grant": seic.ClientCredentials(username="svc-user", password="password-1"),
        }
        with pytest.raises(seic.ConfigurationError) as caught:
            seic.Config(**settings, proxy=proxy.url)
        config = seic.Config(**settings)
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config)) as client:
            await client.get(f"{server.url}/v1/echo")
        heard = [one.path for one in server.heard]

    assert caught.value.field == "proxy"
    assert heard == ["/v1/echo"]
    assert proxy.heads == []


async def test_requests_use_the_configured_local_address(edge: Edge, made: Callable[..., seic.Config]) -> None:
    """The server sees the configured local address, for token requests and API calls."""
    await call(made(local_address="127.0.0.2"))

    log = edge.log()
    assert_served_by_mutual_tls(log)
    assert {line.address for line in log} == {"127.0.0.2"}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_the_environment_sets_the_authorities(
    variable: str, edge: Edge, made: Callable[..., seic.Config], root: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle, or a folder with hashed names; the system's own authorities do not trust this server."""
    folder = edge.folder / "trusted"
    folder.mkdir()
    name = openssl("x509", "-in", "@", "-hash", "-noout", given=root.pem).decode().strip()
    (folder / f"{name}.0").write_bytes(root.pem)
    monkeypatch.setenv(variable, str(folder / f"{name}.0" if variable == "SSL_CERT_FILE" else folder))
    await call(made(ca=None))

    assert_served_by_mutual_tls(edge.log())


async def test_an_ipv6_host_works(root: Minted, certificate: seic.ClientCertificate, tmp_path: Path) -> None:
    """`[::1]:port`, with a certificate for the address."""
    with Edge(tmp_path / "nginx", root, address="::1", identity=server(root, "::1")) as edge:
        hosts = seic.Hosts(mtls=f"[::1]:{edge.port}")
        await call(settings_for(edge, root, certificate=certificate, hosts=hosts))
        log = edge.log()

    assert_served_by_mutual_tls(log)
    assert {line.address for line in log} == {"::1"}


@contextlib.contextmanager
def answering(reply: bytes | None, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a server that answers each request and closes, or with None answers nothing, in place of a proxy."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                stream = tls.wrap_socket(connection, server_side=True) if tls else connection
                with stream:
                    stream.recv(65536)
                    stream.sendall(reply or b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _stranger(tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "stranger.pem").write_bytes(server(authority("Another Root", 71)).pair)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "stranger.pem")
    return context


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("row", ["closes", "garbles", "own certificate"])
async def test_a_failure_before_the_tunnel_is_attributed_to_the_proxy(
    row: str, blocking: bool, made: Callable[..., seic.Config], tmp_path: Path
) -> None:
    """The error names neither the provider nor the certificate for a failure before the tunnel."""
    own = row == "own certificate"
    scheme = "https" if own else "http"
    with answering(b"SSH-2.0\r\n\r\n" if row == "garbles" else None, tls=_stranger(tmp_path) if own else None) as port:
        config = made(proxy=f"{scheme}://localhost:{port}")

        async def call() -> None:
            if blocking:
                with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
                    client.get("/v1/echo")  # noqa: ASYNC212  # nothing else runs in this loop
            else:
                async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client:
                    await client.get("/v1/echo")

        with pytest.raises(httpx.TransportError) as caught:
            await call()

    assert f"could not be reached through the proxy {scheme}://localhost:{port}" in str(caught.value)
    assert "before TLS with the provider began" in str(caught.value)
    assert "our certificate" not in str(caught.value)
    assert "the server's certificate" not in str(caught.value)
