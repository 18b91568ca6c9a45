"""The tree of errors: everything seic raises on purpose, and nothing else.

    SeicError                           never raised itself
    ├── ConfigurationError              you: a setting is missing or contradictory
    ├── CertificateError                you: a certificate or key cannot work
    ├── HostNotAllowed                  you: the token would leave for a foreign host
    ├── TokenError                      no token could be had
    │   ├── TokenEndpointUnavailable    connection, TLS, timeout, 5xx, 429
    │   ├── TokenRequestRefused         400, 401, 403: credentials, grant
    │   └── InvalidTokenResponse        an answer that is no token
    └── ApiError                        an API reply in the provider's error form
        └── LoggedInElsewhere           the account's one session was taken over

Attributes are strings and numbers, never a client, a credential, a request or a whole response: an error is logged,
pickled and sent to trackers, so what it holds is public.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs

_E = TypeVar("_E", bound="SeicError")


class SeicError(Exception):
    """The root of every error that seic raises; catch it, it is never raised itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors break the default reduction, which replays `args`.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))

    def fresh(self) -> Self:
        """Return an equal error without a traceback, for one more caller that waited for the same attempt.

        One instance raised in many tasks would gather all their tracebacks. The cause is kept.
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
    """A setting is missing, malformed or contradicts another; `field` names it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CertificateError(SeicError):
    """A certificate or key cannot work; `path` names the file (or the source), `reason` is a stable code.

    `field` names the setting that led there, as in ConfigurationError, where one did. The codes stand in
    `seic._tls.reasons`; they are for programs, the message is for people.
    """

    def __init__(
        self, message: str, *, path: str | Path | None = None, reason: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.path: str | None = None if path is None else str(path)
        self.reason = reason
        self.field = field


class HostNotAllowed(SeicError):
    """The request would carry the token, the AppKey or the client certificate to a foreign origin; `host` names it."""

    def __init__(self, message: str, *, host: str) -> None:
        super().__init__(message)
        self.host = host


class TokenError(SeicError):
    """No token could be had; `tracking_id` is the provider's id of the failed attempt, for its support."""

    def __init__(self, message: str, *, tracking_id: str | None = None) -> None:
        super().__init__(message)
        self.tracking_id = tracking_id


class TokenEndpointUnavailable(TokenError):
    """The token endpoint could not be reached, or answered 5xx or 429; trying later may help.

    `retry_after` is the pause that the endpoint asked for, in seconds, and None where it named none. `reason` is a
    stable code, as in CertificateError, where a TLS handshake or a connection cut off early was to blame.
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
    """The token endpoint understood the request and said no; the same request will be refused again.

    `code` and `description` are the provider's own words (RFC 6749 §5.2 `error` and `error_description`, or the
    gateway's `code` and `message`). `status` is None where nothing was sent, for it could only have been refused.
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
    """The token endpoint answered success with something that is no token; `problem` says which property is wrong."""

    def __init__(self, message: str, *, problem: str, tracking_id: str | None = None) -> None:
        super().__init__(message, tracking_id=tracking_id)
        self.problem = problem


@attrs.frozen
class FieldError:
    """One entry of the gateway's `errors` list: which field, where it stood, and what is wrong with it."""

    field: str = ""
    location: str = ""
    reason: str = ""


class ApiError(SeicError):
    """An API reply in the provider's error form.

    `transient` says whether the same request may be sent again unmodified; None where the provider did not say.
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


class LoggedInElsewhere(ApiError):
    """The platform ended the session, since the account allows one and its user logged in elsewhere (403, subcode 018).

    The remedy, `endOtherSessions` on the token call, has a price, so it is never applied unasked: it ends the other
    session, whoever works in it.
    """
