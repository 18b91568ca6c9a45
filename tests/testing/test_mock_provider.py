"""`seic_mock`: tokens, expectations and both libraries, in memory."""

from __future__ import annotations

import httpx
import httpx2
import pytest

import seic
import seic.httpx2
from seic.testing import Events, MockClocks, MockProvider
from tests._support.identities import certificate


async def test_an_application_needs_no_transport(seic_mock: MockProvider) -> None:
    """Clients that it creates send no request over the network."""
    seic_mock.add_response(path="/v1/accounts", json=["a"])
    async with seic.AsyncClient(seic_mock.config()) as client:
        assert (await client.get("/v1/accounts")).json() == ["a"]

    assert seic_mock.token_requests == 1
    (request,) = seic_mock.received(path="/v1/accounts")
    assert request.headers["AppKey"] == "mock-client"


def test_blocking_clients_use_it(seic_mock: MockProvider) -> None:
    """Token requests of blocking clients are sent by another thread."""
    seic_mock.add_response(path="/v1/accounts", method="POST", status_code=201)
    with seic.Client(seic_mock.config()) as client:
        assert client.post("/v1/accounts", json={}).status_code == 201

    assert [form["grant_type"] for form in seic_mock.forms] == ["client_credentials"]


@pytest.mark.parametrize("provider", [seic.SEI_PLATFORM, seic.OAUTH2], ids=["platform", "plain"])
async def test_other_providers(seic_mock: MockProvider, provider: seic.Provider) -> None:
    """The form says which request is a token request, whatever its path."""
    seic_mock.add_response()
    async with seic.AsyncClient(seic_mock.config(provider=provider)) as client:
        assert (await client.get("/x")).status_code == 200


@pytest.mark.parametrize("provider", [seic.SEI_GATEWAY, seic.SEI_PLATFORM, seic.OAUTH2], ids=lambda one: one.name)
@pytest.mark.parametrize("certificate", [None, certificate("svc-mock")], ids=["api", "mtls"])
def test_the_hosts_are_reserved_names(provider: seic.Provider, certificate: seic.ClientCertificate | None) -> None:
    """A request that a thread sends after the end of its test reaches no provider (RFC 2606 §2)."""
    mock = MockProvider(provider=provider)
    host = httpx.URL(mock.config(certificate=certificate).base_url).host

    assert host == ("api.example" if certificate is None else "mtls.api.example")


def test_the_hosts_of_an_environment_are_the_providers() -> None:
    """As are hosts that the test names."""
    mock = MockProvider()

    assert mock.config(environment="production").base_url == "https://api.seic.com"
    assert mock.config(hosts=seic.Hosts(api="x.example")).base_url == "https://x.example"


async def test_httpx2_clients_use_it() -> None:
    """Responses and exceptions are of the library of the request."""
    mock = MockProvider()
    mock.add_response(json={})
    mock.add_exception(httpx.ReadTimeout("slow"))
    async with seic.httpx2.AsyncClient(mock.config(), transport=mock) as client:
        assert isinstance(await client.get("/x"), httpx2.Response)
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/x")
    with httpx2.Client(transport=mock, base_url="https://x.example") as plain:
        assert plain.get("/").status_code == 401
    mock.check()


async def test_a_revoked_token_is_rejected(seic_mock: MockProvider) -> None:
    """The client requests another; the two tokens differ."""
    seic_mock.add_response(times=2)
    async with seic.AsyncClient(seic_mock.config()) as client:
        await client.get("/x")
        first = await client.token()
        assert seic_mock.revoke(first)
        assert (await client.get("/x")).status_code == 200
        assert (await client.token()).access_token != first.access_token
        assert seic_mock.revoke_all() == 1

    assert seic_mock.token_requests == 2


async def test_failures_of_the_token_endpoint(seic_mock: MockProvider) -> None:
    """As those of the sandbox, and exceptions."""
    async with seic.AsyncClient(seic_mock.config()) as client:
        seic_mock.fail_tokens(401)
        with pytest.raises(seic.TokenRequestRefused):
            await client.token()
    seic_mock.fail_tokens(exception=httpx.ConnectError("refused"), times=2)
    async with seic.AsyncClient(seic_mock.config()) as client:
        with pytest.raises(seic.TokenEndpointUnavailable, match="refused"):
            await client.token()


async def test_the_clock_ends_tokens(seic_mock: MockProvider, seic_clock: MockClocks, seic_events: Events) -> None:
    """The provider and a client that exists already see the same time."""
    seic_mock.add_response(times=None)
    async with seic.AsyncClient(seic_mock.config()) as client:
        await client.get("/x")
        seic_clock.advance(3600)
        await client.get("/x")

    assert seic_mock.token_requests == 2
    fetched = seic_events.of(seic.events.TokenRefreshStarted)
    assert len(fetched) == 2


async def test_the_api_rejects_an_expired_token(seic_mock: MockProvider, seic_clock: MockClocks) -> None:
    """Also one that a client still sends."""
    seic_mock.add_response(times=None)
    async with seic.AsyncClient(seic_mock.config()) as client:
        headers = {"Authorization": f"Bearer {(await client.token()).access_token}"}
        assert (await client.get("/x", headers=headers, auth=None)).status_code == 200
        seic_clock.advance(3600)
        assert (await client.get("/x", headers=headers, auth=None)).status_code == 401


def test_a_client_that_is_older_than_the_clock() -> None:
    """Its functions are the same, and return the time of the test."""
    from seic.testing._patches import system_clock

    mock = MockProvider()
    mock.add_response(times=None)
    with seic.Client(mock.config(), transport=mock) as client:
        client.get("/x")
        clocks = MockClocks()
        with system_clock(clocks):
            clocks.advance(3600)
            client.get("/x")

        assert mock.token_requests == 2


def test_the_check_names_all_problems() -> None:
    """A request that nothing expects, and a response that nothing requested."""
    mock = MockProvider()
    mock.add_response(path="/v1/orders", method="GET", times=2)
    with (
        seic.Client(mock.config(), transport=mock) as client,
        pytest.raises(AssertionError, match="no response for GET"),
    ):
        client.get("/v1/accounts")

    with pytest.raises(AssertionError) as caught:
        mock.check()
    assert str(caught.value) == (
        "seic_mock: no response for GET /v1/accounts; call add_response(method='GET', path='/v1/accounts')\n"
        "GET /v1/orders: expected 2 times, requested 0 times"
    )


def test_a_response_without_a_token() -> None:
    """A public path."""
    mock = MockProvider()
    mock.add_response(path="/keys", protected=False, json={"keys": []})
    with httpx.Client(transport=mock, base_url="https://x.example") as client:
        assert client.get("/keys").json() == {"keys": []}
        assert client.get("/other").status_code == 401


async def test_a_client_revokes_its_token(seic_mock: MockProvider) -> None:
    """The gateway's form of it: a token request."""
    seic_mock.add_response()
    async with seic.AsyncClient(seic_mock.config()) as client:
        await client.get("/x")
        await client.revoke()

    assert seic_mock.revoke_all() == 0
