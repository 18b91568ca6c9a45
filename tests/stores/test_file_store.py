"""`FileStore`: processes that are killed, full disks, folders without permission, and network file systems."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import seic
from seic._stores.file_store import network_file_system
from tests._support.forking import forks, in_child

KEY = "k" * 32
ENTRY = "a1" * 32
_PROGRAM = """
import os, resource, signal, sys, time
import seic
store = seic.FileStore(sys.argv[1], key="k" * 32)
def token(name):
    return seic.Token(access_token=name, expires_in=3600, obtained_at=time.time(), extra={"filling": "x" * 5000})
def save(name):
    store.save("a1" * 32, token(name))
"""
posix = pytest.mark.skipif(os.name != "posix", reason="file modes and signals of POSIX")


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in another process, with `store`, `token` and `save`."""
    command = [sys.executable, "-c", _PROGRAM + program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def token(name: str = "a", **fields: object) -> seic.Token:
    """Return a token of an hour."""
    return seic.Token.from_dict({"access_token": name, "expires_in": 3600.0, "obtained_at": time.time(), **fields})


def name(store: seic.FileStore) -> str | None:
    """Return the stored access token."""
    loaded = store.load(ENTRY)
    return None if loaded is None else loaded.access_token


@posix
@pytest.mark.parametrize(
    ("step", "found"),
    [("os.utime", "old"), ("os.fsync", "old"), ("os.replace", "old"), ("seic._stores.file_store._sync_folder", "new")],
)
def test_a_process_that_is_killed_leaves_a_complete_token(tmp_path: Path, step: str, found: str) -> None:
    """Killed before each step of a save: the token is the old or the new one, and the next process saves."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token("old"))
    module, _, function = step.rpartition(".")
    killed = run(
        tmp_path,
        f"import importlib\nmodule = importlib.import_module({module!r})\n"
        f"module.{function} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\nsave('new')",
    )
    assert killed.returncode == -9, killed.stderr

    assert name(store) == found
    store.save(ENTRY, token("next"))
    assert name(store) == "next"


@posix
def test_a_process_that_is_killed_at_any_moment_leaves_a_complete_token(tmp_path: Path) -> None:
    """It saves in a loop, and is killed after a number of saves that another process sees."""
    store = seic.FileStore(tmp_path, key=KEY)
    for _ in range(5):
        command = [sys.executable, "-c", _PROGRAM + "while True: save('a'); print(flush=True)", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            process.kill()
        assert name(store) == "a"
        store.delete(ENTRY)


@posix
def test_a_full_disk_leaves_the_old_token(tmp_path: Path) -> None:
    """The save fails, and the file is the one before; a limit of the process has the same effect."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token("old"))
    failed = run(
        tmp_path,
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: save('new')\nexcept OSError: sys.exit(3)",
    )
    assert failed.returncode == 3, failed.stderr

    assert name(store) == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@posix
def test_a_folder_without_permission_serves_reads() -> None:
    """As a read-only mount does: a save raises, which costs no call, and a load works."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seic.FileStore(folder, key=KEY).save(ENTRY, token("old"))
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        # Permissions do not bind root.
        reading = run(
            folder,
            "if os.geteuid() == 0: os.setuid(65534)\nassert store.load('a1' * 32).access_token == 'old'\n"
            "try: save('new')\nexcept OSError: sys.exit(3)",
        )
        for path in paths:
            path.chmod(0o755)

    assert reading.returncode == 3, reading.stderr


@posix
def test_files_are_private(tmp_path: Path) -> None:
    """Whatever the umask; the folder too, if the store creates it."""
    folder = tmp_path / "tokens"
    before = os.umask(0)
    try:
        store = seic.FileStore(folder, key=KEY)
        store.save(ENTRY, token())
        store.claim(ENTRY, 10)
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert (modes, stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)


@posix
def test_a_folder_that_others_can_write_to_needs_a_key(tmp_path: Path) -> None:
    """Else they could plant tokens."""
    tmp_path.chmod(0o777)
    with pytest.raises(seic.ConfigurationError, match="other users can write"):
        seic.FileStore(tmp_path, key="UNENCRYPTED")

    seic.FileStore(tmp_path, key=KEY)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    """The error names it."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(seic.ConfigurationError, match="file is not a folder"):
        seic.FileStore(tmp_path / "file", key=KEY)


def test_a_folder_that_appears_later_is_used(tmp_path: Path) -> None:
    """Such as a volume that is mounted after the start, or a folder that was deleted."""
    (tmp_path / "there").write_text("x")
    store = seic.FileStore(tmp_path / "there" / "tokens", key=KEY)
    with pytest.raises(OSError):
        store.save(ENTRY, token())
    (tmp_path / "there").unlink()
    store.save(ENTRY, token())

    assert name(store) == "a"


@posix
def test_what_is_not_a_regular_file_is_not_read(tmp_path: Path) -> None:
    """A pipe in its place would block for ever."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    (path,) = [path for path in tmp_path.iterdir() if path.is_file()]
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(OSError, match="pipe"):
        store.load(ENTRY)


def test_expired_tokens_are_deleted(tmp_path: Path) -> None:
    """The end of a token is the modification time of its file; each process looks once an hour."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token(obtained_at=time.time() - 7200))
    store.save("b2" * 32, token("kept"))
    seic.FileStore(tmp_path, key=KEY).save("c3" * 32, token())

    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == 2


def test_other_files_in_the_folder_are_kept(tmp_path: Path) -> None:
    """The folder may be one that an application has for everything."""
    others = [tmp_path / name for name in ("data.db", ".new-report", "A1" * 32, "a1" * 31)]
    for other in others:
        other.write_text("x")
        os.utime(other, (1, 1))
    seic.FileStore(tmp_path, key=KEY).save(ENTRY, token())

    assert all(other.exists() for other in others)


@pytest.mark.parametrize("number", ["9" * 4300, "1e999", "-1", "true", "NaN", '"1"', "null"])
def test_a_number_that_is_none_is_replaced(tmp_path: Path, number: str) -> None:
    """Else each call would fail until the entry ends."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    (path,) = [path for path in tmp_path.iterdir() if path.is_file()]
    value = path.read_bytes().partition(b"\n")[2]
    path.write_bytes(f'{{"number": {number}, "saved": {number}, "until": 0}}\n'.encode() + value)

    assert store.claim(ENTRY, 60)
    store.save(ENTRY, token("b"))
    assert name(store) == "b"


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw 0 0
tmpfs /home/user/local tmpfs rw 0 0
//server/share /mnt/my\\040share cifs rw 0 0
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/tokens", None),
        ("/home/user/tokens", "nfs4"),
        ("/home/user/local/tokens", None),
        ("/mnt/my share/tokens", "cifs"),
    ],
)
def test_a_network_file_system_is_recognized(path: str, kind: str | None) -> None:
    """By the mount that the folder is on."""
    assert network_file_system(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says why, and names the alternative."""
    monkeypatch.setattr("seic._stores.file_store.network_file_system", lambda _: "nfs4")
    with pytest.raises(seic.ConfigurationError, match=r"nfs4.*RedisStore"):
        seic.FileStore(tmp_path, key=KEY)


def test_the_lock_of_a_frozen_process_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails, which costs a token request; a load needs no lock."""
    monkeypatch.setattr("seic._stores.file_store._LOCK", 0.01)
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    with store._locked(store._cipher.names(ENTRY)[0]):
        with pytest.raises(TimeoutError):
            store.save(ENTRY, token("b"))

        assert name(store) == "a"


@forks
def test_a_forked_process_does_not_release_the_claim_of_its_parent(tmp_path: Path) -> None:
    """It copied the claim with the memory of its parent."""
    store = seic.FileStore(tmp_path, key=KEY)
    assert store.claim(ENTRY, 60)

    assert in_child(lambda: store.release(ENTRY)) == "None"
    assert not seic.FileStore(tmp_path, key=KEY).claim(ENTRY, 60)
    store.release(ENTRY)
    assert seic.FileStore(tmp_path, key=KEY).claim(ENTRY, 60)


def test_a_claim_of_a_clock_that_was_set_back_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would last for hours."""
    store = seic.FileStore(tmp_path, key=KEY)
    now = time.time()
    monkeypatch.setattr("seic._stores.file_store.time.time", lambda: now + 7200)
    assert store.claim(ENTRY, 10)
    monkeypatch.undo()

    assert seic.FileStore(tmp_path, key=KEY).claim(ENTRY, 10)
