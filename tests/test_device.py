"""Device logins (RFC 8628), with a manual clock."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any
from urllib.parse import parse_qsl

import attrs
import httpx
import pytest

import seic
from seic.events import Event, TokenNotBound
from tests._support import identities
from tests._support.clocks import FakeClock

HOST = "https://idp.example"
PROVIDER = attrs.evolve(seic.OAUTH2, device_authorization_url="/device")
BEGIN: dict[str, Any] = {
    "device_code": "device-1",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://idp.example/activate",
    "expires_in": 60,
    "interval": 5,
}
TOKEN = {"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "refresh-1"}


def config(**changes: Any) -> seic.Config:
    """Return a configuration of a public client."""
    settings: dict[str, Any] = {
        "provider": attrs.evolve(PROVIDER, client_authentication=seic.ClientIdOnly()),
        "hosts": seic.Hosts(api=HOST),
        "client_id": "tv",
        "grant": seic.DeviceCode(scope="read"),
    }
    return seic.Config(**{**settings, **changes})


def refuse(code: str, status: int = 400) -> httpx.Response:
    """Return the response to a poll without a token."""
    return httpx.Response(status, json={"error": code})


class Provider:
    """A provider that starts logins and returns the given responses to polls; `forms` are the received forms.

    `MockProvider` issues a token for a poll that was not planned; here it is an error.
    """

    def __init__(
        self, *polls: httpx.Response | Exception, begin: dict[str, Any] | httpx.Response | None = None
    ) -> None:
        self.polls = deque(polls)
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._begin = begin if isinstance(begin, httpx.Response) else httpx.Response(200, json=begin or BEGIN)

    @property
    def transport(self) -> httpx.MockTransport:
        """A transport to this provider."""
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.forms.append((request.url.path, dict(parse_qsl(request.content.decode()))))
        if request.url.path == "/device":
            return self._begin
        answer = self.polls.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


#: The pauses of the login that was finished last.
_PAUSES: list[float] = []


async def poll(login: seic.DeviceLogin) -> tuple[list[float], object]:
    """Finish a login; return the pauses, and the grant or the error."""
    _PAUSES.clear()
    try:
        return _PAUSES, await login.finish()
    except seic.SeicError as error:
        return _PAUSES, error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Return a clock that the pauses of `finish` advance, without waiting."""
    clock = FakeClock()

    async def pause(seconds: float) -> None:
        clock.advance(seconds)
        _PAUSES.append(seconds)

    monkeypatch.setattr("anyio.sleep", pause)
    return clock


async def begin(provider: Provider, clock: FakeClock, **changes: Any) -> seic.DeviceLogin:
    """Start a login."""
    return await seic.DeviceLogin.begin(config(**changes), transport=provider.transport, clock=clock.clock)


async def test_starting_a_login() -> None:
    """The request has the client id and the scope, and the login has the values to show to the user."""
    provider, clock = Provider(), FakeClock()
    login = await begin(provider, clock)
    assert provider.forms == [("/device", {"client_id": "tv", "scope": "read"})]
    assert (login.user_code, login.verification_uri) == ("WDJB-MJHT", "https://idp.example/activate")
    assert login.expires_in == 60
    assert "device-1" not in repr(login)


async def test_a_client_with_a_secret(clock: FakeClock) -> None:
    """The client authenticates at both endpoints."""
    proofs: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        proofs.append(request.headers["Authorization"].partition(" ")[0])
        return httpx.Response(200, json=BEGIN if request.url.path == "/device" else TOKEN)

    settings = config(provider=PROVIDER, client_secret="s")
    login = await seic.DeviceLogin.begin(settings, transport=httpx.MockTransport(answer), clock=clock.clock)
    await login.finish()
    assert proofs == ["Basic", "Basic"]


async def test_polling(clock: FakeClock) -> None:
    """Each poll follows a pause: five seconds longer after `slow_down`, doubled after a lost connection."""
    provider = Provider(
        refuse("authorization_pending", 200),
        refuse("slowDown"),
        refuse("AUTHORIZATION_PENDING"),
        httpx.ConnectTimeout("slow"),
        httpx.Response(200, json=TOKEN),
    )
    login = await begin(provider, clock)
    object.__setattr__(login, "_ends", clock.now + 1_000)
    pauses, token = await poll(login)
    assert pauses == [5, 5, 10, 10, 20]
    assert isinstance(token, seic.ExistingToken)
    assert (
        provider.forms[1:]
        == [
            (
                "/oauth/v2/token",
                {
                    "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                    "device_code": "device-1",
                    "client_id": "tv",
                },
            )
        ]
        * 5
    )


