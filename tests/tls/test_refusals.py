"""A server that refuses our certificate: the error names the certificate, the reason and the remedy."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from seic import CertificateError, Reason
from tests._support.handshakes import CALLS, OTHER, Call, configure, fail
from tests._support.pki import Minted, mint, revocation_list, server
from tests._support.tls_servers import TLS12, TLS13, TlsServer


@attrs.frozen
class Ours:
    """A client that a server refuses, the reason, and words of the error."""

    client: Callable[[Minted], Minted]
    reason: Reason
    words: list[str]
    revoked: bool = False


CLIENTS = {
    "revoked": Ours(
        lambda root: mint(issuer=root), Reason.REVOKED, ["was revoked", "CN=svc-user", "have CN=Test Root issue"], True
    ),
    "unknown-authority": Ours(
        lambda root: mint(issuer=OTHER),
        Reason.UNKNOWN_TO_SERVER,
        ["does not know the authority", "issuer CN=Other Root", "append the intermediate certificate of CN=Other Root"],
    ),
    "missing-intermediate": Ours(
        lambda root: mint(issuer=mint("Between", issuer=root, ca=True, number=72)),
        Reason.UNKNOWN_TO_SERVER,
        ["append the intermediate certificate of CN=Between"],
    ),
    "self-signed": Ours(
        lambda root: mint(), Reason.UNKNOWN_TO_SERVER, ["does not know the authority", "which authorities it accepts"]
    ),
    "wrong-usage": Ours(
        lambda root: mint(issuer=root, usages=(Usage.ANY_EXTENDED_KEY_USAGE,)),
        Reason.NOT_FOR_CLIENTS,
        ["does not accept", "for a client", "clientAuth"],
    ),
}


def _refusing(root: Minted, client: Minted | None, version: ssl.TLSVersion, **how: Any) -> TlsServer:
    revoked = how.pop("revoked", False)
    crl = revocation_list(root, client) if revoked and client is not None else None
    return TlsServer(server(root), trusts=root, version=version, crl=crl, **how)


@pytest.mark.parametrize("send", CALLS)
@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("row", CLIENTS)
def test_a_refusal_by_an_alert_names_our_certificate(
    row: str, version: ssl.TLSVersion, send: Call, root: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """The error names the certificate, the server's reason and the remedy, and shows no key."""
    expected = CLIENTS[row]
    client = expected.client(root)
    with _refusing(root, client, version, revoked=expected.revoked) as far:
        error = fail(send, configure(far.port, client=client))

    assert isinstance(error, CertificateError)
    assert (error.reason, error.path) == (expected.reason, "the certificate given as bytes")
    for word in expected.words:
        assert word in str(error)
    assert_no_leak(error, keys=(client,))


@pytest.mark.parametrize("send", CALLS)
def test_a_missing_client_certificate_is_named_over_tls_1_3(send: Call, root: Minted) -> None:
    """TLS 1.3 has an alert for it: the server demands a certificate and none is configured."""
    with _refusing(root, None, TLS13) as far:
        error = fail(send, configure(far.port))
    assert isinstance(error, CertificateError)
    assert (error.reason, error.path) == (Reason.DEMANDED, None)
    assert "demands a client certificate, and none is configured; pass certificate=" in str(error)


@pytest.mark.parametrize("send", CALLS)
def test_a_missing_client_certificate_is_a_possible_cause_over_tls_1_2(send: Call, root: Minted) -> None:
    """TLS 1.2 has only 'handshake failure': the error names both possible causes."""
    with _refusing(root, None, TLS12) as far:
        error = fail(send, configure(far.port))
    assert not isinstance(error, CertificateError)
    assert error.reason == Reason.NO_COMMON_GROUND  # type: ignore[attr-defined]  # seic's addition to httpx's error
    assert "may demand a client certificate, and none is configured" in str(error)
    assert "no cipher in common" in str(error)


@pytest.mark.parametrize("send", CALLS)
def test_no_common_cipher_is_a_possible_cause_with_a_certificate(send: Call, client: Minted, root: Minted) -> None:
    """'Handshake failure' with a valid certificate: the error names both possible causes."""
    with TlsServer(
        server(root), trusts=root, version=TLS12, prepare=lambda far: far.set_ciphers("ECDHE-RSA-AES128-SHA")
    ) as far:
        error = fail(send, configure(far.port, client=client))
    assert not isinstance(error, CertificateError)
    assert error.reason == Reason.NO_COMMON_GROUND  # type: ignore[attr-defined]
    assert "may not accept our certificate" in str(error)


