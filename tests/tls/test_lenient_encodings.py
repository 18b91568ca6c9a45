"""Certificates in encodings that OpenSSL takes and stricter parsers refuse, and bundles with damaged parts."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from seic import CertificateError, CertificateWarning, ClientCertificate, Reason, create_ssl_context
from tests._support.pkcs12 import content_of, element, split
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint, openssl, server
from tests._support.tls_servers import TlsServer, call


def _resigned(minted: Minted, change: Callable[[bytes], bytes]) -> bytes:
    """The DER of a certificate whose fields are changed, signed again by its issuer."""
    body, algorithm, _ = split(content_of(minted.der))
    changed = element(0x30, change(content_of(body)))
    signer = (minted.issuer or minted).key
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signature = signer.sign(changed, ec.ECDSA(hashes.SHA256()))
    return element(0x30, changed + algorithm + element(0x03, b"\0" + signature))


def _replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(fields: bytes) -> bytes:
        assert old in fields
        if len(old) == len(new):
            return fields.replace(old, new)
        # The lengths of what encloses it change: only the extensions hold it.
        *others, extensions = split(fields)
        listed = [element(0x30, content_of(one).replace(old, new)) for one in split(content_of(content_of(extensions)))]
        return b"".join(others) + element(0xA3, element(0x30, b"".join(listed)))

    return change


def _printable(text: str) -> tuple[list[x509.NameAttribute[str]], Callable[[bytes], bytes]]:
    encoded = text.encode()
    size = bytes([len(encoded)])
    return (
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, text)],
        _replace(b"\x0c" + size + encoded, b"\x13" + size + encoded),
    )


_USAGE = bytes.fromhex("0603551d25")  # the extended key usage, which is not critical

ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "critical-false": ("svc-user", _replace(_USAGE, _USAGE + b"\x01\x01\x00")),
    "true-as-one": ("svc-user", _replace(bytes.fromhex("0603551d130101ff"), bytes.fromhex("0603551d13010101"))),
    "underscore": ("svc_user", _printable("svc_user")[1]),
    "at": ("svc@example.com", _printable("svc@example.com")[1]),
    "asterisk": ("svc*", _printable("svc*")[1]),
    "ampersand": ("R&D", _printable("R&D")[1]),
    "latin-1": ("svc-usr\u00e9", lambda fields: fields.replace(b"\x0c\x09svc-usr\xc3\xa9", b"\x14\x09svc-usr\xe9\x20")),
    "another-string-type": ("svc-user", _replace(b"\x0c\x08svc-user", b"\x0b\x08svc-user")),
    "another-version": ("svc-user", _replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x63")),
}


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_client_certificate_that_openssl_takes_loads(encoding: str, form: str, root: Minted) -> None:
    """It is presented in a real handshake, unchanged, and its facts are those of the certificate as it was meant."""
    name, change = ENCODINGS[encoding]
    minted = mint(name, issuer=root)
    der = _resigned(minted, change)
    given = der if form == "DER" else ssl.DER_cert_to_PEM_cert(der).encode()

    certificate = ClientCertificate.load(given, key=minted.key_pem)

    assert certificate.leaf.der == der
    assert (certificate.common_name or "").rstrip() == name
    assert certificate.issuer == "CN=Test Root"
    assert (certificate.not_before, certificate.not_after) == (NOW - DAY, NOW + 700 * DAY)
    assert certificate.serial_number.lstrip("0") == f"{minted.certificate.serial_number:X}"
    assert (certificate.key_type, certificate.leaf.is_ca, certificate.leaf.allows_client_auth) == (
        "EC P-256",
        False,
        True,
    )
    with TlsServer(server(root), trusts=root, demand=True) as peer:
        assert call(create_ssl_context(certificate=certificate, ca=root.pem), peer.port).endswith(b"ok")
    assert peer.peers == [der]


def test_an_authority_that_openssl_takes_is_trusted() -> None:
    """An authority whose name has an underscore in a PrintableString signs a server's certificate."""
    attributes, change = _printable("Corp_CA")
    made = mint(subject=attributes, ca=True, number=75)
    ca = Minted(x509.load_der_x509_certificate(made.der), made.key)
    der = _resigned(ca, change)
    host = server(ca)
    with TlsServer(Minted(host.certificate, host.key)) as peer:
        assert call(create_ssl_context(ca=ssl.DER_cert_to_PEM_cert(der)), peer.port).endswith(b"ok")


