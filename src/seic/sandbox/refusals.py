"""The gateway's error form: what is refused, with which status and code, and how it is written.

Of the codes only `gateway.authentication.failure` is documented; the others follow its pattern. The documented statuses
are 400, 401, 403, 404 and 500.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

AUTHENTICATION_FAILURE = "gateway.authentication.failure"
CERTIFICATE_MISMATCH = "gateway.certificate.mismatch"
INTERNAL_ERROR = "gateway.internal.error"
REQUEST_INVALID = "gateway.request.invalid"
RESOURCE_UNKNOWN = "gateway.resource.unknown"
TOKEN_INVALID = "gateway.token.invalid"


@attrs.frozen
class Fault:
    """One entry of the form's `errors`: a field, where it stands (`header`, `query`, `body`), and what is wrong.

    None of the three may repeat a value that the caller sent: it could be a secret in the wrong place.
    """

    field: str
    location: str
    reason: str


class Refusal(Exception):
    """The gateway says no; whoever answers the request turns it into the error form.

    Args:
        status: The HTTP status.
        code: One of this module's codes.
        message: For people; repeats nothing that the caller sent.
        faults: The entries of `errors`.
        transient: Whether the same request may be sent again unmodified.
        challenge: A `WWW-Authenticate` value (RFC 6750 §3) for a gateway that sends one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        faults: Sequence[Fault] = (),
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

    def form(self, tracking_id: str) -> Mapping[str, Any]:
        """Return the body: every value a string, `transient` too, and `errors` a list of objects."""
        return {
            "code": self.code,
            "message": self.message,
            "trackingId": tracking_id,
            "transient": "true" if self.transient else "false",
            "errors": [attrs.asdict(fault) for fault in self.faults],
        }


def authentication_failure(message: str, *faults: Fault, challenge: str | None = None) -> Refusal:
    """Who calls is not known: a missing or wrong AppKey, AppSecret, user name or password."""
    return Refusal(401, AUTHENTICATION_FAILURE, message, faults=faults, challenge=challenge)


def invalid_request(message: str, *faults: Fault) -> Refusal:
    """The request is malformed, or asks for something that does not exist."""
    return Refusal(400, REQUEST_INVALID, message, faults=faults)


def invalid_token(message: str) -> Refusal:
    """The token of an API call is unknown, revoked, past a lifetime, or bound to a certificate that is not there.

    A new token helps, which the code says: RFC 6750 §3.1 has one word, `invalid_token`, for all of them.
    """
    return Refusal(401, TOKEN_INVALID, message, challenge='Bearer error="invalid_token"')


def certificate_mismatch(message: str) -> Refusal:
    """The client certificate is another account's; no new token would help, hence 403 and not 401."""
    return Refusal(403, CERTIFICATE_MISMATCH, message)


def unknown_resource(message: str = "There is no resource of this method and path.") -> Refusal:
    """Nothing answers here."""
    return Refusal(404, RESOURCE_UNKNOWN, message)


def internal_error() -> Refusal:
    """The sandbox itself failed."""
    return Refusal(500, INTERNAL_ERROR, "The gateway failed.", transient=True)
