"""`seic certs check`: whether a client certificate needs renewal, by exit code."""

from __future__ import annotations

import datetime as dt
import re
from argparse import Namespace

from seic._errors import CertificateError, ConfigurationError, SeicError
from seic._tls.certificate import ClientCertificate
from seic._x509.certificate_info import CertificateInfo, format_time
from seic._x509.credential_files import CredentialFile
from seic._x509.reasons import CertificateWarning, Reason
from seic.cli._configuration import environment_of
from seic.cli._passphrase import get_passphrase
from seic.cli._setting_sources import list_settings
from seic.cli._terminal import Terminal

_NEEDS_RENEWAL, _IS_FRESH, _NO_FILE, _ERROR = 0, 1, 2, 255
_NAGIOS_OK, _NAGIOS_WARNING, _NAGIOS_CRITICAL, _NAGIOS_UNKNOWN = 0, 1, 2, 3
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(%|d|h|)")
#: The reasons that the exit code and the sentence about the end cover.
_TOLD = (Reason.EXPIRED, Reason.EXPIRES_SOON)
#: The whole life of a certificate.
_ALL = 100


def check_renewal(options: Namespace, terminal: Terminal) -> int:
    """Print whether the certificate needs renewal, and return the exit code."""
    try:
        facts, path, problems = _read(options)
        threshold = _threshold(options.expires_in, facts)
    except (SeicError, OSError) as error:
        if options.nagios:
            unknown = isinstance(error, ConfigurationError)
            terminal.print(f"CERTIFICATE {'UNKNOWN' if unknown else 'CRITICAL'} - {error}")
            return _NAGIOS_UNKNOWN if unknown else _NAGIOS_CRITICAL
        terminal.error(str(error))
        return _NO_FILE if getattr(error, "reason", None) == "not-found" else _ERROR
    now = dt.datetime.now(dt.UTC)
    days = facts.days_left(now)
    is_due = facts.expires_soon(now) if threshold is None else facts.not_after - now < threshold
    has_expired = now >= facts.not_after
    text = (
        f"{path}: {facts.name} {'expired on' if has_expired else 'is valid until'} {format_time(facts.not_after)}, "
        f"{abs(days):.1f} days {'ago' if has_expired else 'left'}"
    )
    if options.nagios:
        code = _NAGIOS_CRITICAL if has_expired else _NAGIOS_WARNING if is_due or problems else _NAGIOS_OK
        # Its text must be one line without a pipe, which begins the figures.
        text = "; ".join([text, *map(str, problems)]).replace("|", "/")
        terminal.print(f"CERTIFICATE {('OK', 'WARNING', 'CRITICAL')[code]} - {text} | days_left={days:.1f}")
        return code
    if options.json:
        terminal.json(
            {
                "path": path,
                "subject": facts.subject,
                "thumbprint": facts.thumbprint,
                "not_after": f"{facts.not_after:%Y-%m-%dT%H:%M:%SZ}",
                "days_left": round(days, 2),
                "expired": has_expired,
                "needs_renewal": is_due,
                "problems": [{"reason": one.reason, "message": str(one)} for one in problems],
            }
        )
    else:
        terminal.sentence(f"{text}; {'renew it' if is_due else 'it needs no renewal'}")
        for problem in problems:
            terminal.note(str(problem))
    return _NEEDS_RENEWAL if is_due else _IS_FRESH


def _read(options: Namespace) -> tuple[CertificateInfo, str, list[CertificateWarning]]:
    from seic._x509.decode import decode

    if options.file is None:
        settings = {setting.name: setting.text for setting in list_settings(environment_of(options))}
        if "certificate" not in settings:
            raise ConfigurationError(
                "certificate: none is set; name a file, or set SEIC_CERTIFICATE", field="certificate"
            )
        certificate = ClientCertificate.load(
            settings["certificate"].replace("\\n", "\n"),
            key=settings["certificate_key"].replace("\\n", "\n") if "certificate_key" in settings else None,
            password=get_passphrase(options, "the certificate"),
        )
        # The username of another grant is a user's.
        account = settings.get("username") if settings.get("grant") in (None, "client_credentials") else None
        return certificate.leaf, certificate.path, _problems(certificate, username=account)
    file = CredentialFile.of(options.file, "certificate")
    password = get_passphrase(options, file.label)
    found = decode(file.read(), file.label, lambda: password().encode()).certificates
    if not found:
        raise CertificateError(
            f"{file.label}: there is no certificate in it; name the certificate's file",
            path=file.label,
            reason="no-certificate",
        )
    leaves = [one.facts for one in found if not one.facts.is_ca] or [one.facts for one in found]
    # Of several the one that a client would use: the last to expire.
    return max(leaves, key=lambda one: one.not_after), file.label, _problems_of_file(options)


def _problems(certificate: ClientCertificate, *, username: str | None = None) -> list[CertificateWarning]:
    """Return those of `checks` that the end of the certificate does not tell."""
    return [one for one in certificate.checks(username=username) if one.reason not in _TOLD]


def _problems_of_file(options: Namespace) -> list[CertificateWarning]:
    # Of a file without a key, or with one that nobody opens here, the end alone is told.
    password = get_passphrase(options, "the certificate") if options.password_file else None
    try:
        return _problems(ClientCertificate.load(options.file, password=password))
    except CertificateError as error:
        is_useless = error.reason in (Reason.NOT_FOR_CLIENTS, Reason.IS_A_CA)
        return [CertificateWarning(error.message, error.path, error.reason)] if is_useless else []


def _threshold(text: str | None, facts: CertificateInfo) -> dt.timedelta | None:
    if text is None:
        return None
    match = _SPAN.fullmatch(text)
    if match is None or (match[2] == "%" and float(match[1]) > _ALL):
        raise ConfigurationError(
            "--expires-in: must be days (30d), hours (12h), or a share of the lifetime (20%)", field="expires_in"
        )
    number = float(match[1])
    if match[2] == "%":
        return (facts.not_after - facts.not_before) * number / _ALL
    return dt.timedelta(hours=number) if match[2] == "h" else dt.timedelta(days=number)
