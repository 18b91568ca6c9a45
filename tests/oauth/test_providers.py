"""The three known providers, compared with their documents."""

from __future__ import annotations

import base64

import attrs
import pytest

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    SEI_PLATFORM,
    AuthorizationCode,
    ClientCredentials,
    ConfigurationError,
    Grant,
    Password,
    Provider,
    RefreshToken,
    Saml2Bearer,
    SessionToken,
)
from tests._support.token_calls import config_of, token_request


def test_the_gateways_hosts() -> None:
    """Expect the documented hosts of each environment, and a certificate to choose the mutual-TLS one."""
    production = SEI_GATEWAY.environments["production"]
    assert str(production.choose(certificate=False)) == "https://api.seic.com"
    assert str(production.choose(certificate=True)) == "https://mtls.api.seic.com"
    assert str(SEI_GATEWAY.environments["test"].choose(certificate=False)) == "https://test.api.seic.com"


def test_the_gateways_test_environment_has_no_mutual_tls_host() -> None:
    """Expect an error, and no other host instead."""
    with pytest.raises(ConfigurationError) as caught:
        SEI_GATEWAY.environments["test"].choose(certificate=True, environment="test")
    assert caught.value.field == "hosts.mtls"


def test_the_gateways_token_request() -> None:
    """Expect the documented request: Basic and AppKey, service account in the form, nothing in the URL."""
    request = token_request(
        config_of(
            SEI_GATEWAY,
            hosts=None,
            client_id="ADsgdnnkjnfdIKJN",
            client_secret="AppSecret",
            grant=ClientCredentials(username="jdoe", password="samplepassword"),
        )
    )
    assert request.method == "POST"
    assert str(request.url) == "https://api.seic.com/v2/oauthtoken"
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"ADsgdnnkjnfdIKJN:AppSecret").decode()
    assert request.headers["AppKey"] == "ADsgdnnkjnfdIKJN"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Accept"] == "application/json"
    assert request.content == b"grant_type=client_credentials&username=jdoe&password=samplepassword"


def test_the_gateway_takes_basic_raw() -> None:
    """Expect the gateway's pair as its documents give it, Base64(AppKey:AppSecret), without encoding before."""
    request = token_request(
        config_of(
            SEI_GATEWAY, client_id="key", client_secret="a/b c", grant=ClientCredentials(username="u", password="p")
        )
    )
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"key:a/b c"


def test_the_platforms_token_request() -> None:
    """Expect id, secret, email and password in the form, and neither Basic nor AppKey."""
    request = token_request(
        config_of(SEI_PLATFORM, client_secret="s", grant=ClientCredentials(username="me@example.com", password="p"))
    )
    assert request.content == (
        b"grant_type=client_credentials&email=me%40example.com&password=p&client_id=id&client_secret=s"
    )
    assert "Authorization" not in request.headers
    assert "AppKey" not in request.headers


def test_the_plain_providers_token_request() -> None:
    """Expect Basic per RFC 6749 §2.3.1 and nothing but the grant type in the form."""
    request = token_request(config_of(OAUTH2, client_id="my client", client_secret="a/b", grant=ClientCredentials()))
    assert request.content == b"grant_type=client_credentials"
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"my%20client:a%2Fb"


def test_idle_lifetimes() -> None:
    """Expect the documented half hour at the gateway only."""
    assert (SEI_GATEWAY.idle_lifetime, SEI_PLATFORM.idle_lifetime, OAUTH2.idle_lifetime) == (1800, None, None)


def test_the_plain_provider_has_no_hosts() -> None:
    """Expect it to need `hosts`."""
    assert OAUTH2.environments == {}


_CODE = AuthorizationCode(code="c", redirect_uri="https://app.example/back")
_SAML = Saml2Bearer(saml_response=b"<a/>")
_SAML_FORM = (
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Asaml2-bearer&SAMLResponse=PGEvPg%3D%3D"
    "&client_id=id&client_secret=s"
)


@pytest.mark.parametrize(
    ("provider", "grant", "form"),
    [
        pytest.param(
            SEI_GATEWAY,
            Password(username="u", password="p"),
            "grant_type=password&username=u&password=p",
            id="gateway, password",
        ),
        pytest.param(
            SEI_GATEWAY,
            RefreshToken(refresh_token="r"),
            "grant_type=refresh_token&refresh_token=r",
            id="gateway, refresh",
        ),
        pytest.param(
            attrs.evolve(SEI_GATEWAY, session_token_field="session"),
            SessionToken(session_token="s"),
            "grant_type=sessionToken&session=s",
            id="gateway, session",
        ),
        pytest.param(
            SEI_PLATFORM,
            _CODE,
            "grant_type=authorization_code&code=c&client_id=id&client_secret=s",
            id="platform, code",
        ),
        pytest.param(
            SEI_PLATFORM,
            RefreshToken(refresh_token="r", end_other_sessions=True),
            "grant_type=refresh_token&refresh_token=r&endOtherSessions=true&client_id=id&client_secret=s",
            id="platform, refresh",
        ),
        pytest.param(SEI_PLATFORM, _SAML, _SAML_FORM, id="platform, SAML"),
        pytest.param(
            OAUTH2,
            ClientCredentials(scope="a b", audience="api", resource="https://api.example"),
            "grant_type=client_credentials&scope=a+b&audience=api&resource=https%3A%2F%2Fapi.example",
            id="plain, client credentials",
        ),
        pytest.param(
            OAUTH2,
            attrs.evolve(_CODE, code_verifier="v"),
            "grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fapp.example%2Fback&code_verifier=v",
            id="plain, code",
        ),
    ],
)
def test_each_grant_that_a_provider_offers(provider: Provider, grant: Grant, form: str) -> None:
    """Expect exactly the documented form, and nothing in the URL."""
    grant.check(provider)
    request = token_request(config_of(provider, client_secret="s", grant=grant))
    assert (str(request.url), request.content.decode()) == (f"https://api.example{provider.token_url}", form)


@pytest.mark.parametrize(
    ("provider", "grant"),
    [
        pytest.param(SEI_GATEWAY, _CODE, id="gateway, code"),
        pytest.param(SEI_GATEWAY, _SAML, id="gateway, SAML"),
        pytest.param(SEI_PLATFORM, Password(username="u", password="p"), id="platform, password"),
        pytest.param(SEI_PLATFORM, SessionToken(session_token="s"), id="platform, session"),
    ],
)
def test_a_grant_that_is_not_documented_is_refused(provider: Provider, grant: Grant) -> None:
    """Expect an error, before anything is sent, with the grants that the provider offers."""
    with pytest.raises(ConfigurationError, match=r"it offers .*client_credentials") as caught:
        grant.check(provider)
    assert caught.value.field == "grant"


def test_the_gateways_session_token_has_no_documented_field() -> None:
    """Expect an error that names the setting."""
    with pytest.raises(ConfigurationError) as caught:
        SessionToken(session_token="s").check(SEI_GATEWAY)
    assert caught.value.field == "provider.session_token_field"
