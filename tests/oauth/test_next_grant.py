"""The choice of the grant for the next token."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest

from seic import (
    OAUTH2,
    SEI_PLATFORM,
    AuthorizationCode,
    ClientCredentials,
    ExistingToken,
    Password,
    Provider,
    RefreshToken,
    Saml2Bearer,
    SessionToken,
    Token,
    TokenRequestRefused,
)
from seic._model.grant_parameters import GrantParameters
from seic._oauth.next_grant import next_grant

SAML = (
    b'<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">'
    b'<a:Conditions NotOnOrAfter="2030-01-01T00:00:00Z"/></a:Assertion>'
)
SAML_ENDS = dt.datetime(2030, 1, 1, tzinfo=dt.UTC).timestamp()

BARE = Token(access_token="a", obtained_at=1_000.0)
PAIR = Token(access_token="a", obtained_at=1_000.0, refresh_token="r", refresh_expires_in=600.0)

CODE = AuthorizationCode(code="c")
PASSWORD = Password(username="u", password="p")


def _next(grant: GrantParameters, token: Token | None, *, now: float = 1_100.0, **changes: Any) -> GrantParameters:
    return next_grant(grant, token, **{"provider": OAUTH2, "now": now, **changes})


_EVERY_GRANT = [
    ClientCredentials(),
    PASSWORD,
    RefreshToken(refresh_token="first"),
    CODE,
    SessionToken(session_token="s"),
    Saml2Bearer(saml_response=SAML),
]


@pytest.mark.parametrize("grant", _EVERY_GRANT, ids=lambda grant: type(grant).__name__)
def test_the_first_token(grant: GrantParameters) -> None:
    """Expect the configured grant to be used first."""
    assert _next(grant, None) is grant


@pytest.mark.parametrize("grant", _EVERY_GRANT[1:], ids=lambda grant: type(grant).__name__)
def test_a_refresh_token_goes_first(grant: GrantParameters) -> None:
    """Expect the token's own refresh token to be used with any grant."""
    following = _next(grant, PAIR)
    assert isinstance(following, RefreshToken)
    assert following.refresh_token == "r"


def test_client_credentials_are_never_refreshed() -> None:
    """Expect a new token to be requested although there is a refresh token (RFC 6749 §4.4.3)."""
    grant = ClientCredentials()
    assert _next(grant, PAIR) is grant


@pytest.mark.parametrize(
    ("now", "refreshed"), [(1_599.9, True), (1_600.0, False), (9_999.0, False)], ids=["alive", "just dead", "long dead"]
)
def test_a_refresh_token_dies(now: float, refreshed: bool) -> None:
    """Expect an expired refresh token not to be used, and a repeatable grant to be used again."""
    following = _next(PASSWORD, PAIR, now=now)
    assert isinstance(following, RefreshToken) is refreshed
    assert (following is PASSWORD) is not refreshed


def test_a_refresh_token_of_unknown_life_is_tried() -> None:
    """Expect no guess at its end."""
    assert isinstance(_next(CODE, attrs.evolve(PAIR, refresh_expires_in=None), now=1e9), RefreshToken)


def test_a_provider_without_refresh() -> None:
    """Expect no refresh if the provider does not offer the grant."""
    provider = Provider(token_url="/t", grants=frozenset({"password"}))
    assert _next(PASSWORD, PAIR, provider=provider) is PASSWORD


@pytest.mark.parametrize(
    "grant",
    [
        PASSWORD,
        AuthorizationCode(code=lambda: "c"),
        RefreshToken(refresh_token=lambda: "r"),
        SessionToken(session_token="s"),
        Saml2Bearer(saml_response=SAML),
    ],
    ids=lambda grant: type(grant).__name__,
)
@pytest.mark.parametrize(
    ("token", "refused"), [(BARE, False), (PAIR, True)], ids=["no refresh token", "refused refresh token"]
)
def test_a_grant_that_can_asks_again(grant: GrantParameters, token: Token, refused: bool) -> None:
    """Expect passwords, documents and callables to be used again."""
    assert _next(grant, token, refresh_refused=refused) is grant


