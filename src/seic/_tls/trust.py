"""The authorities that a server's certificate may come from: the system's, or exactly those that the user names.

On Linux the system's trust is a plain `ssl.SSLContext` that reads the system's bundle once; truststore serves macOS and
Windows, whose trust is not a file. Measured with Python 3.11, OpenSSL 3.0, httpx 0.28, 143 authorities and sequential
new connections: truststore's context builds at once but reads the bundle for every connection, with 25 ms of CPU each
against 2 to 4 ms. With 50 connections at a time it makes 19 connections a second against 200 to 320 and blocks the
event loop for up to 2 seconds, since its handshake waits on the loop for a lock that a reading worker thread holds. The
plain context is built once in about 18 ms, and anyio runs it without a worker thread.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import re
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import attrs

from seic._errors import CertificateError, ConfigurationError
from seic._tls.reload import read_guarded
from seic._values import frozen
from seic._x509.certificate_info import CertificateInfo, clock_says, format_time
from seic._x509.credential_files import CredentialFile, Material, unreadable_error
from seic._x509.reasons import (
    CertificateWarning,
    Reason,
    certificate_error,
    certificate_warning,
    without_foreign_warnings,
)

# The bundles of Debian and Alpine, Fedora and RHEL, SUSE, BSD, for a Python whose OpenSSL has another prefix (pyenv,
# conda, standalone builds).
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_HASHED_NAME = r"[0-9a-f]{8}\.\d+"
_SUFFIXES = {".pem", ".crt", ".cer", ".der"}
# A file that was not changed for so many seconds is not being written.
_WRITING_SECONDS = 60
_PLATFORMS_WITHOUT_A_BUNDLE = {"darwin", "win32"}

#: The `ca` of a user: one bundle or folder, or several, among which "system" is the system's trust.
Authorities: TypeAlias = Material | Sequence[Material]
#: The same, or a callback that returns the current ones; it is called on a thread and may block.
CaSource: TypeAlias = Authorities | Callable[[], Authorities]
#: The name of the callback in errors.
CA_CALLBACK = "the ca callback"
#: The word for the system's trust in a list.
SYSTEM = "system"


@frozen(kw_only=True)
class TrustStore:
    """A set of authorities; sets of the same authorities are equal, so that they can share a context.

    Args:
        label: Its name in messages.
        authorities: Those that the user named; OpenSSL or the system reads the others.
        cafile: A bundle for OpenSSL to read.
        capath: A directory of hashed names for OpenSSL to search, or several joined by `os.pathsep`.
        version: The bundle's modification time in nanoseconds.
        by_platform: Whether the operating system verifies, through truststore.
        warnings: About what was left out, for `check`.
        unfinished: A file that cannot be read whole and has just been changed, so that it may be still being written.
    """

    label: str
    authorities: tuple[CertificateInfo, ...] = attrs.field(default=(), repr=False)
    cafile: str | None = None
    capath: str | None = None
    version: int = 0
    by_platform: bool = False
    warnings: tuple[CertificateWarning, ...] = attrs.field(default=(), eq=False, repr=False)
    unfinished: str | None = attrs.field(default=None, eq=False, repr=False)

    def check(self, now: dt.datetime | None = None) -> tuple[CertificateWarning, ...]:
        """Return the warnings about what was left out, and one for each authority that has expired or expires soon.

        An authority with a valid successor of the same name has none: that is how authorities are replaced.

        Args:
            now: An aware time; None is this machine's clock.
        """
        now = now or dt.datetime.now(dt.UTC)
        lasting = {
            facts.subject for facts in self.authorities if now >= facts.not_before and not facts.expires_soon(now)
        }
        return (
            *self.warnings,
            *(
                _expiry_warning(facts, self.label, now)
                for facts in self.authorities
                if facts.expires_soon(now) and facts.subject not in lasting
            ),
        )

    def new_context(self) -> ssl.SSLContext:
        """Return a client context that trusts these authorities and no others.

        Raises:
            CertificateError: The bundle cannot be read.
        """
        context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.by_platform:
            import truststore

            context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.cafile is not None or self.capath is not None:
                context.load_verify_locations(self.cafile, self.capath)
            if self.authorities:
                # An intermediate that the user names is trusted without its root.
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                context.load_verify_locations(cadata=b"".join(facts.der for facts in self.authorities))
        except PermissionError as error:
            raise unreadable_error(self.cafile or self.label, self.label) from error
        except OSError as error:  # an ssl.SSLError is one
            raise certificate_error(
                Reason.UNKNOWN_FORMAT,
                self.cafile or self.label,
                f"OpenSSL finds no authorities in it ({self.label}); point to a PEM bundle, or pass ca=...",
            ) from error
        return cast("ssl.SSLContext", context)


@without_foreign_warnings
def read_trust_store(ca: CaSource | None = None, *, replaces: bool = False) -> TrustStore:
    """Find the authorities.

    Args:
        ca: A bundle's path, PEM text or bytes, or a directory: exactly these; or several of them, among which the word
            "system" adds the system's trust. None is the system's trust. The system's trust is exactly what
            SSL_CERT_FILE and SSL_CERT_DIR name if they are set, on every platform. A callback returns one of these.
        replaces: Whether others are in use, which files that may be still being written must not replace.

    Raises:
        CertificateError: There is no authority in the named files, or none that is valid now; or the callback failed.
    """
    if callable(ca):
        ca = read_guarded(ca, CA_CALLBACK)
    named = [_read_named(part) for part in authority_parts(ca) if isinstance(ca, str) or part != SYSTEM]
    unfinished = next((store.unfinished for store in named if store.unfinished is not None), None)
    if replaces and unfinished is not None:
        text = "it cannot be read whole, and may be still being written; the authorities in service stay for a minute"
        raise certificate_error(Reason.TRUNCATED, unfinished, f"{text}; copy the whole file again")
    if named and not isinstance(ca, list | tuple):
        return named[0]
    has_system = ca is None or SYSTEM in authority_parts(ca)
    if not named and not has_system:
        raise ConfigurationError("ca: empty; set a file or PEM, or remove it", field="ca")
    stores = [*([_from_environment() or _of_system()] if has_system else []), *named]
    return attrs.evolve(
        stores[0],
        label=", ".join(store.label for store in stores),
        authorities=tuple(dict.fromkeys(facts for store in named for facts in store.authorities)),
        warnings=tuple(warning for store in named for warning in store.warnings),
        unfinished=unfinished,
    )


def authority_files(ca: Authorities | None) -> tuple[CredentialFile, ...]:
    """Return the files, or the bytes in their place, that a user names; `CertificateError` for other text."""
    return tuple(CredentialFile.of(part, "CA") for part in authority_parts(ca) if isinstance(ca, str) or part != SYSTEM)


def authority_parts(ca: CaSource | None) -> tuple[Any, ...]:
    """Return the one value that a user gives, or those of a list; none for None."""
    if ca is None:
        return ()
    return tuple(ca) if isinstance(ca, list | tuple) else (ca,)


def _read_named(part: Material) -> TrustStore:
    try:
        return _named(CredentialFile.of(part, "CA"))
    except CertificateError as error:
        text = error.message
        if error.reason == Reason.PASSPHRASE_MISSING:
            text = (
                f"{error.path}: it is encrypted, but authorities are public; pass them as PEM, extracted from a "
                "PKCS#12 file by 'openssl pkcs12 -in FILE -nokeys -out ca.pem'"
            )
        raise CertificateError(f"ca: {text}", path=error.path, reason=error.reason, field="ca") from None


def _named(file: CredentialFile) -> TrustStore:
    state = None if file.path is None else _settled_state(file.path)
    if state is None:
        return _read(file)
    known = _read_known(file, state)
    # They may have expired since.
    _usable(list(known.authorities), known.label)
    return known


def _settled_state(path: Path) -> tuple[int, ...] | None:
    """Return the state on disk of a file that has not changed for a while; None for others and for folders."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # reading it says why
        return None
    if not stat.S_ISREG(found.st_mode) or abs(time.time() - found.st_mtime) < _WRITING_SECONDS:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


