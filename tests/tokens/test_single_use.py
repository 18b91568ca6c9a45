"""Single use: a new code or refresh token of the user is used, and never sent twice by a process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import attrs
import httpx
import pytest

import seic
from seic import (
    AuthorizationCode,
    ConfigurationError,
    ExistingToken,
    Grant,
    MemoryStore,
    RefreshToken,
    Token,
    TokenRequestRefused,
)
from seic._tokens import single_use
from seic._tokens.single_use import SingleUse, SingleUseMemory, UseState
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE, refresh_tokens_or_grants, refreshing_mock
from tests._support.sources import granted_source_of

LATER = 3_601.0
REFUSED = {"error": "invalid_grant", "error_description": "no such thing"}


def code(text: str) -> AuthorizationCode:
    """Return a login of the same user."""
    return AuthorizationCode(code=text, subject="ann")


def restart() -> None:
    """Forget the state of the process."""
    single_use._of_stores.clear()
    single_use._of_clients.clear()


def sent(provider: MockProvider) -> list[str]:
    """Return the secret of each request."""
    return [form.get("refresh_token") or form["code"] for form in provider.forms]


def refused() -> httpx.Response:
    """Return the provider's refusal."""
    return httpx.Response(400, json=REFUSED)


class Forgetful(MemoryStore):
    """A store that keeps only the fields of RFC 6749."""

    def save(self, key: str, token: Token) -> None:
        """Save the token without its `login_id`."""
        super().save(key, attrs.evolve(token, login_id=None))


# A new login, and a store with an older one


@pytest.mark.parametrize("later", [0, LATER], ids=["while it lives", "when it has expired"])
@pytest.mark.parametrize("refreshable", [True, False], ids=["with a refresh token", "without one"])
@pytest.mark.parametrize(
    ("grant", "new"),
    [(code("code-2"), "code-2"), (RefreshToken(refresh_token="r0", subject="ann"), "r0")],
    ids=["code", "refresh token"],
)
@pytest.mark.parametrize("restarts", [True, False], ids=["in another process", "in the same"])
async def test_a_stored_session_does_not_shadow_a_new_login(
    later: float, refreshable: bool, grant: Grant, new: str, restarts: bool
) -> None:
    """A new secret is sent, whatever the store has from an earlier login."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    provider.refresh_tokens = refreshable
    await granted_source_of(provider, code("code-1"), clock, store=store).token()
    clock.advance(later)
    if restarts:
        restart()
    assert (await granted_source_of(provider, grant, clock, store=store).token()).access_token == "a2"
    assert sent(provider) == ["code-1", new]
    clock.advance(later)
    if refreshable and later:
        # From here on the new session is used, also after a restart.
        restart()
        await granted_source_of(provider, grant, clock, store=store).token()
        assert sent(provider)[2:] == ["r2"]


async def test_a_session_of_a_token_that_was_had_in_another_way() -> None:
    """Its session gives way to a new refresh token too, and a restart with the same token continues."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    given = Token(access_token="given", refresh_token="r0", expires_in=3600, obtained_at=clock.wall)
    await granted_source_of(provider, ExistingToken(token=given, subject="ann"), clock, store=store).token()
    clock.advance(LATER)
    await granted_source_of(provider, ExistingToken(token=given, subject="ann"), clock, store=store).token()
    restart()
    assert (
        await granted_source_of(provider, ExistingToken(token=given, subject="ann"), clock, store=store).token()
    ) is not given
    assert sent(provider) == ["r0"]
    provider.token_responses.append(
        httpx.Response(200, json={"access_token": "a9", "expires_in": 3600, "refresh_token": "r9"})
    )
    new = RefreshToken(refresh_token="new", subject="ann")
    assert (await granted_source_of(provider, new, clock, store=store).token()).access_token == "a9"
    assert sent(provider) == ["r0", "new"]


@pytest.mark.parametrize("later", [0, LATER], ids=["while it lives", "when it has expired"])
async def test_a_restart_with_the_same_code(later: float) -> None:
    """The code was used by another process, so it is not sent: the session of the store is used."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    await granted_source_of(provider, code("code-1"), clock, store=store).token()
    clock.advance(later)
    restart()
    await granted_source_of(provider, code("code-1"), clock, store=store).token()
    assert sent(provider) == ["code-1", "r1"][: 2 if later else 1]


async def test_a_restart_with_the_same_code_when_nothing_is_left() -> None:
    """A login is required, and the provider does not see the code twice."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    provider.refresh_tokens = False
    await granted_source_of(provider, code("code-1"), clock, store=store).token()
    clock.advance(LATER)
    restart()
    with pytest.raises(TokenRequestRefused, match="login required") as caught:
        await granted_source_of(provider, code("code-1"), clock, store=store).token()
    assert caught.value.code == "login_required"
    assert sent(provider) == ["code-1"]


