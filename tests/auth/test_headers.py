"""Request headers with a token, in consecutive calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

import seic

BASE = "https://api.example.com"
PROVIDERS = [pytest.param(seic.OAUTH2, id="oauth2"), pytest.param(seic.SEI_GATEWAY, id="gateway")]


class Endpoint:
    """A token endpoint without a network, and an API that records requests."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seen: list[Any] = []

    def token(self, _request: httpx.Request) -> httpx.Response:
        """Return a new token without an expiry."""
        self.tokens += 1
        return httpx.Response(200, json={"access_token": f"token-{self.tokens}", "token_type": "Bearer"})

    def api(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.seen.append(request)
        return httpx.Response(200)

    def auth(self, provider: seic.Provider = seic.OAUTH2) -> seic.OAuth2Auth:
        """Return an auth with this token endpoint."""
        grant = seic.ClientCredentials(username="user", password="password")
        if provider.username_field is None:
            grant = seic.ClientCredentials()
        config = seic.Config(
            provider=provider, hosts=seic.Hosts(api=BASE), client_id="key", client_secret="secret", grant=grant
        )
        return seic.OAuth2Auth(config, transport=httpx.MockTransport(self.token))

    def client(self, auth: seic.OAuth2Auth, **options: Any) -> httpx.Client:
        """Return a client with this API."""
        return httpx.Client(auth=auth, base_url=BASE, transport=httpx.MockTransport(self.api), **options)


def in_order(request: Any) -> list[tuple[bytes, bytes]]:
    """Return the headers in their order, with lower-case names."""
    return [(name.lower(), value) for name, value in request.headers.raw]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_call_carries_the_same_headers_as_the_first(provider: seic.Provider) -> None:
    """Later calls get a copy of the first call's headers, and each has its own."""
    endpoint = Endpoint()
    with endpoint.client(endpoint.auth(provider)) as client:
        for _ in range(4):
            client.get("/").request.headers["X-After"] = "of this call alone"

    for request in endpoint.seen:
        del request.headers["X-After"]
    first, *others = map(in_order, endpoint.seen)
    assert others == [first] * 3
    assert (b"authorization", b"Bearer token-1") in first
    assert ((b"appkey", b"key") in first) == (provider is seic.SEI_GATEWAY)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_headers_of_one_call_do_not_reach_another(provider: seic.Provider) -> None:
    """Calls with another header, header value or body keep their own headers."""
    endpoint = Endpoint()
    with endpoint.client(endpoint.auth(provider)) as client:
        client.get("/", headers={"X-Case": "1"})
        client.get("/", headers={"X-Case": "2"})
        client.get("/")
        client.post("/", content=b"12345")
        client.post("/", content=b"1234567")

    headers = [request.headers for request in endpoint.seen]
    assert [each.get("x-case") for each in headers] == ["1", "2", None, None, None]
    assert [each.get("content-length") for each in headers] == [None, None, None, "5", "7"]
    assert {each["authorization"] for each in headers} == {"Bearer token-1"}


def test_a_new_token_replaces_the_old_one_in_the_next_call() -> None:
    """The copy is not used with another token."""
    endpoint = Endpoint()
    auth = endpoint.auth()
    with endpoint.client(auth) as client:
        client.get("/")
        client.get("/")
        auth.token_sync(force=True)
        client.get("/")

    carried = [request.headers["authorization"] for request in endpoint.seen]
    assert carried == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_a_callers_own_authorization_gives_way() -> None:
    """The token replaces it, on the first call and on similar ones."""
    endpoint = Endpoint()
    with endpoint.client(endpoint.auth(), headers={"authorization": "Basic of-the-caller"}) as client:
        for _ in range(3):
            client.get("/")

    for request in endpoint.seen:
        assert request.headers.get_list("authorization") == ["Bearer token-1"]


def test_two_auths_do_not_share_what_they_attach() -> None:
    """Each call has the token of its own auth, although everything else is equal."""
    endpoint = Endpoint()
    one, two = endpoint.auth(), endpoint.auth()
    with endpoint.client(one) as first, endpoint.client(two) as second:
        for client in (first, second) * 3:
            client.get("/")

    carried = [request.headers["authorization"] for request in endpoint.seen]
    assert carried == ["Bearer token-1", "Bearer token-2"] * 3


def test_httpx_and_httpx2_keep_their_own_kind_of_headers() -> None:
    """One auth in both kinds of client creates headers of the request's library."""
    endpoint = Endpoint()
    auth: Any = endpoint.auth()

    def api2(request: httpx2.Request) -> httpx2.Response:
        endpoint.seen.append(request)
        return httpx2.Response(200)

    agent = {"User-Agent": "the same"}
    second = httpx2.Client(auth=auth, base_url=BASE, transport=httpx2.MockTransport(api2), headers=agent)
    with endpoint.client(auth, headers=agent) as first, second:
        for _ in range(3):
            first.get("/")
            second.get("/")

    assert [type(request.headers) for request in endpoint.seen] == [httpx.Headers, httpx2.Headers] * 3
    assert {request.headers["authorization"] for request in endpoint.seen} == {"Bearer token-1"}


HEADERS_OF_A_CALLER = [
    pytest.param("name", "Zoë".encode(), "Zoë", id="utf-8"),
    pytest.param("name", b"Zo\xeb", "Zoë", id="latin-1"),
    pytest.param("name", b"Zoe", "Zoe", id="ascii"),
]


@pytest.mark.parametrize(("name", "sent", "read"), HEADERS_OF_A_CALLER)
def test_headers_beyond_ascii_arrive_as_they_were_given(name: str, sent: bytes, read: str) -> None:
    """The bytes are unchanged, and httpx reads them in the right encoding."""
    endpoint = Endpoint()
    with endpoint.client(endpoint.auth(), headers=[(name.encode(), sent)]) as client:
        for _ in range(3):
            client.get("/")

    for request in endpoint.seen:
        assert (name.encode(), sent) in in_order(request)
        assert request.headers[name] == read
        assert request.headers["authorization"] == "Bearer token-1"


def test_a_hook_may_add_what_is_not_ascii() -> None:
    """As in a client without auth: hooks run after the flow, and httpx encodes their text as UTF-8."""

    def name_the_user(request: httpx.Request) -> None:
        request.headers["X-User"] = "Zoë"

    endpoint = Endpoint()
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [name_the_user]}
    with endpoint.client(endpoint.auth(), event_hooks=hooks) as client:
        for _ in range(3):
            client.get("/")

    for request in endpoint.seen:
        assert (b"x-user", "Zoë".encode()) in in_order(request)
        assert request.headers["x-user"] == "Zoë"


async def test_an_async_client_and_a_blocking_one_share_what_was_attached() -> None:
    """One auth works in both, and both send its token in each call."""
    endpoint = Endpoint()
    auth = endpoint.auth(seic.SEI_GATEWAY)
    asynchronous = httpx.AsyncClient(auth=auth, base_url=BASE, transport=httpx.MockTransport(endpoint.api))
    with endpoint.client(auth) as blocking:
        async with asynchronous:
            for _ in range(3):
                await asynchronous.get("/")
                blocking.get("/")

    assert [request.headers["authorization"] for request in endpoint.seen] == ["Bearer token-1"] * 6
    assert [request.headers["appkey"] for request in endpoint.seen] == ["key"] * 6
