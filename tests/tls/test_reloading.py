"""Looks that somebody asks for: after a refused handshake, and by `reload`."""

from __future__ import annotations

from pathlib import Path

import pytest

from seic._errors import CertificateError, ConfigurationError
from seic._events import CertificateRejected, CertificateRotated, Event
from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import Reason
from seic._tls.rotation import Identity
from tests._support.pki import Minted
from tests._support.rotating import BELIEVED, NEW, Bench, replace


def test_a_refused_handshake_takes_up_a_new_pair_at_once(bench: Bench) -> None:
    """An urgent look waits for nothing to settle."""
    replace(bench.folder, NEW)
    bench.identity.look(urgent=True)
    assert bench.presented == NEW.der


def test_an_urgent_look_at_half_a_pair_reports_nothing(bench: Bench, client: Minted) -> None:
    """A handshake refused in the middle of a rotation is no reason for a false alarm."""
    replace(bench.folder, NEW, "client.key")
    bench.identity.look(urgent=True)
    assert bench.presented == client.der
    assert bench.events == []
    replace(bench.folder, NEW, "client.pem")
    bench.look()
    assert bench.presented == NEW.der


def test_reload_tells_whether_there_was_something_new(bench: Bench) -> None:
    """Asked to, it reads at once, and says whether that changed anything."""
    assert bench.identity.reload() is False
    replace(bench.folder, NEW)
    assert bench.identity.reload() is True
    assert bench.presented == NEW.der
    bench.look()
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_reload_raises_what_is_wrong_and_reports_it_once(bench: Bench, client: Minted) -> None:
    """Who asks for a reload gets the error itself; the event comes once for reload and looks together."""
    (bench.folder / "client.pem").write_bytes(b"garbage")
    for _ in range(2):
        with pytest.raises(CertificateError) as caught:
            bench.identity.reload()
        assert caught.value.reason == Reason.UNKNOWN_FORMAT
    bench.look(BELIEVED)
    assert bench.presented == client.der
    assert [type(event) for event in bench.events] == [CertificateRejected]


def test_bytes_are_never_looked_at_and_cannot_be_reloaded(client: Minted, root: Minted, tmp_path: Path) -> None:
    """A certificate given as bytes stays, and reload says what to do instead."""
    bench = Bench(tmp_path, root, ClientCertificate.load(client.pair))
    held = bench.identity.hold()
    bench.look(5)
    bench.identity.look(urgent=True)
    assert bench.identity.hold() is held
    with pytest.raises(ConfigurationError, match="give a callback"):
        bench.identity.reload()


def test_a_listener_may_use_the_identity(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Events are told outside the lock: a listener that holds or reloads does not wait for itself."""
    client.write(tmp_path)
    generations: list[int] = []

    def listen(event: Event) -> None:
        identity.reload()
        generations.append(identity.hold().generation)

    identity = Identity(
        ClientCertificate.load(tmp_path / "client.pem", key=tmp_path / "client.key"), ca=root.pem, emit=listen
    )
    identity.hold()
    replace(tmp_path, NEW)
    assert identity.reload()
    assert generations == [2]


def test_without_a_listener_nothing_is_told(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Listening is optional."""
    client.write(tmp_path)
    identity = Identity(ClientCertificate.load(tmp_path / "client.pem", key=tmp_path / "client.key"), ca=root.pem)
    identity.hold()
    replace(tmp_path, NEW)
    assert identity.reload()
