"""Refused certificates and credentials, and the error messages."""

from __future__ import annotations

import datetime as dt

import pytest

import seic
from seic.sandbox import CertificateAuthority, Sandbox
from tests._support.faces import KINDS, Kind, open_client
from tests._support.sandbox_client import ECHO_PATH

both_kinds = pytest.mark.parametrize("kind", KINDS)


@both_kinds
async def test_another_accounts_certificate_is_refused_by_name(kind: Kind, sandbox: Sandbox) -> None:
    """The handshake succeeds, but the gateway refuses: status, code, and what to check."""
    config = sandbox.config(certificate=sandbox.issue_certificate("somebody-else"))
    async with open_client(kind, config) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.get(ECHO_PATH)

    assert (caught.value.status, caught.value.code) == (403, "gateway.certificate.mismatch")
    assert "CN" in str(caught.value)
    assert sandbox.counts.mtls.token_refusals == 1
    assert sandbox.counts.api_calls == 0


@both_kinds
async def test_a_certificate_of_another_authority_is_a_typed_error(
    kind: Kind, tls: str, versioned_sandbox: Sandbox
) -> None:
    """The server does not know its authority: no token, no call, and an error that names the server."""
    sandbox = versioned_sandbox
    stranger = CertificateAuthority("stranger").issue(sandbox.username)
    async with open_client(kind, sandbox.config(certificate=stranger)) as client:
        with pytest.raises(seic.CertificateError) as caught:
            await client.get(ECHO_PATH)

    # A TLS 1.3 server can close the connection before its alert is read; the reason is then lost.
    assert caught.value.reason in {"unknown-to-server", "closed-early"}
    assert sandbox.mtls_url.removeprefix("https://") in str(caught.value)
    assert sandbox.counts.token_requests == 0


@both_kinds
async def test_a_server_of_an_unknown_authority_gets_no_secret(
    kind: Kind, tls: str, versioned_sandbox: Sandbox
) -> None:
    """The handshake ends before anything is sent, on either host."""
    sandbox = versioned_sandbox
    other = CertificateAuthority("other").cert_pem
    for certificate in (False, True):
        async with open_client(kind, sandbox.config(certificate=certificate, ca=other)) as client:
            with pytest.raises(seic.TokenEndpointUnavailable) as caught:
                await client.get(ECHO_PATH)
        assert "certificate" in str(caught.value).lower()

    assert sandbox.counts.token_requests == sandbox.counts.connections == 0


@both_kinds
async def test_a_server_under_another_name_gets_no_secret(kind: Kind, sandbox: Sandbox) -> None:
    """A certificate of the right authority for the wrong host is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seic.sandbox._server.loopback.LOOPBACK_NAMES", ("other.example",))
        with Sandbox() as misnamed:
            async with open_client(kind, misnamed.config(certificate=True)) as client:
                with pytest.raises(seic.TokenEndpointUnavailable):
                    await client.get(ECHO_PATH)
            assert misnamed.counts.token_requests == 0


@both_kinds
async def test_the_mtls_host_requires_a_certificate(kind: Kind, tls: str, versioned_sandbox: Sandbox) -> None:
    """A host that requires one ends the handshake; the error names it, and the ambiguity of the TLS 1.2 alert."""
    sandbox = versioned_sandbox
    hosts = seic.Hosts(api=sandbox.mtls_url)
    async with open_client(kind, sandbox.config(hosts=hosts)) as client:
        with pytest.raises((seic.CertificateError, seic.TokenEndpointUnavailable)) as caught:
            await client.get(ECHO_PATH)

    if isinstance(caught.value, seic.CertificateError):
        assert caught.value.reason in {"demanded", "closed-early"}
    else:  # TLS 1.2 has one alert for this and for missing common ciphers
        assert tls == "TLSv1.2"
    assert "client certificate" in str(caught.value)
    assert sandbox.mtls_url.removeprefix("https://") in str(caught.value)
    assert sandbox.counts.token_requests == 0


@both_kinds
async def test_an_expired_certificate_is_named_before_the_handshake(kind: Kind, sandbox: Sandbox) -> None:
    """TLS 1.3 would lose the reason, so the SDK checks its certificate first."""
    now = dt.datetime.now(dt.UTC)
    expired = sandbox.issue_certificate(not_before=now - dt.timedelta(days=9), not_after=now - dt.timedelta(days=1))
    async with open_client(kind, sandbox.config(certificate=expired)) as client:
        with pytest.raises(seic.CertificateError) as caught:
            await client.get(ECHO_PATH)

    assert caught.value.reason == "expired"
    assert sandbox.username in str(caught.value)
    assert sandbox.counts.connections == 0


@both_kinds
async def test_a_wrong_password_is_sent_once(kind: Kind, sandbox: Sandbox) -> None:
    """Refused credentials are not sent again at once, since this could lock the service account."""
    grant = seic.ClientCredentials(username=sandbox.username, password="wrong")
    async with open_client(kind, sandbox.config(grant=grant)) as client:
        for _ in range(3):
            with pytest.raises(seic.TokenRequestRefused) as caught:
                await client.get(ECHO_PATH)
            assert caught.value.code == "gateway.authentication.failure"

    assert sandbox.counts.token_requests == 1
