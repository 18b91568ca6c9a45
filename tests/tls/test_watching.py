"""Watching: one thread looks after all identities, and is there only while there are some."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from seic._events import CertificateRotated, Event
from seic._tls.certificate import ClientCertificate
from seic._tls.rotation import Identity
from seic._tls.watching import Watcher
from tests._support.pki import Minted, mint


class Looked:
    """Something to watch that tells when it was looked at, and on which thread."""

    def __init__(self, *, failing: BaseException | None = None) -> None:
        self.looked = threading.Event()
        self.threads: set[int] = set()
        self.failing = failing

    def look(self) -> None:
        """Take note."""
        self.threads.add(threading.get_ident())
        self.looked.set()
        if self.failing is not None:
            raise self.failing


def running(watcher: Watcher) -> threading.Thread:
    """Return its thread, which there must be."""
    assert watcher.thread is not None
    return watcher.thread


def ended(thread: threading.Thread, watcher: Watcher) -> bool:
    """Wait for the thread to end, and tell whether the watcher knows."""
    thread.join(10)
    return not thread.is_alive() and watcher.thread is None


@pytest.fixture
def watcher() -> Watcher:
    """A watcher that looks often."""
    return Watcher(interval=0.001)


def test_one_thread_looks_after_all(watcher: Watcher) -> None:
    """However many are watched, one thread that is not the caller's looks at each."""
    watched = [Looked() for _ in range(20)]
    for one in watched:
        watcher.add(one)
    for one in watched:
        assert one.looked.wait(10)
    threads = set[int]().union(*(one.threads for one in watched))
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    thread = running(watcher)
    for one in watched:
        watcher.discard(one)
    assert ended(thread, watcher)


def test_the_thread_is_there_only_while_something_is_watched(watcher: Watcher) -> None:
    """It starts with the first, ends with the last, and starts again."""
    assert watcher.thread is None
    for _ in range(3):
        one = Looked()
        watcher.add(one)
        thread = running(watcher)
        assert one.looked.wait(10)
        watcher.discard(one)
        assert ended(thread, watcher)


def test_it_ends_at_once_whatever_its_interval() -> None:
    """Discarding the last wakes the thread: closing a client does not leave it behind."""
    watcher = Watcher(interval=3600)
    one = Looked()
    watcher.add(one)
    thread = running(watcher)
    watcher.discard(one)
    assert ended(thread, watcher)
    assert not one.looked.is_set()


def test_one_of_two_can_go(watcher: Watcher) -> None:
    """The thread goes on for those that stay."""
    first, second = Looked(), Looked()
    watcher.add(first)
    watcher.add(second)
    watcher.discard(first)
    second.looked.clear()
    assert second.looked.wait(10)
    thread = running(watcher)
    watcher.discard(second)
    assert ended(thread, watcher)


def test_what_nobody_holds_is_forgotten(watcher: Watcher) -> None:
    """A client that was never closed does not keep the thread alive."""
    one = Looked()
    watcher.add(one)
    assert one.looked.wait(10)
    thread = running(watcher)
    del one
    gc.collect()
    assert ended(thread, watcher)


@pytest.mark.parametrize(
    "error", [RuntimeError("failed"), SystemExit(1), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
def test_a_failing_listener_stops_neither_the_thread_nor_the_others(
    error: BaseException, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    """What a listener raises is logged, and the looking goes on."""
    bad, good = Looked(failing=error), Looked()
    watcher.add(bad)
    watcher.add(good)
    assert bad.looked.wait(10)
    bad.looked.clear()
    good.looked.clear()
    assert bad.looked.wait(10)
    assert good.looked.wait(10)
    thread = running(watcher)
    watcher.discard(bad)
    watcher.discard(good)
    assert ended(thread, watcher)
    assert "a listener to certificate events failed" in caplog.text


def test_a_thread_that_died_is_replaced(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ended the thread, the next identity starts another."""
    with monkeypatch.context() as patch:
        patch.setattr(watcher, "_run", lambda changed: changed.clear())  # returns at once
        first = Looked()
        watcher.add(first)
        dead = running(watcher)
        dead.join(10)
    second = Looked()
    watcher.add(second)
    thread = running(watcher)
    assert thread is not dead
    assert first.looked.wait(10)
    assert second.looked.wait(10)
    watcher.discard(first)
    watcher.discard(second)
    assert ended(thread, watcher)


def test_an_identity_on_disk_is_rotated_by_the_thread(
    watcher: Watcher, client: Minted, root: Minted, tmp_path: Path
) -> None:
    """From a rename on disk to the new pair in service nobody has to ask."""
    certificate, key = client.write(tmp_path)
    rotated = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, CertificateRotated):
            rotated.set()

    identity = Identity(ClientCertificate.load(certificate, key=key), ca=root.pem, emit=listen)
    identity.hold()
    watcher.add(identity)
    new = mint(issuer=root, number=6)
    staged = tmp_path / "staged"
    staged.mkdir()
    new.write(staged)
    (staged / "client.key").replace(key)
    (staged / "client.pem").replace(certificate)

    assert rotated.wait(10)
    assert identity.hold().certificate.leaf.der == new.der
    thread = running(watcher)
    watcher.discard(identity)
    assert ended(thread, watcher)


def test_the_process_has_one_that_is_idle() -> None:
    """Importing starts no thread; asked of a process of its own, for other tests may be watching."""
    program = "import seic, threading; print(seic._tls.watching.WATCHER.thread, threading.active_count())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.parametrize("watching", [True, False])
def test_a_forked_child_watches_by_itself(watching: bool, watcher: Watcher) -> None:
    """Threads do not survive a fork: the child starts its own where there is something to watch."""
    one = Looked()
    watcher.add(one)
    assert one.looked.wait(10)
    thread = running(watcher)
    if not watching:
        watcher.discard(one)
        assert ended(thread, watcher)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork while threads run
        child = os.fork()
    if child == 0:
        signal.alarm(10)
        one.looked.clear()
        as_expected = one.looked.wait(10) if watching else watcher.thread is None
        os._exit(0 if as_expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    watcher.discard(one)
    assert ended(thread, watcher)
