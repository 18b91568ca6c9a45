"""A token store that the worker processes of one machine share: a folder of encrypted files."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from cryptography.fernet import Fernet

import seic

if sys.platform != "win32":
    import fcntl

_HOUR = 3600.0
_YEAR = 365 * 86400.0
_CLAIMS = "claims"


class EncryptedFolder:
    """Stores each token in a file, encrypted with a Fernet key, until the token has expired."""

    blocking = True  # seic calls it in a thread

    def __init__(self, folder: str | os.PathLike[str], *, key: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fernet = Fernet(key)
        self._next_cleanup = 0.0
        self._claims = os.open(self._folder / _CLAIMS, os.O_RDWR | os.O_CREAT, 0o600)

    def load(self, key: str) -> seic.Token | None:
        """Return the token of a key, or None."""
        try:
            encrypted = (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None
        return seic.Token.from_dict(json.loads(self._fernet.decrypt(encrypted)))

    def save(self, key: str, token: seic.Token) -> None:
        """Save the token of a key; the file is replaced atomically."""
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(self._fernet.encrypt(json.dumps(token.to_dict()).encode()))
        # The file's modification time is its expiry; without it, sessions without a logout would stay forever.
        expires_at = time.time() + _YEAR if token.ends_at is None else token.ends_at.timestamp()
        os.utime(file.name, (expires_at, expires_at))
        Path(file.name).replace(self._folder / key)
        if time.monotonic() >= self._next_cleanup:
            self._next_cleanup = time.monotonic() + _HOUR
            self._delete_expired()

    def delete(self, key: str) -> None:
        """Delete the token of a key."""
        (self._folder / key).unlink(missing_ok=True)

    if sys.platform != "win32":

        def claim(self, key: str, seconds: float) -> bool:
            """Claim the refresh of a token, unless another process has; the lock ends with its process."""
            try:
                fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _position(key))
            except (BlockingIOError, PermissionError):
                return False
            return True

        def release(self, key: str) -> None:
            """Release a claim."""
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, _position(key))

    def _delete_expired(self) -> None:
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # deleted by another process
                if path.name != _CLAIMS and path.stat().st_mtime <= time.time() - _HOUR:
                    path.unlink()


def _position(key: str) -> int:
    """Return the position of a key, which is a hex digest, in the file of claims."""
    return int(key[:12], 16)
