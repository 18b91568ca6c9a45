"""Explanations of failures that only a fault in service or another platform causes: see `test_refusals` for the rest.

A certificate that expires in service and an authority that does cannot be configured in that state, so these tests
build contexts themselves.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest

from seic import ClientCertificate, Reason
from seic._tls.context import build_context
from seic._tls.diagnose import HandshakeContext, HandshakeFailure, Stage, explain_close, explain_failure, explain_reply
from seic._tls.trust import read_trust_store
from tests._support.pki import DAY, NOW, Minted, authority, mint, server
from tests._support.tls_servers import TLS12, TLS13, TlsServer, call

OLD_END = NOW - DAY / 2
OLD = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=OLD_END)


def by_socket(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call on a plain socket."""
    return call(context, port, host)


def by_httpx(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call by httpx from a thread."""
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(f"https://{host}:{port}/")


def by_async_httpx(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call by httpx from an event loop."""

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            return await client.get(f"https://{host}:{port}/")

    return asyncio.run(get())


def by_strict_socket(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call on a socket that reports an end of the stream without an alert, which ssl hides by default."""
    with (
        socket.create_connection((host, port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=host, suppress_ragged_eofs=False) as stream,
    ):
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return stream.recv(65536)


STYLES = [by_socket, by_httpx, by_async_httpx]


def fail(
    style: Callable[[ssl.SSLContext, int, str], object],
    port: int,
    *,
    client: ClientCertificate | None = None,
    ca: Minted | None = None,
    host: str = "localhost",
) -> HandshakeFailure:
    """Connect, expect a failure, and return its explanation."""
    context = build_context(client, read_trust_store((ca or authority()).pem))
    with pytest.raises((OSError, httpx.TransportError)) as caught:
        style(context, port, host)
    explained = explain_failure(
        caught.value, HandshakeContext(host=host, port=port, certificate=client, now=NOW, context=context)
    )
    assert explained is not None
    assert explained.text.startswith(f"{host}:{port}: ")
    return explained


def load(minted: Minted) -> ClientCertificate:
    """Load the pair from one file."""
    return ClientCertificate.load(minted.pair)


def handshake(
    certificate: ClientCertificate | None = None, host: str = "mtls.example", now: Any = NOW
) -> HandshakeContext:
    """Return the facts of a handshake that no server of the tests made."""
    return HandshakeContext(host=host, port=443, certificate=certificate, now=now)


def openssl_error(reason: str | None, text: str = "") -> ssl.SSLError:
    """Return an error like OpenSSL's."""
    error = ssl.SSLError(1, text)
    error.reason = reason  # type: ignore[assignment]
    return error


OUT_OF_DATE: dict[str, tuple[Callable[[Minted], Minted], Reason, list[str]]] = {
    "expired": (
        lambda root: mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        Reason.EXPIRED,
        ["the certificate expired on", "(CN=svc-user)", "renew it"],
    ),
    "not-yet-valid": (
        lambda root: mint(issuer=root, not_before=NOW + DAY),
        Reason.NOT_YET_VALID,
        ["is not valid before", "this machine's clock says"],
    ),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("row", OUT_OF_DATE)
def test_a_refusal_of_a_certificate_that_is_out_of_date_is_about_its_dates(
    row: str, version: ssl.TLSVersion, style: Any, root: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """It may have expired in service: the explanation names the certificate, its date and the remedy."""
    make, reason, words = OUT_OF_DATE[row]
    minted = make(root)
    certificate = load(minted)
    with TlsServer(server(root), trusts=root, version=version) as far:
        explained = fail(style, far.port, client=certificate)
    assert (explained.reason, explained.side, explained.path) == (reason, "client", certificate.path)
    for word in words:
        assert word in explained.text
    assert_no_leak(explained, keys=(minted,))


@pytest.mark.parametrize("style", [by_strict_socket, by_async_httpx])
def test_a_lost_alert_about_an_expired_certificate_is_about_its_dates(style: Any, root: Minted) -> None:
    """A reset can overtake the alert of TLS 1.3: the certificate's own dates tell the cause."""
    with TlsServer(server(root), version=TLS13, reset=True) as far:
        explained = fail(style, far.port, client=load(mint(issuer=root, not_after=NOW - DAY / 2)))
    assert (explained.reason, explained.side) == (Reason.EXPIRED, "client")
    assert "the certificate expired on" in explained.text


def test_a_page_about_an_expired_certificate_is_about_its_dates(root: Minted) -> None:
    """Nginx's page does not give the reason; the certificate's own dates do."""
    old = load(mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    explained = explain_reply(400, b"<title>400 The SSL certificate error</title>", handshake(old))
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.EXPIRED, "client")


def test_a_quiet_end_that_a_client_reports_itself_is_explained_on_demand(client: Minted, root: Minted) -> None:
    """The blocking httpx reports only the end of a stream, without a cause, so the caller asks for an explanation."""
    certificate = load(client)
    context = build_context(certificate, read_trust_store(root.pem))
    with (
        TlsServer(server(root), version=TLS13, reset=True) as far,
        pytest.raises(httpx.TransportError) as caught,
    ):
        by_httpx(context, far.port, "localhost")
    explained = explain_failure(caught.value, handshake(certificate)) or explain_close(handshake(certificate))
    assert explained is not None
    assert explained.reason == Reason.CLOSED_EARLY


ALERTS = {
    "SSLV3_ALERT_BAD_CERTIFICATE": (Reason.REFUSED, "client", "does not say why"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": (Reason.REFUSED, "client", "may be revoked, unknown"),
    "TLSV1_ALERT_ACCESS_DENIED": (Reason.REFUSED, "client", "append the intermediate"),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": (Reason.REFUSED, "client", "this kind of key or certificate"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (Reason.EXPIRED, "client", "compare the clocks"),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (Reason.DEMANDED, "client", "did not get our certificate"),
    "TLSV1_UNSUPPORTED_EXTENSION": (Reason.NO_COMMON_GROUND, "unknown", "'unsupported extension'"),
    "TLSV1_ALERT_UNRECOGNIZED_NAME": (Reason.SERVER_WRONG_HOST, "server", "it has no host of this name"),
    "TLSV1_ALERT_INTERNAL_ERROR": (Reason.NO_COMMON_GROUND, "unknown", "'internal error'"),
    "UNSUPPORTED_PROTOCOL": (Reason.PROTOCOL_TOO_OLD, "server", "neither TLS 1.2"),
    "DH_KEY_TOO_SMALL": (Reason.SERVER_WEAK, "server", "dh key too small"),
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": (Reason.SERVER_WEAK, "server", "too weak"),
    "HTTP_REQUEST": (Reason.NOT_TLS, "server", "does not speak TLS"),
    "BAD_EXTENSION": (Reason.NO_COMMON_GROUND, "unknown", "(bad extension)"),
}


@pytest.mark.parametrize("name", ALERTS)
def test_each_reason_of_openssl_is_explained(name: str, client: Minted) -> None:
    """Each of OpenSSL's reasons for a failed handshake has its explanation."""
    reason, side, word = ALERTS[name]
    explained = explain_failure(openssl_error(name), handshake(load(client)))
    assert explained is not None
    assert (explained.reason, explained.side) == (reason, side)
    assert word in explained.text


def test_an_alert_is_read_from_the_text_where_there_is_no_code(client: Minted) -> None:
    """A newer OpenSSL than Python was built for gives no code, only a message."""
    error = openssl_error(None, "[SSL] tlsv1 alert unknown ca (_ssl.c:1006)")
    explained = explain_failure(error, handshake(load(client)))
    assert explained is not None
    assert explained.reason == Reason.UNKNOWN_TO_SERVER


def test_an_alert_about_a_certificate_we_do_not_have_means_that_one_is_demanded() -> None:
    """Go's servers answer 'bad certificate' to a client without one; the text says "may"."""
    explained = explain_failure(openssl_error("SSLV3_ALERT_BAD_CERTIFICATE"), handshake())
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.DEMANDED, "client")
    assert "it may demand a client certificate" in explained.text


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), TimeoutError(), socket.gaierror(-2, "unknown"), ValueError("x")]
)
def test_failures_without_tls_are_not_explained(error: Exception) -> None:
    """A refused connection, a timeout and an unknown name have errors of their own."""
    assert explain_failure(error, handshake()) is None


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    """A cycle of causes ends after one round."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    assert explain_failure(first, handshake()) is None


def test_the_cause_is_found_behind_a_context() -> None:
    """An error raised during the handling of another counts as caused by it."""
    outer = RuntimeError("outer")
    outer.__context__ = BrokenPipeError(32, "pipe")
    explained = explain_failure(outer, handshake())
    assert explained is not None
    assert explained == explain_close(handshake())


@pytest.mark.parametrize("stage", ["handshake", "first"])
def test_a_close_upon_an_expired_certificate_is_about_that(stage: Stage, root: Minted) -> None:
    """It may have expired in service, and some servers close the connection without an alert."""
    ended = load(mint(issuer=root, not_after=NOW - DAY / 2))
    explained = explain_close(attrs.evolve(handshake(ended), stage=stage))
    assert explained is not None
    assert (explained.reason, explained.side, explained.path) == (Reason.EXPIRED, "client", ended.path)
    assert "closed the connection" in explained.text or "was closed before the handshake ended" in explained.text
    assert "the certificate expired on" in explained.text


def test_an_ipv6_host_is_written_in_brackets() -> None:
    """The address and the port stay apart."""
    explained = explain_close(handshake(host="::1"))
    assert explained is not None
    assert explained.text.startswith("[::1]:443: ")


@pytest.mark.parametrize(
    ("trusted", "words"),
    [
        pytest.param(
            [OLD],
            [
                f"the authority that is trusted here has expired (CN=Old Root, expired on {NOW - DAY / 2:%Y-%m-%d}",
                "into ca=...",
            ],
            id="ours-alone",
        ),
        pytest.param(
            [OLD, authority()],
            ["or else an authority that is trusted here (CN=Old Root, expired on", "is yours to replace"],
            id="ours-among-others",
        ),
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_an_expired_authority_of_ours_is_named(style: Any, trusted: list[Minted], words: list[str]) -> None:
    """The server's certificate is valid, but the configured authority has expired: it is named with its date."""
    context = ssl.create_default_context(cadata="".join(one.pem.decode() for one in trusted))
    with TlsServer(server(OLD)) as far, pytest.raises((OSError, httpx.TransportError)) as caught:
        style(context, far.port, "localhost")
    explained = explain_failure(
        caught.value, HandshakeContext(host="localhost", port=1, certificate=None, now=NOW, context=context)
    )
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.SERVER_EXPIRED, "server")
    for word in words:
        assert word in explained.text


