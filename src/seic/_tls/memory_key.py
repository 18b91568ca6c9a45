"""How a private key in memory reaches OpenSSL, which Python lets read from a path only, without touching a disk."""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seic._tls.pem import encode


def load_cert_chain_from_memory(context: ssl.SSLContext, certificates: str, key: bytes) -> None:
    """Load certificate and key into the context.

    On Linux the path leads to anonymous memory (memfd). Elsewhere it is a temporary file of this user's alone, with the
    key encrypted under a passphrase that lives for this call; it is overwritten and removed.

    Args:
        context: A client's.
        certificates: PEM, the leaf first.
        key: PKCS#8 in DER, not encrypted.

    Raises:
        ssl.SSLError: OpenSSL refuses the certificate or the key.
    """
    with _in_memory(certificates, key) as path:
        if path is not None:
            context.load_cert_chain(path)
            return
    passphrase = secrets.token_hex(32)
    with _in_private_file(certificates, key, passphrase) as path:
        context.load_cert_chain(path, password=passphrase)


@contextlib.contextmanager
def _in_memory(certificates: str, key: bytes) -> Iterator[str | None]:
    try:
        descriptor = os.memfd_create("seic", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # no Linux, or a sandbox that forbids it
        yield None
        return
    try:
        path = f"/proc/self/fd/{descriptor}"
        if not Path(path).exists():  # /proc is not mounted
            yield None
            return
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(certificates.encode())
            file.write(encode("PRIVATE KEY", key))
        yield path
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _in_private_file(certificates: str, key: bytes, passphrase: str) -> Iterator[str]:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_der_private_key,
    )

    sealed = load_der_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
    )
    content = certificates.encode() + sealed
    descriptor, path = tempfile.mkstemp(prefix="seic-", suffix=".pem")  # readable by this user alone
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
