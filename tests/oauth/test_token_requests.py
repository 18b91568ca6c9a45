"""The form, the headers and the URL of a token request."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    ClientCredentials,
    ClientSecretPost,
    ConfigurationError,
    Provider,
)
from tests._support.token_calls import config_of, token_request


def test_a_url_keeps_its_query_and_gains_nothing() -> None:
    """Expect the endpoint's own query to stay (RFC 6749 §3.2) and no parameter to be added."""
    request = token_request(config_of(attrs.evolve(SEI_GATEWAY, token_url="/token?tenant=1")))
    assert (request.method, str(request.url)) == ("POST", "https://api.example/token?tenant=1")


def test_form_values_arrive_unchanged() -> None:
    """Expect reserved and other characters to survive the form."""
    password = "a+b c&d=é%\n"
    request = token_request(config_of(SEI_GATEWAY, grant=ClientCredentials(username="ü", password=password)))
    assert dict(parse_qsl(request.content.decode())) == {
        "grant_type": "client_credentials",
        "username": "ü",
        "password": password,
    }


def test_a_field_with_several_values() -> None:
    """Expect it in the form once for each, before the client's credentials."""
    provider = attrs.evolve(OAUTH2, client_authentication=ClientSecretPost())
    grant = ClientCredentials(resource=("https://a.example", "https://b.example"))
    assert token_request(config_of(provider, grant=grant)).content == (
        b"grant_type=client_credentials&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example"
        b"&client_id=id&client_secret=secret-1"
    )


def test_the_headers_of_a_provider() -> None:
    """Expect JSON to be requested, and the client id in its header if the provider has one."""
    plain = token_request(config_of(OAUTH2)).headers
    assert (plain["Accept"], "AppKey" in plain) == ("application/json", False)
    assert token_request(config_of(SEI_GATEWAY)).headers["AppKey"] == "id"


@pytest.mark.parametrize("client_id", ["App\r\nX-Evil: 1", "App Key", "Schlüssel", "\x7f", "", "\ud800"])
def test_a_client_id_that_a_header_cannot_have_is_refused(client_id: str) -> None:
    """Expect no way to add a header through the client id."""
    with pytest.raises(ConfigurationError) as caught:
        config_of(SEI_GATEWAY, client_id=client_id)
    assert caught.value.field == "client_id"


@pytest.mark.parametrize("provider", [SEI_GATEWAY, OAUTH2])
def test_a_missing_secret_is_named_before_anything_is_sent(provider: Provider) -> None:
    """Expect a missing client secret to be an error of the configuration."""
    with pytest.raises(ConfigurationError) as caught:
        config_of(provider, client_secret=None)
    assert caught.value.field == "client_secret"


@pytest.mark.parametrize(
    ("provider", "changes", "field"),
    [
        pytest.param(
            SEI_GATEWAY, {"grant": ClientCredentials(username="u", password="hunter2\ud800")}, "grant", id="grant"
        ),
        pytest.param(
            attrs.evolve(OAUTH2, client_authentication=ClientSecretPost()),
            {"client_secret": "hunter2\ud800"},
            "client_secret",
            id="client secret in the form",
        ),
    ],
)
def test_a_value_that_utf8_cannot_encode_is_not_repeated(
    provider: Provider, changes: dict[str, Any], field: str
) -> None:
    """Expect half a surrogate pair to be refused by the field's name, without the value."""
    with pytest.raises(ConfigurationError) as caught:
        token_request(config_of(provider, **changes))
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
