"""A renewed credential is tried by a request of its own before it replaces one that works."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from pathlib import Path

import httpx
import pytest

import seic
from seic.events import CertificateRejected, CertificateRotated, Event
from tests._support.connect_proxy import ConnectProxy
from tests._support.edge import Edge
from tests._support.pki import Minted, authority, mint, revocation_list, server
from tests._support.rotating import connect
from tests._support.swapping import PairOnDisk, settings_for
from tests._support.tls_servers import TLS12, TLS13, TlsServer


@pytest.fixture
def root() -> Minted:
    """Return the authority that the server knows."""
    return authority()


@pytest.fixture
def disk(root: Minted, tmp_path: Path) -> PairOnDisk:
    """Return the files of the first certificate."""
    return PairOnDisk(tmp_path / "pair", mint(issuer=root, number=51))


@pytest.fixture
def stranger() -> Minted:
    """Return a pair whose issuer the server does not know."""
    return mint(issuer=authority("Another root", 66), number=52)


def config_for(far: TlsServer, root: Minted, disk: PairOnDisk, **changes: object) -> seic.Config:
    """Return a configuration for a server."""
    settings: dict[str, object] = {
        "provider": seic.SEI_GATEWAY,
        "hosts": seic.Hosts(mtls=f"localhost:{far.port}"),
        "client_id": "AppKey-1",
        "client_secret": "AppSecret-1",
        "grant": seic.ClientCredentials(username="svc-user", password="password-1"),
        "certificate": disk.load(),
        "ca": root.pem,
    }
    return seic.Config(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_certificate_that_the_server_refuses_replaces_nothing(
    version: ssl.TLSVersion, root: Minted, disk: PairOnDisk, stranger: Minted
) -> None:
    """Under TLS 1.3 its handshake seems to succeed, so that the refusal comes with the first read."""
    with TlsServer(server(root), trusts=root, version=version) as far:
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            assert client.get("/").text == "ok"
            before = auth.certificate
            disk.put(stranger)
            with pytest.raises(seic.CertificateError) as caught:
                auth.reload_certificate_sync()
            assert client.get("/").text == "ok"
            assert auth.certificate == before
    assert caught.value.reason == seic.Reason.UNKNOWN_TO_SERVER
    assert "the renewed one does not work, so the last good one stays: localhost:" in str(caught.value)
    assert far.peers.count(stranger.der) == 0


def test_authorities_that_do_not_fit_the_server_replace_nothing(root: Minted, disk: PairOnDisk, tmp_path: Path) -> None:
    """The event has the reason and the file."""
    heard: list[Event] = []
    ca = tmp_path / "ca.pem"
    ca.write_bytes(root.pem)
    with TlsServer(server(root), trusts=root) as far:
        config = config_for(far, root, disk, ca=ca)
        auth = seic.OAuth2Auth(config, on_event=heard.append)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/")
            ca.write_bytes(authority("Another root", 66).pem)
            assert not auth.reload_certificate_sync()
            assert client.get("/").text == "ok"
    (event,) = [one for one in heard if isinstance(one, CertificateRejected)]
    assert (event.path, event.reason) == (str(ca), seic.Reason.SERVER_UNKNOWN_CA)


def test_a_host_that_is_down_holds_nothing_up(root: Minted, disk: PairOnDisk) -> None:
    """The certificate in service fails there too, so that this says nothing about the renewed one."""
    with TlsServer(server(root), trusts=root) as far:
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/")
    new = mint(issuer=root, number=53)
    disk.put(new)
    assert auth.reload_certificate_sync()
    assert auth.certificate is not None
    assert auth.certificate.leaf.der == new.der


def test_a_server_that_no_longer_takes_the_old_one_gets_the_new_one_at_once(
    root: Minted, disk: PairOnDisk, stranger: Minted
) -> None:
    """Whatever the probe of the new one says: there is nothing to lose."""
    with TlsServer(server(root), trusts=root) as far:
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/")
            with TlsServer(server(root), trusts=authority("Third root", 67)) as strict:
                far.context = strict.context
            disk.put(stranger)
            assert auth.reload_certificate_sync()


def test_without_probes_nothing_is_sent(root: Minted, disk: PairOnDisk, stranger: Minted) -> None:
    """`probe_rotation=False` uses what loads."""
    with TlsServer(server(root), trusts=root) as far:
        config = config_for(far, root, disk, probe_rotation=False)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/")
            disk.put(stranger)
            assert auth.reload_certificate_sync()
    assert len(far.peers) == 1


def test_a_probe_takes_the_way_of_calls_and_carries_no_secret(root: Minted, disk: PairOnDisk, tmp_path: Path) -> None:
    """It goes through the proxy, without a token, and calls nothing but the root."""
    new = mint(issuer=root, number=53)
    with Edge(tmp_path / "nginx", root) as edge, ConnectProxy() as proxy:
        config = settings_for(edge, root, certificate=disk.load(), proxy=proxy.url)
        with seic.Client(config) as client:
            assert client.get("/v1/echo").status_code == 200
            tunnels = len(proxy.targets)
            disk.put(new)
            assert client.reload_certificate()
            assert len(proxy.targets) == tunnels + 1
        (line,) = [line for line in edge.log(probes=True) if line.method == "OPTIONS"]
    assert (line.path, line.status, line.authorization, line.verify) == ("/", 200, "", "SUCCESS")
    assert line.agent.startswith("seic/")


class LateServer(TlsServer):
    """Accepts every certificate of its authority, and refuses some with the first call that is not a probe."""

    refused: bytes = b""

    def _answer(self, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True) as stream:
            peer, request = stream.getpeercert(binary_form=True), stream.recv(65536)
            page = b"<html><title>400 The SSL certificate error</title></html>"
            if peer == self.refused and not request.startswith(b"OPTIONS"):
                head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: %d\r\n" % len(page)
                stream.sendall(head + b"Connection: close\r\n\r\n" + page)
            else:
                self.peers.append(peer)
                stream.sendall(self.reply)


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_refusal_that_comes_later_brings_the_last_good_one_back_once(
    blocking: bool, root: Minted, disk: PairOnDisk
) -> None:
    """The call is answered; the refused one is not tried again until it is replaced or the other has died."""
    heard: list[Event] = []
    new, third = mint(issuer=root, number=53), mint(issuer=root, number=54)
    with LateServer(server(root), trusts=root) as far:
        far.refused = new.der
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config, on_event=heard.append)
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client:
            other = httpx.Client(transport=seic.Transport(config), base_url=config.base_url)

            async def call() -> str:
                return (await asyncio.to_thread(other.get, "/") if blocking else await client.get("/")).text

            assert await call() == "ok"
            old = auth.certificate
            disk.put(new)
            assert await auth.reload_certificate()
            assert await call() == "ok"
            assert auth.certificate == old
            # Nor is it tried again of itself, unless its files change.
            assert not await asyncio.to_thread(connect(config).check_for_update, urgent=True)
            assert await call() == "ok"
            assert far.peers[-1] != new.der
            disk.put(new)
            assert await auth.reload_certificate()
            assert await call() == "ok"
            assert auth.certificate == old
            far.refused = b""
            assert await auth.reload_certificate()
            assert await call() == "ok"
            assert far.peers[-1] == new.der

            far.refused = new.der
            disk.put(third)
            assert await auth.reload_certificate()
            assert await call() == "ok"
            assert far.peers[-1] == third.der
            await asyncio.to_thread(other.close)
    rejected = [one for one in heard if isinstance(one, CertificateRejected)]
    assert rejected[0].problem.startswith("it was refused after its first use: localhost:")
    assert rejected[0].problem.endswith("; the one before it is in use again")
    assert rejected[0].reason == seic.Reason.REFUSED
    assert len([one for one in heard if isinstance(one, CertificateRotated)]) == 4


class SilentServer(TlsServer):
    """Gives no answer to a probe: it closes the connection, or sends a byte now and then."""

    slow = False

    def _answer(self, connection: socket.socket) -> None:
        try:
            with self.context.wrap_socket(connection, server_side=True) as stream:
                self.peers.append(stream.getpeercert(binary_form=True))
                if not stream.recv(65536).startswith(b"OPTIONS"):
                    stream.sendall(self.reply)
                elif self.slow:
                    stream.sendall(b"HTTP/1.1 200 OK\r\nSlow: ")
                    while True:
                        stream.sendall(b"x")
                        threading.Event().wait(1)
        except OSError as failure:
            self.failures.append(failure)


def _without_tickets(context: ssl.SSLContext) -> None:
    # A ticket would show that the server has accepted the certificate.
    context.num_tickets = 0


def test_a_refusal_counts_where_the_server_answers_no_probe_of_the_old_one(
    root: Minted, disk: PairOnDisk, stranger: Minted
) -> None:
    """A firewall may drop OPTIONS: the alert about the renewed one is the only answer."""
    with SilentServer(server(root), trusts=root, version=TLS13, prepare=_without_tickets) as far:
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            assert client.get("/").text == "ok"
            disk.put(stranger)
            with pytest.raises(seic.CertificateError, match="the last good one stays"):
                auth.reload_certificate_sync()
            assert client.get("/").text == "ok"

            # One that answers neither says nothing about either.
            new = mint(issuer=root, number=53)
            disk.put(new)
            assert auth.reload_certificate_sync()
            assert client.get("/").text == "ok"
            assert far.peers[-1] == new.der


def test_a_late_refusal_brings_the_last_good_one_back_although_it_answers_no_probe(
    root: Minted, disk: PairOnDisk
) -> None:
    """The renewed one is revoked after its first use."""
    new = mint(issuer=root, number=53)
    with SilentServer(server(root), trusts=root, version=TLS13, prepare=_without_tickets) as far:
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/")
            before = auth.certificate
            disk.put(new)
            assert auth.reload_certificate_sync()
            client.get("/")
            with TlsServer(server(root), trusts=root, crl=revocation_list(root, new), version=TLS13) as strict:
                far.context = strict.context
            _without_tickets(far.context)
            assert client.get("/").text == "ok"
            assert auth.certificate == before


def test_a_probe_has_a_time_limit_in_all(root: Minted, disk: PairOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the answer never ends."""
    monkeypatch.setattr("seic._network.identity_probe._SECONDS", 1.5)
    new = mint(issuer=root, number=53)
    with SilentServer(server(root), trusts=root, version=TLS13) as far:
        far.slow = True
        config = config_for(far, root, disk)
        auth = seic.OAuth2Auth(config)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/")
            disk.put(new)
            # The handshake was confirmed.
            assert auth.reload_certificate_sync()
            assert client.get("/").text == "ok"
            assert far.peers[-1] == new.der
