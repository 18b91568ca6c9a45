"""ClientCertificate: a certificate, its chain and its private key, as users hold and see it.

How files are read stands in `sources` and `parsing`, how a pair is matched in `pairing`, what the clock says in
`checks`; the codes of `CertificateError.reason` stand in `reasons`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import attrs

from seic._errors import ConfigurationError
from seic._model.secrecy import HIDDEN, Unpicklable, traceless
from seic._tls import checks
from seic._tls.credential_files import CredentialFiles, Material, PassphraseInput
from seic._tls.facts import CertificateFacts, moment
from seic._tls.reasons import CertificateWarning


@attrs.frozen(kw_only=True, repr=False)
class ClientCertificate(Unpicklable):
    """A client certificate with its private key; made by `load`.

    Two are equal when certificate and key are. It prints its public facts, never the key, and cannot be pickled.

    Args:
        leaf: The client's own certificate.
        chain: The intermediates sent with it, nearest to the leaf first.
        path: The file as the user named it, or what stood in its place.
        key: PKCS#8, not encrypted; private.
        files: What it was loaded from; private.
        warnings: What the files themselves deserve a warning for; private, see `check`.
    """

    leaf: CertificateFacts
    chain: tuple[CertificateFacts, ...] = attrs.field(default=(), eq=False)
    path: str = attrs.field(eq=False)
    _key: bytes = attrs.field(alias="key")
    _source: CredentialFiles = attrs.field(eq=False, alias="source")
    _warnings: tuple[CertificateWarning, ...] = attrs.field(default=(), eq=False, alias="warnings")

    @classmethod
    @traceless
    def load(
        cls, certificate: Material, *, key: Material | None = None, password: PassphraseInput | None = None
    ) -> ClientCertificate:
        """Read a certificate and its private key, whatever the format.

        PEM, DER and PKCS#12 are told apart by their content. The key may stand in the same file or in its own; among
        several certificates the one that fits the key is taken. Dates are not judged here, `check` does that. Nothing
        ever prompts on the terminal.

        Args:
            certificate: A path, PEM text or bytes; or a directory with `tls.crt`, `tls.key` and perhaps `ca.crt`, as
                Kubernetes mounts a secret.
            key: The private key, where it stands apart: a path, PEM text or bytes.
            password: The passphrase of the key or the PKCS#12 file, or a callable that returns it when it is needed.

        Raises:
            CertificateError: The material cannot be read, opened or matched, or can never work as a client certificate;
                `path` names the file and `reason` the mistake. Its cause is what a callable passphrase raised.
            ConfigurationError: An argument is of another type; its `field` names it.
        """
        return cls._read(CredentialFiles.of(certificate, key, password))

    @classmethod
    def _read(cls, files: CredentialFiles) -> ClientCertificate:
        from seic._tls.pairing import read_key_pair

        pair = read_key_pair(files)
        return cls(
            leaf=pair.leaf, chain=pair.chain, path=pair.label, key=pair.key, source=files, warnings=pair.warnings
        )

    @traceless
    def reload(self) -> ClientCertificate:
        """Read the same files again and return what stands there now.

        Raises:
            CertificateError: What stands there now cannot work.
            ConfigurationError: It was given as bytes, so there is nothing to read again.
        """
        if not self.files:
            raise ConfigurationError(
                f"certificate: {self.path} cannot be read again; load it from files, or give a callback that returns "
                "the new one",
                field="certificate",
            )
        return self._read(self._source)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it was read from; empty for bytes and text."""
        return self._source.files

    @property
    def subject(self) -> str:
        """As RFC 4514 writes it: `CN=svc-user,O=Example`."""
        return self.leaf.subject

    @property
    def common_name(self) -> str | None:
        """The CN of the subject; SEI wants it equal to the service account's username."""
        return self.leaf.common_name

    @property
    def issuer(self) -> str:
        """Who signed it, as RFC 4514 writes it."""
        return self.leaf.issuer

    @property
    def serial_number(self) -> str:
        """Upper-case hex, as OpenSSL and nginx write it."""
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
        """When it becomes valid, in UTC."""
        return self.leaf.not_before

    @property
    def not_after(self) -> dt.datetime:
        """When it ends, in UTC."""
        return self.leaf.not_after

    @property
    def key_type(self) -> str:
        """`RSA 2048`, `EC P-256`, `Ed25519`."""
        return self.leaf.key_type

    @property
    def chain_pem(self) -> str:
        """What is sent to the server, as PEM: the leaf first."""
        return "".join(facts.pem for facts in (self.leaf, *self.chain))

    @property
    def content(self) -> str:
        """A digest of all that a handshake uses: it changes with the certificate, the chain and the key."""
        return hashlib.sha256(self.chain_pem.encode() + self._key).hexdigest()

    @property
    def awaited_issuer(self) -> str | None:
        """The authority that the server has to know by itself; None where the chain ends in a self-signed one."""
        last = self.chain[-1] if self.chain else self.leaf
        return None if last.is_self_signed else last.issuer

    def days_left(self, now: dt.datetime | None = None) -> float:
        """Return the days until it ends, by this machine's clock or `now`; negative once it has."""
        return checks.days_left(self.leaf, now or _now())

    def expires_soon(self, now: dt.datetime | None = None) -> bool:
        """Whether it is time to renew it: less than 30 days are left, and less than a fifth of its lifetime."""
        return checks.expires_soon(self.leaf, now or _now())

    def check(self, now: dt.datetime | None = None) -> tuple[CertificateWarning, ...]:
        """Refuse a certificate that the clock rules out, and return what deserves a warning.

        Args:
            now: An aware moment; None is this machine's clock.

        Raises:
            CertificateError: It has expired or is not valid yet.
        """
        return (*self._warnings, *checks.check_dates(self.leaf, self.chain, self.path, now or _now()))

    def check_common_name(self, username: str, *, strict: bool = False) -> CertificateWarning | None:
        """Compare the CN with the service account's name; return a warning where they differ, or raise it if `strict`.

        Raises:
            CertificateError: They differ and `strict` is set.
        """
        return checks.check_common_name(self.leaf, self.path, username, strict=strict)

    def reveal_key(self) -> bytes:
        """Return the private key itself: PKCS#8 in DER, not encrypted."""
        return self._key

    def describe(self, now: dt.datetime | None = None) -> str:
        """Return the facts for people, one a line."""
        days = self.days_left(now)
        left = f"{days:.1f} days left" if days >= 0 else f"expired {-days:.1f} days ago"
        rows = {
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": self.serial_number,
            "sha256": self.thumbprint,
            "valid": f"{moment(self.not_before)} to {moment(self.not_after)} ({left})",
            "key": self.key_type,
            "chain": ", ".join(link.name for link in self.chain) or "none sent",
            "from": self.path,
        }
        return "\n".join(f"{name:8} {value}" for name, value in rows.items())

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        return (
            f"<ClientCertificate {self.subject}, issuer {self.issuer}, serial {self.serial_number}, {self.key_type}, "
            f"valid {self.not_before:%Y-%m-%d} to {self.not_after:%Y-%m-%d}, sha256 {self.thumbprint[:16]}…, "
            f"from {self.path}, key {HIDDEN}>"
        )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
