"""Files that users name: reading, bounded in size and time, and writing of private ones."""

from __future__ import annotations

import contextvars
import errno
import os
import stat
from pathlib import Path
from typing import Any

from seic._concurrency import SharedFuture, start_thread

#: Seconds after which a file counts as unreadable: a network file system may hang.
PATIENCE = 10.0

#: Whether the present thread reads itself instead of a further one: all who wait for it have a time limit.
reads_in_place: contextvars.ContextVar[bool] = contextvars.ContextVar("reads_in_place", default=False)

#: The maximum size of a TOML file, in bytes.
MAX_TOML_BYTES = 1024 * 1024
# Dots in one line: a dotted key takes tomllib quadratic time.
_MAX_DOTS = 100

# Reads that did not end in time. Each has a thread, so the next caller of such a file waits for the same one. The
# process is part of the key, because a fork has no threads.
_hanging: dict[tuple[int, Path], SharedFuture[bytes]] = {}


def read_regular_file(path: Path, limit: int) -> bytes:
    """Return the content of a file; links are followed.

    Args:
        path: The file.
        limit: The maximum size, in bytes.

    Raises:
        OSError: As for `open`. The `errno` is EINVAL for a pipe, a socket or a device, which might never end, EFBIG for
            a file that is too large, and ETIMEDOUT for one that cannot be read in time; `strerror` is the reason and
            the remedy.
        ValueError: The path has a character that no path has.
    """
    if reads_in_place.get():
        return _read(path, limit)
    key = os.getpid(), path
    reading = _hanging.get(key)
    if reading is None or reading.done():  # the content of a read that has ended since may be out of date
        _hanging.pop(key, None)
        reading = start_thread(_read, path, limit, inherit_context=False)
    if not reading.wait_sync(PATIENCE):
        _hanging[key] = reading
        raise TimeoutError(
            errno.ETIMEDOUT, f"it could not be read within {PATIENCE:.0f} s; check the file system that it is on"
        )
    return reading.result()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600); an existing one is replaced.

    Raises:
        OSError: It cannot be written.
    """
    # A new file: an existing one could be readable by others, or be open elsewhere.
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")


def read_toml(path: Path) -> dict[str, Any] | None:
    """Return the content of a TOML file; None if it is not valid TOML in UTF-8, or is nested too deeply.

    The parser's own messages quote lines, which may be secrets.

    Raises:
        OSError, ValueError: As for `read_regular_file`.
    """
    import tomllib

    data = read_regular_file(path, MAX_TOML_BYTES)
    if any(line.count(b".") > _MAX_DOTS for line in data.splitlines()):
        return None
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(path: Path, limit: int) -> bytes:
    with open(path, "rb", opener=_open_without_blocking) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe, a socket or a device; write the content to a file and name that")
        data = file.read(limit + 1)
    if data is None:
        raise OSError(errno.EAGAIN, "it has nothing to read at the moment, like a device; name a file with the content")
    if len(data) <= limit:
        return data
    del data  # a traceback would show it
    raise OSError(errno.EFBIG, f"it is larger than {_size(limit)}; check the path")


def _open_without_blocking(path: str, flags: int) -> int:
    # Opening a pipe blocks until another process writes to it. Windows has neither such files nor the flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _size(limit: int) -> str:
    mebibytes, rest = divmod(limit, 1024 * 1024)
    return f"{limit // 1024} KiB" if rest else f"{mebibytes} MiB"
