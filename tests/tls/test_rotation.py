"""Rotation: a new pair is taken up whole, however it was written; a bad one leaves the good one in service."""

from __future__ import annotations

import datetime as dt
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from seic._errors import CertificateError, ConfigurationError
from seic._events import CertificateExpiring, CertificateRejected, CertificateRotated, Event
from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import Reason
from seic._tls.renewal import FileRenewal
from seic._tls.rotation import Identity
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint, server
from tests._support.rotating import BELIEVED, NEW, SETTLED, Bench, Vault, replace
from tests._support.tls_servers import TLS12, TLS13, TlsServer, call


@pytest.fixture
def bench(client: Minted, root: Minted, tmp_path: Path) -> Bench:
    """Hold the client certificate, with nothing to take up."""
    client.write(tmp_path)
    made = Bench(tmp_path, root)
    made.identity.hold()
    made.look()
    assert made.events == []
    return made


def test_holding_gives_certificate_context_and_generation(bench: Bench, client: Minted) -> None:
    """The first pair is generation 1, and holding it again changes nothing."""
    held = bench.identity.hold()
    assert (held.certificate.leaf.der, held.generation, bench.identity.generation) == (client.der, 1, 1)
    assert held.context.verify_mode == ssl.CERT_REQUIRED
    assert bench.identity.hold() is held


