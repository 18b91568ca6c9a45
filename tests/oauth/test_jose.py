"""Keys and signatures, verified with cryptography and not with joserfc."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from seic import ConfigurationError
from seic._oauth.jose import new_key, read_key, read_secret, require_jose
from tests._support.jwts import EC_KEY, RSA_KEY, parts, pem
from tests._support.pki import mint, openssl, request

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa(algorithm: str) -> None:
    """Expect a signature that the public key verifies, with the requested algorithm."""
    header, claims, signature, signed = parts(
        read_key(pem(RSA_KEY), field="key", algorithm=algorithm).sign({"a": 1}, kid="k")
    )
    digest = _HASHES[algorithm[2:]]
    scheme = padding.PKCS1v15() if algorithm[0] == "R" else padding.PSS(padding.MGF1(digest), digest.digest_size)
    RSA_KEY.public_key().verify(signature, signed, scheme, digest)
    assert (header, claims) == ({"alg": algorithm, "kid": "k", "typ": "JWT"}, {"a": 1})


@pytest.mark.parametrize(
    ("curve", "algorithm"), [(ec.SECP256R1(), "ES256"), (ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512")]
)
def test_elliptic_curves(curve: ec.EllipticCurve, algorithm: str) -> None:
    """Expect the algorithm of the curve, and the concatenated halves of the signature (RFC 7518 §3.4)."""
    key = ec.generate_private_key(curve)
    header, _, signature, signed = parts(read_key(pem(key), field="key").sign({}))
    half = len(signature) // 2
    der = encode_dss_signature(*(int.from_bytes(each) for each in (signature[:half], signature[half:])))
    key.public_key().verify(der, signed, ec.ECDSA(_HASHES[algorithm[2:]]))
    assert header["alg"] == algorithm


@pytest.mark.parametrize("kind", [ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey])
def test_edwards_curves(kind: Any) -> None:
    """Expect the name that servers know, without a warning."""
    key = kind.generate()
    header, _, signature, signed = parts(read_key(pem(key), field="key").sign({}))
    key.public_key().verify(signature, signed)
    assert header["alg"] == "EdDSA"


def test_a_secret() -> None:
    """Expect the HMAC of the secret's bytes."""
    secret = "s" * 32
    header, _, signature, signed = parts(read_secret(secret, algorithm="HS256").sign({}))
    assert signature == hmac.digest(secret.encode(), signed, hashlib.sha256)
    assert header["alg"] == "HS256"


