"""What we hold against a server's certificate is told by name, against real TLS servers."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from seic._tls.context import build_context
from seic._tls.diagnose import HandshakeContext, explain_failure
from seic._tls.reasons import Reason
from seic._tls.trust import read_trust
from tests._support.handshakes import (
    OTHER,
    STYLES,
    fail,
    handshake,
    weak,
)
from tests._support.pki import DAY, NOW, Minted, authority, mint, server, signed_over_sha1
from tests._support.tls_servers import TlsServer

OLD_END = NOW - DAY / 2
OLD = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=OLD_END)
OLD_BETWEEN = mint("Between", issuer=authority(), ca=True, number=72, not_after=NOW - DAY / 2)


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
        lambda root: TlsServer(server(OTHER)), Reason.SERVER_UNKNOWN_CA, ["authority that is not trusted here", "ca=…"]
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


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("row", SERVERS)
def test_each_defect_of_a_server_is_refused_by_name(row: str, style: Any, root: Minted) -> None:
    """Whatever the client, the explanation names the server's defect, and it is no error of our certificate."""
    expected = SERVERS[row]
    with expected.serve(root) as far:
        explained = fail(style, far.port, host=expected.host, ca=expected.ca)
    assert (explained.reason, explained.side, explained.path) == (expected.reason, "server", None)
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
        caught.value, HandshakeContext(host="localhost", port=1, certificate=None, now=NOW, context=context)
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
    """Their errors carry codes of their own, or none; the words still tell, and are repeated."""
    error = ssl.SSLCertVerificationError(said)
    error.verify_message = said
    error.verify_code = -67818
    explained = explain_failure(error, handshake())
    assert explained is not None
    assert (explained.reason, explained.side) == (VERIFIERS[said], "server")
    assert said.rstrip(".") in explained.text


def test_an_error_without_attributes_is_understood_by_its_text() -> None:
    """An error that Python code raised has neither code nor message, only its text."""
    explained = explain_failure(ssl.SSLCertVerificationError("hostname mismatch"), handshake())
    assert explained is not None
    assert explained.reason == Reason.SERVER_WRONG_HOST
