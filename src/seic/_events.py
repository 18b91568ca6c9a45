"""The typed events: what happened inside, for logs, metrics and a callback of the user's.

An event holds numbers, host names, tracking ids and public certificate facts. No field may ever hold a secret: there is
no field of a type that could carry one (a token, a credential, a request).
Rooms that have something to say take an `emit` callable; who listens is decided above them.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """The base of all events."""

    #: The word that a log line opens with.
    name: ClassVar[str] = "event"
    #: A level of the standard `logging` module.
    level: ClassVar[int] = 20


@attrs.frozen(kw_only=True)
class TokenRefreshStarted(Event):
    """A fetch began, for all who need a token now; `fetch` numbers it, `ahead` tells that nobody waits for it.

    It is told in the context of what fetches, so that a tracer can make its span current there.
    """

    name: ClassVar[str] = "token refresh started"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int
    ahead: bool


@attrs.frozen(kw_only=True)
class TokenRefreshEnded(Event):
    """A fetch ended, in the context in which it began.

    `outcome` is `acquired`, `stored` (a store had it), `refused`, `unavailable`, `invalid`, `failed` (anything else, as
    an unusable certificate) or `abandoned` (whoever fetched was cancelled; the waiting calls begin anew). `took` is
    seconds.
    """

    name: ClassVar[str] = "token refresh ended"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int
    outcome: str
    took: float
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class TokenWaitStarted(Event):
    """A call began to wait for a fetch; it is told in the context of the call."""

    name: ClassVar[str] = "token wait started"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int


@attrs.frozen(kw_only=True)
class TokenWaitEnded(Event):
    """The call waits no more, whether it has a token, an error, or was cancelled; `took` is seconds."""

    name: ClassVar[str] = "token wait ended"
    level: ClassVar[int] = 10
    host: str
    refresh_id: int
    took: float


@attrs.frozen(kw_only=True)
class TokenRequested(Event):
    """One token request was answered, or failed; a fetch makes one or a few.

    `outcome` is one of `acquired`, `refused`, `unavailable`, `invalid`, `failed`, or `challenged`, where the endpoint
    asked for a nonce (RFC 9449 §8). `status` and `http_version` (as `1.1`) are those of the answer, where there was
    one; `error` is the class of what went wrong, that of the connection's own failure where there was one; `took` is
    seconds.
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


@attrs.frozen(kw_only=True)
class TokenAcquired(Event):
    """A token was had from the endpoint. `expires_in` and `took` are seconds; `ahead` tells an advisory renewal."""

    name: ClassVar[str] = "token acquired"
    host: str
    expires_in: float | None
    took: float
    ahead: bool = False
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class TokenNotBound(Event):
    """The provider binds tokens to the client's certificate (RFC 8705 §3), and this token is bound to none.

    Whoever steals it can use it. A proxy that ends TLS before the provider is the usual cause.
    """

    name: ClassVar[str] = "token not bound"
    level: ClassVar[int] = 30
    host: str
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class TokenRefused(Event):
    """The endpoint refused the request: credentials or grant."""

    name: ClassVar[str] = "token refused"
    level: ClassVar[int] = 40
    host: str
    status: int | None
    code: str | None
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class TokenEndpointDown(Event):
    """An attempt failed; `retry_in` is the pause before the next in seconds, `serving` whether a token bridges it."""

    name: ClassVar[str] = "token endpoint down"
    level: ClassVar[int] = 30
    host: str
    problem: str
    retry_in: float
    serving: bool
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class TokenEndpointRecovered(Event):
    """The endpoint answers again after `failures` failed attempts."""

    name: ClassVar[str] = "token endpoint recovered"
    host: str
    failures: int
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class RequestRetried(Event):
    """An API call met a 401 that spoke of the token, and was sent once more with a renewed one."""

    name: ClassVar[str] = "request retried"
    host: str
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class RequestNotRetried(Event):
    """An API call met a 401 and the 401 was handed on; `reason` says why."""

    name: ClassVar[str] = "request not retried"
    host: str
    reason: str
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class StoreDegraded(Event):
    """The token store failed; it cost a token call, never a request.

    A refresh token that was not saved is saved again until that succeeds (`StoreRecovered`); it fails silently
    meanwhile.
    """

    name: ClassVar[str] = "store degraded"
    level: ClassVar[int] = 30
    operation: str
    problem: str


@attrs.frozen(kw_only=True)
class StoreRecovered(Event):
    """The token store has taken what it did not take before: what would have been lost with the process is kept."""

    name: ClassVar[str] = "store recovered"
    operation: str


@attrs.frozen(kw_only=True)
class CertificateExpiring(Event):
    """The client certificate ends soon."""

    name: ClassVar[str] = "certificate expiring"
    level: ClassVar[int] = 30
    path: str
    subject: str
    not_after: dt.datetime
    days_left: float


@attrs.frozen(kw_only=True)
class CertificateRotated(Event):
    """A new certificate took over; new connections present it."""

    name: ClassVar[str] = "certificate rotated"
    path: str
    subject: str
    thumbprint: str
    not_after: dt.datetime


@attrs.frozen(kw_only=True)
class CertificateRejected(Event):
    """New key material or authorities did not load, or their source is silent; the last good ones stay in service."""

    name: ClassVar[str] = "certificate rejected"
    level: ClassVar[int] = 30
    path: str
    reason: str
    problem: str


@attrs.frozen(kw_only=True)
class TrustStoreReloaded(Event):
    """The file of `ca=` has changed; new connections trust what it holds now, `authorities` of them."""

    name: ClassVar[str] = "trust store reloaded"
    path: str
    authorities: int


Emit: TypeAlias = Callable[[Event], None]

_logger = logging.getLogger("seic")
# Quiet until the application sets its logging up: without a handler, Python prints warnings to stderr by itself.
_logger.addHandler(logging.NullHandler())


def log_event(event: Event) -> None:
    """Write an event to the `seic` logger: one line, its name first."""
    if _logger.isEnabledFor(event.level):
        facts = " ".join(f"{field.name}={in_line(getattr(event, field.name))}" for field in attrs.fields(type(event)))
        _logger.log(event.level, "%s: %s", event.name, facts)


def in_line(value: object) -> str:
    """Return a value as a log line can hold it: no text can end the line, or pass for another fact."""
    if isinstance(value, float):
        return f"{value:.3f}"
    text = value.isoformat() if isinstance(value, dt.datetime) else str(value)
    return text if text.isprintable() and " " not in text and text else repr(text)
