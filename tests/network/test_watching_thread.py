"""The thread that watches certificates: one for all, and replaced if it died. Each test has its own process."""

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
