"""The SAML documents that the platform accepts."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import SAML2_BEARER, ask, assert_refused
from tests._support.sandbox_client import api_client

SIGNATURE = re.compile(rb"<ds:Signature .*</ds:Signature>", re.DOTALL)


def send(
    client: httpx.Client, sandbox: Sandbox, document: bytes | str, *, field: str = "SAMLAssertion"
) -> httpx.Response:
    """Request a token with a document; bytes are encoded as Base64."""
    text = base64.b64encode(document).decode() if isinstance(document, bytes) else document
    return ask(client, sandbox, grant_type=SAML2_BEARER, **{field: text})


@pytest.mark.parametrize("username", ["svc", "o'neil&sons", "<a>", "zoë"])
def test_own_documents_are_accepted(username: str) -> None:
    """Assertion and response, with characters that XML escapes."""
    with Sandbox(username=username) as sandbox, api_client(sandbox) as client:
        assert send(client, sandbox, sandbox.saml_assertion()).status_code == 200
        assert send(client, sandbox, sandbox.saml_response(), field="SAMLResponse").status_code == 200


def test_assertion_and_response_are_distinguished(api: httpx.Client, sandbox: Sandbox) -> None:
    """Each has its own field."""
    reply = send(api, sandbox, sandbox.saml_assertion(), field="SAMLResponse")
    assert "not a SAML response" in assert_refused(reply, 400)
    reply = send(api, sandbox, sandbox.saml_response(), field="SAMLAssertion")
    assert "not a SAML assertion" in assert_refused(reply, 400)


@pytest.mark.parametrize(("seconds", "status"), [(0.0, 200), (59.9, 200), (60.0, 400)])
def test_document_expires(seconds: float, status: int, api: httpx.Client, sandbox: Sandbox, clock: MockClock) -> None:
    """The sandbox's clock counts."""
    document = sandbox.saml_assertion(lifetime=60)
    clock.advance(seconds)
    reply = send(api, sandbox, document)
    assert reply.status_code == status
    if status == 400:
        assert "expired" in assert_refused(reply, 400)


def test_document_is_not_valid_before_its_time() -> None:
    """A document from a clock that is ahead is valid later."""
    now = [100.0]
    with Sandbox(clock=lambda: now[0]) as sandbox, api_client(sandbox) as client:
        document = sandbox.saml_assertion(lifetime=60)
        now[0] = 0.0
        assert "not valid yet" in assert_refused(send(client, sandbox, document), 400)
        now[0] = 110.0
        assert send(client, sandbox, document).status_code == 200


def _without_signature(document: bytes) -> bytes:
    return SIGNATURE.sub(b"", document)


def _other_name(document: bytes) -> bytes:
    return document.replace(b"svc-sandbox@example.com", b"admin@example.com")


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
def test_changed_document_is_refused(change: Callable[[bytes], bytes], api: httpx.Client, sandbox: Sandbox) -> None:
    """A change of the signed part or of the signature."""
    document = sandbox.saml_assertion()
    changed = change(document)
    assert changed != document
    assert "signature" in assert_refused(send(api, sandbox, changed), 400)


def test_signature_of_another_provider_is_refused(api: httpx.Client, sandbox: Sandbox) -> None:
    """A document that contains its own certificate proves nothing."""
    document = Sandbox().saml_assertion()
    assert "signature" in assert_refused(send(api, sandbox, document), 400)


def test_forged_assertion_next_to_a_signed_one_is_refused(api: httpx.Client, sandbox: Sandbox) -> None:
    """Signature wrapping, in both orders."""
    response = sandbox.saml_response()
    start, end = response.index(b"<saml:Assertion"), response.index(b"</samlp:Response>")
    signed = response[start:end]
    forged = _other_name(_without_signature(signed)).replace(b'ID="_', b'ID="_0')
    for both in (forged + signed, signed + forged):
        reply = send(api, sandbox, response[:start] + both + response[end:], field="SAMLResponse")
        assert "exactly one" in assert_refused(reply, 400)


def test_signed_assertion_inside_a_forged_one_is_refused(api: httpx.Client, sandbox: Sandbox) -> None:
    """Signature wrapping, with the signed assertion as a child."""
    signed = sandbox.saml_assertion()
    forged = _other_name(_without_signature(signed)).replace(b'ID="_', b'ID="_0')
    reply = send(api, sandbox, forged.replace(b"</saml:Assertion>", signed + b"</saml:Assertion>"))
    assert "exactly one" in assert_refused(reply, 400)


def test_comment_does_not_cut_a_name_short(api: httpx.Client, sandbox: Sandbox) -> None:
    """A comment is not signed; the whole name counts, which has no account."""
    document = sandbox.saml_assertion(f"{sandbox.email}.evil.example")
    commented = document.replace(b"example.com.evil", b"example.com<!-- -->.evil")
    assert commented != document
    assert "has no account" in assert_refused(send(api, sandbox, commented), 400)


def test_response_of_a_failed_login_is_refused(api: httpx.Client, sandbox: Sandbox) -> None:
    """The status counts, although only the assertion is signed."""
    response = sandbox.saml_response().replace(b"status:Success", b"status:Responder")
    assert "failed" in assert_refused(send(api, sandbox, response, field="SAMLResponse"), 400)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param("%%%", "not Base64", id="not Base64"),
        pytest.param("é", "not Base64", id="not ASCII"),
        pytest.param(b"hello", "not XML", id="not XML"),
        pytest.param(b"<a/>", "not a SAML", id="another document"),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            "document type declaration",
            id="entities",
        ),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b "c">]><a/>'.encode("utf-16"),
            "document type declaration",
            id="entities in another encoding",
        ),
    ],
)
def test_malformed_document_is_refused(
    document: bytes | str, problem: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """The message tells what is wrong and repeats nothing of the document."""
    assert problem in assert_refused(send(api, sandbox, document), 400)
