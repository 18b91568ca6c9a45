"""Renewal by refresh token, and by the grant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from seic import (
    SEI_PLATFORM,
    AuthorizationCode,
    ClientCredentials,
    Grant,
    MemoryStore,
    Password,
    RefreshToken,
    Saml2Bearer,
    TokenEndpointUnavailable,
    TokenRequestRefused,
)
from tests._support.clocks import FakeClock
from tests._support.mocks import refresh_tokens_or_grants, refreshing_mock, uses_of
from tests._support.renewals import LATER, SOON, background, code, password
from tests._support.sources import granted_source_of


async def test_a_login_lives_on_by_its_refresh_tokens() -> None:
    """The code is used once, and then each refresh token once, as the provider rotates them."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    for _ in range(4):
        await source.token()
        clock.advance(LATER)
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1", "r2", "r3"]


def test_a_blocking_login_lives_on_by_its_refresh_tokens() -> None:
    """The blocking twin behaves the same."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    for _ in range(3):
        source.token_sync()
        clock.advance(LATER)
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1", "r2"]


async def test_a_refresh_token_that_is_not_rotated() -> None:
    """A refresh token without a successor is used repeatedly (RFC 6749 §6)."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.reusable_refresh_tokens = True
    source = granted_source_of(provider, code(), clock)
    for _ in range(3):
        await source.token()
        clock.advance(LATER)
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1", "r1"]


async def test_a_crowd_spends_a_refresh_token_once() -> None:
    """Two hundred callers with an expired token cause one refresh."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    await source.token()
    clock.advance(LATER)
    tokens = await asyncio.gather(*(source.token() for _ in range(200)))
    assert {token.access_token for token in tokens} == {"a2"}
    assert uses_of(provider) == {"r1": 1}


async def test_a_refused_refresh_falls_back_to_the_grant() -> None:
    """The password is sent in the same call, and the refused token never again."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, password(), clock)
    await source.token()
    clock.advance(LATER)
    provider.token_responses.append(httpx.Response(400, json={"error": "invalid_grant"}))
    provider.token_responses.append(httpx.Response(503))
    await source.token()
    assert refresh_tokens_or_grants(provider) == ["password", "r1", "password", "password"]


async def test_a_refused_client_does_not_spend_the_password() -> None:
    """A refused client is the final error, and nothing else is sent with the same credentials."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, password(), clock)
    await source.token()
    clock.advance(LATER)
    provider.token_responses.append(httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(TokenRequestRefused) as caught:
        await source.token()
    assert caught.value.code == "invalid_client"
    assert refresh_tokens_or_grants(provider) == ["password", "r1"]
    clock.advance(60)
    await source.token()
    assert refresh_tokens_or_grants(provider) == ["password", "r1", "r1"]


async def test_a_refused_refresh_of_a_login() -> None:
    """The error says that a login is required, with the provider's message, and nothing more is sent."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    await source.token()
    clock.advance(LATER)
    provider.token_responses.append(
        httpx.Response(400, json={"error": "invalid_grant", "error_description": "session over"})
    )
    with pytest.raises(TokenRequestRefused, match=r"login required.*session over") as caught:
        await source.token()
    assert (caught.value.code, caught.value.status) == ("login_required", 400)
    clock.advance(600)
    with pytest.raises(TokenRequestRefused, match="login required"):
        await source.token()
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1"]


async def test_a_login_without_refresh_tokens() -> None:
    """It ends in the error that a login is required."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.refresh_tokens = False
    source = granted_source_of(provider, code(), clock)
    await source.token()
    clock.advance(LATER)
    with pytest.raises(TokenRequestRefused, match="login required"):
        await source.token()
    assert refresh_tokens_or_grants(provider) == ["authorization_code"]


async def test_client_credentials_are_requested_again() -> None:
    """There is no refresh although the provider sends refresh tokens (RFC 6749 §4.4.3)."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, ClientCredentials(), clock)
    await source.token()
    clock.advance(LATER)
    await source.token()
    assert refresh_tokens_or_grants(provider) == ["client_credentials", "client_credentials"]


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
    """Each renewal calls it once."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.refresh_tokens = False
    source = granted_source_of(provider, grant(), clock)
    for _ in range(3):
        await source.token()
        clock.advance(LATER)
    assert len({form[field] for form in provider.forms}) == len(provider.forms) == 3


@pytest.mark.parametrize("wish", [True, False])
async def test_other_sessions_end_only_when_asked(wish: bool) -> None:
    """`endOtherSessions` is in token request and refresh if it was set, and nowhere else."""
    provider, clock = refreshing_mock(), FakeClock()
    grant = AuthorizationCode(code="code-1", end_other_sessions=wish)
    source = granted_source_of(provider, grant, clock, provider=SEI_PLATFORM)
    await source.token()
    clock.advance(LATER)
    await source.token()
    assert [form.get("endOtherSessions") for form in provider.forms] == ["true" if wish else None] * 2


async def test_a_renewal_ahead_that_hangs_blocks_nobody() -> None:
    """Calls continue with the valid token during its refresh, and there is no second refresh."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    await source.token()
    clock.advance(SOON)
    provider.hold_tokens(issued=True)
    for _ in range(5):
        assert (await source.token()).access_token == "a1"
    provider.release_tokens()
    await background(source)
    assert (await source.token()).access_token == "a2"
    assert uses_of(provider) == {"r1": 1}


async def test_someone_else_spends_and_never_ends() -> None:
    """A caller who waits for another use gets an error in time, and does not send the token."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    grant = RefreshToken(refresh_token="r0")
    source = granted_source_of(provider, grant, clock, store=store)
    source._memory.begin("r0")
    clock.advance(LATER)
    object.__setattr__(source.endpoint, "timeout", 0.01)
    with pytest.raises(TokenEndpointUnavailable, match="another caller is sending"):
        await source.token()
    assert provider.forms == []
