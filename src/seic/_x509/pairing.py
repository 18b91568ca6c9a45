"""Choosing the client's certificate, its private key and its chain from files that may hold several.

Material that can never work for a client is refused. The dates only decide between pairs of one subject: time passes
without a change of the file, so `ClientCertificate.check` judges them. Import it inside a function: importing
cryptography takes 36 ms.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import stat
from collections.abc import Iterable
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from seic._errors import CertificateError
from seic._model.secret import Unpicklable
from seic._values import frozen
from seic._x509.certificate_fields import find_weaknesses
from seic._x509.certificate_info import CertificateInfo
from seic._x509.credential_files import CredentialFile, CredentialFiles, GetPassphrase
from seic._x509.decode import PUBLIC_KEY, REQUEST, DecodedCertificate, DecodedFile, decode
from seic._x509.encoding import replace_key_algorithm
from seic._x509.memory import is_pair_of_openssl
from seic._x509.private_key import EncryptedKey, TlsKey
from seic._x509.reasons import (
    CertificateWarning,
    Reason,
    certificate_error,
    certificate_warning,
    without_foreign_warnings,
)

#: The most certificates that a warning names.
_MAX_NAMED = 5
# The most certificates that OpenSSL compares with a key.
_MAX_TRIED = 10
# The algorithm RSASSA-PSS, 1.2.840.113549.1.1.10 (RFC 4055 §1.2).
_RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")


@frozen(kw_only=True, repr=False)
class KeyPair(Unpicklable):
    """A certificate with its chain and private key, read at one time.

    Args:
        label: The certificate file's name in errors.
        leaf: The client's own certificate.
        chain: The intermediates, nearest to the leaf first.
        key: PKCS#8 in DER, not encrypted.
        warnings: About the files, not the dates.
        next_from: The time at which another pair of the files will be chosen, since it ends later; None for none.
        unreadable: The errors of keys that could not be read, and so were no choice.
    """

    label: str
    leaf: CertificateInfo
    chain: tuple[CertificateInfo, ...]
    key: bytes
    warnings: tuple[CertificateWarning, ...]
    next_from: dt.datetime | None
    unreadable: tuple[str, ...] = ()


@frozen(kw_only=True, repr=False)
class _Candidate(Unpicklable):
    """A certificate with the key that it was issued for."""

    leaf: DecodedCertificate
    key: bytes
    encrypted: EncryptedKey

    @property
    def may_serve(self) -> bool:
        """Whether it can be a client's certificate, whatever its dates are."""
        return _problem_of(self.leaf) is None


@without_foreign_warnings
def read_key_pair(files: CredentialFiles) -> KeyPair:
    """Read, decrypt and match the files of a client certificate.

    Of several pairs the valid one that ends last is used.

    Raises:
        CertificateError: They cannot be read or decrypted, can never work as a client certificate, or hold pairs of
            several subjects.
    """
    certificate_file, separate_key_file, chain_file = files.resolve()
    key_file = separate_key_file or certificate_file
    get_passphrase = functools.cache(functools.partial(files.passphrase.reveal, key_file.label))
    decoded = _decode(certificate_file, get_passphrase)
    separate = None if separate_key_file is None else _decode(separate_key_file, get_passphrase)
    if not decoded.certificates:
        _refuse_as_certificate(decoded, separate)
    matching, unreadable = _match(decoded, _keys(decoded, separate), get_passphrase)
    chosen = _choose(matching, decoded.label, files.common_name)
    leaf = chosen.leaf
    _check_usage(leaf, decoded.label)
    available = [*decoded.certificates, *(separate.certificates if separate else [])]
    if chain_file is not None:
        available += _decode(chain_file, get_passphrase).certificates
    chain = _chain(leaf, available)
    return KeyPair(
        label=decoded.label,
        leaf=leaf.facts,
        chain=tuple(link.facts for link in chain),
        key=chosen.key,
        warnings=(
            *_warn_of_exposed_key(chosen.encrypted, key_file),
            *_warn_of_several(matching, leaf.facts, unreadable, decoded.label),
            *_warn_of_gap([leaf, *chain], available, decoded.label),
            *_warn_of_self_signed_ca(leaf.facts, decoded.label),
            *_warn_of_weaknesses(leaf, chain, decoded.label),
        ),
        next_from=_next_from(matching, leaf),
        unreadable=tuple(str(error) for error in unreadable),
    )


