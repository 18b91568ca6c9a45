"""Callbacks that hang: waits are limited, the callback is called once, and others are not affected."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import seic
from seic._tls import reload
from seic.events import CertificateRejected, CertificateRotated, Event
from tests._support.forking import forks, in_child
from tests._support.pki import PASSPHRASE, Minted, mint
from tests._support.rotating import NEW, SETTLED, Bench, replace


class StuckVault:
    """A callback that can be made to hang, and that counts its calls."""

    def __init__(self, minted: Minted) -> None:
        self.minted = minted
        self.error: Exception | None = None
        self.calls = 0
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> seic.ClientCertificate:
        """Return the current certificate, or raise."""
        self.calls += 1
        self.asked.set()
        assert self.answers.wait(60)
        if self.error is not None:
            raise self.error
        return seic.ClientCertificate.load(self.minted.pair)

    def hang(self) -> None:
        """Let further calls hang."""
        self.asked.clear()
        self.answers.clear()


@pytest.fixture
def vault(client: Minted) -> Iterator[StuckVault]:
    """Return a vault with the first certificate."""
    made = StuckVault(client)
    yield made
    made.answers.set()


@pytest.fixture
def bench(vault: StuckVault, root: Minted, tmp_path: Path) -> Bench:
    """Return an identity with the vault's certificate."""
    made = Bench(tmp_path, root, vault)
    made.current()
    return made


def hang(bench: Bench, vault: StuckVault) -> None:
    """Let the vault be called after its interval, and hang."""
    vault.hang()
    bench.seconds += 60
    bench.check_without_waiting()
    assert vault.asked.wait(10)


def answer(bench: Bench, vault: StuckVault) -> None:
    """Let the vault return, and wait for the result."""
    bench.check_without_waiting()
    vault.answers.set()
    bench.wait_for_readings()


def silences(bench: Bench) -> list[str]:
    """Return the events about the hanging vault."""
    return [event.problem for event in bench.events if isinstance(event, CertificateRejected)]


async def test_one_that_hangs_holds_up_no_other(
    vault: StuckVault, client: Minted, root: Minted, tmp_path: Path
) -> None:
    """While the vault of one identity hangs, the same thread checks the files of another."""
    rotated = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, CertificateRotated):
            rotated.set()

    client.write(tmp_path)
    stuck = Bench(tmp_path, root, vault, watch=True, callback_interval=0)
    other = Bench(tmp_path, root, watch=True)
    other.listen(listen)
    stuck.current()
    vault.hang()
    assert await asyncio.to_thread(vault.asked.wait, 10)
    other.current()
    replace(tmp_path, NEW)

    assert await asyncio.to_thread(rotated.wait, 10)
    assert other.presented == NEW.der


