"""Why a TLS connection failed: which side refused which certificate, as far as that can be known.

Pure: exceptions and bytes go in, an explanation comes out. It knows the exceptions of `ssl` and of sockets, wherever
they stand in a chain of causes, and no HTTP client's. Under TLS 1.3 the server judges our certificate after our side of
the handshake is done, so its alert arrives with the first read, or is lost when the server resets the connection.
"""

from __future__ import annotations

import datetime as dt
import re
import ssl
from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._tls.facts import moment
from seic._tls.reasons import Reason
from seic._tls.verdicts import describe_verify_error

#: Whose certificate, configuration or server it is about.
Side: TypeAlias = Literal["client", "server", "unknown"]
#: How far a connection was: in its handshake, at its first exchange, at that with a server that has shown that it ended
#: the handshake too, or past that.
Stage: TypeAlias = Literal["handshake", "first", "agreed", "later"]

_OLD_PROTOCOL = re.compile(r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|WRONG_SSL_VERSION|NO_PROTOCOLS_AVAILABLE")
_NO_TLS = re.compile(
    r"WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG"
)
_WEAK = re.compile(r"KEY_TOO_SMALL|WRONG_SIGNATURE_TYPE|MD_TOO_WEAK|UNSAFE_LEGACY_RENEGOTIATION")
# OpenSSL writes the alerts of TLS 1.0's extensions (RFC 6066 §9) without the word.
_ALERT = re.compile(r"(?:ALERT_|TLSV1_(?!ALERT))([A-Z]+(?:_[A-Z]+)*)")
_RESETS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

# What web servers answer over HTTP when they hold the certificate against us: nginx (400, or its own 495 to 497), IIS
# (403.7, 403.13, 403.16, 403.17).
_REPLIES = (
    (re.compile(rb"no required ssl certificate was sent|http error 403\.7\b", re.IGNORECASE), Reason.DEMANDED),
    (re.compile(rb"http error 403\.13\b", re.IGNORECASE), Reason.REVOKED),
    (re.compile(rb"http error 403\.16\b", re.IGNORECASE), Reason.UNKNOWN_TO_SERVER),
    (re.compile(rb"http error 403\.17\b", re.IGNORECASE), Reason.EXPIRED),
    (re.compile(rb"the ssl certificate error", re.IGNORECASE), Reason.REFUSED),
    (re.compile(rb"plain http request was sent to https port", re.IGNORECASE), Reason.NOT_TLS),
)
_STATUSES = {495: Reason.REFUSED, 496: Reason.DEMANDED, 497: Reason.NOT_TLS}
# Their pages are short; the body of an API's own 400 or 403 need not be searched whole.
_MOST_BYTES = 4096


@attrs.frozen(kw_only=True)
class Explanation:
    """What went wrong, for a person; `certain` tells what was said from what was guessed."""

    reason: Reason
    text: str
    side: Side
    certain: bool = True
    path: str | None = None

    def as_error(self) -> CertificateError | None:
        """Return the error where it is our certificate that cannot work; None where it is the server or unknown."""
        if self.side != "client":
            return None
        return CertificateError(self.text, path=self.path, reason=self.reason.value)


@attrs.frozen(kw_only=True)
class HandshakeContext:
    """Who met whom when; what every explanation needs beside the failure itself.

    Args:
        host: The server's name as it was checked against its certificate.
        port: Its port.
        certificate: What we presented; None for none.
        now: Aware; this machine's clock, or a test's.
        stage: How far the connection was when it failed.
        context: By whose authorities it went; None where that is not known.
    """

    host: str
    port: int
    certificate: ClientCertificate | None
    now: dt.datetime
    stage: Stage = "first"
    context: ssl.SSLContext | None = None


def explain_failure(
    error: BaseException, handshake: HandshakeContext, *, handled: BaseException | None = None
) -> Explanation | None:
    """Explain an exception by what stands in its chain of causes.

    Args:
        error: What the call failed with.
        handshake: Who met whom.
        handled: What the caller was handling when the call began. Python chains it to whatever the call raises, and it
            is about something else.

    Returns:
        None where TLS has no part in it: a name that does not resolve, a refused connection, a timeout.
    """
    for link in _chain(error, handled):
        if isinstance(link, ssl.SSLCertVerificationError):
            return _by_us(link, handshake)
        if isinstance(link, _RESETS):
            return explain_close(handshake)
        # That more bytes are awaited is no failure; asyncio's streams leave it in the chain of what is one.
        if isinstance(link, ssl.SSLError) and not isinstance(link, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
            return _by_openssl(link, handshake)
    return None


def explain_close(handshake: HandshakeContext) -> Explanation | None:
    """Explain a connection that the server closed without a word: over TLS 1.3 a refused certificate can look so.

    Returns:
        None for a connection that had served before: its end is no matter of certificates.
    """
    if handshake.stage == "later":
        return None
    if handshake.stage == "handshake":
        closed = "the connection was closed before the handshake ended"
        # Over TLS 1.2 the certificate may have been judged by then.
        return _dates(handshake, closed) or _explanation(
            handshake,
            Reason.CLOSED_EARLY,
            f"{closed}; why cannot be told: something else may answer on that port, this machine's address may not be "
            "on the server's allow-list, or the server is out of order",
            "unknown",
            certain=False,
        )
    closed = "the server closed the connection without an answer"
    if handshake.certificate is None:
        return _explanation(
            handshake,
            Reason.CLOSED_EARLY,
            f"{closed}; no client certificate is configured: if it demands one, pass certificate=…; or this machine's "
            "address is not on its allow-list, or it is out of order",
            "unknown",
            certain=False,
        )
    ours = _ours(handshake.certificate)
    if handshake.stage == "agreed":
        return _explanation(
            handshake,
            Reason.CLOSED_EARLY,
            f"{closed}, though it had ended the TLS handshake with {ours}; why cannot be told: it may not take the "
            "request (for its size, or for this machine's address), may judge the certificate only then, or is out of "
            "order; ask whoever runs the server",
            "unknown",
            certain=False,
        )
    return _dates(handshake, closed) or _explanation(
        handshake,
        Reason.CLOSED_EARLY,
        f"{closed}; why cannot be told: it may refuse {ours}, which it may not know, or which may be revoked, or the "
        "request (for its size, or because this machine's address is not on its allow-list), or is out of order; ask "
        "whoever runs the server",
        "unknown",
        certain=False,
    )


def explain_reply(status: int, body: bytes, handshake: HandshakeContext) -> Explanation | None:
    """Explain an HTTP reply by which a web server holds the client certificate against us.

    Args:
        status: The reply's status.
        body: Its body, or the beginning of it.
        handshake: Who answered whom.

    Returns:
        None for every other reply.
    """
    reason = _STATUSES.get(status)
    if reason is None and status in (400, 403):
        reason = next((found for pattern, found in _REPLIES if pattern.search(body[:_MOST_BYTES])), None)
    if reason is None:
        return None
    if reason == Reason.NOT_TLS:
        return _explanation(handshake, reason, "the request went to a TLS port in clear; write https://", "unknown")
    return _about_ours(reason, handshake, f"the server answered {status}")


def _chain(error: BaseException, end: BaseException | None) -> Iterator[BaseException]:
    seen = {id(end)}
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _by_us(error: ssl.SSLCertVerificationError, handshake: HandshakeContext) -> Explanation:
    reason, verdict = describe_verify_error(error, handshake.now, handshake.context)
    return _explanation(handshake, reason, verdict, "server")


def _by_openssl(error: ssl.SSLError, handshake: HandshakeContext) -> Explanation:
    name = (error.reason or str(error)).upper().replace(" ", "_")
    if _OLD_PROTOCOL.search(name):
        text = "the server speaks neither TLS 1.2 nor TLS 1.3; whoever runs it must enable one of them"
        return _explanation(handshake, Reason.PROTOCOL_TOO_OLD, text, "server")
    if _NO_TLS.search(name):
        text = "what answers there does not speak TLS; check the port, and whether a proxy stands between"
        return _explanation(handshake, Reason.NOT_TLS, text, "server")
    if _WEAK.search(name):
        text = f"the server's side of the handshake is too weak for this system's OpenSSL ({_words(name)})"
        return _explanation(handshake, Reason.SERVER_WEAK, f"{text}; whoever runs it must correct that", "server")
    alert = _ALERT.search(name)
    if alert is None:
        return _explanation(
            handshake,
            Reason.NO_COMMON_GROUND,
            f"the TLS handshake failed ({_words(name)}); tell whoever runs the server",
            "unknown",
            certain=False,
        )
    return _by_alert(alert.group(1), handshake)


def _by_alert(alert: str, handshake: HandshakeContext) -> Explanation:
    said = f"the server refused the handshake with the TLS alert '{_words(alert)}'"
    # RFC 8446 §6.2 and RFC 5246 §7.2.2.
    reason = {
        "CERTIFICATE_REQUIRED": Reason.DEMANDED,
        "NO_CERTIFICATE": Reason.DEMANDED,
        "CERTIFICATE_EXPIRED": Reason.EXPIRED,
        "CERTIFICATE_REVOKED": Reason.REVOKED,
        "UNKNOWN_CA": Reason.UNKNOWN_TO_SERVER,
        "CERTIFICATE_UNKNOWN": Reason.REFUSED,
        "BAD_CERTIFICATE": Reason.REFUSED,
        "UNSUPPORTED_CERTIFICATE": Reason.NOT_FOR_CLIENTS,
        "ACCESS_DENIED": Reason.REFUSED,
    }.get(alert)
    if reason is not None:
        return _about_ours(reason, handshake, said)
    if alert == "UNRECOGNIZED_NAME":
        text = f"{said}: it serves no host of this name; check the host and port"
        return _explanation(handshake, Reason.SERVER_WRONG_HOST, text, "server")
    if alert != "HANDSHAKE_FAILURE":
        text = f"{said}; ask whoever runs the server"
        return _explanation(handshake, Reason.NO_COMMON_GROUND, text, "unknown", certain=False)
    if handshake.certificate is None:
        text = (
            f"{said}: it may demand a client certificate, and none is configured (pass certificate=…), or there is no "
            "cipher that both sides allow"
        )
    else:
        ours = _ours(handshake.certificate)
        text = (
            f"{said}: it may not accept {ours} or its kind of key, or there is no cipher that both sides "
            "allow; ask whoever runs the server"
        )
    return _dates(handshake, said) or _explanation(handshake, Reason.NO_COMMON_GROUND, text, "unknown", certain=False)


def _about_ours(reason: Reason, handshake: HandshakeContext, said: str) -> Explanation:
    if handshake.certificate is None:
        certain = reason == Reason.DEMANDED
        text = (
            "it demands a client certificate, and none is configured; pass certificate=…"
            if certain
            else "it may demand a client certificate, and none is configured; pass certificate=… if it does, or ask "
            "whoever runs the server"
        )
        return _explanation(handshake, Reason.DEMANDED, f"{said}: {text}", "client", certain=certain)
    ours = _ours(handshake.certificate)
    if reason == Reason.NOT_FOR_CLIENTS and _is_for_clients(handshake.certificate) and _dates(handshake, said) is None:
        text = f"{said}: it does not take this kind of key or certificate: {ours}; ask whoever runs the server"
        return _explanation(handshake, Reason.REFUSED, text, "client", certain=False)
    if reason == Reason.DEMANDED:
        text = (
            f"{said}: it demands a client certificate, and {ours} did not reach it; a proxy that ends TLS "
            "may stand between, or the server may not take this kind of key"
        )
        return _explanation(handshake, reason, text, "client")
    by_date = _dates(handshake, said)
    if by_date is not None:
        return by_date
    awaited = handshake.certificate.awaited_issuer
    chain = f"append the intermediate certificate of {awaited}, if that is one, or " if awaited else ""
    text = {
        Reason.EXPIRED: f"it takes {ours} or a certificate above it for expired, which by this machine's "
        f"clock ({moment(handshake.now)}) it is not; compare the clocks, and replace an expired intermediate "
        "certificate in the file",
        Reason.REVOKED: f"it says that {ours} was revoked; have {handshake.certificate.issuer} issue a new one",
        Reason.UNKNOWN_TO_SERVER: f"it does not know the authority behind {ours}; {chain}ask whoever runs "
        "the server which authorities it accepts, and check that the certificate is for this environment",
        Reason.NOT_FOR_CLIENTS: f"it does not take {ours} for a client's; ask {handshake.certificate.issuer} "
        "for one with extended key usage clientAuth",
        Reason.REFUSED: f"it does not accept {ours}, and does not say why: it may be revoked, unknown, or "
        f"issued by an authority that the server does not know; {chain}ask whoever runs the server",
    }[reason]
    return _explanation(handshake, reason, f"{said}: {text}", "client", certain=reason != Reason.REFUSED)


def _is_for_clients(certificate: ClientCertificate) -> bool:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        extensions = x509.load_der_x509_certificate(certificate.leaf.der).extensions
        return ExtendedKeyUsageOID.CLIENT_AUTH in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True


def _dates(handshake: HandshakeContext, said: str) -> Explanation | None:
    if handshake.certificate is None:
        return None
    try:
        handshake.certificate.check(handshake.now)
    except CertificateError as error:
        return _explanation(handshake, Reason(error.reason or Reason.REFUSED), f"{said}: {error}", "client")
    return None


def _ours(certificate: ClientCertificate) -> str:
    return f"our certificate ({certificate.leaf.inline}, issuer {certificate.issuer}, from {certificate.path})"


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _explanation(
    handshake: HandshakeContext, reason: Reason, text: str, side: Side, *, certain: bool = True
) -> Explanation:
    host = f"[{handshake.host}]" if ":" in handshake.host else handshake.host
    path = handshake.certificate.path if handshake.certificate is not None and side == "client" else None
    return Explanation(reason=reason, text=f"{host}:{handshake.port}: {text}", side=side, certain=certain, path=path)
