"""Settings of `BearerTokens` that are wrong, so that every token is rejected: operators and developers see why."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from seic.testing import MockIssuer
from tests._support.bearers import THUMBPRINT, ask, bearer_of
from tests._support.issuer import NOW


@pytest.mark.parametrize(
    ("changes", "setting", "words"),
    [
        pytest.param({"aud": "orders"}, "audience", "aud is 'orders', and audience is 'accounts'", id="audience"),
        pytest.param({"aud": ["a", "b"]}, "audience", 'aud is \'["a", "b"]\'', id="audiences"),
        pytest.param({"aud": None}, "audience", "aud is 'null'", id="no audience"),
        pytest.param({"iss": "https://idp.example/"}, "issuer", "iss is 'https://idp.example/'", id="issuer"),
        pytest.param({"header": {"kid": "other"}}, "jwks_url", "unknown key", id="keys"),
        pytest.param({"cnf": {"x5t#S256": THUMBPRINT}}, "client_certificate", "is not set", id="binding"),
    ],
)
def test_a_wrong_setting_is_a_warning(
    changes: dict[str, Any], setting: str, words: str, issuer: MockIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """The first rejection of a kind is a warning that names token and setting; in ten minutes there is one."""
    caplog.set_level(logging.INFO, logger="seic.fastapi")
    now = float(NOW)
    bearer = bearer_of(issuer, now=lambda: now)
    token = issuer.token(**changes)
    levels = []
    for pause in (0, 0, 599, 1, 1):
        now += pause
        assert ask(bearer, issuer.token(**changes, exp=now + 60)).status_code == 401
        levels.append(caplog.records[-1].levelname)

    assert levels == ["WARNING", "INFO", "INFO", "WARNING", "INFO"]
    warning = caplog.records[0].getMessage()
    assert words in warning
    assert f"BearerTokens({setting}=...)" in warning
    assert token not in caplog.text


def test_each_setting_has_its_own_warnings(issuer: MockIssuer, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong audience is seen although the issuer was wrong a moment ago; an expired token is not a warning."""
    caplog.set_level(logging.INFO, logger="seic.fastapi")
    bearer = bearer_of(issuer)
    for changes in ({"iss": "x"}, {"aud": "x"}, {"exp": NOW - 60}, {"aud": "y"}):
        ask(bearer, issuer.token(**changes))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO", "INFO"]


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"aud": "orders"}, "The token is for another audience (aud)"),
        ({"iss": "https://evil.example"}, "The token is of another issuer (iss)"),
        ({"exp": NOW - 60}, "The token has expired (exp)"),
        ({"nbf": NOW + 60}, "The token is not valid yet (nbf)"),
        ({"iat": NOW + 60}, "The token was issued in the future (iat)"),
    ],
)
def test_the_response_names_the_claim_that_does_not_fit(
    changes: dict[str, Any], description: str, issuer: MockIssuer
) -> None:
    """For the developer of the client; it repeats neither the token nor the settings."""
    reply = ask(bearer_of(issuer), issuer.token(**changes))
    assert reply.headers["WWW-Authenticate"] == f'Bearer error="invalid_token", error_description="{description}"'


def test_a_tokens_words_cannot_forge_a_line_of_the_log(issuer: MockIssuer, caplog: pytest.LogCaptureFixture) -> None:
    """They are on one line, and short: nobody has checked the token's signature yet."""
    ask(bearer_of(issuer), issuer.token(aud="x\nERROR forged " + "y" * 5_000))
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 400
