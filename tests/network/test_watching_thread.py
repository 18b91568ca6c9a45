"""The thread that watches certificates: one for all, idle at rest, replaced if it died; each in its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.pki import Minted, authority, mint


@pytest.fixture
def root() -> Minted:
    """Return the authority of the certificates."""
    return authority()


def test_one_thread_watches_all_and_ends_with_the_last(root: Minted, tmp_path: Path) -> None:
    """For any number of identities; in a subprocess, since other tests may be watching."""
    pairs = [mint(issuer=root, number=95), mint(issuer=root, number=96)]
    for index, pair in enumerate(pairs):
        folder = tmp_path / str(index)
        folder.mkdir()
        pair.write(folder)
    program = f"""
import gc, threading, seic
from seic._identity import Identity
def watching():
    return [thread for thread in threading.enumerate() if thread.name == "seic-certificates"]
assert threading.active_count() == 1
for _ in range(2):
    identities = [
        Identity(seic.ClientCertificate.load(f"{{folder}}/client.pem", key=f"{{folder}}/client.key"))
        for folder in ("{tmp_path}/0", "{tmp_path}/1")
    ]
    assert not watching()
    for identity in identities:
        identity.current()
    (thread,) = watching()
    del identity, identities
    gc.collect()
    thread.join(10)
    assert not watching()
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_a_thread_that_died_is_replaced(root: Minted, tmp_path: Path) -> None:
    """Whatever ended it, the next use of the identity starts another, which notices rotations."""
    for index in range(2):
        folder = tmp_path / str(index)
        folder.mkdir()
        mint(issuer=root, number=97 + index).write(folder)
    program = f"""
import os, threading, time, httpx, seic
def watching():
    return [thread for thread in threading.enumerate() if thread.name == "seic-certificates"]
def call():
    with httpx.Client(transport=seic.Transport(config)) as client:
        try:
            client.get(config.base_url)
        except httpx.ConnectError:
            pass
def dying(seconds):
    if threading.current_thread().name == "seic-certificates":
        started.wait(10)
        raise SystemExit
    sleep(seconds)
config = seic.Config(
    provider=seic.SEI_GATEWAY,
    hosts=seic.Hosts(mtls="localhost:1"),
    client_id="AppKey-1",
    client_secret="AppSecret-1",
    grant=seic.ClientCredentials(username="svc-user", password="password-1"),
    certificate=seic.ClientCertificate.load("{tmp_path}/0/client.pem", key="{tmp_path}/0/client.key"),
)
rotated, started = threading.Event(), threading.Event()
def listener(event):
    if isinstance(event, seic.events.CertificateRotated):
        rotated.set()
auth = seic.OAuth2Auth(config, on_event=listener)
sleep, time.sleep = time.sleep, dying
call()
(thread,) = watching()
started.set()
thread.join(10)
assert not watching()
time.sleep = sleep
call()
assert len(watching()) == 1
for name in ("client.key", "client.pem"):
    os.replace(f"{tmp_path}/1/{{name}}", f"{tmp_path}/0/{{name}}")
assert rotated.wait(10)
print("rotated")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("rotated\n", "")


def test_files_that_do_not_change_are_checked_twice_a_second(root: Minted, tmp_path: Path) -> None:
    """After a change ten times a second until it is loaded, so that it is served within a second."""
    for name, number in (("in-use", 99), ("new", 100), ("other", 101)):
        (tmp_path / name).mkdir()
        mint(issuer=root, number=number).write(tmp_path / name)
    (tmp_path / "ca.pem").write_bytes(root.pem)
    program = f"""
import os, threading, time, seic
from seic._identity import Identity
pauses, steps, asleep = [], threading.Semaphore(0), threading.Semaphore(0)
sleep, stat = time.sleep, os.stat
asked = []
def paused(seconds):
    if threading.current_thread().name != "seic-certificates":
        return sleep(seconds)
    pauses.append(round(seconds, 3))
    asleep.release()
    assert steps.acquire(timeout=30)
def counted(path, *args, **kwargs):
    if threading.current_thread().name == "seic-certificates":
        asked.append(os.fspath(path))
    return stat(path, *args, **kwargs)
time.sleep, os.stat = paused, counted
def step(count=1):
    for _ in range(count):
        steps.release()
        assert asleep.acquire(timeout=30)
def load(name):
    return seic.ClientCertificate.load(f"{tmp_path}/{{name}}/client.pem", key=f"{tmp_path}/{{name}}/client.key")
rotated = threading.Event()
class Listener:
    def notify(self, event):
        rotated.set()
listener = Listener()
one = Identity(load("in-use"), ca="{tmp_path}/ca.pem")
other = Identity(load("other"), ca="{tmp_path}/ca.pem")
one.add_listener(listener)
one.current()
assert asleep.acquire(timeout=30)
other.current()
step(3)
assert pauses == [0.501, 0.502, 0.502, 0.502], pauses
asked.clear()
step()
assert len(asked) == len(set(asked)) == 5, asked  # two pairs, and the bundle of both
pauses.clear()
for name in ("client.key", "client.pem"):
    os.replace(f"{tmp_path}/new/{{name}}", f"{tmp_path}/in-use/{{name}}")
step()
assert pauses == [0.1], pauses
asked.clear()
step()
assert asked and not [path for path in asked if "/other/" in path], asked
assert rotated.wait(10)
pauses.clear()
step(5)
assert pauses[-2:] == [0.502, 0.502], pauses
print("served")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("served\n", "")
