"""Extension grants."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest

from seic import (
    ClientCredentials,
    ConfigurationError,
    DeviceCode,
    ExistingToken,
    JwtBearer,
    Provider,
    SamlBearer,
    Token,
    TokenExchange,
)
from tests._support.token_calls import config_of, token_request

PROVIDER = Provider(token_url="/token", device_authorization_url="/device")
XML = (
    b'<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">'
    b'<a:Conditions NotOnOrAfter="2030-01-01T00:00:00Z"/>\xc3\xbf\xc3\xbf\xc3\xbe</a:Assertion>'
)
TYPE = "urn:ietf:params:oauth:token-type:"


@pytest.mark.parametrize(
    ("grant", "fields"),
    [
        pytest.param(
            TokenExchange(subject_token="s"),
            {"subject_token": "s", "subject_token_type": f"{TYPE}access_token"},
            id="exchange",
        ),
        pytest.param(
            TokenExchange(
                subject_token=lambda: "s",
                subject_token_type="id_token",
                actor_token="a",
                actor_token_type="urn:example:own",
                requested_token_type="jwt",
                audience="api",
                resource="https://api.example/v1",
                scope="read write",
            ),
            {
                "subject_token": "s",
                "subject_token_type": f"{TYPE}id_token",
                "actor_token": "a",
                "actor_token_type": "urn:example:own",
                "requested_token_type": f"{TYPE}jwt",
                "audience": "api",
                "resource": "https://api.example/v1",
                "scope": "read write",
            },
            id="exchange with all there is",
        ),
        pytest.param(JwtBearer(assertion="e.y.J", scope="read"), {"assertion": "e.y.J", "scope": "read"}, id="JWT"),
        pytest.param(JwtBearer(assertion=lambda: "e.y.J"), {"assertion": "e.y.J"}, id="JWT from a callable"),
        pytest.param(DeviceCode(device_code="d", scope="not again"), {"device_code": "d"}, id="device"),
        pytest.param(
            ExistingToken(token=Token(access_token="a", refresh_token="r")), {"refresh_token": "r"}, id="token in hand"
        ),
    ],
)
def test_the_fields(grant: Any, fields: dict[str, str]) -> None:
    """Expect the names of each RFC, and short names of token types to be spelt out."""
    grant.check(PROVIDER)
    assert grant.fields(PROVIDER) == fields


@pytest.mark.parametrize("source", [XML, base64.b64encode(XML), base64.b64encode(XML).decode()])
def test_a_saml_assertion(source: bytes | str) -> None:
    """Expect base64url without padding (RFC 7522 §2.1), and the assertion's expiry."""
    grant = SamlBearer(assertion=source)
    grant.check(PROVIDER)
    (sent,) = grant.fields(PROVIDER).values()
    assert not set("+/=") & set(sent)
    assert isinstance(sent, str)
    assert base64.urlsafe_b64decode(sent + "=" * (-len(sent) % 4)) == XML
    assert grant.ends_at == dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def test_a_saml_assertion_from_a_callable(tmp_path: Path) -> None:
    """Expect a file to be read for each token, and no end to be known beforehand."""
    path = tmp_path / "assertion.xml"
    grant = SamlBearer(assertion=path)
    grant.check(PROVIDER)
    for number in range(2):
        path.write_bytes(b"<a>%d</a>" % number)
        sent = grant.fields(PROVIDER)["assertion"]
        assert isinstance(sent, str)
        assert base64.urlsafe_b64decode(sent + "==") == b"<a>%d</a>" % number
    assert grant.ends_at is None


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        (TokenExchange(subject_token=""), "grant.subject_token"),
        (TokenExchange(subject_token="s", actor_token=""), "grant.actor_token"),
        (JwtBearer(assertion=""), "grant.assertion"),
        (SamlBearer(assertion=b"no xml"), "grant.assertion"),
        (ExistingToken(token=None, subject="x"), "grant.token"),  # type: ignore[arg-type]  # what a user may pass
        (ExistingToken(token=Token(access_token="a"), resource="/relative"), "grant.resource"),
        (ExistingToken(token=Token(access_token="a"), end_other_sessions=True), "grant.end_other_sessions"),
        (ClientCredentials(resource="/relative"), "grant.resource"),
        (ClientCredentials(resource="https://api.example/#x"), "grant.resource"),
        (ClientCredentials(resource="https:"), "grant.resource"),
        (ClientCredentials(resource=""), "grant.resource"),
        (ClientCredentials(resource=[]), "grant.resource"),
        (ClientCredentials(resource=["https://api.example", "/relative"]), "grant.resource"),
        (ClientCredentials(resource=["https://api.example", 7]), "grant.resource"),  # type: ignore[list-item]  # so
        (ClientCredentials(resource=b"https://api.example"), "grant.resource"),  # type: ignore[arg-type]  # so
        (ClientCredentials(resource=7), "grant.resource"),  # type: ignore[arg-type]  # so
    ],
)
def test_what_is_missing_or_malformed(grant: Any, field: str) -> None:
    """Expect the setting to be named before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        grant.check(PROVIDER)
    assert caught.value.field == field


@pytest.mark.parametrize("resource", ["https://api.example/v1?x=1", "urn:example:api"])
def test_a_resource(resource: str) -> None:
    """Expect any absolute URI (RFC 8707 §2)."""
    grant = ClientCredentials(resource=resource)
    grant.check(PROVIDER)
    assert grant.fields(PROVIDER) == {"resource": resource}


def test_several_resources() -> None:
    """Expect each in a field of its own, in order (RFC 8707 §2), and the grant to be hashable."""
    wanted = ["https://api.example/v1", "urn:example:api"]
    grant = ClientCredentials(resource=wanted, scope="read")
    grant.check(PROVIDER)
    assert hash(grant) == hash(ClientCredentials(resource=tuple(wanted), scope="read"))
    request = token_request(config_of(PROVIDER, client_secret="s", grant=grant))
    assert parse_qsl(request.content.decode()) == [
        ("grant_type", "client_credentials"),
        ("scope", "read"),
        ("resource", wanted[0]),
        ("resource", wanted[1]),
    ]


def test_a_device_code_is_had_by_a_login() -> None:
    """Expect the provider's endpoint to be required, and the login to be named if the code is missing."""
    with pytest.raises(ConfigurationError) as caught:
        DeviceCode().check(attrs.evolve(PROVIDER, device_authorization_url=None))
    assert caught.value.field == "provider.device_authorization_url"
    with pytest.raises(ConfigurationError, match=r"DeviceLogin\.begin"):
        DeviceCode().fields(PROVIDER)


