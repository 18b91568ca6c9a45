"""Formats of client certificates: each loads from files and from memory."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from seic import ClientCertificate, Reason, create_ssl_context
from tests._support.pki import PASSPHRASE, Minted, authority, mint, openssl, server
from tests._support.tls_servers import TlsServer, call

_LEGACY = ("-provider", "legacy", "-provider", "default")
BOM = b"\xef\xbb\xbf"


def _intermediate() -> Minted:
    return mint("Test Intermediate", issuer=authority(), ca=True, number=71)


COMBINED: dict[str, Callable[[Minted], bytes]] = {
    "certificate-first": lambda m: m.pem + m.key_pem,
    "key-first": lambda m: m.key_pem + m.pem,
    "crlf": lambda m: m.pair.replace(b"\n", b"\r\n"),
    "mac-line-ends": lambda m: m.pair.replace(b"\n", b"\r"),
    "bom": lambda m: BOM + m.pair,
    "utf-16": lambda m: m.pair.decode().encode("utf-16"),
    "utf-16-crlf": lambda m: m.pair.replace(b"\n", b"\r\n").decode().encode("utf-16"),
    "utf-16-big-endian": lambda m: b"\xfe\xff" + m.pair.decode().encode("utf-16-be"),
    "utf-16-without-a-mark": lambda m: m.pair.decode().encode("utf-16-le"),
    "utf-16-big-endian-without-a-mark": lambda m: (b"a\n" + m.pair).decode().encode("utf-16-be"),
    "text-before": lambda m: b"Bag Attributes\n    friendlyName: x\nsubject=CN = svc-user\n\n" + m.pair,
    "text-between": lambda m: m.pem + b"\nKey Attributes: <No Attributes>\n" + m.key_pem,
    "no-last-newline": lambda m: m.pair.rstrip(),
    "escaped-newlines": lambda m: m.pair.replace(b"\n", b"\\n"),
    "spaces-for-newlines": lambda m: m.pair.replace(b"\n", b" "),
    "base64-once-more": lambda m: base64.b64encode(m.pair),
    "authority-first": lambda m: authority().pem + m.pair,
    "key-in-the-middle": lambda m: authority().pem + m.key_pem + m.pem,
    "with-parameters": lambda m: (
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + m.pair
    ),
    "pkcs7-bag": lambda m: openssl("crl2pkcs7", "-nocrl", "-certfile", "@", given=m.pem) + m.key_pem,
}


@pytest.mark.parametrize("kind", ["rsa", "ec", "ec384", "ed25519"])
@pytest.mark.parametrize("form", COMBINED)
def test_one_file_with_both_loads_in_any_shape(form: str, kind: str, root: Minted, tmp_path: Path) -> None:
    """Certificate and key in one PEM load in any order, with any line ends and text around them."""
    minted = mint(issuer=root, key=kind)
    path = tmp_path / "client.pem"
    path.write_bytes(COMBINED[form](minted))
    path.chmod(0o600)

    certificate = ClientCertificate.load(path)

    assert certificate.leaf.der == minted.der
    assert certificate.reveal_key() == minted.key_bytes(encoding=Encoding.DER)
    assert certificate == ClientCertificate.load(COMBINED[form](minted))


KEYS: dict[str, tuple[str, Callable[[Minted], bytes]]] = {
    "pkcs8": ("rsa", lambda m: m.key_pem),
    "pkcs8-der": ("rsa", lambda m: m.key_bytes(encoding=Encoding.DER)),
    "pkcs8-encrypted": ("rsa", lambda m: m.key_bytes(password=PASSPHRASE)),
    "pkcs8-encrypted-der": ("rsa", lambda m: m.key_bytes(password=PASSPHRASE, encoding=Encoding.DER)),
    "pkcs8-scrypt": ("ec", lambda m: _pkcs8(m, "-scrypt")),
    "pkcs8-3des": ("ec", lambda m: _pkcs8(m, "-v2", "des3")),
    "pkcs8-v1-3des": ("rsa", lambda m: _pkcs8(m, "-v1", "PBE-SHA1-3DES")),
    "pkcs8-v1-rc2": ("rsa", lambda m: _pkcs8(m, "-v1", "PBE-SHA1-RC2-40", *_LEGACY)),
    "pkcs8-v1-des": ("rsa", lambda m: _pkcs8(m, "-v1", "PBE-MD5-DES", *_LEGACY)),
    "pkcs1": ("rsa", lambda m: m.key_bytes("TraditionalOpenSSL")),
    "pkcs1-der": ("rsa", lambda m: m.key_bytes("TraditionalOpenSSL", encoding=Encoding.DER)),
    "pkcs1-proc-type": ("rsa", lambda m: _traditional("rsa", m, "-aes256")),
    "pkcs1-proc-type-3des": ("rsa", lambda m: _traditional("rsa", m, "-des3")),
    "pkcs1-proc-type-aes192": ("rsa", lambda m: _traditional("rsa", m, "-aes192")),
    "pkcs1-proc-type-des": ("rsa", lambda m: _traditional("rsa", m, "-des", *_LEGACY)),
    "sec1-proc-type-des": ("ec", lambda m: _traditional("ec", m, "-des", *_LEGACY)),
    "sec1-proc-type-3des": ("ec", lambda m: _traditional("ec", m, "-des3")),
    "pkcs1-proc-type-utf-16": ("rsa", lambda m: _traditional("rsa", m, "-aes128").decode().encode("utf-16")),
    "pkcs8-encrypted-utf-16": ("rsa", lambda m: m.key_bytes(password=PASSPHRASE).decode().encode("utf-16-le")),
    "pkcs1-proc-type-crlf": ("rsa", lambda m: _traditional("rsa", m, "-aes128").replace(b"\n", b"\r\n")),
    "pkcs1-proc-type-escaped": ("rsa", lambda m: _traditional("rsa", m, "-aes128").replace(b"\n", b"\\n")),
    "sec1": ("ec", lambda m: m.key_bytes("TraditionalOpenSSL")),
    "sec1-der": ("ec", lambda m: m.key_bytes("TraditionalOpenSSL", encoding=Encoding.DER)),
    "sec1-proc-type": ("ec", lambda m: _traditional("ec", m, "-aes256")),
    "ed25519-encrypted": ("ed25519", lambda m: m.key_bytes(password=PASSPHRASE)),
}


def _pkcs8(minted: Minted, *how: str) -> bytes:
    return openssl("pkcs8", "-topk8", "-in", "@", "-passout", f"pass:{PASSPHRASE}", *how, given=minted.key_pem)


def _traditional(command: str, minted: Minted, *cipher: str) -> bytes:
    old = ("-traditional",) if command == "rsa" else ()
    made = openssl(
        command,
        "-in",
        "@",
        *old,
        *cipher,
        "-passout",
        f"pass:{PASSPHRASE}",
        given=minted.key_bytes("TraditionalOpenSSL"),
    )
    assert b"Proc-Type: 4,ENCRYPTED" in made
    return made


@pytest.mark.parametrize("form", KEYS)
def test_a_key_of_its_own_loads_in_any_form(form: str, root: Minted, tmp_path: Path) -> None:
    """A key of every kind loads from a file and from bytes, encrypted or not."""
    kind, make = KEYS[form]
    minted = mint(issuer=root, key=kind)
    written = make(minted)
    certificate_path, key_path = minted.write(tmp_path)
    key_path.write_bytes(written)

    for key in (key_path, str(key_path), written):
        loaded = ClientCertificate.load(certificate_path, key=key, password=PASSPHRASE)
        assert loaded.reveal_key() == minted.key_bytes(encoding=Encoding.DER)


def test_a_certificate_in_der_loads(client: Minted, tmp_path: Path) -> None:
    """A DER certificate loads from a file and from bytes, with a key in any other encoding."""
    path = tmp_path / "client.cer"
    path.write_bytes(client.der)

    assert ClientCertificate.load(path, key=client.key_pem).leaf.der == client.der
    assert ClientCertificate.load(client.der, key=client.key_pem).leaf.der == client.der


def test_a_pkcs7_bag_in_der_loads(client: Minted) -> None:
    """A binary .p7b carries the certificate and its chain."""
    bag = openssl("crl2pkcs7", "-nocrl", "-certfile", "@", "-outform", "DER", given=client.pem)

    assert ClientCertificate.load(bag, key=client.key_pem).leaf.der == client.der


def _pkcs12(minted: Minted, *how: str, password: str = PASSPHRASE) -> bytes:
    chain = minted.issuer.pem if minted.issuer else b""
    return openssl("pkcs12", "-export", "-in", "@", "-passout", f"pass:{password}", *how, given=minted.pair + chain)


STORES: dict[str, tuple[str, ...]] = {
    "modern": (),
    "legacy-rc2-and-3des": ("-legacy",),
    "3des": ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    "without-mac": ("-nomac",),
    "in-clear": ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac"),
}


@pytest.mark.parametrize("form", STORES)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_pkcs12_store_loads_with_its_chain(form: str, kind: str, tmp_path: Path) -> None:
    """A PKCS#12 file provides certificate, key and intermediate, modern or as old as RC2."""
    between = _intermediate()
    minted = mint(issuer=between, key=kind)
    path = tmp_path / "client.p12"
    path.write_bytes(_pkcs12(minted, *STORES[form]))

    certificate = ClientCertificate.load(path, password=PASSPHRASE)

    assert certificate.leaf.der == minted.der
    assert [link.der for link in certificate.chain] == [between.der]
    assert certificate.reveal_key() == minted.key_bytes(encoding=Encoding.DER)


