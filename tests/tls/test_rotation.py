"""Rotation: a new pair is loaded as a whole, however it was written, and new connections present it."""

from __future__ import annotations

import datetime as dt
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine

import seic
from seic.events import CertificateRejected, CertificateRotated
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, mint, server
from tests._support.rotating import BELIEVED, NEW, Bench, Vault, replace
from tests._support.tls_servers import TLS12, TLS13, TlsServer, call


def test_a_credential_is_certificate_context_and_generation(bench: Bench, client: Minted) -> None:
    """The first has generation 1, and reading it again changes nothing."""
    held = bench.current()
    assert (bench.presented, held.generation, bench.identity.generation) == (client.der, 1, 1)
    assert held.context.verify_mode == ssl.CERT_REQUIRED
    assert bench.current() is held


def test_before_the_first_use_nothing_is_built_or_checked(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Creating an identity reads and builds nothing, since that belongs in a thread."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    replace(tmp_path, NEW)
    bench.check()
    assert bench.identity.generation == 0
    assert bench.events == []


def test_an_unchanged_pair_is_left_alone(bench: Bench) -> None:
    """A check without a change swaps nothing, nor does the same content written again."""
    held = bench.current()
    bench.check(5)
    os.utime(bench.folder / "client.pem")
    bench.check(5)
    assert bench.current() is held
    assert bench.events == []


def test_a_renamed_pair_is_taken_up_whole(bench: Bench) -> None:
    """After a rename of both files the new pair is used, with a new context, a new generation and one event."""
    before = bench.current()
    replace(bench.folder, NEW)
    bench.check()

    after = bench.current()
    assert after.certificate is not None
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
    bench.check(5)
    assert len(bench.events) == 1


@pytest.mark.parametrize("order", [("client.key", "client.pem"), ("client.pem", "client.key")])
def test_the_order_of_writing_makes_no_difference(order: tuple[str, str], bench: Bench, client: Minted) -> None:
    """While only one of two files is new, nothing is loaded and nothing is reported."""
    replace(bench.folder, NEW, order[0])
    bench.check(BELIEVED - 1)
    assert bench.presented == client.der
    assert bench.events == []

    replace(bench.folder, NEW, order[1])
    bench.check()
    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_a_half_written_file_is_waited_for(bench: Bench, client: Minted) -> None:
    """A file written in place has invalid intermediate states; none of them is reported."""
    replace(bench.folder, NEW, "client.key")
    for size in (0, 100, len(NEW.pem) - 20):
        (bench.folder / "client.pem").write_bytes(NEW.pem[:size])
        bench.check(2)
        assert bench.presented == client.der
    (bench.folder / "client.pem").write_bytes(NEW.pem)
    bench.check()
    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_a_chain_that_is_still_being_written_is_not_served_without_its_end(bench: Bench, root: Minted) -> None:
    """A leaf loads before its intermediate is written, so it has one check to settle, and is loaded once."""
    between = mint("Between", issuer=root, ca=True, number=71)
    renewed = mint(issuer=between)
    (bench.folder / "client.pem").write_bytes(renewed.pem)
    bench.check(1)
    (bench.folder / "client.pem").write_bytes(renewed.pem + between.pem)
    bench.check()

    certificate = bench.current().certificate
    assert certificate is not None
    assert len(certificate.chain) == 1
    assert len(bench.events) == 1


def test_a_file_that_changes_while_it_is_read_is_read_again(root: Minted, client: Minted, tmp_path: Path) -> None:
    """A swap during a reading costs a check, and never mixes the two pairs."""
    certificate, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))
    swapped = mint(issuer=root, number=7)
    swaps: list[Callable[[], None]] = []

    def put(minted: Minted) -> None:
        certificate.write_bytes(minted.pem)
        key.write_bytes(minted.key_bytes(password=PASSPHRASE))

    def passphrase() -> str:
        # Called in the middle of a reading, after the certificate was read.
        if swaps:
            swaps.pop()()
        return PASSPHRASE

    bench = Bench(tmp_path, root, seic.ClientCertificate.load(certificate, key=key, password=passphrase))
    bench.current()
    put(swapped)
    swaps.append(lambda: put(NEW))
    bench.check(2)
    assert not swaps
    assert bench.events == []
    bench.check(2)
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
    """After a swap of the ..data link the new pair is used, for the folder and for its files."""
    _mount(tmp_path, "..1", client)
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    loaded = (
        seic.ClientCertificate.load(tmp_path)
        if form == "directory"
        else seic.ClientCertificate.load(tmp_path / "tls.crt", key=tmp_path / "tls.key")
    )
    bench = Bench(tmp_path, root, loaded)
    bench.current()
    bench.check()

    _mount(tmp_path, "..2", NEW)
    bench.check()

    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_new_connections_present_the_new_certificate_and_old_contexts_the_old(
    version: ssl.TLSVersion, bench: Bench, client: Minted, root: Minted
) -> None:
    """For all types of keys and both TLS versions, each context presents its own certificate."""
    generations = [bench.current()]
    for minted in (NEW, mint(issuer=root, key="ed25519"), mint(issuer=root, key="ec384")):
        replace(bench.folder, minted)
        bench.check()
        generations.append(bench.current())

    with TlsServer(server(root), trusts=root, version=version) as far:
        for held in generations + generations[::-1]:
            call(held.context, far.port)
    expected = [held.certificate.leaf.der for held in generations if held.certificate is not None]
    assert far.peers == expected + expected[::-1]
    assert len(set(expected)) == 4