@functools.lru_cache(64)
def _read_known(file: CredentialFile, _state: tuple[int, ...]) -> TrustStore:
    # Each configuration with the file, and the first connection, need its authorities.
    return _read(file)


def _read(file: CredentialFile) -> TrustStore:
    from seic._x509.authorities import read_plain_authorities, warn_of_left_out

    held: list[str] = []
    skipped: list[CertificateError] = []
    unfinished: list[CredentialFile] = []
    found: dict[CertificateInfo, None] = {}
    for one in [file] if file.directory is None else _files(file.directory):
        try:
            data = one.read()
            if (plain := read_plain_authorities(data)) is not None:
                found |= dict.fromkeys(plain)
                continue
            from seic._x509.decode import decode

            decoded = decode(data, one.label, lambda: None, skipped=skipped)
        except CertificateError as error:
            skipped.append(error)
            unfinished.append(one)
            continue
        if decoded.is_cut_off:
            unfinished.append(one)
        held += [*decoded.others, *("private key" for _ in decoded.keys)]
        for certificate in decoded.certificates:
            found[certificate.facts] = None
    if not found and skipped:
        raise skipped[0]
    if not found:
        holds = f" (it holds: {', '.join(dict.fromkeys(held))})" if held else ""
        raise certificate_error(
            Reason.NO_CERTIFICATE,
            file.label,
            f"there is no certificate of an authority in it{holds}; pass the PEM of the authority that signed the "
            "server's certificate",
        )
    authorities = tuple(_usable(list(found), file.label))
    return TrustStore(
        label=file.label,
        authorities=authorities,
        warnings=tuple(warn_of_left_out(skipped, file.label)),
        unfinished=next((one.label for one in unfinished if _was_just_changed(one.path)), None),
    )


