"""The typed events, for logs, metrics and listeners.

An event has numbers, host names, tracking ids and public facts of certificates. It has no field of a type that could
contain a secret (a token, a credential, a request).
Events are dataclasses, so that web frameworks can serialize them. Modules that report events take an `emit` callable;
`seic._listeners` calls the listeners.
"""

# Annotations are evaluated: pydantic resolves strings in the public module, which has not all of their names.
import dataclasses
import datetime as dt
import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias, TypeVar, dataclass_transform

from seic._public import publish

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _event(kind: type[_T]) -> type[_T]:
    """Make a frozen dataclass with keyword arguments, whose methods are those of `Event`.

    To generate them for each class would be a tenth of the time that a client's import takes.
    """
    return dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True, slots=True)(kind)


class _Signature:
    """The signature of a constructor, for `help`."""

    def __get__(self, event: object, kind: Any) -> inspect.Signature:
        fields = dataclasses.fields(kind)
        empty, missing = inspect.Parameter.empty, dataclasses.MISSING
        parameters = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=empty if field.default is missing else field.default,
                annotation=field.type,
            )
            for field in fields
        ]
        return inspect.Signature(parameters)


@_event
class Event:
    """Base of all events."""

    #: The start of the log line.
    name: ClassVar[str] = "event"
    #: A level of the standard `logging` module.
    level: ClassVar[int] = 20

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    else:
        __signature__ = _Signature()

        def __init__(self, **values: object) -> None:
            for field in dataclasses.fields(self):
                value = values.pop(field.name, field.default)
                if value is dataclasses.MISSING:
                    raise TypeError(f"{type(self).__name__}: the argument {field.name!r} is missing")
                object.__setattr__(self, field.name, value)
            for name in values:
                raise TypeError(f"{type(self).__name__}: unexpected argument {name!r}")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in _values(self).items())
        return f"{type(self).__qualname__}({values})"

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(_values(self).values()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **_values(self)), ()


def _values(event: Any) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}


@_event
class TokenRefreshStarted(Event):
    """A token refresh started, shared by all callers; `refresh_id` numbers it, `ahead` says that nobody waits for it.

    The event is emitted in the context of the refresh, so that a tracer can make its span current there.
    """

    name: ClassVar[str] = "token refresh started"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int
    ahead: bool


@_event
class TokenRefreshEnded(Event):
    """A token refresh ended, in the context in which it started.

    `outcome` is `acquired`, `stored` (a store had the token), `refused`, `unavailable`, `invalid`, `failed` (anything
    else, such as an unusable certificate) or `abandoned` (it was cancelled; the waiting callers start another). `took`
    is in seconds.
    """

    name: ClassVar[str] = "token refresh ended"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int
    outcome: str
    took: float
    tracking_id: str | None = None


@_event
class TokenWaitStarted(Event):
    """A caller started to wait for a token refresh; the event is emitted in the caller's context."""

    name: ClassVar[str] = "token wait started"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int


@_event
class TokenWaitEnded(Event):
    """The wait ended, with a token, an error or a cancellation; `took` is in seconds."""

    name: ClassVar[str] = "token wait ended"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int
    took: float


@_event
class TokenRequested(Event):
    """One token request ended; a token refresh sends one or a few.

    `outcome` is one of `acquired`, `refused`, `unavailable`, `invalid`, `failed`, or `challenged` if the endpoint
    required a nonce (RFC 9449 §8). `status` and `http_version` (such as `1.1`) are the reply's, if there was one.
    `error` is the class of the exception, that of the connection if it failed. `took` is in seconds.
    """

    name: ClassVar[str] = "token requested"
    level: ClassVar[int] = 10
    host: str
    outcome: str
    status: int | None
    took: float
    error: str | None = None
    http_version: str | None = None
    tracking_id: str | None = None


@_event
class TokenAcquired(Event):
    """The endpoint returned a token. `expires_in` and `took` are in seconds; `ahead` marks an advisory refresh."""

    name: ClassVar[str] = "token acquired"
    host: str
    expires_in: float | None
    took: float
    ahead: bool = False
    tracking_id: str | None = None


@_event
class TokenNotBound(Event):
    """The provider binds tokens to the client's certificate (RFC 8705 §3), and this token is not bound.

    A thief could use it. The usual cause is a proxy that terminates TLS before the provider.
    """

    name: ClassVar[str] = "token not bound"
    level: ClassVar[int] = 30
    host: str
    tracking_id: str | None = None


@_event
class TokenRefused(Event):
    """The endpoint refused the request: credentials or grant."""

    name: ClassVar[str] = "token refused"
    level: ClassVar[int] = 40
    host: str
    status: int | None
    code: str | None
    tracking_id: str | None = None