@pytest.mark.parametrize("password", [None, "", b"", lambda: ""], ids=["none", "text", "bytes", "callable"])
def test_a_pkcs12_store_without_a_passphrase_loads(password: Any, client: Minted) -> None:
    """An empty passphrase and None decrypt a store that has an empty one."""
    assert ClientCertificate.load(_pkcs12(client, password=""), password=password).leaf.der == client.der


def test_a_pkcs12_store_made_by_a_program_in_java_style_loads(client: Minted) -> None:
    """A store with a friendly name and the best encryption of the cryptography library loads."""
    made = pkcs12.serialize_key_and_certificates(
        b"alias", client.key, client.certificate, None, BestAvailableEncryption(PASSPHRASE.encode())
    )
    assert ClientCertificate.load(made, password=PASSPHRASE).leaf.der == client.der


@pytest.mark.parametrize("password", [PASSPHRASE, PASSPHRASE.encode(), lambda: PASSPHRASE, PASSPHRASE.encode])
def test_a_passphrase_may_be_text_bytes_or_a_callable(password: Any, client: Minted) -> None:
    """Each type of passphrase works."""
    sealed = client.key_bytes(password=PASSPHRASE)
    assert ClientCertificate.load(client.pem, key=sealed, password=password).leaf.der == client.der


