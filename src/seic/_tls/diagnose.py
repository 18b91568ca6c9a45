"""Explanations of failed TLS connections: the side, the certificate and the remedy, as far as they can be known.

It reads the exceptions of `ssl` and of sockets anywhere in a chain of causes, and no HTTP client's. Under TLS 1.3 the
server checks our certificate after our side of the handshake is done, so its alert arrives with the first read, or is
lost if the server resets the connection.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import ssl
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._values import frozen
from seic._x509.certificate_info import clock_says, format_time
from seic._x509.reasons import Reason

#: The side whose certificate, configuration or server is at fault.
Side: TypeAlias = Literal["client", "server", "unknown"]
#: The progress of a connection: in its handshake; in its first exchange, which under TLS 1.3 may still be a refused
#: handshake; in its first exchange with a handshake that the server confirmed; later.
Stage: TypeAlias = Literal["handshake", "first", "agreed", "later"]

# OpenSSL's reasons.
_OLD_PROTOCOL = re.compile(r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|WRONG_SSL_VERSION|NO_PROTOCOLS_AVAILABLE")
_NO_TLS = re.compile(
    r"WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG"
)
_WEAK = re.compile(r"KEY_TOO_SMALL|WRONG_SIGNATURE_TYPE|MD_TOO_WEAK|UNSAFE_LEGACY_RENEGOTIATION")
# The alerts of TLS 1.0's extensions (RFC 6066 §9) lack the word ALERT.
_ALERT = re.compile(r"(?:ALERT_|TLSV1_(?!ALERT))([A-Z]+(?:_[A-Z]+)*)")
# RFC 8446 §6.2 and RFC 5246 §7.2.2.
_ALERT_REASONS = {
    "CERTIFICATE_REQUIRED": Reason.DEMANDED,
    "NO_CERTIFICATE": Reason.DEMANDED,
    "CERTIFICATE_EXPIRED": Reason.EXPIRED,
    "CERTIFICATE_REVOKED": Reason.REVOKED,
    "UNKNOWN_CA": Reason.UNKNOWN_TO_SERVER,
    "CERTIFICATE_UNKNOWN": Reason.REFUSED,
    "BAD_CERTIFICATE": Reason.REFUSED,
    "UNSUPPORTED_CERTIFICATE": Reason.NOT_FOR_CLIENTS,
    "ACCESS_DENIED": Reason.REFUSED,
}
_RESETS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

# The replies by which web servers refuse a certificate: nginx (400, or its own 495 and 496), IIS (403.7, 403.13,
# 403.16, 403.17), Apache (403, over TLS 1.3).
_REPLIES = (
    (re.compile(rb"no required ssl certificate was sent|http error 403\.7\b", re.IGNORECASE), Reason.DEMANDED),
    (re.compile(rb"cannot perform post-handshake authentication", re.IGNORECASE), Reason.AFTER_HANDSHAKE),
    (re.compile(rb"http error 403\.13\b", re.IGNORECASE), Reason.REVOKED),
    (re.compile(rb"http error 403\.16\b", re.IGNORECASE), Reason.UNKNOWN_TO_SERVER),
    (re.compile(rb"http error 403\.17\b", re.IGNORECASE), Reason.EXPIRED),
    (re.compile(rb"the ssl certificate error", re.IGNORECASE), Reason.REFUSED),
)
_STATUSES = {495: Reason.REFUSED, 496: Reason.DEMANDED}
_SEARCHED_BYTES = 4096  # their pages are short

# X509_V_ERR_* of OpenSSL's x509_vfy.h, as in `SSLCertVerificationError.verify_code`.
_VERIFY_CODES = {
    **dict.fromkeys((2, 19, 20, 21), Reason.SERVER_UNKNOWN_CA),
    9: Reason.SERVER_NOT_YET_VALID,
    10: Reason.SERVER_EXPIRED,
    18: Reason.SERVER_SELF_SIGNED,
    23: Reason.SERVER_REVOKED,
    26: Reason.SERVER_WRONG_USAGE,
    **dict.fromkeys((62, 64), Reason.SERVER_WRONG_HOST),
    **dict.fromkeys((66, 67, 68), Reason.SERVER_WEAK),
}
# macOS and Windows have other codes but similar messages.
_VERIFY_MESSAGES = (
    (re.compile(r"expired|validity period", re.IGNORECASE), Reason.SERVER_EXPIRED),
    (re.compile(r"name does not match|mismatch|not valid for", re.IGNORECASE), Reason.SERVER_WRONG_HOST),
    (re.compile(r"revoked", re.IGNORECASE), Reason.SERVER_REVOKED),
    (re.compile(r"not trusted|untrusted|local issuer|self.signed", re.IGNORECASE), Reason.SERVER_UNKNOWN_CA),
)
_VERIFY_TEXTS = {
    Reason.SERVER_NOT_YET_VALID: "the server's certificate is not valid yet; set this machine's clock if it is wrong "
    "({clock}), or tell the server's operator",
    Reason.SERVER_WRONG_HOST: "the server's certificate was issued for another host name; check the host and port, and "
    "whether another server answers there",
    Reason.SERVER_SELF_SIGNED: "the server's certificate is self-signed, and not one of the trusted authorities; if "
    "this is the right server, pass its certificate as ca=...",
    Reason.SERVER_UNKNOWN_CA: "the server's certificate comes from an authority that is not trusted here, or the "
    "server does not send an intermediate certificate (the error does not tell which); pass a private authority as "
    "ca=..., and have the server's operator check its chain; a proxy that inspects TLS causes the same error",
    Reason.SERVER_REVOKED: "the server's certificate was revoked; the server's operator must replace it",
    Reason.SERVER_WRONG_USAGE: "the server's certificate is not for servers (its extended key usage lacks serverAuth); "
    "the server's operator must replace it",
    Reason.SERVER_WEAK: "the server's certificate, or one above it, has a key or a signature that is too weak for this "
    "system's OpenSSL; the server's operator must replace it",
    Reason.SERVER_UNTRUSTED: "the server's certificate could not be verified; tell the server's operator",
}
_MAX_NAMED = 3


@frozen(kw_only=True)
class HandshakeFailure:
    """The reason for a failure, its text, and the side at fault; `path` is our certificate's if that is at fault."""

    reason: Reason
    text: str
    side: Side
    path: str | None = None


