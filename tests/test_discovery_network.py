"""Discovery on the wire: the identity, the network and the words for what fails are those of token calls."""

from __future__ import annotations

import asyncio
import json
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
    monkeypatch.setattr(_discovery, "_known", {})
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Issuer:
    """A TLS server that describes itself; `far` is the server."""

    def __init__(self, far: TlsServer) -> None:
        self.far = far
        self.url = f"https://localhost:{far.port}"
        body = json.dumps({"issuer": self.url, "token_endpoint": f"{self.url}/token"})
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        far.reply = f"{head}{body}".encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """One that demands a client certificate."""
    with TlsServer(server(ROOT), trusts=ROOT) as far:
        yield Issuer(far)


def awaited(issuer: str, **options: Any) -> seic.Provider:
    """Ask in an event loop."""
    return asyncio.run(seic.discover(issuer, **options))


WAYS: list[Callable[..., seic.Provider]] = [awaited, seic.discover_sync]


def held(minted: Minted) -> seic.ClientCertificate:
    """The pair as users hold it."""
    return seic.ClientCertificate.load(minted.pair)


@pytest.mark.parametrize("kind", ["certificate", "callback"])
@pytest.mark.parametrize("discover", WAYS)
def test_the_certificate_is_presented(discover: Callable[..., seic.Provider], kind: str, issuer: Issuer) -> None:
    """A certificate or what returns one, as in a configuration; the answer is remembered for that identity."""
    stated: Any = held(CLIENT) if kind == "certificate" else lambda: held(CLIENT)
    for _ in range(2):
        provider = discover(issuer.url, ca=ROOT.pem, certificate=stated)
        assert provider.token_url == f"{issuer.url}/token"
    assert issuer.far.peers == [CLIENT.der]


@pytest.mark.parametrize("kind", ["certificate", "callback"])
@pytest.mark.parametrize("discover", WAYS)
def test_an_expired_certificate_is_told_before_the_connection(
    discover: Callable[..., seic.Provider], kind: str, issuer: Issuer
) -> None:
    """Its dates are looked at first, and nobody is called."""
    stated: Any = held(STALE) if kind == "certificate" else lambda: held(STALE)
    with pytest.raises(seic.CertificateError, match="the certificate expired on") as caught:
        discover(issuer.url, ca=ROOT.pem, certificate=stated)
    assert caught.value.reason == "expired"
    assert (issuer.far.peers, issuer.far.failures) == ([], [])


@pytest.mark.parametrize(
    ("certificate", "reason", "words"),
    [
        pytest.param(None, "demanded", "none is configured; pass certificate=", id="none"),
        pytest.param(mint(issuer=OTHER), "unknown-to-server", "does not know the authority", id="unknown"),
    ],
)
@pytest.mark.parametrize("discover", WAYS)
def test_a_refused_handshake_is_explained(
    discover: Callable[..., seic.Provider], certificate: Minted | None, reason: str, words: str, issuer: Issuer
) -> None:
    """By the server's alert, in the words of a token call."""
    with pytest.raises(seic.CertificateError, match=words) as caught:
        discover(issuer.url, ca=ROOT.pem, certificate=None if certificate is None else held(certificate))
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"localhost:{issuer.far.port}: ")


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        pytest.param(server(ROOT, not_after=NOW - DAY / 2), "has expired, for no authority that is", id="expired"),
        pytest.param(server(ROOT, "other.example"), "another host name", id="wrong-host"),
        pytest.param(server(OTHER), "authority that is not trusted here", id="unknown-authority"),
    ],
)
@pytest.mark.parametrize("discover", WAYS)
def test_a_server_that_we_refuse_is_explained(
    discover: Callable[..., seic.Provider], identity: Minted, words: str
) -> None:
    """What is wrong with its certificate stands in the error."""
    with TlsServer(identity) as far, pytest.raises(seic.TokenEndpointUnavailable, match=words):
        discover(Issuer(far).url, ca=ROOT.pem)


@pytest.mark.parametrize("discover", WAYS)
def test_a_closed_port_is_explained(discover: Callable[..., seic.Provider]) -> None:
    """Nothing listens there, and the error says what to check."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://localhost:{closed.getsockname()[1]}"
        with pytest.raises(seic.TokenEndpointUnavailable, match="nothing listens on that port"):
            discover(url)


@pytest.mark.parametrize("by", ["option", "variable"])
@pytest.mark.parametrize("discover", WAYS)
def test_it_goes_through_the_proxy(
    discover: Callable[..., seic.Provider], by: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy that is stated, or the environment's, carries the call in a tunnel."""
    with ConnectProxy() as proxy:
        options = {"proxy": proxy.url} if by == "option" else {}
        if by == "variable":
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        discover(issuer.url, ca=ROOT.pem, certificate=held(CLIENT), **options)
    assert proxy.targets == [f"localhost:{issuer.far.port}"]
    assert issuer.far.peers == [CLIENT.der]


@pytest.mark.parametrize("discover", WAYS)
def test_the_environment_may_be_left_out(
    discover: Callable[..., seic.Provider], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`trust_env=False` goes straight, whatever the variables name."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    discover(issuer.url, ca=ROOT.pem, certificate=held(CLIENT), trust_env=False)
    assert issuer.far.peers == [CLIENT.der]


@pytest.mark.parametrize("discover", WAYS)
def test_it_leaves_from_the_local_address(discover: Callable[..., seic.Provider], issuer: Issuer) -> None:
    """One of another machine cannot be left from, and the error names the setting."""
    with pytest.raises(seic.TokenEndpointUnavailable, match=r"local_address 192\.0\.2\.10 is not an address of this"):
        discover(issuer.url, ca=ROOT.pem, certificate=held(CLIENT), local_address="192.0.2.10")
    discover(issuer.url, ca=ROOT.pem, certificate=held(CLIENT), local_address="127.0.0.1")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"proxy": "ftp://x"}, "proxy"),
        ({"local_address": "eth0"}, "local_address"),
        ({"certificate": "client.pem"}, "certificate"),
        ({"certificate": seic.ClientCertificate}, "certificate"),
    ],
)
@pytest.mark.parametrize("discover", WAYS)
def test_a_malformed_option_is_named(
    discover: Callable[..., seic.Provider], options: dict[str, Any], field: str
) -> None:
    """As by a configuration, before anybody is called."""
    with pytest.raises(seic.ConfigurationError) as caught:
        discover("https://idp.example", **options)
    assert caught.value.field == field
