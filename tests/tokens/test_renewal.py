"""Renewal by refresh token, and by the grant itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import seic
from seic._errors import TokenEndpointUnavailable, TokenRequestRefused
from seic._model.grants import AuthorizationCode, ClientCredentials, Grant, Password, RefreshToken, Saml2Bearer
from seic._model.token import Token
from seic._oauth.providers import SEI_PLATFORM
from seic._tokens.keeping import PATIENCE
from seic._tokens.sending import Sender
from seic._tokens.source import TokenSource
from seic._tokens.store import MemoryStore
from tests._support.fake_provider import FakeProvider, Hands, Wire

LATER = 3_601.0
# In the advisory window of a token of an hour, and in none of the others.
SOON = 3_000.0


def code() -> AuthorizationCode:
    """A login of its own for each test."""
    return AuthorizationCode(code="code-1")


def password() -> Password:
    """A grant that can ask again."""
    return Password(username="u", password="p")


async def background(source: TokenSource) -> None:
    """Wait until nothing is under way any more."""
    while (flight := source.state.flight) is not None:
        await flight.wait_async()


async def test_a_login_lives_on_by_its_refresh_tokens() -> None:
    """Expect the code once, and then each refresh token once, as the provider rotates them."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(code(), hands)
    for _ in range(4):
        await source.token()
        hands.now += LATER
    assert provider.asked == ["authorization_code", "r1", "r2", "r3"]


def test_a_blocking_login_lives_on_by_its_refresh_tokens() -> None:
    """Expect the same of the blocking twin."""
    provider, hands = FakeProvider(), Hands()
    source = provider.blocking_source(code(), hands)
    for _ in range(3):
        source.token_sync()
        hands.now += LATER
    assert provider.asked == ["authorization_code", "r1", "r2"]


async def test_a_refresh_token_that_is_not_rotated() -> None:
    """Expect the one that stays good to be used again and again (RFC 6749 §6)."""
    provider, hands = FakeProvider(), Hands()
    provider.rotates = False
    source = provider.source(code(), hands)
    for _ in range(3):
        await source.token()
        hands.now += LATER
    assert provider.asked == ["authorization_code", "r1", "r1"]


async def test_a_crowd_spends_a_refresh_token_once() -> None:
    """Expect two hundred callers of a dead token to make one refresh."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(code(), hands)
    await source.token()
    hands.now += LATER
    tokens = await asyncio.gather(*(source.token() for _ in range(200)))
    assert {token.access_token for token in tokens} == {"a2"}
    assert provider.uses == {"r1": 1}


async def test_two_sources_of_one_store_spend_a_refresh_token_once() -> None:
    """Expect the second to wait for the first one's refresh, and to take its token from the store."""
    provider, hands, store = FakeProvider(), Hands(), MemoryStore()
    grant = code()
    one, other = (provider.source(grant, hands, store=store) for _ in range(2))
    assert (await one.token()).access_token == (await other.token()).access_token == "a1"
    hands.now += LATER
    provider.gate = asyncio.Event()
    provider.arrived.clear()
    first = asyncio.create_task(one.token())
    await provider.arrived.wait()
    second = asyncio.create_task(other.token())
    for _ in range(20):  # steps of the loop, more than the second needs to come to where it waits
        await asyncio.sleep(0)
    provider.gate.set()
    assert (await first).access_token == (await second).access_token == "a2"
    assert (provider.uses, provider.killed) == ({"r1": 1}, set())


@pytest.mark.parametrize(
    "grant", [RefreshToken(refresh_token="r0"), AuthorizationCode(code="c")], ids=["refresh token", "code"]
)
async def test_two_sources_of_one_login_without_a_store(grant: Grant) -> None:
    """Expect the second to be told that a person must log in, and to leave the first one's tokens alive."""
    provider, hands = FakeProvider(), Hands()
    one, other = (provider.source(grant, hands) for _ in range(2))
    await one.token()
    with pytest.raises(TokenRequestRefused, match="a person must log in again") as caught:
        await other.token()
    assert caught.value.code == "login_required"
    hands.now += LATER
    await one.token()
    assert (len(provider.forms), provider.killed) == (2, set())


