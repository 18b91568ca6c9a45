"""From files to one pair that can work: which certificate is ours, its key, its chain; what never can is refused.

Dates are looked at only to choose between certificates of one key: time passes without the file changing, see
`checks`. Imports cryptography: import it inside a function.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import stat
from typing import NoReturn

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID

from seic._model.secrecy import Unpicklable
from seic._tls.credential_files import CredentialFile, CredentialFiles, GetPassphrase
from seic._tls.decode import PUBLIC_KEY, REQUEST, Contents, EncryptedKey, TlsKey, parse
from seic._tls.der import key_algorithm, with_algorithm
from seic._tls.facts import CertificateFacts
from seic._tls.keys import keys_of
from seic._tls.reading import UNPARSABLE, extension, facts_of, is_issued_by
from seic._tls.reasons import CertificateWarning, Reason, certificate_error, certificate_warning

_CLIENT_USAGES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


@attrs.frozen(kw_only=True, repr=False)
class KeyPair(Unpicklable):
    """What was read, once and as a whole; `key` is PKCS#8 without encryption, `warnings` what deserves a warning."""

    label: str
    leaf: CertificateFacts
    chain: tuple[CertificateFacts, ...]
    key: bytes
    warnings: tuple[CertificateWarning, ...]


def read_key_pair(files: CredentialFiles) -> KeyPair:
    """Read, open and match.

    Raises:
        CertificateError: The files cannot be read or opened, or what they hold can never work as a client certificate.
    """
    certificate_source, key_source, chain_source = files.sources()
    sealed_label = (key_source or certificate_source).label
    reveal = functools.cache(functools.partial(files.passphrase.reveal, sealed_label))
    contents = parse(certificate_source.read(), certificate_source.label, reveal)
    apart = parse(key_source.read(), key_source.label, reveal) if key_source is not None else None
    if not contents.certificates:
        _refuse_as_certificate(contents, apart)
    keys = _keys(contents, apart)
    ours, sealed, key = _match(contents, keys, reveal)
    leaf = _choose(ours)
    facts = facts_of(leaf)
    _check_usage(leaf, facts, contents.label)
    pool = [*contents.certificates, *(apart.certificates if apart else [])]
    if chain_source is not None:
        pool += parse(chain_source.read(), chain_source.label, reveal).certificates
    chain = _chain(leaf, pool)
    warnings = [
        *_exposed(sealed, key_source or certificate_source),
        *_several(ours, facts, contents.label),
        *_broken([facts, *map(facts_of, chain)], pool, contents.label),
        *_self_signed_ca(facts, contents.label),
    ]
    return KeyPair(
        label=contents.label,
        leaf=facts,
        chain=tuple(facts_of(link) for link in chain),
        key=_pkcs8(key, leaf),
        warnings=tuple(warnings),
    )


def _refuse_as_certificate(contents: Contents, apart: Contents | None) -> NoReturn:
    label = contents.label
    if REQUEST in contents.others:
        raise certificate_error(
            Reason.CERTIFICATE_REQUEST,
            label,
            "it is a certificate request (CSR); pass the certificate that the authority returned for it",
        )
    if contents.keys:
        swapped = "; certificate and key look swapped" if apart and apart.certificates else ""
        raise certificate_error(
            Reason.KEY_AS_CERTIFICATE,
            label,
            f"it holds a private key where the certificate belongs{swapped}; pass the certificate first and the key as "
            "key=…",
        )
    if PUBLIC_KEY in contents.others:
        raise certificate_error(
            Reason.PUBLIC_KEY, label, "it is a bare public key; pass the certificate that was issued for this key"
        )
    held = f" (it holds: {', '.join(contents.others)})" if contents.others else ""
    raise certificate_error(
        Reason.NO_CERTIFICATE, label, f"there is no certificate in it{held}; pass the client certificate"
    )


def _keys(contents: Contents, apart: Contents | None) -> list[EncryptedKey]:
    if apart is None:
        if contents.keys:
            return contents.keys
        facts = _likely(contents)
        if facts.is_ca:
            _refuse_as_ca(facts, contents.label)
        raise certificate_error(
            Reason.NO_KEY,
            contents.label,
            f"there is a certificate ({facts.inline}) but no private key in it; pass key=… with the key's file",
        )
    return keys_of(apart)


def _match(
    contents: Contents, keys: list[EncryptedKey], reveal: GetPassphrase
) -> tuple[list[x509.Certificate], EncryptedKey, TlsKey]:
    for sealed in keys:
        key = sealed.open(reveal)
        ours = [certificate for certificate in contents.certificates if _fits(certificate, key)]
        if ours:
            return ours, sealed, key
    facts = _likely(contents)
    if facts.is_ca:
        _refuse_as_ca(facts, contents.label)
    whose = "the key in the same file" if keys[0].label == contents.label else keys[0].label
    raise certificate_error(
        Reason.KEY_MISMATCH,
        contents.label,
        f"the key does not match the certificate ({facts.inline}); {whose} belongs to another one; pass the key "
        "that this certificate was requested with",
    )


def _choose(ours: list[x509.Certificate]) -> x509.Certificate:
    # A file may keep the old certificate beside its renewal for the same key: one that is valid, for as long as can be.
    now = dt.datetime.now(dt.UTC)

    def merit(one: x509.Certificate) -> tuple[bool, dt.datetime]:
        return one.not_valid_before_utc <= now < one.not_valid_after_utc, one.not_valid_after_utc

    return max(ours, key=merit)


