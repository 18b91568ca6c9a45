"""Each defect of a server, its certificate or its protocol is refused by name, against real servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import attrs
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from seic import CertificateError, Reason
from tests._support.handshakes import CALLS, OTHER, Call, configure, fail
from tests._support.pki import DAY, NOW, Minted, authority, mint, server, signed_over_sha1
from tests._support.tls_servers import TlsServer

OLD_BETWEEN = mint("Between", issuer=authority(), ca=True, number=72, not_after=NOW - DAY / 2)


def weak(context: ssl.SSLContext) -> None:
    """Let a server use keys and signatures that are too weak for its OpenSSL."""
    context.set_ciphers("ALL:@SECLEVEL=0")


def _knows_no_name(context: ssl.SSLContext) -> None:
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


@attrs.frozen
class Theirs:
    """A server that seic refuses, the reason, and words of the error."""

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
            "the server's certificate, or an intermediate that it sends, has expired (no authority",
            "must renew",
            "clock says",
        ],
    ),
    "expired-intermediate": Theirs(
        lambda root: TlsServer(server(OLD_BETWEEN), chain=OLD_BETWEEN.pem),
        Reason.SERVER_EXPIRED,
        ["or an intermediate that it sends, has expired (no authority that is trusted here has)"],
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
        lambda root: TlsServer(server(OTHER)),
        Reason.SERVER_UNKNOWN_CA,
        ["authority that is not trusted here", "ca=..."],
    ),
    "unknown-root-in-the-chain": Theirs(
        lambda root: TlsServer(server(OTHER), chain=OTHER.pem), Reason.SERVER_UNKNOWN_CA, ["not trusted here"]
    ),
    "missing-intermediate": Theirs(
        lambda root: TlsServer(server(mint("Between", issuer=root, ca=True, number=72))),
        Reason.SERVER_UNKNOWN_CA,
        ["does not send an intermediate", "does not tell which", "check its chain"],
    ),
    "wrong-usage": Theirs(
        lambda root: TlsServer(server(root, usages=(Usage.CLIENT_AUTH,))),
        Reason.SERVER_WRONG_USAGE,
        ["not for servers", "serverAuth"],
    ),
    "weak-key": Theirs(
        lambda root: TlsServer(server(root, key="rsa1024"), prepare=weak), Reason.SERVER_WEAK, ["too weak", "OpenSSL"]
    ),
    "unknown-name": Theirs(
        lambda root: TlsServer(server(root), prepare=_knows_no_name),
        Reason.SERVER_WRONG_HOST,
        ["has no host of this name"],
    ),
    "sha-1": Theirs(
        lambda root: TlsServer(signed_over_sha1(server(root)), prepare=weak),
        Reason.SERVER_WEAK,
        ["signature that is too weak"],
    ),
}


@pytest.mark.parametrize("send", CALLS)
@pytest.mark.parametrize("row", SERVERS)
def test_a_defect_of_the_servers_certificate_is_refused_by_name(row: str, send: Call, root: Minted) -> None:
    """The error names the server's defect, and is not about our certificate."""
    expected = SERVERS[row]
    with expected.serve(root) as far:
        error = fail(send, configure(far.port, ca=expected.ca, host=expected.host))
    assert not isinstance(error, CertificateError)
    assert error.reason == expected.reason  # type: ignore[attr-defined]  # seic's addition to httpx's error
    for word in expected.words:
        assert word in str(error)


@pytest.mark.parametrize("send", CALLS)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_a_protocol_that_is_too_old_is_named(send: Call, root: Minted) -> None:
    """A server that supports at most TLS 1.1 is refused by name."""
    with TlsServer(server(root), version=ssl.TLSVersion.TLSv1_1, prepare=weak) as far:
        error = fail(send, configure(far.port))
    assert error.reason == Reason.PROTOCOL_TOO_OLD  # type: ignore[attr-defined]
    assert "neither TLS 1.2 nor TLS 1.3" in str(error)


@contextlib.contextmanager
def plain_server(reply: bytes) -> Iterator[int]:
    """Run a server without TLS that answers the first request."""

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # the test ended without a connection
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
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread if no client connected
            thread.join()


@pytest.mark.parametrize("send", CALLS)
def test_a_port_without_tls_is_named(send: Call) -> None:
    """A plain HTTP server behind an https URL is refused by name."""
    with plain_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = fail(send, configure(port))
    assert error.reason == Reason.NOT_TLS  # type: ignore[attr-defined]
    assert "does not speak TLS; check the port" in str(error)
