"""Client certificates of TLS connections, and those that a reverse proxy forwards."""

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
from tests._support.sandbox_client import (
    ECHO_PATH,
    ask_token,
    assert_refused,
    basic,
    call,
    get_token,
    token_form,
    token_headers,
)

#: The header in which the proxy forwards the client certificate.
FORWARDED_CERTIFICATE = "X-SSL-Client-Cert"


@pytest.fixture
def proxied() -> Iterator[Sandbox]:
    """A sandbox behind a proxy."""
    with Sandbox(behind_proxy=True) as sandbox:
        yield sandbox


def forwarding(sandbox: Sandbox, certificate: IssuedCertificate | None) -> httpx.Client:
    """A client that sends requests like a reverse proxy."""
    value = "" if certificate is None else urllib.parse.quote(certificate.cert_pem.decode())
    return httpx.Client(base_url=sandbox.proxy_url, headers={FORWARDED_CERTIFICATE: value})


@pytest.mark.parametrize("common_names", [[], ["a", "b"], ["a", "a"]])
def test_subject_must_have_one_cn(common_names: list[str]) -> None:
    """Without a CN, or with several, the certificate belongs to no account, whatever the account's name."""
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
    pair = IssuedCertificate(certificate=certificate, key=issued.key)
    with Sandbox(behind_proxy=True, username="a") as sandbox, forwarding(sandbox, pair) as client:
        assert_refused(ask_token(client, sandbox), 403, "gateway.certificate.mismatch")


def test_thumbprint_follows_rfc_8705() -> None:
    """SHA-256 of the DER bytes, base64url without padding."""
    with Sandbox(behind_proxy=True, client_secret="secret") as sandbox:
        issued = sandbox.issue_certificate()
        with forwarding(sandbox, issued) as client:
            headers = {"Authorization": basic(sandbox.client_id, sandbox.client_secret)}
            token = client.post("/oauth/v2/token", headers=headers, data={"grant_type": "client_credentials"}).json()
            form = {"token": token["access_token"]}
            facts = client.post("/oauth/v2/introspect", headers=headers, data=form).json()
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(issued.cert_pem.decode())).digest()
    assert facts["cnf"] == {"x5t#S256": base64.urlsafe_b64encode(digest).decode().rstrip("=")}


def test_forwarded_certificate_counts_as_the_clients(proxied: Sandbox) -> None:
    """The request is counted at the mtls host."""
    with forwarding(proxied, proxied.issue_certificate()) as client:
        reply = call(client, proxied, get_token(client, proxied))
    assert reply.json()["certificate_common_name"] == proxied.username
    assert (proxied.counts.mtls.token_requests, proxied.counts.mtls.api_calls) == (1, 1)
    assert (proxied.counts.api.token_requests, proxied.counts.connections) == (0, 1)


@pytest.mark.parametrize("header", [{}, {FORWARDED_CERTIFICATE: ""}])
def test_without_a_forwarded_certificate_it_is_the_api_host(header: dict[str, str], proxied: Sandbox) -> None:
    """The header is absent or empty."""
    with httpx.Client(base_url=proxied.proxy_url, headers=header) as client:
        reply = call(client, proxied, get_token(client, proxied))
    assert reply.json()["certificate_common_name"] is None
    assert (proxied.counts.api.token_requests, proxied.counts.mtls.token_requests) == (1, 0)


def test_forwarded_certificate_of_another_account_is_refused(proxied: Sandbox) -> None:
    """The rules for the CN are the same."""
    with forwarding(proxied, proxied.issue_certificate("somebody-else")) as client:
        assert_refused(ask_token(client, proxied), 403, "gateway.certificate.mismatch")


def test_token_issued_with_a_forwarded_certificate_needs_it(proxied: Sandbox) -> None:
    """Tokens are bound to certificates behind a proxy, too."""
    with forwarding(proxied, proxied.issue_certificate()) as client:
        token = get_token(client, proxied)
    with forwarding(proxied, None) as client:
        assert_refused(call(client, proxied, token), 401, "gateway.token.invalid")


@pytest.mark.parametrize("value", ["x", "%", "%FF%FE", "-----BEGIN CERTIFICATE-----"])
def test_malformed_forwarded_certificate_is_refused(value: str, proxied: Sandbox) -> None:
    """The error names the header."""
    headers = {**token_headers(proxied), FORWARDED_CERTIFICATE: value}
    with httpx.Client(base_url=proxied.proxy_url) as client:
        reply = client.post("/v2/oauthtoken", headers=headers, data=token_form(proxied))
    assert FORWARDED_CERTIFICATE in assert_refused(reply, 400, "gateway.request.invalid")["message"]


def test_repeated_header_is_refused(proxied: Sandbox) -> None:
    """The proxy must replace the header; otherwise a client could impersonate anybody."""
    with httpx.Client(base_url=proxied.proxy_url) as client:
        reply = client.get(ECHO_PATH, headers=[(FORWARDED_CERTIFICATE, ""), (FORWARDED_CERTIFICATE, "")])
    assert "replace" in assert_refused(reply, 400, "gateway.request.invalid")["message"]


def test_without_a_proxy_the_header_is_ignored(api: httpx.Client, sandbox: Sandbox) -> None:
    """On the TLS hosts, only the connection has the certificate."""
    forged = urllib.parse.quote(sandbox.issue_certificate("somebody-else").cert_pem.decode())
    api.headers[FORWARDED_CERTIFICATE] = forged
    assert call(api, sandbox, get_token(api, sandbox)).json()["certificate_common_name"] is None
