"""A failed connection is explained: which side refused which certificate and why, against real TLS servers."""

from __future__ import annotations

import asyncio
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

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._tls.context import build_context
from seic._tls.explain import Explanation, Meeting, explain_close, explain_failure, explain_reply
from seic._tls.reasons import Reason
from seic._tls.trust import read_trust
from tests._support.pki import DAY, NOW, Minted, authority, mint, revocation_list, server, signed_over_sha1
from tests._support.tls_servers import TLS12, TLS13, TlsServer, call

OTHER = authority("Other Root", 71)
OLD_END = NOW - DAY / 2
OLD = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=OLD_END)
OLD_BETWEEN = mint("Between", issuer=authority(), ca=True, number=72, not_after=NOW - DAY / 2)


def by_socket(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call as a program on a plain socket does."""
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
    """Call on a socket that takes no end of the stream for an answer; ssl's own default hides one without an alert."""
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
) -> Explanation:
    """Connect, expect a failure, and return its explanation."""
    context = build_context(client, read_trust((ca or authority()).pem))
    with pytest.raises((OSError, httpx.TransportError)) as caught:
        style(context, port, host)
    explained = explain_failure(
        caught.value, Meeting(host=host, port=port, certificate=client, now=NOW, context=context)
    )
    assert explained is not None
    assert explained.text.startswith(f"{host}:{port}: ")
    return explained


def load(minted: Minted) -> ClientCertificate:
    """Load with the pair in one file."""
    return ClientCertificate.load(minted.pair)