@pytest.mark.parametrize(("algorithm", "needed"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_short_secret(algorithm: str, needed: int) -> None:
    """Expect at least as many bytes as the hash has (RFC 7518 §3.2)."""
    assert read_secret("s" * needed, algorithm=algorithm).algorithm == algorithm
    with pytest.raises(ConfigurationError, match=f"{needed} bytes") as caught:
        read_secret("s" * (needed - 1), algorithm=algorithm)
    assert caught.value.field == "client_secret"


def test_where_a_key_may_stand(tmp_path: Path) -> None:
    """Expect a file of PEM or DER, PEM as text, and bytes of either to be the same key."""
    der = EC_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem(EC_KEY))
    (tmp_path / "key.der").write_bytes(der)
    for material in (tmp_path / "key.pem", str(tmp_path / "key.der"), pem(EC_KEY).decode(), pem(EC_KEY), der):
        assert read_key(material, field="key").public == read_key(pem(EC_KEY), field="key").public
    assert read_key(pem(EC_KEY, "pass"), field="key", password="pass").algorithm == "ES256"


@pytest.mark.parametrize(
    ("material", "options", "words"),
    [
        pytest.param("missing.pem", {}, r"key: missing\.pem: there is no such file .*check the path", id="no file"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\nxx", {}, "cut off .*copy the whole file again", id="damaged"),
        pytest.param(b"", {}, "it is empty; write", id="empty"),
        pytest.param(b"hello", {}, "neither PEM, DER nor PKCS#12", id="garbage"),
        pytest.param(7, {}, "must be a path, PEM text or bytes, not int", id="no material at all"),
        pytest.param(mint().pem, {}, "a certificate instead of the private key; pass", id="a certificate"),
        pytest.param(request(mint()), {}, "there is no private key in it; pass", id="a request"),
        pytest.param(pem(EC_KEY, "pass"), {}, "encrypted and there is no passphrase; pass password=", id="sealed"),
        pytest.param(
            pem(EC_KEY, "pass"), {"password": "wrong"}, "does not decrypt it; check password=", id="wrong passphrase"
        ),
        pytest.param(pem(EC_KEY), {"password": "pass"}, "not encrypted, .*remove", id="needless passphrase"),
        pytest.param(pem(EC_KEY), {"algorithm": "RS256"}, "ES256, not RS256", id="another algorithm"),
        pytest.param(pem(RSA_KEY), {"algorithm": "none"}, "not none", id="no signature at all"),
        pytest.param(pem(RSA_KEY), {"algorithm": "HS256"}, "not HS256", id="a key as a secret"),
        pytest.param(pem(rsa.generate_private_key(65537, 1024)), {}, "2048 bits", id="weak RSA"),  # noqa: S505  # meant
        pytest.param(pem(ec.generate_private_key(ec.SECP256K1())), {}, "secp256k1", id="another curve"),
        pytest.param(pem(x25519.X25519PrivateKey.generate()), {}, "cannot sign a JWT", id="for agreement"),
        pytest.param(pem(dsa.generate_private_key(1024)), {}, "cannot sign a JWT", id="DSA"),  # noqa: S505  # meant
    ],
)
def test_a_key_that_cannot_sign(material: Any, options: dict[str, str], words: str) -> None:
    """Expect the setting and the defect, without the key and without OpenSSL's exception."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_key(material, field="key", **options)
    assert caught.value.field == "key"
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "password", "words"),
    [
        pytest.param(pem(EC_KEY, "pass"), None, "encrypted and there is no passphrase; pass password=", id="sealed"),
        pytest.param(pem(EC_KEY, "pass"), "wrong", "does not decrypt it; check password=", id="wrong passphrase"),
        pytest.param(pem(EC_KEY)[:-30], None, "cut off .*copy the whole file again", id="cut"),
        pytest.param(b"", None, "it is empty", id="empty"),
        pytest.param(pem(x25519.X25519PrivateKey.generate()), None, "cannot sign a JWT; use RSA", id="kind"),
        pytest.param(None, None, "it is a directory; name the file in it", id="directory"),
    ],
)
def test_a_mistake_in_a_file_names_it(content: bytes | None, password: str | None, words: str, tmp_path: Path) -> None:
    """Expect the setting, the file, the defect and the advice."""
    path = tmp_path / "signing.key"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^key: {re.escape(str(path))}: .*{words}") as caught:
        read_key(path, field="key", password=password)
    assert caught.value.field == "key"


def test_what_a_damaged_key_says_is_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect a damaged key in a string not to be quoted like a path."""
    monkeypatch.chdir(tmp_path)
    body = b"".join(pem(EC_KEY).splitlines()[1:-1]).decode()
    for text in (body[1:], body[:-8], f"x{body}"):
        with pytest.raises(ConfigurationError) as caught:
            read_key(text, field="key")
        assert body[10:40] not in str(caught.value)


@pytest.mark.parametrize("form", ["utf-16", "proc-type", "pkcs12", "crlf", "base64", "with its certificate"])
def test_a_key_in_any_format_of_a_certificates(form: str, tmp_path: Path) -> None:
    """Expect every format of a client certificate's key."""
    minted = mint()
    made = {
        "utf-16": lambda: minted.key_pem.decode().encode("utf-16"),
        "proc-type": lambda: openssl("ec", "-in", "@", "-aes128", "-passout", "pass:pass", given=minted.key_pem),
        "pkcs12": lambda: openssl("pkcs12", "-export", "-in", "@", "-passout", "pass:pass", given=minted.pair),
        "crlf": lambda: minted.key_pem.replace(b"\n", b"\r\n"),
        "base64": lambda: b"".join(minted.key_pem.splitlines()[1:-1]),
        "with its certificate": lambda: minted.pair,
    }[form]()
    path = tmp_path / "signing.key"
    path.write_bytes(made)
    password = "pass" if form in ("proc-type", "pkcs12") else None
    expected = read_key(minted.key_pem, field="key").thumbprint
    assert read_key(path, field="key", password=password).thumbprint == expected


def test_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the command that installs the extra."""
    monkeypatch.setitem(sys.modules, "joserfc", None)
    for call in (
        lambda: require_jose("key"),
        lambda: read_key(pem(EC_KEY), field="key"),
        lambda: read_secret("s" * 32, algorithm="HS256"),
        new_key,
    ):
        with pytest.raises(ConfigurationError, match=r'pip install "seic\[jose\]"'):
            call()


def test_a_key_keeps_its_secret() -> None:
    """Expect only the public part in `public`, and nothing in a repr."""
    key = new_key()
    assert set(key.public) == {"kty", "crv", "x", "y"}
    private = key.key.as_dict(private=True)["d"]
    assert private not in repr(key) + str(key.public)


def test_a_thumbprint() -> None:
    """Expect SHA-256 of the JWK's required members in their order (RFC 7638 §3)."""
    key = new_key()
    text = json.dumps({name: key.public[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    expected = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    assert key.thumbprint == expected
