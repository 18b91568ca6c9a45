"""A table row for a mistake in a client certificate's files, and the checks of every row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from seic import CertificateError, ClientCertificate, Reason
from tests._support.pki import PASSPHRASE, Minted, mint, openssl

#: A certificate whose key matches none of those under test.
OTHER = mint("another", number=3)
#: The content of c.pem and c.key (None: no such file, and no key= is passed); the password; the reason; the file in the
#: error; words of its message.
Row: TypeAlias = tuple[
    Callable[[Minted], "bytes | None"], Callable[[Minted], "bytes | None"], "str | None", Reason, str, list[str]
]


def sealed(minted: Minted, **how: Any) -> bytes:
    """Return the key, encrypted with the passphrase."""
    return minted.key_bytes(password=PASSPHRASE, **how)


def store(minted: Minted, *what: str) -> bytes:
    """Return certificate and key as PKCS#12, encrypted with the passphrase."""
    how = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}")
    return openssl(*how, *what, given=minted.pair)


def assert_error_about_files(row: Row, client: Minted, folder: Path, assert_no_leak: Callable[..., None]) -> None:
    """Load from files, and expect a CertificateError with the path, the reason code and the remedy, and no secret."""
    certificate, key, password, reason, named, words = row
    held = {"c.pem": certificate(client), "c.key": key(client)}
    for name, data in held.items():
        if data is not None:
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o600)

    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(
            folder / "c.pem", key=None if held["c.key"] is None else folder / "c.key", password=password
        )

    error = caught.value
    assert (error.reason, error.path) == (reason, str(folder / named))
    assert str(error).startswith(f"{folder / named}: ")
    for word in words:
        assert word in str(error)
    assert_no_leak(error, keys=(client, OTHER))


def assert_error_about_bytes(row: Row, client: Minted, assert_no_leak: Callable[..., None]) -> None:
    """Load from bytes, and expect the same code, and an error that says which argument it was."""
    certificate, key, password, reason, named, _ = row
    data = certificate(client)
    assert data is not None

    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(data, key=key(client), password=password)

    error = caught.value
    role = "certificate" if named == "c.pem" else "key"
    assert (error.reason, error.path) == (reason, f"the {role} given as bytes")
    assert_no_leak(error, keys=(client, OTHER))
