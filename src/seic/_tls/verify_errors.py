"""`describe_verify_error`: the reason for which a server's certificate failed verification, and the text about it."""

from __future__ import annotations

import datetime as dt
import re
import ssl
from typing import Any

from seic._tls.certificate_info import clock_says, format_time
from seic._tls.reasons import Reason

# X509_V_ERR_* of OpenSSL's x509_vfy.h, as in `SSLCertVerificationError.verify_code`.
_VERIFY_CODES = {
    2: Reason.SERVER_UNKNOWN_CA,
    9: Reason.SERVER_NOT_YET_VALID,
    10: Reason.SERVER_EXPIRED,
    18: Reason.SERVER_SELF_SIGNED,
    19: Reason.SERVER_UNKNOWN_CA,
    20: Reason.SERVER_UNKNOWN_CA,
    21: Reason.SERVER_UNKNOWN_CA,
    23: Reason.SERVER_REVOKED,
    26: Reason.SERVER_WRONG_USAGE,
    62: Reason.SERVER_WRONG_HOST,
    64: Reason.SERVER_WRONG_HOST,
    66: Reason.SERVER_WEAK,
    67: Reason.SERVER_WEAK,
    68: Reason.SERVER_WEAK,
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
# A system's bundle may hold many expired authorities.
_MAX_NAMED = 3


def describe_verify_error(
    error: ssl.SSLCertVerificationError, now: dt.datetime, context: ssl.SSLContext | None = None
) -> tuple[Reason, str]:
    """Return the reason and the text for a server's certificate that failed verification.

    Args:
        error: The handshake's exception.
        now: An aware time by this machine's clock.
        context: The context with the trusted authorities; None if it is not known.
    """
    # An error raised by Python code lacks the attributes of OpenSSL's.
    message = str(getattr(error, "verify_message", "") or error).rstrip(".")
    reason = _VERIFY_CODES.get(getattr(error, "verify_code", 0)) or next(
        (found for pattern, found in _VERIFY_MESSAGES if pattern.search(message)), Reason.SERVER_UNTRUSTED
    )
    text = _describe_expired(now, context) if reason == Reason.SERVER_EXPIRED else _VERIFY_TEXTS[reason]
    return reason, f"{text.replace('{clock}', clock_says(now))}; verification failed with: {message}"


def _describe_expired(now: dt.datetime, context: ssl.SSLContext | None) -> str:
    # OpenSSL does not tell which certificate of the chain has expired; the dates of the authorities narrow it down.
    server = "the server's certificate, or an intermediate that it sends, has expired"
    both = (
        "the server's operator must renew its own, and an expired authority in the file of ca=... is yours to replace"
    )
    # Empty if the platform verifies, or if OpenSSL looks authorities up in a directory.
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
