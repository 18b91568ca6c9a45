"""`seic certs csr`: a certificate request, with a new key or an existing one."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from seic._errors import CertificateError, ConfigurationError
from seic._files import write_private
from seic._x509.decode import read_private_key
from seic.cli._configuration import environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._passphrase import get_passphrase, new_passphrase
from seic.cli._setting_sources import list_settings
from seic.cli._terminal import Terminal


def make_request(options: Namespace, terminal: Terminal) -> int:
    """Write the request, and the key if it is new."""
    common_name = options.common_name or _username(options)
    if options.key.exists():
        key: Any = read_private_key(str(options.key), get_passphrase(options, str(options.key))).key
    else:
        is_ec = options.key_type == "ec"
        key = ec.generate_private_key(ec.SECP256R1()) if is_ec else rsa.generate_private_key(65537, 3072)
        encryption: KeySerializationEncryption = NoEncryption()
        if options.encrypt:
            encryption = BestAvailableEncryption(new_passphrase(options.password_file, str(options.key)))
        write_private(options.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode())
        terminal.note(f"key: {options.key} (keep it secret; do not send it)")
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        raise CertificateError(f"{options.key}: this kind of key cannot sign a TLS handshake; use EC or RSA")
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if options.organization:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, options.organization))
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    signed = request.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    pem = signed.public_bytes(Encoding.PEM).decode()
    if options.output is None:
        terminal.print(pem.rstrip())
    else:
        options.output.write_text(pem, encoding="ascii")
        terminal.note(f"request with CN={common_name}: {options.output} (send it to the authority)")
    return ExitCode.OK


def _username(options: Namespace) -> str:
    settings = {setting.name: setting.text for setting in list_settings(environment_of(options))}
    if "username" not in settings:
        raise ConfigurationError(
            "username: not set, so the CN is unknown; pass --common-name, or set SEIC_USERNAME", field="username"
        )
    return settings["username"]