@pytest.mark.parametrize(
    ("later", "serves", "asked"),
    [(0, "a1", ["code-1", "code-0"]), (LATER, "a2", ["code-1", "code-0", "r1"])],
    ids=["living", "expired"],
)
async def test_a_new_login_that_is_refused(later: float, serves: str, asked: list[str]) -> None:
    """The stored session is used: the code may be an old one of a restarted process."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    await granted_source_of(provider, code("code-1"), clock, store=store).token()
    clock.advance(later)
    restart()
    provider.token_responses.append(refused())
    source = granted_source_of(provider, code("code-0"), clock, store=store)
    assert (await source.token()).access_token == serves
    assert sent(provider) == asked
    assert (await source.token()).access_token == serves
    assert sent(provider) == asked


async def test_a_new_login_that_is_refused_when_nothing_is_stored() -> None:
    """The provider's error is raised after one request, and the refusal is remembered permanently."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code("code-0"), clock, store=MemoryStore())
    provider.token_responses.append(refused())
    with pytest.raises(TokenRequestRefused, match="no such thing") as caught:
        await source.token()
    assert (caught.value.status, caught.value.code) == (400, "invalid_grant")
    clock.advance(LATER)
    with pytest.raises(TokenRequestRefused, match="login required"):
        await source.token()
    assert sent(provider) == ["code-0"]


async def test_a_store_that_forgets_what_began_a_session() -> None:
    """Its session is used while it lasts, and a code with an unknown state is tried."""
    provider, clock, store = refreshing_mock(), FakeClock(), Forgetful()
    await granted_source_of(provider, code("code-1"), clock, store=store).token()
    restart()
    await granted_source_of(provider, code("code-2"), clock, store=store).token()
    clock.advance(LATER)
    await granted_source_of(provider, code("code-2"), clock, store=store).token()
    assert sent(provider) == ["code-1", "r1"]
    clock.advance(LATER)
    provider.token_responses.append(refused())
    await granted_source_of(provider, code("code-2"), clock, store=store).token()
    assert sent(provider) == ["code-1", "r1", "r2", "code-2"]


# Callables


def refresh_tokens(text: str) -> Callable[[], str]:
    """A callback that returns the same token, or one with a counter."""
    numbers = itertools.count(1)
    return lambda: f"{text}{next(numbers)}" if text.endswith("-") else text


@pytest.mark.parametrize(("text", "next_sent"), [("same", []), ("other-", ["other-3"])], ids=["the same", "another"])
@pytest.mark.parametrize("kind", [RefreshToken, AuthorizationCode])
async def test_a_callable_whose_token_is_refused(kind: Any, text: str, next_sent: list[str]) -> None:
    """One request is sent, an error is raised, and the refused token is never sent again."""
    provider, clock = refreshing_mock(), FakeClock()
    field = "code" if kind is AuthorizationCode else "refresh_token"
    source = granted_source_of(provider, kind(**{field: refresh_tokens(text), "subject": "ann"}), clock)
    provider.token_responses.extend(refused() for _ in range(9))
    with pytest.raises(TokenRequestRefused, match="no such thing"):
        await source.token()
    assert len(provider.forms) == 1
    clock.advance(LATER)
    with pytest.raises(TokenRequestRefused) as caught:
        await source.token()
    if text == "same":
        assert "that the callable returned has already been used" in caught.value.message
        assert len(provider.forms) == 1
    else:
        assert len(provider.forms) == 2


async def test_a_callable_is_asked_once_for_each_request() -> None:
    """The claimed token is the one that is sent, although a callable can return another each time."""
    provider, clock = refreshing_mock(), FakeClock()
    asked: list[str] = []

    def give() -> str:
        asked.append(f"code-{len(asked) + 1}")
        return asked[-1]

    await granted_source_of(provider, AuthorizationCode(code=give), clock).token()
    assert sent(provider) == asked == ["code-1"]