async def test_a_login_that_takes_too_long(clock: FakeClock) -> None:
    """Polling stops when the login expires, with an error that says so."""
    provider = Provider(*[refuse("authorization_pending")] * 20)
    login = await begin(provider, clock)
    pauses, failure = await poll(login)
    assert len(pauses) == 12
    assert len(provider.forms) == 12
    assert isinstance(failure, seic.TokenRequestRefused)
    assert failure.code == "expired_token"


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_grant", "invalid_client"])
async def test_a_login_that_is_refused(clock: FakeClock, code: str) -> None:
    """The provider's error is raised at once, without further polls."""
    provider = Provider(refuse(code))
    pauses, failure = await poll(await begin(provider, clock))
    assert pauses == [5]
    assert isinstance(failure, seic.TokenRequestRefused)
    assert failure.code == code


@pytest.mark.parametrize(
    ("changes", "expires_in", "interval"),
    [
        pytest.param({"interval": None}, 60, 5, id="no interval"),
        pytest.param({"interval": "7"}, 60, 7, id="a string"),
        pytest.param({"interval": -1}, 60, 5, id="negative"),
        pytest.param({"interval": 0}, 60, 1, id="zero"),
        pytest.param({"interval": 0.99}, 60, 1, id="below a second"),
        pytest.param({"interval": 1}, 60, 1, id="a second"),
        pytest.param({"interval": 1e9}, 60, 60, id="too long"),
        pytest.param({"expires_in": None}, 86400, 5, id="no expiry"),
        pytest.param({"expires_in": 0}, 86400, 5, id="zero expiry"),
        pytest.param({"expires_in": 1e12}, 86400, 5, id="too long expiry"),
        pytest.param(
            {"verification_uri": None, "verification_url": "https://idp.example/a"}, 60, 5, id="name in a draft"
        ),
    ],
)
async def test_defaults_and_limits(
    clock: FakeClock, changes: dict[str, Any], expires_in: float, interval: float
) -> None:
    """Missing values have the defaults of the RFC, and extreme values are limited."""
    provider = Provider(refuse("access_denied"), begin={**BEGIN, **changes})
    login = await begin(provider, clock)
    assert login.expires_in == expires_in
    assert (await poll(login))[0] == [interval]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param({**BEGIN, "device_code": None}, seic.InvalidTokenResponse, id="no device code"),
        pytest.param({**BEGIN, "user_code": 1}, seic.InvalidTokenResponse, id="no user code"),
        pytest.param({**BEGIN, "user_code": "x" * 101}, seic.InvalidTokenResponse, id="user code too long"),
        pytest.param({**BEGIN, "user_code": "a\x1b[2J"}, seic.InvalidTokenResponse, id="a control character"),
        pytest.param({**BEGIN, "verification_uri": "javascript:x"}, seic.InvalidTokenResponse, id="not a web address"),
        pytest.param({**BEGIN, "verification_uri": "http://idp.example/a"}, seic.InvalidTokenResponse, id="http"),
        pytest.param(
            {**BEGIN, "verification_uri": "https://idp.example@evil.example/"},
            seic.InvalidTokenResponse,
            id="misleading host",
        ),
        pytest.param(
            {**BEGIN, "verification_uri_complete": "http://idp.example/a?code=x"},
            seic.InvalidTokenResponse,
            id="complete address: http",
        ),
        pytest.param(
            {**BEGIN, "verification_uri_complete": "javascript:x"},
            seic.InvalidTokenResponse,
            id="complete address: script",
        ),
        pytest.param(httpx.Response(400, json={"error": "invalid_client"}), seic.TokenRequestRefused, id="refused"),
        pytest.param(httpx.Response(503), seic.TokenEndpointUnavailable, id="unavailable"),
        pytest.param(httpx.Response(200, text="<html>"), seic.InvalidTokenResponse, id="HTML"),
    ],
)
async def test_an_invalid_response_to_the_start(answer: Any, kind: type[Exception]) -> None:
    """A typed error is raised."""
    with pytest.raises(kind):
        await begin(Provider(begin=answer), FakeClock())


async def test_a_verification_page_on_loopback() -> None:
    """Plain http is allowed for loopback addresses, for tests."""
    begun = {**BEGIN, "verification_uri": "http://[::1]:8080/a", "verification_uri_complete": "http://localhost/a?c=1"}
    login = await begin(Provider(begin=begun), FakeClock())
    assert (login.verification_uri, login.verification_uri_complete) == (
        "http://[::1]:8080/a",
        "http://localhost/a?c=1",
    )


async def test_a_login_is_followed_by_a_refresh(clock: FakeClock) -> None:
    """The token is used at once, and then its refresh token, without another login."""
    provider = Provider()
    provider.polls.extend([httpx.Response(200, json=TOKEN), httpx.Response(200, json={**TOKEN, "access_token": "a2"})])
    settings = config()
    login = await seic.DeviceLogin.begin(settings, transport=provider.transport, clock=clock.clock)
    grant = await login.finish()
    auth = seic.OAuth2Auth(attrs.evolve(settings, grant=grant), transport=provider.transport, clock=clock.clock)
    assert (await auth.source.token()).access_token == "access-1"
    assert len(provider.forms) == 2
    clock.advance(3_601)
    assert (await auth.source.token()).access_token == "a2"
    assert provider.forms[-1][1]["refresh_token"] == "refresh-1"
    await auth.aclose()