def test_a_passphrase_callable_is_asked_once_and_only_if_needed(client: Minted) -> None:
    """A callable, perhaps a call to a vault, is called once for an encrypted key and never for a plain one."""
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        return PASSPHRASE

    ClientCertificate.load(client.pair, password=password)
    assert not asked
    ClientCertificate.load(client.pem, key=client.key_bytes(password=PASSPHRASE), password=password)
    assert len(asked) == 1


def test_pem_text_loads_as_an_environment_variable_holds_it(client: Minted) -> None:
    """A str with a BEGIN line is the PEM itself, not a path."""
    certificate = ClientCertificate.load(client.pem.decode(), key=client.key_pem.decode())
    assert certificate.leaf.der == client.der
    assert certificate.path == "the certificate given as text"
    assert certificate.files == ()


def test_base64_text_loads_as_a_pipeline_variable_holds_it(client: Minted) -> None:
    """A str that is the Base64 of a PEM is not a path either."""
    text = base64.b64encode(client.pair).decode()
    assert ClientCertificate.load(text).leaf.der == client.der


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["one-line", "lines"])
def test_base64_of_what_is_no_text_loads_too(wrapped: bool, kind: str, root: Minted) -> None:
    """DER and PKCS#12 have no other way into a variable."""
    minted = mint(issuer=root, key=kind)

    def text(data: bytes) -> str:
        return (base64.encodebytes if wrapped else base64.b64encode)(data).decode()

    key = text(minted.key_bytes(encoding=Encoding.DER))
    assert ClientCertificate.load(text(minted.der), key=key).leaf.der == minted.der
    assert ClientCertificate.load(text(_pkcs12(minted)), password=PASSPHRASE).leaf.der == minted.der


@pytest.mark.parametrize("extra", ["nothing", "intermediate", "root"])
def test_a_directory_loads_as_kubernetes_mounts_it(extra: str, tmp_path: Path) -> None:
    """tls.crt and tls.key are read through the ..data link; ca.crt completes the chain."""
    between = _intermediate()
    minted = mint(issuer=between)
    version = tmp_path / "..2026_01_01"
    version.mkdir()
    (version / "tls.crt").write_bytes(minted.pem)
    (version / "tls.key").write_bytes(minted.key_pem)
    if extra != "nothing":
        (version / "ca.crt").write_bytes(between.pem if extra == "intermediate" else authority().pem)
    (tmp_path / "..data").symlink_to(version.name)
    for file in version.iterdir():
        (tmp_path / file.name).symlink_to(f"..data/{file.name}")

    certificate = ClientCertificate.load(tmp_path)

    assert certificate.leaf.der == minted.der
    assert certificate.path == str(tmp_path / "tls.crt")
    assert [link.der for link in certificate.chain] == ([between.der] if extra == "intermediate" else [])
    # The presence of the root shows that the intermediate is missing.
    assert [one.reason for one in certificate.check()] == [Reason.CHAIN_BROKEN] * (extra == "root")


def test_a_directory_that_is_swapped_while_it_is_read_loads_as_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is resolved once: the key is of the certificate's version, even if the next is mounted by then."""
    versions = {name: mint(number=number) for name, number in (("..1", 1), ("..2", 2))}
    for name, minted in versions.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(minted.pem)
        (tmp_path / name / "tls.key").write_bytes(minted.key_pem)
    (tmp_path / "..data").symlink_to("..1")
    real_open = os.open

    def open_and_swap(path: str, flags: int, *mode: int) -> int:
        descriptor = real_open(path, flags, *mode)
        (tmp_path / "next").symlink_to("..2")
        (tmp_path / "next").replace(tmp_path / "..data")
        return descriptor

    monkeypatch.setattr(os, "open", open_and_swap)
    assert ClientCertificate.load(tmp_path).leaf.der == versions["..1"].der