@pytest.mark.parametrize(
    ("has_certificate", "words"),
    [
        pytest.param(True, ["CN=svc-user", "the reason is unknown", "revoked", "allow-list"], id="certificate"),
        pytest.param(False, ["no client certificate is configured", "pass certificate="], id="none"),
    ],
)
@pytest.mark.parametrize("send", CALLS)
def test_a_lost_alert_leaves_a_list_of_causes(
    *, send: Call, has_certificate: bool, words: list[str], client: Minted, root: Minted
) -> None:
    """A reset can overtake the alert of TLS 1.3: the error lists the possible causes."""
    # Session tickets would show that the server accepted the handshake.
    with TlsServer(server(root), version=TLS13, reset=True, prepare=_without_tickets) as far:
        error = fail(send, configure(far.port, client=client if has_certificate else None))
    assert not isinstance(error, CertificateError)
    assert error.reason == Reason.CLOSED_EARLY  # type: ignore[attr-defined]
    for word in ["closed the connection without an answer", *words]:
        assert word in str(error)


def _without_tickets(context: ssl.SSLContext) -> None:
    context.num_tickets = 0


def _page(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


NGINX_400 = b"<html><head><title>400 %b</title></head><body>%b</body></html>"
REPLIES = {
    "nginx-none": (400, NGINX_400 % ((b"No required SSL certificate was sent",) * 2), Reason.DEMANDED),
    "nginx-refused": (400, NGINX_400 % ((b"The SSL certificate error",) * 2), Reason.REFUSED),
    "nginx-495": (495, b"", Reason.REFUSED),
    "nginx-496": (496, b"", Reason.DEMANDED),
    "iis-required": (403, b"<h3>HTTP Error 403.7 - Forbidden</h3>", Reason.DEMANDED),
    "iis-revoked": (403, b"HTTP Error 403.13 - Forbidden", Reason.REVOKED),
    "iis-untrusted": (403, b"HTTP Error 403.16 - Forbidden", Reason.UNKNOWN_TO_SERVER),
    "iis-expired": (403, b"HTTP Error 403.17 - Forbidden", Reason.EXPIRED),
}


@pytest.mark.parametrize("send", CALLS)
@pytest.mark.parametrize("has_certificate", [True, False], ids=["certificate", "none"])
@pytest.mark.parametrize("row", REPLIES)
def test_a_refusal_by_a_page_names_our_certificate(
    *, row: str, has_certificate: bool, send: Call, client: Minted, root: Minted
) -> None:
    """The pages of nginx and IIS name the reason; without a certificate every such page demands one."""
    status, body, reason = REPLIES[row]
    with TlsServer(server(root), reply=_page(status, body)) as far:
        error = fail(send, configure(far.port, client=client if has_certificate else None))
    assert isinstance(error, CertificateError)
    assert f"the server answered {status}: it " in str(error)
    if has_certificate:
        assert error.reason == reason
        assert "CN=svc-user" in str(error)
    else:
        assert error.reason == Reason.DEMANDED
        assert "none is configured; pass certificate=" in str(error)


@pytest.mark.parametrize("send", CALLS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"No required SSL certificate was sent"),
        (400, b'{"error": "invalid_request"}'),
        (403, b'{"id": 1403.7, "x": 403}'),
        (400, b"<p>Version 7.403.7 of the API no longer takes this parameter</p>"),
        (403, b"<p>Order 403.13 is not yours</p>"),
        (401, b"The SSL certificate error"),
        (400, b" " * 5000 + b"The SSL certificate error"),
    ],
)
def test_other_replies_are_not_about_the_certificate(
    status: int, body: bytes, send: Call, client: Minted, root: Minted
) -> None:
    """An API's own refusals, and pages of other statuses, reach the caller unchanged."""
    with TlsServer(server(root), reply=_page(status, body)) as far:
        reply = send(configure(far.port, client=client))
    assert (reply.status_code, reply.content) == (status, body)
