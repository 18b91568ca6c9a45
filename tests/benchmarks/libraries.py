"""The measured libraries, each behind the same small interface, so that all run the same scenarios.

The other libraries are imported on use, since the project does not depend on them.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import httpx

import seic
from tests.benchmarks.api import Split

#: The path of API calls; all other paths belong to the token endpoint.
API_PATH = "/v1/accounts"
TOKEN_PATH = "/oauth/v2/token"

_CLIENT_ID = "AppKey"
_SECRET = "secret"
_HOUR = 3600
#: The response of a token endpoint without a network.
REPLY = {"access_token": "t" * 40, "token_type": "Bearer", "expires_in": _HOUR}


@attrs.frozen(kw_only=True)
class Place:
    """The setup of a library.

    Args:
        api: The transport for its API calls.
        url: The origin of the token endpoint and of the API calls.
        tokens: The transport for its token requests instead of the network, except for azure-identity.
        ahead: Seconds before expiry at which it renews; None is its best setting.
    """

    api: httpx.AsyncBaseTransport
    url: str = "https://api.example.com"
    tokens: httpx.MockTransport | None = None
    ahead: float | None = None


def tokens_of_an_hour() -> httpx.MockTransport:
    """Return a token endpoint without a network, with tokens of a usual lifetime."""
    return httpx.MockTransport(lambda _request: httpx.Response(200, json=REPLY))


@attrs.frozen
class Library:
    """A measured library.

    Args:
        name: Its name in the table.
        open: Returns a context manager with a client.
        starts_empty: Whether it fetches its first token itself.
        package: The package to install.
    """

    name: str
    open: Callable[[Place], AbstractAsyncContextManager[httpx.AsyncClient]]
    starts_empty: bool = True
    package: str = "httpx"

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        try:
            importlib.import_module(self.package)
        except ModuleNotFoundError:
            return False
        return True


def _bare(headers: dict[str, str]) -> Callable[[Place], AbstractAsyncContextManager[httpx.AsyncClient]]:
    @contextlib.asynccontextmanager
    async def open_bare(place: Place) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(headers=headers, transport=place.api, base_url=place.url) as client:
            yield client

    return open_bare


def _config(provider: str, place: Place) -> seic.Config:
    dialect: seic.Provider = getattr(seic, provider)
    grant = seic.ClientCredentials()
    if dialect.username_field is not None:
        grant = seic.ClientCredentials(username="user", password="password")
    return seic.Config(
        provider=dialect,
        hosts=seic.Hosts(api=place.url, allow_http_on_loopback=True),
        client_id=_CLIENT_ID,
        client_secret=_SECRET,
        grant=grant,
        advisory_refresh=place.ahead,
    )


def _seic(provider: str) -> Callable[[Place], AbstractAsyncContextManager[httpx.AsyncClient]]:
    @contextlib.asynccontextmanager
    async def open_seic(place: Place) -> AsyncIterator[httpx.AsyncClient]:
        auth = seic.OAuth2Auth(_config(provider, place), transport=place.tokens)
        async with httpx.AsyncClient(auth=auth, transport=place.api, base_url=place.url) as client:
            yield client
        await auth.aclose()

    return open_seic


def _seic_client(provider: str) -> Callable[[Place], AbstractAsyncContextManager[httpx.AsyncClient]]:
    @contextlib.asynccontextmanager
    async def open_seic_client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
        config = _config(provider, place)
        auth = seic.OAuth2Auth(config, transport=place.tokens)
        async with seic.AsyncClient(config, auth=auth, transport=place.api) as client:
            yield client
        await auth.aclose()

    return open_seic_client


@contextlib.asynccontextmanager
async def _httpx_auth(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    library: Any = importlib.import_module("httpx_auth")
    library.OAuth2.token_cache.clear()
    with httpx.Client(transport=place.tokens) as blocking:
        auth = library.OAuth2ClientCredentials(
            place.url + TOKEN_PATH,
            client_id=_CLIENT_ID,
            client_secret=_SECRET,
            client=blocking,
            # It treats 0 as "not set", and a token of 2 s as expired from the start.
            early_expiry=place.ahead or 0.001,
        )
        async with httpx.AsyncClient(auth=auth, transport=place.api, base_url=place.url) as client:
            yield client


def _import_authlib() -> Any:
    """Import authlib over httpx, as all others are measured; it prefers httpx2 if that is installed."""
    modules: dict[str, Any] = sys.modules
    known = modules.get("httpx2")
    modules["httpx2"] = None  # so that its import fails
    try:
        with warnings.catch_warnings(record=True):  # it warns that it will require httpx2
            return importlib.import_module("authlib.integrations.httpx_client")
    finally:
        del modules["httpx2"]
        if known is not None:
            modules["httpx2"] = known


@contextlib.asynccontextmanager
async def _authlib(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    library = _import_authlib()
    # It sends both kinds of requests through one transport. Without token requests there is no transport in between.
    carrier = place.api if place.tokens else Split(TOKEN_PATH, httpx.AsyncHTTPTransport(), place.api)
    client = library.AsyncOAuth2Client(
        client_id=_CLIENT_ID,
        client_secret=_SECRET,
        token_endpoint=place.url + TOKEN_PATH,
        grant_type="client_credentials",
        leeway=place.ahead or 0,
        token={**REPLY, "expires_at": int(time.time()) + _HOUR} if place.tokens else None,
        transport=carrier,
        base_url=place.url,
    )
    async with client:
        if not place.tokens:
            # It never fetches the first token itself.
            await client.fetch_token()
        yield client


@contextlib.asynccontextmanager
async def _azure(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    identity: Any = importlib.import_module("azure.identity.aio")
    transports: Any = importlib.import_module("azure.core.pipeline.transport")

    class ToLoopback(transports.AioHttpTransport):  # type: ignore[misc]  # a class of an untyped package
        """The library accepts https authorities only, so the request is redirected to loopback when it is sent."""

        async def send(self, request: Any, **options: Any) -> Any:
            request.url = place.url + TOKEN_PATH
            return await super().send(request, **options)

    credential = identity.ClientSecretCredential(
        "tenant", _CLIENT_ID, _SECRET, authority="https://login.example.com", transport=ToLoopback()
    )

    class Auth(httpx.Auth):
        """The adapter to httpx that its users write."""

        async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
            token = await credential.get_token("https://api.example.com/.default")
            request.headers["Authorization"] = f"Bearer {token.token}"
            yield request

    async with credential, httpx.AsyncClient(auth=Auth(), transport=place.api, base_url=place.url) as client:
        yield client


_TOKEN_HEADER = {"Authorization": f"Bearer {REPLY['access_token']}"}

BARE = Library("static header", _bare(_TOKEN_HEADER))
BARE_GATEWAY = Library("static headers", _bare({**_TOKEN_HEADER, "AppKey": _CLIENT_ID}))
SEIC = Library("seic", _seic("OAUTH2"), package="seic")
SEIC_GATEWAY = Library("seic", _seic("SEI_GATEWAY"), package="seic")
SEIC_CLIENT = Library("seic", _seic_client("OAUTH2"), package="seic")
SEIC_CLIENT_GATEWAY = Library("seic", _seic_client("SEI_GATEWAY"), package="seic")
HTTPX_AUTH = Library("httpx-auth", _httpx_auth, package="httpx_auth")
AUTHLIB = Library("authlib", _authlib, starts_empty=False, package="authlib")
AZURE = Library("azure-identity", _azure, package="azure.identity.aio")
PEERS = (HTTPX_AUTH, AUTHLIB, AZURE)
