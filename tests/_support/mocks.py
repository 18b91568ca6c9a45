"""Mock providers of the testing kit, whose tokens have numbers: `token-1`, `token-2`; their APIs answer any request."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio.lowlevel
import httpx

import seic
from seic.testing import MockProvider

#: Seconds after which a test that would hang fails; nothing in memory takes as long.
PATIENCE = 10.0
HOST = "https://idp.example"
SECRET = "client-secret-1"
UNAVAILABLE = httpx.Response(503)
#: No token ends by itself: the tests' clocks are those of clients.
_STOPPED = seic.Clock(monotonic=lambda: 0.0, wall=lambda: 0.0)
STRICT_PROVIDER = seic.Provider(
    token_url="/token", name="the test provider", introspection_url="/introspect", revocation_url="/end"
)


def numbered(kind: str, number: int) -> str:
    """Return `token-1` for the first access token."""
    return f"token-{number}" if kind == "access" else f"{kind}-{number}"


def path_of(request: httpx.Request) -> httpx.Response:
    """Return the API's response."""
    return httpx.Response(200, json={"path": request.url.path})


def mock_of(**options: Any) -> MockProvider:
    """Return a mock provider whose API answers any request with a valid token."""
    mock = MockProvider(**{"create_token": numbered, "clock": _STOPPED, **options})
    mock.add_callback(path_of, times=None)
    return mock


def gateway_mock(*, expires_in: float = 3600) -> MockProvider:
    """Return the SEI gateway, which sends numbers as texts."""
    mock = mock_of(
        provider=seic.SEI_GATEWAY,
        expires_in=str(expires_in),
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
    )
    mock.token_members["token_type"] = "BearerToken"
    return mock


def endpoint_mock(**options: Any) -> MockProvider:
    """Return a plain provider."""
    return mock_of(
        **{
            "provider": seic.OAUTH2,
            "hosts": seic.Hosts(api=HOST),
            "client_id": "client-1",
            "client_secret": SECRET,
            "grant": seic.ClientCredentials(),
            **options,
        }
    )


def refreshing_mock() -> MockProvider:
    """Return a provider with refresh tokens; `r0` is valid, and the next is `r1`."""
    mock = endpoint_mock(
        provider=STRICT_PROVIDER,
        grant=seic.RefreshToken(refresh_token="r0"),
        refresh_tokens=True,
        create_token=lambda kind, number: f"{kind[0]}{number}",
    )
    mock.accept_token(refresh_token="r0")
    return mock


def dpop_mock() -> MockProvider:
    """Return a provider whose clients have DPoP keys."""
    return endpoint_mock(client_id="c", dpop=seic.DPoP())


def record_bodies(mock: MockProvider, path: str) -> list[bytes]:
    """Return the bodies of the accepted API requests with a path; later ones are added."""
    bodies: list[bytes] = []

    def keep(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return path_of(request)

    mock.add_callback(keep, path=path, times=None)
    return bodies


def api_requests(mock: MockProvider) -> list[tuple[str, str]]:
    """Return method and path of each request except token requests."""
    return [(one.method, one.url.path) for one in mock.requests if b"grant_type" not in one.content]


def client_of(mock: MockProvider, changes: dict[str, Any] | None = None, **options: Any) -> seic.AsyncClient:
    """Return a client of a mock provider, with changes of its configuration."""
    return seic.AsyncClient(mock.config(**(changes or {})), transport=mock, **options)


def refresh_tokens_or_grants(mock: MockProvider) -> list[str]:
    """Return the refresh token or the grant type of each token request."""
    return [form.get("refresh_token") or form["grant_type"] for form in mock.forms]


def uses_of(mock: MockProvider) -> Counter[str]:
    """Return the number of requests with each refresh token."""
    return Counter(form["refresh_token"] for form in mock.forms if "refresh_token" in form)


def take_turns(mock: MockProvider, turns: int) -> None:
    """Let each async token request take turns of the event loop, as on a network."""
    send = mock.handle_async_request

    async def send_late(request: Any) -> Any:
        await request.aread()
        for _ in range(turns if b"grant_type" in request.content else 0):
            await anyio.lowlevel.checkpoint()
        return await send(request)

    vars(mock)["handle_async_request"] = send_late


def refusal(status: int = 401, **body: Any) -> httpx.Response:
    """Return an error response (RFC 6749 §5.2)."""
    return httpx.Response(status, json={"error": "invalid_client", **body})
