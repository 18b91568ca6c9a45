"""Metadata that decides whether a login can work."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import httpx
import pytest

from seic import OAUTH2, ConfigurationError, Hosts, Login, Provider, discover_sync

ISSUER = "https://idp.example"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "token_endpoint": "https://idp.example/token",
    "authorization_endpoint": "https://login.example/authorize",
}


def read(document: dict[str, Any], *, base: Provider | None = None) -> Provider:
    """Discover an issuer that publishes this document."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=document))
    return discover_sync(ISSUER, transport=transport, base=base)


@pytest.mark.parametrize(
    ("listed", "taken"),
    [
        pytest.param(["plain", "S256"], True, id="S256"),
        pytest.param(["plain"], False, id="plain alone, which protects nothing"),
        pytest.param([], False, id="none"),
    ],
)
@pytest.mark.parametrize("base", [OAUTH2, attrs.evolve(OAUTH2, takes_pkce=False)], ids=["does", "does not"])
def test_code_challenges_that_are_listed(listed: list[str], taken: bool, base: Provider) -> None:
    """Expect PKCE if S256 is offered, and none otherwise, whatever the base has."""
    assert read({**DOCUMENT, "code_challenge_methods_supported": listed}, base=base).takes_pkce is taken


def test_code_challenges_that_are_not_listed() -> None:
    """Expect the base's setting: a provider without PKCE ignores a challenge (RFC 6749 §3.1)."""
    assert read(DOCUMENT).takes_pkce
    assert not read(DOCUMENT, base=attrs.evolve(OAUTH2, takes_pkce=False)).takes_pkce


@pytest.mark.parametrize(("said", "taken"), [(True, True), (False, False), (None, False)])
def test_an_issuer_in_the_callback(said: bool | None, taken: bool) -> None:
    """Expect the setting of the metadata (RFC 9207 §3)."""
    document = DOCUMENT if said is None else {**DOCUMENT, "authorization_response_iss_parameter_supported": said}
    assert read(document).issuer_in_callback is taken


@pytest.mark.parametrize("demand", ["require_pushed_authorization_requests", "require_signed_request_object"])
def test_a_demand_that_no_login_meets(demand: str) -> None:
    """A login is an error that names it; token requests work."""
    provider = read({**DOCUMENT, "grant_types_supported": ["authorization_code"], demand: True})
    assert provider.login_demands == (demand,)
    assert read({**DOCUMENT, demand: False}).login_demands == ()
    begin = functools.partial(Login.begin, client_id="c", redirect_uri=None, hosts=Hosts(api="api.example"))
    with pytest.raises(ConfigurationError, match=demand) as caught:
        begin(provider=provider)
    assert caught.value.field == "provider.login_demands"
    assert begin(provider=attrs.evolve(provider, login_demands=())).url.startswith("https://login.example/")


def test_a_login_without_its_grant() -> None:
    """A provider that does not offer the grant of a code gives no login: its user would log in for nothing."""
    with pytest.raises(ConfigurationError, match="authorization_code") as caught:
        Login.begin(
            provider=read({**DOCUMENT, "grant_types_supported": ["client_credentials"]}),
            client_id="c",
            redirect_uri=None,
            hosts=Hosts(api="api.example"),
        )
    assert caught.value.field == "provider.grants"
