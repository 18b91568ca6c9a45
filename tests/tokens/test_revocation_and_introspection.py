"""Revocation and introspection in each dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import attrs
import httpx
import pytest

import seic

PLAIN = attrs.evolve(seic.OAUTH2, revocation_url="/oauth/v2/revoke", introspection_url="/oauth/v2/introspect")
PLATFORM = attrs.evolve(seic.SEI_PLATFORM, revocation_url="/v2/oauth/revoke")
HOSTS = seic.Hosts(api="idp.example")
TOKEN = {"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600}
PAIR = {**TOKEN, "refresh_token": "refresh-1"}


class Recorder:
    """Returns a token for token requests and the given responses for others, and records these."""

    def __init__(self, token: dict[str, object], answer: Callable[[], httpx.Response]) -> None:
        self.calls: list[httpx.Request] = []
        self._token = token
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        form = parse_qs(request.content.decode())
        if request.method == "POST" and form.get("grant_type", [""])[0] in {"password", "authorization_code"}:
            return httpx.Response(200, json=self._token)
        self.calls.append(request)
        return self._answer()

    @property
    def sent(self) -> list[tuple[str, dict[str, str]]]:
        """Return each request's path and the fields about the token."""
        return [
            (
                call.url.path,
                {
                    name: values[0]
                    for name, values in parse_qs(call.content.decode()).items()
                    if name not in {"client_id", "client_secret"}
                },
            )
            for call in self.calls
        ]


def config(provider: seic.Provider) -> seic.Config:
    """Return a configuration for a user's token at a provider."""
    is_platform = provider.name == PLATFORM.name
    grant = seic.AuthorizationCode(code="c") if is_platform else seic.Password(username="u", password="p")
    return seic.Config(provider=provider, hosts=HOSTS, client_id="client-1", client_secret="s-1", grant=grant)


def cascade() -> httpx.Response:
    """Return the platform's response to a revocation."""
    return httpx.Response(200, json={"message": "revoked", "token": "access-1", "cascade": "true"})


def nothing() -> httpx.Response:
    """Return the response of RFC 7009."""
    return httpx.Response(200)


_REVOCATIONS: list[Any] = [
    pytest.param(
        seic.SEI_GATEWAY,
        TOKEN,
        nothing,
        [("/v2/oauthtoken", {"grant_type": "invalidate_token", "access_token": "access-1"})],
        id="gateway",
    ),
    pytest.param(
        seic.SEI_GATEWAY,
        PAIR,
        nothing,
        [("/v2/oauthtoken", {"grant_type": "invalidate_token", "access_token": "access-1"})],
        id="gateway, pair",
    ),
    pytest.param(PLATFORM, TOKEN, cascade, [("/v2/oauth/revoke", {"token": "access-1"})], id="platform"),
    pytest.param(
        PLATFORM, PAIR, cascade, [("/v2/oauth/revoke", {"refresh_token": "refresh-1"})], id="platform, one kills both"
    ),
    pytest.param(PLAIN, TOKEN, nothing, [("/oauth/v2/revoke", {"token": "access-1"})], id="RFC 7009"),
    pytest.param(
        PLAIN,
        PAIR,
        nothing,
        [
            ("/oauth/v2/revoke", {"token": "refresh-1", "token_type_hint": "refresh_token"}),
            ("/oauth/v2/revoke", {"token": "access-1"}),
        ],
        id="RFC 7009, pair",
    ),
]


@pytest.mark.parametrize(("provider", "token", "answer", "sent"), _REVOCATIONS)
async def test_revoking(
    provider: seic.Provider, token: dict[str, object], answer: Callable[[], httpx.Response], sent: object
) -> None:
    """Each dialect has its own request, and the token is also removed here."""
    recorder = Recorder(token, answer)
    async with seic.AsyncClient(config(provider), transport=httpx.MockTransport(recorder)) as client:
        await client.token()
        await client.revoke()
        assert recorder.sent == sent
        await client.revoke()
    assert recorder.sent == sent


