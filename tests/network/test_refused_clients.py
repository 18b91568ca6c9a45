"""Servers that refuse a client although they accept its connection, or for the moment of a change."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx
import pytest

import seic
from seic.events import CertificateRejected, CertificateRotated, Event, SecretRejected
from tests._support.handshakes import configure
from tests._support.pki import Minted, authority, mint, server
from tests._support.rotating import Bench, replace
from tests._support.swapping import PairOnDisk
from tests._support.tls_servers import TLS12, TlsServer

_PROVIDER = seic.Provider(token_url="/token", client_authentication=seic.TlsClientAuth())


class RegisteringServer(TlsServer):
    """Issues tokens to registered certificates of its authority, and accepts a token with its certificate only."""

    registered: tuple[Minted, ...] = ()
    #: Part of each token request.
    secret = b""

    def _answer(self, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True) as stream:
            peer, request = stream.getpeercert(binary_form=True) or b"", stream.recv(65536)
            # A form comes after its head.
            request += stream.recv(65536) if request.endswith(b"\r\n\r\n") and request.startswith(b"POST") else b""
            self.peers.append(peer)
            is_registered = peer in [one.der for one in self.registered] and self.secret in request
            token = f"token-{peer[-8:].hex()}"
            status, answer = 200, {"token_type": "Bearer", "expires_in": "3600", "access_token": token}
            if request.startswith(b"POST") and not is_registered:
                status, answer = 401, {"error": "invalid_client"}
            if request.startswith(b"GET") and token.encode() not in request:
                status, answer = 401, {"error": "invalid_token"}
            body = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            stream.sendall(head.encode() + b'WWW-Authenticate: Bearer error="invalid_token"\r\n')
            stream.sendall(b"Connection: close\r\n\r\n" + body)


class Story:
    """A client of the server, with two certificates of one account."""

    def __init__(self, folder: Path, far: RegisteringServer, root: Minted) -> None:
        self.far = far
        self.old, self.new = mint(issuer=root, number=51), mint(issuer=root, number=52)
        self.disk = PairOnDisk(folder / "pair", self.old)
        self.events: list[Event] = []
        self.far.registered = (self.old,)
        config = seic.Config(
            provider=_PROVIDER,
            hosts=seic.Hosts(mtls=f"localhost:{far.port}"),
            client_id="client-1",
            grant=seic.ClientCredentials(),
            certificate=self.disk.load(),
            ca=root.pem,
        )
        self.client = seic.Client(config, on_event=self.events.append)

    def call(self) -> Minted | None:
        """Make a call; return the certificate in use."""
        assert self.client.get("/").status_code == 200
        assert self.client.certificate is not None
        return {self.old.der: self.old, self.new.der: self.new}[self.client.certificate.leaf.der]

    def rejected(self) -> list[str]:
        """Return the problems of rejected certificates."""
        return [one.problem for one in self.events if isinstance(one, CertificateRejected)]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """Return a client that has made a call."""
    root = authority()
    with RegisteringServer(server(root), trusts=root) as far:
        made = Story(tmp_path, far, root)
        with made.client:
            assert made.call() is made.old
            yield made


def test_a_certificate_that_is_not_registered_yet_costs_no_call(story: Story) -> None:
    """The token request gets its token with the one before, which is in use again (RFC 8705 §2)."""
    story.disk.put(story.new)
    assert story.client.reload_certificate()
    assert story.call() is story.old
    (problem,) = story.rejected()
    assert "it was refused after its first use: " in problem
    assert "401 (invalid_client)" in problem

    story.far.registered = (story.old, story.new)
    assert story.client.reload_certificate()
    assert story.call() is story.new
    assert story.client.token().access_token == f"token-{story.new.der[-8:].hex()}"


def test_a_secret_and_a_certificate_that_are_both_too_early_cost_no_call(tmp_path: Path) -> None:
    """The token is requested with both of before, and the new ones are used when the server has them."""
    root, secrets = authority(), ["secret-1"]
    old, new = mint(issuer=root, number=51), mint(issuer=root, number=52)
    disk, events = PairOnDisk(tmp_path / "pair", old), list[Event]()
    with RegisteringServer(server(root), trusts=root) as far:
        far.registered, far.secret = (old,), b"client_secret=secret-1"
        config = seic.Config(
            provider=attrs.evolve(_PROVIDER, client_authentication=seic.ClientSecretPost()),
            hosts=seic.Hosts(mtls=f"localhost:{far.port}"),
            client_id="client-1",
            client_secret=lambda: secrets[-1],
            grant=seic.ClientCredentials(),
            certificate=disk.load(),
            ca=root.pem,
        )
        with seic.Client(config, on_event=events.append) as client:
            assert client.get("/").status_code == 200
            secrets.append("secret-2")
            disk.put(new)
            assert client.reload_certificate()
            assert client.get("/").status_code == 200
            assert client.certificate is not None
            assert client.certificate.leaf.der == old.der
            assert {CertificateRejected, SecretRejected} <= {*map(type, events)}

            far.registered, far.secret = (new,), b"client_secret=secret-2"
            assert client.reload_certificate()
            assert client.token(force=True).access_token == f"token-{new.der[-8:].hex()}"


def test_the_renewed_one_is_used_as_soon_as_the_one_before_is_refused(story: Story) -> None:
    """The server forgets the old one when it registers the new one."""
    story.disk.put(story.new)
    assert story.client.reload_certificate()
    assert story.call() is story.old
    story.far.registered = (story.new,)
    assert story.client.token(force=True).access_token == f"token-{story.new.der[-8:].hex()}"
    assert story.call() is story.new


def test_a_refusal_of_both_says_nothing_about_the_renewed_one(story: Story) -> None:
    """The client is refused for another reason."""
    story.far.registered = ()
    story.disk.put(story.new)
    assert story.client.reload_certificate()
    with pytest.raises(seic.TokenRequestRefused):
        story.client.token(force=True)
    assert story.client.certificate is not None
    assert story.client.certificate.leaf.der == story.new.der
    assert not story.rejected()
    assert len([one for one in story.events if isinstance(one, CertificateRotated)]) == 1


def test_the_trial_of_a_renewed_one_begins_with_its_first_use(tmp_path: Path) -> None:
    """A service may make its next call long after the rotation."""
    root = authority()
    old, new = mint(issuer=root, number=51), mint(issuer=root, number=52)
    old.write(tmp_path)
    bench = Bench(tmp_path, root)
    bench.current()
    replace(tmp_path, new)
    bench.check()
    bench.seconds += 3600
    refused, refusal = bench.current(), seic.CertificateError("refused", reason=seic.Reason.REFUSED)
    assert refused.generation == 2
    bench.seconds += 59
    assert bench.identity.replace_refused(refused, refusal)
    assert bench.presented == old.der

    # Nothing is put back later than that.
    bench.check_urgently()
    replace(tmp_path, mint(issuer=root, number=53))
    bench.check()
    refused = bench.current()
    bench.seconds += 61
    assert not bench.identity.replace_refused(refused, refusal)


class ChangingServer(TlsServer):
    """Refuses each certificate for half a second after the first that it refuses, as a server that is being changed."""

    def change(self, meanwhile: ssl.SSLContext) -> None:
        """Begin with the next connection."""
        self._after, self.context = self.context, meanwhile

    def _answer(self, connection: socket.socket) -> None:
        failures = len(self.failures)
        super()._answer(connection)
        if not failures and self.failures:
            threading.Timer(0.5, self._settle).start()

    def _settle(self) -> None:
        self.context = self._after


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_server_that_is_being_changed_has_time_for_it(blocking: bool, tmp_path: Path) -> None:
    """A renewed pair waits for the server; the call is tried again until the change is done."""
    root, other = authority(), authority("Another root", 66)
    disk = PairOnDisk(tmp_path / "pair", mint(issuer=root, number=51))
    with ChangingServer(server(root), trusts=root, version=TLS12) as far:
        config = attrs.evolve(configure(far.port, ca=root), certificate=disk.load())
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client:
            await client.get("/")
            disk.put(mint(issuer=other, number=52))
            with pytest.raises(seic.CertificateError, match="the last good one stays"):
                await seic.OAuth2Auth(config).reload_certificate()
            far.failures.clear()
            with TlsServer(server(root), trusts=authority("Third root", 67), version=TLS12) as strict:
                far.change(strict.context)
            if blocking:
                with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as other_client:
                    assert (await asyncio.to_thread(other_client.get, "/")).text == "ok"
            else:
                assert (await client.get("/")).text == "ok"
    assert far.failures