def _was_just_changed(path: Path | None) -> bool:
    try:
        return path is not None and abs(time.time() - path.stat().st_mtime) < _WRITING_SECONDS
    except OSError:  # removed meanwhile
        return True


def _files(directory: Path) -> list[CredentialFile]:
    # Hashed names and other links to one file are common: read it once.
    try:
        names = sorted(directory.iterdir())
    except OSError as error:
        raise unreadable_error(str(directory), error.strerror or "ca") from None
    real = {
        os.path.realpath(path): path
        for path in names
        if path.suffix in _SUFFIXES or re.fullmatch(_HASHED_NAME, path.name)
    }
    return [CredentialFile(label=str(path), path=path) for path in real.values()]


def _usable(found: list[CertificateInfo], label: str) -> list[CertificateInfo]:
    now = dt.datetime.now(dt.UTC)
    # A self-signed certificate may be trusted even if it is not marked as an authority.
    authorities = [facts for facts in found if facts.is_ca or facts.is_self_signed]
    if not authorities:
        raise certificate_error(
            Reason.NOT_A_CA,
            label,
            f"it holds no authority, only {found[0].name}, which was issued by {found[0].issuer}; pass the "
            "certificate of that issuer",
        )
    if not any(facts.is_valid(now) for facts in authorities):
        facts = authorities[0]
        expired = now >= facts.not_after
        when = "expired on" if expired else "is not valid before"
        date = format_time(facts.not_after if expired else facts.not_before)
        raise certificate_error(
            Reason.EXPIRED if expired else Reason.NOT_YET_VALID,
            label,
            f"the authority {facts.name} {when} {date}; {clock_says(now)}; get the authority's present certificate "
            "from the server's operator, or set the clock if it is wrong",
        )
    return authorities