async def test_a_callable_that_fails() -> None:
    """The error names the setting, and nothing is sent."""
    provider = refreshing_mock()
    with pytest.raises(ConfigurationError) as caught:
        await granted_source_of(provider, RefreshToken(refresh_token=lambda: "")).token()
    assert caught.value.field == "grant.refresh_token"
    assert provider.forms == []


# Equal secrets


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param(lambda: RefreshToken(refresh_token="r0"), id="refresh token"),
        pytest.param(lambda: RefreshToken(refresh_token=lambda: "r0", subject="ann"), id="callable"),
        pytest.param(lambda: AuthorizationCode(code="c"), id="code"),
    ],
)
@pytest.mark.parametrize("shares_store", [True, False], ids=["one store", "no store"])
async def test_equal_grants_spend_a_secret_once(grant: Callable[[], Grant], shares_store: bool) -> None:
    """Two sources with the same secret send it once, concurrently and later."""
    provider, clock = refreshing_mock(), FakeClock()
    options = {"store": MemoryStore()} if shares_store else {}
    one, other = (granted_source_of(provider, grant(), clock, **options) for _ in range(2))
    provider.hold_tokens(issued=True)
    first = asyncio.create_task(one.token())
    assert await provider.wait_for_token_request(PATIENCE)
    second = asyncio.create_task(other.token())
    for _ in range(20):  # steps of the loop, more than the second needs until it waits
        await asyncio.sleep(0)
    provider.release_tokens()
    assert (await first).access_token == "a1"
    if shares_store:
        assert (await second).access_token == "a1"
    else:
        with pytest.raises(TokenRequestRefused) as caught:
            await second
        assert caught.value.code == "login_required"
    assert (len(provider.forms), provider.reused_refresh_tokens) == (1, [])


class Raced(SingleUseMemory):
    """Another thread sends the secret between the check and the claim, with the given result."""

    def __init__(self, state: UseState) -> None:
        super().__init__()
        self._ends: list[UseState] = [state]

    def begin(self, secret: str) -> tuple[SingleUse, bool]:
        """Claim it after the other has ended."""
        if self._ends:
            super().begin(secret)[0].end(self._ends.pop())
        return super().begin(secret)


@pytest.mark.parametrize(
    ("state", "asked"), [(UseState.USED, []), (UseState.UNUSED, ["r0"]), (UseState.UNKNOWN, ["r0"])], ids=str
)
async def test_somebody_else_was_faster_by_a_hair(state: UseState, asked: list[str]) -> None:
    """The claim counts, not the check before it: a used secret is not sent."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, RefreshToken(refresh_token="r0"), clock, memory=Raced(state))
    if asked:
        await source.token()
    else:
        with pytest.raises(TokenRequestRefused, match="already been used"):
            await source.token()
    assert sent(provider) == asked


async def test_another_client_with_the_same_refresh_token_may_send_it() -> None:
    """A client of another provider, host or test is not refused."""
    forms: list[dict[str, list[str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        forms.append(parse_qs(request.content.decode()))
        return httpx.Response(200, json={"access_token": "a", "expires_in": 3600, "refresh_token": "next"})

    for host in ("one.example", "other.example", "other.example"):
        config = seic.Config(
            provider=seic.OAUTH2,
            hosts=seic.Hosts(api=host),
            client_id="client-1",
            client_secret="s",
            grant=seic.RefreshToken(refresh_token="given"),
        )
        async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
            await client.token()
    assert [form["refresh_token"] for form in forms] == [["given"]] * 3


async def test_a_refresh_token_that_the_provider_hands_out_again() -> None:
    """A used value is valid again if the provider itself issues it."""
    provider, clock = refreshing_mock(), FakeClock()
    pair = {"access_token": "a", "token_type": "Bearer", "expires_in": 3600}
    source = granted_source_of(provider, seic.Password(username="u", password="p"), clock)
    for refresh_token in ("one", "two", "one", "two"):
        provider.token_responses.append(httpx.Response(200, json={**pair, "refresh_token": refresh_token}))
        await source.token()
        clock.advance(LATER)
    assert refresh_tokens_or_grants(provider) == ["password", "one", "two", "one"]


def test_old_endings_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is bounded, and forgets the oldest first."""
    monkeypatch.setattr(single_use, "_REMEMBERED", 3)
    memory = SingleUseMemory()
    for number in range(4):
        memory.begin(str(number))[0].end(UseState.USED)
    assert [memory.state(str(number)) for number in range(4)] == [UseState.UNUSED, *[UseState.USED] * 3]
