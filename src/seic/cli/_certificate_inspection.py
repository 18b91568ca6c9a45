"""`seic certs inspect`: the content of a file, a folder or a server's handshake, and the settings to write."""

from __future__ import annotations

import datetime as dt
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seic._errors import CertificateError
from seic._x509.certificate_info import CertificateInfo, format_time
from seic._x509.credential_files import CredentialFile
from seic._x509.decode import DecodedCertificate, decode
from seic._x509.reasons import Reason
from seic.cli._exit_code import ExitCode
from seic.cli._passphrase import get_passphrase
from seic.cli._server_inspection import inspect_server
from seic.cli._terminal import Terminal

_ASKED_FOR = "; name the file of its passphrase by --password-file"
#: A folder with more is not one that an authority sent.
_MAX_FILES = 500


@attrs.define
class InspectedFile:
    """The content of a file.

    Args:
        path: The file.
        certificates: Its certificates.
        keys: The public key of each private key; None for one that cannot be decrypted.
        others: Other things, such as `certificate request`.
        problem: The reason why it cannot be read; None if it can.
    """

    path: Path
    certificates: list[DecodedCertificate] = attrs.field(factory=list)
    keys: list[bytes | None] = attrs.field(factory=list)
    others: list[str] = attrs.field(factory=list)
    problem: str | None = None

    @property
    def summary(self) -> str:
        """One line about the content."""
        parts = [_kind_of(one.facts) for one in self.certificates]
        parts += ["private key" if key else "private key, encrypted" for key in self.keys]
        return ", ".join([*parts, *self.others]) or self.problem or "nothing that is known"


def inspect_source(options: Namespace, terminal: Terminal) -> int:
    """Show a file, a folder or a server."""
    if options.source.startswith("https://"):
        return inspect_server(options, terminal)
    path = Path(options.source).expanduser()
    if path.is_dir():
        return _inspect_folder(path, options, terminal)
    inspected = _read(path, get_passphrase(options, str(path)), strict=True)
    if options.json:
        terminal.json(_to_dict(inspected))
        return ExitCode.OK
    for decoded in inspected.certificates:
        terminal.table(describe(decoded.facts).items(), styles=["dim"])
        terminal.print()
    for key in inspected.keys:
        belongs = [one.facts.name for one in inspected.certificates if key and _public_key(one) == key]
        owner = f" of {belongs[0]}" if belongs else ""
        terminal.print(f"private key{owner}" if key else f"private key, encrypted{_ASKED_FOR}")
    for other in inspected.others:
        terminal.print(other)
    return ExitCode.OK


def describe(facts: CertificateInfo) -> dict[str, str]:
    """Return the facts of a certificate, by name."""
    return {
        "kind": _kind_of(facts),
        "subject": facts.subject,
        "issuer": "itself" if facts.is_self_signed else facts.issuer,
        "serial": facts.serial_number,
        "valid": f"{format_time(facts.not_before)} to {format_time(facts.not_after)}",
        "key": facts.key_type,
        "sha256": facts.thumbprint,
    }


def _kind_of(facts: CertificateInfo) -> str:
    if facts.is_ca:
        return f"{'root' if facts.is_self_signed else 'intermediate'} authority {facts.name}"
    return f"{'client' if facts.allows_client_auth else 'server'} certificate {facts.name}"


def _read(path: Path, password: Callable[[], str], *, strict: bool) -> InspectedFile:
    inspected = InspectedFile(path)
    try:
        file = CredentialFile.of(str(path), "certificate")
        decoded = decode(file.read(), file.label, lambda: password().encode())
    except CertificateError as error:
        if strict:
            raise
        is_encrypted = error.reason in {Reason.PASSPHRASE_MISSING, Reason.PASSPHRASE_WRONG}
        text = error.message.removeprefix(f"{path}: ").partition(";")[0]
        inspected.problem = f"encrypted{_ASKED_FOR}" if is_encrypted else text
        return inspected
    inspected.certificates = decoded.certificates
    inspected.others = decoded.others
    for encrypted in decoded.keys:
        try:
            key: Any = encrypted.decrypt(lambda: password().encode())
        except CertificateError:
            inspected.keys.append(None)
        else:
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            inspected.keys.append(public)
    return inspected


def _public_key(certificate: DecodedCertificate) -> bytes:
    return certificate.fields.public_key


def _inspect_folder(folder: Path, options: Namespace, terminal: Terminal) -> int:
    paths = sorted(path for path in folder.iterdir() if path.is_file())[:_MAX_FILES]
    files = [_read(path, get_passphrase(options, str(path), ask=False), strict=False) for path in paths]
    pairs = list(_pairs(files))
    if options.json:
        terminal.json(
            {
                "files": [_to_dict(file) for file in files],
                "settings": [dict(_settings(certificate, key)) for certificate, key in pairs],
            }
        )
        return ExitCode.OK
    terminal.table([(file.path.name, file.summary) for file in files], header=["file", "content"], styles=["bold"])
    for certificate, key in pairs:
        terminal.print()
        leaf = _leaf(certificate)
        has_expired = leaf.facts.not_after < dt.datetime.now(dt.UTC)
        until = "expired on" if has_expired else "valid until"
        terminal.print(f"# {leaf.facts.name}, {until} {leaf.facts.not_after:%Y-%m-%d}")
        for name, value in _settings(certificate, key):
            terminal.print(f"export {name}={shlex.quote(value)}")
        for note in _chain_notes(certificate, files):
            terminal.print(f"# {note}")
    if not pairs:
        terminal.note("No client certificate with its key is in this folder.")
        return ExitCode.CERTIFICATE
    return ExitCode.OK


def _leaf(file: InspectedFile) -> DecodedCertificate:
    return next(one for one in file.certificates if not one.facts.is_ca)


def _pairs(files: list[InspectedFile]) -> Iterator[tuple[InspectedFile, InspectedFile]]:
    """Yield each file with a client's certificate, and the first file with its key; the same file, if it has both."""
    for file in files:
        leaf = next((one for one in file.certificates if not one.facts.is_ca and one.facts.allows_client_auth), None)
        if leaf is None:
            continue
        holders = [other for other in files if _public_key(leaf) in other.keys]
        if holders:
            stem = file.path.stem
            yield file, min(holders, key=lambda other: (other is not file, other.path.stem != stem, other.path.name))


def _settings(certificate: InspectedFile, key: InspectedFile) -> Iterator[tuple[str, str]]:
    yield "SEIC_CERTIFICATE", str(certificate.path.absolute())
    if key is not certificate:
        yield "SEIC_CERTIFICATE_KEY", str(key.path.absolute())


def _chain_notes(certificate: InspectedFile, files: list[InspectedFile]) -> Iterator[str]:
    link = _leaf(certificate)
    for _ in range(len(files)):
        if link.facts.is_self_signed:
            return
        holder, issuer = next(
            (
                (file, one)
                for file in (certificate, *files)
                for one in file.certificates
                if one.facts.is_ca and link.is_issued_by(one)
            ),
            (None, None),
        )
        if holder is None or issuer is None:
            yield f"the issuer of {link.facts.name}, {link.facts.issuer}, is not in this folder"
            return
        if holder is not certificate and not issuer.facts.is_self_signed:
            yield f"the server may need the intermediate too: append {holder.path.name} to {certificate.path.name}"
        link = issuer


def _to_dict(file: InspectedFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "certificates": [describe(one.facts) for one in file.certificates],
        "private_keys": [{"encrypted": key is None} for key in file.keys],
        "others": file.others,
        **({"problem": file.problem} if file.problem else {}),
    }
