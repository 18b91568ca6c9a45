"""The fields of an X.509 certificate (RFC 5280 §4.1), read as leniently as OpenSSL does.

cryptography refuses encodings that OpenSSL takes, such as `critical FALSE` or an underscore in a PrintableString. No
signature is checked here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

import attrs

from seic._tls.encoding import Element, dotted, element_at, elements

_VERSION, _EXTENSIONS = 0xA0, 0xA3
_BOOLEAN, _UTC_TIME = 0x01, 0x17
# Decoders of the string types (X.690 §8.23) other than ASCII and Latin-1.
_ENCODINGS = {0x0C: "utf-8", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
# Seconds, their fraction and a time zone are optional in ASN.1, though not in certificates (RFC 5280 §4.1.2.5).
_TIME = re.compile(r"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:[.,]\d*)?(?:Z|([+-])(\d{2})(\d{2}))?")
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
_SPECIAL = re.compile(r'(^[ #]|[,+"\\<>;=]| $)')

# The extensions that are read, and two extended key usages (RFC 5280 §4.2.1).
_SUBJECT_KEY_ID, _KEY_USAGE, _BASIC_CONSTRAINTS = "2.5.29.14", "2.5.29.15", "2.5.29.19"
_AUTHORITY_KEY_ID, _EXTENDED_KEY_USAGE = "2.5.29.35", "2.5.29.37"
_CLIENT_AUTH, _ANY_USE = "1.3.6.1.5.5.7.3.2", "2.5.29.37.0"
_DIGITAL_SIGNATURE, _KEY_AGREEMENT = 0x80, 0x08


@attrs.frozen
class Name:
    """A distinguished name: types as dotted numbers with their values, by relative name, the most general first."""

    parts: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def common_name(self) -> str | None:
        """The most specific CN, which is the last (X.501 §8.3); None without one."""
        return next((value for part in reversed(self.parts) for kind, value in part if kind == _COMMON_NAME), None)

    @property
    def text(self) -> str:
        """The form of RFC 4514."""
        return ",".join(
            "+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escape(value)}" for kind, value in part)
            for part in reversed(self.parts)
        )

    @property
    def folded(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """Equal for names that are equal in spite of case, blanks and string types (RFC 5280 §7.1)."""
        return tuple(
            tuple(sorted((kind, " ".join(value.casefold().split())) for kind, value in part)) for part in self.parts
        )


@attrs.frozen(kw_only=True)
class CertificateFields:
    """The fields of a certificate that are needed here; the extensions are read on access."""

    serial_number: int
    issuer: Name
    subject: Name
    not_before: dt.datetime
    not_after: dt.datetime
    public_key: bytes
    _extensions: Mapping[str, bytes] = attrs.field(alias="extensions")

    @property
    def is_ca(self) -> bool:
        """Whether the basic constraints mark an authority; without them, or with damaged ones, it is none."""
        constraints = self._extension(_BASIC_CONSTRAINTS)
        return bool(constraints) and constraints[0].tag == _BOOLEAN and any(constraints[0].content)

    @property
    def can_sign(self) -> bool:
        """Whether the key usage allows signatures or key agreement, or is absent."""
        bits = self._extensions.get(_KEY_USAGE)
        if bits is None:
            return True
        try:
            flags = element_at(bits).content[1:2]
        except (ValueError, IndexError):
            return True
        return not flags or bool(flags[0] & (_DIGITAL_SIGNATURE | _KEY_AGREEMENT))

    @property
    def usages(self) -> frozenset[str] | None:
        """The extended key usages, as dotted numbers; None if the extension is absent or damaged."""
        usages = self._extension(_EXTENDED_KEY_USAGE)
        try:
            return frozenset(dotted(usage.content) for usage in usages) or None
        except ValueError:
            return None

    @property
    def allows_client_auth(self) -> bool:
        """Whether the extended key usage names clientAuth, or is absent."""
        return self.usages is None or _CLIENT_AUTH in self.usages

    @property
    def allows_any_use(self) -> bool:
        """Whether the extended key usage names anyExtendedKeyUsage."""
        return self.usages is not None and _ANY_USE in self.usages

    def may_be_issued_by(self, issuer: CertificateFields) -> bool:
        """Return whether `issuer` has the name, and the key identifier if both have one, of this one's issuer."""
        if self.issuer != issuer.subject and self.issuer.folded != issuer.subject.folded:
            return False
        named = next((part.content for part in self._extension(_AUTHORITY_KEY_ID) if part.tag == 0x80), None)
        own = self._key_id(issuer)
        return named is None or own is None or named == own

    @staticmethod
    def _key_id(issuer: CertificateFields) -> bytes | None:
        value = issuer._extensions.get(_SUBJECT_KEY_ID)
        try:
            return None if value is None else element_at(value).content
        except (ValueError, IndexError):
            return None

    def _extension(self, kind: str) -> list[Element]:
        # The members of an extension that is a SEQUENCE.
        try:
            return elements(element_at(self._extensions[kind]).content)
        except (KeyError, ValueError, IndexError):
            return []


def read_fields(der: bytes) -> CertificateFields:
    """Return the fields of a certificate.

    Raises:
        ValueError: It is not a certificate, or the fields cannot be found.
    """
    try:
        body = elements(element_at(element_at(der).content).content)
        fields = body[1:] if body[0].tag == _VERSION else body
        serial, _, issuer, validity, subject, key = fields[:6]
        name = _name(issuer)
        begin, end = elements(validity.content)[:2]
        listed = next((field.content for field in fields[6:] if field.tag == _EXTENSIONS), None)
        return CertificateFields(
            serial_number=int.from_bytes(serial.content, "big", signed=True),
            issuer=name,
            # Most of a bundle's certificates are their own issuers.
            subject=name if subject.whole == issuer.whole else _name(subject),
            not_before=_time(begin),
            not_after=_time(end),
            public_key=key.whole,
            extensions={} if listed is None else dict(map(_extension, elements(element_at(listed).content))),
        )
    except (IndexError, OverflowError):
        raise ValueError("a field is missing") from None


def _name(name: Element) -> Name:
    return Name(
        tuple(
            tuple((dotted(kind.content), _text(value)) for kind, value in map(_pair, elements(part.content)))
            for part in elements(name.content)
        )
    )


def _pair(attribute: Element) -> tuple[Element, Element]:
    kind, value = elements(attribute.content)
    return kind, value


def _text(value: Element) -> str:
    return value.content.decode(_ENCODINGS.get(value.tag, "latin-1"), "replace")


def _extension(extension: Element) -> tuple[str, bytes]:
    # The OID first, the value last, and between them perhaps whether it is critical.
    parts = elements(extension.content)
    return dotted(parts[0].content), parts[-1].content


def _time(value: Element) -> dt.datetime:
    match = _TIME.fullmatch(value.content.decode("latin-1"))
    if match is None or (len(match[1]) == 2) != (value.tag == _UTC_TIME):
        raise ValueError("a time is malformed")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if value.tag == _UTC_TIME:
        year += 1900 if year >= _LAST_CENTURY else 2000
    offset = dt.timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    zone = dt.timezone(-offset if match[7] == "-" else offset)
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(dt.UTC)


def _escape(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value).replace("\0", "\\00")
