"""Checks on demand: after a refused handshake, and by `reload`."""

from __future__ import annotations

from pathlib import Path

import pytest

import seic
from seic.events import CertificateRejected, CertificateRotated, Event
from tests._support.pki import Minted
from tests._support.rotating import BELIEVED, NEW, Bench, replace


def test_a_refused_handshake_takes_up_a_new_pair_at_once(bench: Bench) -> None:
    """An urgent check does not wait until the files settle."""
    replace(bench.folder, NEW)
    bench.check_urgently()
    assert bench.presented == NEW.der


def test_an_urgent_look_at_half_a_pair_reports_nothing(bench: Bench, client: Minted) -> None:
    """A handshake refused in the middle of a rotation must not cause a false alarm."""
    replace(bench.folder, NEW, "client.key")
    bench.check_urgently()
    assert bench.presented == client.der
    assert bench.events == []
    replace(bench.folder, NEW, "client.pem")
    bench.check()
    assert bench.presented == NEW.der


def test_reload_tells_whether_there_was_something_new(bench: Bench) -> None:
    """It reads at once, and returns whether anything changed."""
    assert bench.identity.reload() is False
    replace(bench.folder, NEW)
    assert bench.identity.reload() is True
    assert bench.presented == NEW.der
    bench.check()
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_reload_raises_what_is_wrong_and_reports_it_once(bench: Bench, client: Minted) -> None:
    """The caller of reload gets the error; there is one event for reload and checks together."""
    (bench.folder / "client.pem").write_bytes(b"garbage")
    for _ in range(2):
        with pytest.raises(seic.CertificateError) as caught:
            bench.identity.reload()
        assert caught.value.reason == seic.Reason.UNKNOWN_FORMAT
    bench.check(BELIEVED)
    assert bench.presented == client.der
    assert [type(event) for event in bench.events] == [CertificateRejected]


def test_bytes_are_never_looked_at_and_cannot_be_reloaded(client: Minted, root: Minted, tmp_path: Path) -> None:
    """A certificate given as bytes stays, and the error of reload names the remedy."""
    bench = Bench(tmp_path, root, seic.ClientCertificate.load(client.pair))
    held = bench.current()
    bench.check(5)
    bench.check_urgently()
    assert bench.current() is held
    with pytest.raises(seic.ConfigurationError, match="give a callback"):
        bench.identity.reload()


def test_a_listener_may_use_the_identity(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Events are emitted outside the lock: a listener that checks or reloads does not deadlock."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    generations: list[int] = []

    def listen(event: Event) -> None:
        bench.identity.reload()
        generations.append(bench.current().generation)

    bench.listen(listen)
    bench.current()
    replace(tmp_path, NEW)
    assert bench.identity.reload()
    assert generations == [2]
