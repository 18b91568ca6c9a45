"""A token that happens to be a JWT."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic._oauth.jwt import lifetime_of


def _token(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        pytest.param(b'{"iat": 1000, "exp": 4600}', 3600.0, id="numbers"),
        pytest.param(b'{"iat": 1000.5, "exp": 1001}', 0.5, id="fractions"),
        pytest.param(b'{"iat": "1000", "exp": "4600"}', 3600.0, id="strings"),
        pytest.param(b'{"iat": 1000, "exp": 1000}', None, id="no life"),
        pytest.param(b'{"iat": 1000, "exp": 999}', None, id="ends before it begins"),
        pytest.param(b'{"exp": 4600}', None, id="no beginning"),
        pytest.param(b'{"iat": 1000}', None, id="no end"),
        pytest.param(b'{"iat": true, "exp": 4600}', None, id="no number"),
        pytest.param(b'{"iat": 1, "exp": 2, "exp": 9}', None, id="ambiguous"),
        pytest.param(b"[]", None, id="no object"),
        pytest.param(b"\xff", None, id="no JSON"),
    ],
)
def test_the_life_of_a_jwt(payload: bytes, seconds: float | None) -> None:
    """Expect the time between its two claims, and None where they do not name one."""
    assert lifetime_of(_token(payload)) == seconds


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c.d", "..", "e30.!!!!.c2ln", "e30.eyJ.c2ln", "e30.a.c2ln", "NgXCXRKc...Mz0Yjw="]
)
def test_any_other_token_has_none(token: str) -> None:
    """Expect opaque and damaged tokens to pass in silence."""
    assert lifetime_of(token) is None


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)), st.binary())
def test_any_token_is_looked_into(token: str, payload: bytes) -> None:
    """Expect a positive life or None for any token."""
    for each in (token, _token(payload)):
        seconds = lifetime_of(each)
        assert seconds is None or seconds > 0
