"""Settings of any provider: endpoints, client authentication, grants, times and routes, and their errors."""

from __future__ import annotations

from typing import Any

import pytest

import seic
from tests._support.settings import ENCRYPTED_KEY, KEY, SECRET, refused

_PLAIN = {"SEIC_CLIENT_ID": "id", "SEIC_CLIENT_SECRET": SECRET, "SEIC_API_HOST": "api.example"}
_ISSUER = {**_PLAIN, "SEIC_ISSUER": "https://idp.example/main"}
_URL = {**_PLAIN, "SEIC_TOKEN_URL": "https://idp.example/token"}
_SIGNED = {**_URL, "SEIC_CLIENT_AUTH": "private_key_jwt"}


def test_an_issuer_is_read_later() -> None:
    """Nothing is sent when the configuration is created."""
    config = seic.Config.from_env(_ISSUER)
    assert config.provider == seic.Provider(issuer="https://idp.example/main", name="idp.example")
    assert config.token_url == "https://idp.example/main"


def test_endpoints() -> None:
    """A token URL alone makes a plain provider; with a known provider, it replaces that one's."""
    config = seic.Config.from_env({**_URL, "SEIC_REVOCATION_URL": "/revoke"})
    assert config.provider.revocation_url == "/revoke"
    assert config.provider.client_id_header is None
    gateway = {**_URL, "SEIC_PROVIDER": "sei-gateway", "SEIC_USERNAME": "u", "SEIC_PASSWORD": "p"}
    assert seic.Config.from_env(gateway).provider.client_id_header == "AppKey"
    both = seic.Config.from_env({**_URL, "SEIC_ISSUER": "https://idp.example"})
    assert (both.provider.issuer, both.token_url) == ("https://idp.example", "https://idp.example/token")


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("client_secret_basic", seic.ClientSecretBasic),
        ("client_secret_post", seic.ClientSecretPost),
        ("client_secret_jwt", seic.ClientSecretJwt),
        ("none", seic.ClientIdOnly),
    ],
)
def test_client_authentication(method: str, kind: type) -> None:
    """Each method has its registered name."""
    config = seic.Config.from_env({**_URL, "SEIC_CLIENT_SECRET": 3 * SECRET, "SEIC_CLIENT_AUTH": method})
    assert type(config.provider.client_authentication or seic.ClientSecretBasic()) is kind


def test_the_gateway_keeps_its_form_of_basic() -> None:
    """Its name does not change the encoding."""
    environ = {**_PLAIN, "SEIC_USERNAME": "u", "SEIC_PASSWORD": "p", "SEIC_CLIENT_AUTH": "client_secret_basic"}
    assert seic.Config.from_env(environ).provider is seic.SEI_GATEWAY


def test_a_key_that_signs() -> None:
    """All arguments of `PrivateKeyJwt` are settings."""
    environ = {
        **_URL,
        "SEIC_CLIENT_SECRET": "",
        "SEIC_CLIENT_AUTH": "private_key_jwt",
        "SEIC_CLIENT_KEY": KEY,
        "SEIC_CLIENT_KEY_ID": "key-1",
        "SEIC_CLIENT_KEY_ALGORITHM": "ES256",
        "SEIC_CLIENT_ASSERTION_AUDIENCE": "https://idp.example",
    }
    method = seic.Config.from_env(environ).provider.client_authentication
    assert method == seic.PrivateKeyJwt(key=KEY, key_id="key-1", algorithm="ES256", audience="https://idp.example")


