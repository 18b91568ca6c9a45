"""Error responses, and their JSON body in each dialect.

An endpoint raises `ErrorResponse` without regard to the dialect; the dispatcher formats it for the route.

Of the gateway's codes, only `gateway.authentication.failure` is documented; the others follow its pattern. Its statuses
are the documented 400, 401, 403, 404 and 500. Of the platform's error bodies, only the one of LOGGED_IN_ELSEWHERE is
documented; the others have the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs


@attrs.frozen
class ErrorCode:
    """An error code of the gateway, and the code of RFC 6749 §5.2, RFC 6750 §3.1 or RFC 8707 §2 that is closest."""

    gateway: str
    oauth2: str


AUTHENTICATION_FAILURE = ErrorCode("gateway.authentication.failure", "invalid_client")
CERTIFICATE_MISMATCH = ErrorCode("gateway.certificate.mismatch", "invalid_client")
GRANT_INVALID = ErrorCode("gateway.grant.invalid", "invalid_grant")
GRANT_TYPE_UNKNOWN = ErrorCode("gateway.granttype.unknown", "unsupported_grant_type")
INTERNAL_ERROR = ErrorCode("gateway.internal.error", "server_error")
LOGGED_IN_ELSEWHERE = ErrorCode("gateway.session.elsewhere", "access_denied")
REQUEST_INVALID = ErrorCode("gateway.request.invalid", "invalid_request")
RESOURCE_UNKNOWN = ErrorCode("gateway.resource.unknown", "invalid_request")
SCOPE_INSUFFICIENT = ErrorCode("gateway.scope.insufficient", "insufficient_scope")
SCOPE_INVALID = ErrorCode("gateway.scope.invalid", "invalid_scope")
TARGET_INVALID = ErrorCode("gateway.target.invalid", "invalid_target")
TOKEN_INVALID = ErrorCode("gateway.token.invalid", "invalid_token")


@attrs.frozen
class InvalidField:
    """An invalid field of a request: its name, its location (`header`, `query`, `body`) and the reason.

    None of them may repeat a value that the client sent: it could be a misplaced secret.
    """

    field: str
    location: str
    reason: str


class ErrorResponse(Exception):
    """Ends the request with an error.

    Args:
        status: The HTTP status.
        code: One of this module's codes.
        message: A sentence in ASCII; must not repeat a value that the client sent.
        fields: The invalid fields.
        transient: Whether the client may send the same request again.
        challenge: The `WWW-Authenticate` header (RFC 6750 §3), where the dialect or a setting sends one.
    """

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        message: str,
        *,
        fields: Sequence[InvalidField] = (),
        transient: bool = False,
        challenge: str | None = None,
    ) -> None:
        super().__init__(f"{status} {code.gateway}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = tuple(fields)
        self.transient = transient
        self.challenge = challenge


JsonBody: TypeAlias = Mapping[str, Any]
#: Formats an error with the tracking id of its response.
ErrorFormat: TypeAlias = Callable[[ErrorResponse, str], JsonBody]


def gateway_error_body(error: ErrorResponse, tracking_id: str) -> JsonBody:
    """Return the gateway's body; every value is a string, also `transient`, except the list `errors`."""
    return {
        "code": error.code.gateway,
        "message": error.message,
        "trackingId": tracking_id,
        "transient": "true" if error.transient else "false",
        "errors": [attrs.asdict(field) for field in error.fields],
    }


def platform_error_body(error: ErrorResponse, _tracking_id: str) -> JsonBody:
    """Return the platform's body; `errorid` is empty, as in its documents."""
    subcode = "018" if error.code == LOGGED_IN_ELSEWHERE else ""
    return {"error": {"code": error.status, "message": error.message, "subcode": subcode, "errorid": ""}}


def platform_revocation_error_body(error: ErrorResponse, _tracking_id: str) -> JsonBody:
    """Return the body of the platform's revocation endpoint; its codes are not documented, so this is the status."""
    hint = "; ".join(f"{field.field}: {field.reason}" for field in error.fields)
    return {"ErrorCode": str(error.status), "Error": error.message, "Hint": hint}


def oauth2_error_body(error: ErrorResponse, _tracking_id: str) -> JsonBody:
    """Return the body of RFC 6749 §5.2."""
    return {"error": error.code.oauth2, "error_description": error.message}


# Errors for every dialect.


def authentication_failure(message: str, *fields: InvalidField, challenge: str | None = None) -> ErrorResponse:
    """The client or the account is unknown: a missing or wrong AppKey, AppSecret, user name or password."""
    return ErrorResponse(401, AUTHENTICATION_FAILURE, message, fields=fields, challenge=challenge)


def invalid_request(message: str, *fields: InvalidField) -> ErrorResponse:
    """The request is malformed."""
    return ErrorResponse(400, REQUEST_INVALID, message, fields=fields)


def unknown_grant_type(known: Sequence[str]) -> ErrorResponse:
    """The endpoint does not support the grant type."""
    field = InvalidField("grant_type", "body", f"must be one of: {', '.join(known)}")
    return ErrorResponse(400, GRANT_TYPE_UNKNOWN, "The grant type is unknown.", fields=[field])


def invalid_grant(message: str, field: str) -> ErrorResponse:
    """The password, code, assertion or refresh token is invalid, already used or expired."""
    return ErrorResponse(
        400, GRANT_INVALID, message, fields=[InvalidField(field, "body", "is invalid, already used or expired")]
    )


def invalid_token(message: str) -> ErrorResponse:
    """The access token is unknown, revoked, expired, or bound to another certificate.

    A client may try again with a new token; RFC 6750 §3.1 has one code for all of them.
    """
    return ErrorResponse(401, TOKEN_INVALID, message, challenge='Bearer error="invalid_token"')


def insufficient_scope(scope: str) -> ErrorResponse:
    """The token is active but lacks a scope; a new token with the same scope does not help (RFC 6750 §3.1)."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return ErrorResponse(403, SCOPE_INSUFFICIENT, f"The request needs the scope {scope}.", challenge=challenge)


def logged_in_elsewhere() -> ErrorResponse:
    """Another session of the account ended this one, or prevents it; the message is the documented one."""
    message = "Your session has been logged out as the same user is logged in elsewhere."
    return ErrorResponse(403, LOGGED_IN_ELSEWHERE, message)


def certificate_mismatch(message: str) -> ErrorResponse:
    """The client certificate belongs to another account; a new token does not help, so 403 and not 401."""
    return ErrorResponse(403, CERTIFICATE_MISMATCH, message)


def unknown_resource(message: str = "There is no resource with this method and path.") -> ErrorResponse:
    """There is no such method or path."""
    return ErrorResponse(404, RESOURCE_UNKNOWN, message)


def internal_error() -> ErrorResponse:
    """The sandbox itself failed."""
    return ErrorResponse(500, INTERNAL_ERROR, "The server failed.", transient=True)
