"""Where certificates and keys come from: files, a directory as Kubernetes mounts it, bytes, text.

Reading only: what the bytes mean stands in `pem` and `parsing`. Nothing here imports cryptography.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import attrs

from seic._errors import ConfigurationError
from seic._model.secrecy import HIDDEN, Unpicklable
from seic._tls.reasons import Reason, certificate_error

#: A path, PEM text, or the material itself.
Material: TypeAlias = str | os.PathLike[str] | bytes
#: A passphrase, or what returns one when it is needed.
PassphraseInput: TypeAlias = str | bytes | Callable[[], str | bytes]
GetPassphrase: TypeAlias = Callable[[], bytes | None]

#: The most that a file may hold; the whole of a system's CA bundle is 0.2 MiB.
MOST_BYTES = 10 * 1024 * 1024
# DER and PEM in Base64 open with these letters ("MII…", "LS0tLS1CRUdJTi…"); such text is material, whatever it was
# passed as, and must not be quoted as if it were a path.
_LOOKS_LIKE_MATERIAL = re.compile(r"(M|LS0t)[A-Za-z0-9+/=\s]{39,}")
# The same, damaged: without its dashes, in quotes, with its newlines escaped. Paths that exist may look like it too.
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{40,}")
_NAMES_IN_A_DIRECTORY = ("tls.crt", "tls.key", "ca.crt")


@attrs.frozen(kw_only=True)
class CredentialFile(Unpicklable):
    """One file, or the bytes that stand for it.

    Args:
        label: What errors call it: the path as the user named it.
        path: Absolute, its links not followed: a later change of the working directory changes nothing.
        base: The working directory that a relative path was joined to.
        data: The bytes, where there is no path.
    """

    label: str
    path: Path | None = None
    base: Path | None = None
    data: bytes | None = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, material: Material, role: str) -> CredentialFile:
        """Tell a path from PEM text and bytes.

        Args:
            material: As the user gave it.
            role: `certificate`, `key` or `CA`, for the label of what has no path.
        """
        if isinstance(material, bytes):
            return cls(label=f"the {role} given as bytes", data=material)
        if isinstance(material, str) and is_material(material):
            return cls(label=given_as_text(role), data=material.encode(errors="surrogatepass"))
        if not isinstance(material, str | os.PathLike):
            raise _unlike(role.lower(), "a path, PEM text or bytes", material)
        text = os.fsdecode(material)
        if not text or "\0" in text or "\n" in text or _may_be_material(text):
            raise certificate_error(
                Reason.NOT_FOUND,
                given_as_text(role),
                "the text is neither a path nor PEM; PEM holds a line '-----BEGIN …-----' and is passed as text, and "
                "the file of a path has to exist",
            )
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            raise certificate_error(
                Reason.NOT_FOUND, text, "the home that ~ stands for cannot be found; write the whole path"
            ) from None
        if path.is_absolute():
            return cls(label=text, path=path)
        try:
            base = Path.cwd()
        except OSError:
            raise certificate_error(
                Reason.NOT_FOUND, text, "the working directory is gone or may not be entered; write the whole path"
            ) from None
        return cls(label=text, path=base / path, base=base)

    @property
    def directory(self) -> Path | None:
        """The path where it is a directory now."""
        return self.path if self.path is not None and _is_directory(self.path) else None

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            CertificateError: There is no such file, it may not be read, or it is a directory, empty or too large.
        """
        data = self._read_file(self.path) if self.path is not None else self.data or b""
        if not data.strip():
            raise certificate_error(Reason.EMPTY, self.label, "it is empty; write the certificate or key again")
        if len(data) > MOST_BYTES:
            raise certificate_error(
                Reason.UNKNOWN_FORMAT, self.label, "it is larger than 10 MiB, no certificate or key; check the path"
            )
        return data

    def _read_file(self, path: Path) -> bytes:
        try:
            data = read_regular(path, MOST_BYTES + 1)
        except FileNotFoundError:
            raise certificate_error(Reason.NOT_FOUND, self.label, _why_missing(path, self.base)) from None
        except OSError as error:
            # Windows answers "permission denied" when a directory is opened.
            if _is_directory(path):
                raise certificate_error(
                    Reason.IS_A_DIRECTORY, self.label, "it is a directory; name the file in it"
                ) from None
            if isinstance(error, PermissionError):
                raise certificate_error(
                    Reason.UNREADABLE,
                    self.label,
                    f"this process{who()} may not read it; give its user read permission",
                ) from None
            raise certificate_error(Reason.UNREADABLE, self.label, f"it cannot be read: {error.strerror}") from None
        except ValueError:
            raise certificate_error(
                Reason.NOT_FOUND, self.label, "it holds a character that no path has; check the path"
            ) from None
        if data is None:
            raise certificate_error(
                Reason.UNREADABLE, self.label, "it is a pipe, a socket or a device; write it to a file and name that"
            )
        return data


