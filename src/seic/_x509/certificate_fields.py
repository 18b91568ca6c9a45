"""The fields of an X.509 certificate (RFC 5280 §4.1), read as leniently as OpenSSL does.

cryptography refuses encodings that OpenSSL takes, such as `critical FALSE` or an underscore in a PrintableString. No
signature is checked here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from seic._values import frozen
from seic._x509.certificate_info import CertificateInfo
from seic._x509.encoding import Element, read_der
from seic._x509.reasons import Reason

_VERSION, _EXTENSIONS = 0xA0, 0xA3
_BOOLEAN, _UTC_TIME, _KEY_ID = 0x01, 0x17, 0x80
# Signatures with MD5 and SHA-1: of RSA, ECDSA and DSA.
_WEAK_SIGNATURES = {"1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.2.840.10040.4.3"}
# The policies of the CA/Browser Forum for TLS, which mark certificates of public authorities; those for e-mail and code
# have others, and keep clientAuth.
_PUBLIC_POLICY = r"2\.23\.140\.1\.(1|2(\.\d+)*)"
# Bits below which OpenSSL refuses a key at its usual security level 2.
_LEAST_BITS = {"RSA": 2048, "EC": 224}
# Decoders of the string types (X.690 §8.23) other than ASCII and Latin-1.
_ENCODINGS = {0x0C: "utf-8", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
# Seconds, their fraction and a time zone are optional in ASN.1, though not in certificates (RFC 5280 §4.1.2.5).
_TIME = r"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:[.,]\d*)?(?:Z|([+-])(\d{2})(\d{2}))?"
# UTCTime: from here on a year is of the last century (RFC 5280 §4.1.2.5.1).
_LAST_CENTURY = 50
_COMMON_NAME = "2.5.4.3"
# RFC 4514 §3.
_SHORT_NAMES = {
    _COMMON_NAME: "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}
_SPECIAL = r'(^[ #]|[,+"\\<>;=]| $)'

# The extensions that are read, and two extended key usages (RFC 5280 §4.2.1).
_SUBJECT_KEY_ID, _KEY_USAGE, _BASIC_CONSTRAINTS = "2.5.29.14", "2.5.29.15", "2.5.29.19"
_AUTHORITY_KEY_ID, _EXTENDED_KEY_USAGE = "2.5.29.35", "2.5.29.37"
_POLICIES = "2.5.29.32"
_CLIENT_AUTH, _ANY_USE = "1.3.6.1.5.5.7.3.2", "2.5.29.37.0"
_DIGITAL_SIGNATURE, _KEY_AGREEMENT = 0x80, 0x08


@frozen
class Name:
    """A distinguished name.

    Args:
        text: In the form of RFC 4514.
        common_name: The most specific CN, which is the last (X.501 §8.3); None without one.
        folded: Equal for names that are equal in spite of case, blanks and string types (RFC 5280 §7.1).
    """

    text: str
    common_name: str | None
    folded: tuple[tuple[tuple[str, str], ...], ...]


@frozen(kw_only=True)
class CertificateFields:
    """The fields of a certificate that are needed here.

    Args:
        der: The certificate, without data after it.
        serial_number: May be negative.
        issuer: The name of the authority that signed it.
        subject: The name of its holder.
        not_before: UTC.
        not_after: UTC.
        public_key: SubjectPublicKeyInfo.
        key_algorithm: Its AlgorithmIdentifier, with the parameters.
        is_ca: Whether the basic constraints mark an authority; without them, or with damaged ones, it is none.
        can_sign: Whether the key usage allows signatures or key agreement, or is absent.
        allows_client_auth: Whether the extended key usage names clientAuth, or is absent or damaged.
        allows_any_use: Whether the extended key usage names anyExtendedKeyUsage.
        key_id: The identifier of its key; None without one.
        issuer_key_id: The identifier of the key that signed it; None without one.
        signature_algorithm: The object identifier of its signature.
        policies: The object identifiers of its certificate policies (RFC 5280 §4.2.1.4).
    """

    der: bytes
    serial_number: int
    issuer: Name
    subject: Name
    not_before: dt.datetime
    not_after: dt.datetime
    public_key: bytes
    key_algorithm: bytes
    is_ca: bool
    can_sign: bool
    allows_client_auth: bool
    allows_any_use: bool
    key_id: bytes | None
    issuer_key_id: bytes | None
    signature_algorithm: str
    policies: frozenset[str]

    def may_be_issued_by(self, issuer: CertificateFields) -> bool:
        """Return whether `issuer` has the name, and the key identifier if both have one, of this one's issuer."""
        if self.issuer.folded != issuer.subject.folded:
            return False
        return self.issuer_key_id is None or issuer.key_id in {None, self.issuer_key_id}


