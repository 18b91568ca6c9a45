"""The files, directories, bytes and text that hold certificates and keys: finding and reading them.

Nothing here decodes them or imports cryptography.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import attrs

from seic._errors import CertificateError, ConfigurationError
from seic._files import read_regular_file
from seic._model.secret import HIDDEN, Unpicklable
from seic._values import frozen
from seic._x509.reasons import Reason, certificate_error

#: A path, PEM text, or the bytes themselves.
Material: TypeAlias = str | os.PathLike[str] | bytes
#: A passphrase, or a callable that returns it when it is needed.
PassphraseInput: TypeAlias = str | bytes | Callable[[], str | bytes]
GetPassphrase: TypeAlias = Callable[[], bytes | None]

#: The largest file that is read; a system's whole CA bundle has 0.2 MiB.
MAX_FILE_BYTES = 10 * 1024 * 1024
# DER and PEM in Base64 begin with these letters ("MII…", "LS0tLS1CRUdJTi…"). Such text is key material in whatever
# argument it was passed, and errors must not quote it like a path.
_LOOKS_LIKE_MATERIAL = r"(M|LS0t)[A-Za-z0-9+/=\s]{39,}"
# Damaged key material: without its dashes, in quotes, with escaped newlines. Existing paths may match it too.
_BASE64 = r"[A-Za-z0-9+/=]{40,}"
_KUBERNETES_NAMES = ("tls.crt", "tls.key", "ca.crt")


@frozen(kw_only=True)
class CredentialFile(Unpicklable):
    """One file, or the bytes given in its place.

    Args:
        label: Its name in errors: the path as the user wrote it.
        path: Absolute, so that a change of the working directory has no effect; symlinks are not resolved.
        base: The working directory that a relative path was joined to.
        data: The bytes, if there is no path.
    """

    label: str
    path: Path | None = None
    base: Path | None = None
    data: bytes | None = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, material: Material, role: str) -> CredentialFile:
        """Take a path, PEM text or bytes.

        Args:
            material: The user's argument.
            role: `certificate`, `key` or `CA`, for the label of bytes and text.
        """
        if isinstance(material, bytes):
            return cls(label=f"the {role} given as bytes", data=material)
        if isinstance(material, str) and is_material(material):
            return cls(label=given_as_text(role), data=material.encode(errors="surrogatepass"))
        if not isinstance(material, str | os.PathLike):
            raise _wrong_type(role.lower(), "a path, PEM text or bytes", material)
        text = os.fsdecode(material)
        if not text or "\0" in text or "\n" in text or _may_be_material(text):
            raise certificate_error(
                Reason.NOT_FOUND,
                given_as_text(role),
                "the text is neither a path nor PEM; PEM text contains a line '-----BEGIN …-----', and the file of a "
                "path must exist",
            )
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            raise certificate_error(
                Reason.NOT_FOUND, text, "the home directory for ~ cannot be found; write the whole path"
            ) from None
        if path.is_absolute():
            return cls(label=text, path=path)
        try:
            base = Path.cwd()
        except OSError:
            raise certificate_error(
                Reason.NOT_FOUND, text, "the working directory is gone or not accessible; write the whole path"
            ) from None
        return cls(label=text, path=base / path, base=base)

    @property
    def directory(self) -> Path | None:
        """The path, if it is a directory now."""
        return self.path if self.path is not None and _is_directory(self.path) else None

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            CertificateError: There is no such file, it is not readable, or it is a directory, empty or too large.
        """
        data = self._read_file(self.path) if self.path is not None else self.data or b""
        if not data.strip():
            raise certificate_error(Reason.EMPTY, self.label, "it is empty; write the certificate or key again")
        if len(data) > MAX_FILE_BYTES:
            raise self._too_large()
        return data

    def _read_file(self, path: Path) -> bytes:
        try:
            return read_regular_file(path, MAX_FILE_BYTES)
        except FileNotFoundError:
            raise certificate_error(Reason.NOT_FOUND, self.label, _why_missing(path, self.base)) from None
        except OSError as error:
            # Opening a directory is "permission denied" on Windows.
            if _is_directory(path):
                raise certificate_error(
                    Reason.IS_A_DIRECTORY, self.label, "it is a directory; name the file in it"
                ) from None
            if isinstance(error, PermissionError):
                raise unreadable_error(self.label) from None
            if error.errno == errno.EFBIG:
                raise self._too_large() from None
            raise certificate_error(Reason.UNREADABLE, self.label, f"it cannot be read: {error.strerror}") from None
        except ValueError:
            raise certificate_error(
                Reason.NOT_FOUND, self.label, "it contains a character that no path has; check the path"
            ) from None

    def _too_large(self) -> CertificateError:
        return certificate_error(
            Reason.UNKNOWN_FORMAT, self.label, "it is larger than 10 MiB, no certificate or key; check the path"
        )