class SlowStore(MemoryStore):
    """A store that saves when it is let."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.saving = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def save(self, key: str, token: Token) -> None:
        """Keep the token once it is let."""
        self.saving.set()
        assert self.let.wait(10)
        super().save(key, token)


async def test_a_rotated_token_is_saved_before_the_old_one_is_forgotten() -> None:
    """Expect the old pair to stay in hand and in the store until the store has the new one."""
    provider, hands, store = FakeProvider(), Hands(), SlowStore()
    source = provider.source(code(), hands, store=store)
    await source.token()
    store.saving.clear()
    store.let.clear()
    hands.now += LATER
    caller = asyncio.create_task(source.token())
    await asyncio.to_thread(store.saving.wait)
    kept = store.load("key")
    assert kept is not None
    assert kept.refresh_token == source.state.held.token.refresh_token == "r1"
    assert not caller.done()
    store.let.set()
    assert (await caller).refresh_token == "r2"
    kept = store.load("key")
    assert kept is not None
    assert kept.refresh_token == "r2"


async def test_a_store_that_hangs_does_not_hold_a_login_up() -> None:
    """Expect the wait for the store to be bounded, and the login to go on from memory."""
    provider, hands, store = FakeProvider(), Hands(), SlowStore()
    store.let.clear()
    source = provider.source(code(), hands, store=store)
    async with asyncio.timeout(10 * PATIENCE):
        assert (await source.token()).refresh_token == "r1"
    store.let.set()


async def test_a_new_process_goes_on_with_the_stored_refresh_token() -> None:
    """Expect a code that was spent in another life not to be sent again, but what came of it to be refreshed."""
    provider, hands, store = FakeProvider(), Hands(), MemoryStore()
    await provider.source(code(), hands, store=store).token()
    hands.now += LATER
    await provider.source(code(), hands, store=store).token()
    assert provider.asked == ["authorization_code", "r1"]


async def test_another_process_was_faster() -> None:
    """Expect a refused refresh to look into the store, where the other process has left the next token."""
    provider, hands, store = FakeProvider(), Hands(), MemoryStore()
    source = provider.source(code(), hands, store=store)
    await source.token()
    hands.now += LATER
    other = Token(access_token="from-elsewhere", refresh_token="r9", expires_in=3600, obtained_at=hands.now)

    def refuse(_request: httpx.Request) -> httpx.Response:
        provider.forms.append({"grant_type": "refresh_token", "refresh_token": "r1"})
        store.save("key", other)
        return httpx.Response(400, json={"error": "invalid_grant"})

    object.__setattr__(source.endpoint, "sender", Sender(Wire(httpx.MockTransport(refuse))))
    assert (await source.token()).access_token == "from-elsewhere"
    assert provider.asked == ["authorization_code", "r1"]


@pytest.mark.parametrize(
    ("fault", "repeats"),
    [
        pytest.param("lose", True, id="answer lost"),
        pytest.param(httpx.ReadTimeout("late"), True, id="no answer in time"),
        pytest.param(httpx.Response(502), True, id="a gateway in between gave up"),
        pytest.param(httpx.Response(200, text="<html>"), False, id="another answer in its place"),
    ],
)
async def test_a_lost_answer_is_not_guessed_at(fault: Any, repeats: bool) -> None:
    """Expect a grant that can ask again to do so, and the refresh token in doubt never to be sent a second time."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(password(), hands)
    await source.token()
    hands.now += LATER
    provider.plan.append(fault)
    if not repeats:
        with pytest.raises(seic.InvalidTokenResponse):
            await source.token()
        hands.now += 60
    await source.token()
    assert provider.asked == ["password", "r1", "password"]
    assert provider.killed == set()


@pytest.mark.parametrize(("fault", "ends"), [("lose", "login"), (httpx.ReadTimeout("late"), "token")])
async def test_a_lost_answer_of_a_login(fault: Any, ends: str) -> None:
    """Expect the living token to serve to its end, and only then the refresh token to be sent again."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(code(), hands)
    await source.token()
    hands.now += SOON
    provider.plan.append(fault)
    assert (await source.token()).access_token == "a1"
    await background(source)
    hands.now += 100
    assert (await source.token()).access_token == "a1"
    await background(source)
    hands.now += 400
    assert (await source.token()).access_token == "a1"
    await background(source)
    assert provider.uses == {"r1": 1}
    hands.now += LATER
    if ends == "token":
        assert (await source.token()).access_token == "a2"
    else:
        with pytest.raises(TokenRequestRefused) as caught:
            await source.token()
        assert caught.value.code == "login_required"
    assert provider.uses == {"r1": 2}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(httpx.ConnectError("refused"), id="no connection"),
        pytest.param(httpx.Response(503), id="too busy to look"),
        pytest.param(httpx.Response(429), id="too many calls"),
    ],
)
async def test_a_refresh_that_was_never_looked_at(fault: Any) -> None:
    """Expect the same refresh token to be sent again, for it is as good as before."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(password(), hands)
    await source.token()
    hands.now += LATER
    provider.plan.append(fault)
    await source.token()
    assert provider.asked == ["password", "r1", "r1"]