def test_a_chain_whose_names_differ_in_their_encoding_is_sent(root: Minted) -> None:
    """OpenSSL compares names without case, blanks and string types (RFC 5280 §7.1), and so does the search for it."""
    between = mint("Test Between", issuer=root, ca=True, number=71)
    minted = mint(issuer=between)
    other = _resigned(between, _replace(b"\x0c\x0cTest Between", b"\x13\x0cTEST Between"))

    certificate = ClientCertificate.load(minted.pair + ssl.DER_cert_to_PEM_cert(other).encode())

    assert [link.der for link in certificate.chain] == [other]


@pytest.mark.parametrize("label", ["PKCS7", "DER"])
def test_a_pkcs7_bag_with_such_a_certificate_loads(label: str, root: Minted) -> None:
    """One certificate does not make the whole bag unreadable."""
    minted = mint("svc_user", issuer=root)
    der = _resigned(minted, ENCODINGS["critical-false"][1])
    form = ("-outform", "DER") if label == "DER" else ()
    bag = openssl(
        "crl2pkcs7", "-nocrl", "-certfile", "@", *form, given=ssl.DER_cert_to_PEM_cert(der).encode() + root.pem
    )

    assert ClientCertificate.load(bag, key=minted.key_pem).leaf.der == der


_STORES = {
    "modern": (),
    "AES-128": ("-certpbe", "AES-128-CBC", "-keypbe", "AES-128-CBC"),
    "3DES": ("-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    "2-key 3DES": ("-certpbe", "PBE-SHA1-2DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    "RC2": ("-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-3DES"),
    "certificates in clear": ("-certpbe", "NONE"),
    "all in clear": ("-certpbe", "NONE", "-keypbe", "NONE"),
}


@pytest.mark.parametrize("encoding", ["critical-false", "underscore"])
@pytest.mark.parametrize("form", _STORES)
def test_a_pkcs12_store_with_such_a_certificate_loads(form: str, encoding: str, root: Minted) -> None:
    """Its passphrase is not called wrong for a certificate; one that is wrong or missing still is."""
    name, change = ENCODINGS[encoding]
    minted = mint(name, issuer=root)
    der = _resigned(minted, change)
    pem = ssl.DER_cert_to_PEM_cert(der).encode() + minted.key_pem + root.pem
    how = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}", *_STORES[form])
    made = openssl(*how, given=pem)

    certificate = ClientCertificate.load(made, password=PASSPHRASE)

    assert certificate.leaf.der == der
    assert [link.der for link in certificate.chain] == [root.der]
    for password, reason in ((None, Reason.PASSPHRASE_MISSING), ("wrong", Reason.PASSPHRASE_WRONG)):
        if form == "all in clear":
            continue
        with pytest.raises(CertificateError) as caught:
            ClientCertificate.load(made, password=password)
        assert caught.value.reason == reason


def test_a_store_that_cannot_be_read_in_spite_of_its_passphrase_says_so(root: Minted) -> None:
    """A certificate under RC2 with 40 bits is beyond the ciphers here; the error tells how to convert the file."""
    minted = mint(issuer=root)
    pem = ssl.DER_cert_to_PEM_cert(_resigned(minted, ENCODINGS["critical-false"][1])).encode() + minted.key_pem
    how = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}", "-legacy", "-certpbe", "PBE-SHA1-RC2-40")
    with pytest.raises(CertificateError, match=r"the passphrase is right, but .*openssl pkcs12 -legacy -in") as caught:
        ClientCertificate.load(openssl(*how, given=pem), password=PASSPHRASE)
    assert caught.value.reason == Reason.UNKNOWN_FORMAT


def test_what_follows_a_certificate_in_its_block_is_ignored(client: Minted) -> None:
    """OpenSSL ignores it, too."""
    pem = ssl.DER_cert_to_PEM_cert(client.der + b"\0\0\0").encode()
    assert ClientCertificate.load(pem + client.key_pem).leaf.der == client.der


def _padded(key: bytes) -> bytes:
    # Whole numbers with more zeros than they need.
    first, *numbers = split(content_of(key))
    return element(0x30, first + b"".join(element(0x02, b"\0" + content_of(number)) for number in numbers))


def _of_another_version(key: bytes) -> bytes:
    return element(0x30, b"\x02\x01\x01" + b"".join(split(content_of(key))[1:]))


def _long_scalar(key: bytes) -> bytes:
    version, scalar, *rest = split(content_of(key))
    return element(0x30, version + element(0x04, b"\0\0" + content_of(scalar)) + b"".join(rest))


