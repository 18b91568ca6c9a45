from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic import _pool, _sync_pool
from seic._tls.watcher import Watcher
from seic._transport import identity_of
from seic.events import CertificateRejected, CertificateRotated, Event
from tests._support.edge import Edge
from tests._support.holding import HoldingServer, holding_server
from tests._support.pki import DAY, NOW, Minted, authority, mint
from tests._support.swapping import PairOnDisk, settings_for


@pytest.fixture(autouse=True)
def _unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    # No background thread: the test triggers everything.
    monkeypatch.setattr(Watcher, "add", lambda *_: None)


@pytest.fixture
def root() -> Minted:
    """Return the authority of client and server."""
    return authority()


@pytest.fixture
def old(root: Minted) -> Minted:
    """Return the first certificate."""
    return mint(issuer=root, key="ec", number=51)


@pytest.fixture
def new(root: Minted) -> Minted:
    """Return the next certificate, with another type of key."""
    return mint(issuer=root, key="rsa", number=52)


@pytest.fixture
def disk(tmp_path: Path, old: Minted) -> PairOnDisk:
    """Return the files of the first certificate."""
    return PairOnDisk(tmp_path, old)


@pytest.fixture
async def far(root: Minted) -> AsyncIterator[HoldingServer]:
    """Run a server with mutual TLS."""
    async with holding_server(root) as running:
        yield running


Make = Callable[..., seic.Config]


@pytest.fixture
def make(far: HoldingServer, root: Minted, disk: PairOnDisk) -> Make:
    """Return a function that creates configurations for the server."""

    def settings(**changes: Any) -> seic.Config:
        stated: dict[str, Any] = {
            "provider": seic.SEI_GATEWAY,
            "hosts": seic.Hosts(mtls=f"localhost:{far.port}"),
            "client_id": "AppKey-1",
            "client_secret": "AppSecret-1",
            "grant": seic.ClientCredentials(username="svc-user", password="password-1"),
            "certificate": disk.load(),
            "ca": root.pem,
            # The tests count connections.
            "probe_rotation": False,
        }
        return seic.Config(**{**stated, **changes})

    return settings


def serials(*pairs: Minted) -> list[int]:
    """Return the serial numbers of certificates."""
    return [pair.certificate.serial_number for pair in pairs]


async def test_a_reply_under_way_outlives_a_rotation(
    far: HoldingServer, make: Make, disk: PairOnDisk, old: Minted, new: Minted
) -> None:
    """It ends on its connection, which is then closed; the next call presents the new certificate."""
    async with seic.AsyncClient(make()) as client:
        async with client.stream("GET", "/held") as reply:
            await far.half_sent.wait()
            disk.put(new)
            assert await client.reload_certificate()
            assert (await client.get("/")).content == b"first-last"
            far.go_on.set()
            assert await reply.aread() == b"first-last"
        await far.until_open(1)
        await client.get("/")

    assert far.made == serials(old, new, new)
    assert far.tokens == 2


def _call_in_a_thread(client: seic.Client, far: HoldingServer, loop: asyncio.AbstractEventLoop) -> bytes:
    with client.stream("GET", "/held") as reply:
        loop.call_soon_threadsafe(far.half_sent.set)
        return reply.read()


async def test_a_blocking_reply_under_way_outlives_a_rotation(
    far: HoldingServer, make: Make, disk: PairOnDisk, old: Minted, new: Minted
) -> None:
    """Threads share a client: one reads from the old connection while another calls on a new one."""
    with seic.Client(make()) as client:
        under_way = asyncio.create_task(asyncio.to_thread(_call_in_a_thread, client, far, asyncio.get_running_loop()))
        await far.half_sent.wait()
        disk.put(new)
        assert await asyncio.to_thread(client.reload_certificate)
        reply = await asyncio.to_thread(client.get, "/")
        far.go_on.set()
        assert await under_way == reply.content == b"first-last"
        await far.until_open(1)

    assert far.made == serials(old, new)