@attrs.frozen(kw_only=True, repr=False)
class Passphrase(Unpicklable):
    """A passphrase, or the callable that returns it; neither shows."""

    _value: PassphraseInput | None = attrs.field(default=None, alias="value")

    def reveal(self, label: str) -> bytes | None:
        """Return the passphrase itself; None where there is none.

        Args:
            label: What is to be opened, for the error.

        Raises:
            CertificateError: The callable failed, or returned something else; what it raised is the cause.
        """
        try:
            value = self._value() if callable(self._value) else self._value
        except Exception as error:
            raise certificate_error(
                Reason.SOURCE_FAILED,
                label,
                f"the callable that supplies its passphrase raised {type(error).__name__}",
            ) from error
        if value is not None and not isinstance(value, str | bytes):
            raise certificate_error(
                Reason.SOURCE_FAILED,
                label,
                f"the callable that supplies its passphrase must return text or bytes, not {type(value).__name__}",
            )
        return (value.encode(errors="surrogatepass") if isinstance(value, str) else value) or None

    def __repr__(self) -> str:
        return f"Passphrase({HIDDEN})"


@attrs.frozen(kw_only=True)
class CredentialFiles(Unpicklable):
    """What a client certificate was loaded from, so that it can be read again after a rotation."""

    certificate: CredentialFile
    key: CredentialFile | None = None
    passphrase: Passphrase = attrs.field(factory=Passphrase)

    @classmethod
    def of(cls, certificate: Material, key: Material | None, password: PassphraseInput | None) -> CredentialFiles:
        """Take the arguments of `ClientCertificate.load`."""
        if password is not None and not callable(password) and not isinstance(password, str | bytes):
            raise _unlike("password", "text, bytes or a callable that returns them", password)
        return cls(
            certificate=CredentialFile.of(certificate, "certificate"),
            key=None if key is None else CredentialFile.of(key, "key"),
            passphrase=Passphrase(value=password),
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files to watch; a directory stands for the three names that Kubernetes gives. Empty for bytes."""
        found: list[Path] = []
        for source in (self.certificate, self.key):
            if source is None or source.path is None:
                continue
            if source.directory is not None:
                found.extend(source.directory / name for name in _NAMES_IN_A_DIRECTORY)
            else:
                found.append(source.path)
        return tuple(found)

    def sources(self) -> tuple[CredentialFile, CredentialFile | None, CredentialFile | None]:
        """Return what to read: the certificate, the key where it is apart, and the chain's `ca.crt` where there is one.

        A Kubernetes volume is read through its `..data` link, resolved once: all files are of one version.
        """
        directory = self.certificate.directory
        if directory is None:
            return self.certificate, self.key, None
        data = directory / "..data"
        real = data.resolve() if _is_directory(data) else directory

        def within(name: str) -> CredentialFile:
            return CredentialFile(
                label=str(Path(self.certificate.label) / name), path=real / name, base=self.certificate.base
            )

        certificate, key, chain = (within(name) for name in _NAMES_IN_A_DIRECTORY)
        if _is_missing(real / "tls.crt"):
            raise certificate_error(
                Reason.IS_A_DIRECTORY,
                self.certificate.label,
                "it is a directory without tls.crt; name the certificate's file, or a directory with tls.crt and "
                "tls.key",
            )
        return certificate, self.key or key, chain if os.path.lexists(real / "ca.crt") else None


def _unlike(field: str, wanted: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{field}: must be {wanted}, not {type(value).__name__}", field=field)


def given_as_text(role: str) -> str:
    """Return what errors call a text that is no path."""
    return f"the {role} given as text"


def read_regular(path: Path, most: int) -> bytes | None:
    """Return the first bytes of a file; None where it is a pipe or a device, which might never end or begin.

    Raises:
        OSError: As of `open`.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        return file.read(most) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _open_at_once(path: str, flags: int) -> int:
    # A pipe blocks who opens it until somebody writes. Windows has neither such files nor the flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_material(text: str) -> bool:
    """Tell whether a text is a certificate or a key itself, and no path of one; what is there as a file is a path."""
    return "-----BEGIN" in text or (_LOOKS_LIKE_MATERIAL.fullmatch(text) is not None and not _exists(text))


def _may_be_material(text: str) -> bool:
    """Tell whether a would-be path may hold a key and must not be quoted: nothing is there under that name."""
    return ("BEGIN" in text or any(_is_mixed(run) for run in _BASE64.findall(text))) and not _exists(text)


def _is_mixed(run: str) -> bool:
    # Digests in hex and folders in small letters are common in paths; 40 letters of a key are neither.
    return any(map(str.isupper, run)) and any(map(str.islower, run)) and any(map(str.isdigit, run))


def _exists(text: str) -> bool:
    # It answers False for what the system cannot take as a path at all.
    return os.path.lexists(os.path.expanduser(text))  # noqa: PTH111 - unlike Path's it never raises


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above may not be entered; reading the file then says so
        return False


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        # Where its folder may not be entered, reading the file says so.
        return isinstance(error, FileNotFoundError)
    return False


def _why_missing(path: Path, base: Path | None) -> str:
    if path.is_symlink():
        return f"it is a link to {path.readlink()}, which does not exist; restore the link's target"
    where = "" if base is None else f" in the working directory {base}"
    return f"there is no such file{where}; check the path"


def who() -> str:
    """Return how an error about permissions names this process's user."""
    # Windows has no user ids.
    return f" (user id {os.geteuid()})" if hasattr(os, "geteuid") else ""
