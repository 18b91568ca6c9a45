"""A failed connection is explained: which side refused which certificate and why, against real TLS servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from seic._tls.context import build_context
from seic._tls.diagnose import Stage, explain_close, explain_failure
from seic._tls.reasons import Reason
from seic._tls.trust import read_trust
from tests._support.handshakes import (
    OTHER,
    STYLES,
    by_async_httpx,
    by_httpx,
    by_strict_socket,
    fail,
    handshake,
    load,
    openssl_error,
    weak,
)
from tests._support.pki import DAY, NOW, Minted, mint, revocation_list, server
from tests._support.tls_servers import TLS12, TLS13, TlsServer


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_a_protocol_that_is_too_old_is_named(style: Any, root: Minted) -> None:
    """A server that speaks TLS 1.1 at most is told as such."""
    with TlsServer(server(root), version=ssl.TLSVersion.TLSv1_1, prepare=weak) as far:
        explained = fail(style, far.port)
    assert (explained.reason, explained.side) == (Reason.PROTOCOL_TOO_OLD, "server")
    assert "neither TLS 1.2 nor TLS 1.3" in explained.text


@contextlib.contextmanager
def plain_server(reply: bytes) -> Iterator[int]:
    """Run a server without TLS that answers whatever comes, once."""

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # nobody connected
            return
        with connection:
            connection.recv(65536)
            connection.sendall(reply)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes a thread that nobody connected to
            thread.join()


@pytest.mark.parametrize("style", STYLES)
def test_a_port_without_tls_is_named(style: Any) -> None:
    """A plain HTTP server behind an https URL is told as such."""
    with plain_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        explained = fail(style, port)
    assert (explained.reason, explained.side) == (Reason.NOT_TLS, "server")
    assert "does not speak TLS; check the port" in explained.text


@attrs.frozen
class Ours:
    """A client that a server refuses, and what is to be said of it."""

    client: Callable[[Minted], Minted | None]
    reason: Reason
    words: list[str]
    revoked: bool = False


CLIENTS = {
    "expired": Ours(
        lambda root: mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        Reason.EXPIRED,
        ["the certificate expired on", "(CN=svc-user)", "renew it"],
    ),
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
    "not-yet-valid": Ours(
        lambda root: mint(issuer=root, not_before=NOW + DAY),
        Reason.NOT_YET_VALID,
        ["is not valid before", "this machine's clock says"],
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


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("row", CLIENTS)
def test_each_refusal_of_our_certificate_is_named(
    row: str, version: ssl.TLSVersion, style: Any, root: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """By the server's alert the explanation names our certificate, what the server holds against it, and the remedy."""
    expected = CLIENTS[row]
    minted = expected.client(root)
    assert minted is not None
    certificate = load(minted)
    with _refusing(root, minted, version, revoked=expected.revoked) as far:
        explained = fail(style, far.port, client=certificate)

    assert (explained.reason, explained.side) == (expected.reason, "client")
    assert explained.path == certificate.path
    for word in expected.words:
        assert word in explained.text
    assert_no_leak(explained, keys=(minted,))


@pytest.mark.parametrize("style", STYLES)
def test_a_missing_client_certificate_is_named_over_tls_1_3(style: Any, root: Minted) -> None:
    """TLS 1.3 has an alert for it: the server demands a certificate and none is configured."""
    with _refusing(root, None, TLS13) as far:
        explained = fail(style, far.port)
    assert (explained.reason, explained.side) == (Reason.DEMANDED, "client")
    assert "demands a client certificate, and none is configured; pass certificate=" in explained.text
    assert explained.path is None


@pytest.mark.parametrize("style", STYLES)
def test_a_missing_client_certificate_is_guessed_over_tls_1_2(style: Any, root: Minted) -> None:
    """TLS 1.2 has only 'handshake failure': the explanation says what it may be, and that it does not know."""
    with _refusing(root, None, TLS12) as far:
        explained = fail(style, far.port)
    assert (explained.reason, explained.side) == (Reason.NO_COMMON_GROUND, "unknown")
    assert "may demand a client certificate, and none is configured" in explained.text
    assert "no cipher that both sides allow" in explained.text