def _expiry_warning(facts: CertificateInfo, label: str, now: dt.datetime) -> CertificateWarning:
    has_expired = now >= facts.not_after
    when = "expired on" if has_expired else f"expires in {facts.days_left(now):.1f} days, on"
    return certificate_warning(
        Reason.AUTHORITY_EXPIRED if has_expired else Reason.AUTHORITY_EXPIRES_SOON,
        label,
        f"ca: the authority {facts.name} {when} {format_time(facts.not_after)}; {clock_says(now)}; "
        "get its present certificate from the server's operator, and add it to the file, or replace this one",
    )


def _from_environment() -> TrustStore | None:
    cafile, capath = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if cafile is None and capath is None:
        return None
    if cafile is not None:
        _check_variable("SSL_CERT_FILE", cafile, [cafile], "file", stat.S_ISREG)
    if capath is not None:
        # OpenSSL ignores a directory that it cannot access; the dot makes `stat` fail for one.
        folders = capath.split(os.pathsep)
        _check_variable("SSL_CERT_DIR", capath, [f"{part}/." for part in folders], "folder", stat.S_ISDIR)
        # OpenSSL may open files whose names it computes, although this user may not list them.
        if cafile is None and not any(
            _has_hashed_names(one, unlistable=True) for one in filter(os.path.isdir, folders)
        ):
            raise certificate_error(
                Reason.NO_CERTIFICATE,
                capath,
                "SSL_CERT_DIR names it, but OpenSSL finds an authority by the hash of its name, and no file has such "
                "a name; run 'openssl rehash FOLDER', or name a bundle by SSL_CERT_FILE",
            )
    names = [name for name, value in (("SSL_CERT_FILE", cafile), ("SSL_CERT_DIR", capath)) if value is not None]
    return TrustStore(label=" and ".join(names), cafile=cafile, capath=capath, version=_version(cafile))


def _check_variable(
    variable: str, value: str, paths: Iterable[str], kind: str, is_wanted: Callable[[int], bool]
) -> None:
    forbidden = False
    for path in paths:
        try:
            if is_wanted(os.stat(path).st_mode):  # noqa: PTH116 - Path would drop the dot
                return
        except PermissionError:
            forbidden = True
        except (OSError, ValueError):  # it does not exist, or cannot be a path
            continue
    if forbidden:
        raise unreadable_error(value, variable)
    raise certificate_error(
        Reason.NOT_FOUND, value, f"{variable} names it, but there is no such {kind}; correct the variable or unset it"
    )


def _of_system() -> TrustStore:
    if sys.platform in _PLATFORMS_WITHOUT_A_BUNDLE:
        return TrustStore(label="the system's trust", by_platform=True)
    built_in = ssl.get_default_verify_paths()
    cafile = next((name for name in (built_in.openssl_cafile, *_BUNDLES) if os.path.isfile(name)), None)  # noqa: PTH113 - unlike Path's it never raises
    capath = built_in.openssl_capath if _has_hashed_names(built_in.openssl_capath, unlistable=False) else None
    if cafile is None and capath is None:
        raise certificate_error(
            Reason.NOT_FOUND,
            "the system's trust",
            "this system has no trusted authorities; install its package 'ca-certificates', or pass ca=...",
        )
    return TrustStore(label="the system's trust", cafile=cafile, capath=capath, version=_version(cafile))


def _has_hashed_names(directory: str, *, unlistable: bool) -> bool:
    try:
        return any(re.fullmatch(_HASHED_NAME, name) for name in os.listdir(directory))  # noqa: PTH208 - names are enough
    except OSError:  # it does not exist, or this user may not list it
        return unlistable


def _version(cafile: str | None) -> int:
    try:
        return 0 if cafile is None else Path(cafile).stat().st_mtime_ns
    except OSError:  # it is being replaced or is not readable: loading it reports that
        return 0