async def test_what_takes_too_long_is_closed(
    far: HoldingServer, make: Make, disk: PairOnDisk, new: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the limit an old connection is closed, whatever is in progress."""
    monkeypatch.setattr(_pool, "DRAIN_LIMIT", 1e-9)
    async with seic.AsyncClient(make()) as client, client.stream("GET", "/held") as reply:
        await far.half_sent.wait()
        disk.put(new)
        await client.reload_certificate()
        await client.get("/")
        await far.until_open(1)
        with pytest.raises(httpx.TransportError):
            await reply.aread()


@pytest.mark.parametrize("with_later", [True, False], ids=["another call follows", "none follows"])
async def test_a_call_that_waits_during_a_rotation_presents_the_new_certificate(
    with_later: bool, far: HoldingServer, make: Make, disk: PairOnDisk, old: Minted, new: Minted
) -> None:
    """It gets a new connection, since the old one accepts no further call."""
    config = make()
    transport = seic.AsyncTransport(config, limits=httpx.Limits(max_connections=1))
    auth = seic.OAuth2Auth(config)
    async with httpx.AsyncClient(transport=transport, base_url=config.base_url) as client:
        async with client.stream("GET", "/held") as reply:
            await far.half_sent.wait()
            waiting = asyncio.create_task(client.get("/"))
            await asyncio.sleep(0)
            disk.put(new)
            assert await auth.reload_certificate()
            calls = [waiting, *([asyncio.create_task(client.get("/"))] if with_later else [])]
            await asyncio.sleep(0)
            far.go_on.set()
            assert await reply.aread() == b"first-last"
        assert [(await call).content for call in calls] == [b"first-last"] * len(calls)
        assert far.open == 1

    assert far.made == serials(old, *[new] * len(calls))


async def test_a_thread_that_waits_during_a_rotation_presents_the_new_certificate(
    far: HoldingServer, make: Make, disk: PairOnDisk, old: Minted, new: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the async twin."""
    loop, queued = asyncio.get_running_loop(), asyncio.Event()

    class Place(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            loop.call_soon_threadsafe(queued.set)
            return super().wait(timeout)

    monkeypatch.setattr(_sync_pool.Pool, "_event", Place)
    with seic.Client(make(), limits=httpx.Limits(max_connections=1)) as client:
        under_way = asyncio.create_task(asyncio.to_thread(_call_in_a_thread, client, far, loop))
        await far.half_sent.wait()
        waiting = asyncio.create_task(asyncio.to_thread(client.get, "/", auth=None))
        await queued.wait()
        disk.put(new)
        assert await asyncio.to_thread(client.reload_certificate)
        far.go_on.set()
        assert await under_way == (await waiting).content == b"first-last"

    assert far.made == serials(old, new)


async def test_idle_connections_of_the_old_certificate_are_closed(
    far: HoldingServer, make: Make, disk: PairOnDisk, old: Minted, new: Minted
) -> None:
    """All of them, with the first call after the rotation."""
    async with seic.AsyncClient(make()) as client:
        await asyncio.gather(*(client.get("/") for _ in range(5)))
        opened = far.open
        disk.put(new)
        await client.reload_certificate()
        await client.get("/")
        await far.until_open(1)
        assert opened > 1
        await client.get("/")

    assert far.made == serials(*[old] * 5, new, new)


async def test_a_client_that_closes_takes_its_old_connections_along(
    far: HoldingServer, make: Make, disk: PairOnDisk, new: Minted
) -> None:
    """No connection of a replaced pool remains, busy or not."""
    async with seic.AsyncClient(make()) as client:
        request = client.build_request("GET", "/held")
        reply = await client.send(request, stream=True)
        disk.put(new)
        await client.reload_certificate()
        await client.get("/")
    await far.until_open(0)
    await reply.aclose()


async def test_a_bad_new_pair_changes_nothing(far: HoldingServer, make: Make, disk: PairOnDisk, old: Minted) -> None:
    """The last good pair and its connections stay, and the caller of reload gets the reason."""
    heard: list[Event] = []
    async with seic.AsyncClient(make(), on_event=heard.append) as client:
        await client.get("/")
        disk.certificate.write_bytes(b"half a certi")
        with pytest.raises(seic.CertificateError) as caught:
            await client.reload_certificate()
        await client.get("/")
        assert far.open == 1

    assert caught.value.path == str(disk.certificate)
    assert [type(event) for event in heard if isinstance(event, CertificateRejected | CertificateRotated)] == [
        CertificateRejected
    ]
    assert far.made == serials(old, old)
    assert far.tokens == 1


async def test_all_clients_of_a_configuration_rotate_together(
    far: HoldingServer, make: Make, disk: PairOnDisk, new: Minted, caplog: pytest.LogCaptureFixture
) -> None:
    """One reload applies to clients, auths and transports; there is one event for each listener, and one log line."""
    caplog.set_level("INFO", logger="seic")
    config = make()
    heard: list[Event] = []
    async with (
        seic.AsyncClient(config, on_event=heard.append) as first,
        seic.AsyncClient(config, on_event=heard.append) as second,
        httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as third,
    ):
        clients = (first, second, third)
        for client in clients:
            await client.get("/")
        disk.put(new)
        assert await first.reload_certificate()
        assert not await second.reload_certificate()
        del far.made[:]
        for client in clients:
            await client.get("/")

    assert far.made == serials(new) * 3
    assert len([event for event in heard if isinstance(event, CertificateRotated)]) == 2
    assert caplog.text.count("certificate rotated") == 1


async def test_http2_offers_itself_in_a_context_of_its_own(make: Make) -> None:
    """The ALPN protocols are part of a context, so token requests and API calls over HTTP/2 must not share one."""
    credential = identity_of(make()).current()

    assert credential.http2_context() is credential.http2_context()
    assert credential.http2_context() is not credential.context


# A certificate from a callback


class Vault:
    """Returns the current certificate, and records the calling threads."""

    def __init__(self, pair: Minted) -> None:
        self.pair = pair
        self.threads: list[int] = []

    def __call__(self) -> seic.ClientCertificate:
        """Return the certificate."""
        self.threads.append(threading.get_ident())
        return seic.ClientCertificate.load(self.pair.pair)


async def test_a_callback_gives_the_certificate(far: HoldingServer, make: Make, old: Minted, new: Minted) -> None:
    """It is called when needed, off the event loop; a later result replaces the certificate."""
    vault = Vault(old)
    config = make(certificate=vault)
    assert vault.threads == []
    assert config.base_url == f"https://localhost:{far.port}"
    async with seic.AsyncClient(config) as client:
        await client.get("/")
        assert not await client.reload_certificate()
        vault.pair = new
        assert await client.reload_certificate()
        await client.get("/")

    assert far.made == serials(old, new)
    assert len(vault.threads) == 3
    assert threading.get_ident() not in vault.threads


@pytest.mark.parametrize(
    "source",
    [seic.ClientCertificate, b"PEM", "client.pem", pytest.param(asyncio.sleep, id="coroutine function")],
)
def test_what_gives_no_certificate_is_refused_at_once(source: object, make: Make) -> None:
    """A class without parentheses, a path, a coroutine function: the error says what is expected."""
    with pytest.raises(seic.ConfigurationError, match=r"seic\.ClientCertificate\.load\(\.\.\.\)") as caught:
        make(certificate=source)

    assert caught.value.field == "certificate"


# A refused certificate that was renewed


async def test_a_refused_certificate_is_looked_for_at_once(
    tmp_path: Path, root: Minted, old: Minted, new: Minted
) -> None:
    """The server revoked it, and the new pair is on disk already: only the refusal shows this, and no call fails."""
    disk = PairOnDisk(tmp_path / "pair", old)
    with Edge(tmp_path / "nginx", root, revoked=(old,)) as edge:
        config = settings_for(edge, root, certificate=disk.load())
        identity = identity_of(config)
        await asyncio.to_thread(identity.current)
        disk.put(new)
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/")).status_code == 200
        disk = PairOnDisk(tmp_path / "another", old)
        config = settings_for(edge, root, certificate=disk.load())
        identity = identity_of(config)
        identity.current()
        disk.put(new)
        with seic.Client(config) as blocking:
            assert (await asyncio.to_thread(blocking.get, "/")).status_code == 200
        log = edge.log()

    assert [line.status for line in log] == [400, 200, 200] * 2


async def test_an_expired_certificate_that_was_renewed_is_never_presented(
    far: HoldingServer, make: Make, root: Minted, new: Minted, tmp_path: Path
) -> None:
    """It expired in memory and was renewed on disk: the file is read again before the error is raised."""
    disk = PairOnDisk(tmp_path / "expired", mint(issuer=root, number=53, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    config = make(certificate=disk.load())
    disk.put(new)
    async with seic.AsyncClient(config) as client:
        await client.get("/")

    assert far.made == serials(new)