@pytest.mark.parametrize("grant", [CODE, RefreshToken(refresh_token="r")], ids=["code", "refresh token"])
@pytest.mark.parametrize(
    ("token", "refused", "now"),
    [
        pytest.param(BARE, False, 1_100.0, id="no refresh token"),
        pytest.param(PAIR, True, 1_100.0, id="refused refresh token"),
        pytest.param(PAIR, False, 9_999.0, id="dead refresh token"),
    ],
)
def test_a_person_must_log_in_again(grant: GrantParameters, token: Token, refused: bool, now: float) -> None:
    """Expect `login_required`, with nothing sent."""
    with pytest.raises(TokenRequestRefused, match="login required") as caught:
        _next(grant, token, refresh_refused=refused, now=now)
    assert (caught.value.status, caught.value.code) == (None, "login_required")


@pytest.mark.parametrize("token", [None, BARE], ids=["first", "next"])
def test_a_document_that_is_over(token: Token | None) -> None:
    """Expect an expired assertion not to be sent, and the expiry to be named."""
    grant = Saml2Bearer(saml_response=SAML)
    assert _next(grant, token, now=SAML_ENDS - 1) is grant
    with pytest.raises(TokenRequestRefused, match="2030-01-01 00:00:00 UTC"):
        _next(grant, token, now=SAML_ENDS)


def test_the_wish_to_end_other_sessions_goes_along() -> None:
    """Expect `endOtherSessions` in the refresh, too, if the grant has it."""
    for wish in (True, False):
        grant = AuthorizationCode(code="c", end_other_sessions=wish)
        fields = _next(grant, PAIR, provider=SEI_PLATFORM).fields(SEI_PLATFORM)
        assert fields == {"refresh_token": "r", **({"endOtherSessions": "true"} if wish else {})}


@pytest.mark.parametrize(
    ("grant", "scope"),
    [
        pytest.param(PASSWORD, {}, id="password"),
        pytest.param(CODE, {}, id="code"),
        # Without it, the next token would have all that was ever granted.
        pytest.param(RefreshToken(refresh_token="first"), {"scope": "read"}, id="refresh token"),
        pytest.param(ExistingToken(token=PAIR), {"scope": "read"}, id="token in hand"),
    ],
)
def test_what_a_grant_asks_for_goes_along(grant: Any, scope: dict[str, str]) -> None:
    """Expect audience and resource in the refresh, too, but the scope only from a refresh token grant."""
    grant = attrs.evolve(grant, scope="read", audience="orders", resource="https://orders.example")
    assert _next(grant, PAIR).fields(OAUTH2) == {
        "refresh_token": "r",
        "audience": "orders",
        "resource": "https://orders.example",
        **scope,
    }


def test_a_refresh_token_that_is_not_rotated_is_kept() -> None:
    """Expect it to be kept if the provider sends no other (RFC 6749 §6), with its remaining lifetime."""
    later = Token(access_token="b", obtained_at=1_100.0)
    kept = RefreshToken(refresh_token="r").keep_refresh_token(later, previous=PAIR)
    assert (kept.access_token, kept.refresh_token, kept.refresh_expires_in) == ("b", "r", 500.0)


@pytest.mark.parametrize("previous", [None, attrs.evolve(PAIR, refresh_expires_in=None)], ids=["first", "unknown life"])
def test_a_kept_refresh_token_of_unknown_life(previous: Token | None) -> None:
    """Expect no life to be made up."""
    kept = RefreshToken(refresh_token="r").keep_refresh_token(BARE, previous=previous)
    assert (kept.refresh_token, kept.refresh_expires_in) == ("r", None)


@pytest.mark.parametrize(
    ("token", "used"),
    [
        pytest.param(PAIR, RefreshToken(refresh_token="old"), id="rotated"),
        pytest.param(BARE, PASSWORD, id="another grant"),
        pytest.param(BARE, RefreshToken(refresh_token=lambda: "r"), id="a callable knows the current one"),
    ],
)
def test_a_token_that_stays_as_it_is(token: Token, used: GrantParameters) -> None:
    """Expect a rotated refresh token to replace the old one, and no other to be kept."""
    assert used.keep_refresh_token(token, previous=PAIR) is token
