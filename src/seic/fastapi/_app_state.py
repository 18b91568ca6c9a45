"""State of one application: its clients, its logins, their health, and the user of a request.

Lifespans fill it, requests find it. It is in `app.state`, and in the state that a lifespan yields, which reaches
mounted applications too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from seic import AsyncClient, ConfigurationError, OAuth2Auth
from seic._concurrency import SingleFlight
from seic._portal import BackgroundTask, start
from seic.events import Listener
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._health import HealthTracker

_KEY = "seic_state"
_USERS_KEY = "seic_users"


class Clients(Mapping[str, AsyncClient]):
    """The open clients of an application by name."""

    def __init__(self, clients: Mapping[str, AsyncClient]) -> None:
        self._clients = clients

    def __getitem__(self, name: str) -> AsyncClient:
        """Return the client of that name.

        Raises:
            ConfigurationError: There is none.
        """
        try:
            return self._clients[name]
        except KeyError:
            names = ", ".join(map(repr, self._clients))
            raise ConfigurationError(
                f"no client is named {name!r}; the lifespan has opened {names}", field="name"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)


def auth_of(client: AsyncClient) -> OAuth2Auth:
    """Return a client's auth; `httpx.AsyncClient.auth` does not tell its type."""
    return cast("OAuth2Auth", client.auth)


@attrs.define(eq=False, kw_only=True)
class Monitor:
    """Health of one client, or of the logins at one provider: then `auth` is None, because each user has a token."""

    name: str
    host: str
    certificate: CertificateProbe
    tracker: HealthTracker = attrs.field(factory=HealthTracker)
    auth: OAuth2Auth | None = None
    _refresh: SingleFlight[BackgroundTask[None]] = attrs.field(factory=SingleFlight)

    def refresh(self, auth: OAuth2Auth) -> None:
        """Request a token in the background, unless a request is pending or pauses after a failure."""

        async def request_token() -> None:
            # Events report the outcome.
            with contextlib.suppress(Exception):
                await auth.token()

        self._refresh.join(lambda: start(request_token))

    def close(self) -> None:
        """Stop the background request."""
        if (pending := self._refresh.pending) is not None:
            pending.cancel()


@attrs.frozen
class CurrentUser:
    """The user of a request: their auth, and the response that sends them to log in."""

    auth: OAuth2Auth
    login_redirect: Callable[[], HTTPException]


class AppState:
    """The clients and logins of one application."""

    def __init__(self) -> None:
        self._clients: dict[str, AsyncClient] = {}
        self.clients = Clients(self._clients)
        self.monitors: list[Monitor] = []
        #: The listener of the clients' events; logins without one of their own take it.
        self.listener: Listener | None = None
        #: Whether logins are instrumented for OpenTelemetry, as the clients are.
        self.instrument = False

    @contextlib.contextmanager
    def including(self, clients: Mapping[str, AsyncClient]) -> Iterator[None]:
        """Add clients for the duration of a `with` block.

        Raises:
            ConfigurationError: A name is taken.
        """
        for name in clients:
            if name in self._clients:
                raise ConfigurationError(f"two clients are named {name!r}; give each its own name", field="name")
        self._clients.update(clients)
        try:
            with self.monitoring(*(_monitor(name, client) for name, client in clients.items())):
                yield
        finally:
            for name in clients:
                del self._clients[name]

    @contextlib.contextmanager
    def monitoring(self, *monitors: Monitor) -> Iterator[None]:
        """Report the health of clients or logins for the duration of a `with` block."""
        self.monitors += monitors
        try:
            yield
        finally:
            for monitor in monitors:
                self.monitors.remove(monitor)
                monitor.close()


def _monitor(name: str, client: AsyncClient) -> Monitor:
    auth = auth_of(client)
    probe = CertificateProbe(lambda: client.certificate)
    monitor = Monitor(name=name, host=auth.config.origin.host, certificate=probe, auth=auth)
    client.listen(monitor.tracker)
    return monitor


@contextlib.contextmanager
def app_state(app: Starlette) -> Iterator[tuple[AppState, dict[str, Any]]]:
    """Give an application its state, for the duration of a `with` block; nested blocks share it.

    Returns:
        The state, and what a lifespan has to yield so that mounted applications find it.
    """
    state: AppState = getattr(app.state, _KEY, None) or AppState()
    with assigned(app.state, _KEY, state):
        yield state, {_KEY: state}


@contextlib.contextmanager
def assigned(owner: object, name: str, value: object) -> Iterator[None]:
    """Assign an attribute for the duration of a `with` block."""
    was_set, before = hasattr(owner, name), getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if was_set:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def find_state(connection: HTTPConnection) -> AppState | None:
    """Return the state of the application that a request or web socket came to, or None."""
    # A lifespan of the user's may not pass on what it was yielded.
    return getattr(connection.state, _KEY, None) or getattr(connection.app.state, _KEY, None)


def bind_user(connection: HTTPConnection, user: CurrentUser) -> None:
    """Attach a logged-in user to a request; a handler may need the users of several logins."""
    setattr(connection.state, _USERS_KEY, (*getattr(connection.state, _USERS_KEY, ()), user))


def login_redirect(connection: HTTPConnection) -> HTTPException | None:
    """Return the response that sends a user of a request to log in again, or None while their tokens are valid."""
    users: tuple[CurrentUser, ...] = getattr(connection.state, _USERS_KEY, ())
    return next((user.login_redirect() for user in users if user.auth.current is None), None)
