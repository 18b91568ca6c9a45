"""How a token call is written."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from seic._errors import ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.provider import Provider, RequestContext
from seic._oauth.client_auth import ClientSecretPost
from seic._oauth.messages import build_token_request
from seic._oauth.providers import OAUTH2, SEI_GATEWAY


def _build(**changes: Any) -> httpx.Request:
    grant = changes.pop("grant", ClientCredentials(username="svc", password="hunter2"))
    settings = {
        "provider": SEI_GATEWAY,
        "token_url": "https://api.example/v2/oauthtoken",
        "client_id": "AppKey",
        "client_secret": "AppSecret",
    }
    return build_token_request(RequestContext(**{**settings, **changes}), grant=grant)


def test_a_url_keeps_its_query_and_gains_nothing() -> None:
    """Expect a query of the endpoint's own to stay (RFC 6749 §3.2) and no parameter to join it."""
    request = _build(token_url="https://api.example/token?tenant=1")
    assert str(request.url) == "https://api.example/token?tenant=1"


def test_form_values_arrive_as_they_are() -> None:
    """Expect reserved and other characters to survive the form."""
    password = "a+b c&d=é%\n"
    request = _build(grant=ClientCredentials(username="ü", password=password))
    assert dict(parse_qsl(request.content.decode())) == {
        "grant_type": "client_credentials",
        "username": "ü",
        "password": password,
    }


@pytest.mark.parametrize("client_id", ["App\r\nX-Evil: 1", "App Key", "Schlüssel", "", "\ud800"])
def test_a_client_id_that_no_header_carries_is_refused(client_id: str) -> None:
    """Expect no way to write a header of one's own through the client id."""
    with pytest.raises(ConfigurationError) as caught:
        _build(client_id=client_id)
    assert caught.value.field == "client_id"


@pytest.mark.parametrize("provider", [SEI_GATEWAY, OAUTH2])
def test_a_missing_secret_is_named_before_anything_is_built(provider: Provider) -> None:
    """Expect a missing client secret to be an error of the configuration."""
    with pytest.raises(ConfigurationError) as caught:
        _build(provider=provider, client_secret=None, grant=ClientCredentials(username="a", password="b"))
    assert caught.value.field == "client_secret"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"grant": ClientCredentials(username="u", password="hunter2\ud800")}, "grant", id="grant"),
        pytest.param(
            {
                "provider": Provider(token_url="/t", client_authentication=ClientSecretPost()),
                "grant": ClientCredentials(),
                "client_secret": "hunter2\ud800",
            },
            "client_secret",
            id="client secret in the form",
        ),
    ],
)
def test_a_value_that_is_no_text_is_not_repeated(changes: dict[str, Any], field: str) -> None:
    """Expect half a surrogate pair to be refused by the field's name, the value nowhere in the error's chain."""
    with pytest.raises(ConfigurationError) as caught:
        _build(**changes)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
