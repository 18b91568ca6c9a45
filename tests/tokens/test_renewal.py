"""Renewal by refresh token, and by the grant itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from seic._errors import TokenEndpointUnavailable, TokenRequestRefused
from seic._model.grant_parameters import Grant
from seic._model.grants import AuthorizationCode, ClientCredentials, Password, RefreshToken, Saml2Bearer
from seic._oauth.providers import SEI_PLATFORM
from seic._tokens.store import MemoryStore
from tests._support.clocks import FakeClock
from tests._support.fakes.provider import FakeProvider
from tests._support.renewals import LATER, SOON, background, code, password


async def test_a_login_lives_on_by_its_refresh_tokens() -> None:
    """Expect the code once, and then each refresh token once, as the provider rotates them."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(code(), clock)
    for _ in range(4):
        await source.token()
        clock.advance(LATER)
    assert provider.asked == ["authorization_code", "r1", "r2", "r3"]


def test_a_blocking_login_lives_on_by_its_refresh_tokens() -> None:
    """Expect the same of the blocking twin."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(code(), clock)
    for _ in range(3):
        source.token_sync()
        clock.advance(LATER)
    assert provider.asked == ["authorization_code", "r1", "r2"]


async def test_a_refresh_token_that_is_not_rotated() -> None:
    """Expect the one that stays good to be used again and again (RFC 6749 §6)."""
    provider, clock = FakeProvider(), FakeClock()
    provider.rotates = False
    source = provider.source(code(), clock)
    for _ in range(3):
        await source.token()
        clock.advance(LATER)
    assert provider.asked == ["authorization_code", "r1", "r1"]


async def test_a_crowd_spends_a_refresh_token_once() -> None:
    """Expect two hundred callers of a dead token to make one refresh."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(code(), clock)
    await source.token()
    clock.advance(LATER)
    tokens = await asyncio.gather(*(source.token() for _ in range(200)))
    assert {token.access_token for token in tokens} == {"a2"}
    assert provider.uses == {"r1": 1}


async def test_a_refused_refresh_falls_back_to_the_grant() -> None:
    """Expect the password to be asked for in the same call, and the refused token never to be sent again."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(password(), clock)
    await source.token()
    clock.advance(LATER)
    provider.plan.append(httpx.Response(400, json={"error": "invalid_grant"}))
    provider.plan.append(httpx.Response(503))
    await source.token()
    assert provider.asked == ["password", "r1", "password", "password"]


async def test_a_refused_client_does_not_spend_the_password() -> None:
    """Expect a refusal of the client to be the answer, and nothing else to be sent with the same credentials."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(password(), clock)
    await source.token()
    clock.advance(LATER)
    provider.plan.append(httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(TokenRequestRefused) as caught:
        await source.token()
    assert caught.value.code == "invalid_client"
    assert provider.asked == ["password", "r1"]
    clock.advance(60)
    await source.token()
    assert provider.asked == ["password", "r1", "r1"]


async def test_a_refused_refresh_of_a_login() -> None:
    """Expect an error that says that a person must log in, in the provider's words, with nothing more sent."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(code(), clock)
    await source.token()
    clock.advance(LATER)
    provider.plan.append(httpx.Response(400, json={"error": "invalid_grant", "error_description": "session over"}))
    with pytest.raises(TokenRequestRefused, match=r"login required.*session over") as caught:
        await source.token()
    assert (caught.value.code, caught.value.status) == ("login_required", 400)
    clock.advance(600)
    with pytest.raises(TokenRequestRefused, match="login required"):
        await source.token()
    assert provider.asked == ["authorization_code", "r1"]


async def test_a_login_without_refresh_tokens() -> None:
    """Expect it to end in the error that says that login required."""
    provider, clock = FakeProvider(), FakeClock()
    provider.refreshable = False
    source = provider.source(code(), clock)
    await source.token()
    clock.advance(LATER)
    with pytest.raises(TokenRequestRefused, match="login required"):
        await source.token()
    assert provider.asked == ["authorization_code"]


async def test_client_credentials_are_minted_anew() -> None:
    """Expect no refresh although the provider sends refresh tokens (RFC 6749 §4.4.3)."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(ClientCredentials(), clock)
    await source.token()
    clock.advance(LATER)
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
    provider, clock = FakeProvider(), FakeClock()
    provider.refreshable = False
    source = provider.source(grant(), clock)
    for _ in range(3):
        await source.token()
        clock.advance(LATER)
    assert len({form[field] for form in provider.forms}) == len(provider.forms) == 3


@pytest.mark.parametrize("wish", [True, False])
async def test_other_sessions_end_only_when_asked(wish: bool) -> None:
    """Expect `endOtherSessions` on token and refresh where it was asked for, and nowhere else."""
    provider, clock = FakeProvider(), FakeClock()
    grant = AuthorizationCode(code="code-1", end_other_sessions=wish)
    source = provider.source(grant, clock, provider=SEI_PLATFORM)
    await source.token()
    clock.advance(LATER)
    await source.token()
    assert [form.get("endOtherSessions") for form in provider.forms] == ["true" if wish else None] * 2


async def test_a_renewal_ahead_that_hangs_blocks_nobody() -> None:
    """Expect calls to go on with the living token while its refresh is under way, and no second refresh."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(code(), clock)
    await source.token()
    clock.advance(SOON)
    provider.hold()
    for _ in range(5):
        assert (await source.token()).access_token == "a1"
    provider.release()
    await background(source)
    assert (await source.token()).access_token == "a2"
    assert provider.uses == {"r1": 1}


async def test_someone_else_spends_and_never_ends() -> None:
    """Expect whoever waits for a spending elsewhere to get an error in time, not to send the token as well."""
    provider, clock, store = FakeProvider(), FakeClock(), MemoryStore()
    grant = RefreshToken(refresh_token="r0")
    source = provider.source(grant, clock, store=store)
    source._memory.begin("r0")
    clock.advance(LATER)
    object.__setattr__(source.endpoint, "timeout", 0.01)
    with pytest.raises(TokenEndpointUnavailable, match="another caller is sending"):
        await source.token()
    assert provider.forms == []