def test_a_file_that_hangs_leaves_the_last_good_one(
    client: Minted, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file on a file system that hangs holds up no caller, is reported, and is loaded when it can be read."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    bench.current()
    opened, gate, real = threading.Event(), threading.Event(), os.open

    def hang(path: str, *args: int) -> int:
        if Path(path).name == "client.pem":
            opened.set()
            assert gate.wait(60)
        return real(path, *args)

    monkeypatch.setattr(os, "open", hang)
    replace(tmp_path, NEW)
    bench.check_without_waiting(SETTLED)
    assert opened.wait(10)
    bench.seconds += 10
    bench.check_urgently()
    assert bench.presented == client.der
    assert "it gave no answer in 10 seconds" in silences(bench)[0]

    gate.set()
    bench.wait_for_readings()
    assert bench.presented == NEW.der


def test_one_that_hangs_is_asked_once(bench: Bench, vault: StuckVault) -> None:
    """One call is running, independent of time and number of callers."""
    hang(bench, vault)
    for _ in range(5):
        bench.seconds += 60
        bench.check_without_waiting()
        bench.check_urgently()
        with pytest.raises(seic.CertificateError):
            bench.identity.reload()
    assert vault.calls == 2


def test_an_urgent_look_waits_for_an_answer(bench: Bench, vault: StuckVault) -> None:
    """A refused request is sent again with the new certificate, although the vault needs a moment."""
    hang(bench, vault)
    vault.minted = NEW
    looking = threading.Thread(target=bench.check_urgently)
    looking.start()
    vault.answers.set()
    looking.join(10)
    assert not looking.is_alive()
    assert bench.presented == NEW.der


def test_an_urgent_look_goes_on_in_bounded_time(bench: Bench, vault: StuckVault, client: Minted) -> None:
    """The limit counts from the call of the vault: later callers do not wait at all."""
    hang(bench, vault)
    bench.seconds += 10
    bench.check_urgently()
    assert bench.presented == client.der


def test_a_reload_says_that_there_is_no_answer(bench: Bench, vault: StuckVault, client: Minted) -> None:
    """A typed error has the source, the seconds and the remedy, and the last good certificate stays."""
    hang(bench, vault)
    bench.seconds += 10
    with pytest.raises(seic.CertificateError) as caught:
        bench.identity.reload()

    assert (caught.value.path, caught.value.reason) == ("the certificate callback", seic.Reason.SOURCE_FAILED)
    assert "gave no answer in 10 seconds" in str(caught.value)
    assert "the last good certificate stays in service" in str(caught.value)
    assert "give it a time limit of its own" in str(caught.value)
    assert bench.presented == client.der


def test_a_reload_reads_what_is_there_when_it_is_asked(bench: Bench, vault: StuckVault) -> None:
    """A running reading can return the old certificate, so it is read once more."""
    hang(bench, vault)
    found: list[bool] = []
    reloading = threading.Thread(target=lambda: found.append(bench.identity.reload()))
    reloading.start()
    vault.minted = NEW
    answer(bench, vault)
    reloading.join(10)
    assert vault.calls == 3
    assert bench.presented == NEW.der


def test_silence_is_told_once(bench: Bench, vault: StuckVault) -> None:
    """One event after the timeout; an answer resets this, and the next hang is reported again."""
    hang(bench, vault)
    bench.seconds += 9.9
    bench.check_without_waiting()
    assert silences(bench) == []
    bench.seconds += 0.1
    bench.check_without_waiting(5)
    bench.seconds += 3600
    bench.check_without_waiting(5)
    (said,) = silences(bench)
    assert said.startswith("the certificate callback: it gave no answer in 10 seconds")

    vault.minted = NEW
    answer(bench, vault)
    assert bench.presented == NEW.der
    assert len(silences(bench)) == 1

    hang(bench, vault)
    bench.seconds += 10
    bench.check_without_waiting()
    assert len(silences(bench)) == 2


def test_one_that_fails_after_long_is_not_told_again_and_again(bench: Bench, vault: StuckVault) -> None:
    """A vault that is down for hours causes two events, one for the hang and one for the failure, not two per call."""
    vault.error = OSError("down")
    for _ in range(3):
        hang(bench, vault)
        bench.seconds += 10
        answer(bench, vault)
    assert len(silences(bench)) == 2


@pytest.mark.parametrize("answers", [True, False])
def test_the_first_certificate_is_waited_for_in_bounded_time(
    answers: bool, vault: StuckVault, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing works without it, so the wait is longer; then the error names the source and the seconds."""
    assert reload.FIRST_PATIENCE > reload.PATIENCE
    bench = Bench(tmp_path, root, vault)
    if answers:
        assert bench.current().generation == 1
        return
    monkeypatch.setattr(reload, "FIRST_PATIENCE", 0)
    vault.hang()
    with pytest.raises(seic.CertificateError) as caught:
        bench.current()
    assert (caught.value.path, caught.value.reason) == ("the certificate callback", seic.Reason.SOURCE_FAILED)
    assert "gave no answer in 0 seconds" in str(caught.value)
    assert "last good" not in str(caught.value)
    assert bench.events == []


def test_a_late_first_certificate_is_taken_up(
    vault: StuckVault, root: Minted, tmp_path: Path, client: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers after the timeout fail at once, without a second call; when the certificate arrives, it is used."""
    bench = Bench(tmp_path, root, vault)
    vault.hang()
    with monkeypatch.context() as patch:
        patch.setattr(reload, "FIRST_PATIENCE", 0)
        for _ in range(3):
            with pytest.raises(seic.CertificateError):
                bench.current()
    vault.answers.set()
    assert bench.presented == client.der
    assert vault.calls == 1


def test_a_passphrase_that_hangs_is_no_better(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The callback of a passphrase can be a vault too."""
    certificate, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))
    asked, answers = threading.Event(), threading.Event()
    answers.set()

    def passphrase() -> str:
        asked.set()
        assert answers.wait(60)
        return PASSPHRASE

    bench = Bench(tmp_path, root, seic.ClientCertificate.load(certificate, key=key, password=passphrase))
    bench.current()
    bench.check()
    new = mint(issuer=root, number=17)
    answers.clear()
    asked.clear()
    certificate.write_bytes(new.pem)
    key.write_bytes(new.key_bytes(password=PASSPHRASE))
    bench.check_without_waiting(2)
    assert asked.wait(10)
    bench.seconds += 10
    bench.check_urgently()
    assert silences(bench) == [
        (
            f"{certificate}: it gave no answer in 10 seconds, and is not asked again until it does; the last good "
            "certificate stays in service; give it a time limit of its own"
        )
    ]
    answers.set()
    bench.wait_for_readings()
    assert bench.presented == new.der


@forks
def test_a_forked_child_forgets_what_its_parent_asked(bench: Bench, vault: StuckVault) -> None:
    """The thread that waits for the vault stays in the parent: the child calls the vault itself."""
    hang(bench, vault)

    def call() -> bool:
        vault.answers = threading.Event()
        vault.answers.set()
        vault.asked = threading.Event()
        vault.minted = NEW
        return bench.identity.reload()

    assert in_child(call) == "True"


def test_a_listener_that_hangs_holds_up_no_reload(client: Minted, root: Minted, tmp_path: Path) -> None:
    """A caller that waits for a reading also waits for its listeners, but not longer than its timeout."""
    told, go_on = threading.Event(), threading.Event()

    def listen(event: Event) -> None:
        told.set()
        assert go_on.wait(60)

    client.write(tmp_path)
    bench = Bench(tmp_path, root)
    bench.listen(listen)
    bench.current()
    replace(tmp_path, NEW)
    found: list[bool] = []
    first = threading.Thread(target=lambda: found.append(bench.identity.reload()))
    first.start()
    assert told.wait(10)
    assert bench.identity.reload() is False
    go_on.set()
    first.join(10)
    assert found == [True]
