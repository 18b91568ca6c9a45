"""`load_cert_chain_from_memory`: a certificate and a key that are in memory, loaded into a context."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path


def load_cert_chain_from_memory(context: ssl.SSLContext, certificates: str, key: bytes) -> None:
    """Load a certificate and a key that are in memory into a context, although `load_cert_chain` takes only a path.

    On Linux the path names anonymous memory (memfd). Elsewhere it is a temporary file that only this user can read,
    with the key encrypted under a passphrase for this call; it is overwritten and removed.

    Args:
        context: A client context.
        certificates: PEM, the leaf first.
        key: PKCS#8 in DER, not encrypted.

    Raises:
        ssl.SSLError: OpenSSL refuses the certificate or the key.
        OSError: The temporary file cannot be written.
    """
    with _in_memory(certificates, key) as path:
        if path is not None:
            context.load_cert_chain(path)
            return
    import secrets

    passphrase = secrets.token_hex(32)
    with _in_private_file(certificates, key, passphrase) as path:
        context.load_cert_chain(path, password=passphrase)


@contextlib.contextmanager
def _in_memory(certificates: str, key: bytes) -> Iterator[str | None]:
    try:
        descriptor = os.memfd_create("seic", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # not Linux, or a sandbox forbids it
        yield None
        return
    try:
        path = f"/proc/self/fd/{descriptor}"
        if not Path(path).exists():  # /proc is not mounted
            yield None
            return
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(certificates.encode())
            file.write(_encode_pem(key))
        yield path
    finally:
        os.close(descriptor)


def _encode_pem(key: bytes) -> bytes:
    # Lines of 64 letters (RFC 7468 §2): some OpenSSL versions refuse longer ones.
    text = base64.b64encode(key)
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN PRIVATE KEY-----\n%b-----END PRIVATE KEY-----\n" % lines


@contextlib.contextmanager
def _in_private_file(certificates: str, key: bytes, passphrase: str) -> Iterator[str]:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_der_private_key,
    )

    encrypted = load_der_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
    )
    content = certificates.encode() + encrypted
    descriptor, path = tempfile.mkstemp(prefix="seic-", suffix=".pem")  # only this user can read it
    try:
        with os.fdopen(descriptor, "r+b") as file:
            file.write(content)
        yield path
    finally:
        with Path(path).open("r+b") as file:
            file.write(bytes(len(content)))
            file.flush()
            os.fsync(file.fileno())
        Path(path).unlink()


def is_pair_of_openssl(certificate: str, key: bytes) -> bool:
    """Return whether OpenSSL takes a certificate in PEM with a key in PKCS#8, and finds that they match."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        load_cert_chain_from_memory(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)
    # An ssl.SSLError is an OSError; the others are cryptography's, which encrypts the key for a temporary file.
    except (OSError, ValueError, UnsupportedAlgorithm):
        return False
    return True