async def test_a_cancelled_caller_does_not_spend_twice() -> None:
    """Expect the refresh to end without the caller who began it, and its token to serve the next."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(code(), hands)
    await source.token()
    hands.now += LATER
    provider.gate = asyncio.Event()
    provider.arrived.clear()
    caller = asyncio.create_task(source.token())
    await provider.arrived.wait()
    caller.cancel()
    await asyncio.wait([caller])
    provider.gate.set()
    assert (await source.token()).access_token == "a2"
    assert provider.uses == {"r1": 1}


@pytest.mark.parametrize(
    ("grant", "asked", "ends"),
    [
        pytest.param(password, ["password", "r1", "password"], "a3", id="a grant that can asks again"),
        pytest.param(code, ["authorization_code", "r1", "r1"], "login_required", id="a login has nothing else to try"),
    ],
)
def test_an_event_loop_that_dies_under_a_refresh(grant: Callable[[], Grant], asked: list[str], ends: str) -> None:
    """Expect the refresh that was under way to count as lost in the next loop."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(grant(), hands)

    async def begin() -> None:
        await source.token()
        hands.now += LATER
        provider.gate = asyncio.Event()
        provider.arrived = asyncio.Event()
        caller = asyncio.create_task(source.token())
        await provider.arrived.wait()
        caller.cancel()

    async def go_on() -> str | None:
        try:
            return (await source.token()).access_token
        except TokenRequestRefused as refusal:
            return refusal.code

    asyncio.run(begin())
    provider.gate = None
    assert asyncio.run(go_on()) == ends
    assert provider.asked == asked


async def test_closing_waits_for_a_refresh_that_was_sent() -> None:
    """Expect the answer, and with it the next refresh token, not to be thrown away at the end."""
    provider, hands, store = FakeProvider(), Hands(), MemoryStore()
    source = provider.source(code(), hands, store=store)
    await source.token()
    hands.now += LATER
    provider.gate = asyncio.Event()
    provider.arrived.clear()
    caller = asyncio.create_task(source.token())
    await provider.arrived.wait()
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    provider.gate.set()
    await closing
    assert (await caller).refresh_token == "r2"
    kept = store.load("key")
    assert kept is not None
    assert kept.refresh_token == "r2"