@frozen(kw_only=True, repr=False)
class Passphrase(Unpicklable):
    """A passphrase, or the callable that returns it; the repr shows neither."""

    _value: PassphraseInput | None = attrs.field(default=None, alias="value")

    @property
    def path(self) -> Path | None:
        """The file that a callable reads it from, if the callable names one."""
        path = getattr(self._value, "path", None)
        return path if isinstance(path, Path) else None

    def reveal(self, label: str) -> bytes | None:
        """Return the passphrase; None without one.

        Args:
            label: The encrypted file's name, for the error.

        Raises:
            CertificateError: The callable failed, which is the cause, or returned another type.
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


@frozen(kw_only=True)
class CredentialFiles(Unpicklable):
    """The files of one client certificate, kept so that they can be read again after a rotation."""

    certificate: CredentialFile
    key: CredentialFile | None = None
    passphrase: Passphrase = attrs.field(factory=Passphrase)
    #: The CN to choose between pairs of several subjects.
    common_name: str | None = None

    @classmethod
    def of(
        cls,
        certificate: Material,
        key: Material | None,
        password: PassphraseInput | None,
        common_name: str | None = None,
    ) -> CredentialFiles:
        """Take the arguments of `ClientCertificate.load`."""
        if password is not None and not callable(password) and not isinstance(password, str | bytes):
            raise _wrong_type("password", "text, bytes or a callable that returns them", password)
        return cls(
            certificate=CredentialFile.of(certificate, "certificate"),
            key=None if key is None else CredentialFile.of(key, "key"),
            passphrase=Passphrase(value=password),
            common_name=common_name,
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files to watch, in a directory those with Kubernetes' names; empty for bytes and text."""
        found: list[Path] = []
        for file in (self.certificate, self.key):
            if file is None or file.path is None:
                continue
            directory = file.directory
            found += [file.path] if directory is None else [directory / name for name in _KUBERNETES_NAMES]
        # A renewed file may need the next passphrase.
        return (*found, *([] if self.passphrase.path is None or not found else [self.passphrase.path]))

    def resolve(self) -> tuple[CredentialFile, CredentialFile | None, CredentialFile | None]:
        """Return the files to read: certificate, separate key, and `ca.crt` of a directory.

        In a Kubernetes volume the `..data` link is resolved once, so that all three are of one version.
        """
        directory = self.certificate.directory
        if directory is None:
            return self.certificate, self.key, None
        data = directory / "..data"
        real = data.resolve() if _is_directory(data) else directory
        if _is_missing(real / "tls.crt"):
            raise certificate_error(
                Reason.IS_A_DIRECTORY,
                self.certificate.label,
                "it is a directory without tls.crt; name the certificate's file, or a directory with tls.crt and "
                "tls.key",
            )
        label, base = Path(self.certificate.label), self.certificate.base
        certificate, key, chain = (
            CredentialFile(label=str(label / name), path=real / name, base=base) for name in _KUBERNETES_NAMES
        )
        return certificate, self.key or key, chain if os.path.lexists(real / "ca.crt") else None


def _wrong_type(field: str, wanted: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{field}: must be {wanted}, not {type(value).__name__}", field=field)


def given_as_text(role: str) -> str:
    """Return the label of material that is text and no path."""
    return f"the {role} given as text"


def unreadable_error(label: str, why: str | None = None) -> CertificateError:
    """Return the error about a file that this process may not read."""
    # Windows has no user ids.
    user = f" (user id {os.geteuid()})" if hasattr(os, "geteuid") else ""
    detail = f" ({why})" if why else ""
    return certificate_error(
        Reason.UNREADABLE, label, f"this process{user} may not read it{detail}; give its user read permission"
    )


def is_material(text: str) -> bool:
    """Return whether a text is a certificate or key itself; an existing file's name is a path."""
    return "-----BEGIN" in text or (re.fullmatch(_LOOKS_LIKE_MATERIAL, text) is not None and not _exists(text))


def _may_be_material(text: str) -> bool:
    # Such a text may hold a key, so errors must not quote it.
    return ("BEGIN" in text or any(_is_mixed(run) for run in re.findall(_BASE64, text))) and not _exists(text)


def _is_mixed(run: str) -> bool:
    # Hex digests and lower-case folder names are common in paths; 40 letters of a key are neither.
    return any(map(str.isupper, run)) and any(map(str.islower, run)) and any(map(str.isdigit, run))


def _exists(text: str) -> bool:
    # False for text that cannot be a path at all.
    return os.path.lexists(os.path.expanduser(text))  # noqa: PTH111 - unlike Path's it never raises


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a parent directory is not accessible; reading the file reports that
        return False


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        # If the directory is not accessible, reading the file reports that.
        return isinstance(error, FileNotFoundError)
    return False


def _why_missing(path: Path, base: Path | None) -> str:
    if path.is_symlink():
        return f"it is a link to {path.readlink()}, which does not exist; restore the link's target"
    where = "" if base is None else f" in the working directory {base}"
    return f"there is no such file{where}; check the path"