@_event
class SecretRejected(Event):
    """The endpoint refused a new client secret or password, and accepted the previous one, which is used.

    The new one is tried again with the next refresh.
    """

    name: ClassVar[str] = "secret rejected"
    level: ClassVar[int] = 30
    host: str
    status: int | None
    code: str | None
    tracking_id: str | None = None


@_event
class TokenEndpointDown(Event):
    """An attempt failed; `retry_in` is the pause before the next in seconds, `serving` whether a token is valid.

    `reason` is a value of `seic.Reason` if a certificate or a TLS handshake failed.
    """

    name: ClassVar[str] = "token endpoint down"
    level: ClassVar[int] = 30
    host: str
    problem: str
    retry_in: float
    serving: bool
    reason: str | None = None
    tracking_id: str | None = None


@_event
class TokenEndpointRecovered(Event):
    """The endpoint answered again after `failures` failed attempts."""

    name: ClassVar[str] = "token endpoint recovered"
    host: str
    failures: int
    tracking_id: str | None = None


@_event
class RequestRetried(Event):
    """An API request got a 401 about the token, and was sent again with a new token."""

    name: ClassVar[str] = "request retried"
    host: str
    tracking_id: str | None = None


@_event
class RequestNotRetried(Event):
    """An API request got a 401, which was returned to the caller; `reason` says why."""

    name: ClassVar[str] = "request not retried"
    host: str
    reason: str
    tracking_id: str | None = None


@_event
class RateLimitStarted(Event):
    """The API asked for a pause with `status`, here or in another process; requests wait (`rate_limit_timeout`).

    `retry_after` is the pause in seconds. Only the first of several is reported, until `RateLimitEnded`.
    """

    name: ClassVar[str] = "rate limit started"
    level: ClassVar[int] = 30
    host: str
    status: int
    retry_after: float


@_event
class RateLimitEnded(Event):
    """The API accepts requests again, and none waits any more.

    `took` is in seconds; `waited` is the number of requests that waited, `refused` of those that were not sent
    (`TooManyRequests`).
    """

    name: ClassVar[str] = "rate limit ended"
    host: str
    took: float
    waited: int
    refused: int


@_event
class StoreDegraded(Event):
    """The token store failed; that costs a token request and never fails an API request.

    Only the first of several failures is reported. A refresh token that was not saved is saved again until that
    succeeds.
    """

    name: ClassVar[str] = "store degraded"
    level: ClassVar[int] = 30
    operation: str
    problem: str


@_event
class StoreRecovered(Event):
    """The operation of the token store that failed works again."""

    name: ClassVar[str] = "store recovered"
    operation: str


@_event
class CertificateExpiring(Event):
    """The client certificate expires soon."""

    name: ClassVar[str] = "certificate expiring"
    level: ClassVar[int] = 30
    path: str
    subject: str
    not_after: dt.datetime
    days_left: float


@_event
class CertificateRotated(Event):
    """A new certificate is in use; new connections present it."""

    name: ClassVar[str] = "certificate rotated"
    path: str
    subject: str
    thumbprint: str
    not_after: dt.datetime


@_event
class CertificateRejected(Event):
    """New key material or authorities did not load, or their source did not answer; the last good ones stay in use."""

    name: ClassVar[str] = "certificate rejected"
    level: ClassVar[int] = 30
    path: str
    reason: str
    problem: str


@_event
class TrustStoreReloaded(Event):
    """The file of `ca=` has changed; new connections trust its `authorities` certificates."""

    name: ClassVar[str] = "trust store reloaded"
    path: str
    authorities: int


Emit: TypeAlias = Callable[[Event], None]

#: The logger of events. It has no NullHandler: without a configuration of the application, Python prints warnings and
#: errors to stderr.
LOGGER = logging.getLogger("seic")


def log_event(event: Event) -> None:
    """Write an event to the `seic` logger: one line, its name first.

    The record also has the fields as attributes, and `event` with the name, for structured logs.
    """
    if LOGGER.isEnabledFor(event.level):
        fields = _values(event)
        facts = " ".join(f"{name}={in_line(value)}" for name, value in fields.items())
        extra = {name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in fields.items()}
        LOGGER.log(event.level, "%s: %s", event.name, facts, extra={"event": event.name, **extra})


def in_line(value: object) -> str:
    """Return a value for a log line: no string can end the line, or be read as another field."""
    if isinstance(value, float):
        return f"{value:.3f}"
    text = value.isoformat() if isinstance(value, dt.datetime) else str(value)
    return text if text.isprintable() and " " not in text and text else repr(text)


_classes = [name for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, Event)]
publish("seic.events", _classes, globals())
