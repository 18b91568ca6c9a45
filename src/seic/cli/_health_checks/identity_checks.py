"""The client certificate (dates, chain, key, CN), the authorities, and this machine's clock."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator
from pathlib import Path

import seic
from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._tls.trust import read_trust_store
from seic._x509.certificate_info import CertificateInfo, format_time
from seic._x509.reasons import CertificateWarning
from seic.cli._exit_code import ExitCode
from seic.cli._health_checks.check_result import CheckResult, HealthState, Outcome, failure_of, split_remedy
from seic.cli._health_checks.settings_checks import authorities_problem, certificate_problem, usable_certificate


def check_certificate(state: HealthState) -> Iterator[CheckResult]:
    """Check the client certificate's dates, chain and key, and its CN against the service account."""
    problem = certificate_problem(state)
    if problem is not None:
        unread = [name for name in state.unreadable if name.startswith("certificate")]
        if unread:
            yield CheckResult("certificate", Outcome.SKIPPED, f"{', '.join(unread)} cannot be read")
        else:
            yield failure_of("certificate", problem)
        return
    certificate = usable_certificate(state)
    if certificate is None:
        none = "none is set, so the host without client certificates is used"
        text = "the settings cannot be read" if state.config is None else none
        yield CheckResult("certificate", Outcome.SKIPPED, text)
        return
    account = None if state.config is None else state.config.account
    details = describe_certificate(certificate)
    try:
        concerns = list(certificate.check())
    except CertificateError as error:
        yield failure_of("certificate", error, details=details)
        return
    if account is not None and "username" not in state.placeholders:
        concern = certificate.check_common_name(account)
        if concern is not None:
            found, remedy = _split_common_name(concern)
            yield CheckResult(
                "certificate", Outcome.FAILED, found, remedy, ExitCode.CERTIFICATE, concern.reason, details
            )
            return
    if concerns:
        found, rest = split_remedy(str(concerns[0]))
        yield CheckResult("certificate", Outcome.WARNING, found, rest, reason=concerns[0].reason, details=details)
        return
    found = f"{certificate.leaf.name}, {certificate.days_left():.0f} days left, key {certificate.key_type}"
    yield CheckResult("certificate", Outcome.OK, found, details=details)


def _split_common_name(concern: CertificateWarning) -> tuple[str, str | None]:
    found, _, remedy = str(concern).partition(": pass ")
    return found, f"pass {remedy}" if remedy else None


def describe_certificate(certificate: ClientCertificate) -> dict[str, str]:
    """Return the facts of a client certificate."""
    lines = (line.partition(" ") for line in certificate.describe().splitlines())
    return {name: value.strip() for name, _, value in lines}


def describe_link(facts: CertificateInfo) -> str:
    """Return one line about a certificate of a chain."""
    issuer = "self-signed" if facts.is_self_signed else f"issuer {facts.issuer}"
    return f"{facts.name}, {issuer}, {facts.key_type}, {facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d}"


def check_authorities(state: HealthState) -> Iterator[CheckResult]:
    """Check the authorities that the server's certificate may come from."""
    problem = authorities_problem(state)
    if problem is not None:
        if "ca" in state.unreadable:
            yield CheckResult("authorities", Outcome.SKIPPED, "ca cannot be read")
        else:
            yield failure_of("authorities", problem)
        return
    if state.config is None:
        yield CheckResult("authorities", Outcome.SKIPPED, "the settings cannot be read")
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CertificateWarning)
            trust = read_trust_store(state.config.ca)
    except CertificateError as error:
        yield failure_of("authorities", error)
        return
    details = {str(number): describe_link(facts) for number, facts in enumerate(trust.authorities[:10], 1)}
    concerns = trust.check()
    if concerns:
        found, remedy = split_remedy(str(concerns[0]))
        yield CheckResult("authorities", Outcome.WARNING, found, remedy, reason=concerns[0].reason, details=details)
    else:
        number = f"{len(trust.authorities)} of " if trust.authorities else ""
        yield CheckResult("authorities", Outcome.OK, f"{number}{trust.label}", details=details)


def check_clock(state: HealthState) -> Iterator[CheckResult]:
    """Check that this machine's clock is not before the installation of seic; the server's time is compared later."""
    now = dt.datetime.now(dt.UTC)
    installed = dt.datetime.fromtimestamp(Path(seic.__file__).stat().st_mtime, dt.UTC)
    local = now.astimezone()
    found = f"{format_time(now)} ({local:%Y-%m-%d %H:%M %Z})"
    # An archive of a source can have times of another zone.
    if now < installed - dt.timedelta(days=1):
        text = f"this machine's clock says {format_time(now)}, but seic was installed on {format_time(installed)}"
        yield CheckResult("clock", Outcome.FAILED, text, "set the clock, for example with NTP", ExitCode.FAILED)
    else:
        yield CheckResult("clock", Outcome.OK, found)