@pytest.mark.parametrize(
    "grant",
    [
        TokenExchange(subject_token="hush-hush", actor_token="hush-hush"),
        JwtBearer(assertion="hush-hush"),
        SamlBearer(assertion=b"<hush-hush/>"),
        DeviceCode(device_code="hush-hush"),
        ExistingToken(token=Token(access_token="hush-hush", refresh_token="hush-hush")),
    ],
    ids=lambda grant: type(grant).__name__,
)
def test_secrets_stay_out_of_a_repr(grant: object) -> None:
    """Expect no secret of the grant in its repr."""
    assert "hush" not in repr(grant)


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: TokenExchange(subject_token=secret),
        lambda secret: JwtBearer(assertion=secret),
        lambda secret: SamlBearer(assertion=f"<{secret}/>".encode()),
        lambda secret: ExistingToken(token=Token(access_token=secret)),
        lambda secret: ExistingToken(token=Token(access_token="a", refresh_token=secret)),
    ],
)
def test_two_people_are_told_apart(make: Any) -> None:
    """Expect another subject for each secret, because it is part of a store's key."""
    assert make("one").subject == make("one").subject != make("two").subject


def test_a_callable_says_nothing_of_a_person() -> None:
    """Expect no subject if the secret is a callable."""
    assert TokenExchange(subject_token=lambda: "s").subject is None
    assert JwtBearer(assertion=lambda: "s").subject is None
