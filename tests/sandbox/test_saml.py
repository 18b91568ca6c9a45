from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest

from seic.sandbox import CertificateAuthority, ManualClock
from seic.sandbox._dialects.platform_saml import IdentityProvider, InvalidSamlDocument
from seic.sandbox._token_registry import TokenRegistry

EMAIL = "person@example.com"
SIGNATURE = re.compile(rb"<ds:Signature .*</ds:Signature>", re.DOTALL)


def provider(clock: ManualClock) -> IdentityProvider:
    """An identity provider with a key of its own."""
    registry = TokenRegistry(clock=clock, active_lifetime=3600, idle_lifetime=1800)
    return IdentityProvider(certificate=CertificateAuthority().issue("idp"), registry=registry)


@pytest.fixture
def idp(clock: ManualClock) -> IdentityProvider:
    """The identity provider."""
    return provider(clock)


def read(idp: IdentityProvider, document: bytes, *, is_response: bool = False) -> str:
    """Read a document as it comes in a form."""
    return idp.read(base64.b64encode(document).decode(), is_response=is_response)


@pytest.mark.parametrize("email", [EMAIL, "o'neil&sons@example.com", "<a>@example.com", "zoë@example.com"])
def test_own_documents_are_read(email: str, idp: IdentityProvider) -> None:
    """Either kind names the person, whatever XML makes of the name."""
    assert read(idp, idp.assertion(email, lifetime=60)) == email
    assert read(idp, idp.response(email, lifetime=60), is_response=True) == email


def test_kinds_are_told_apart(idp: IdentityProvider) -> None:
    """An assertion is no response, and the other way round."""
    with pytest.raises(InvalidSamlDocument, match="no SAML response"):
        read(idp, idp.assertion(EMAIL, lifetime=60), is_response=True)
    with pytest.raises(InvalidSamlDocument, match="no SAML assertion"):
        read(idp, idp.response(EMAIL, lifetime=60))


@pytest.mark.parametrize(("seconds", "alive"), [(0.0, True), (59.9, True), (60.0, False)])
def test_document_ends(seconds: float, alive: bool, idp: IdentityProvider, clock: ManualClock) -> None:
    """By the clock, at the very second."""
    document = idp.assertion(EMAIL, lifetime=60)
    clock.advance(seconds)
    if alive:
        assert read(idp, document) == EMAIL
    else:
        with pytest.raises(InvalidSamlDocument, match="expired"):
            read(idp, document)


def test_document_begins(idp: IdentityProvider, clock: ManualClock) -> None:
    """One from a clock that is ahead is not valid yet."""
    ahead = ManualClock(clock())
    registry = TokenRegistry(clock=ahead, active_lifetime=1, idle_lifetime=1)
    ahead.advance(100)
    document = IdentityProvider(certificate=idp.certificate, registry=registry).assertion(EMAIL, lifetime=60)
    with pytest.raises(InvalidSamlDocument, match="not valid yet"):
        read(idp, document)
    clock.advance(110)
    assert read(idp, document) == EMAIL


def _without_signature(document: bytes) -> bytes:
    return SIGNATURE.sub(b"", document)


def _other_name(document: bytes) -> bytes:
    return document.replace(EMAIL.encode(), b"admin@example.com")


def _later_end(document: bytes) -> bytes:
    return re.sub(rb'NotOnOrAfter="\d{4}', b'NotOnOrAfter="2999', document)


def _broken_signature(document: bytes) -> bytes:
    return re.sub(rb"<ds:SignatureValue>....", b"<ds:SignatureValue>AAAA", document)


def _empty_signature(document: bytes) -> bytes:
    return SIGNATURE.sub(b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>', document)


@pytest.mark.parametrize(
    "change",
    [_without_signature, _other_name, _later_end, _broken_signature, _empty_signature],
    ids=lambda change: change.__name__.strip("_"),
)
def test_changed_document_is_refused(change: Callable[[bytes], bytes], idp: IdentityProvider) -> None:
    """Whatever is changed under the signature, or of it."""
    document = idp.assertion(EMAIL, lifetime=60)
    changed = change(document)
    assert changed != document
    with pytest.raises(InvalidSamlDocument, match="signature"):
        read(idp, changed)


def test_signature_of_somebody_else_is_refused(idp: IdentityProvider, clock: ManualClock) -> None:
    """A document that brings its own certificate along proves only that it has one."""
    with pytest.raises(InvalidSamlDocument, match="signature"):
        read(idp, provider(clock).assertion(EMAIL, lifetime=60))


def test_forged_assertion_beside_a_signed_one_is_refused(idp: IdentityProvider) -> None:
    """Signature wrapping: whichever stands first, nobody is let in by the unsigned one."""
    response = idp.response(EMAIL, lifetime=60)
    start, end = response.index(b"<saml:Assertion"), response.index(b"</samlp:Response>")
    signed = response[start:end]
    forged = _other_name(_without_signature(signed)).replace(b'ID="_', b'ID="_0')
    for both in (forged + signed, signed + forged):
        with pytest.raises(InvalidSamlDocument, match="exactly one"):
            read(idp, response[:start] + both + response[end:], is_response=True)


def test_signed_assertion_inside_a_forged_one_is_refused(idp: IdentityProvider) -> None:
    """Signature wrapping, the other way round."""
    signed = idp.assertion(EMAIL, lifetime=60)
    forged = _other_name(_without_signature(signed)).replace(b'ID="_', b'ID="_0')
    with pytest.raises(InvalidSamlDocument, match="exactly one"):
        read(idp, forged.replace(b"</saml:Assertion>", signed + b"</saml:Assertion>"))


def test_comment_in_a_name_does_not_cut_it_short(idp: IdentityProvider) -> None:
    """Comments are not signed; the whole name counts."""
    document = idp.assertion("admin@example.com.evil.example", lifetime=60)
    commented = document.replace(b"admin@example.com.evil", b"admin@example.com<!-- -->.evil")
    assert commented != document
    assert read(idp, commented) == "admin@example.com.evil.example"


def test_response_of_a_failed_login_is_refused(idp: IdentityProvider) -> None:
    """Its status counts, although only the assertion is signed."""
    response = idp.response(EMAIL, lifetime=60).replace(b"status:Success", b"status:Responder")
    with pytest.raises(InvalidSamlDocument, match="failed"):
        read(idp, response, is_response=True)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param("%%%", "Base64", id="not Base64"),
        pytest.param("é", "Base64", id="not ASCII"),
        pytest.param(base64.b64encode(b"hello").decode(), "no XML", id="no XML"),
        pytest.param("", "no XML", id="empty"),
        pytest.param(base64.b64encode(b"<a/>").decode(), "no SAML", id="another document"),
        pytest.param(
            base64.b64encode(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>').decode(),
            "declares a type",
            id="entities",
        ),
        pytest.param(
            base64.b64encode('<!DOCTYPE a [<!ENTITY b "c">]><a/>'.encode("utf-16")).decode(),
            "declares a type",
            id="entities in another encoding",
        ),
    ],
)
def test_what_is_no_document_is_refused(document: str, problem: str, idp: IdentityProvider) -> None:
    """Each says what is wrong, and nothing of what was sent."""
    with pytest.raises(InvalidSamlDocument, match=problem):
        idp.read(document, is_response=False)
