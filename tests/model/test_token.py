from __future__ import annotations

import datetime as dt
import json
import math
import pickle
from typing import Any

import attrs
import pytest

from seic import ConfigurationError, Token

_FULL = Token(
    access_token="s3cret-access",
    token_type="BearerToken",
    expires_in=3599.0,
    obtained_at=1_700_000_000.0,
    scope="read",
    refresh_token="s3cret-refresh",
    refresh_expires_in=86_400.0,
    tracking_id="t-1",
    extra={"id_token": "s3cret-extra"},
)


@pytest.mark.parametrize("show", [repr, str, "{}".format], ids=["repr", "str", "format"])
def test_no_secret_is_shown(show: object) -> None:
    """Every form of printing shows the public facts and no secret."""
    assert callable(show)
    shown = show(_FULL)

    assert "s3cret" not in shown
    for fact in ("BearerToken", "3599.0", "1700000000.0", "read", "t-1"):
        assert fact in shown


def test_the_repr_tells_tokens_apart() -> None:
    """The repr has the fingerprint instead of the token."""
    assert _FULL.fingerprint in repr(_FULL)


@pytest.mark.parametrize(
    ("refresh_token", "shown"), [("s3cret", "***"), (None, "None")], ids=["with one", "without one"]
)
def test_the_repr_tells_whether_there_is_a_refresh_token(refresh_token: str | None, shown: str) -> None:
    """The repr says whether there is a refresh token."""
    assert f"refresh_token={shown}" in repr(Token(access_token="a", refresh_token=refresh_token))


def test_a_fingerprint_tells_tokens_apart_and_says_nothing_of_them() -> None:
    """Equal tokens share a fingerprint of eight hex digits, which depends on the access token only."""
    assert Token(access_token="a").fingerprint == Token(access_token="a", scope="other").fingerprint
    assert Token(access_token="a").fingerprint != Token(access_token="b").fingerprint
    assert len(_FULL.fingerprint) == 8
    assert set(_FULL.fingerprint) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("obtained_at", "expires_in", "expected"),
    [
        (0.0, 3599.0, dt.datetime(1970, 1, 1, 0, 59, 59, tzinfo=dt.UTC)),
        (1_700_000_000.5, 0.25, dt.datetime(2023, 11, 14, 22, 13, 20, 750_000, tzinfo=dt.UTC)),
        (0.0, 0.0, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
        (0.0, None, None),
    ],
    ids=["an hour", "fractions", "no lifetime at all", "lifetime not said"],
)
def test_the_end_is_told_in_utc(obtained_at: float, expires_in: float | None, expected: dt.datetime | None) -> None:
    """Zero seconds is a lifetime; None is an unknown one."""
    token = Token(access_token="a", obtained_at=obtained_at, expires_in=expires_in)

    assert token.expires_at == expected
    assert token.expires_at is None or token.expires_at.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        pytest.param({"expires_in": 60.0}, 60, id="no refresh token"),
        pytest.param({"expires_in": 60.0, "refresh_expires_in": 90.0}, 60, id="no refresh token but its life"),
        pytest.param({"expires_in": 60.0, "refresh_token": "r", "refresh_expires_in": 90.0}, 90, id="refresh token"),
        pytest.param({"expires_in": 60.0, "refresh_token": "r", "refresh_expires_in": 30.0}, 60, id="that ends first"),
        pytest.param({"expires_in": 60.0, "refresh_token": "r"}, None, id="of unknown life"),
        pytest.param({"refresh_token": "r", "refresh_expires_in": 90.0}, None, id="an access token of unknown life"),
        pytest.param({}, None, id="nothing known"),
    ],
)
def test_a_store_is_told_when_nothing_serves_any_more(settings: dict[str, Any], seconds: int | None) -> None:
    """The later of its two expiries; None if either is unknown."""
    ends_at = Token(access_token="a", obtained_at=1000.0, **settings).ends_at

    assert ends_at == (None if seconds is None else dt.datetime.fromtimestamp(1000 + seconds, dt.UTC))


def test_what_the_provider_did_not_say_has_the_standards_answer() -> None:
    """A token without other members is a Bearer token of unknown lifetime."""
    token = Token(access_token="a")

    assert token.token_type == "Bearer"
    assert token.scope == ""
    assert token.expires_in is None
    assert token.issued_at is None
    assert token.refresh_token is None
    assert dict(token.extra) == {}


