"""The exceptions that seic raises.

    SeicError                           never raised itself
    ├── ConfigurationError              you: a setting is missing or contradictory
    ├── CertificateError                you: a certificate or key cannot be used
    ├── HostNotAllowed                  you: the token would be sent to a foreign host
    ├── TokenError                      no token could be obtained
    │   ├── TokenEndpointUnavailable    connection, TLS, timeout, 5xx, 429
    │   ├── TokenRequestRefused         400, 401, 403, an error under 200: credentials, grant
    │   └── InvalidTokenResponse        a success without a valid token
    └── ApiError                        an error response of an API
        ├── LoggedInElsewhere           a login elsewhere ended the account's only session
        └── TooManyRequests             not sent: the API asked for a pause

Attributes are strings and numbers, never a client, a credential, a request or a whole response: errors are logged,
pickled and sent to trackers, so their content is public.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from seic._public import publish
from seic._values import frozen

_E = TypeVar("_E", bound="SeicError")


class SeicError(Exception):
    """Base of every error that seic raises; it is never raised itself."""

    def __init__(self, message: str) -> None:
        # A path may have bytes that are not UTF-8 (PEP 383): printing them would raise a UnicodeEncodeError.
        message = message.encode(errors="backslashreplace").decode()
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors break the default reduction, which replays `args`.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))

    def fresh(self) -> Self:
        """Return an equal error without a traceback, for each further caller that waited for the same attempt.

        One instance raised in many tasks would collect all their tracebacks. The cause is kept.
        """
        state = self.__dict__.copy()
        if notes := state.get("__notes__"):
            state["__notes__"] = list(notes)
        twin = _rebuild(type(self), self.args, state)
        twin.__cause__ = self.__cause__
        twin.__suppress_context__ = self.__suppress_context__
        return twin


def _rebuild(kind: type[_E], args: tuple[Any, ...], state: dict[str, Any]) -> _E:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(SeicError):
    """A setting is missing, malformed or contradicts another; `field` is its name."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CertificateError(SeicError):
    """A certificate or key cannot be used; `path` is the file (or the source), `reason` a stable code for programs.

    `field` is the name of the setting, as in ConfigurationError, if there is one. `seic.Reason` lists the codes.
    """

    def __init__(
        self, message: str, *, path: str | Path | None = None, reason: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.path: str | None = None if path is None else str(path)
        self.reason = reason
        self.field = field


class HostNotAllowed(SeicError):
    """The request would send the token, the AppKey or the client certificate to the foreign host `host`."""

    def __init__(self, message: str, *, host: str) -> None:
        super().__init__(message)
        self.host = host


class TokenError(SeicError):
    """No token could be obtained; `tracking_id` is the provider's id of the failed request, for its support."""

    def __init__(self, message: str, *, tracking_id: str | None = None) -> None:
        super().__init__(message)
        self.tracking_id = tracking_id


class TokenEndpointUnavailable(TokenError):
    """The token endpoint could not be reached, or answered 5xx or 429; a later attempt may succeed.

    `retry_after` is the pause that the endpoint asked for, in seconds; None if it named none. `reason` is a stable code
    as in CertificateError, if the cause was a TLS handshake or a connection that was closed early.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        reason: str | None = None,
        tracking_id: str | None = None,
    ) -> None:
        super().__init__(message, tracking_id=tracking_id)
        self.retry_after = retry_after
        self.status = status
        self.reason = reason


class TokenRequestRefused(TokenError):
    """The token endpoint refused the request; the same request will be refused again.

    `code` and `description` are the provider's own (RFC 6749 §5.2 `error` and `error_description`, or the gateway's
    `code` and `message`). `status` is None if nothing was sent, because the request was certain to be refused.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        code: str | None = None,
        description: str | None = None,
        transient: bool = False,
        tracking_id: str | None = None,
    ) -> None:
        super().__init__(message, tracking_id=tracking_id)
        self.status = status
        self.code = code
        self.description = description
        self.transient = transient


class InvalidTokenResponse(TokenError):
    """The token endpoint answered with a success without a valid token; `problem` names the malformed property."""

    def __init__(self, message: str, *, problem: str, tracking_id: str | None = None) -> None:
        super().__init__(message, tracking_id=tracking_id)
        self.problem = problem


@frozen
class FieldError:
    """One entry of the gateway's `errors` list: the field, its location, and the reason."""

    field: str = ""
    location: str = ""
    reason: str = ""


class ApiError(SeicError):
    """An error response of an API.

    `transient` says whether the same request may be sent again unchanged; None if the provider did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        tracking_id: str | None = None,
        transient: bool | None = None,
        retry_after: float | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.tracking_id = tracking_id
        self.transient = transient
        self.retry_after = retry_after
        self.errors: tuple[FieldError, ...] = tuple(errors)


class TooManyRequests(ApiError):
    """A request was not sent: the API asked for a pause, which ends later than `rate_limit_timeout` allows to wait.

    `retry_after` is the rest of the pause in seconds; 0 if the pause is over, and too many requests wait for their
    turn.
    """


class LoggedInElsewhere(ApiError):
    """A login elsewhere ended the session, because the account allows only one (the platform's 403, subcode 018).

    `end_other_sessions=True` on the grant takes the session over. It ends the other session, even if it is in use, so
    seic never does it by itself.
    """


publish(
    "seic",
    [
        "ApiError",
        "CertificateError",
        "ConfigurationError",
        "FieldError",
        "HostNotAllowed",
        "InvalidTokenResponse",
        "LoggedInElsewhere",
        "SeicError",
        "TokenEndpointUnavailable",
        "TokenError",
        "TokenRequestRefused",
        "TooManyRequests",
    ],
    globals(),
)
