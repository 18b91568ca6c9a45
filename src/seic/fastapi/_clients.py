"""The clients of an application: opened and closed with it, found by whoever handles a request."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeAlias, Unpack

import attrs
import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from seic._api.retry import Retry
from seic._auth import OAuth2Auth
from seic._client import AsyncClient
from seic._config import Config
from seic._errors import ConfigurationError, TokenError
from seic._listeners import Listener
from seic._options import AsyncClientOptions
from seic._runtime import Job, start_async
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._health import HealthTracker

#: The name of the client where an application has only one.
DEFAULT = "default"
#: Where an application and a request keep them.
_KEY = "seic"
#: Where an application keeps the listener of its clients.
_LISTENER = "seic_on_event"
#: Where an application keeps what it knows of its logins.
_PEOPLE = "seic_people"
#: Where a request keeps who is logged in.
_PERSON = "seic_person"

_logger = logging.getLogger("seic.fastapi")

#: One configuration, several by name, or what makes either when the application starts.
Configs: TypeAlias = Config | Mapping[str, Config] | Callable[[], Config | Mapping[str, Config]]
Lifespan: TypeAlias = Callable[[Any], contextlib.AbstractAsyncContextManager[Any]]


class Clients(Mapping[str, AsyncClient]):
    """The open clients by name."""

    def __init__(self) -> None:
        self._clients: dict[str, AsyncClient] = {}
        #: What each went through.
        self.trackers: dict[str, HealthTracker] = {}
        #: Looks at their certificates.
        self.certificates: dict[str, CertificateProbe] = {}
        #: The fetches that `renew` began last, by client.
        self.renewals: dict[str, Job] = {}

    @contextlib.contextmanager
    def joined_by(self, clients: Mapping[str, AsyncClient]) -> Iterator[None]:
        """Have more clients for as long as this lasts.

        Raises:
            ConfigurationError: There is one of such a name.
        """
        for name in clients:
            if name in self._clients:
                raise ConfigurationError(f"there are two clients named {name!r}; give each its own", field="name")
        for name, client in clients.items():
            self._clients[name], self.trackers[name] = client, HealthTracker()
            self.certificates[name] = _probe_certificate(client)
            client.listen(self.trackers[name])
        try:
            yield
        finally:
            for name in clients:
                del self._clients[name], self.trackers[name], self.certificates[name]
                if (renewal := self.renewals.pop(name, None)) is not None:
                    renewal.cancel()

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
                f"there is no client named {name!r}; the lifespan was given {names}", field="name"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def renew(self, name: str) -> None:
        """Have a client's token fetched in the background, unless that is under way, or its pause after a failure."""
        last = self.renewals.get(name)
        if last is None or last.is_stranded():
            client = self[name]
            self.renewals[name] = start_async(lambda: _try_token(client))


def _probe_certificate(client: AsyncClient) -> CertificateProbe:
    auth = client.auth
    assert isinstance(auth, OAuth2Auth)  # noqa: S101  # AsyncClient takes no other; for the type checker
    return CertificateProbe(lambda: auth.certificate)