@pytest.mark.parametrize(("provider", "token", "answer", "sent"), _REVOCATIONS)
def test_revoking_while_blocking(
    provider: seic.Provider, token: dict[str, object], answer: Callable[[], httpx.Response], sent: object
) -> None:
    """The blocking twin behaves the same."""
    recorder = Recorder(token, answer)
    with seic.Client(config(provider), transport=httpx.MockTransport(recorder)) as client:
        client.token()
        client.revoke()
    assert recorder.sent == sent


async def test_a_revocation_that_the_platform_refuses() -> None:
    """Its error format is parsed, and the token is removed here nevertheless."""

    def refuse() -> httpx.Response:
        return httpx.Response(400, json={"ErrorCode": "invalid_token", "Error": "Unknown token", "Hint": "log in"})

    recorder = Recorder(PAIR, refuse)
    async with seic.AsyncClient(config(PLATFORM), transport=httpx.MockTransport(recorder)) as client:
        await client.token()
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.revoke()
        assert (caught.value.code, caught.value.description) == ("invalid_token", "Unknown token; log in")
        assert len(recorder.calls) == 1
        await client.revoke()
    assert len(recorder.calls) == 1


def _planned(*answers: httpx.Response | Exception) -> Callable[[], httpx.Response]:
    """Return a function with this response first, and successes after it."""
    plan = list(answers)

    def answer() -> httpx.Response:
        following = plan.pop(0) if plan else nothing()
        if isinstance(following, Exception):
            raise following
        return following

    return answer


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(httpx.ConnectError("no"), seic.TokenEndpointUnavailable, id="unreachable"),
        pytest.param(httpx.ReadTimeout("late"), seic.TokenEndpointUnavailable, id="answer lost"),
        pytest.param(httpx.Response(503), seic.TokenEndpointUnavailable, id="down"),
        pytest.param(httpx.Response(302), seic.InvalidTokenResponse, id="another answer in its place"),
        pytest.param(
            httpx.Response(401, json={"error": "invalid_client"}), seic.TokenRequestRefused, id="client not known"
        ),
    ],
)
async def test_a_revocation_that_failed_can_be_repeated(
    fault: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unanswered request is sent again, but no answered one, and nothing after that."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    # Two attempts, if there was no reply.
    faults = [fault] * (2 if isinstance(fault, Exception) else 1)
    recorder = Recorder(PAIR, _planned(*faults, nothing(), *faults))
    async with seic.AsyncClient(config(PLAIN), transport=httpx.MockTransport(recorder)) as client:
        await client.token()
        with pytest.raises(error):
            await client.revoke()
        with pytest.raises(error):
            await client.revoke()
        await client.revoke()
        await client.revoke()
    sent = 1 + len(faults)
    assert [form["token"] for _, form in recorder.sent] == [*["refresh-1"] * sent, *["access-1"] * sent]


def test_a_blocking_revocation_that_failed_can_be_repeated() -> None:
    """The blocking twin behaves the same."""
    recorder = Recorder(PAIR, _planned(httpx.Response(503), cascade()))
    with seic.Client(config(PLATFORM), transport=httpx.MockTransport(recorder)) as client:
        client.token()
        with pytest.raises(seic.TokenEndpointUnavailable):
            client.revoke()
        client.revoke()
    assert recorder.sent == [("/v2/oauth/revoke", {"refresh_token": "refresh-1"})] * 2


async def test_a_revocation_that_was_cancelled_can_be_repeated() -> None:
    """Requests that were sent and not answered are sent again."""
    recorder = Recorder(TOKEN, nothing)
    arrived = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        reply = recorder(request)
        if len(recorder.calls) == 1:
            arrived.set()
            await asyncio.Event().wait()
        return reply

    async with seic.AsyncClient(config(PLAIN), transport=httpx.MockTransport(answer)) as client:
        await client.token()
        revoking = asyncio.create_task(client.revoke())
        await arrived.wait()
        revoking.cancel()
        await asyncio.wait([revoking])
        await client.revoke()
    assert recorder.sent == [("/oauth/v2/revoke", {"token": "access-1"})] * 2


async def test_nothing_takes_up_what_is_yet_to_be_revoked() -> None:
    """Calls and store do not have it any more, and the next revocation ends both sessions."""
    store = seic.MemoryStore()
    tokens = [PAIR, {**TOKEN, "access_token": "access-2"}]
    recorder = Recorder(PAIR, _planned(httpx.Response(503)))

    def answer(request: httpx.Request) -> httpx.Response:
        if b"grant_type" in request.content:
            return httpx.Response(200, json=tokens.pop(0))
        return recorder(request)

    settings = attrs.evolve(config(PLAIN), store=store)
    async with seic.AsyncClient(settings, transport=httpx.MockTransport(answer)) as client:
        await client.token()
        with pytest.raises(seic.TokenEndpointUnavailable):
            await client.revoke()
        assert store.load(settings.store_key(None)) is None
        assert (await client.token()).access_token == "access-2"
        await client.revoke()
    assert [form["token"] for _, form in recorder.sent] == ["refresh-1", "refresh-1", "access-1", "access-2"]


async def test_a_refused_revocation_does_not_keep_the_others_from_the_provider() -> None:
    """Each token is revoked, and the refusal is raised at the end."""
    recorder = Recorder(PAIR, _planned(httpx.Response(400, json={"error": "unsupported_token_type"})))
    async with seic.AsyncClient(config(PLAIN), transport=httpx.MockTransport(recorder)) as client:
        await client.token()
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.revoke()
        await client.revoke()
    assert caught.value.code == "unsupported_token_type"
    assert "does not revoke or describe tokens of this kind" in str(caught.value)
    assert [form["token"] for _, form in recorder.sent] == ["refresh-1", "access-1"]


async def test_a_provider_that_cannot_revoke() -> None:
    """The error names the setting, and a token that cannot be revoked stays in use."""
    recorder = Recorder(PAIR, nothing)
    async with seic.AsyncClient(config(seic.SEI_PLATFORM), transport=httpx.MockTransport(recorder)) as client:
        token = await client.token()
        with pytest.raises(seic.ConfigurationError) as caught:
            await client.revoke()
        assert caught.value.field == "provider.revocation_url"
        assert await client.token() is token
    assert recorder.calls == []


def _tokeninfo() -> httpx.Response:
    return httpx.Response(
        200,
        json={"status": "approved", "expires_in": 100, "email": "ann@example.com", "app_name": "App", "scope": "x"},
    )


def _introspection() -> httpx.Response:
    return httpx.Response(200, json={"active": True, "scope": "x", "username": "ann@example.com"})


@pytest.mark.parametrize(
    ("provider", "answer", "expires_in"),
    [pytest.param(PLATFORM, _tokeninfo, 100, id="platform"), pytest.param(PLAIN, _introspection, None, id="RFC 7662")],
)
async def test_describing_a_token(
    provider: seic.Provider, answer: Callable[[], httpx.Response], expires_in: float | None
) -> None:
    """Each dialect returns one typed value, and no secret is in a URL."""
    recorder = Recorder(PAIR, answer)
    async with seic.AsyncClient(config(provider), transport=httpx.MockTransport(recorder)) as client:
        info = await client.token_info()
    assert isinstance(info, seic.TokenInfo)
    assert (info.active, info.username, info.scope, info.expires_in) == (True, "ann@example.com", "x", expires_in)
    (call,) = recorder.calls
    assert "access-1" not in str(call.url)
    assert "s-1" not in str(call.url)


@pytest.mark.parametrize(("provider", "answer"), [(PLATFORM, _tokeninfo), (PLAIN, _introspection)])
def test_describing_a_token_while_blocking(provider: seic.Provider, answer: Callable[[], httpx.Response]) -> None:
    """The blocking twin behaves the same."""
    recorder = Recorder(PAIR, answer)
    with seic.Client(config(provider), transport=httpx.MockTransport(recorder)) as client:
        assert client.token_info().username == "ann@example.com"


class Forgetful:
    """A platform that does not know the first tokens any more, and refreshes them."""

    def __init__(self, *, forgets: int) -> None:
        self.known = f"Bearer access-{forgets + 1}"
        self.asked: list[str] = []
        self._tokens = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if request.method == "POST":
            self._tokens += 1
            pair = {"access_token": f"access-{self._tokens}", "refresh_token": f"refresh-{self._tokens}"}
            return httpx.Response(200, json={**TOKEN, **pair})
        self.asked.append(request.headers["Authorization"])
        return _tokeninfo() if self.asked[-1] == self.known else httpx.Response(401, json={"error": "revoked"})


async def test_describing_a_token_that_was_revoked_elsewhere() -> None:
    """The token is refreshed, as after an API call; otherwise it would be refused until its expiry."""
    platform = Forgetful(forgets=1)
    async with seic.AsyncClient(config(PLATFORM), transport=httpx.MockTransport(platform)) as client:
        assert (await client.token_info()).username == "ann@example.com"
    assert platform.asked == ["Bearer access-1", "Bearer access-2"]


def test_describing_a_token_that_was_revoked_elsewhere_while_blocking() -> None:
    """The blocking twin behaves the same."""
    platform = Forgetful(forgets=1)
    with seic.Client(config(PLATFORM), transport=httpx.MockTransport(platform)) as client:
        assert client.token_info().username == "ann@example.com"
    assert platform.asked == ["Bearer access-1", "Bearer access-2"]


async def test_describing_tokens_that_are_refused_for_another_reason() -> None:
    """There is one refresh, then the refusal, since the token is not the cause."""
    platform = Forgetful(forgets=9)
    async with seic.AsyncClient(config(PLATFORM), transport=httpx.MockTransport(platform)) as client:
        for _ in range(3):
            with pytest.raises(seic.TokenRequestRefused):
                await client.token_info()
        assert client.stats.token_requests == 2


async def test_an_introspection_that_refuses_the_client_renews_nothing() -> None:
    """The refusal is about the client, not about the token (RFC 7662 §2.1)."""
    recorder = Recorder(PAIR, lambda: httpx.Response(401, json={"error": "invalid_client"}))
    async with seic.AsyncClient(config(PLAIN), transport=httpx.MockTransport(recorder)) as client:
        with pytest.raises(seic.TokenRequestRefused):
            await client.token_info()
    assert len(recorder.calls) == 1


@pytest.mark.parametrize("provider", [seic.SEI_GATEWAY, seic.OAUTH2], ids=lambda provider: provider.name)
async def test_a_provider_that_describes_nothing(provider: seic.Provider) -> None:
    """The error names the setting, and no request is sent, not even for a token."""
    recorder = Recorder(PAIR, nothing)
    async with seic.AsyncClient(config(provider), transport=httpx.MockTransport(recorder)) as client:
        with pytest.raises(seic.ConfigurationError) as caught:
            await client.token_info()
        assert client.stats.token_requests == 0
    with seic.Client(config(provider), transport=httpx.MockTransport(recorder)) as blocking:
        with pytest.raises(seic.ConfigurationError):
            blocking.token_info()
        assert blocking.stats.token_requests == 0
    assert caught.value.field == "provider.introspection_url"
    assert recorder.calls == []


async def test_a_description_is_logged_with_its_tracking_id(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged as an API call, without its query, since SEI asks for the id of each response."""
    caplog.set_level("INFO", logger="seic.api")
    reply = _tokeninfo()
    reply.headers["requesttrackingid"] = "id-1"
    recorder = Recorder(PAIR, lambda: reply)
    async with seic.AsyncClient(config(PLATFORM), transport=httpx.MockTransport(recorder)) as client:
        await client.token_info()
    assert [record.getMessage() for record in caplog.records if record.name == "seic.api"] == [
        "GET https://idp.example/v2/oauth/tokeninfo 200 tracking_id=id-1"
    ]


async def test_a_login_that_was_revoked_does_not_send_its_code_again() -> None:
    """A login is required: a code that is sent twice revokes its tokens (RFC 6749 §4.1.2)."""
    recorder = Recorder(PAIR, cascade)
    async with seic.AsyncClient(config(PLATFORM), transport=httpx.MockTransport(recorder)) as client:
        await client.token()
        await client.revoke()
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()
    assert caught.value.code == "login_required"