@pytest.mark.parametrize("style", STYLES)
def test_no_common_cipher_is_guessed_with_a_certificate(style: Any, client: Minted, root: Minted) -> None:
    """'Handshake failure' with a certificate that is in order: both possible causes are told."""
    with TlsServer(
        server(root), trusts=root, version=TLS12, prepare=lambda far: far.set_ciphers("ECDHE-RSA-AES128-SHA")
    ) as far:
        explained = fail(style, far.port, client=load(client))
    assert (explained.reason, explained.side) == (Reason.NO_COMMON_GROUND, "unknown")
    assert "may not accept our certificate" in explained.text


@pytest.mark.parametrize(
    ("row", "reason", "side", "words"),
    [
        pytest.param("expired", Reason.EXPIRED, "client", ["the certificate expired on", "CN=svc-user"], id="expired"),
        pytest.param(
            "revoked",
            Reason.CLOSED_EARLY,
            "unknown",
            [
                "closed the connection without an answer",
                "CN=svc-user",
                "the reason is unknown",
                "revoked",
                "allow-list",
            ],
            id="in-order",
        ),
        pytest.param(
            None,
            Reason.CLOSED_EARLY,
            "unknown",
            ["no client certificate is configured", "pass certificate="],
            id="none",
        ),
    ],
)
@pytest.mark.parametrize("style", [by_strict_socket, by_async_httpx])
def test_a_lost_alert_is_told_from_the_certificate_we_hold(
    *, style: Any, row: str | None, reason: Reason, side: str, words: list[str], root: Minted
) -> None:
    """Where a reset takes the alert of TLS 1.3 with it, our certificate's dates tell, or a list of what it may be."""
    minted = CLIENTS[row].client(root) if row else None
    certificate = load(minted) if minted else None
    with TlsServer(server(root), version=TLS13, reset=True) as far:
        explained = fail(style, far.port, client=certificate)
    assert (explained.reason, explained.side) == (reason, side)
    for word in words:
        assert word in explained.text


def test_a_quiet_end_that_a_client_reports_itself_is_explained_on_demand(client: Minted, root: Minted) -> None:
    """Httpx on a thread sees only a stream that ended; its own error has no cause, so the caller asks for the words."""
    certificate = load(client)
    context = build_context(certificate, read_trust(root.pem))
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
def test_what_else_openssl_reports_is_explained(name: str, client: Minted) -> None:
    """Each of OpenSSL's words for a failed handshake has its explanation."""
    reason, side, word = ALERTS[name]
    explained = explain_failure(openssl_error(name), handshake(load(client)))
    assert explained is not None
    assert (explained.reason, explained.side) == (reason, side)
    assert word in explained.text


def test_an_alert_is_read_from_the_text_where_there_is_no_code(client: Minted) -> None:
    """A newer OpenSSL than Python was built for gives no code, only words."""
    error = openssl_error(None, "[SSL] tlsv1 alert unknown ca (_ssl.c:1006)")
    explained = explain_failure(error, handshake(load(client)))
    assert explained is not None
    assert explained.reason == Reason.UNKNOWN_TO_SERVER


def test_an_alert_about_a_certificate_we_do_not_have_means_that_one_is_demanded() -> None:
    """Go's servers answer 'bad certificate' to a client without one; that this is the cause is a guess."""
    explained = explain_failure(openssl_error("SSLV3_ALERT_BAD_CERTIFICATE"), handshake())
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.DEMANDED, "client")
    assert "it may demand a client certificate" in explained.text


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), TimeoutError(), socket.gaierror(-2, "unknown"), ValueError("x")]
)
def test_what_is_not_about_tls_is_not_explained(error: Exception) -> None:
    """A refused connection, a timeout and an unknown name are told by their own errors."""
    assert explain_failure(error, handshake()) is None


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    """A cycle of causes is walked once."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    assert explain_failure(first, handshake()) is None


def test_the_cause_is_found_behind_a_context() -> None:
    """An error raised while another was handled counts as caused by it."""
    outer = RuntimeError("outer")
    outer.__context__ = BrokenPipeError(32, "pipe")
    explained = explain_failure(outer, handshake())
    assert explained is not None
    assert explained == explain_close(handshake())


@pytest.mark.parametrize("stage", ["handshake", "first"])
def test_a_close_upon_an_expired_certificate_is_about_that(stage: Stage, root: Minted) -> None:
    """It may have ended in service, and some servers hang up without an alert: whatever else is wrong, it is no use."""
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