def test_a_certificate_loaded_long_ago_and_renewed_since_is_read_again(root: Minted, tmp_path: Path) -> None:
    """A configuration can be created at import; an expired certificate is read again before it is refused."""
    old = mint(issuer=root, not_after=NOW - DAY / 2)
    certificate, key = old.write(tmp_path)
    bench = Bench(tmp_path, root, seic.ClientCertificate.load(certificate, key=key))
    replace(tmp_path, NEW)
    assert bench.presented == NEW.der


def test_files_renewed_before_the_first_use_are_taken_up(client: Minted, root: Minted, tmp_path: Path) -> None:
    """A configuration can be older than its files: the first connection presents their current content."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    replace(tmp_path, NEW)
    assert bench.identity.thumbprint == seic.ClientCertificate.load(NEW.pair).thumbprint
    assert bench.presented == NEW.der
    bench.check(5)
    assert bench.events == []


def test_a_bad_pair_before_the_first_use_leaves_the_loaded_one(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The loaded certificate is used, and the invalid files are reported."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    (tmp_path / "client.pem").write_bytes(b"garbage")
    assert bench.presented == client.der
    bench.check(BELIEVED)
    assert [type(event) for event in bench.events] == [CertificateRejected]
    replace(tmp_path, NEW)
    bench.check()
    assert bench.presented == NEW.der


def test_two_threads_that_hold_at_once_get_the_same_pair(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The first pair is created once, for any number of callers."""
    vault = Vault(client)
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> seic.ClientCertificate:
        asked.set()
        assert go_on.wait(10)
        return vault()

    bench = Bench(tmp_path, root, slow)
    held: list[object] = []
    threads = [threading.Thread(target=lambda: held.append(bench.current())) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert vault.calls == 1
    assert held == [bench.current()] * 3


def test_who_sees_the_new_generation_finds_the_new_pair(bench: Bench) -> None:
    """Generation and pair match whenever they are read one after the other."""
    for minted in (NEW, mint(issuer=bench.root, number=9)):
        replace(bench.folder, minted)
        bench.check()
        assert bench.current().generation == bench.identity.generation


def test_the_next_pair_of_the_same_file_is_taken_up_at_its_time(root: Minted, tmp_path: Path) -> None:
    """A file may hold the pair of tomorrow already; it does not change when its time comes."""
    today, tomorrow = (
        mint(issuer=root, number=number, not_before=NOW + begin * DAY, not_after=NOW + end * DAY)
        for number, begin, end in ((23, -300, 100), (24, 1, 800))
    )
    path = tmp_path / "client.pem"
    path.write_bytes(today.pair + tomorrow.pair)
    path.chmod(0o600)
    bench = Bench(tmp_path, root, seic.ClientCertificate.load(path))
    bench.current()
    bench.check()
    assert (bench.presented, bench.events) == (today.der, [])

    bench.now = NOW + DAY + dt.timedelta(hours=1)
    with time_machine.travel(bench.now, tick=False):
        bench.check()

    assert bench.presented == tomorrow.der
    assert [type(event) for event in bench.events] == [CertificateRotated]