def _weak(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")


def _knows_no_name(context: ssl.SSLContext) -> None:
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


@attrs.frozen
class Theirs:
    """A server that we refuse, and what is to be said of it."""

    serve: Callable[[Minted], TlsServer]
    reason: Reason
    words: list[str]
    host: str = "localhost"
    ca: Minted | None = None


SERVERS = {
    "expired": Theirs(
        lambda root: TlsServer(server(root, not_after=NOW - DAY / 2)),
        Reason.SERVER_EXPIRED,
        [
            "the server's certificate, or one that it sends along, has expired, for no authority",
            "must renew",
            "clock says",
        ],
    ),
    "expired-intermediate": Theirs(
        lambda root: TlsServer(server(OLD_BETWEEN), chain=OLD_BETWEEN.pem),
        Reason.SERVER_EXPIRED,
        ["or one that it sends along, has expired, for no authority that is trusted here has"],
    ),
    "not-yet-valid": Theirs(
        lambda root: TlsServer(server(root, not_before=NOW + DAY)),
        Reason.SERVER_NOT_YET_VALID,
        ["not valid yet", "set this machine's clock", f"{NOW:%Y-%m-%d}"],
    ),
    "wrong-host": Theirs(
        lambda root: TlsServer(server(root, "other.example")),
        Reason.SERVER_WRONG_HOST,
        ["issued for another host name", "check the host and port", "not valid for 'localhost'"],
    ),
    "wrong-address": Theirs(
        lambda root: TlsServer(server(root, "10.0.0.1")),
        Reason.SERVER_WRONG_HOST,
        ["issued for another host name", "127.0.0.1"],
        host="127.0.0.1",
    ),
    "self-signed": Theirs(
        lambda root: TlsServer(mint("localhost", names=["localhost"], usages=None)),
        Reason.SERVER_SELF_SIGNED,
        ["self-signed", "pass its certificate as ca="],
    ),
    "unknown-authority": Theirs(
        lambda root: TlsServer(server(OTHER)), Reason.SERVER_UNKNOWN_CA, ["authority that is not trusted here", "ca=…"]
    ),
    "unknown-root-in-the-chain": Theirs(
        lambda root: TlsServer(server(OTHER), chain=OTHER.pem), Reason.SERVER_UNKNOWN_CA, ["not trusted here"]
    ),
    "missing-intermediate": Theirs(
        lambda root: TlsServer(server(mint("Between", issuer=root, ca=True, number=72))),
        Reason.SERVER_UNKNOWN_CA,
        ["leaves out an intermediate", "cannot be told", "check its chain"],
    ),
    "wrong-usage": Theirs(
        lambda root: TlsServer(server(root, usages=(Usage.CLIENT_AUTH,))),
        Reason.SERVER_WRONG_USAGE,
        ["not made for servers", "serverAuth"],
    ),
    "weak-key": Theirs(
        lambda root: TlsServer(server(root, key="rsa1024"), prepare=_weak), Reason.SERVER_WEAK, ["too weak", "OpenSSL"]
    ),
    "unknown-name": Theirs(
        lambda root: TlsServer(server(root), prepare=_knows_no_name),
        Reason.SERVER_WRONG_HOST,
        ["serves no host of this name"],
    ),
    "sha-1": Theirs(
        lambda root: TlsServer(signed_over_sha1(server(root)), prepare=_weak),
        Reason.SERVER_WEAK,
        ["signature that is too weak"],
    ),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("row", SERVERS)
def test_each_defect_of_a_server_is_refused_by_name(row: str, style: Any, root: Minted) -> None:
    """Whatever the client, the explanation names the server's defect, and it is no error of our certificate."""
    expected = SERVERS[row]
    with expected.serve(root) as far:
        explained = fail(style, far.port, host=expected.host, ca=expected.ca)
    assert (explained.reason, explained.side, explained.path) == (expected.reason, "server", None)
    assert explained.as_error() is None
    for word in expected.words:
        assert word in explained.text


@pytest.mark.parametrize(
    ("trusted", "words"),
    [
        pytest.param(
            [OLD],
            [
                f"the authority that is trusted here has expired (CN=Old Root, expired on {NOW - DAY / 2:%Y-%m-%d}",
                "into ca=…",
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
    """The server's certificate is in order, the authority that we were given has expired: it is named with its date."""
    context = build_context(None, read_trust(b"".join(one.pem for one in trusted), now=NOW - DAY))
    with TlsServer(server(OLD)) as far, pytest.raises((OSError, httpx.TransportError)) as caught:
        style(context, far.port, "localhost")
    explained = explain_failure(
        caught.value, Meeting(host="localhost", port=1, certificate=None, now=NOW, context=context)
    )
    assert explained is not None
    assert (explained.reason, explained.side) == (Reason.SERVER_EXPIRED, "server")
    for word in words:
        assert word in explained.text


def test_an_expired_server_may_be_an_authority_where_those_are_not_known() -> None:
    """Where the platform verifies, nobody knows which certificate it was, and the text says so."""
    error = ssl.SSLCertVerificationError("certificate has expired")
    error.verify_message, error.verify_code = "certificate has expired", 10
    for context in (None, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        explained = explain_failure(error, attrs.evolve(meeting(), context=context))
        assert explained is not None
        assert "which of them cannot be told" in explained.text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_a_protocol_that_is_too_old_is_named(style: Any, root: Minted) -> None:
    """A server that speaks TLS 1.1 at most is told as such."""
    with TlsServer(server(root), version=ssl.TLSVersion.TLSv1_1, prepare=_weak) as far:
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
    certain: bool = True


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
        ["does not take", "clientAuth"],
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

    assert (explained.reason, explained.side, explained.certain) == (expected.reason, "client", expected.certain)
    error = explained.as_error()
    assert isinstance(error, CertificateError)
    assert (error.reason, error.path, str(error)) == (expected.reason, certificate.path, explained.text)
    for word in expected.words:
        assert word in explained.text
    assert_no_leak(explained, error, keys=(minted,))


@pytest.mark.parametrize("style", STYLES)
def test_a_missing_client_certificate_is_named_over_tls_1_3(style: Any, root: Minted) -> None:
    """TLS 1.3 has an alert for it: the server demands a certificate and none is configured."""
    with _refusing(root, None, TLS13) as far:
        explained = fail(style, far.port)
    assert (explained.reason, explained.side, explained.certain) == (Reason.DEMANDED, "client", True)
    assert "demands a client certificate, and none is configured; pass certificate=" in explained.text
    assert explained.path is None


@pytest.mark.parametrize("style", STYLES)
def test_a_missing_client_certificate_is_guessed_over_tls_1_2(style: Any, root: Minted) -> None:
    """TLS 1.2 has only 'handshake failure': the explanation says what it may be, and that it does not know."""
    with _refusing(root, None, TLS12) as far:
        explained = fail(style, far.port)
    assert (explained.reason, explained.side, explained.certain) == (Reason.NO_COMMON_GROUND, "unknown", False)
    assert "may demand a client certificate, and none is configured" in explained.text
    assert "no cipher that both sides allow" in explained.text


@pytest.mark.parametrize("style", STYLES)
def test_no_common_cipher_is_guessed_with_a_certificate(style: Any, client: Minted, root: Minted) -> None:
    """'Handshake failure' with a certificate that is in order: both possible causes are told."""
    with TlsServer(
        server(root), trusts=root, version=TLS12, prepare=lambda far: far.set_ciphers("ECDHE-RSA-AES128-SHA")
    ) as far:
        explained = fail(style, far.port, client=load(client))
    assert (explained.reason, explained.side, explained.certain) == (Reason.NO_COMMON_GROUND, "unknown", False)
    assert "may not accept our certificate" in explained.text


@pytest.mark.parametrize(
    ("row", "reason", "side", "words"),
    [
        pytest.param("expired", Reason.EXPIRED, "client", ["the certificate expired on", "CN=svc-user"], id="expired"),
        pytest.param(
            "revoked",
            Reason.CLOSED_EARLY,
            "unknown",
            ["closed the connection without an answer", "CN=svc-user", "cannot be told", "revoked", "allow-list"],
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
    assert explained.certain is (row == "expired")
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
    explained = explain_failure(caught.value, meeting(certificate)) or explain_close(meeting(certificate))
    assert explained is not None
    assert explained.reason == Reason.CLOSED_EARLY


def meeting(certificate: ClientCertificate | None = None, host: str = "mtls.example", now: Any = NOW) -> Meeting:
    """A meeting for what no server of the tests says."""
    return Meeting(host=host, port=443, certificate=certificate, now=now)


def openssl_error(reason: str | None, text: str = "") -> ssl.SSLError:
    """An error as OpenSSL's are."""
    error = ssl.SSLError(1, text)
    error.reason = reason  # type: ignore[assignment]
    return error


ALERTS = {
    "SSLV3_ALERT_BAD_CERTIFICATE": (Reason.REFUSED, "client", False, "does not say why"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": (Reason.REFUSED, "client", False, "may be revoked, unknown"),
    "TLSV1_ALERT_ACCESS_DENIED": (Reason.REFUSED, "client", False, "append the intermediate"),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": (Reason.REFUSED, "client", False, "this kind of key or certificate"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (Reason.EXPIRED, "client", True, "compare the clocks"),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (Reason.DEMANDED, "client", True, "did not reach it; a proxy that ends TLS"),
    "TLSV1_UNSUPPORTED_EXTENSION": (Reason.NO_COMMON_GROUND, "unknown", False, "'unsupported extension'"),
    "TLSV1_ALERT_UNRECOGNIZED_NAME": (Reason.SERVER_WRONG_HOST, "server", True, "no host of this name"),
    "TLSV1_ALERT_INTERNAL_ERROR": (Reason.NO_COMMON_GROUND, "unknown", False, "'internal error'"),
    "UNSUPPORTED_PROTOCOL": (Reason.PROTOCOL_TOO_OLD, "server", True, "neither TLS 1.2"),
    "DH_KEY_TOO_SMALL": (Reason.SERVER_WEAK, "server", True, "dh key too small"),
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": (Reason.SERVER_WEAK, "server", True, "too weak"),
    "HTTP_REQUEST": (Reason.NOT_TLS, "server", True, "does not speak TLS"),
    "BAD_EXTENSION": (Reason.NO_COMMON_GROUND, "unknown", False, "(bad extension)"),
}


@pytest.mark.parametrize("name", ALERTS)
def test_what_else_openssl_reports_is_explained(name: str, client: Minted) -> None:
    """Each of OpenSSL's words for a failed handshake finds its explanation, certain or not."""
    reason, side, certain, word = ALERTS[name]
    explained = explain_failure(openssl_error(name), meeting(load(client)))
    assert explained is not None
    assert (explained.reason, explained.side, explained.certain) == (reason, side, certain)
    assert word in explained.text


def test_an_alert_is_read_from_the_text_where_there_is_no_code(client: Minted) -> None:
    """A newer OpenSSL than Python was built for gives no code, only words."""
    error = openssl_error(None, "[SSL] tlsv1 alert unknown ca (_ssl.c:1006)")
    explained = explain_failure(error, meeting(load(client)))
    assert explained is not None
    assert explained.reason == Reason.UNKNOWN_TO_SERVER


def test_an_alert_about_a_certificate_we_do_not_have_means_that_one_is_demanded() -> None:
    """Go's servers answer 'bad certificate' to a client without one; that this is the cause is a guess."""
    explained = explain_failure(openssl_error("SSLV3_ALERT_BAD_CERTIFICATE"), meeting())
    assert explained is not None
    assert (explained.reason, explained.side, explained.certain) == (Reason.DEMANDED, "client", False)
    assert "it may demand a client certificate" in explained.text


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
    """Their errors carry codes of their own, or none; the words still tell, and are repeated."""
    error = ssl.SSLCertVerificationError(said)
    error.verify_message = said
    error.verify_code = -67818
    explained = explain_failure(error, meeting())
    assert explained is not None
    assert (explained.reason, explained.side) == (VERIFIERS[said], "server")
    assert said.rstrip(".") in explained.text


def test_an_error_without_attributes_is_understood_by_its_text() -> None:
    """An error that Python code raised has neither code nor message, only its text."""
    explained = explain_failure(ssl.SSLCertVerificationError("hostname mismatch"), meeting())
    assert explained is not None
    assert explained.reason == Reason.SERVER_WRONG_HOST


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), TimeoutError(), socket.gaierror(-2, "unknown"), ValueError("x")]
)
def test_what_is_not_about_tls_is_not_explained(error: Exception) -> None:
    """A refused connection, a timeout and an unknown name are told by their own errors."""
    assert explain_failure(error, meeting()) is None


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    """A cycle of causes is walked once."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    assert explain_failure(first, meeting()) is None


def test_the_cause_is_found_behind_a_context() -> None:
    """An error raised while another was handled counts as caused by it."""
    outer = RuntimeError("outer")
    outer.__context__ = BrokenPipeError(32, "pipe")
    explained = explain_failure(outer, meeting())
    assert explained is not None
    assert explained == explain_close(meeting())


def test_an_ipv6_host_is_written_in_brackets() -> None:
    """The address and the port stay apart."""
    explained = explain_close(meeting(host="::1"))
    assert explained is not None
    assert explained.text.startswith("[::1]:443: ")


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
    explained = explain_reply(status, body, meeting(load(client)))
    assert explained is not None
    assert (explained.reason, explained.side) == (reason, "client")
    assert explained.text.startswith(f"mtls.example:443: the server answered {status}: it ")
    assert "CN=svc-user" in explained.text


@pytest.mark.parametrize("row", REPLIES)
def test_a_page_against_a_client_without_a_certificate_asks_for_one(row: str) -> None:
    """Without a certificate every such page means that one is demanded."""
    status, body, _ = REPLIES[row]
    explained = explain_reply(status, body, meeting())
    assert explained is not None
    assert explained.reason == Reason.DEMANDED
    assert "none is configured; pass certificate=" in explained.text


def test_nginx_says_an_expired_certificate_is_an_error_of_ours(root: Minted) -> None:
    """Nginx's page does not say why; the certificate's own dates do."""
    status, body, _ = REPLIES["nginx-refused"]
    old = load(mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    explained = explain_reply(status, body, meeting(old))
    assert explained is not None
    assert (explained.reason, explained.certain) == (Reason.EXPIRED, True)


@pytest.mark.parametrize(
    ("status", "body"), [(400, NGINX_400 % ((b"The plain HTTP request was sent to HTTPS port",) * 2)), (497, b"")]
)
def test_clear_text_on_a_tls_port_is_told_as_such(status: int, body: bytes, client: Minted) -> None:
    """A request in clear to a TLS port is no matter of the certificate."""
    explained = explain_reply(status, body, meeting(load(client)))
    assert explained is not None
    assert explained.reason == Reason.NOT_TLS
    assert explained.as_error() is None


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
    assert explain_reply(status, body, meeting(load(client))) is None
