"""The lifetime of a token that is a JWT."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import OAUTH2
from tests._support.token_calls import config_of, reply, request_token

CONFIG = config_of(OAUTH2)


def _lifetime(access_token: str) -> float | None:
    return request_token(CONFIG, reply({"access_token": access_token}), wall=2000.0).expires_in


def _token(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        pytest.param(b'{"iat": 1000, "exp": 4600}', 3600.0, id="numbers"),
        pytest.param(b'{"iat": 1000.5, "exp": 1001.75}', 1.25, id="fractions"),
        pytest.param(b'{"iat": "1000", "exp": "4600"}', 3600.0, id="strings"),
        pytest.param(b'{"iat": 1000, "exp": 1000}', None, id="no life"),
        pytest.param(b'{"iat": 1000, "exp": 999}', None, id="ends before it begins"),
        pytest.param(b'{"iat": 90000, "exp": 93600}', 3600.0, id="a clock far ahead of ours"),
        pytest.param(b'{"exp": 4600}', 2600.0, id="no beginning"),
        pytest.param(b'{"iat": "today", "exp": 4600}', 2600.0, id="a start that is not a time"),
        pytest.param(b'{"exp": 2061}', 61.0, id="no beginning, and a minute and a second by our clock"),
        pytest.param(b'{"exp": 2060}', None, id="no beginning, and a minute by our clock"),
        pytest.param(b'{"exp": 1000}', None, id="no beginning, and over by our clock"),
        pytest.param(b'{"iat": 1000}', None, id="no end"),
        pytest.param(b'{"iat": 1, "exp": true}', None, id="no number"),
        pytest.param(b'{"iat": 1, "exp": 2, "exp": 9}', None, id="ambiguous"),
        pytest.param(b"[]", None, id="no object"),
        pytest.param(b"\xff", None, id="no JSON"),
    ],
)
def test_the_life_of_a_jwt(payload: bytes, seconds: float | None) -> None:
    """Expect the time between `iat` and `exp`; without `iat` the time left by our clock, unless it is short."""
    assert _lifetime(_token(payload)) == seconds


@pytest.mark.parametrize(
    "token", ["opaque", "a.b", "a.b.c.d", "..", "e30.!!!!.c2ln", "e30.eyJ.c2ln", "e30.a.c2ln", "NgXCXRKc...Mz0Yjw="]
)
def test_any_other_token_has_none(token: str) -> None:
    """Expect no lifetime of opaque and damaged tokens."""
    assert _lifetime(token) is None


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.binary())
def test_any_token_is_looked_into(token: str, payload: bytes) -> None:
    """Expect a positive lifetime or None for any token."""
    for each in (token, _token(payload)):
        seconds = _lifetime(each)
        assert seconds is None or seconds > 0