def find_weaknesses(facts: CertificateInfo, fields: CertificateFields) -> Iterator[tuple[Reason, str]]:
    """Yield what will make a client's certificate, or an intermediate, useless before its end."""
    kind, _, size = facts.key_type.partition(" ")
    bits = re.search(r"\d+", size)
    if bits is not None and int(bits[0]) < _LEAST_BITS.get(kind, 0):
        yield Reason.WEAK_KEY, f"it has a short key ({facts.key_type}), which more and more systems refuse"
    # Nobody checks the signature of a certificate that is trusted itself.
    if fields.signature_algorithm in _WEAK_SIGNATURES and not facts.is_self_signed:
        yield Reason.WEAK_SIGNATURE, "its signature uses MD5 or SHA-1, which more and more systems refuse"
    if not facts.is_ca and any(re.fullmatch(_PUBLIC_POLICY, one) for one in fields.policies):
        text = "it comes from a public authority, and these end certificates for clients in 2026 and 2027"
        yield Reason.PUBLIC_ISSUER, f"{text}, so that its renewal may lack clientAuth"


def read_fields(der: bytes) -> CertificateFields:
    """Return the fields of a certificate.

    Raises:
        ValueError: It is not a certificate, or the fields cannot be found.
    """
    certificate = read_der(der)
    try:
        body = certificate.parts[0].parts
        fields = body[1:] if body[0].tag == _VERSION else body
        serial, signature, issuer, validity, subject, key = fields[:6]
        issuer_name = _name(issuer)
        begin, end = validity.parts[:2]
        listed = next((field.parts[0].parts for field in fields[6:] if field.tag == _EXTENSIONS), ())
        # An extension has its type first and its value last; between them may be whether it is critical.
        extensions = {extension.parts[0].oid: extension.parts[-1].parts for extension in listed}
        constraints = _members(extensions, _BASIC_CONSTRAINTS)
        key_usage = [part.content[1:2] for part in extensions.get(_KEY_USAGE, ())[:1]]
        usages = {usage.oid for usage in _members(extensions, _EXTENDED_KEY_USAGE)}
        return CertificateFields(
            der=certificate.whole,
            serial_number=int.from_bytes(serial.content, "big", signed=True),
            issuer=issuer_name,
            # Most of a bundle's certificates are their own issuers.
            subject=issuer_name if subject.whole == issuer.whole else _name(subject),
            not_before=_time(begin),
            not_after=_time(end),
            public_key=key.whole,
            key_algorithm=key.parts[0].whole,
            is_ca=bool(constraints) and constraints[0].tag == _BOOLEAN and any(constraints[0].content),
            can_sign=not any(key_usage) or bool(key_usage[0][0] & (_DIGITAL_SIGNATURE | _KEY_AGREEMENT)),
            allows_client_auth=not usages or _CLIENT_AUTH in usages,
            allows_any_use=_ANY_USE in usages,
            key_id=next((part.content for part in extensions.get(_SUBJECT_KEY_ID, ())), None),
            issuer_key_id=next(
                (part.content for part in _members(extensions, _AUTHORITY_KEY_ID) if part.tag == _KEY_ID), None
            ),
            signature_algorithm=signature.parts[0].oid,
            policies=frozenset(part.parts[0].oid for part in _members(extensions, _POLICIES) if part.parts),
        )
    except (IndexError, OverflowError):
        raise ValueError("a field is missing") from None


def certificate_info(fields: CertificateFields, *, key_type: str, is_self_signed: bool) -> CertificateInfo:
    """Return the public facts of a certificate; the two arguments are not among its fields."""
    serial_number = f"{fields.serial_number:X}"
    return CertificateInfo(
        der=fields.der,
        subject=fields.subject.text,
        common_name=fields.subject.common_name,
        issuer=fields.issuer.text,
        serial_number=serial_number.zfill(len(serial_number) + len(serial_number) % 2),
        not_before=fields.not_before,
        not_after=fields.not_after,
        key_type=key_type,
        is_ca=fields.is_ca,
        is_self_signed=is_self_signed,
        allows_client_auth=fields.allows_client_auth,
    )


def _members(extensions: dict[str, tuple[Element, ...]], kind: str) -> tuple[Element, ...]:
    # Of an extension that is a SEQUENCE; none if it is absent or damaged.
    return next((value.parts for value in extensions.get(kind, ())), ())


def _name(name: Element) -> Name:
    # Relative names, the most general first, each of one or more types with their values.
    parts = [[_pair(attribute) for attribute in part.parts] for part in name.parts]
    common_names = [value for part in parts for kind, value in part if kind == _COMMON_NAME]
    return Name(
        text=",".join(
            "+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escape(value)}" for kind, value in part)
            for part in reversed(parts)
        ),
        common_name=common_names[-1] if common_names else None,
        folded=tuple(
            tuple(sorted((kind, " ".join(value.casefold().split())) for kind, value in part)) for part in parts
        ),
    )


def _pair(attribute: Element) -> tuple[str, str]:
    kind, value = attribute.parts
    return kind.oid, value.content.decode(_ENCODINGS.get(value.tag, "latin-1"), "replace")


def _time(value: Element) -> dt.datetime:
    match = re.fullmatch(_TIME, value.content.decode("latin-1"))
    if match is None or (len(match[1]) == 2) != (value.tag == _UTC_TIME):
        raise ValueError("a time is malformed")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if value.tag == _UTC_TIME:
        year += 1900 if year >= _LAST_CENTURY else 2000
    offset = dt.timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    zone = dt.timezone(-offset if match[7] == "-" else offset)
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(dt.UTC)


def _escape(value: str) -> str:
    return re.sub(_SPECIAL, r"\\\1", value).replace("\0", "\\00")