def lifespan(
    configs: Configs = Config.from_env,
    *,
    also: Lifespan | None = None,
    warm: bool = False,
    on_event: Listener | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    retry: Retry | None = None,
    **options: Unpack[AsyncClientOptions],
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan that opens a client for each configuration and closes it when the application stops.

    It goes into `FastAPI(lifespan=…)` as it is, or a lifespan of your own enters it, and yields what it gave:

        async with seic_lifespan(app) as state, database() as db:
            yield {**state, "db": db}

    An application may have several, as where a router brings one; their clients are found together.

    Args:
        configs: One configuration (its client is named `default`), several by name, or a function that returns either
            when the application starts; by default the `SEIC_*` variables.
        also: A lifespan of your own, entered when the clients are open and left before they are closed.
        warm: Get the tokens before the first request. An endpoint that is down, or refuses, does not keep the
            application from starting: it is logged, and the readiness route is red until a token is there, which its
            probes have fetched.
        on_event: A listener of every client, and of people's where logins have none of their own; see
            `OAuth2Auth.listen`.
        transport: See `AsyncClient`.
        retry: See `AsyncClient`.
        options: See `AsyncClient`.

    Raises:
        ConfigurationError: On start, a setting is missing or wrong.
        CertificateError: On start, a certificate cannot work.
    """

    @contextlib.asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        given = configs() if callable(configs) else configs
        named = {DEFAULT: given} if isinstance(given, Config) else given
        async with contextlib.AsyncExitStack() as stack:
            opened: dict[str, AsyncClient] = {}
            for name, config in named.items():
                client = AsyncClient(config, on_event=on_event, transport=transport, retry=retry, **options)
                opened[name] = await stack.enter_async_context(client)
            # A lifespan's state reaches mounted applications, too; the application's own stands in where a user's
            # lifespan does not pass it on.
            before: Clients | None = getattr(app.state, _KEY, None)
            clients = Clients() if before is None else before
            listener = listener_of(app) if on_event is None else on_event
            stack.enter_context(_set(app, _KEY, clients))
            stack.enter_context(_set(app, _LISTENER, listener))
            stack.enter_context(clients.joined_by(opened))
            if warm:
                await _warm(opened)
            state = None if also is None else await stack.enter_async_context(also(app))
            yield {**(state or {}), _KEY: clients}

    return run


@contextlib.contextmanager
def _set(app: Starlette, name: str, value: object) -> Iterator[None]:
    """Have an application's state hold a value for as long as this lasts."""
    was_there, before = hasattr(app.state, name), getattr(app.state, name, None)
    setattr(app.state, name, value)
    try:
        yield
    finally:
        if was_there:
            setattr(app.state, name, before)
        else:
            delattr(app.state, name)


def listener_of(app: Starlette) -> Listener | None:
    """Return the listener of an application's clients, while its lifespan lasts."""
    listener: Listener | None = getattr(app.state, _LISTENER, None)
    return listener


async def _try_token(client: AsyncClient) -> None:
    # The events tell how it went.
    with contextlib.suppress(Exception):
        await client.token()


async def _warm(clients: Mapping[str, AsyncClient]) -> None:
    for name, client in clients.items():
        try:
            await client.token()
        except TokenError as error:
            _logger.warning("%s: started without a token: %s", name, error)


@attrs.frozen(kw_only=True)
class LoginRealm:
    """The side of an application where people log in: what calls they make, and how that went lately."""

    name: str
    host: str
    #: The certificate that all of them present.
    certificate: CertificateProbe
    tracker: HealthTracker


@contextlib.contextmanager
def register_realm(app: Starlette, people: LoginRealm) -> Iterator[dict[str, Any]]:
    """Have an application know of its logins, for as long as this lasts.

    Returns:
        What a lifespan has to yield, so that mounted applications know of them, too.
    """
    everyone: list[LoginRealm] = getattr(app.state, _PEOPLE, [])
    setattr(app.state, _PEOPLE, everyone)
    everyone.append(people)
    try:
        yield {_PEOPLE: everyone}
    finally:
        everyone.remove(people)


def realms_of(connection: HTTPConnection) -> tuple[LoginRealm, ...]:
    """Return what is known of the logins of the application that a request came to."""
    return tuple(getattr(connection.state, _PEOPLE, ()) or getattr(connection.app.state, _PEOPLE, ()))


@attrs.frozen(kw_only=True)
class CurrentUser:
    """Who is logged in: a client of their own, and what sends them to log in again."""

    client: AsyncClient
    to_login: Callable[[], HTTPException]


def bind_user(connection: HTTPConnection, person: CurrentUser) -> None:
    """Have a request know whose it is."""
    setattr(connection.state, _PERSON, person)


def login_again(connection: HTTPConnection) -> HTTPException | None:
    """Return what sends the person of a request to log in again, where no token of theirs lives any more."""
    person: CurrentUser | None = getattr(connection.state, _PERSON, None)
    if person is None or not isinstance(auth := person.client.auth, OAuth2Auth) or auth.source.current is not None:
        return None
    return person.to_login()


def calls(connection: HTTPConnection, host: str) -> bool:
    """Whether the application that a request came to calls this host, by a client of its own or a person's."""
    clients = find_clients(connection)
    auths = () if clients is None else (client.auth for client in clients.values())
    if any(host == auth.config.origin.host for auth in auths if isinstance(auth, OAuth2Auth)):
        return True
    return any(host == people.host for people in realms_of(connection))


def find_clients(connection: HTTPConnection) -> Clients | None:
    """Return the clients of the application that a request or web socket came to, or None where it has none."""
    found = getattr(connection.state, _KEY, None) or getattr(connection.app.state, _KEY, None)
    return found if isinstance(found, Clients) else None


def clients_of(connection: HTTPConnection) -> Clients:
    """Return the clients of the application that a request or web socket came to.

    Raises:
        ConfigurationError: Its lifespan opened none.
    """
    clients = find_clients(connection)
    if clients is None:
        raise ConfigurationError(
            "the application has no clients: give it lifespan=seic.fastapi.lifespan(...); in tests, enter it with "
            "`with TestClient(app)`",
            field="lifespan",
        )
    return clients


def get_client(connection: HTTPConnection) -> AsyncClient:
    """Return the client of an application that has one; what `SeicClient` depends on.

    In tests it is replaced by `app.dependency_overrides[seic.fastapi.get_client]`.
    """
    return clients_of(connection)[DEFAULT]


@functools.cache
def client_named(name: str) -> Callable[[HTTPConnection], AsyncClient]:
    """Return the dependency that gives the client of a name; for one name always the same, so that it can be replaced.

    An alias like `SeicClient` is `Annotated[seic.AsyncClient, Depends(client_named("platform"))]`.
    """

    def get_named_client(connection: HTTPConnection) -> AsyncClient:
        return clients_of(connection)[name]

    return get_client if name == DEFAULT else get_named_client
