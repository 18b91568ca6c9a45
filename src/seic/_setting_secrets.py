"""Secrets from files and programs: callables that return the current one, so that it can change without a restart."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import attrs

from seic._concurrency import start_thread
from seic._errors import ConfigurationError
from seic._files import read_regular_file
from seic._model.secret import Unpicklable

#: The maximum size of a secret, in bytes.
_MAX_SECRET_BYTES = 64 * 1024
#: Seconds after which a program counts as failed.
_SECONDS = 10.0
_USUAL_SUFFIXES = {".cer", ".crt", ".der", ".key", ".p12", ".p7b", ".pem", ".pfx", ".txt"}

_logger = logging.getLogger("seic")


@attrs.frozen
class _SecretSource(Unpicklable):
    """A secret that is read for each use; if it cannot be read, the last one is used, and a warning is logged."""

    name: str
    _last: list[str] = attrs.field(init=False, repr=False, eq=False, hash=False, factory=list)

    def __call__(self) -> str:
        try:
            secret = self._read()
        except ConfigurationError as error:
            if not self._last:
                raise
            _logger.warning("%s; the last secret that was read is used", error.message)
        else:
            self._last[:] = [secret]
        return self._last[0]

    def _read(self) -> str:
        raise NotImplementedError

    def _text(self, data: bytes, what: str) -> str:
        try:
            # Editors and `kubectl create secret --from-file` add a line end, which is not part of the secret. Some
            # editors add a byte order mark.
            text = data.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            text = None
        if text is None:
            # The original exception quotes the bytes.
            raise ConfigurationError(f"{self.name}: {what} is not UTF-8 text", field=self.name)
        if not text:
            raise ConfigurationError(f"{self.name}: {what} is empty; write the secret into it", field=self.name)
        return text


@attrs.frozen
class SecretFile(_SecretSource):
    """A secret in a file; `folder` is that of relative paths."""

    path: Path
    folder: Path = Path()

    def _read(self) -> str:
        try:
            data = read_regular_file(self.path, _MAX_SECRET_BYTES)
        except OSError as error:
            # Any other text may be the secret itself, set by mistake.
            shown = self.path if is_plausible(self.path, self.folder) else "the file that it names"
            raise ConfigurationError(
                f"{self.name}: {shown} cannot be read: {error.strerror}; set the path of a file with the secret",
                field=self.name,
            ) from None
        except ValueError:
            raise invalid_path(self.name) from None
        return self._text(data, str(self.path))


@attrs.frozen
class SecretCommand(_SecretSource):
    """A secret that a program prints; it runs without a shell, and what it writes to stderr is discarded."""

    argv: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def parse(cls, command: str, name: str) -> SecretCommand:
        """Split a command as a shell does.

        Raises:
            ConfigurationError: A quotation mark is missing, or there is no such program.
        """
        try:
            argv = tuple(shlex.split(command))
        except ValueError:
            argv = ()
        if not argv:
            raise ConfigurationError(f"{name}: is not a command; check its quotation marks", field=name)
        if shutil.which(argv[0]) is None:
            # Its text may be the secret itself, set by mistake.
            raise ConfigurationError(
                f"{name}: the program was not found; set its path, or install it in a folder of PATH", field=name
            )
        return cls(name, argv)

    def _read(self) -> str:
        program = f"the program {Path(self.argv[0]).name}"
        try:
            process = subprocess.Popen(  # noqa: S603  # the user's own command, without a shell
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise ConfigurationError(
                f"{self.name}: {program} cannot be started: {error.strerror}", field=self.name
            ) from None
        ends = time.monotonic() + _SECONDS
        with process:
            # In a thread, since a child may keep the pipe open; and no more than fits, since a program may never end.
            reading = start_thread(_read_up_to, process.stdout, _MAX_SECRET_BYTES + 1, inherit_context=False)
            output = reading.result() if reading.wait_sync(_SECONDS) else None
            is_too_large = output is not None and len(output) > _MAX_SECRET_BYTES
            try:
                process.wait(0 if output is None or is_too_large else max(0.0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                output = output if is_too_large else None
                # Its children too, which could keep the pipe open.
                _kill(process)
        if output is None:
            raise ConfigurationError(f"{self.name}: {program} did not end within {_SECONDS:.0f} s", field=self.name)
        if is_too_large:
            raise ConfigurationError(
                f"{self.name}: the output of {program} is larger than {_MAX_SECRET_BYTES // 1024} KiB", field=self.name
            )
        if process.returncode:
            raise ConfigurationError(
                f"{self.name}: {program} failed with exit code {process.returncode}; run it by hand to see the reason",
                field=self.name,
            )
        return self._text(output, f"the output of {program}")


def _read_up_to(pipe: Any, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := pipe.read(size - len(data))):
        data += part
    return data


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def invalid_path(field: str) -> ConfigurationError:
    """Return the error about a path that no file can have."""
    # The path is not quoted, since it cannot be printed.
    return ConfigurationError(f"{field}: contains a character that is invalid in a path; remove it", field=field)


def is_plausible(path: Path, folder: Path) -> bool:
    """Whether a file or its directory exists, other than the root and that of relative paths, or its name is usual."""
    if path.suffix.lower() in _USUAL_SUFFIXES or os.path.lexists(path):
        return True
    return path.parent not in {folder, Path(path.anchor)} and path.parent.is_dir()