def test_what_else_came_along_does_not_tell_tokens_apart() -> None:
    """`extra` is left out of comparison, which also lets a token with a list in it be hashed."""
    other = attrs.evolve(_FULL, extra={"api_product_list_json": ["Investors"]})

    assert other == _FULL
    assert hash(other) == hash(_FULL)
    assert attrs.evolve(_FULL, access_token="b") != _FULL


def test_a_token_cannot_be_pickled() -> None:
    """A pickle of a token would be a token on disk."""
    with pytest.raises(TypeError, match="Token holds secrets"):
        pickle.dumps(_FULL)


def test_a_token_cannot_change() -> None:
    """Many callers share one token."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        _FULL.access_token = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "token",
    [
        Token(access_token="a"),
        attrs.evolve(_FULL, issued_at=dt.datetime(2030, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC), login_id="0123abcd"),
    ],
    ids=["defaults", "every field"],
)
def test_a_token_survives_json(token: Token) -> None:
    """Every field survives, those that comparison leaves out included."""
    read = Token.from_dict(json.loads(json.dumps(token.to_dict())))

    assert attrs.asdict(read) == attrs.asdict(token)


def test_from_dict_ignores_unknown_fields() -> None:
    """A store may hold what a later version wrote."""
    assert Token.from_dict({"access_token": "a", "invented_later": [1]}) == Token(access_token="a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("access_token", None),
        ("access_token", ""),
        ("access_token", 7),
        ("token_type", None),
        ("expires_in", "s3cret"),
        ("expires_in", True),
        ("obtained_at", None),
        ("obtained_at", math.nan),
        ("scope", ["s3cret"]),
        ("issued_at", "s3cret"),
        ("issued_at", 1_700_000_000),
        ("refresh_token", b"s3cret"),
        ("refresh_expires_in", math.inf),
        ("tracking_id", {}),
        ("login_id", 1),
        ("extra", ["s3cret"]),
        ("extra", None),
    ],
)
def test_from_dict_names_the_wrong_field(field: str, value: object) -> None:
    """The error names the field and never the value; no frame of its traceback holds the token."""
    with pytest.raises(ConfigurationError, match=rf"^{field}: must be ") as caught:
        Token.from_dict({"access_token": "s3cret-access", field: value})

    assert caught.value.field == field
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert [entry.name for entry in caught.traceback][-1] == "called"


def test_from_dict_takes_an_object_only() -> None:
    """A list is refused."""
    with pytest.raises(ConfigurationError, match=r"^token: must be an object, not list$"):
        Token.from_dict([])  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["expires_in", "obtained_at", "refresh_expires_in"])
def test_from_dict_refuses_numbers_beyond_any_float(field: str) -> None:
    """The error names the field."""
    with pytest.raises(ConfigurationError, match=rf"^{field}: must be a finite number of seconds, not int$"):
        Token.from_dict({"access_token": "a", field: 10**400})


@pytest.mark.parametrize("field", ["access_token", "refresh_token", "scope", "login_id"])
def test_from_dict_refuses_surrogates(field: str) -> None:
    """No request and no digest could be made of such a string."""
    with pytest.raises(ConfigurationError, match=rf"^{field}: must be valid Unicode"):
        Token.from_dict({"access_token": "a", field: "\ud800"})


def test_every_token_has_a_repr() -> None:
    """Even one that no request can carry."""
    assert "sha256" in repr(Token(access_token="\ud800"))


FIRST, LAST = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("obtained_at", "expires_in", "expected"),
    [
        pytest.param(0, 1e300, LAST, id="a float"),
        pytest.param(0, 10**400, LAST, id="an integer"),
        pytest.param(0.5, 10**400, LAST, id="an integer that makes no float"),
        pytest.param(-1e300, 5, FIRST, id="long ago"),
    ],
)
def test_an_end_beyond_the_calendar_is_its_last_or_first_moment(
    obtained_at: float, expires_in: float, expected: dt.datetime
) -> None:
    """A store can hold any number."""
    token = Token(access_token="a", obtained_at=obtained_at, expires_in=expires_in)
    assert token.expires_at == token.ends_at == expected