def test_before_it_is_held_nothing_is_built_or_looked_at(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Making an identity reads and builds nothing: that is for a thread to do."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    replace(tmp_path, NEW)
    bench.look()
    assert bench.identity.generation == 0
    assert bench.events == []


def test_an_unchanged_pair_is_left_alone(bench: Bench) -> None:
    """Looking without a change swaps nothing, and a rewrite of the same content neither."""
    held = bench.identity.hold()
    bench.look(5)
    os.utime(bench.folder / "client.pem")
    bench.look(5)
    assert bench.identity.hold() is held
    assert bench.events == []


def test_a_renamed_pair_is_taken_up_whole(bench: Bench) -> None:
    """After a rename of both files the new pair serves, with a fresh context, a new generation and one event."""
    before = bench.identity.hold()
    replace(bench.folder, NEW)
    bench.look()

    after = bench.identity.hold()
    assert after.certificate.leaf.der == NEW.der
    assert after.context is not before.context
    assert (after.generation, bench.identity.generation) == (2, 2)
    assert bench.events == [
        CertificateRotated(
            path=str(bench.folder / "client.pem"),
            subject="CN=svc-user",
            thumbprint=after.certificate.thumbprint,
            not_after=after.certificate.not_after,
        )
    ]
    bench.look(5)
    assert len(bench.events) == 1


@pytest.mark.parametrize("order", [("client.key", "client.pem"), ("client.pem", "client.key")])
def test_the_order_of_writing_makes_no_difference(order: tuple[str, str], bench: Bench, client: Minted) -> None:
    """While only one of two files is new nothing is taken up and nothing is reported."""
    replace(bench.folder, NEW, order[0])
    bench.look(BELIEVED - 1)
    assert bench.presented == client.der
    assert bench.events == []

    replace(bench.folder, NEW, order[1])
    bench.look()
    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_a_half_written_file_is_waited_for(bench: Bench, client: Minted) -> None:
    """A file written in place passes through states that do not load; none of them is reported."""
    replace(bench.folder, NEW, "client.key")
    for size in (0, 100, len(NEW.pem) - 20):
        (bench.folder / "client.pem").write_bytes(NEW.pem[:size])
        bench.look(2)
        assert bench.presented == client.der
    (bench.folder / "client.pem").write_bytes(NEW.pem)
    bench.look()
    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_a_chain_that_is_still_being_written_is_not_served_without_its_end(bench: Bench, root: Minted) -> None:
    """A leaf loads before its intermediate is written: it is given a look to settle, and taken up once."""
    between = mint("Between", issuer=root, ca=True, number=71)
    renewed = mint(issuer=between)
    (bench.folder / "client.pem").write_bytes(renewed.pem)
    bench.look(1)
    (bench.folder / "client.pem").write_bytes(renewed.pem + between.pem)
    bench.look()

    assert len(bench.identity.hold().certificate.chain) == 1
    assert len(bench.events) == 1


def test_a_file_that_changes_while_it_is_read_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A swap in the middle of a reading costs a look, and never serves half of each."""
    replace(bench.folder, mint(issuer=bench.root, number=7))
    renewal = bench.identity._renewal
    assert isinstance(renewal, FileRenewal)
    read: Callable[[], ClientCertificate] = renewal._read

    def swapped_under_it() -> ClientCertificate:
        monkeypatch.setattr(renewal, "_read", read)
        fresh = read()
        replace(bench.folder, NEW)
        return fresh

    monkeypatch.setattr(renewal, "_read", swapped_under_it)
    bench.look(2)
    assert bench.events == []
    bench.look(2)
    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


def _mount(folder: Path, version: str, minted: Minted) -> None:
    real = folder / version
    real.mkdir()
    (real / "tls.crt").write_bytes(minted.pem)
    (real / "tls.key").write_bytes(minted.key_pem)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").replace(folder / "..data")


@pytest.mark.parametrize("form", ["directory", "files"])
def test_a_kubernetes_swap_is_a_change(form: str, client: Minted, root: Minted, tmp_path: Path) -> None:
    """When the ..data link is swapped the new pair serves, whether the directory was named or its files."""
    _mount(tmp_path, "..1", client)
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    loaded = (
        ClientCertificate.load(tmp_path)
        if form == "directory"
        else ClientCertificate.load(tmp_path / "tls.crt", key=tmp_path / "tls.key")
    )
    bench = Bench(tmp_path, root, loaded)
    bench.identity.hold()
    bench.look()

    _mount(tmp_path, "..2", NEW)
    bench.look()

    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_new_connections_present_the_new_certificate_and_old_contexts_the_old(
    version: ssl.TLSVersion, bench: Bench, client: Minted, root: Minted
) -> None:
    """Across kinds of keys and over both versions of TLS each context presents its own certificate, to the end."""
    generations = [bench.identity.hold()]
    for minted in (NEW, mint(issuer=root, key="ed25519"), mint(issuer=root, key="ec384")):
        replace(bench.folder, minted)
        bench.look()
        generations.append(bench.identity.hold())

    with TlsServer(server(root), trusts=root, version=version) as far:
        for held in generations + generations[::-1]:
            call(held.context, far.port)
    expected = [held.certificate.leaf.der for held in generations]
    assert far.peers == expected + expected[::-1]
    assert len(set(expected)) == 4


BAD: dict[str, tuple[Callable[[Path], None], Reason, str]] = {
    "mismatch": (lambda folder: replace(folder, NEW, "client.pem"), Reason.KEY_MISMATCH, "client.pem"),
    "garbage": (lambda folder: _write(folder / "client.pem", b"garbage"), Reason.UNKNOWN_FORMAT, "client.pem"),
    "cut": (lambda folder: _write(folder / "client.key", NEW.key_pem[:80]), Reason.TRUNCATED, "client.key"),
    "gone": (lambda folder: (folder / "client.key").unlink(), Reason.NOT_FOUND, "client.key"),
    "expired": (
        lambda folder: replace(folder, mint(issuer=authority(), not_after=NOW - DAY / 2)),
        Reason.EXPIRED,
        "client.pem",
    ),
    "weak": (lambda folder: replace(folder, mint(issuer=authority(), key="rsa1024")), Reason.WEAK_KEY, "client.pem"),
    "encrypted": (
        lambda folder: _write(folder / "client.key", NEW.key_bytes(password=PASSPHRASE)),
        Reason.PASSPHRASE_MISSING,
        "client.key",
    ),
}


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.parametrize("row", BAD)
def test_a_bad_pair_leaves_the_good_one_in_service_and_is_reported_once(
    row: str, bench: Bench, assert_no_leak: Callable[..., None]
) -> None:
    """What does not load swaps nothing; one event names file and reason, and no more follow."""
    spoil, reason, named = BAD[row]
    held = bench.identity.hold()
    spoil(bench.folder)

    bench.look(BELIEVED - 1)
    assert bench.events == []
    bench.look(20)

    assert bench.identity.hold() is held
    (event,) = bench.events
    assert isinstance(event, CertificateRejected)
    assert (event.reason, event.path) == (reason, str(bench.folder / named))
    assert event.problem.startswith(f"{bench.folder / named}: ")
    assert_no_leak(event, keys=(NEW,))


def test_each_distinct_bad_content_is_reported_once(bench: Bench, client: Minted) -> None:
    """The same bad content touched again is no news; another one is; and so is the same after a good one."""
    path = bench.folder / "client.pem"

    def reported() -> int:
        bench.look(BELIEVED)
        return len(bench.events)

    path.write_bytes(b"garbage")
    assert reported() == 1
    os.utime(path, ns=(5, 5))
    assert reported() == 1
    path.write_bytes(b"other garbage")
    assert reported() == 2
    path.write_bytes(client.pem)
    assert reported() == 2
    path.write_bytes(b"other garbage")
    assert reported() == 3


def test_after_a_bad_pair_the_next_good_one_is_taken_up(bench: Bench) -> None:
    """A rejection ends with the next change."""
    (bench.folder / "client.pem").write_bytes(b"garbage")
    bench.look(BELIEVED)
    replace(bench.folder, NEW)
    bench.look()
    assert bench.presented == NEW.der


def test_a_certificate_ahead_of_its_time_is_taken_up_when_its_time_has_come(bench: Bench, client: Minted) -> None:
    """A renewal that is not valid yet is reported, and served from its first second without another change."""
    coming = mint(issuer=bench.root, number=7, not_before=NOW + DAY)
    replace(bench.folder, coming)
    bench.look(BELIEVED)
    assert [event.reason for event in bench.events if isinstance(event, CertificateRejected)] == [Reason.NOT_YET_VALID]
    bench.now = NOW + DAY - dt.timedelta(seconds=1)
    bench.look()
    assert bench.presented == client.der

    bench.now = NOW + DAY
    bench.look(1)

    assert bench.presented == coming.der
    assert [type(event) for event in bench.events] == [CertificateRejected, CertificateRotated]


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


@pytest.mark.parametrize("source", ["files", "bytes"])
def test_an_expired_first_certificate_is_refused(source: str, root: Minted, tmp_path: Path) -> None:
    """There is no last good pair to fall back on: the error comes before any handshake, and again the next time."""
    old = mint(issuer=root, not_after=NOW - DAY / 2)
    paths = old.write(tmp_path)
    loaded = ClientCertificate.load(paths[0], key=paths[1]) if source == "files" else ClientCertificate.load(old.pair)
    bench = Bench(tmp_path, root, loaded)
    for _ in range(2):
        with pytest.raises(CertificateError) as caught:
            bench.identity.hold()
        assert caught.value.reason == Reason.EXPIRED


def test_a_certificate_loaded_long_ago_and_renewed_since_is_read_again(root: Minted, tmp_path: Path) -> None:
    """A setting made at import outlives its file: an expired one is read again before it is refused."""
    old = mint(issuer=root, not_after=NOW - DAY / 2)
    certificate, key = old.write(tmp_path)
    bench = Bench(tmp_path, root, ClientCertificate.load(certificate, key=key))
    replace(tmp_path, NEW)
    assert bench.presented == NEW.der


def test_files_renewed_before_the_first_use_are_taken_up(client: Minted, root: Minted, tmp_path: Path) -> None:
    """A change between loading and holding is not missed."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    replace(tmp_path, NEW)
    assert bench.presented == client.der
    bench.look()
    assert bench.presented == NEW.der


def test_the_approaching_end_is_told_once_a_day(client: Minted, bench: Bench) -> None:
    """From 30 days before the end there is one event a day, with the days that are left."""
    bench.now = client.certificate.not_valid_after_utc - 30 * DAY
    bench.look()
    assert bench.events == []

    bench.now += dt.timedelta(seconds=1)
    bench.look(5)
    bench.now += DAY - dt.timedelta(seconds=1)
    bench.look(5)
    assert len(bench.events) == 1
    bench.now += dt.timedelta(seconds=1)
    bench.look(5)

    first, second = bench.events
    assert isinstance(first, CertificateExpiring)
    assert isinstance(second, CertificateExpiring)
    assert (first.path, first.subject) == (str(bench.folder / "client.pem"), "CN=svc-user")
    assert first.not_after == client.certificate.not_valid_after_utc
    assert first.days_left == pytest.approx(30, abs=1e-4)
    assert second.days_left == pytest.approx(29, abs=1e-4)


def test_a_renewal_ends_the_notices(client: Minted, bench: Bench, root: Minted) -> None:
    """With a new certificate there is no approaching end to tell, until its own."""
    bench.now = client.certificate.not_valid_after_utc - 3 * DAY
    bench.look()
    replace(bench.folder, mint(issuer=root, number=8, not_after=NOW + 2000 * DAY))
    bench.look()
    bench.now += 2 * DAY
    bench.look()
    assert [type(event) for event in bench.events] == [CertificateExpiring, CertificateRotated]


def test_the_end_of_each_certificate_is_told_by_itself(client: Minted, bench: Bench, root: Minted) -> None:
    """A renewal that ends soon itself is told at once, whenever the last one was told."""
    bench.now = client.certificate.not_valid_after_utc - 3 * DAY
    bench.look()
    replace(bench.folder, mint(issuer=root, number=8, not_after=bench.now + 2 * DAY))
    bench.look(SETTLED + 1)
    assert [type(event) for event in bench.events] == [CertificateExpiring, CertificateRotated, CertificateExpiring]


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


def test_two_threads_that_hold_at_once_get_the_same_pair(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The first pair is made once, however many ask for it."""
    vault = Vault(client)
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> ClientCertificate:
        asked.set()
        assert go_on.wait(10)
        return vault()

    bench = Bench(tmp_path, root, slow)
    held: list[object] = []
    threads = [threading.Thread(target=lambda: held.append(bench.identity.hold())) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert vault.calls == 1
    assert held == [bench.identity.hold()] * 3


def test_who_sees_the_new_generation_finds_the_new_pair(bench: Bench) -> None:
    """The number and the pair agree whenever they are read one after the other."""
    for minted in (NEW, mint(issuer=bench.root, number=9)):
        replace(bench.folder, minted)
        bench.look()
        assert bench.identity.hold().generation == bench.identity.generation


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_in_place_of_a_file_is_reported_and_not_waited_for(bench: Bench, client: Minted) -> None:
    """The looking never blocks on a pipe that nobody writes to."""
    bench.identity.hold()
    bench.look()
    (bench.folder / "client.key").unlink()
    os.mkfifo(bench.folder / "client.key")
    looking = threading.Thread(target=bench.look, args=(BELIEVED,), daemon=True)
    looking.start()
    looking.join(10)
    assert not looking.is_alive()
    assert bench.presented == client.der
    assert [event.reason for event in bench.events if isinstance(event, CertificateRejected)] == [Reason.UNREADABLE]
