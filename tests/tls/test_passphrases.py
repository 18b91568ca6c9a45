"""Missing and wrong passphrases: each error names the file and the remedy; nothing prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seic import CertificateError, Client, ClientCertificate, Config, Reason
from tests._support.mistakes import Row, assert_error_about_bytes, assert_error_about_files, sealed, store
from tests._support.pki import PASSPHRASE, Minted, mint, openssl

ROWS: dict[str, Row] = {
    "no-passphrase": (
        lambda m: m.pem,
        sealed,
        None,
        Reason.PASSPHRASE_MISSING,
        "c.key",
        ["encrypted", "pass password="],
    ),
    "no-passphrase-for-proc-type": (
        lambda m: m.pem,
        lambda m: openssl("ec", "-in", "@", "-aes256", "-passout", f"pass:{PASSPHRASE}", given=m.key_pem),
        None,
        Reason.PASSPHRASE_MISSING,
        "c.key",
        ["encrypted", "pass password="],
    ),
    "empty-passphrase": (lambda m: m.pem, sealed, "", Reason.PASSPHRASE_MISSING, "c.key", ["pass password="]),
    "wrong-passphrase": (
        lambda m: m.pem,
        sealed,
        PASSPHRASE + "x",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["does not decrypt", "check password="],
    ),
    "wrong-passphrase-for-proc-type": (
        lambda m: m.pem,
        lambda m: openssl("ec", "-in", "@", "-aes256", "-passout", f"pass:{PASSPHRASE}", given=m.key_pem),
        PASSPHRASE + "x",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["does not decrypt"],
    ),
    "passphrase-with-a-newline": (
        lambda m: m.pem,
        sealed,
        PASSPHRASE + "\n",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["ends with a newline: strip it"],
    ),
    "wrong-passphrase-of-a-store": (store, lambda m: None, "x", Reason.PASSPHRASE_WRONG, "c.pem", ["check password="]),
    "no-passphrase-of-a-store": (store, lambda m: None, None, Reason.PASSPHRASE_MISSING, "c.pem", ["password="]),
    "passphrase-of-a-store-that-is-no-text": (
        store,
        lambda m: None,
        "pass-\udcff",
        Reason.PASSPHRASE_WRONG,
        "c.pem",
        ["check password="],
    ),
    "cipher-that-nobody-opens": (
        lambda m: m.pem,
        lambda m: openssl("ec", "-in", "@", "-camellia128", "-passout", f"pass:{PASSPHRASE}", given=m.key_pem),
        PASSPHRASE,
        Reason.UNSUPPORTED_ENCRYPTION,
        "c.key",
        ["encrypted with CAMELLIA-128-CBC", "encrypt it again: 'openssl pkey"],
    ),
    "wrong-passphrase-for-a-single-des": (
        lambda m: m.pem,
        lambda m: openssl(
            "ec",
            "-in",
            "@",
            "-des",
            "-passout",
            f"pass:{PASSPHRASE}",
            "-provider",
            "legacy",
            "-provider",
            "default",
            given=m.key_pem,
        ),
        "x",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["does not decrypt it", "check password="],
    ),
    "unknown-curve-under-proc-type": (
        lambda m: m.pem,
        lambda m: openssl(
            "ec",
            "-in",
            "@",
            "-aes128",
            "-passout",
            f"pass:{PASSPHRASE}",
            given=openssl("ecparam", "-name", "wap-wsg-idm-ecid-wtls12", "-genkey", given=b""),
        ),
        PASSPHRASE,
        Reason.UNSUPPORTED_KEY,
        "c.key",
        ["EC on a named curve"],
    ),
    "wrong-passphrase-of-an-old-store": (
        lambda m: store(m, "-legacy"),
        lambda m: None,
        "x",
        Reason.PASSPHRASE_WRONG,
        "c.pem",
        ["check password="],
    ),
}


@pytest.mark.parametrize("cipher", ["aria-256-cbc", "camellia-256-cbc"])
def test_a_cipher_that_is_not_known_is_not_a_wrong_passphrase(cipher: str, client: Minted) -> None:
    """Older versions of cryptography decrypt such a key; otherwise the error is about the cipher."""
    how = ("pkcs8", "-topk8", "-in", "@", "-v2", cipher, "-passout", f"pass:{PASSPHRASE}")
    key = openssl(*how, given=client.key_pem)
    told: CertificateError | None = None
    try:
        ClientCertificate.load(client.pem, key=key, password=PASSPHRASE)
    except CertificateError as error:
        told = error
    if told is not None:
        assert told.reason == Reason.UNSUPPORTED_ENCRYPTION
        assert "encrypt it again: 'openssl pkcs8 -topk8" in str(told)


@pytest.mark.parametrize("row", ROWS)
def test_a_mistake_names_its_file_its_reason_and_the_remedy(
    row: str, client: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """The error is a CertificateError with the path, the reason code and the remedy, and shows no secret."""
    assert_error_about_files(ROWS[row], client, tmp_path, assert_no_leak)


@pytest.mark.parametrize("row", ROWS)
def test_the_same_mistake_in_bytes_is_the_same_error(
    row: str, client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """Given as bytes, the mistake has the same code, and the error says which argument it was."""
    assert_error_about_bytes(ROWS[row], client, assert_no_leak)


def test_nothing_ever_prompts(client: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a passphrase nothing is asked on the terminal."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("it asked"))
    with pytest.raises(CertificateError):
        ClientCertificate.load(client.pem, key=sealed(client))


def _key(*how: str) -> Callable[[Minted], tuple[bytes, bytes | None]]:
    return lambda m: (m.pem, openssl(*how, "-passout", f"pass:{PASSPHRASE}", given=m.key_pem))


def _store(m: Minted, *how: str) -> tuple[bytes, None]:
    return store(m, "-iter", "1", *how), None


_LEGACY = ("-provider", "legacy", "-provider", "default")
FORMS: dict[str, Callable[[Minted], tuple[bytes, bytes | None]]] = {
    "store": _store,
    "store without an integrity code": lambda m: _store(m, "-nomac"),
    "old store without an integrity code": lambda m: _store(m, "-nomac", "-legacy"),
    "store whose key is in the clear": lambda m: _store(m, "-keypbe", "NONE"),
    "PBES2": _key("pkcs8", "-topk8", "-in", "@", "-iter", "1"),
    "PBES2 with 3DES": _key("pkcs8", "-topk8", "-in", "@", "-iter", "1", "-v2", "des3"),
    "PBES1": _key("pkcs8", "-topk8", "-in", "@", "-iter", "1", "-v1", "PBE-MD5-DES", *_LEGACY),
    "RC4": _key("pkcs8", "-topk8", "-in", "@", "-iter", "1", "-v1", "PBE-SHA1-RC4-128", *_LEGACY),
    "DEK-Info with AES": _key("ec", "-in", "@", "-aes128"),
    "DEK-Info with DES": _key("ec", "-in", "@", "-des", *_LEGACY),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_passphrase_is_never_taken_for_the_right_one(form: str, client: Minted) -> None:
    """Random bytes pass the check of the padding once in 256 times; 1,000 wrong ones are refused all the same."""
    certificate, key = FORMS[form](client)
    assert ClientCertificate.load(certificate, key=key, password=PASSPHRASE).leaf.der == client.der
    reasons = set()
    for number in range(1000):
        with pytest.raises(CertificateError) as caught:
            ClientCertificate.load(certificate, key=key, password=f"wrong-{number}")
        reasons.add(caught.value.reason)
    assert reasons == {Reason.PASSPHRASE_WRONG}


@pytest.mark.parametrize(
    "made",
    [
        lambda m: _store(m, "-iter", "1000001"),
        lambda m: _store(m, "-iter", "1000001", "-legacy"),
        lambda m: _store(m, "-iter", "3000001", "-nomac"),
        _key("pkcs8", "-topk8", "-in", "@", "-iter", "3000001"),
        _key("pkcs8", "-topk8", "-in", "@", "-iter", "3000001", "-v1", "PBE-SHA1-3DES"),
    ],
    ids=["store", "old store", "no integrity code", "PBES2", "PBES1"],
)
def test_a_file_that_would_take_many_seconds_is_refused(
    made: Callable[[Minted], tuple[bytes, bytes | None]], client: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rounds are counted before anything is decrypted, so that neither cryptography nor seic starts."""
    certificate, key = made(client)
    monkeypatch.setattr("seic._x509.private_key._require", lambda *_: pytest.fail("the passphrase was used"))
    monkeypatch.setattr("seic._x509.private_key.load_pkcs12", lambda *_: pytest.fail("it was decrypted"))
    with pytest.raises(CertificateError, match=r"derived with \d+ rounds, .* 'openssl pkcs12 -export") as caught:
        ClientCertificate.load(certificate, key=key, password=PASSPHRASE)
    assert caught.value.reason == Reason.UNSUPPORTED_ENCRYPTION