def _decode(file: CredentialFile, get_passphrase: GetPassphrase) -> DecodedFile:
    return decode(file.read(), file.label, get_passphrase)


def _refuse_as_certificate(decoded: DecodedFile, separate: DecodedFile | None) -> NoReturn:
    if REQUEST in decoded.others:
        reason = Reason.CERTIFICATE_REQUEST
        text = "it is a certificate request (CSR); pass the certificate that the authority issued for it"
    elif decoded.keys:
        reason = Reason.KEY_AS_CERTIFICATE
        swapped = "; certificate and key look swapped" if separate and separate.certificates else ""
        text = (
            f"it holds a private key instead of the certificate{swapped}; pass the certificate first and the key as "
            "key=..."
        )
    elif PUBLIC_KEY in decoded.others:
        reason = Reason.PUBLIC_KEY
        text = "it is a bare public key; pass the certificate that was issued for this key"
    else:
        reason = Reason.NO_CERTIFICATE
        held = f" (it holds: {', '.join(decoded.others)})" if decoded.others else ""
        text = f"there is no certificate in it{held}; pass the client certificate"
    raise certificate_error(reason, decoded.label, text)


def _keys(decoded: DecodedFile, separate: DecodedFile | None) -> list[EncryptedKey]:
    if separate is not None:
        return separate.require_keys()
    if decoded.keys:
        return decoded.keys
    facts = _likely_client(decoded)
    raise certificate_error(
        Reason.NO_KEY,
        decoded.label,
        f"there is a certificate ({facts.summary}) but no private key in it; pass key=... with the key's file",
    )


def _match(
    decoded: DecodedFile, keys: list[EncryptedKey], get_passphrase: GetPassphrase
) -> tuple[list[_Candidate], list[CertificateError]]:
    # By their public keys, so that a file with many of both takes linear time.
    certificates: dict[bytes, list[DecodedCertificate]] = {}
    for certificate in decoded.certificates:
        public = certificate.public_key
        if public is not None:
            certificates.setdefault(_public_bytes(public), []).append(certificate)
    matching: list[_Candidate] = []
    unreadable: list[CertificateError] = []
    for encrypted in keys:
        try:
            key = encrypted.decrypt_for_tls(get_passphrase)
        except CertificateError as error:
            # cryptography is stricter with keys, too. The library that connects decides.
            judged = _match_by_openssl(encrypted, decoded) if error.reason == Reason.UNSUPPORTED_KEY else []
            matching += judged
            if not judged:
                unreadable.append(error)
            continue
        found = certificates.pop(_public_bytes(key.public_key()), [])
        matching += [_Candidate(leaf=one, key=_pkcs8(key, one), encrypted=encrypted) for one in found]
    if matching:
        return matching, unreadable
    if unreadable:
        raise unreadable[0]
    facts = _likely_client(decoded)
    which = "the key in the same file" if keys[0].label == decoded.label else keys[0].label
    raise certificate_error(
        Reason.KEY_MISMATCH,
        decoded.label,
        f"the key does not match the certificate ({facts.summary}); {which} belongs to another one; pass the key "
        "that this certificate was requested with",
    )


def _choose(matching: list[_Candidate], label: str, common_name: str | None) -> _Candidate:
    # A file may keep the old certificate next to its renewal: take a valid one that ends last. Pairs of authorities and
    # servers do not count.
    usable = [one for one in matching if one.may_serve] or matching
    if common_name is not None:
        usable = [one for one in usable if one.leaf.facts.common_name == common_name] or usable
    subjects = dict.fromkeys(one.leaf.fields.subject.folded for one in usable)
    if len(subjects) > 1:
        named = "; ".join(
            dict.fromkeys(f"{one.leaf.facts.subject} (to {one.leaf.facts.not_after:%Y-%m-%d})" for one in usable)
        )
        raise certificate_error(
            Reason.SEVERAL_CERTIFICATES,
            label,
            f"it holds certificates with keys for several subjects ({named}); pass the name of one as common_name=..., "
            "or a file with the pair of one subject",
        )
    return max(usable, key=lambda one: _validity(one.leaf))