@frozen(kw_only=True)
class HandshakeContext:
    """The facts that every explanation needs in addition to the failure.

    Args:
        host: The server's name, as checked against its certificate.
        port: Its port.
        certificate: Our certificate; None for none.
        now: An aware time by this machine's clock.
        stage: The connection's progress when it failed.
        context: The context with the trusted authorities; None if it is not known.
    """

    host: str
    port: int
    certificate: ClientCertificate | None
    now: dt.datetime
    stage: Stage = "first"
    context: ssl.SSLContext | None = None


def explain_failure(
    error: BaseException, handshake: HandshakeContext, *, handled: BaseException | None = None
) -> HandshakeFailure | None:
    """Explain an exception by its chain of causes.

    Args:
        error: The call's exception.
        handshake: The facts of the connection.
        handled: The exception that the caller was handling when the call began. Python chains it to the call's, but it
            is unrelated.

    Returns:
        None if the failure is unrelated to TLS: an unknown host name, a refused connection, a timeout.
    """
    for link in _chain(error, handled):
        if isinstance(link, ssl.SSLCertVerificationError):
            reason, text = _describe_verify_error(link, handshake.now, handshake.context)
            return _explanation(handshake, reason, text, "server")
        if isinstance(link, _RESETS):
            return explain_close(handshake)
        # "More bytes are needed" is not a failure, but asyncio's streams leave it in the chain of causes.
        if isinstance(link, ssl.SSLError) and not isinstance(link, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
            return _explain_ssl_error(link, handshake)
    return None


def explain_close(handshake: HandshakeContext) -> HandshakeFailure | None:
    """Explain a connection that the server closed without an alert; under TLS 1.3 that may refuse a certificate.

    Returns:
        None for a connection that had served a request before: its end is unrelated to certificates.
    """
    if handshake.stage == "later":
        return None
    if handshake.stage == "handshake":
        closed = "the connection was closed before the handshake ended"
        causes = (
            "the reason is unknown: another kind of server may listen on that port, this machine's address may not be "
            "on the server's allow-list, or the server is out of order"
        )
    elif handshake.certificate is None:
        closed = "the server closed the connection without an answer"
        causes = (
            "no client certificate is configured: if the server demands one, pass certificate=...; or this machine's "
            "address is not on its allow-list, or it is out of order"
        )
    elif handshake.stage == "agreed":
        closed = f"the server closed the connection without an answer after a TLS handshake with {_ours(handshake)}"
        causes = (
            "the reason is unknown: it may refuse the request (for its size, or for this machine's address), may check "
            "the certificate only then, or is out of order; ask the server's operator"
        )
        return _explanation(handshake, Reason.CLOSED_EARLY, f"{closed}; {causes}", "unknown")
    else:
        closed = "the server closed the connection without an answer"
        causes = (
            f"the reason is unknown: it may refuse {_ours(handshake)}, because it does not know or no longer accepts "
            "it (it may be revoked), or the request (for its size, or because this machine's address is not on its "
            "allow-list), or is out of order; ask the server's operator"
        )
    # A certificate that is out of date explains the close; over TLS 1.2 it is checked during the handshake.
    return _explain_dates(handshake, closed) or _explanation(
        handshake, Reason.CLOSED_EARLY, f"{closed}; {causes}", "unknown"
    )


def explain_reply(status: int, body: bytes, handshake: HandshakeContext) -> HandshakeFailure | None:
    """Explain an HTTP reply by which a web server refuses our certificate.

    Args:
        status: The reply's status.
        body: Its body, or the beginning of it.
        handshake: The facts of the connection.

    Returns:
        None for any other reply.
    """
    reason = _STATUSES.get(status)
    if reason is None and status in (400, 403):
        reason = next((found for pattern, found in _REPLIES if pattern.search(body[:_SEARCHED_BYTES])), None)
    if reason is None:
        return None
    refused = f"the server answered {status}"
    if reason == Reason.AFTER_HANDSHAKE:
        return _explain_late_request(handshake, refused, "client")
    return _explain_refusal(reason, handshake, refused)


def _chain(error: BaseException, end: BaseException | None) -> Iterator[BaseException]:
    seen = {id(end)}
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _explain_ssl_error(error: ssl.SSLError, handshake: HandshakeContext) -> HandshakeFailure:
    # A newer OpenSSL than Python was built for gives no reason code, only a message.
    name = (error.reason or str(error)).upper().replace(" ", "_")
    if _OLD_PROTOCOL.search(name):
        text = "the server supports neither TLS 1.2 nor TLS 1.3; the server's operator must enable one of them"
        return _explanation(handshake, Reason.PROTOCOL_TOO_OLD, text, "server")
    if _NO_TLS.search(name):
        text = "the server on this port does not speak TLS; check the port, and whether a proxy is in between"
        return _explanation(handshake, Reason.NOT_TLS, text, "server")
    if _WEAK.search(name):
        text = f"the server's side of the handshake is too weak for this system's OpenSSL ({_words(name)})"
        return _explanation(handshake, Reason.SERVER_WEAK, f"{text}; the server's operator must correct that", "server")
    alert = _ALERT.search(name)
    if alert is not None:
        return _explain_alert(alert.group(1), handshake)
    text = f"the TLS handshake failed ({_words(name)}); tell the server's operator"
    return _explanation(handshake, Reason.NO_COMMON_GROUND, text, "unknown")


def _explain_alert(alert: str, handshake: HandshakeContext) -> HandshakeFailure:
    refused = f"the server refused the handshake with the TLS alert '{_words(alert)}'"
    reason = _ALERT_REASONS.get(alert)
    if reason is not None:
        return _explain_refusal(reason, handshake, refused)
    if alert == "UNRECOGNIZED_NAME":
        text = f"{refused}: it has no host of this name; check the host and port"
        return _explanation(handshake, Reason.SERVER_WRONG_HOST, text, "server")
    if alert == "HANDSHAKE_FAILURE" and handshake.stage in ("agreed", "later"):
        side: Side = "client" if handshake.certificate is None else "server"
        return _explain_late_request(handshake, f"{refused}, after the handshake", side)
    if alert != "HANDSHAKE_FAILURE":
        text = f"{refused}; ask the server's operator"
        return _explanation(handshake, Reason.NO_COMMON_GROUND, text, "unknown")
    if handshake.certificate is None:
        text = (
            f"{refused}: it may demand a client certificate, and none is configured (pass certificate=...), or "
            "client and server have no cipher in common"
        )
    else:
        text = (
            f"{refused}: it may not accept {_ours(handshake)} or its kind of key, or client and server have no "
            "cipher in common; ask the server's operator"
        )
    return _explain_dates(handshake, refused) or _explanation(handshake, Reason.NO_COMMON_GROUND, text, "unknown")


def _explain_late_request(handshake: HandshakeContext, refused: str, side: Side) -> HandshakeFailure:
    remedy = "pass certificate=..." if handshake.certificate is None else "set http2=False for this host, if it is on"
    text = (
        "it seems to demand a client certificate for this path only, after the handshake (TLS 1.2 renegotiation or TLS "
        "1.3 post-handshake authentication), which is possible with a certificate and over HTTP/1.1 only; "
        f"{remedy}, or have the server's operator demand the certificate for the whole host"
    )
    return _explanation(handshake, Reason.AFTER_HANDSHAKE, f"{refused}: {text}", side)


def _explain_refusal(reason: Reason, handshake: HandshakeContext, refused: str) -> HandshakeFailure:
    certificate, ours = handshake.certificate, _ours(handshake)
    if certificate is None:
        text = (
            "it demands a client certificate, and none is configured; pass certificate=..."
            if reason == Reason.DEMANDED
            else "it may demand a client certificate, and none is configured; pass certificate=... if it does, or ask "
            "the server's operator"
        )
        return _explanation(handshake, Reason.DEMANDED, f"{refused}: {text}", "client")
    if reason == Reason.DEMANDED:
        text = (
            f"it demands a client certificate, and did not get {ours}; a proxy that ends TLS may be in between, or the "
            "server may not support this kind of key"
        )
        return _explanation(handshake, reason, f"{refused}: {text}", "client")
    by_dates = _explain_dates(handshake, refused)
    if by_dates is not None:
        return by_dates
    awaited = certificate.awaited_issuer
    chain = f"append the intermediate certificate of {awaited}, if that is one, or " if awaited else ""
    if reason == Reason.NOT_FOR_CLIENTS and certificate.leaf.allows_client_auth:
        reason, text = Reason.REFUSED, f"it does not accept this kind of key or certificate: {ours}; ask its operator"
    elif reason == Reason.NOT_FOR_CLIENTS:
        text = (
            f"it does not accept {ours} for a client; ask {certificate.issuer} for one with extended key usage "
            "clientAuth"
        )
    elif reason == Reason.EXPIRED:
        text = (
            f"it regards {ours} or a certificate above it as expired, which it is not by this machine's clock "
            f"({format_time(handshake.now)}); compare the clocks, and replace an expired intermediate certificate in "
            "the file"
        )
    elif reason == Reason.REVOKED:
        text = f"it reports that {ours} was revoked; have {certificate.issuer} issue a new one"
    elif reason == Reason.UNKNOWN_TO_SERVER:
        text = (
            f"it does not know the authority of {ours}; {chain}ask the server's operator which authorities it accepts, "
            "and check that the certificate is for this environment"
        )
    else:
        text = (
            f"it does not accept {ours}, and does not say why: it may be revoked, unknown, or issued by an authority "
            f"that the server does not know; {chain}ask the server's operator"
        )
    return _explanation(handshake, reason, f"{refused}: {text}", "client")


def _explain_dates(handshake: HandshakeContext, refused: str) -> HandshakeFailure | None:
    if handshake.certificate is None:
        return None
    try:
        handshake.certificate.check(handshake.now)
    except CertificateError as error:
        return _explanation(handshake, Reason(error.reason or Reason.REFUSED), f"{refused}: {error}", "client")
    return None


def _ours(handshake: HandshakeContext) -> str:
    one = handshake.certificate
    return "" if one is None else f"our certificate ({one.leaf.summary}, issuer {one.issuer}, from {one.path})"


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _explanation(handshake: HandshakeContext, reason: Reason, text: str, side: Side) -> HandshakeFailure:
    host = f"[{handshake.host}]" if ":" in handshake.host else handshake.host
    path = handshake.certificate.path if handshake.certificate is not None and side == "client" else None
    return HandshakeFailure(reason=reason, text=f"{host}:{handshake.port}: {text}", side=side, path=path)


def _describe_verify_error(
    error: ssl.SSLCertVerificationError, now: dt.datetime, context: ssl.SSLContext | None
) -> tuple[Reason, str]:
    # An error raised by Python code lacks the attributes of OpenSSL's.
    message = str(getattr(error, "verify_message", "") or error).rstrip(".")
    reason = _VERIFY_CODES.get(getattr(error, "verify_code", 0)) or next(
        (found for pattern, found in _VERIFY_MESSAGES if pattern.search(message)), Reason.SERVER_UNTRUSTED
    )
    text = _describe_expired(now, context) if reason == Reason.SERVER_EXPIRED else _VERIFY_TEXTS[reason]
    ignored = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
    if reason == Reason.SERVER_UNKNOWN_CA and ignored:
        text += f"; seic does not read {' or '.join(ignored)}: pass its file as ca=..."
    return reason, f"{text.replace('{clock}', clock_says(now))}; verification failed with: {message}"


def _describe_expired(now: dt.datetime, context: ssl.SSLContext | None) -> str:
    # OpenSSL does not tell which certificate of the chain has expired; the dates of the authorities narrow it down.
    server = "the server's certificate, or an intermediate that it sends, has expired"
    both = (
        "the server's operator must renew its own, and an expired authority in the file of ca=... is yours to replace"
    )
    known: list[dict[str, Any]] = [] if context is None else context.get_ca_certs()
    ends = [(one, dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(one["notAfter"]), dt.UTC)) for one in known]
    expired = [f"{_authority_name(one)}, expired on {format_time(end)}" for one, end in ends if now >= end]
    named = "; ".join(expired[:_MAX_NAMED]) + (" and others" if len(expired) > _MAX_NAMED else "")
    if not known:
        text = f"{server}, or else an authority that is trusted here (the error does not tell which); {both}"
    elif not expired:
        text = f"{server} (no authority that is trusted here has); the server's operator must renew it"
    elif len(expired) == len(known):
        # OpenSSL checks dates from the top of the chain down, so it fails at the authority first.
        text = f"the authority that is trusted here has expired ({named}); put its present certificate into ca=..."
    else:
        text = f"{server}, or else an authority that is trusted here ({named}); {both}"
    return f"{text} ({{clock}})"


def _authority_name(one: dict[str, Any]) -> str:
    subject = {name: value for part in one["subject"] for name, value in part}
    return f"CN={subject['commonName']}" if "commonName" in subject else f"serial {one['serialNumber']}"
