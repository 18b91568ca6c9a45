"""A client certificate that the server asks for after the handshake, once it has read the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from tests._support.late_requests import LateServer
from tests._support.pki import Minted, mint, server


def _config(root: Minted, port: int, certificate: Minted | None) -> seic.Config:
    return seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api=f"localhost:{port}", mtls=f"localhost:{port}"),
        client_id="id",
        client_secret="secret",
        grant=seic.ClientCredentials(),
        certificate=None if certificate is None else seic.ClientCertificate.load(certificate.pair),
        ca=root.pem.decode(),
        trust_env=False,
    )


def _get_sync(config: seic.Config, **options: Any) -> httpx.Response:
    with httpx.Client(transport=seic.Transport(config, **options)) as client:
        return client.get(f"{config.base_url}/path")


async def _get(config: seic.Config, kind: str, **options: Any) -> httpx.Response:
    if kind == "blocking":
        return _get_sync(config, **options)
    async with httpx.AsyncClient(transport=seic.AsyncTransport(config, **options)) as client:
        return await client.get(f"{config.base_url}/path")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["blocking", "async"])
async def test_a_certificate_that_is_asked_for_later_is_presented(
    kind: str, version: str, root: Minted, tmp_path: Path
) -> None:
    """By renegotiation in TLS 1.2, and by post-handshake authentication in TLS 1.3."""
    minted = mint("late-user", issuer=root)
    with LateServer(tmp_path, server(root), root, version) as peer:
        reply = await _get(_config(root, peer.port, minted), kind)

    assert reply.text == "ok"
    assert peer.subject == "CN = late-user"


@pytest.mark.parametrize("kind", ["blocking", "async"])
@pytest.mark.parametrize(
    ("presents", "remedy"), [(True, "set http2=False for this host"), (False, r"pass certificate=\.\.\.")]
)
async def test_a_renegotiation_that_is_refused_is_called_that(
    presents: bool, remedy: str, kind: str, root: Minted, tmp_path: Path
) -> None:
    """HTTP/2 allows none, and without a certificate there is nothing to present; our certificate is not refused."""
    with LateServer(tmp_path, server(root), root, "1.2") as peer, pytest.raises(httpx.TransportError) as caught:
        await _get(_config(root, peer.port, mint(issuer=root) if presents else None), kind, http2=presents)

    assert caught.value.reason == seic.Reason.AFTER_HANDSHAKE  # type: ignore[attr-defined]  # it is seic's
    assert "TLS 1.2 renegotiation" in str(caught.value)
    assert "refuses our certificate" not in str(caught.value)
    assert "may not accept" not in str(caught.value)
    with pytest.raises(httpx.TransportError, match=remedy):
        raise caught.value


@pytest.mark.parametrize("presents", [True, False])
def test_a_page_about_post_handshake_authentication_is_explained(presents: bool, root: Minted, tmp_path: Path) -> None:
    """Apache's page of a 403 over TLS 1.3 becomes an error that says what to set."""
    with LateServer(tmp_path, server(root), root, "1.3") as peer, pytest.raises(seic.CertificateError) as caught:
        _get_sync(_config(root, peer.port, mint(issuer=root) if presents else None), http2=presents)

    assert caught.value.reason == seic.Reason.AFTER_HANDSHAKE
    assert "the server answered 403: it seems to demand a client certificate for this path only" in str(caught.value)


def test_a_context_of_ones_own_offers_it(root: Minted, client: Minted) -> None:
    """`create_ssl_context` offers it with a certificate only."""
    certificate = seic.ClientCertificate.load(client.pair)
    assert seic.create_ssl_context(certificate=certificate, ca=root.pem).post_handshake_auth
    assert not seic.create_ssl_context(ca=root.pem).post_handshake_auth
