"""Rotations that go wrong, or come in an awkward order, under load: no call fails while the old identity lives."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic.events import CertificateRejected, CertificateRotated, Event, TrustStoreReloaded
from tests._support.edge import Edge
from tests._support.pki import DAY, NOW, Minted, authority, mint, server
from tests._support.swapping import PairOnDisk, settings_for

_CALLERS = 50
_PATIENCE = 30
_PATH = "/v1/echo"
# Each call makes a handshake, so that each tells whether the server accepts what is in service.
_LIMITS = httpx.Limits(max_keepalive_connections=0)


class Story:
    """The files, the server, the events and the calls of a test.

    Args:
        folder: The folder of all files.
        edge: The server.
        root: The authority of both sides.
        disk: The certificate's files.
        ca: The file of authorities.
    """

    def __init__(self, folder: Path, edge: Edge, root: Minted) -> None:
        self.edge = edge
        self.root = root
        self.old = mint(issuer=root, key="ec", number=61)
        self.disk = PairOnDisk(folder / "pair", self.old)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(root.pem)
        self.client: seic.AsyncClient | None = None
        self.results: Counter[object] = Counter()
        self._serials: set[str] = set()
        self._events: list[Event] = []
        self._changed = threading.Condition()

    def hear(self, event: Event) -> None:
        """Record an event."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def event(self, *kinds: type[Event]) -> Any:
        """Wait for the next event of these kinds, and return it."""

        def find() -> Event | None:
            return next((event for event in self._events if isinstance(event, kinds)), None)

        with self._changed:
            assert self._changed.wait_for(lambda: find() is not None, _PATIENCE), self._events
            found = find()
            assert found is not None
            self._events.remove(found)
            return found

    def note(self, result: object, presented: str = "") -> None:
        """Record a call."""
        with self._changed:
            self.results[result] += 1
            self._serials.add(presented)
            self._changed.notify_all()

    def presented(self, pair: Minted) -> None:
        """Wait for a call that is made from now on with this certificate."""
        with self._changed:
            self._serials.clear()
            number = f"{pair.certificate.serial_number:X}"
            name = number.rjust(len(number) + len(number) % 2, "0")
            assert self._changed.wait_for(lambda: name in self._serials, _PATIENCE), self.results

    def put_ca(self, *authorities: Minted) -> None:
        """Replace the file of authorities."""
        staged = self.ca.with_name("staged.pem")
        staged.write_bytes(b"".join(one.pem for one in authorities))
        staged.replace(self.ca)


@asynccontextmanager
async def load(story: Story) -> AsyncIterator[None]:
    """Make calls in the background."""
    through = asyncio.Event()
    config = settings_for(story.edge, story.root, certificate=story.disk.load(), ca=story.ca)

    async def call(client: seic.AsyncClient) -> None:
        while not through.is_set():
            try:
                reply = await client.get(_PATH)
            except Exception as error:  # noqa: BLE001 - the test shows it
                story.note(f"{type(error).__name__}: {error}")
            else:
                story.note(reply.status_code, reply.json()["serial"] if reply.status_code == 200 else "")
            await asyncio.sleep(0.05)

    async with (
        seic.AsyncClient(config, on_event=story.hear, limits=_LIMITS) as story.client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(_CALLERS):
            group.create_task(call(story.client))
        try:
            yield
        finally:
            through.set()


Turn = Callable[[Story], None]


def _unknown(story: Story) -> None:
    """The issuer becomes known to the server later."""
    other = authority("Another root", 66)
    new = mint(issuer=other, number=62)
    story.disk.put(new)
    event = story.event(CertificateRejected)
    assert event.reason == seic.Reason.REFUSED
    assert f"{story.edge.host}: the server answered 400" in event.problem
    assert "so the last good one stays" in event.problem
    story.presented(story.old)
    # A refused handshake has the files read again, at most once a second.
    threading.Event().wait(1)
    story.edge.change(clients=other)
    # The server no longer knows the old one: the next call finds that the new one works.
    story.presented(new)
    assert story.event(CertificateRotated).subject == "CN=svc-user"


def _another_name(story: Story) -> None:
    """The server takes it, but the provider would refuse its tokens."""
    story.disk.put(mint("other-user", issuer=story.root, number=62))
    event = story.event(CertificateRejected)
    assert event.reason == seic.Reason.COMMON_NAME
    story.presented(story.old)


def _expired(story: Story) -> None:
    story.disk.put(mint(issuer=story.root, number=62, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    assert story.event(CertificateRejected).reason == seic.Reason.EXPIRED
    story.presented(story.old)


def _not_yet_valid(story: Story) -> None:
    story.disk.put(mint(issuer=story.root, number=62, not_before=NOW + DAY))
    assert story.event(CertificateRejected).reason == seic.Reason.NOT_YET_VALID
    story.presented(story.old)


def _another_kind_of_key(story: Story) -> None:
    new = mint(issuer=story.root, key="rsa", number=62)
    story.disk.put(new)
    story.event(CertificateRotated)
    story.presented(new)


def _authority_on_our_side_first(story: Story) -> None:
    """Only the new one, which the server does not use yet."""
    other = authority("Another root", 66)
    story.put_ca(other)
    event = story.event(CertificateRejected)
    assert (event.reason, event.path) == (seic.Reason.SERVER_UNKNOWN_CA, str(story.ca))
    story.presented(story.old)
    # A refused handshake has the file read again, at most once a second.
    threading.Event().wait(1)
    story.edge.change(identity=server(other))
    story.event(TrustStoreReloaded)
    story.presented(story.old)


def _authorities_in_turn(story: Story) -> None:
    """Both, then the server, then the new one only: the way that loses nothing anyway."""
    other = authority("Another root", 66)
    story.put_ca(story.root, other)
    story.event(TrustStoreReloaded)
    story.edge.change(identity=server(other))
    story.presented(story.old)
    story.put_ca(other)
    story.event(TrustStoreReloaded)
    story.presented(story.old)


def _both_at_once(story: Story) -> None:
    """Certificate and authority of another root, on our side first."""
    other = authority("Another root", 66)
    new = mint(issuer=other, number=62)
    story.put_ca(other)
    story.disk.put(new)
    rejected = [story.event(CertificateRejected), story.event(CertificateRejected)]
    assert {event.path for event in rejected} == {str(story.ca), str(story.disk.certificate)}
    story.presented(story.old)
    threading.Event().wait(1)
    story.edge.change(identity=server(other), clients=other)
    story.presented(new)


@pytest.mark.parametrize(
    "turn",
    [
        _unknown,
        _another_name,
        _expired,
        _not_yet_valid,
        _another_kind_of_key,
        _authority_on_our_side_first,
        _authorities_in_turn,
        _both_at_once,
    ],
    ids=lambda turn: turn.__name__.strip("_"),
)
@pytest.mark.parametrize("protocols", ["TLSv1.2", "TLSv1.3"])
async def test_no_call_fails_while_the_old_identity_lives(turn: Turn, protocols: str, tmp_path: Path) -> None:
    """Fifty callers get an answer to each call, and the event names the server's reason."""
    root = authority()
    with Edge(tmp_path / "nginx", root, protocols=protocols) as edge:
        story = Story(tmp_path, edge, root)
        async with load(story):
            await asyncio.to_thread(story.presented, story.old)
            await asyncio.to_thread(turn, story)
    assert set(story.results) == {200}, story.results
