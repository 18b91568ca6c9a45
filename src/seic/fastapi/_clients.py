"""The lifespan that opens the clients of an application, and the dependencies that give them to handlers."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias, Unpack

import attrs
import httpx
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from seic import AsyncClient, Config, ConfigurationError, Retry, SeicError, TokenError
from seic._options import AsyncClientOptions
from seic.events import Listener
from seic.fastapi._app_state import Clients, app_state, assigned

#: The name of the client of an application with a single one.
DEFAULT = "default"
#: The attribute of `app.state` and `request.state` with the clients.
_KEY = "seic"

_logger = logging.getLogger("seic.fastapi")

#: One configuration, several by name, or a function that returns either when the application starts.
Configs: TypeAlias = Config | Mapping[str, Config] | Callable[[], Config | Mapping[str, Config]]
Lifespan: TypeAlias = Callable[[Any], contextlib.AbstractAsyncContextManager[Any]]


def lifespan(
    configs: Configs = Config.from_env,
    *,
    also: Lifespan | None = None,
    warm: bool = False,
    instrument: bool = False,
    on_event: Listener | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    retry: Retry | None = None,
    **options: Unpack[AsyncClientOptions],
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan that opens a client for each configuration, and closes it when the application stops.

    Pass it to `FastAPI(lifespan=...)`, or enter it in a lifespan of your own and yield what it yields:

        async with seic_lifespan(app) as state, database() as db:
            yield {**state, "db": db}

    Clients whose dependency is overridden (`app.dependency_overrides`) are not opened, and missing settings are then a
    warning: `with TestClient(app)` needs no settings.

    An application may have several, for example one for each router; their clients are found together.

    Args:
        configs: One configuration (its client is named `default`), several by name, or a function that returns either
            when the application starts. Default: the `SEIC_*` variables.
        also: A lifespan of your own, entered after the clients are opened and left before they are closed.
        warm: Request the tokens before the first request. If the token endpoint is down or refuses, the application
            starts nevertheless: the error is logged, and the readiness route fails until there is a token.
        instrument: Create OpenTelemetry spans and metrics for every client and for `Logins`, with the global providers;
            see `seic.otel.instrument`. It starts before the first token request, so a refusal at the start is counted.
        on_event: A listener for the events of every client, and of `Logins` without a listener of their own; see
            `OAuth2Auth.listen`.
        transport: See `AsyncClient`.
        retry: See `AsyncClient`.
        options: See `AsyncClient`.

    Raises:
        ConfigurationError: On start: a setting is missing or wrong.
        CertificateError: On start: a certificate cannot be used.
    """

    @contextlib.asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        overridden = _overridden(app)
        given = _load(configs, has_overrides=bool(overridden))
        named = {DEFAULT: given} if isinstance(given, Config) else given
        async with contextlib.AsyncExitStack() as stack:
            opened: dict[str, AsyncClient] = {}
            for name, config in named.items():
                if name in overridden:
                    continue
                client = AsyncClient(config, on_event=on_event, transport=transport, retry=retry, **options)
                if instrument:
                    stack.callback(_instrument(client, name))
                opened[name] = await stack.enter_async_context(client)
            state, yielded = stack.enter_context(app_state(app))
            stack.enter_context(assigned(app.state, _KEY, state.clients))
            stack.enter_context(assigned(state, "listener", state.listener if on_event is None else on_event))
            stack.enter_context(assigned(state, "instrument", state.instrument or instrument))
            stack.enter_context(state.including(opened))
            if warm:
                await _request_tokens(opened)
            own = None if also is None else await stack.enter_async_context(also(app))
            yield {**(own or {}), **yielded, _KEY: state.clients}

    return run


def _instrument(client: AsyncClient, name: str) -> Callable[[], None]:
    # An extra of its own.
    from seic import otel

    return otel.instrument(client, name=name)


def _overridden(app: Starlette) -> set[str]:
    """Return the names of the clients whose dependency a test of a FastAPI application overrides."""
    overrides = getattr(app, "dependency_overrides", {})
    names = {dependency.name for dependency in overrides if isinstance(dependency, _ClientNamed)}
    return names | {DEFAULT} if get_client in overrides else names


def _load(configs: Configs, *, has_overrides: bool) -> Config | Mapping[str, Config]:
    try:
        return configs() if callable(configs) else configs
    except (SeicError, ValueError) as error:  # pydantic's errors are a ValueError
        if not has_overrides:
            raise
        # The class only: pydantic's message has the values.
        _logger.warning("started without clients: dependencies are overridden, and %s", _first_words(error))
        return {}


def _first_words(error: Exception) -> str:
    return str(error) if isinstance(error, SeicError) else f"the settings raise {type(error).__name__}"


async def _request_tokens(clients: Mapping[str, AsyncClient]) -> None:
    for name, client in clients.items():
        try:
            await client.token()
        except TokenError as error:
            _logger.warning("%s: started without a token: %s", name, error)


def clients_of(connection: HTTPConnection) -> Clients:
    """Return the clients of the application that a request or web socket came to.

    Raises:
        ConfigurationError: The application has no seic lifespan, or it was not entered.
    """
    clients: Clients | None = getattr(connection.state, _KEY, None)
    if clients is None:
        # A lifespan of the user's may not pass on what it was yielded.
        clients = getattr(connection.app.state, _KEY, None)
    if clients is None:
        raise ConfigurationError(
            "the application has no clients: pass lifespan=seic.fastapi.lifespan(...) to it; in tests, enter it with "
            "`with TestClient(app)`",
            field="lifespan",
        )
    return clients


def get_client(connection: HTTPConnection) -> AsyncClient:
    """Return the client named `default`; `SeicClient` depends on this function.

    Replace it in tests with `app.dependency_overrides[seic.fastapi.get_client]`.
    """
    return clients_of(connection)[DEFAULT]


def client_named(name: str) -> Callable[[HTTPConnection], AsyncClient]:
    """Return the dependency that gives the client of a name; one object for each name, so that tests can replace it.

    An alias like `SeicClient` is `Annotated[seic.AsyncClient, Depends(client_named("platform"))]`.
    """
    return get_client if name == DEFAULT else _dependency(name)


@attrs.frozen
class _ClientNamed:
    name: str

    def __call__(self, connection: HTTPConnection) -> AsyncClient:
        return clients_of(connection)[self.name]


_dependency = functools.cache(_ClientNamed)
