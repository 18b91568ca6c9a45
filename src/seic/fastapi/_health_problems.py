"""Problems of clients in words: the cause, and what to do. Neither has a host, an account or words of the provider."""

from __future__ import annotations

import attrs

from seic import Reason
from seic._oauth.error_codes import ErrorSubject, known_code, subject_of
from seic.fastapi._health import CertificateHealth, ClientHealth, Health, LastError

_REFUSED = 401, 403
_OUR_CERTIFICATE = (
    Reason.REVOKED,
    Reason.UNKNOWN_TO_SERVER,
    Reason.DEMANDED,
    Reason.AFTER_HANDSHAKE,
    Reason.REFUSED,
)
_NOT_THERE = 404, 405
_FIRST_ERROR = 400
_CLIENT = (
    "the credentials of the client",
    "Check the client id and the client secret (SEIC_CLIENT_ID, SEIC_CLIENT_SECRET).",
)
#: By the code of a refusal: what the provider refuses, and what to do.
_REFUSALS: dict[str | None, tuple[str, str]] = {
    "invalid_client": _CLIENT,
    "unauthorized_client": _CLIENT,
    "invalid_grant": (
        "the account or the grant",
        "Check the user name and the password (SEIC_USERNAME, SEIC_PASSWORD); with a refresh token, log in again.",
    ),
    "invalid_scope": ("the scope", "Check the scope of the grant."),
    "invalid_target": ("the audience or resource", "Check the audience and the resource of the grant."),
    "unsupported_grant_type": ("the kind of grant", "Check the grant, and the provider (SEIC_PROVIDER)."),
    "login_required": ("a login that was used", "Log in again, and configure the new grant."),
}
#: 401 and 403 with another code; the users of logins have the only accounts.
_CREDENTIALS = (
    "the credentials",
    "Check SEIC_CLIENT_ID, SEIC_CLIENT_SECRET, SEIC_USERNAME and SEIC_PASSWORD.",
)
_OTHER_REFUSAL = ("the token request", "Check the settings; the provider's support can find the tracking id.")


@attrs.frozen
class HealthProblem:
    """A cause, and its remedy; `error` is the failed token request, if that is the cause."""

    health: Health
    cause: str
    remedy: str
    error: LastError | None = None


def problems_of(client: ClientHealth) -> list[HealthProblem]:
    """Return the problems of a client, the worst first."""
    found = []
    if client.token is not None and client.token.error is not None:
        consequence = "" if client.token.age is None else " Requests go on with the valid token."
        found.append(_token_problem(client.token.health, client.token.error, consequence, _CREDENTIALS))
    if client.logins is not None and client.logins.error is not None:
        consequence = " Users who are logged in are not affected."
        found.append(_token_problem(client.logins.health, client.logins.error, consequence, _CLIENT))
    if client.certificate is not None and client.certificate.health >= Health.WARN:
        found.append(_certificate_problem(client.certificate))
    return sorted(found, key=lambda problem: -problem.health)


def remedy_for_refused_login(status: int | None, code: str | None, description: str | None = None) -> str:
    """Return what the operators of logins do about a refusal that is not a matter of the user."""
    return _refusal(status, code, _CLIENT, description)[1]


def _refusal(
    status: int | None, code: str | None, credentials: tuple[str, str], description: str | None = None
) -> tuple[str, str]:
    """Return what the provider refuses, and what to do; `credentials` is for a refusal without a known code."""
    known = known_code(code)
    if known in _REFUSALS:
        return _REFUSALS[known]
    if subject_of(code, description) is ErrorSubject.CLIENT:
        return _CLIENT
    if status in _NOT_THERE:
        return "the address of the token endpoint", "Check the host, and provider.token_url."
    return credentials if status in _REFUSED else _OTHER_REFUSAL


def _token_problem(health: Health, error: LastError, consequence: str, credentials: tuple[str, str]) -> HealthProblem:
    if error.what == "token refused":
        what, remedy = _refusal(error.status, error.code, credentials)
        return HealthProblem(health, f"The provider refuses {what}{error.facts}.{consequence}", remedy, error)
    if error.what == "secret rejected":
        cause = f"The provider refuses the new client secret or password{error.facts}; the previous one is used."
        return HealthProblem(
            health, cause, "Register the new secret at the provider, or restore the previous one.", error
        )
    if error.reason in _OUR_CERTIFICATE:
        cause = f"The server refuses the client certificate{error.facts}.{consequence}"
        return HealthProblem(health, cause, "Check the certificate, and its registration at the provider.", error)
    if error.reason is not None and error.reason.startswith("server-"):
        cause = f"The certificate of the token endpoint is not accepted{error.facts}.{consequence}"
        return HealthProblem(health, cause, "Check the CA (SEIC_CA) and the host; the log has the details.", error)
    if error.status in _NOT_THERE:
        problem, remedy = "was not found", "Check the host, and provider.token_url."
    elif error.status is not None and error.status < _FIRST_ERROR:
        cause = f"The reply of the token endpoint cannot be used{error.facts}.{consequence}"
        remedy = (
            "Check the host and provider.token_url, and that no proxy or login page answers; the log has the details."
        )
        return HealthProblem(health, cause, remedy, error)
    elif error.status is None:
        problem = "cannot be reached"
        remedy = "Check the network, the proxy and the CA; the log has the details. seic tries again by itself."
    else:
        problem, remedy = "is unavailable", "Check the provider's status. seic tries again by itself."
    return HealthProblem(health, f"The token endpoint {problem}{error.facts}.{consequence}", remedy, error)


def _certificate_problem(certificate: CertificateHealth) -> HealthProblem:
    if certificate.days_left is None:
        reason = f" ({certificate.reason})" if certificate.reason else ""
        return HealthProblem(
            certificate.health,
            f"The client certificate cannot be loaded{reason}.",
            "Check its files, or the callback that supplies it; the log has the details.",
        )
    if certificate.days_left <= 0:
        cause = "The client certificate has expired."
    else:
        cause = f"The client certificate expires in {certificate.days_left} days."
    return HealthProblem(certificate.health, cause, "Renew it in the same files: they are loaded without a restart.")