def test_a_plain_directory_loads_too(client: Minted, tmp_path: Path) -> None:
    """A directory without the ..data link is read by the same three names."""
    (tmp_path / "tls.crt").write_bytes(client.pem)
    (tmp_path / "tls.key").write_bytes(client.key_pem)
    assert ClientCertificate.load(str(tmp_path)).leaf.der == client.der


PSS = {
    "any-hash": (),
    "sha-256-only": ("-pkeyopt", "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256"),
}


@pytest.mark.parametrize("limits", PSS)
@pytest.mark.parametrize("sealed", ["clear", "sealed"])
def test_an_rsa_pss_key_signs_a_handshake(limits: str, sealed: str) -> None:
    """A key limited to RSA-PSS loads with its certificate and is presented."""
    key = openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", *PSS[limits], given=b"")
    made = openssl(
        "req", "-x509", "-new", "-key", "@", "-subj", "/CN=svc-user", "-days", "300",
        "-addext", "basicConstraints=CA:FALSE", "-addext", "extendedKeyUsage=clientAuth",
        given=key,
    )  # fmt: skip
    if sealed == "sealed":
        key = openssl("pkey", "-in", "@", "-aes256", "-passout", f"pass:{PASSPHRASE}", given=key)
    certificate = ClientCertificate.load(made, key=key, password=PASSPHRASE)
    pinned = Minted(x509.load_pem_x509_certificate(made), None)

    with TlsServer(server(authority()), trusts=pinned) as far:
        assert call(create_ssl_context(certificate=certificate, ca=authority().pem), far.port).endswith(b"ok")
    assert far.peers == [pinned.der]
    assert certificate.key_type == "RSA 2048"


@pytest.mark.parametrize("extra", [(), ("-setalias", "mine"), ("-addtrust", "clientAuth", "-addreject", "serverAuth")])
def test_a_trusted_certificate_of_openssl_loads(extra: tuple[str, ...], client: Minted) -> None:
    """`BEGIN TRUSTED CERTIFICATE` holds the certificate and its trusted uses; only the certificate counts."""
    made = openssl("x509", "-in", "@", "-trustout", *extra, given=client.pem)
    assert b"BEGIN TRUSTED CERTIFICATE" in made
    assert ClientCertificate.load(made + client.key_pem).leaf.der == client.der


def test_among_several_keys_the_one_that_fits_is_taken(client: Minted) -> None:
    """A PEM with two keys loads with the one of the certificate."""
    other = mint("other", number=5)
    assert ClientCertificate.load(other.key_pem + client.pair).reveal_key() == client.key_bytes(encoding=Encoding.DER)


def test_a_path_below_the_home_directory_may_begin_with_a_tilde(
    client: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    client.write(tmp_path)
    assert ClientCertificate.load("~/client.pem", key="~/client.key").leaf.der == client.der


def test_old_ciphers_that_openssl_does_not_offer_are_named(client: Minted, tmp_path: Path) -> None:
    """Without OpenSSL's legacy provider, an RC2 store is an error that says how to convert it."""
    rsa = mint(issuer=client.issuer, key="rsa")
    store, key, pem = tmp_path / "old.p12", tmp_path / "old.key", tmp_path / "client.pem"
    store.write_bytes(_pkcs12(rsa, "-legacy"))
    key.write_bytes(_pkcs8(rsa, "-v1", "PBE-SHA1-RC2-40", *_LEGACY))
    pem.write_bytes(rsa.pem)
    program = (
        "import seic, sys\n"
        "for arguments in ((sys.argv[1], None), (sys.argv[3], sys.argv[2])):\n"
        "    try: seic.ClientCertificate.load(arguments[0], key=arguments[1], password=sys.argv[4])\n"
        "    except seic.CertificateError as error: print(error.reason, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, store, key, pem, PASSPHRASE],
        env={"CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(f"unsupported-encryption {store}: ")
    assert second.startswith(f"unsupported-encryption {key}: ")
    assert "openssl pkcs12 -legacy" in first
    assert PASSPHRASE not in done.stdout + done.stderr


def test_a_key_without_encryption_ignores_a_passphrase(client: Minted) -> None:
    """An unnecessary passphrase is ignored."""
    assert ClientCertificate.load(client.pair, password=PASSPHRASE).leaf.der == client.der
    plain = pkcs12.serialize_key_and_certificates(None, client.key, client.certificate, None, NoEncryption())
    assert ClientCertificate.load(plain, password=PASSPHRASE).leaf.der == client.der
    assert client.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
