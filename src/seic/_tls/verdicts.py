"""What our side holds against a server's certificate, from the verifier's error to words. Pure but for the context."""

from __future__ import annotations

import datetime as dt
import re
import ssl
from typing import Any

from seic._tls.facts import moment
from seic._tls.reasons import Reason

# X509_V_ERR_* of OpenSSL's x509_vfy.h, as `SSLCertVerificationError.verify_code` carries them.
_CODES = {
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
# The verifiers of macOS and Windows have codes of their own; their words are the same.
_WORDS = (
    (re.compile(r"expired|validity period", re.IGNORECASE), Reason.SERVER_EXPIRED),
    (re.compile(r"name does not match|mismatch|not valid for", re.IGNORECASE), Reason.SERVER_WRONG_HOST),
    (re.compile(r"revoked", re.IGNORECASE), Reason.SERVER_REVOKED),
    (re.compile(r"not trusted|untrusted|local issuer|self.signed", re.IGNORECASE), Reason.SERVER_UNKNOWN_CA),
)
_VERDICTS = {
    Reason.SERVER_NOT_YET_VALID: "the server's certificate is not valid yet; set this machine's clock if it is wrong "
    "({clock}), or tell whoever runs the server",
    Reason.SERVER_WRONG_HOST: "the server's certificate was issued for another host name; check the host and port, and "
    "whether something else answers in its place",
    Reason.SERVER_SELF_SIGNED: "the server's certificate is self-signed, and not one of the trusted authorities; if "
    "this is the right server, pass its certificate as ca=…",
    Reason.SERVER_UNKNOWN_CA: "the server's certificate comes from an authority that is not trusted here, or the "
    "server leaves out an intermediate certificate (which of the two cannot be told); pass a private authority as "
    "ca=…, and have whoever runs the server check its chain; a proxy that inspects TLS looks the same",
    Reason.SERVER_REVOKED: "the server's certificate was revoked; whoever runs the server must replace it",
    Reason.SERVER_WRONG_USAGE: "the server's certificate is not made for servers (extended key usage without "
    "serverAuth); whoever runs the server must replace it",
    Reason.SERVER_WEAK: "the server's certificate, or one above it, has a key or a signature that is too weak for this "
    "system's OpenSSL; whoever runs the server must replace it",
    Reason.SERVER_UNTRUSTED: "the server's certificate could not be verified; tell whoever runs the server",
}
# A system's bundle may hold more that have ended than anybody reads.
_MOST_NAMED = 3


def describe_verify_error(
    error: ssl.SSLCertVerificationError, now: dt.datetime, context: ssl.SSLContext | None = None
) -> tuple[Reason, str]:
    """Return the code and the words for a failed verification.

    Args:
        error: What the handshake failed with.
        now: Aware; this machine's clock, or a test's.
        context: By whose authorities it went; None where that is not known.
    """
    # An error that Python code raised lacks the attributes that OpenSSL's have.
    said = str(getattr(error, "verify_message", "") or error).rstrip(".")
    reason = _CODES.get(getattr(error, "verify_code", 0)) or next(
        (found for pattern, found in _WORDS if pattern.search(said)), Reason.SERVER_UNTRUSTED
    )
    verdict = _who_expired(now, context) if reason == Reason.SERVER_EXPIRED else _VERDICTS[reason]
    clock = f"this machine's clock says {moment(now)}"
    return reason, f"{verdict.replace('{clock}', clock)}; the check says: {said}"


def _who_expired(now: dt.datetime, context: ssl.SSLContext | None) -> str:
    # OpenSSL tells neither which certificate it was nor where in the chain it stood; the dates of ours narrow it down.
    servers = "the server's certificate, or one that it sends along, has expired"
    both = (
        "whoever runs the server must renew its own, and an expired authority in the file of ca=… is yours to replace"
    )
    ours = [] if context is None else _authorities(context)
    expired = [f"{name}, expired on {moment(end)}" for name, end in ours if now >= end]
    named = "; ".join(expired[:_MOST_NAMED]) + (" and others" if len(expired) > _MOST_NAMED else "")
    if not ours:
        said = f"{servers}, or else an authority that is trusted here (which of them cannot be told); {both}"
    elif not expired:
        said = f"{servers}, for no authority that is trusted here has; whoever runs the server must renew it"
    elif len(expired) == len(ours):
        # Times are checked from the top of the chain downwards, so that it fails at its authority first.
        said = f"the authority that is trusted here has expired ({named}); put its present certificate into ca=…"
    else:
        said = f"{servers}, or else an authority that is trusted here ({named}); {both}"
    return f"{said} ({{clock}})"


def _authorities(context: ssl.SSLContext) -> list[tuple[str, dt.datetime]]:
    # Empty where the platform verifies, or where OpenSSL looks each one up in a folder.
    known: list[dict[str, Any]] = context.get_ca_certs()
    return [(_name(one), dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(one["notAfter"]), dt.UTC)) for one in known]


def _name(one: dict[str, Any]) -> str:
    subject = {name: value for part in one["subject"] for name, value in part}
    return f"CN={subject['commonName']}" if "commonName" in subject else f"serial {one['serialNumber']}"
