"""Invalid pairs: the last good one stays in use, and each problem is reported once."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import seic
from seic.events import CertificateRejected, CertificateRotated
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint
from tests._support.rotating import BELIEVED, NEW, Bench, replace

BAD: dict[str, tuple[Callable[[Path], None], seic.Reason, str]] = {
    "mismatch": (lambda folder: replace(folder, NEW, "client.pem"), seic.Reason.KEY_MISMATCH, "client.pem"),
    "garbage": (lambda folder: _write(folder / "client.pem", b"garbage"), seic.Reason.UNKNOWN_FORMAT, "client.pem"),
    "cut": (lambda folder: _write(folder / "client.key", NEW.key_pem[:80]), seic.Reason.TRUNCATED, "client.key"),
    "gone": (lambda folder: (folder / "client.key").unlink(), seic.Reason.NOT_FOUND, "client.key"),
    "expired": (
        lambda folder: replace(folder, mint(issuer=authority(), not_after=NOW - DAY / 2)),
        seic.Reason.EXPIRED,
        "client.pem",
    ),
    "weak": (
        lambda folder: replace(folder, mint(issuer=authority(), key="rsa1024")),
        seic.Reason.WEAK_KEY,
        "client.pem",
    ),
    "encrypted": (
        lambda folder: _write(folder / "client.key", NEW.key_bytes(password=PASSPHRASE)),
        seic.Reason.PASSPHRASE_MISSING,
        "client.key",
    ),
}


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.parametrize("row", BAD)
def test_a_bad_pair_leaves_the_good_one_in_service_and_is_reported_once(
    row: str, bench: Bench, assert_no_leak: Callable[..., None]
) -> None:
    """An invalid pair replaces nothing; one event names file and reason, and no more follow."""
    spoil, reason, named = BAD[row]
    held = bench.current()
    spoil(bench.folder)

    bench.check(BELIEVED - 1)
    assert bench.events == []
    bench.check(20)

    assert bench.current() is held
    (event,) = bench.events
    assert isinstance(event, CertificateRejected)
    assert (event.reason, event.path) == (reason, str(bench.folder / named))
    assert event.problem.startswith(f"{bench.folder / named}: ")
    assert_no_leak(event, keys=(NEW,))


def test_each_distinct_bad_content_is_reported_once(bench: Bench, client: Minted) -> None:
    """The same invalid content is not reported again; other content is, and the same after a valid one."""
    path = bench.folder / "client.pem"

    def reported() -> int:
        bench.check(BELIEVED)
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
    """The next change ends a rejection."""
    (bench.folder / "client.pem").write_bytes(b"garbage")
    bench.check(BELIEVED)
    replace(bench.folder, NEW)
    bench.check()
    assert bench.presented == NEW.der


def test_a_certificate_ahead_of_its_time_is_taken_up_when_its_time_has_come(bench: Bench, client: Minted) -> None:
    """A pair that is not valid yet is reported, and used from its first second without another change."""
    coming = mint(issuer=bench.root, number=7, not_before=NOW + DAY)
    replace(bench.folder, coming)
    bench.check(BELIEVED)
    assert [event.reason for event in bench.events if isinstance(event, CertificateRejected)] == [
        seic.Reason.NOT_YET_VALID
    ]
    bench.now = NOW + DAY - dt.timedelta(seconds=1)
    bench.check()
    assert bench.presented == client.der

    bench.now = NOW + DAY
    bench.check(1)

    assert bench.presented == coming.der
    assert [type(event) for event in bench.events] == [CertificateRejected, CertificateRotated]


class Sealed:
    """A pair on disk with a passphrase from a vault that can fail."""

    def __init__(self, folder: Path, root: Minted, first: Minted) -> None:
        self.folder = folder
        self.asked = 0
        self.is_down = False
        self.put(first)
        loaded = seic.ClientCertificate.load(folder / "client.pem", key=folder / "client.key", password=self._ask)
        self.bench = Bench(folder, root, loaded)
        self.bench.current()
        self.bench.check()

    def _ask(self) -> str:
        self.asked += 1
        if self.is_down:
            raise TimeoutError
        return PASSPHRASE

    def put(self, minted: Minted) -> None:
        """Write a pair."""
        minted.write(self.folder)
        (self.folder / "client.key").write_bytes(minted.key_bytes(password=PASSPHRASE))

    def miss(self) -> None:
        """Write a new pair while the vault is down for longer than the wait, then repair the vault."""
        self.is_down = True
        self.put(NEW)
        self.bench.check(BELIEVED)
        assert [type(event) for event in self.bench.events] == [CertificateRejected]
        self.is_down = False
        self.bench.events.clear()


@pytest.fixture
def sealed(tmp_path: Path, root: Minted, client: Minted) -> Sealed:
    """Return the first pair."""
    return Sealed(tmp_path, root, client)


def test_what_failed_for_a_while_is_read_again(sealed: Sealed, client: Minted) -> None:
    """The new pair needs no further change on disk."""
    sealed.miss()
    sealed.bench.seconds += 0.9
    sealed.bench.check(1)
    assert sealed.bench.presented == client.der
    sealed.bench.seconds += 0.1
    sealed.bench.check(1)
    assert sealed.bench.presented == NEW.der
    assert [type(event) for event in sealed.bench.events] == [CertificateRotated]


def test_the_pauses_grow_to_a_minute(sealed: Sealed) -> None:
    """A passphrase that comes a few seconds after its file is not waited for much longer than that."""
    sealed.miss()
    sealed.is_down = True
    asked = [sealed.asked]
    read_at = []
    for second in range(1, 200):
        sealed.bench.seconds += 1
        sealed.bench.check(1)
        if sealed.asked > asked[-1]:
            asked.append(sealed.asked)
            read_at.append(second)
    assert read_at == [1, 3, 7, 15, 31, 63, 123, 183]


def test_a_refused_handshake_has_what_failed_read_again_at_once(sealed: Sealed) -> None:
    """It does not wait for the minute."""
    sealed.miss()
    sealed.bench.seconds += 1
    sealed.bench.check_urgently()
    assert sealed.bench.presented == NEW.der


def test_refused_handshakes_do_not_have_it_read_each(sealed: Sealed) -> None:
    """A thousand concurrent refusals cause one reading, and a remaining problem is not reported again."""
    sealed.miss()
    sealed.is_down = True
    sealed.bench.seconds += 1
    asked = sealed.asked
    for _ in range(1000):
        sealed.bench.check_urgently()
    assert sealed.asked == asked + 1
    assert sealed.bench.events == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_in_place_of_a_file_is_reported_and_not_waited_for(bench: Bench, client: Minted) -> None:
    """The check never blocks on a pipe without a writer."""
    bench.current()
    bench.check()
    (bench.folder / "client.key").unlink()
    os.mkfifo(bench.folder / "client.key")
    looking = threading.Thread(target=bench.check, args=(BELIEVED,), daemon=True)
    looking.start()
    looking.join(10)
    assert not looking.is_alive()
    assert bench.presented == client.der
    assert [event.reason for event in bench.events if isinstance(event, CertificateRejected)] == [
        seic.Reason.UNREADABLE
    ]


@pytest.mark.parametrize("source", ["files", "bytes"])
def test_an_expired_first_certificate_is_refused(source: str, root: Minted, tmp_path: Path) -> None:
    """There is no last good pair: the error is raised before any handshake, and again the next time."""
    old = mint(issuer=root, not_after=NOW - DAY / 2)
    paths = old.write(tmp_path)
    loaded = (
        seic.ClientCertificate.load(paths[0], key=paths[1])
        if source == "files"
        else seic.ClientCertificate.load(old.pair)
    )
    bench = Bench(tmp_path, root, loaded)
    for _ in range(2):
        with pytest.raises(seic.CertificateError) as caught:
            bench.current()
        assert caught.value.reason == seic.Reason.EXPIRED
