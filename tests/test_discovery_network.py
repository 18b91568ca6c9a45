"""Discovery over real TLS: certificates, proxies and error messages as for token requests."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import seic
from seic import _discovery
from tests._support.connect_proxy import ConnectProxy
from tests._support.pki import DAY, NOW, Minted, authority, mint, server
from tests._support.tls_servers import TlsServer

ROOT = authority()
OTHER = authority("Other Root", 71)
CLIENT = mint(issuer=ROOT)
STALE = mint(issuer=ROOT, not_before=NOW - 9 * DAY, not_after=NOW - DAY)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_discovery, "_cache", {})
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Issuer:
    """A TLS server with metadata; `server` is the server."""

    def __init__(self, tls_server: TlsServer) -> None:
        self.server = tls_server
        self.url = f"https://localhost:{tls_server.port}"
        body = json.dumps({"issuer": self.url, "token_endpoint": f"{self.url}/token"})
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        tls_server.reply = f"{head}{body}".encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Return an issuer that requires a client certificate."""
    with TlsServer(server(ROOT), trusts=ROOT) as tls_server:
        yield Issuer(tls_server)


def discover_async(issuer: str, **options: Any) -> seic.Provider:
    """Discover in an event loop."""
    return asyncio.run(seic.discover(issuer, **options))


VARIANTS: list[Callable[..., seic.Provider]] = [discover_async, seic.discover_sync]


def load(minted: Minted) -> seic.ClientCertificate:
    """Load a certificate."""
    return seic.ClientCertificate.load(minted.pair)


@pytest.mark.parametrize("kind", ["certificate", "callback"])
@pytest.mark.parametrize("discover", VARIANTS)
def test_the_certificate_is_presented(discover: Callable[..., seic.Provider], kind: str, issuer: Issuer) -> None:
    """A certificate or a callback, as in a configuration; the result is cached per identity."""
    source: Any = load(CLIENT) if kind == "certificate" else lambda: load(CLIENT)
    for _ in range(2):
        provider = discover(issuer.url, ca=ROOT.pem, certificate=source)
        assert provider.token_url == f"{issuer.url}/token"
    assert issuer.server.peers == [CLIENT.der]


@pytest.mark.parametrize("kind", ["certificate", "callback"])
@pytest.mark.parametrize("discover", VARIANTS)
def test_an_expired_certificate_is_an_error_before_the_connection(
    discover: Callable[..., seic.Provider], kind: str, issuer: Issuer
) -> None:
    """Its dates are checked first, without a connection."""
    source: Any = load(STALE) if kind == "certificate" else lambda: load(STALE)
    with pytest.raises(seic.CertificateError, match="the certificate expired on") as caught:
        discover(issuer.url, ca=ROOT.pem, certificate=source)
    assert caught.value.reason == "expired"
    assert (issuer.server.peers, issuer.server.failures) == ([], [])


@pytest.mark.parametrize(
    ("certificate", "reason", "words"),
    [
        pytest.param(None, "demanded", "none is configured; pass certificate=", id="none"),
        pytest.param(mint(issuer=OTHER), "unknown-to-server", "does not know the authority", id="unknown"),
    ],
)
@pytest.mark.parametrize("discover", VARIANTS)
def test_a_refused_handshake_is_explained(
    discover: Callable[..., seic.Provider], certificate: Minted | None, reason: str, words: str, issuer: Issuer
) -> None:
    """The server's alert is explained, as for a token request."""
    with pytest.raises(seic.CertificateError, match=words) as caught:
        discover(issuer.url, ca=ROOT.pem, certificate=None if certificate is None else load(certificate))
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"localhost:{issuer.server.port}: ")


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        pytest.param(server(ROOT, not_after=NOW - DAY / 2), "has expired (no authority that is", id="expired"),
        pytest.param(server(ROOT, "other.example"), "another host name", id="wrong-host"),
        pytest.param(server(OTHER), "authority that is not trusted here", id="unknown-authority"),
    ],
)
@pytest.mark.parametrize("discover", VARIANTS)
def test_an_invalid_server_certificate_is_explained(
    discover: Callable[..., seic.Provider], identity: Minted, words: str
) -> None:
    """The error names the defect of the certificate."""
    with TlsServer(identity) as tls_server, pytest.raises(seic.TokenEndpointUnavailable, match=re.escape(words)):
        discover(Issuer(tls_server).url, ca=ROOT.pem)


@pytest.mark.parametrize("discover", VARIANTS)
def test_a_closed_port_is_explained(discover: Callable[..., seic.Provider]) -> None:
    """The error says that nothing listens, and what to check."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://localhost:{closed.getsockname()[1]}"
        with pytest.raises(seic.TokenEndpointUnavailable, match="nothing listens on that port"):
            discover(url)


@pytest.mark.parametrize("by", ["option", "variable"])
@pytest.mark.parametrize("discover", VARIANTS)
def test_it_goes_through_the_proxy(
    discover: Callable[..., seic.Provider], by: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request uses a tunnel through the proxy of the argument or the environment."""
    with ConnectProxy() as proxy:
        options = {"proxy": proxy.url} if by == "option" else {}
        if by == "variable":
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        discover(issuer.url, ca=ROOT.pem, certificate=load(CLIENT), **options)
    assert proxy.targets == [f"localhost:{issuer.server.port}"]
    assert issuer.server.peers == [CLIENT.der]


@pytest.mark.parametrize("discover", VARIANTS)
def test_the_environment_can_be_ignored(
    discover: Callable[..., seic.Provider], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`trust_env=False` ignores the proxy variables."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    discover(issuer.url, ca=ROOT.pem, certificate=load(CLIENT), trust_env=False)
    assert issuer.server.peers == [CLIENT.der]


@pytest.mark.parametrize("discover", VARIANTS)
def test_the_local_address_is_used(discover: Callable[..., seic.Provider], issuer: Issuer) -> None:
    """An address of another machine cannot be used, and the error names the setting."""
    with pytest.raises(seic.TokenEndpointUnavailable, match=r"local_address 192\.0\.2\.10 is not an address of this"):
        discover(issuer.url, ca=ROOT.pem, certificate=load(CLIENT), local_address="192.0.2.10")
    discover(issuer.url, ca=ROOT.pem, certificate=load(CLIENT), local_address="127.0.0.1")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"proxy": "ftp://x"}, "proxy"),
        ({"local_address": "eth0"}, "local_address"),
        ({"certificate": "client.pem"}, "certificate"),
        ({"certificate": seic.ClientCertificate}, "certificate"),
    ],
)
@pytest.mark.parametrize("discover", VARIANTS)
def test_a_malformed_option_is_named(
    discover: Callable[..., seic.Provider], options: dict[str, Any], field: str
) -> None:
    """As in a configuration, before a connection is opened."""
    with pytest.raises(seic.ConfigurationError) as caught:
        discover("https://idp.example", **options)
    assert caught.value.field == field