def test_a_file_with_the_rounds_that_are_recommended_loads(client: Minted) -> None:
    """600,000 for each of its three parts."""
    made = store(client, "-iter", "600000")
    assert ClientCertificate.load(made, password=PASSPHRASE).leaf.der == client.der


def test_a_store_that_is_renewed_with_its_passphrase_file_is_taken_up(
    client: Minted, root: Minted, tmp_path: Path
) -> None:
    """The file of the variable is read again with the store."""
    file, passphrase = tmp_path / "client.p12", tmp_path / "passphrase"

    def write(pair: Minted, secret: str) -> None:
        how = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{secret}")
        file.write_bytes(openssl(*how, given=pair.pair))
        passphrase.write_text(f"{secret}\n")
        file.chmod(0o600)
        passphrase.chmod(0o600)

    write(client, "first")
    environ = {
        "SEIC_PROVIDER": "sei-gateway",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": "secret",
        "SEIC_USERNAME": "svc-user",
        "SEIC_PASSWORD": "password",
        "SEIC_CERTIFICATE": str(file),
        "SEIC_CERTIFICATE_PASSWORD_FILE": str(passphrase),
    }
    with Client(Config.from_env(environ=environ)) as user:
        assert user.certificate is not None
        assert user.certificate.leaf.der == client.der
        renewed = mint(issuer=root, number=9)
        write(renewed, "second")
        assert user.reload_certificate()
        assert user.certificate.leaf.der == renewed.der