def _pkcs8(key: TlsKey, leaf: x509.Certificate) -> bytes:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    # cryptography takes RSA-PSS for RSA; OpenSSL wants key and certificate under the same name, which is the leaf's.
    is_pss = leaf.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
    return with_algorithm(der, key_algorithm(leaf.public_bytes(Encoding.DER))) if is_pss else der


def _likely(contents: Contents) -> CertificateFacts:
    # Without a key that fits, the one that the user most likely means: the first that is no authority's.
    everyone = [facts_of(certificate) for certificate in contents.certificates]
    return next((facts for facts in everyone if not facts.is_ca), everyone[0])


def _fits(certificate: x509.Certificate, key: TlsKey) -> bool:
    try:
        theirs = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UNPARSABLE:  # a kind of key that nobody could sign with here
        return False
    return theirs == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _refuse_as_ca(facts: CertificateFacts, label: str) -> NoReturn:
    raise certificate_error(
        Reason.IS_A_CA,
        label,
        f"it is the certificate of an authority ({facts.inline}), not of a client; pass the client certificate that it "
        "issued; an authority to trust belongs in ca=…",
    )


def _check_usage(leaf: x509.Certificate, facts: CertificateFacts, label: str) -> None:
    usage = extension(leaf, x509.KeyUsage)
    signs = usage is None or usage.digital_signature or usage.key_agreement
    # 'openssl req -x509' marks what it makes as an authority; self-signed and free to sign, it works as a client's.
    if facts.is_ca and not (facts.is_self_signed and signs):
        _refuse_as_ca(facts, label)
    extended = extension(leaf, x509.ExtendedKeyUsage)
    if signs and (extended is None or not _CLIENT_USAGES.isdisjoint(extended)):
        return
    wrong = "its key usage does not allow signatures" if not signs else "its extended key usage lacks clientAuth"
    raise certificate_error(
        Reason.NOT_FOR_CLIENTS,
        label,
        f"the certificate is not made for clients ({facts.inline}): {wrong}, so servers refuse it; ask {facts.issuer} "
        "for one with extended key usage clientAuth",
    )


def _chain(leaf: x509.Certificate, pool: list[x509.Certificate]) -> list[x509.Certificate]:
    # In the order that TLS wants (RFC 8446 §4.4.2), whatever the file's; what does not belong is left out.
    chain: list[x509.Certificate] = []
    link = leaf
    while link.subject != link.issuer:
        issuers = (found for found in pool if found.subject == link.issuer and found not in chain)
        above = next((found for found in issuers if is_issued_by(link, found)), None)
        if above is None:
            break
        chain.append(above)
        link = above
    return chain


def _exposed(sealed: EncryptedKey, source: CredentialFile) -> list[CertificateWarning]:
    # A Kubernetes volume is 0644 by default and nobody else's: no warning there. Windows has no such bits.
    if sealed.is_guarded or source.path is None or os.name != "posix" or source.path.resolve().parent.name[:2] == "..":
        return []
    try:
        status = source.path.stat()
    except OSError:  # replaced since it was read; the next look sees the new one
        return []
    mode = stat.S_IMODE(status.st_mode)
    if not is_open_to_others(mode, status.st_uid):
        return []
    who = "every user of this machine" if mode & stat.S_IRWXO else "its group"
    text = (
        f"the private key is open to {who} (mode {mode:04o}); run 'chmod 600 {source.label}' (root's own may be 0640, "
        "for a service's group)"
    )
    return [certificate_warning(Reason.KEY_EXPOSED, source.label, text)]


def is_open_to_others(mode: int, owner: int) -> bool:
    """Whether a key's file can be used by more users than it should.

    As PostgreSQL has it, for the server's key and the client's: a user's own file is for that user alone; one of root's
    may be read by a group, since that is how an administrator lends one key to a service. ssh refuses a group always,
    for its keys are people's; curl never looks.

    Args:
        mode: The permission bits.
        owner: The id of the file's user; 0 is root.
    """
    allowed = stat.S_IRWXU | (stat.S_IRGRP if owner == 0 else 0)
    return bool(mode & ~allowed & (stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO))


def _several(ours: list[x509.Certificate], facts: CertificateFacts, label: str) -> list[CertificateWarning]:
    others = {found.der: found for found in map(facts_of, ours) if found != facts}
    if not others:
        return []
    text = (
        f"it holds {len(others) + 1} certificates for the same key; the one that is valid and ends last is used "
        f"({facts.inline}); take the others out ({'; '.join(found.inline for found in others.values())})"
    )
    return [certificate_warning(Reason.SEVERAL_CERTIFICATES, label, text)]


def _broken(presented: list[CertificateFacts], pool: list[x509.Certificate], label: str) -> list[CertificateWarning]:
    # That the top's issuer is not at hand is usual: servers know their roots. That other authorities are at hand, and
    # none of them leads on from there, tells of a gap.
    top, names = presented[-1], {facts.subject for facts in presented}
    others = {facts.name: None for facts in map(facts_of, pool) if facts.is_ca and facts.subject not in names}
    if top.is_self_signed or not others:
        return []
    text = (
        f"the certificate ({top.inline}) was issued by {top.issuer}, whose own certificate is missing, though there "
        f"are others ({', '.join(others)}); append the intermediate certificate of that issuer"
    )
    return [certificate_warning(Reason.CHAIN_BROKEN, label, text)]


def _self_signed_ca(facts: CertificateFacts, label: str) -> list[CertificateWarning]:
    if not facts.is_ca:
        return []
    text = (
        f"the certificate ({facts.inline}) signed itself and says that it is an authority; it works only where the "
        "server trusts exactly this certificate"
    )
    return [certificate_warning(Reason.IS_A_CA, label, text)]