_KEYS: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "followed by zeros": ("ec", "PKCS8", lambda key: key + b"\0\0"),
    "another version": ("ed25519", "PKCS8", _of_another_version),
    "a long scalar": ("ec", "TraditionalOpenSSL", _long_scalar),
    "padded numbers": ("rsa", "TraditionalOpenSSL", _padded),
}


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("encoding", _KEYS)
def test_a_key_that_openssl_takes_loads(encoding: str, separate: bool, root: Minted) -> None:
    """It signs a real handshake. Another certificate in the file does not match it."""
    kind, form, change = _KEYS[encoding]
    minted = mint(issuer=root, key=kind)
    label = "PRIVATE KEY" if form == "PKCS8" else f"{kind.upper()} PRIVATE KEY"
    lines = base64.encodebytes(change(minted.key_bytes(form, encoding=Encoding.DER)))
    key = b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), lines, label.encode())
    pem = root.pem + minted.pem

    certificate = ClientCertificate.load(pem, key=key) if separate else ClientCertificate.load(pem + key)

    assert certificate.leaf.der == minted.der
    with TlsServer(server(root), trusts=root) as peer:
        assert call(create_ssl_context(certificate=certificate, ca=root.pem), peer.port).endswith(b"ok")
    assert peer.peers == [minted.der]
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(mint(issuer=root, key=kind, number=77).pem, key=key)
    assert caught.value.reason == Reason.UNSUPPORTED_KEY


def _broken(root: Minted) -> bytes:
    # The name remains readable; the version is a string.
    return ssl.DER_cert_to_PEM_cert(root.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x0c\x01\x02")).encode()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda: _broken(authority("Broken", 72)), ["the certificate in line 20 (CN=Broken) is damaged"]),
        (
            lambda: b"-----BEGIN CERTIFICATE-----\n!?\n-----END CERTIFICATE-----\n",
            ["the block 'CERTIFICATE' in line 20 is damaged (not Base64)"],
        ),
        (lambda: authority("Broken", 72).pem[:90] + b"\n", ["the '-----BEGIN …-----' in line 20 has no"]),
        (lambda: _broken(authority("Broken", 72)) * 5, ["in line 20 ", "; and 2 more"]),
    ],
    ids=["certificate", "Base64", "cut off in the middle", "several"],
)
def test_what_cannot_be_read_in_a_bundle_is_left_out_with_a_warning(
    part: Callable[[], bytes], words: list[str], root: Minted, tmp_path: Path
) -> None:
    """The rest is trusted; the warning names what was left out, by its line and its name."""
    path = tmp_path / "ca.pem"
    other = authority("Other Root", 71)
    first = b"\n" * (19 - other.pem.count(b"\n")) + other.pem
    path.write_bytes(first + part() + root.pem)
    with pytest.warns(CertificateWarning) as caught:
        context = create_ssl_context(ca=path)

    (warning,) = (one.message for one in caught)
    assert isinstance(warning, CertificateWarning)
    assert (warning.path, warning.reason) == (str(path), Reason.LEFT_OUT)
    for word in words:
        assert word in str(warning)
    with TlsServer(server(root)) as peer:
        assert call(context, peer.port).endswith(b"ok")


def test_a_bundle_with_nothing_that_can_be_read_is_an_error() -> None:
    """The error is that of the first part."""
    with pytest.raises(CertificateError, match=r"the certificate in line 1 \(CN=Broken\) is damaged") as caught:
        create_ssl_context(ca=_broken(authority("Broken", 72)) * 2)
    assert caught.value.field == "ca"


def test_a_bundle_that_is_cut_off_at_its_end_loses_its_last_part_only(root: Minted) -> None:
    """Like any other part that cannot be read."""
    with pytest.warns(CertificateWarning, match=r"in line \d+ has no '-----END"):
        context = create_ssl_context(ca=root.pem + authority("Other Root", 71).pem[:-40])
    with TlsServer(server(root)) as peer:
        assert call(context, peer.port).endswith(b"ok")


def test_a_time_in_another_form_is_read(root: Minted) -> None:
    """Times without seconds and with a zone are no times of RFC 5280, but OpenSSL takes them."""
    minted = mint(issuer=root)
    begin = NOW - 2 * DAY

    def change(fields: bytes) -> bytes:
        parts = split(fields)
        times = [element(0x17, f"{begin:%y%m%d%H%M}+0130".encode()), *split(content_of(parts[4]))[1:]]
        parts[4] = element(0x30, b"".join(times))
        return b"".join(parts)

    certificate = ClientCertificate.load(_resigned(minted, change), key=minted.key_pem)
    assert certificate.not_before == begin.replace(second=0) - dt.timedelta(minutes=90)
