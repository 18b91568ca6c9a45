"""A token store that the workers of one machine share: a folder of sealed files. A store is any class of this shape."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import attrs
from cryptography.fernet import Fernet

import seic

if sys.platform != "win32":
    import fcntl

_HOUR = 3600.0
_FOR_LONG = 365 * 86400.0
_CLAIMS = "claims"


class SealedFolder:
    """Keeps each token in a file of its own, sealed by a key of Fernet's, until nothing of the token serves."""

    blocking = True  # so that it is called off the event loop

    def __init__(self, folder: str | os.PathLike[str], *, key: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fernet = Fernet(key)
        self._look_at = 0.0
        self._claims = os.open(self._folder / _CLAIMS, os.O_RDWR | os.O_CREAT, 0o600)

    def load(self, key: str) -> seic.Token | None:
        """Return the token kept under the key, or None."""
        try:
            sealed = (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None
        return seic.Token(**json.loads(self._fernet.decrypt(sealed)))

    def save(self, key: str, token: seic.Token) -> None:
        """Keep the token under the key; whoever reads meanwhile sees the old one whole or the new one whole."""
        document = attrs.asdict(token)
        del document["issued_at"]  # a time, and for people only
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(self._fernet.encrypt(json.dumps(document).encode()))
        # The file's time is when it may go: sessions that people leave without a logout would else stay for ever.
        ends = time.time() + _FOR_LONG if token.ends_at is None else token.ends_at.timestamp()
        os.utime(file.name, (ends, ends))
        Path(file.name).replace(self._folder / key)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _HOUR
            self._forget_ended()

    def delete(self, key: str) -> None:
        """Forget what is kept under the key, if anything."""
        (self._folder / key).unlink(missing_ok=True)

    if sys.platform != "win32":

        def claim(self, key: str, seconds: float) -> bool:
            """Claim the renewal of a token, unless another worker has; a claim ends with its process at the latest."""
            try:
                fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place_of(key))
            except (BlockingIOError, PermissionError):
                return False
            return True

        def release(self, key: str) -> None:
            """Give a claim back."""
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, _place_of(key))

    def _forget_ended(self) -> None:
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another worker was faster
                if path.name != _CLAIMS and path.stat().st_mtime <= time.time() - _HOUR:
                    path.unlink()


def _place_of(key: str) -> int:
    """Return the byte of the file of claims that stands for a key, which is a hex digest."""
    return int(key[:12], 16)
