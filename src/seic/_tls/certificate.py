"""ClientCertificate: a certificate, its chain and its private key, as users hold it, with the checks of its dates."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import math
import time
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import attrs

from seic._errors import CertificateError, ConfigurationError
from seic._model.secret import HIDDEN, Unpicklable, strip_frames
from seic._public import publish
from seic._tls.reload import Signature, file_signature
from seic._values import frozen
from seic._x509.certificate_info import CertificateInfo, clock_says, format_time, printable
from seic._x509.credential_files import CredentialFiles, Material, PassphraseInput
from seic._x509.reasons import CertificateWarning, Reason, certificate_error, certificate_warning

# Reasons that end when another process has written its files.
_UNFINISHED = {
    Reason.NOT_FOUND,
    Reason.UNREADABLE,
    Reason.IS_A_DIRECTORY,
    Reason.EMPTY,
    Reason.TRUNCATED,
    Reason.NO_CERTIFICATE,
    Reason.NO_KEY,
    Reason.KEY_MISMATCH,
}
# The same, if the passphrase is in a file.
_UNFINISHED_PASSPHRASE = {Reason.PASSPHRASE_WRONG, Reason.SOURCE_FAILED}
# Warnings that `check` leaves to OpenSSL, which judges these when the context is built.
_JUDGED_BY_OPENSSL = {Reason.WEAK_KEY, Reason.WEAK_SIGNATURE}
# Seconds between two looks at files that are waited for.
_WAIT_INTERVAL = 0.1


@frozen(kw_only=True, repr=False)
class ClientCertificate(Unpicklable):
    """A client certificate with its private key; made by `load`.

    Two are equal if certificate and key are. The repr shows its public facts, never the key. It cannot be pickled.

    Args:
        leaf: The client's own certificate.
        chain: The intermediates sent with it, nearest to the leaf first.
        path: The file as the user named it, or a description of the argument that held the bytes.
        key: PKCS#8, not encrypted; private.
        source: The files it was loaded from; private.
        warnings: About the files, for `check`; private.
        signature: The files' state on disk when they were first loaded; private.
        setting_names: The variables or keys of its arguments, for errors of `reload`; private.
        next_from: When another pair of the files takes over; private.
        unreadable: The errors of further keys in the files; private.
    """

    leaf: CertificateInfo
    chain: tuple[CertificateInfo, ...] = attrs.field(default=(), eq=False)
    path: str = attrs.field(eq=False)
    _key: bytes = attrs.field(alias="key")
    _source: CredentialFiles = attrs.field(eq=False, alias="source")
    _warnings: tuple[CertificateWarning, ...] = attrs.field(default=(), eq=False, alias="warnings")
    signature: Signature | None = attrs.field(default=None, eq=False)
    _setting_names: Mapping[str, str] = attrs.field(factory=dict, eq=False, alias="setting_names")
    next_from: dt.datetime | None = attrs.field(default=None, eq=False)
    _unreadable: tuple[str, ...] = attrs.field(default=(), eq=False, alias="unreadable")

    @classmethod
    @strip_frames
    def load(
        cls,
        certificate: Material,
        *,
        key: Material | None = None,
        password: PassphraseInput | None = None,
        common_name: str | None = None,
        wait: float = 0,
    ) -> ClientCertificate:
        """Read a certificate and its private key in any format.

        PEM, DER and PKCS#12 are recognized by their content. The key may be in the same file or in a separate one; of
        several certificates the one that matches the key is used. `load` does not check the dates, `check` does. It
        never prompts on the terminal.

        Args:
            certificate: A path, PEM text or bytes; or a directory with `tls.crt`, `tls.key` and perhaps `ca.crt`, as
                Kubernetes mounts a secret.
            key: The private key, if it is separate: a path, PEM text or bytes.
            password: The passphrase of the key or the PKCS#12 file, or a callable that returns it when it is needed.
            common_name: The CN of the certificate to use, if the files hold pairs of several subjects; otherwise it is
                not compared.
            wait: The most seconds to wait for files that another process, such as a sidecar, has yet to write: that are
                missing, empty, cut off or do not match yet. It blocks, so call it off the event loop.

        Raises:
            CertificateError: The material cannot be read, decrypted or matched, or can never work as a client
                certificate; `path` names the file and `reason` the mistake. Its cause is the exception of a callable
                passphrase.
            ConfigurationError: An argument has another type; its `field` names it.
        """
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < math.inf:
            raise ConfigurationError("wait: must be a finite number of seconds, 0 or more", field="wait")
        files = CredentialFiles.of(certificate, key, password, common_name)
        deadline = time.monotonic() + wait
        while True:
            try:
                return cls._read(files, file_signature(files.paths))
            except CertificateError as error:
                late = _UNFINISHED if files.passphrase.path is None else _UNFINISHED | _UNFINISHED_PASSPHRASE
                if not wait or not files.paths or error.reason not in late:
                    raise
                failure = error
            if time.monotonic() >= deadline:
                break
            time.sleep(_WAIT_INTERVAL)
        failure.message = f"{failure.message}; it was waited for, for {wait:g} seconds"
        failure.args = (failure.message,)
        raise failure

    @classmethod
    def _read(cls, files: CredentialFiles, signature: Signature | None) -> ClientCertificate:
        from seic._x509.pairing import read_key_pair

        pair = read_key_pair(files)
        return cls(
            leaf=pair.leaf,
            chain=pair.chain,
            path=pair.label,
            key=pair.key,
            source=files,
            warnings=pair.warnings,
            signature=signature,
            next_from=pair.next_from,
            unreadable=pair.unreadable,
        )

    @strip_frames
    def reload(self) -> ClientCertificate:
        """Read the same files again and return their present content.

        Raises:
            CertificateError: The present content cannot work.
            ConfigurationError: It was given as bytes, so there are no files to read.
        """
        if not self.signature:
            raise ConfigurationError(
                f"certificate: {self.path} cannot be read again; load it from files, or give a callback that returns "
                "the new one",
                field="certificate",
            )
        # The identity that reloads it watches the files itself.
        try:
            fresh = self._read(self._source, self.signature)
        except CertificateError as error:
            from seic._setting_errors import with_setting_names

            text, cause = with_setting_names(error.message, self._setting_names), error.__cause__
            failure = CertificateError(text, path=error.path, reason=error.reason, field=error.field)
        else:
            return attrs.evolve(fresh, setting_names=self._setting_names)
        raise failure from cause

    @property
    def identity_key(self) -> Hashable:
        """Equal for certificates with the same content that were loaded in the same way."""
        return self.content, self._source

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it was read from; empty for bytes and text."""
        return self._source.paths

    @property
    def subject(self) -> str:
        """In the form of RFC 4514: `CN=svc-user,O=Example`."""
        return self.leaf.subject

    @property
    def common_name(self) -> str | None:
        """The CN of the subject; SEI requires it to equal the service account's username."""
        return self.leaf.common_name

    @property
    def issuer(self) -> str:
        """The subject of the authority that signed it, in the form of RFC 4514."""
        return self.leaf.issuer

    @property
    def serial_number(self) -> str:
        """Upper-case hex, as OpenSSL and nginx print it."""
        return self.leaf.serial_number

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the certificate in lower-case hex."""
        return self.leaf.thumbprint

    @property
    def x5t_s256(self) -> str:
        """The thumbprint as a certificate-bound token carries it (RFC 8705 §3.1)."""
        return self.leaf.x5t_s256

    @property
    def not_before(self) -> dt.datetime:
        """The beginning of its validity, in UTC."""
        return self.leaf.not_before

    @property
    def not_after(self) -> dt.datetime:
        """The end of its validity, in UTC."""
        return self.leaf.not_after

    @property
    def key_type(self) -> str:
        """`RSA 2048`, `EC P-256`, `Ed25519`."""
        return self.leaf.key_type

    @functools.cached_property
    def chain_pem(self) -> str:
        """The certificates sent to the server, as PEM, the leaf first."""
        return "".join([facts.pem for facts in (self.leaf, *self.chain)])

    @functools.cached_property
    def content(self) -> str:
        """A digest that changes with the certificate, the chain and the key."""
        return hashlib.sha256(self.chain_pem.encode() + self._key).hexdigest()

    @property
    def awaited_issuer(self) -> str | None:
        """The authority that the server must already know; None if the chain ends in a self-signed certificate."""
        last = self.chain[-1] if self.chain else self.leaf
        return None if last.is_self_signed else last.issuer

    def days_left(self, now: dt.datetime | None = None) -> float:
        """Return the days until it expires, by `now` or this machine's clock; negative after that."""
        return self.leaf.days_left(now or _now())

    def expires_soon(self, now: dt.datetime | None = None) -> bool:
        """Return whether less than 30 days and less than a fifth of its lifetime are left."""
        return self.leaf.expires_soon(now or _now())

    def check(self, now: dt.datetime | None = None) -> tuple[CertificateWarning, ...]:
        """Check the dates, and return the warnings about them and about the files.

        Args:
            now: An aware time; None is this machine's clock.

        Raises:
            CertificateError: It has expired or is not valid yet.
        """
        usual = [warning for warning in self._warnings if warning.reason not in _JUDGED_BY_OPENSSL]
        return (*usual, *self._check_dates(now or _now()))

    def checks(self, now: dt.datetime | None = None, *, username: str | None = None) -> tuple[CertificateWarning, ...]:
        """Return all that is wrong or will stop working, for a report or an alert; nothing is raised.

        These are the error and the warnings of `check`, and those about short keys, weak signatures and another CN.

        Args:
            now: An aware time; None is this machine's clock.
            username: The service account that the CN must equal; None if it does not matter.
        """
        found = [*self._warnings]
        try:
            found += self._check_dates(now or _now())
        except CertificateError as error:
            found.append(CertificateWarning(error.message, error.path, error.reason))
        name = None if username is None else self.check_common_name(username)
        return (*found, *([] if name is None else [name]))

    def _check_dates(self, now: dt.datetime) -> Iterable[CertificateWarning]:
        leaf, clock = self.leaf, clock_says(now)
        if now >= leaf.not_after:
            others = "".join(
                f"; another key in the files may be its renewal: {error}" for error in self._unreadable[:1]
            )
            raise certificate_error(
                Reason.EXPIRED,
                self.path,
                f"the certificate expired on {format_time(leaf.not_after)} ({leaf.name}); {clock}; have {leaf.issuer} "
                f"renew it, or set the clock if it is wrong{others}",
            )
        if now < leaf.not_before:
            raise certificate_error(
                Reason.NOT_YET_VALID,
                self.path,
                f"the certificate is not valid before {format_time(leaf.not_before)} ({leaf.name}); {clock}; set the "
                "clock if it is wrong, or use the previous certificate until then",
            )
        if leaf.expires_soon(now):
            yield certificate_warning(
                Reason.EXPIRES_SOON,
                self.path,
                f"the certificate expires on {format_time(leaf.not_after)}, in {leaf.days_left(now):.1f} days "
                f"({leaf.name}); have {leaf.issuer} renew it and replace the file",
            )
        for link in self.chain:
            if not link.is_valid(now):
                yield certificate_warning(
                    Reason.CHAIN_EXPIRED,
                    self.path,
                    f"the intermediate certificate {link.name} sent with {leaf.name} is valid from "
                    f"{format_time(link.not_before)} to {format_time(link.not_after)}; {clock}; replace it with the "
                    "issuer's present one",
                )
            elif link.not_after < leaf.not_after and not link.is_self_signed:
                yield certificate_warning(
                    Reason.CHAIN_ENDS_FIRST,
                    self.path,
                    f"the intermediate certificate ({link.summary}) ends before {leaf.summary}, which servers then "
                    "refuse too; append its renewal before that",
                )

    def check_common_name(self, username: str, *, strict: bool = False) -> CertificateWarning | None:
        """Compare the CN with the service account, which SEI's gateway requires to be equal.

        Args:
            username: The service account.
            strict: Raise the problem instead of returning it.

        Returns:
            A warning if they differ; the caller issues it, and names it if the gateway refuses the token.

        Raises:
            CertificateError: They differ and `strict` is set.
        """
        name = self.common_name
        if name == username:
            return None
        actual = f"CN={printable(name)}" if name else "no CN"
        case = " (only the case differs)" if (name or "").lower() == username.lower() else ""
        text = (
            f"the certificate has {actual}, but the service account is {username!r}{case}; the gateway requires them "
            "to be equal: pass the certificate that was issued for this account, or that account's name as username"
        )
        if strict:
            raise certificate_error(Reason.COMMON_NAME, self.path, text)
        return certificate_warning(Reason.COMMON_NAME, self.path, text)

    def reveal_key(self) -> bytes:
        """Return the private key: PKCS#8 in DER, not encrypted."""
        return self._key

    def describe(self, now: dt.datetime | None = None) -> str:
        """Return the facts as text, one a line."""
        days = self.days_left(now)
        left = f"{days:.1f} days left" if days >= 0 else f"expired {-days:.1f} days ago"
        rows = {
            "subject": printable(self.subject),
            "issuer": printable(self.issuer),
            "serial": self.serial_number,
            "sha256": self.thumbprint,
            "valid": f"{format_time(self.not_before)} to {format_time(self.not_after)} ({left})",
            "key": self.key_type,
            "chain": ", ".join(link.name for link in self.chain) or "none sent",
            "from": self.path,
        }
        return "\n".join(f"{name:8} {value}" for name, value in rows.items())

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        return (
            f"<ClientCertificate {printable(self.subject)}, issuer {printable(self.issuer)}, "
            f"serial {self.serial_number}, {self.key_type}, valid {self.not_before:%Y-%m-%d} to "
            f"{self.not_after:%Y-%m-%d}, sha256 {self.thumbprint[:16]}…, from {self.path}, key {HIDDEN}>"
        )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


publish("seic", ["ClientCertificate"], globals())
