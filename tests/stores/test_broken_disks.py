"""`FileStore` on a full disk, on a read-only mount, in an order that a loss of power survives, and killed at random."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import seic

KEY = "k" * 32
ENTRY = "a1" * 32
_TOKEN = """
import sys, time
import seic
def token(name, size=5000):
    return seic.Token(access_token=name, expires_in=3600, obtained_at=time.time(), extra={"filling": "x" * size})
store = seic.FileStore(sys.argv[1], key="k" * 32)
"""
#: Runs a program after a change of mounts, in a namespace of its own: the machine has none of them.
_MOUNTED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]


def mounts() -> bool:
    """Return whether this system lets a test mount a file system for itself."""
    try:
        return (
            subprocess.run([*_MOUNTED, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


def run_mounted(commands: str, folder: Path, program: str) -> str:
    """Run a program after commands of a shell; return what it printed."""
    command = [*_MOUNTED, commands + '\nexec "$2" -c "$3" "$1"', "sh", str(folder), sys.executable, _TOKEN + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_mounts = pytest.mark.skipif(not mounts(), reason="mounts in a user namespace")


@needs_mounts
def test_a_full_disk_keeps_the_old_token(tmp_path: Path) -> None:
    """And saves again as soon as there is space."""
    found = run_mounted(
        'mount -t tmpfs -o size=64k tmpfs "$1"',
        tmp_path,
        """
import errno, os
store.save("a1" * 32, token("old"))
with open(sys.argv[1] + "/filling", "wb", buffering=0) as file:
    try:
        while True: file.write(b"x" * 4096)
    except OSError: pass
for call in (lambda: store.save("a1" * 32, token("new")), lambda: store.claim("a1" * 32, 60)):
    try: call()
    except OSError as error: print(errno.errorcode[error.errno])
print(store.load("a1" * 32).access_token)
print(sorted(name for name in os.listdir(sys.argv[1]) if name.startswith(".new")))
os.unlink(sys.argv[1] + "/filling")
store.save("a1" * 32, token("next"))
print(store.load("a1" * 32).access_token)
""",
    )

    assert found.splitlines() == ["ENOSPC", "ENOSPC", "old", "[]", "next"]


@needs_mounts
def test_a_read_only_mount_serves_reads(tmp_path: Path) -> None:
    """Such as a volume with the tokens of another container."""
    seic.FileStore(tmp_path, key=KEY).save(
        ENTRY, seic.Token(access_token="old", expires_in=3600, obtained_at=time.time())
    )
    found = run_mounted(
        'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"',
        tmp_path,
        """
import errno
for call in (lambda: store.save("a1" * 32, token("new")), lambda: store.claim("a1" * 32, 60)):
    try: call()
    except OSError as error: print(errno.errorcode[error.errno])
print(store.load("a1" * 32).access_token)
""",
    )

    assert found.splitlines() == ["EROFS", "EROFS", "old"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_process_that_is_killed_at_a_random_instant_leaves_a_complete_token(tmp_path: Path) -> None:
    """Forks claim, save and release, and are killed up to 3 milliseconds after the first time."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, seic.Token(access_token="0", expires_in=3600, obtained_at=time.time()))
    command = [sys.executable, "-c", _TOKEN + _KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    assert done.stdout.split() == ["300", "300"]  # killed, and seen in the store


_KILLED = """
import os, random, signal
chance, seen, killed = random.Random(14), set(), 0
for number in range(300):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            store.claim("a1" * 32, 60)
            store.save("a1" * 32, token(str(number)))
            store.release("a1" * 32)
            os.write(writing, b"x")
    os.read(reading, 1)
    for end in (reading, writing): os.close(end)
    time.sleep(chance.random() * 0.003)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WTERMSIG(status) == signal.SIGKILL
    loaded = store.load("a1" * 32)
    assert loaded.extra["filling"] == "x" * 5000
    seen.add(loaded.access_token)
store.save("a1" * 32, token("after"))
assert store.load("a1" * 32).access_token == "after"
store.release("a1" * 32)
print(killed, len(seen))
"""


def test_a_loss_of_power_finds_a_complete_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is on the disk before it gets its name, and the name before the save returns."""
    store = seic.FileStore(tmp_path, key=KEY)
    steps: list[str] = []
    replace, sync = Path.replace, os.fsync

    def synced(handle: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{handle}").resolve() == tmp_path.resolve() else "file")
        sync(handle)

    def replaced(path: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(path, target)

    monkeypatch.setattr("seic._stores.file_store.os.fsync", synced)
    monkeypatch.setattr("seic._stores.file_store.Path.replace", replaced)
    store.save(ENTRY, seic.Token(access_token="a", expires_in=3600, obtained_at=time.time()))

    assert steps == ["file", "replace", "folder"]
