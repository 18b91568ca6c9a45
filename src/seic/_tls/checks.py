"""What can be said of a certificate without its file: by the clock and by the account it serves. Pure; now is given."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from seic._tls.facts import CertificateFacts, moment
from seic._tls.reasons import CertificateWarning, Reason, certificate_error, certificate_warning

#: A certificate ends soon when less than this is left …
SOON = dt.timedelta(days=30)
#: … and less than this share of its lifetime: one that lives for a day is not always about to end.
SOON_SHARE = 0.2


def days_left(facts: CertificateFacts, now: dt.datetime) -> float:
    """Return the days until the certificate ends; negative once it has."""
    return (facts.not_after - now) / dt.timedelta(days=1)


def expires_soon(facts: CertificateFacts, now: dt.datetime) -> bool:
    """Whether it is time to renew: by days, and by share of the lifetime."""
    return facts.not_after - now < min(SOON, (facts.not_after - facts.not_before) * SOON_SHARE)


def check_dates(
    facts: CertificateFacts, chain: Iterable[CertificateFacts], label: str, now: dt.datetime
) -> list[CertificateWarning]:
    """Refuse what the clock rules out, and return what it makes doubtful.

    Args:
        facts: The client certificate.
        chain: The intermediates sent with it.
        label: What errors call the file.
        now: Aware; this machine's clock, or a test's.

    Raises:
        CertificateError: It has expired or is not valid yet.
    """
    clock = f"this machine's clock says {moment(now)}"
    if now >= facts.not_after:
        raise certificate_error(
            Reason.EXPIRED,
            label,
            f"the certificate expired on {moment(facts.not_after)} ({facts.name}); {clock}; have {facts.issuer} renew "
            "it, or set the clock if it is wrong",
        )
    if now < facts.not_before:
        raise certificate_error(
            Reason.NOT_YET_VALID,
            label,
            f"the certificate is not valid before {moment(facts.not_before)} ({facts.name}); {clock}; set the clock if "
            "it is wrong, or use the previous certificate until then",
        )
    found = []
    if expires_soon(facts, now):
        found.append(
            certificate_warning(
                Reason.EXPIRES_SOON,
                label,
                f"the certificate expires on {moment(facts.not_after)}, in {days_left(facts, now):.1f} days "
                f"({facts.name}); have {facts.issuer} renew it and put the new one in its place",
            )
        )
    found.extend(
        certificate_warning(
            Reason.CHAIN_EXPIRED,
            label,
            f"the intermediate certificate {link.name} sent with {facts.name} is valid from {moment(link.not_before)} "
            f"to {moment(link.not_after)}; {clock}; replace it with the issuer's present one",
        )
        for link in chain
        if not link.not_before <= now < link.not_after
    )
    return found


def check_common_name(
    facts: CertificateFacts, label: str, username: str, *, strict: bool = False
) -> CertificateWarning | None:
    """Compare the CN with the service account, which SEI's gateway wants equal.

    Args:
        facts: The client certificate.
        label: What errors call the file.
        username: The service account.
        strict: Raise what is otherwise returned.

    Returns:
        The warning where they differ, for the caller to issue, and to name when the gateway refuses.

    Raises:
        CertificateError: They differ and `strict` is set.
    """
    if facts.common_name == username:
        return None
    held = f"CN={facts.common_name}" if facts.common_name else "no CN"
    case = " (they differ in case only)" if (facts.common_name or "").lower() == username.lower() else ""
    text = (
        f"the certificate has {held}, but the service account is {username!r}{case}; the gateway wants the two equal: "
        "pass the certificate that was issued for this account, or the account's own name as username"
    )
    if strict:
        raise certificate_error(Reason.COMMON_NAME, label, text)
    return certificate_warning(Reason.COMMON_NAME, label, text)
