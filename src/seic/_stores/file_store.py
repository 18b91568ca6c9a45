"""`FileStore`: a folder of encrypted entries, shared by the processes of one machine.

An entry is one file: a line of JSON with the numbers of its claims, then the encrypted token. A file is replaced as a
whole, so it is complete at any moment. Changes happen under a file lock, which is held for milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from seic._errors import ConfigurationError
from seic._files import read_regular_file, reads_in_place
from seic._model.secret import Unpicklable, strip_frames_on_init
from seic._model.token import Token, is_number
from seic._public import publish
from seic._stores.store_claims import StoreClaims, claim_all, newest
from seic._stores.token_cipher import MAX_ENTRY, StoreKey, TokenCipher
from seic._tokens.store import InvalidEntryError

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: The longest wait for the file lock, in seconds; it is held for milliseconds, unless its process is frozen.
_LOCK = 0.5
_LOCK_CHECK = 0.005
_LOCKS = "locks"
_TEMPORARY = ".new-"
#: The store's own files: the folder may have others.
_OWN = re.compile(rf"[0-9a-f]{{64}}|{re.escape(_TEMPORARY)}[0-9a-f]{{16}}")
#: No number reaches it: microseconds since the epoch do so in the year 2255.
_MAX_NUMBER = 2**53
#: The longest that a claim can last, in seconds: one that ends later was made before the clock was set back.
_LONGEST_CLAIM = 3600.0
#: The time that an entry without an end, or without a token, is kept, in seconds.
_YEAR, _HOUR = 365 * 86400.0, 3600.0
#: File systems over a network, where locks and replacements of files are not the same for all machines at once.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}


@attrs.frozen(kw_only=True)
class _Entry:
    """One file.

    Attributes:
        number: That of the last claim.
        saved: The number with which the token was saved.
        until: When the claim ends, in seconds since the epoch; 0 without a claim.
        token: The encrypted token; empty for none.
    """

    number: int = 0
    saved: int = 0
    until: float = 0.0
    token: bytes = b""

    def next_number(self) -> int:
        # By time, so that numbers grow although expired entries are deleted.
        return max(self.number, self.saved, time.time_ns() // 1000) + 1

    def to_bytes(self) -> bytes:
        numbers = {"number": self.number, "saved": self.saved, "until": self.until}
        return json.dumps(numbers).encode() + b"\n" + self.token

    @classmethod
    def parse(cls, data: bytes) -> _Entry:
        head, _, token = data.partition(b"\n")
        try:
            numbers = json.loads(head)
            number, saved, until = numbers["number"], numbers["saved"], numbers["until"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InvalidEntryError("it is not an entry of seic") from None
        is_valid = all(isinstance(one, int) and 0 <= one < _MAX_NUMBER for one in (number, saved))
        if not (is_valid and is_number(until)):
            raise InvalidEntryError("it is not an entry of seic")
        return cls(number=number, saved=saved, until=until, token=token)


@strip_frames_on_init
class FileStore(Unpicklable):
    """Tokens in a folder, encrypted, shared by the processes of one machine; needs the extra `file`.

    Files have mode 0600, and the folder, if it is created, 0700. Expired tokens are deleted now and then. A network
    file system is refused, since its locks do not bind all machines; use `seic.redis.RedisStore` for several.

    Args:
        path: The folder; it is created if necessary.
        key: The key that encrypts tokens: random text of at least 32 characters, or 32 bytes. Several rotate: the first
            encrypts, all decrypt. `"UNENCRYPTED"` stores them readable.

    Raises:
        ConfigurationError: The key is missing or too short; the path is not a folder, or is on a network file system;
            filelock is not installed.
    """

    blocking = True

    def __init__(self, path: str | os.PathLike[str], *, key: StoreKey) -> None:
        try:
            import filelock  # noqa: F401
        except ModuleNotFoundError:
            raise ConfigurationError(
                'FileStore: needs the extra `file`: pip install "seic[file]"', field="store"
            ) from None
        self._folder = Path(path).expanduser().absolute()
        self._cipher = TokenCipher(key)
        self._claims = StoreClaims()
        self._next_cleanup = 0.0
        # A folder that cannot be created now may exist later; each call tries again.
        with contextlib.suppress(OSError):
            self._create()
        self._check()

    @property
    def keeps_keys_secret(self) -> bool:
        """Whether the names of entries are keyed hashes, so that keys may include secrets."""
        return self._cipher.is_encrypted

    def __repr__(self) -> str:
        return f"FileStore({str(self._folder)!r}, {'encrypted' if self._cipher.is_encrypted else 'UNENCRYPTED'})"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same folder and key, and so the same tokens."""
        if not isinstance(other, FileStore):
            return NotImplemented
        return (self._folder, self._cipher) == (other._folder, other._cipher)

    def __hash__(self) -> int:
        return hash((self._folder, self._cipher))

    def load(self, key: str) -> Token | None:
        """Return the token with this key, or None.

        Raises:
            ValueError: The entry cannot be decrypted.
            OSError: It cannot be read.
        """
        found = [(name, self._read(name).token) for name in self._cipher.names(key)]
        return newest(self._cipher.decrypt(name, token) for name, token in found if token)

    def save(self, key: str, token: Token) -> None:
        """Save the token with this key, unless another process claimed the key later, and saved a newer one.

        Raises:
            OSError: The file could not be written; the old one is unchanged.
        """
        name = self._cipher.names(key)[0]
        claimed = self._claims.number(name)
        self._claims.saving(name)
        with self._locked(name):
            entry = self._readable(name)
            number = entry.next_number() if claimed is None else claimed
            if number >= entry.saved:
                sealed = self._cipher.encrypt(name, token)
                self._replace(name, attrs.evolve(entry, saved=number, token=sealed), ends_at=_end_of(token))
        self._claims.saved(name)
        if time.monotonic() >= self._next_cleanup:
            self._next_cleanup = time.monotonic() + _HOUR
            self._delete_expired()

    def delete(self, key: str) -> None:
        """Delete the token with this key; a request for a token that began before cannot restore it."""
        for name in self._cipher.names(key):
            self._clear(name)

    def forget(self, *, client_id: str) -> None:
        """Delete all tokens of a client id, for example after its secret was disclosed."""
        prefixes = tuple(self._cipher.prefixes(client_id))
        for path in self._entries():
            if path.name.startswith(prefixes):
                self._clear(path.name)

    def claim(self, key: str, seconds: float) -> bool:
        """Claim the refresh of a token for so many seconds; return False if another process has claimed it."""
        return claim_all(self._cipher.names(key), lambda name: self._claim(name, seconds), self._release)

    def release(self, key: str) -> None:
        """Release a claim, if it is still the last one."""
        for name in self._cipher.names(key):
            self._release(name)

    def _claim(self, name: str, seconds: float) -> bool:
        with self._locked(name):
            entry, now = self._readable(name), time.time()
            if now < entry.until <= now + _LONGEST_CLAIM:
                return False
            number = entry.next_number()
            self._replace(name, attrs.evolve(entry, number=number, until=now + seconds))
        self._claims.take(name, number)
        return True

    def _release(self, name: str) -> None:
        number = self._claims.release(name)
        with self._locked(name):
            entry = self._readable(name)
            if entry.until and entry.number == number:
                self._replace(name, attrs.evolve(entry, until=0.0))

    def _clear(self, name: str) -> None:
        with self._locked(name):
            entry = self._readable(name)
            if entry.token:
                self._replace(name, attrs.evolve(entry, saved=entry.next_number(), token=b""))

    def _read(self, name: str) -> _Entry:
        in_place = reads_in_place.set(True)
        try:
            return _Entry.parse(read_regular_file(self._folder / name, MAX_ENTRY))
        except FileNotFoundError:
            return _Entry()
        finally:
            reads_in_place.reset(in_place)

    def _readable(self, name: str) -> _Entry:
        """Return an entry that is about to be replaced; one that cannot be read counts as none."""
        try:
            return self._read(name)
        except InvalidEntryError:
            return _Entry()

    def _replace(self, name: str, entry: _Entry, *, ends_at: float | None = None) -> None:
        """Replace a file as a whole, and have that survive a loss of power."""
        path, new = self._folder / name, self._folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
        if ends_at is None:
            # Of a token that stays, the end stays; the file's modification time has it.
            ends_at = max(path.stat().st_mtime if entry.token else 0.0, time.time() + _HOUR)
        try:
            with open(new, "xb", opener=_private) as file:
                file.write(entry.to_bytes())
                file.flush()
                os.utime(file.fileno() if os.utime in os.supports_fd else new, (ends_at, ends_at))
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        _sync_folder(self._folder)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        from filelock import FileLock

        # A few locks for all entries: to delete the lock of an entry is a race with those who wait for it.
        path = self._folder / _LOCKS / name[-2:]
        lock: BaseFileLock = FileLock(path, timeout=_LOCK, mode=0o600, poll_interval=_LOCK_CHECK)
        try:
            lock.acquire()
        except FileNotFoundError:
            self._create()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _create(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / _LOCKS).mkdir(mode=0o700, exist_ok=True)

    def _check(self) -> None:
        try:
            found = self._folder.stat()
        except OSError:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise ConfigurationError(f"store: {self._folder} is not a folder; FileStore needs one", field="store")
        if not self._cipher.is_encrypted and os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(
                f"store: other users can write to {self._folder}, and so could plant unencrypted tokens; set a key, or "
                "make the folder private (chmod 700)",
                field="store",
            )
        if (kind := network_file_system(self._folder)) is not None:
            raise ConfigurationError(
                f"store: {self._folder} is on a network file system ({kind}), where file locks do not bind all "
                "machines; use a local folder, or seic.redis.RedisStore for several machines",
                field="store",
            )

    def _entries(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            yield from (path for path in self._folder.iterdir() if _OWN.fullmatch(path.name))

    def _delete_expired(self) -> None:
        now = time.time()
        with contextlib.suppress(OSError):  # it is tidying, and another process may be faster
            for path in self._entries():
                if path.name.startswith(_TEMPORARY):
                    if path.stat().st_mtime <= now - _HOUR and path.stat().st_ctime <= now - _HOUR:
                        path.unlink(missing_ok=True)
                    continue
                with self._locked(path.name):
                    if path.stat().st_mtime <= now:
                        path.unlink(missing_ok=True)


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the kind of the network file system that a path is on; None for a local or an unknown one.

    Args:
        path: An absolute path.
        mounts: The text of `/proc/self/mounts`; None reads it.
    """
    try:
        text = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace") if mounts is None else mounts
        real = path if mounts is not None else path.resolve()
    except OSError:
        return None
    found = [line.split(" ") for line in text.splitlines() if line.count(" ") >= 3]
    # The last mount of the deepest folder is the one in use; proc writes a space in a path as \040.
    kinds = {Path(fields[1].replace("\\040", " ")): fields[2] for fields in found}
    kind = next((kinds[folder] for folder in (real, *real.parents) if folder in kinds), None)
    return kind if kind in _NETWORK else None


def _end_of(token: Token) -> float:
    return time.time() + _YEAR if token.ends_at is None else token.ends_at.timestamp()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


publish("seic", ["FileStore"], globals())