def test_a_blocking_login(clock: FakeClock) -> None:
    """The blocking twin behaves the same."""
    provider = Provider(httpx.Response(200, json=TOKEN))
    begun = clock.now
    login = seic.DeviceLogin.begin_sync(config(), transport=provider.transport, clock=clock.clock)
    assert login.finish_sync(subject="ann").subject == "ann"
    assert clock.now == begun + 5


def bound_to(thumbprint: str | None) -> httpx.Response:
    """Return the response to a poll: a token bound to a certificate."""
    claims = {} if thumbprint is None else {"cnf": {"x5t#S256": thumbprint}}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return httpx.Response(200, json={**TOKEN, "access_token": f"e30.{body}.c2ln"})


def bound_config() -> seic.Config:
    """Return a configuration with a certificate, for a provider that binds tokens to it."""
    provider = attrs.evolve(PROVIDER, client_authentication=seic.TlsClientAuth(), certificate_bound_tokens=True)
    certificate = identities.certificate()
    return config(provider=provider, hosts=seic.Hosts(api=HOST, mtls=HOST), certificate=certificate)


def test_a_token_that_is_bound_to_another_certificate(clock: FakeClock) -> None:
    """It is refused, as for every token request (RFC 8705 §3)."""
    provider = Provider(bound_to("x"))
    login = seic.DeviceLogin.begin_sync(bound_config(), transport=provider.transport, clock=clock.clock)
    with pytest.raises(seic.InvalidTokenResponse) as caught:
        login.finish_sync()
    assert caught.value.problem == "cnf"


def test_a_token_that_is_bound_to_this_certificate(clock: FakeClock) -> None:
    """It is accepted, without an event."""
    settings, told = bound_config(), list[Event]()
    assert isinstance(settings.certificate, seic.ClientCertificate)
    provider = Provider(bound_to(settings.certificate.x5t_s256))
    login = seic.DeviceLogin.begin_sync(settings, transport=provider.transport, clock=clock.clock, on_event=told.append)
    assert login.finish_sync().token.access_token
    assert told == []


async def test_a_token_that_is_not_bound(clock: FakeClock) -> None:
    """It is accepted, and an event is emitted."""
    told: list[Event] = []
    provider = Provider(bound_to(None))
    login = await seic.DeviceLogin.begin(
        bound_config(), transport=provider.transport, clock=clock.clock, on_event=told.append
    )
    assert (await login.finish()).token.access_token
    assert told == [TokenNotBound(host="idp.example", tracking_id=None)]


async def test_a_refresh_repeats_audience_and_resource(clock: FakeClock) -> None:
    """A refresh of the login's token sends audience and resource, but no scope."""
    provider = Provider(httpx.Response(200, json=TOKEN), httpx.Response(200, json=TOKEN))
    asked = seic.DeviceCode(scope="read", audience="orders", resource="https://orders.example")
    login = await begin(provider, clock, grant=asked)
    settings = config(grant=await login.finish())
    async with seic.AsyncClient(settings, transport=provider.transport) as client:
        await client.token(force=True)
    assert provider.forms[-1][1] == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_id": "tv",
        "audience": "orders",
        "resource": "https://orders.example",
    }


async def test_another_grant() -> None:
    """The error names the setting."""
    with pytest.raises(seic.ConfigurationError) as caught:
        await seic.DeviceLogin.begin(config(provider=PROVIDER, client_secret="s", grant=seic.ClientCredentials()))
    assert caught.value.field == "grant"


async def test_a_client_before_the_login() -> None:
    """The error says that a login is required, and no request is sent."""
    provider = Provider()
    async with seic.AsyncClient(config(), transport=provider.transport) as client:
        with pytest.raises(seic.TokenRequestRefused, match=r"DeviceLogin\.begin") as caught:
            await client.token()
    assert caught.value.code == "login_required"
    assert provider.forms == []


@pytest.mark.parametrize(("refresh_token", "code"), [(None, "login_required"), ("refresh-1", None)])
async def test_an_existing_token(refresh_token: str | None, code: str | None) -> None:
    """It is used until it expires; then it is refreshed, or a login is required."""
    clock, provider = FakeClock(), Provider(httpx.Response(200, json=TOKEN))
    token = seic.Token(access_token="a", refresh_token=refresh_token, expires_in=100, obtained_at=clock.wall - 50)
    settings = config(grant=seic.ExistingToken(token=token))
    auth = seic.OAuth2Auth(settings, transport=provider.transport, clock=clock.clock)
    assert await auth.source.token() == token
    clock.advance(51)
    if code is None:
        assert (await auth.source.token()).access_token == "access-1"
    else:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await auth.source.token()
        assert caught.value.code == code
    await auth.aclose()