def test_an_expired_server_may_be_an_authority_where_those_are_not_known() -> None:
    """If the platform verifies, the certificate at fault is unknown, and the text says so."""
    error = ssl.SSLCertVerificationError("certificate has expired")
    error.verify_message, error.verify_code = "certificate has expired", 10
    for context in (None, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        explained = explain_failure(error, attrs.evolve(handshake(), context=context))
        assert explained is not None
        assert "the error does not tell which" in explained.text


VERIFIERS = {
    "“localhost” certificate is expired": Reason.SERVER_EXPIRED,
    "A required certificate is not within its validity period when verifying": Reason.SERVER_EXPIRED,
    "“localhost” certificate name does not match input": Reason.SERVER_WRONG_HOST,
    "The certificate's CN name does not match the passed value.": Reason.SERVER_WRONG_HOST,
    "“localhost” certificate is not trusted": Reason.SERVER_UNKNOWN_CA,
    "terminated in a root certificate which is not trusted by the trust provider.": Reason.SERVER_UNKNOWN_CA,
    "The certificate is revoked.": Reason.SERVER_REVOKED,
    "something new": Reason.SERVER_UNTRUSTED,
}


@pytest.mark.parametrize("said", VERIFIERS)
def test_the_verifiers_of_macos_and_windows_are_understood_by_their_words(said: str) -> None:
    """Their errors have other codes, or none; the messages still tell the reason, and are quoted."""
    error = ssl.SSLCertVerificationError(said)
    error.verify_message = said
    error.verify_code = -67818
    explained = explain_failure(error, handshake())
    assert explained is not None
    assert (explained.reason, explained.side) == (VERIFIERS[said], "server")
    assert said.rstrip(".") in explained.text


def test_an_error_without_attributes_is_understood_by_its_text() -> None:
    """An error raised by Python code has neither code nor message, only its text."""
    explained = explain_failure(ssl.SSLCertVerificationError("hostname mismatch"), handshake())
    assert explained is not None
    assert explained.reason == Reason.SERVER_WRONG_HOST
