"""The identity provider that the platform trusts: it signs SAML documents and verifies them.

signxml makes and checks the signatures. Only the signed part of a document is read; the rest may be forged. signxml and
lxml are imported when the first document is signed or read.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from seic.sandbox._certificates import IssuedCertificate

_ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_ISSUER = "https://idp.sandbox.example"

# signxml replaces the placeholder; the schema wants the signature after the issuer (SAML core §2.3.3).
_ASSERTION_TEMPLATE = """\
<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{now}">\
<saml:Issuer>{issuer}</saml:Issuer>\
<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="placeholder"/>\
<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">{email}</saml:NameID>\
<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">\
<saml:SubjectConfirmationData NotOnOrAfter="{end}"/></saml:SubjectConfirmation></saml:Subject>\
<saml:Conditions NotBefore="{start}" NotOnOrAfter="{end}"/>\
<saml:AuthnStatement AuthnInstant="{now}"><saml:AuthnContext><saml:AuthnContextClassRef>\
urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext>\
</saml:AuthnStatement></saml:Assertion>"""
_RESPONSE_TEMPLATE = """\
<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="{id}" Version="2.0" IssueInstant="{now}">\
<samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>{assertion}</samlp:Response>"""


class InvalidSamlDocument(Exception):
    """The document is invalid; the message is a sentence that gives the reason without repeating the document."""


@attrs.frozen(kw_only=True, eq=False)
class IdentityProvider:
    """Signs and reads SAML documents.

    Args:
        certificate: The certificate and key for signatures.
        now: Returns the wall time, in seconds since the epoch.
    """

    certificate: IssuedCertificate
    now: Callable[[], float]

    def assertion(self, email: str, *, lifetime: float) -> bytes:
        """Return a signed assertion that a user has logged in.

        Args:
            email: The user.
            lifetime: Seconds until it expires.
        """
        return _serialize(self._sign(email, lifetime))

    def response(self, email: str, *, lifetime: float) -> bytes:
        """Return a response with such an assertion; only the assertion is signed."""
        parts = {"id": _new_id(), "now": _instant(self.now()), "status": _SUCCESS}
        return _RESPONSE_TEMPLATE.format(assertion=_serialize(self._sign(email, lifetime)).decode(), **parts).encode()

    def _sign(self, email: str, lifetime: float) -> Any:
        from lxml import etree
        from signxml.algorithms import CanonicalizationMethod, SignatureMethod
        from signxml.signer import XMLSigner

        now = self.now()
        parts = {
            "id": _new_id(),
            "issuer": _ISSUER,
            "now": _instant(now),
            "start": _instant(now),
            "end": _instant(now + lifetime),
            "email": "",
        }
        root = etree.fromstring(_ASSERTION_TEMPLATE.format(**parts))
        # Set on the tree and not in the text, so that it is escaped.
        for name in root.iter(f"{_ASSERTION}NameID"):
            name.text = email
        signer = XMLSigner(
            signature_algorithm=SignatureMethod.ECDSA_SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        pem = self.certificate.cert_pem.decode()
        return signer.sign(root, key=self.certificate.key_pem, cert=pem, reference_uri=f"#{parts['id']}")

    def read(self, document: str, *, is_response: bool) -> str:
        """Return the email address of a document's subject.

        Args:
            document: The XML, as Base64.
            is_response: Whether it is a response or an assertion.

        Raises:
            InvalidSamlDocument: It is malformed, not signed by this provider, or not valid now.
        """
        root = _parse(document)
        expected = f"{_PROTOCOL}Response" if is_response else f"{_ASSERTION}Assertion"
        if root.tag != expected:
            raise InvalidSamlDocument(f"The document is not a SAML {'response' if is_response else 'assertion'}.")
        if len(list(root.iter(f"{_ASSERTION}Assertion"))) != 1:
            raise InvalidSamlDocument("The document must have exactly one assertion.")
        signed = self._verify(root)
        if is_response and _status(root if signed.tag != expected else signed) != _SUCCESS:
            raise InvalidSamlDocument("The response reports a failed login.")
        assertion = signed if signed.tag == f"{_ASSERTION}Assertion" else signed.find(f"{_ASSERTION}Assertion")
        if assertion is None:
            raise InvalidSamlDocument("The signature covers no assertion.")
        if _text(assertion.find(f"{_ASSERTION}Issuer")) != _ISSUER:
            raise InvalidSamlDocument("The assertion's issuer is unknown.")
        self._check_time(assertion)
        return _text(assertion.find(f"{_ASSERTION}Subject/{_ASSERTION}NameID"))

    def _verify(self, root: Any) -> Any:
        from lxml import etree
        from signxml.algorithms import DigestAlgorithm, SignatureMethod
        from signxml.exceptions import SignXMLException
        from signxml.verifier import SignatureConfiguration, XMLVerifier

        config = SignatureConfiguration(
            signature_methods=frozenset({SignatureMethod.ECDSA_SHA256}),
            digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
        )
        try:
            result = XMLVerifier().verify(
                root, x509_cert=self.certificate.cert_pem.decode(), expect_config=config, id_attribute="ID"
            )
        except (SignXMLException, etree.LxmlError, ValueError):
            # The cause may repeat the document.
            raise InvalidSamlDocument("The document's signature is missing or invalid.") from None
        signed = None if isinstance(result, list) else result.signed_xml
        if signed is None:
            raise InvalidSamlDocument("The signature covers no element.")
        return signed

    def _check_time(self, assertion: Any) -> None:
        conditions = assertion.find(f"{_ASSERTION}Conditions")
        if conditions is None or "NotOnOrAfter" not in conditions.attrib:
            raise InvalidSamlDocument("The assertion has no NotOnOrAfter.")
        bounded = [conditions, *assertion.iter(f"{_ASSERTION}SubjectConfirmationData")]
        now = self.now()
        if any(now < _seconds(each.get("NotBefore", "")) for each in bounded if "NotBefore" in each.attrib):
            raise InvalidSamlDocument("The assertion is not valid yet.")
        if any(now >= _seconds(each.get("NotOnOrAfter", "")) for each in bounded if "NotOnOrAfter" in each.attrib):
            raise InvalidSamlDocument("The assertion has expired.")


def _parse(document: str) -> Any:
    from lxml import etree

    try:
        xml = base64.b64decode(document, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSamlDocument("The document is not Base64.") from None
    try:
        root = etree.fromstring(xml, _parser())
    except (etree.XMLSyntaxError, ValueError):
        raise InvalidSamlDocument("The document is not XML.") from None
    if root.getroottree().docinfo.doctype:
        # Entities of a document type can read files and expand without limit.
        raise InvalidSamlDocument("The document has a document type declaration.")
    return root


@functools.cache
def _parser() -> Any:
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def _status(response: Any) -> str | None:
    code = response.find(f"{_PROTOCOL}Status/{_PROTOCOL}StatusCode")
    return None if code is None else code.get("Value")


def _text(element: Any) -> str:
    # A comment inside the element must not cut its text short.
    return "" if element is None else "".join(element.itertext()).strip()


def _serialize(element: Any) -> bytes:
    from lxml import etree

    serialized: bytes = etree.tostring(element)
    return serialized


def _new_id() -> str:
    return f"_{uuid.uuid4().hex}"


def _instant(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(instant: str) -> float:
    try:
        moment = dt.datetime.fromisoformat(instant.strip())
    except ValueError:
        raise InvalidSamlDocument("A time of the assertion is malformed.") from None
    # SAML core §1.3.3: times are in UTC, with or without a suffix.
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