async def test_a_refused_refresh_falls_back_to_the_grant() -> None:
    """Expect the password to be asked for in the same call, and the refused token never to be sent again."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(password(), hands)
    await source.token()
    hands.now += LATER
    provider.plan.append(httpx.Response(400, json={"error": "invalid_grant"}))
    provider.plan.append(httpx.Response(503))
    await source.token()
    assert provider.asked == ["password", "r1", "password", "password"]


async def test_a_refused_client_does_not_spend_the_password() -> None:
    """Expect a refusal of the client to be the answer, and nothing else to be sent with the same credentials."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(password(), hands)
    await source.token()
    hands.now += LATER
    provider.plan.append(httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(TokenRequestRefused) as caught:
        await source.token()
    assert caught.value.code == "invalid_client"
    assert provider.asked == ["password", "r1"]
    hands.now += 60
    await source.token()
    assert provider.asked == ["password", "r1", "r1"]


async def test_a_refused_refresh_of_a_login() -> None:
    """Expect an error that says that a person must log in, in the provider's words, with nothing more sent."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(code(), hands)
    await source.token()
    hands.now += LATER
    provider.plan.append(httpx.Response(400, json={"error": "invalid_grant", "error_description": "session over"}))
    with pytest.raises(TokenRequestRefused, match=r"a person must log in again.*session over") as caught:
        await source.token()
    assert (caught.value.code, caught.value.status) == ("login_required", 400)
    hands.now += 600
    with pytest.raises(TokenRequestRefused, match="a person must log in again"):
        await source.token()
    assert provider.asked == ["authorization_code", "r1"]


async def test_a_login_without_refresh_tokens() -> None:
    """Expect it to end in the error that says that a person must log in again."""
    provider, hands = FakeProvider(), Hands()
    provider.refreshable = False
    source = provider.source(code(), hands)
    await source.token()
    hands.now += LATER
    with pytest.raises(TokenRequestRefused, match="a person must log in again"):
        await source.token()
    assert provider.asked == ["authorization_code"]


async def test_client_credentials_are_minted_anew() -> None:
    """Expect no refresh although the provider sends refresh tokens (RFC 6749 §4.4.3)."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(ClientCredentials(), hands)
    await source.token()
    hands.now += LATER
    await source.token()
    assert provider.asked == ["client_credentials", "client_credentials"]


def _documents() -> Callable[[], bytes]:
    numbers = iter(range(1, 10))

    def document() -> bytes:
        return f"<Assertion n='{next(numbers)}'/>".encode()

    return document


def _passwords() -> Callable[[], str]:
    numbers = iter(range(1, 10))
    return lambda: f"password-{next(numbers)}"


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        pytest.param(lambda: Password(username="u", password=_passwords()), "password", id="password"),
        pytest.param(lambda: Saml2Bearer(saml_assertion=_documents()), "SAMLAssertion", id="saml"),
        pytest.param(lambda: AuthorizationCode(code=_passwords()), "code", id="code"),
    ],
)
async def test_a_callable_renews_a_token_by_itself(grant: Callable[[], Grant], field: str) -> None:
    """Expect what changes to be asked for at each renewal, once."""
    provider, hands = FakeProvider(), Hands()
    provider.refreshable = False
    source = provider.source(grant(), hands)
    for _ in range(3):
        await source.token()
        hands.now += LATER
    assert len({form[field] for form in provider.forms}) == len(provider.forms) == 3


@pytest.mark.parametrize("wish", [True, False])
async def test_other_sessions_end_only_when_asked(wish: bool) -> None:
    """Expect `endOtherSessions` on token and refresh where it was asked for, and nowhere else."""
    provider, hands = FakeProvider(), Hands()
    grant = AuthorizationCode(code="code-1", end_other_sessions=wish)
    source = provider.source(grant, hands, provider=SEI_PLATFORM)
    await source.token()
    hands.now += LATER
    await source.token()
    assert [form.get("endOtherSessions") for form in provider.forms] == ["true" if wish else None] * 2


async def test_a_renewal_ahead_that_hangs_blocks_nobody() -> None:
    """Expect calls to go on with the living token while its refresh is under way, and no second refresh."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(code(), hands)
    await source.token()
    hands.now += SOON
    provider.gate = asyncio.Event()
    for _ in range(5):
        assert (await source.token()).access_token == "a1"
    provider.gate.set()
    await background(source)
    assert (await source.token()).access_token == "a2"
    assert provider.uses == {"r1": 1}


async def test_someone_else_spends_and_never_ends() -> None:
    """Expect whoever waits for a spending elsewhere to get an error in time, not to send the token as well."""
    provider, hands, store = FakeProvider(), Hands(), MemoryStore()
    grant = RefreshToken(refresh_token="r0")
    source = provider.source(grant, hands, store=store)
    source._spendings.begin("r0")
    hands.now += LATER
    object.__setattr__(source.endpoint, "timeout", 0.01)
    with pytest.raises(TokenEndpointUnavailable, match="another call that spends"):
        await source.token()
    assert provider.forms == []


async def test_a_config_with_a_store_demands_a_subject() -> None:
    """Expect a grant whose secret is a callable to say whose token it is where a store keeps it."""
    settings: dict[str, Any] = {
        "provider": SEI_PLATFORM,
        "client_id": "c",
        "client_secret": "s",
        "store": MemoryStore(),
    }
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config(**settings, grant=AuthorizationCode(code=lambda: "c"))
    assert caught.value.field == "grant.subject"
    keys = {
        seic.Config(**settings, grant=AuthorizationCode(code=lambda: "c", subject=subject)).store_key(None)
        for subject in ("ann", "bob")
    }
    assert len(keys) == 2
