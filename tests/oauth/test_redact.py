"""Sanitized text of a provider, tracking ids, and the secrets of a request."""

from __future__ import annotations

import base64

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import OAUTH2, SEI_GATEWAY, SEI_PLATFORM, AuthorizationCode, ClientCredentials
from seic._oauth.redact import MAX_WORDS, find_tracking_id, sanitize, secrets_in
from tests._support.token_calls import config_of, token_request


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        pytest.param("plain words", "plain words", id="plain"),
        pytest.param("one\r\nERROR forged\x00\x1b[31m", "one ERROR forged [31m", id="control characters"),
        pytest.param("abc\u202edef\u2066", "abc def", id="bidirectional marks"),
        pytest.param("half \ud800 pair", "half pair", id="surrogate"),
        pytest.param("  ", "", id="nothing but space"),
        pytest.param("Zürich €", "Zürich €", id="other scripts stay"),
    ],
)
def test_clean_leaves_one_printable_line(text: str, cleaned: str) -> None:
    """Expect control characters and bidirectional marks to become spaces."""
    assert sanitize(text) == cleaned


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_clean_cuts_at_its_limit(extra: int) -> None:
    """Expect the exact limit, with an ellipsis at the end of truncated text."""
    result = sanitize("x" * (MAX_WORDS + extra))
    assert len(result) == min(MAX_WORDS, MAX_WORDS + extra)
    assert result.endswith("…") == (extra > 0)


def test_clean_blots_the_longest_secret_first() -> None:
    """Expect the longer of two overlapping secrets to be redacted as a whole."""
    assert sanitize("got pass and password!", secrets=["pass", "password", ""]) == "got *** and ***!"


def test_clean_blots_before_it_cuts() -> None:
    """Expect a secret at the limit to be redacted before the text is truncated."""
    assert "hunter" not in sanitize("x" * (MAX_WORDS - 4) + "hunter2", secrets=["hunter2"])
    assert "hunter" not in sanitize(" " * 5000 + "hunter2", secrets=["hunter2"])


@pytest.mark.parametrize(
    "named",
    [
        pytest.param("9f0c2f7e-6f1a-4d0b-8f57-2b3c4d5e6f70", id="UUID"),
        pytest.param("9f0c2f7e-6f1a-4d0b-8f57-2b3c4d5e6f70,1b2c3d4e-6f1a-4d0b-8f57-2b3c4d5e6f70", id="two of them"),
        pytest.param("1", id="number"),
        pytest.param("Root=1-67891233-abcdef012345678912345678", id="AWS"),
        pytest.param("rrt_0a1b/2c+3d==", id="Base64"),
        pytest.param("a" * 128, id="the longest"),
    ],
)
def test_a_tracking_id_is_taken_as_it_is(named: str) -> None:
    """Expect ids of common gateways to be unchanged."""
    assert find_tracking_id({"x-id": named}, "x-id", secrets=["hunter2", ""]) == named
    assert find_tracking_id({}, None, otherwise=named, secrets=[]) == named


@pytest.mark.parametrize(
    "named",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 129, id="too long"),
        pytest.param("two words", id="words"),
        pytest.param("id\n", id="a line end"),
        pytest.param("{id}", id="other signs"),
        pytest.param("ïd", id="no ASCII"),
        pytest.param("-id", id="no id begins so"),
        pytest.param("hunter2", id="a secret"),
        pytest.param("x.hunter2.y", id="a secret within"),
        pytest.param("the-long-", id="most of a secret"),
    ],
)
def test_what_cannot_be_a_tracking_id_is_none(named: str) -> None:
    """Expect it to be ignored, and the body's id to be used instead."""
    secrets = ["hunter2", "the-long-secret"]
    assert find_tracking_id({"x-id": named}, "x-id", secrets=secrets) is None
    assert find_tracking_id({"x-id": named}, "x-id", otherwise="body-id", secrets=secrets) == "body-id"


@given(st.text(), st.lists(st.text(min_size=1, alphabet="abc \n"), max_size=3))
def test_clean_holds_what_it_promises(text: str, secrets: list[str]) -> None:
    """Expect one printable line within the limit for any string."""
    result = sanitize(text, secrets=secrets, limit=50)
    assert len(result) <= 50
    assert result.isprintable()


def test_secrets_in_finds_each_form_of_a_secret() -> None:
    """Expect password and client secret in each encoding, and the Basic credentials."""
    request = token_request(
        config_of(
            SEI_GATEWAY,
            client_id="AppKey",
            client_secret="s/cret",
            grant=ClientCredentials(username="svc", password="p w&d"),
        )
    )
    credentials = base64.b64encode(b"AppKey:s/cret").decode()
    assert set(secrets_in(request)) == {"p w&d", "p+w%26d", "p%20w%26d", "s/cret", "s%2Fcret", credentials}


def test_secrets_in_reads_form_encoded_basic() -> None:
    """Expect the decoded secret of form-encoded Basic."""
    request = token_request(config_of(OAUTH2, client_id="id", client_secret="a b", grant=ClientCredentials()))
    assert {"a b", "a%20b"} <= set(secrets_in(request))


def test_secrets_in_leaves_names_out() -> None:
    """Expect client id, account name and grant type not to count as secrets."""
    request = token_request(
        config_of(
            SEI_PLATFORM,
            client_id="id",
            client_secret="s",
            grant=ClientCredentials(username="me@example.com", password="p"),
        )
    )
    assert set(secrets_in(request)) == {"s", "p"}


def test_secrets_in_takes_credentials_that_are_no_basic_pair() -> None:
    """Expect other credentials of the Authorization header to count whole."""
    request = token_request(config_of(OAUTH2, client_id="id", client_secret="s", grant=ClientCredentials()))
    request.headers["Authorization"] = "Bearer not.base64"
    assert set(secrets_in(request)) == {"not.base64"}


def test_secrets_in_takes_every_field_that_is_not_known_to_be_public() -> None:
    """Expect code and verifier to count as secrets, and neither redirect, scope nor a flag."""
    request = token_request(
        config_of(
            attrs.evolve(SEI_PLATFORM, takes_pkce=True),
            client_id="id",
            client_secret="s",
            grant=AuthorizationCode(code="c", code_verifier="v", scope="a", end_other_sessions=True),
        )
    )
    assert set(secrets_in(request)) == {"c", "v", "s"}
