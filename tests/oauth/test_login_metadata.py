"""Metadata that decides whether a login can work."""

from __future__ import annotations

import functools
import json
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


@pytest.mark.parametrize(
    ("member", "listed", "works"),
    [
        pytest.param("response_types_supported", ["token", "code id_token", "code"], True, id="with the code"),
        pytest.param("response_types_supported", "code", True, id="the code as a string"),
        pytest.param("response_types_supported", [], True, id="an empty list"),
        pytest.param("response_types_supported", ["token", "id_token"], False, id="implicit alone"),
        pytest.param("response_types_supported", ["code id_token"], False, id="hybrid alone"),
        pytest.param("response_modes_supported", ["form_post", "query"], True, id="with the query"),
        pytest.param("response_modes_supported", None, True, id="null"),
        pytest.param("response_modes_supported", ["form_post"], False, id="a form alone"),
        pytest.param("response_modes_supported", ["query.jwt", "fragment"], False, id="signed"),
    ],
)
def test_responses_that_a_login_cannot_read(member: str, listed: object, works: bool) -> None:
    """A login is an error that names the list and its values; a list with the response that seic reads is accepted."""
    provider = read({**DOCUMENT, member: listed})
    begin = functools.partial(Login.begin, client_id="c", redirect_uri=None, hosts=Hosts(api="api.example"))
    if works:
        assert begin(provider=provider).url.startswith("https://login.example/")
        return
    with pytest.raises(ConfigurationError, match=member) as caught:
        begin(provider=provider)
    assert isinstance(listed, list)
    assert listed[0] in caught.value.message
    assert caught.value.field == "provider.login_demands"


@pytest.mark.parametrize(
    ("changes", "attribute", "expected"),
    [
        ({"grant_types_supported": "password"}, "grants", frozenset({"password", "refresh_token"})),
        ({"code_challenge_methods_supported": "S256"}, "takes_pkce", True),
        ({"authorization_response_iss_parameter_supported": "true"}, "issuer_in_callback", True),
        ({"tls_client_certificate_bound_access_tokens": "False"}, "certificate_bound_tokens", False),
    ],
)
def test_members_of_another_type(changes: dict[str, Any], attribute: str, expected: object) -> None:
    """A string counts as a list of one, and a boolean may be a string: the meaning is clear."""
    assert getattr(read({**DOCUMENT, **changes}), attribute) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"x": NaN, %s}', id="NaN elsewhere"),
        pytest.param(b'{"x": "\\ud800", %s}', id="half of a pair elsewhere"),
        pytest.param(b'{"issuer": "https://idp.example", %s}', id="a property twice"),
        pytest.param(b'{"name": "\xfcber", %s}', id="Latin-1 elsewhere"),
        pytest.param(b"\xef\xbb\xbf{%s}\0\0", id="a mark and NULs"),
    ],
)
def test_metadata_with_flaws_that_do_not_matter(body: bytes) -> None:
    """Each member that is read has one meaning."""
    members = json.dumps(DOCUMENT).encode()[1:-1]
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body % members))
    assert discover_sync(ISSUER, transport=transport).token_url == DOCUMENT["token_endpoint"]


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
