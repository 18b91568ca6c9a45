from __future__ import annotations

import base64
import hashlib
import ssl
import urllib.parse
from collections.abc import Iterator

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from seic.sandbox import CertificateAuthority, IssuedCertificate, Sandbox
from seic.sandbox._peer import FORWARDED_CERTIFICATE, Peer, peer_of_header
from tests._support.far_side import ECHO_PATH, ask_token, assert_refused, call, get_token, token_form, token_headers


@pytest.fixture
def proxied() -> Iterator[Sandbox]:
    """A sandbox that waits for a proxy's calls."""
    with Sandbox(behind_proxy=True) as sandbox:
        yield sandbox


def forwarding(sandbox: Sandbox, certificate: IssuedCertificate | None) -> httpx.Client:
    """A client that speaks as a reverse proxy does."""
    value = "" if certificate is None else urllib.parse.quote(certificate.cert_pem.decode())
    return httpx.Client(base_url=sandbox.proxy_url, headers={FORWARDED_CERTIFICATE: value})


@pytest.mark.parametrize("common_names", [[], ["a", "b"], ["a", "a"]])
def test_subject_has_to_have_one_cn(common_names: list[str]) -> None:
    """With none, or with several, it is nobody's."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
    authority = CertificateAuthority()
    issued = authority.issue("x")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(authority.certificate.subject)
        .public_key(issued.key.public_key())
        .serial_number(1)
        .not_valid_before(issued.certificate.not_valid_before_utc)
        .not_valid_after(issued.certificate.not_valid_after_utc)
        .sign(issued.key, hashes.SHA256())
    )
    pem = IssuedCertificate(certificate=certificate, key=issued.key).cert_pem
    peer = peer_of_header(urllib.parse.quote(pem.decode()))
    assert peer is not None
    assert peer.common_name is None


def test_thumbprint_is_that_of_rfc_8705() -> None:
    """SHA-256 over the DER bytes, base64url without padding."""
    issued = CertificateAuthority().issue("x")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(issued.cert_pem.decode())).digest()
    peer = peer_of_header(urllib.parse.quote(issued.cert_pem.decode()))
    assert peer == Peer(common_name="x", thumbprint=base64.urlsafe_b64encode(digest).decode().rstrip("="))


def test_proxy_vouches_for_the_certificate(proxied: Sandbox) -> None:
    """What it forwards counts as the connection's own, and the call as the mtls host's."""
    with forwarding(proxied, proxied.issue_certificate()) as client:
        reply = call(client, proxied, get_token(client, proxied))
    assert reply.json()["certificate_common_name"] == proxied.username
    assert (proxied.counts.mtls.token_requests, proxied.counts.mtls.api_calls) == (1, 1)
    assert (proxied.counts.api.token_requests, proxied.counts.connections) == (0, 1)


@pytest.mark.parametrize("header", [{}, {FORWARDED_CERTIFICATE: ""}])
def test_without_a_forwarded_certificate_it_is_the_plain_host(header: dict[str, str], proxied: Sandbox) -> None:
    """An empty header is none, and the call is the api host's."""
    with httpx.Client(base_url=proxied.proxy_url, headers=header) as client:
        reply = call(client, proxied, get_token(client, proxied))
    assert reply.json()["certificate_common_name"] is None
    assert (proxied.counts.api.token_requests, proxied.counts.mtls.token_requests) == (1, 0)


def test_forwarded_certificate_of_another_account_is_refused(proxied: Sandbox) -> None:
    """The CN rules are the same."""
    with forwarding(proxied, proxied.issue_certificate("somebody-else")) as client:
        assert_refused(ask_token(client, proxied), 403, "gateway.certificate.mismatch")


def test_token_minted_behind_the_proxy_with_a_certificate_is_refused_without(proxied: Sandbox) -> None:
    """Binding holds behind a proxy too."""
    with forwarding(proxied, proxied.issue_certificate()) as client:
        token = get_token(client, proxied)
    with forwarding(proxied, None) as client:
        assert_refused(call(client, proxied, token), 401, "gateway.token.invalid")


@pytest.mark.parametrize("value", ["x", "%", "%FF%FE", "-----BEGIN CERTIFICATE-----"])
def test_forwarded_certificate_has_to_be_one(value: str, proxied: Sandbox) -> None:
    """A proxy that forwards something else is told so."""
    headers = {**token_headers(proxied), FORWARDED_CERTIFICATE: value}
    with httpx.Client(base_url=proxied.proxy_url) as client:
        reply = client.post("/v2/oauthtoken", headers=headers, data=token_form(proxied))
    assert FORWARDED_CERTIFICATE in assert_refused(reply, 400, "gateway.request.invalid")["message"]


def test_proxy_has_to_replace_the_header(proxied: Sandbox) -> None:
    """Two values mean that a caller could name anybody: 400."""
    with httpx.Client(base_url=proxied.proxy_url) as client:
        reply = client.get(ECHO_PATH, headers=[(FORWARDED_CERTIFICATE, ""), (FORWARDED_CERTIFICATE, "")])
    assert "replace" in assert_refused(reply, 400, "gateway.request.invalid")["message"]


def test_without_a_proxy_the_header_means_nothing(api: httpx.Client, sandbox: Sandbox) -> None:
    """On the TLS hosts the connection alone says who calls."""
    forged = urllib.parse.quote(sandbox.issue_certificate("somebody-else").cert_pem.decode())
    api.headers[FORWARDED_CERTIFICATE] = forged
    assert call(api, sandbox, get_token(api, sandbox)).json()["certificate_common_name"] is None