def _validity(certificate: DecodedCertificate) -> tuple[bool, dt.datetime]:
    # The greatest is that of a valid certificate that ends last.
    return certificate.facts.is_valid(dt.datetime.now(dt.UTC)), certificate.facts.not_after


def _next_from(matching: list[_Candidate], chosen: DecodedCertificate) -> dt.datetime | None:
    now, name = dt.datetime.now(dt.UTC), chosen.fields.subject.folded
    later = [
        one.leaf.facts
        for one in matching
        if one.may_serve
        and one.leaf.fields.subject.folded == name
        and one.leaf.facts.not_after > chosen.facts.not_after
    ]
    return min((facts.not_before for facts in later if facts.not_before > now), default=None)


def _match_by_openssl(encrypted: EncryptedKey, decoded: DecodedFile) -> list[_Candidate]:
    found = []
    for certificate in decoded.certificates[:_MAX_TRIED]:
        key = encrypted.pkcs8_for(certificate.fields.key_algorithm)
        if key is not None and is_pair_of_openssl(certificate.facts.pem, key):
            found.append(_Candidate(leaf=certificate, key=key, encrypted=encrypted))
    return found


def _pkcs8(key: TlsKey, leaf: DecodedCertificate) -> bytes:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    # cryptography writes an RSA-PSS key as RSA; OpenSSL requires key and certificate to name the same algorithm.
    algorithm = leaf.fields.key_algorithm
    return replace_key_algorithm(der, algorithm) if _RSASSA_PSS in algorithm else der


def _likely_client(decoded: DecodedFile) -> CertificateInfo:
    # If no key matches, errors name the certificate that the user most likely means: the first of no authority.
    facts = next((one.facts for one in decoded.certificates if not one.facts.is_ca), None)
    return facts or _refuse_as_ca(decoded.certificates[0].facts, decoded.label)


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _refuse_as_ca(facts: CertificateInfo, label: str) -> NoReturn:
    raise certificate_error(
        Reason.IS_A_CA,
        label,
        f"it is the certificate of an authority ({facts.summary}), not of a client; pass the client certificate that "
        "it issued; an authority to trust belongs in ca=...",
    )


def _check_usage(leaf: DecodedCertificate, label: str) -> None:
    problem, facts = _problem_of(leaf), leaf.facts
    if problem is None:
        return
    if problem is Reason.IS_A_CA:
        _refuse_as_ca(facts, label)
    text = (
        "its extended key usage lacks clientAuth" if leaf.fields.can_sign else "its key usage does not allow signatures"
    )
    raise certificate_error(
        Reason.NOT_FOR_CLIENTS,
        label,
        f"the certificate is not for clients ({facts.summary}): {text}, so servers refuse it; ask {facts.issuer} "
        "for one with extended key usage clientAuth",
    )


def _problem_of(leaf: DecodedCertificate) -> Reason | None:
    facts, fields = leaf.facts, leaf.fields
    # 'openssl req -x509' marks its certificates as authorities; a self-signed one that may sign works for a client.
    if facts.is_ca and not (facts.is_self_signed and fields.can_sign):
        return Reason.IS_A_CA
    is_for_clients = fields.can_sign and (facts.allows_client_auth or fields.allows_any_use)
    return None if is_for_clients else Reason.NOT_FOR_CLIENTS


def _chain(leaf: DecodedCertificate, available: list[DecodedCertificate]) -> list[DecodedCertificate]:
    # In the order that TLS requires (RFC 8446 §4.4.2), whatever the file's order; unrelated certificates are left out.
    # Each is tried once, by its subject, so that a file with many takes linear time.
    by_subject: dict[object, list[DecodedCertificate]] = {}
    for one in available:
        by_subject.setdefault(one.fields.subject.folded, []).append(one)
    chain: list[DecodedCertificate] = []
    link: DecodedCertificate | None = leaf
    while link is not None and link.fields.subject != link.fields.issuer:
        issuers = filter(link.is_issued_by, by_subject.pop(link.fields.issuer.folded, []))
        link = max(issuers, key=_validity, default=None)
        if link is not None:
            chain.append(link)
    return chain


