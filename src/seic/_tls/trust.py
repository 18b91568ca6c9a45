"""Which authorities a server's certificate may come from: the system's, or exactly those that the user names.

**The system's trust on Linux is a plain `ssl.SSLContext` that reads the system's bundle once**; truststore serves macOS
and Windows, whose trust is no file. Measured (Python 3.11, OpenSSL 3.0, httpx 0.28, 143 authorities, one new connection
after the other): truststore's context costs nothing to build but reads the bundle again for every connection, 25 ms of
CPU each against 2 to 4 ms; with 50 connections at a time it makes 19 connections a second against 200 to 320 and holds
the event loop for up to 2 seconds, because its handshake waits on the loop for a lock that a worker thread holds while
it reads. The plain context is built in about 18 ms, once, and anyio gives it no worker thread.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import ssl
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from seic._errors import CertificateError
from seic._tls.checks import days_left, expires_soon
from seic._tls.credential_files import CredentialFile, Material, who
from seic._tls.facts import CertificateFacts, moment
from seic._tls.reasons import CertificateWarning, Reason, certificate_error, certificate_warning

# Where distributions keep the bundle, for a Python whose OpenSSL was built with a prefix of its own (pyenv, conda,
# standalone builds): Debian and Alpine, Fedora and RHEL, SUSE, BSD.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")
_SUFFIXES = {".pem", ".crt", ".cer", ".der"}
_PLATFORMS_WITHOUT_A_BUNDLE = {"darwin", "win32"}


@attrs.frozen(kw_only=True)
class Trust:
    """A set of authorities; equal when they are the same, so that contexts can be shared by it.

    Args:
        label: What messages call it.
        authorities: Those that the user named; empty where OpenSSL or the system reads them.
        cafile: A bundle for OpenSSL to read.
        capath: A directory of hashed names for OpenSSL to look into, or several as `os.pathsep` joins them.
        version: When the bundle was last written, in nanoseconds.
        by_platform: Whether the operating system verifies, through truststore.
    """

    label: str
    authorities: tuple[CertificateFacts, ...] = attrs.field(default=(), repr=False)
    cafile: str | None = None
    capath: str | None = None
    version: int = 0
    by_platform: bool = False

    def check(self, now: dt.datetime | None = None) -> tuple[CertificateWarning, ...]:
        """Return a warning for each authority that the user named and that has ended or ends soon.

        None for one whose successor of the same name stands beside it: so authorities are replaced.

        Args:
            now: An aware moment; None is this machine's clock.
        """
        now = now or dt.datetime.now(dt.UTC)
        lasting = {
            facts.subject for facts in self.authorities if now >= facts.not_before and not expires_soon(facts, now)
        }
        return tuple(
            _expiry_warning(facts, self.label, now)
            for facts in self.authorities
            if expires_soon(facts, now) and facts.subject not in lasting
        )

    def new_context(self) -> ssl.SSLContext:
        """Return a client's context that trusts these authorities and nothing else.

        Raises:
            CertificateError: The bundle cannot be read.
        """
        if self.by_platform:
            import truststore

            return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.authorities:
                # An intermediate that the user names is an anchor by itself, without the root above it.
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                context.load_verify_locations(cadata=b"".join(facts.der for facts in self.authorities))
            else:
                context.load_verify_locations(self.cafile, self.capath)
        except PermissionError as error:
            raise _unreadable(self.cafile or self.label, self.label) from error
        except OSError as error:  # an ssl.SSLError is one
            raise certificate_error(
                Reason.UNKNOWN_FORMAT,
                self.cafile or self.label,
                f"OpenSSL finds no authorities in it ({self.label}); point to a PEM bundle, or pass ca=…",
            ) from error
        return context


def read_trust(ca: Material | None = None, *, now: dt.datetime | None = None, platform: str = sys.platform) -> Trust:
    """Find the authorities.

    Args:
        ca: A bundle's path, PEM text or bytes, or a directory: exactly these. None is the system's trust; where
            SSL_CERT_FILE or SSL_CERT_DIR is set, exactly what they name, on every platform.
        now: For the authorities' dates; None is this machine's clock.
        platform: As `sys.platform`.

    Raises:
        CertificateError: There is no authority in what was named, or none that is valid now.
    """
    if ca is not None:
        try:
            return _named(CredentialFile.of(ca, "CA"), now or dt.datetime.now(dt.UTC))
        except CertificateError as error:
            text = error.message
            if error.reason == Reason.PASSPHRASE_MISSING:
                text = (
                    f"{error.path}: it is encrypted, and authorities are public; pass them as PEM, out of a PKCS#12 "
                    "file by 'openssl pkcs12 -in FILE -nokeys -out ca.pem'"
                )
            raise CertificateError(f"ca: {text}", path=error.path, reason=error.reason, field="ca") from None
    return _from_environment() or _of_system(platform)


def _named(source: CredentialFile, now: dt.datetime) -> Trust:
    from seic._tls.decode import parse
    from seic._tls.reading import facts_of

    held: list[str] = []
    found: dict[bytes, CertificateFacts] = {}
    for one in [source] if source.directory is None else _files(source.directory):
        contents = parse(one.read(), one.label, lambda: None)
        held += [*contents.others, *("private key" for _ in contents.keys)]
        for facts in map(facts_of, contents.certificates):
            found[facts.der] = facts
    if not found:
        holds = f" (it holds: {', '.join(dict.fromkeys(held))})" if held else ""
        raise certificate_error(
            Reason.NO_CERTIFICATE,
            source.label,
            f"there is no certificate of an authority in it{holds}; pass the PEM of the authority that signed the "
            "server's certificate",
        )
    return Trust(label=source.label, authorities=tuple(_usable(found.values(), source.label, now)))


def _files(directory: Path) -> list[CredentialFile]:
    # Hashed names and links to one file are common; what is read twice counts once.
    try:
        names = sorted(directory.iterdir())
    except OSError as error:
        raise _unreadable(str(directory), error.strerror or "ca") from None
    real = {
        os.path.realpath(path): path for path in names if path.suffix in _SUFFIXES or _HASHED_NAME.fullmatch(path.name)
    }
    return [CredentialFile(label=str(path), path=path) for path in real.values()]


def _usable(found: Iterable[CertificateFacts], label: str, now: dt.datetime) -> list[CertificateFacts]:
    everyone = list(found)
    # A self-signed certificate may be trusted as itself, whatever it says of being an authority.
    authorities = [facts for facts in everyone if facts.is_ca or facts.is_self_signed]
    if not authorities:
        raise certificate_error(
            Reason.NOT_A_CA,
            label,
            f"it holds no authority, only {everyone[0].name}, which was issued by {everyone[0].issuer}; pass the "
            "certificate of that issuer",
        )
    if not any(facts.not_before <= now < facts.not_after for facts in authorities):
        facts = authorities[0]
        expired = now >= facts.not_after
        when = f"expired on {moment(facts.not_after)}" if expired else f"is not valid before {moment(facts.not_before)}"
        raise certificate_error(
            Reason.EXPIRED if expired else Reason.NOT_YET_VALID,
            label,
            f"the authority {facts.name} {when}; this machine's clock says {moment(now)}; get the authority's present "
            "certificate from whoever runs the server, or set the clock if it is wrong",
        )
    return authorities


def _expiry_warning(facts: CertificateFacts, label: str, now: dt.datetime) -> CertificateWarning:
    has_ended = now >= facts.not_after
    when = "expired on" if has_ended else f"expires in {days_left(facts, now):.1f} days, on"
    return certificate_warning(
        Reason.AUTHORITY_EXPIRED if has_ended else Reason.AUTHORITY_EXPIRES_SOON,
        label,
        f"ca: the authority {facts.name} {when} {moment(facts.not_after)}; this machine's clock says {moment(now)}; "
        "get its present certificate from whoever runs the server, and put it beside this one, or in its place",
    )


def _from_environment() -> Trust | None:
    cafile, capath = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if cafile is None and capath is None:
        return None
    if cafile is not None:
        _look("SSL_CERT_FILE", cafile, [cafile], "file", stat.S_ISREG)
    if capath is not None:
        # A folder may be there and yet not be entered, which OpenSSL passes over in silence.
        folders = capath.split(os.pathsep)
        _look("SSL_CERT_DIR", capath, [f"{part}/." for part in folders], "folder", stat.S_ISDIR)
        if cafile is None and all(map(_has_other_names_only, filter(os.path.isdir, folders))):
            raise certificate_error(
                Reason.NO_CERTIFICATE,
                capath,
                "SSL_CERT_DIR names it, but OpenSSL finds an authority by the hash of its name, and no file there is "
                "called so; run 'openssl rehash FOLDER', or name a bundle by SSL_CERT_FILE",
            )
    said = [name for name, value in (("SSL_CERT_FILE", cafile), ("SSL_CERT_DIR", capath)) if value is not None]
    return Trust(label=" and ".join(said), cafile=cafile, capath=capath, version=_version(cafile))


def _look(variable: str, value: str, paths: Iterable[str], kind: str, is_wanted: Callable[[int], bool]) -> None:
    forbidden = False
    for path in paths:
        try:
            if is_wanted(os.stat(path).st_mode):  # noqa: PTH116 - Path would drop the dot
                return
        except PermissionError:
            forbidden = True
        except (OSError, ValueError):  # not there, or no path at all
            continue
    if forbidden:
        raise _unreadable(value, variable)
    raise certificate_error(
        Reason.NOT_FOUND, value, f"{variable} names it, but there is no such {kind}; correct the variable or unset it"
    )


def _unreadable(label: str, why: str) -> CertificateError:
    return certificate_error(
        Reason.UNREADABLE, label, f"this process{who()} may not read it ({why}); give its user read permission"
    )


def _of_system(platform: str) -> Trust:
    if platform in _PLATFORMS_WITHOUT_A_BUNDLE:
        return Trust(label="the system's trust", by_platform=True)
    built_in = ssl.get_default_verify_paths()
    cafile = next((name for name in (built_in.openssl_cafile, *_BUNDLES) if os.path.isfile(name)), None)  # noqa: PTH113 - unlike Path's it never raises
    capath = built_in.openssl_capath if _has_hashed_names(built_in.openssl_capath) else None
    if cafile is None and capath is None:
        raise certificate_error(
            Reason.NOT_FOUND,
            "the system's trust",
            "this system has no trusted authorities; install its package 'ca-certificates', or pass ca=…",
        )
    return Trust(label="the system's trust", cafile=cafile, capath=capath, version=_version(cafile))


def _has_hashed_names(directory: str) -> bool:
    try:
        return _is_any_hashed(directory)
    except OSError:  # there is none, or not for this user
        return False


def _has_other_names_only(directory: str) -> bool:
    try:
        return not _is_any_hashed(directory)
    except OSError:  # not for this user to list, yet OpenSSL may open what it knows the name of
        return False


def _is_any_hashed(directory: str) -> bool:
    return any(_HASHED_NAME.fullmatch(name) for name in os.listdir(directory))  # noqa: PTH208 - names are enough


def _version(cafile: str | None) -> int:
    try:
        return 0 if cafile is None else Path(cafile).stat().st_mtime_ns
    except OSError:  # it is being replaced, or is not for this user: loading it tells
        return 0