@pytest.mark.parametrize(
    ("variables", "grant"),
    [
        (
            {"SCOPE": "a  b", "RESOURCE": "https://a.example https://b.example", "AUDIENCE": "c"},
            seic.ClientCredentials(scope="a b", resource=("https://a.example", "https://b.example"), audience="c"),
        ),
        ({"GRANT": "password", "USERNAME": "u", "PASSWORD": "p"}, seic.Password(username="u", password="p")),
        ({"GRANT": "refresh_token", "REFRESH_TOKEN": "r"}, seic.RefreshToken(refresh_token="r")),
        ({"GRANT": "jwt-bearer", "ASSERTION": "j", "SUBJECT": "s"}, seic.JwtBearer(assertion="j", subject="s")),
        (
            {"GRANT": "urn:ietf:params:oauth:grant-type:saml2-bearer", "ASSERTION": "<a/>"},
            seic.SamlBearer(assertion="<a/>"),
        ),
        (
            {"PROVIDER": "sei-platform", "GRANT": "saml2-bearer", "ASSERTION": "<a/>"},
            seic.Saml2Bearer(saml_assertion="<a/>"),
        ),
        (
            {"GRANT": "token-exchange", "SUBJECT_TOKEN": "t", "ACTOR_TOKEN": "a", "REQUESTED_TOKEN_TYPE": "jwt"},
            seic.TokenExchange(subject_token="t", actor_token="a", requested_token_type="jwt"),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, seic.ClientCredentials) else None,
)
def test_grants(variables: dict[str, str], grant: seic.Grant) -> None:
    """Each is equal to the one that code creates."""
    base = {**_PLAIN, "SEIC_PROVIDER": "oauth2"}
    assert seic.Config.from_env({**base, **{f"SEIC_{name}": text for name, text in variables.items()}}).grant == grant


def test_times_and_routes() -> None:
    """Numbers and flags are converted."""
    config = seic.Config.from_env({
        **_URL,
        "SEIC_TOKEN_TIMEOUT": "2.5",
        "SEIC_ADVISORY_REFRESH": "30%",
        "SEIC_MANDATORY_REFRESH": "60",
        "SEIC_PROXY": "http://proxy.example:3128",
        "SEIC_TRUST_ENV": "false",
        "SEIC_STRICT_COMMON_NAME": "true",
    })  # fmt: skip
    assert (config.token_timeout, config.advisory_refresh, config.mandatory_refresh) == (2.5, "30%", 60.0)
    assert (config.proxy, config.trust_env, config.strict_common_name) == ("http://proxy.example:3128", False, True)


@pytest.mark.parametrize(
    ("environ", "field", "words"),
    [
        ({"SEIC_TOKEN_URL": "/t", "SEIC_GRANT": "password"}, "SEIC_CLIENT_ID",
         ["SEIC_CLIENT_SECRET or SEIC_CLIENT_SECRET_FILE", "(SEIC_USERNAME)", "(SEIC_PASSWORD or", "SEIC_API_HOST or"]),
        ({"SEIC_ISSUER": "https://i.example"}, "SEIC_CLIENT_ID", ["i.example needs", "(SEIC_API_HOST or"]),
        ({**_URL, "SEIC_GRANT": "token-exchange"}, "SEIC_SUBJECT_TOKEN", ["SEIC_SUBJECT_TOKEN_FILE"]),
        ({**_URL, "SEIC_CLIENT_AUTH": "tls_client_auth"}, "SEIC_CERTIFICATE", ["the client certificate"]),
        ({**_URL, "SEIC_CLIENT_AUTH": "private_key_jwt"}, "SEIC_CLIENT_KEY", ["SEIC_CLIENT_KEY or SEIC_CERTIFICATE"]),
        ({**_URL, "SEIC_CLIENT_AUTH": "basic"}, "SEIC_CLIENT_AUTH", ["client_secret_basic or"]),
        ({**_URL, "SEIC_GRANT": "jwt"}, "SEIC_GRANT", ["client_credentials or password"]),
        ({**_URL, "SEIC_GRANT": "authorization_code"}, "SEIC_GRANT", ["pass this grant in code"]),
        ({**_URL, "SEIC_ASSERTION": "j"}, "SEIC_ASSERTION", ["SEIC_GRANT to jwt-bearer or saml2-bearer"]),
        ({**_URL, "SEIC_CLIENT_KEY": KEY}, "SEIC_CLIENT_KEY", ["SEIC_CLIENT_AUTH to private_key_jwt"]),
        ({**_SIGNED, "SEIC_CLIENT_KEY": ENCRYPTED_KEY}, "SEIC_CLIENT_KEY", ["pass SEIC_CLIENT_KEY_PASSWORD"]),
        ({**_SIGNED, "SEIC_CLIENT_KEY": ENCRYPTED_KEY, "SEIC_CLIENT_KEY_PASSWORD": "x"}, "SEIC_CLIENT_KEY",
         ["check SEIC_CLIENT_KEY_PASSWORD"]),
        ({**_SIGNED, "SEIC_CLIENT_KEY": KEY, "SEIC_CLIENT_KEY_PASSWORD": "x"}, "SEIC_CLIENT_KEY",
         ["remove SEIC_CLIENT_KEY_PASSWORD"]),
        ({**_URL, "SEIC_TOKEN_TIMEOUT": "soon"}, "SEIC_TOKEN_TIMEOUT", ["number of seconds"]),
        ({**_URL, "SEIC_TOKEN_TIMEOUT": "0"}, "SEIC_TOKEN_TIMEOUT", ["more than 0"]),
        ({**_URL, "SEIC_ADVISORY_REFRESH": "x"}, "SEIC_ADVISORY_REFRESH", ["or a share"]),
        ({**_URL, "SEIC_TRUST_ENV": "maybe"}, "SEIC_TRUST_ENV", ["true or false"]),
        ({**_URL, "SEIC_TOKEN_URL": "ftp://x"}, "SEIC_TOKEN_URL", ["https URL"]),
        ({**_ISSUER, "SEIC_ISSUER": "http://idp.example"}, "SEIC_ISSUER", ["is not https"]),
        ({**_URL, "SEIC_RESOURCE": "orders"}, "SEIC_RESOURCE", ["absolute URI"]),
        ({**_URL, "SEIC_PROXY": "ftp://x"}, "SEIC_PROXY", ["the scheme of the URL"]),
        ({**_URL, "SEIC_LOCAL_ADDRESS": "here"}, "SEIC_LOCAL_ADDRESS", ["IP address"]),
    ],
)  # fmt: skip
def test_an_error_names_the_variable(environ: dict[str, str], field: str, words: list[str]) -> None:
    """All that is missing is in one error; a setting without effect is an error, too."""
    error: Any = refused(environ)
    assert error.field == field
    for each in words:
        assert each in str(error)


@pytest.mark.parametrize(
    ("variables", "field", "missing"),
    [
        ({"STORE_KEY": 3 * SECRET}, "SEIC_STORE_KEY", "SEIC_STORE"),
        ({"CERTIFICATE_WAIT": "30"}, "SEIC_CERTIFICATE_WAIT", "SEIC_CERTIFICATE"),
        (
            {"GRANT": "token-exchange", "SUBJECT_TOKEN": "s", "ACTOR_TOKEN_TYPE": "jwt"},
            "SEIC_ACTOR_TOKEN_TYPE",
            "SEIC_ACTOR_TOKEN",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(variables: dict[str, str], field: str, missing: str) -> None:
    """The message names the one that it belongs to."""
    environ = {**_URL, **{f"SEIC_{name}": value for name, value in variables.items()}}
    with pytest.raises(seic.ConfigurationError, match=rf"^{field}: unused without {missing};") as caught:
        seic.Config.from_env(environ)
    assert caught.value.field == field


def test_no_wait_needs_no_file() -> None:
    """Its default, 0, is valid alone."""
    assert seic.Config.from_env({**_URL, "SEIC_CERTIFICATE_WAIT": "0"}).certificate is None
