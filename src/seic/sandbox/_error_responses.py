"""What is refused, with which status, and the forms in which each dialect writes it.

A refusal is raised without regard to the dialect; whoever answers the request writes it in the form of its endpoint.

Of the gateway's codes only `gateway.authentication.failure` is documented; the others follow its pattern. Its statuses
are the documented 400, 401, 403, 404 and 500. Of the platform's general form one example is documented, that of
LOGGED_IN_ELSEWHERE; its other errors are written alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

AUTHENTICATION_FAILURE = "gateway.authentication.failure"
CERTIFICATE_MISMATCH = "gateway.certificate.mismatch"
GRANT_INVALID = "gateway.grant.invalid"
GRANT_TYPE_UNKNOWN = "gateway.granttype.unknown"
INTERNAL_ERROR = "gateway.internal.error"
LOGGED_IN_ELSEWHERE = "gateway.session.elsewhere"
REQUEST_INVALID = "gateway.request.invalid"
RESOURCE_UNKNOWN = "gateway.resource.unknown"
SCOPE_INSUFFICIENT = "gateway.scope.insufficient"
SCOPE_INVALID = "gateway.scope.invalid"
TARGET_INVALID = "gateway.target.invalid"
TOKEN_INVALID = "gateway.token.invalid"

# RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707 §2. Where the RFCs have no word, the nearest of theirs: clients know no other.
_STANDARD_CODES = {
    AUTHENTICATION_FAILURE: "invalid_client",
    CERTIFICATE_MISMATCH: "invalid_client",
    GRANT_INVALID: "invalid_grant",
    GRANT_TYPE_UNKNOWN: "unsupported_grant_type",
    INTERNAL_ERROR: "server_error",
    REQUEST_INVALID: "invalid_request",
    RESOURCE_UNKNOWN: "invalid_request",
    SCOPE_INSUFFICIENT: "insufficient_scope",
    SCOPE_INVALID: "invalid_scope",
    TARGET_INVALID: "invalid_target",
    TOKEN_INVALID: "invalid_token",
}


@attrs.frozen
class InvalidField:
    """One thing that is wrong: a field, where it stands (`header`, `query`, `body`), and what is wrong with it.

    None of the three may repeat a value that the caller sent: it could be a secret in the wrong place.
    """

    field: str
    location: str
    reason: str


class ErrorResponse(Exception):
    """The far side says no; whoever answers the request turns it into the endpoint's error form.

    Args:
        status: The HTTP status.
        code: One of this module's codes.
        message: For people, in ASCII; repeats nothing that the caller sent.
        faults: What is wrong, one by one.
        transient: Whether the same request may be sent again unmodified.
        challenge: A `WWW-Authenticate` value (RFC 6750 §3) for who sends one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        faults: Sequence[InvalidField] = (),
        transient: bool = False,
        challenge: str | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.faults = tuple(faults)
        self.transient = transient
        self.challenge = challenge


# The forms: each writes a refusal and the tracking id of its reply.

ErrorFormat: TypeAlias = Callable[[ErrorResponse, str], Mapping[str, Any]]


def gateway_error_body(refusal: ErrorResponse, tracking_id: str) -> Mapping[str, Any]:
    """Return the gateway's body: every value a string, `transient` too, and `errors` a list of objects."""
    return {
        "code": refusal.code,
        "message": refusal.message,
        "trackingId": tracking_id,
        "transient": "true" if refusal.transient else "false",
        "errors": [attrs.asdict(fault) for fault in refusal.faults],
    }


def platform_error_body(refusal: ErrorResponse, _tracking_id: str) -> Mapping[str, Any]:
    """Return the platform's body; `errorid` is empty, as in the documents."""
    subcode = "018" if refusal.code == LOGGED_IN_ELSEWHERE else ""
    return {"error": {"code": refusal.status, "message": refusal.message, "subcode": subcode, "errorid": ""}}


def revocation_error_body(refusal: ErrorResponse, _tracking_id: str) -> Mapping[str, Any]:
    """Return the body of the platform's revocation; which codes it has is not documented: here, the status."""
    hint = "; ".join(f"{fault.field}: {fault.reason}" for fault in refusal.faults)
    return {"ErrorCode": str(refusal.status), "Error": refusal.message, "Hint": hint}


def oauth2_error_body(refusal: ErrorResponse, _tracking_id: str) -> Mapping[str, Any]:
    """Return the body of RFC 6749 §5.2."""
    return {"error": _STANDARD_CODES[refusal.code], "error_description": refusal.message}


# What is refused, in words that fit every dialect.


def authentication_failure(message: str, *faults: InvalidField, challenge: str | None = None) -> ErrorResponse:
    """Who calls is not known: a missing or wrong AppKey, AppSecret, user name or password."""
    return ErrorResponse(401, AUTHENTICATION_FAILURE, message, faults=faults, challenge=challenge)


def invalid_request(message: str, *faults: InvalidField) -> ErrorResponse:
    """The request is malformed, or asks for something that does not exist."""
    return ErrorResponse(400, REQUEST_INVALID, message, faults=faults)


def unknown_grant_type(known: Sequence[str]) -> ErrorResponse:
    """The grant type is none of those that the endpoint knows."""
    fault = InvalidField("grant_type", "body", f"must be one of: {', '.join(known)}")
    return ErrorResponse(400, GRANT_TYPE_UNKNOWN, "The grant type is unknown.", faults=[fault])


def invalid_grant(message: str, field: str) -> ErrorResponse:
    """What the grant carries is wrong, used up or too old: a password, a code, an assertion, a refresh token."""
    return ErrorResponse(
        400, GRANT_INVALID, message, faults=[InvalidField(field, "body", "is wrong, used up or too old")]
    )


def invalid_token(message: str) -> ErrorResponse:
    """The token of an API call is unknown, revoked, past a lifetime, or bound to a certificate that is not there.

    A new token helps, which the code says: RFC 6750 §3.1 has one word, `invalid_token`, for all of them.
    """
    return ErrorResponse(401, TOKEN_INVALID, message, challenge='Bearer error="invalid_token"')


def insufficient_scope(scope: str) -> ErrorResponse:
    """The token lives and may not do this; a new one of the same kind may not either (RFC 6750 §3.1)."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return ErrorResponse(403, SCOPE_INSUFFICIENT, f"The call needs the scope {scope}.", challenge=challenge)


def logged_in_elsewhere() -> ErrorResponse:
    """Another session of the same account ended this one, or stands in its way; the words are the documents'."""
    message = "Your session has been logged out as the same user is logged in elsewhere."
    return ErrorResponse(403, LOGGED_IN_ELSEWHERE, message)


def certificate_mismatch(message: str) -> ErrorResponse:
    """The client certificate is another account's; no new token would help, hence 403 and not 401."""
    return ErrorResponse(403, CERTIFICATE_MISMATCH, message)


def unknown_resource(message: str = "There is no resource of this method and path.") -> ErrorResponse:
    """Nothing answers here."""
    return ErrorResponse(404, RESOURCE_UNKNOWN, message)


def internal_error() -> ErrorResponse:
    """The sandbox itself failed."""
    return ErrorResponse(500, INTERNAL_ERROR, "The server failed.", transient=True)