def _warn_of_exposed_key(encrypted: EncryptedKey, file: CredentialFile) -> Iterable[CertificateWarning]:
    # A Kubernetes volume has mode 0644 by default, and no other user sees it. Windows has no mode bits.
    if file.path is None or os.name != "posix" or file.path.resolve().parent.name[:2] == "..":
        return
    try:
        status = file.path.stat()
    except OSError:  # replaced since it was read; it will be checked when it is read again
        return
    mode = stat.S_IMODE(status.st_mode)
    if _is_open_to_others(mode, status.st_uid) and not encrypted.is_encrypted:
        who = "every user of this machine" if mode & stat.S_IRWXO else "its group"
        text = (
            f"the private key is open to {who} (mode {mode:04o}); run 'chmod 600 {file.label}' (a file of root's may "
            "be 0640, for a service's group)"
        )
        yield certificate_warning(Reason.KEY_EXPOSED, file.label, text)


def _is_open_to_others(mode: int, owner: int) -> bool:
    # PostgreSQL's rule for its keys: a user's file is for that user only; a file of root's may be readable by a group,
    # since an administrator lends a key to a service in that way. ssh, whose keys are personal, allows no group.
    allowed = stat.S_IRWXU | (stat.S_IRGRP if owner == 0 else 0)
    return bool(mode & ~allowed & (stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO))


def _warn_of_several(
    matching: list[_Candidate], chosen: CertificateInfo, unreadable: list[CertificateError], label: str
) -> Iterable[CertificateWarning]:
    others = {one.leaf.facts for one in matching} - {chosen}
    rest = [
        *sorted(facts.summary for facts in others),
        *(f"a key that cannot be read: {error}" for error in unreadable),
    ]
    if rest:
        named = "; ".join(rest[:_MAX_NAMED]) + ("; and more" if len(rest) > _MAX_NAMED else "")
        text = (
            f"it holds {len(others) + 1} certificates with their keys; the valid one that ends last is used "
            f"({chosen.summary}); remove the others ({named})"
        )
        yield certificate_warning(Reason.SEVERAL_CERTIFICATES, label, text)


def _warn_of_gap(
    sent: list[DecodedCertificate], available: list[DecodedCertificate], label: str
) -> Iterable[CertificateWarning]:
    # Servers have their roots, so the last issuer's certificate is usually absent. If the files hold other authorities
    # and none of them continues the chain, an intermediate is missing.
    last, names = sent[-1].facts, {one.facts.subject for one in sent}
    others = dict.fromkeys(one.facts.name for one in available if one.facts.is_ca and one.facts.subject not in names)
    if others and not last.is_self_signed:
        text = (
            f"the certificate ({last.summary}) was issued by {last.issuer}, whose own certificate is missing, though "
            f"there are others ({', '.join(others)}); append the intermediate certificate of that issuer"
        )
        yield certificate_warning(Reason.CHAIN_BROKEN, label, text)


def _warn_of_self_signed_ca(facts: CertificateInfo, label: str) -> Iterable[CertificateWarning]:
    if facts.is_ca:
        text = (
            f"the certificate ({facts.summary}) is self-signed and marked as an authority; it works only with servers "
            "that trust exactly this certificate"
        )
        yield certificate_warning(Reason.IS_A_CA, label, text)


def _warn_of_weaknesses(
    leaf: DecodedCertificate, chain: list[DecodedCertificate], label: str
) -> Iterable[CertificateWarning]:
    for one in (leaf, *chain):
        facts = one.facts
        kind = "certificate" if one is leaf else "intermediate certificate"
        for reason, problem in find_weaknesses(facts, one.fields):
            remedy = f"have {facts.issuer} issue another, or ask the server's operator which authorities it accepts"
            yield certificate_warning(reason, label, f"the {kind} ({facts.summary}): {problem}; {remedy}")
