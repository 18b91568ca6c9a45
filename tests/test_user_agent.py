"""Every request names its sender: the user's `User-Agent` if there is one, otherwise that of seic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import attrs
import httpx
import pytest

import seic
from tests._support.api import Kind
from tests._support.bearers import ask, bearer_of
from tests._support.issuer import issuer_of

HOST = "https://idp.example"
PROVIDER = attrs.evolve(
    seic.OAUTH2, introspection_url="/introspect", revocation_url="/revoke", device_authorization_url="/device"
)
TOKEN = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600, "active": True}
DEVICE = {"device_code": "code-1", "user_code": "ABCD", "verification_uri": f"{HOST}/activate", "expires_in": 60}
METADATA = {"issuer": HOST, "token_endpoint": f"{HOST}/token"}
SEIC = re.compile(rf"seic/{re.escape(seic.__version__)} python-httpx/\S+")


class Site:
    """A provider and an API that note the `User-Agent` of each request, by path."""

    def __init__(self) -> None:
        self.agents: dict[str, str | None] = {}
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.agents[path] = request.headers.get("User-Agent")
        if path == "/device":
            return httpx.Response(200, json=DEVICE)
        return httpx.Response(200, json=METADATA if path.startswith("/.well-known") else TOKEN)


@pytest.fixture
def site() -> Site:
    """Return a new site."""
    return Site()


def config(**changes: Any) -> seic.Config:
    """Return a configuration of the site."""
    settings: dict[str, Any] = {
        "provider": PROVIDER,
        "hosts": seic.Hosts(api=HOST),
        "client_id": "client-1",
        "client_secret": "secret-1",
        "grant": seic.ClientCredentials(),
    }
    return seic.Config(**{**settings, **changes})


Use: TypeAlias = Callable[[Site, dict[str, str]], Awaitable[None]]


async def _async_client(site: Site, headers: dict[str, str]) -> None:
    async with seic.AsyncClient(config(), transport=site.transport, headers=headers) as client:
        await client.token()
        await client.token_info()
        await client.get("/x")
        await client.revoke()


async def _blocking_client(site: Site, headers: dict[str, str]) -> None:
    with seic.Client(config(), transport=site.transport, headers=headers) as client:
        client.token()
        client.token_info()
        client.get("/x")
        client.revoke()


USES = pytest.mark.parametrize("use", [_async_client, _blocking_client], ids=["async", "blocking"])
PATHS = {"/oauth/v2/token", "/introspect", "/revoke", "/x"}


@USES
async def test_requests_name_seic(use: Use, site: Site) -> None:
    """Those to the provider as well as those to the API."""
    await use(site, {})

    assert set(site.agents) == PATHS
    assert all(agent is not None and SEIC.fullmatch(agent) for agent in site.agents.values())


@USES
async def test_requests_name_the_user(use: Use, site: Site) -> None:
    """The clients' header is sent to the provider too."""
    await use(site, {"User-Agent": "my-app/1.0"})

    assert site.agents == dict.fromkeys(PATHS, "my-app/1.0")


@pytest.mark.parametrize("named", [None, "my-app/1.0"])
def test_token_requests_name_the_sender_of_your_own_client(kind: Kind, named: str | None, site: Site) -> None:
    """With `OAuth2Auth`, the request that needs the token names the user; a default of httpx is not a name."""
    headers = {} if named is None else {"User-Agent": named}

    def api(request: Any) -> Any:
        assert named is None or request.headers["User-Agent"] == named
        return kind.library.Response(200)

    auth: Any = seic.OAuth2Auth(config(), transport=site.transport)
    if kind.is_async:
        client = kind.library.AsyncClient(auth=auth, transport=kind.library.MockTransport(api), headers=headers)
    else:
        client = kind.library.Client(auth=auth, transport=kind.library.MockTransport(api), headers=headers)
    answer = client.get(f"{HOST}/x")
    if kind.is_async:
        asyncio.run(answer)

    agent = site.agents["/oauth/v2/token"]
    assert agent is not None
    assert agent == named if named else SEIC.fullmatch(agent)


async def test_a_header_that_is_set_later_is_sent(site: Site) -> None:
    """At the latest with the next token request of an API request."""
    async with seic.AsyncClient(config(), transport=site.transport) as client:
        client.headers["User-Agent"] = "my-app/2.0"
        await client.get("/x")

    assert site.agents == {"/oauth/v2/token": "my-app/2.0", "/x": "my-app/2.0"}


async def test_discovery_names_seic(site: Site) -> None:
    """Of both kinds."""
    await seic.discover(HOST, transport=site.transport)
    first = site.agents.popitem()[1]
    seic.discover_sync(HOST, transport=site.transport)
    second = site.agents.popitem()[1]

    assert first == second
    assert SEIC.fullmatch(first or "")


async def test_a_device_login_names_seic(site: Site) -> None:
    """When it starts."""
    await seic.DeviceLogin.begin(config(grant=seic.DeviceCode()), transport=site.transport)
    first = site.agents.pop("/device")
    seic.DeviceLogin.begin_sync(config(grant=seic.DeviceCode()), transport=site.transport)

    assert first == site.agents["/device"]
    assert SEIC.fullmatch(first or "")


def test_the_request_of_a_key_set_names_seic() -> None:
    """The keys of incoming tokens are requested without a client of the user."""
    issuer, agents = issuer_of(), []

    def answer(request: httpx.Request) -> httpx.Response:
        agents.append(request.headers.get("User-Agent", ""))
        return httpx.Response(200, json={"keys": issuer.published})

    assert ask(bearer_of(issuer, transport=httpx.MockTransport(answer)), issuer.token()).status_code == 200
    assert SEIC.fullmatch(agents[0])
