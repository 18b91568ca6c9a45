"""`seic certs convert`: a certificate with its chain and key in another format."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    pkcs12,
)

from seic._errors import ConfigurationError
from seic._tls.certificate import ClientCertificate
from seic.cli._exit_code import ExitCode
from seic.cli._passphrase import get_passphrase, new_passphrase
from seic.cli._terminal import Terminal


def convert_certificate(options: Namespace, terminal: Terminal) -> int:
    """Write the new files."""
    password = get_passphrase(options, options.key or options.source)
    certificate = ClientCertificate.load(options.source, key=options.key, password=password)
    key = load_der_private_key(certificate.reveal_key(), None)
    if options.to == "pkcs12":
        files = {options.output: _pkcs12(certificate, key, new_passphrase(options.new_password_file, options.output))}
    else:
        encryption: KeySerializationEncryption = NoEncryption()
        if options.new_password_file is not None:
            encryption = BestAvailableEncryption(new_passphrase(options.new_password_file, options.output))
        files = _plain(options, certificate, key, encryption)
    existing = [str(path) for path in files if path.exists()]
    if existing and not options.force:
        raise ConfigurationError(f"{', '.join(existing)}: exists already; add --force to replace it", field="output")
    for path, content in files.items():
        path.unlink(missing_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(content)
        terminal.note(f"written: {path}")
    return ExitCode.OK


def _plain(
    options: Namespace, certificate: ClientCertificate, key: Any, encryption: KeySerializationEncryption
) -> dict[Path, bytes]:
    encoding = Encoding.DER if options.to == "der" else Encoding.PEM
    secret: bytes = key.private_bytes(encoding, PrivateFormat.PKCS8, encryption)
    public = certificate.leaf.der if options.to == "der" else certificate.chain_pem.encode()
    if options.new_key is not None:
        return {options.output: public, options.new_key: secret}
    # A PEM file can have both; a DER file has one thing.
    return {options.output: public if options.to == "der" else public + secret}


def _pkcs12(certificate: ClientCertificate, key: Any, password: bytes) -> bytes:
    chain = [x509.load_der_x509_certificate(link.der) for link in certificate.chain]
    leaf = x509.load_der_x509_certificate(certificate.leaf.der)
    name = (certificate.common_name or "client").encode()
    return pkcs12.serialize_key_and_certificates(name, key, leaf, chain, BestAvailableEncryption(password))
