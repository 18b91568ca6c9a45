"""The pages by which web servers refuse a certificate are explained, and no other reply is."""

from __future__ import annotations

import pytest

from seic._tls.diagnose import explain_reply
from seic._tls.reasons import Reason
from tests._support.handshakes import (
    handshake,
    load,
)
from tests._support.pki import DAY, NOW, Minted, mint

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


@pytest.mark.parametrize("row", REPLIES)
def test_a_web_servers_page_against_our_certificate_is_explained(row: str, client: Minted) -> None:
    """The pages of nginx and IIS name what they hold against the certificate."""
    status, body, reason = REPLIES[row]
    explained = explain_reply(status, body, handshake(load(client)))
    assert explained is not None
    assert (explained.reason, explained.side) == (reason, "client")
    assert explained.text.startswith(f"mtls.example:443: the server answered {status}: it ")
    assert "CN=svc-user" in explained.text


@pytest.mark.parametrize("row", REPLIES)
def test_a_page_against_a_client_without_a_certificate_asks_for_one(row: str) -> None:
    """Without a certificate every such page means that one is demanded."""
    status, body, _ = REPLIES[row]
    explained = explain_reply(status, body, handshake())
    assert explained is not None
    assert explained.reason == Reason.DEMANDED
    assert "none is configured; pass certificate=" in explained.text


def test_nginx_says_an_expired_certificate_is_an_error_of_ours(root: Minted) -> None:
    """Nginx's page does not say why; the certificate's own dates do."""
    status, body, _ = REPLIES["nginx-refused"]
    old = load(mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    explained = explain_reply(status, body, handshake(old))
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.EXPIRED, "client")


@pytest.mark.parametrize(
    ("status", "body"), [(400, NGINX_400 % ((b"The plain HTTP request was sent to HTTPS port",) * 2)), (497, b"")]
)
def test_clear_text_on_a_tls_port_is_told_as_such(status: int, body: bytes, client: Minted) -> None:
    """A request in clear to a TLS port is no matter of the certificate."""
    explained = explain_reply(status, body, handshake(load(client)))
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.NOT_TLS, "unknown")


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
def test_every_other_reply_is_not_about_the_certificate(status: int, body: bytes, client: Minted) -> None:
    """An API's own refusals, and pages of other statuses, are left alone."""
    assert explain_reply(status, body, handshake(load(client))) is None
