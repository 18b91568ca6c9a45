from __future__ import annotations

import attrs
import pytest

from seic import ConfigurationError, Hosts, Provider
from tests._support.reports import report


@pytest.mark.parametrize(
    "token_url",
    ["/oauth/token", "/", "/v2/oauthtoken?x=1", "https://idp.example/token", "https://idp.example:8443/token"],
    ids=["path", "root", "query", "url", "url with port"],
)
def test_a_path_or_a_url_names_the_token_endpoint(token_url: str) -> None:
    """The endpoint is a path on the chosen host, or any https URL."""
    assert Provider(token_url=token_url).token_url == token_url


@pytest.mark.parametrize(
    "token_url",
    ["", "oauth/token", "idp.example/token", "ftp://idp.example/token", " /token", "https:/idp.example/token", 7],
    ids=["empty", "relative", "no scheme", "ftp", "space first", "one slash", "number"],
)
def test_anything_else_is_refused(token_url: object) -> None:
    """The error names the setting and shows what is expected."""
    with pytest.raises(ConfigurationError, match="https URL") as caught:
        Provider(token_url=token_url)  # type: ignore[arg-type]

    assert caught.value.field == "provider.token_url"


def test_a_token_endpoint_that_is_missing() -> None:
    """The error names both ways to set it."""
    with pytest.raises(ConfigurationError, match=r"provider\.token_url: missing; .*issuer=") as caught:
        Provider(token_url=None)

    assert caught.value.field == "provider.token_url"


@pytest.mark.parametrize(
    "token_url",
    ["//idp.example/token", "https://", "https://user:pw@idp.example/token", "http://idp.example/token"],
    ids=["a host in a path's clothes", "no host", "credentials", "clear text"],
)
def test_a_url_that_would_send_credentials_astray_is_refused(token_url: str) -> None:
    """After two slashes comes a host (RFC 3986 §4.2); a URL needs https, a host and no credentials."""
    with pytest.raises(ConfigurationError):
        Provider(token_url=token_url)


def test_a_plain_provider_needs_no_more_than_its_endpoint() -> None:
    """Every other setting has the standard's behaviour as its default."""
    provider = Provider(token_url="/oauth/token")

    assert provider.environments == {}
    assert provider.client_authentication is None
    assert provider.client_id_header is None
    assert provider.username_field is None
    assert provider.tracking_header is None
    assert provider.idle_lifetime is None


def test_a_provider_is_a_value() -> None:
    """Equal providers hash alike, and providers are frozen."""
    one, other = (Provider(token_url="/t", environments={"test": Hosts(api="a.example")}) for _ in range(2))

    assert one == other
    assert {one: 1}[other] == 1
    assert one != attrs.evolve(one, idle_lifetime=1800.0)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.token_url = "/other"  # type: ignore[misc]


def test_one_providers_environments_are_not_anothers() -> None:
    """Each instance has its own default."""
    assert Provider(token_url="/a").environments is not Provider(token_url="/b").environments


@pytest.mark.parametrize("name", ["authorize_url", "token_info_url", "introspection_url", "revocation_url"])
def test_the_other_endpoints_may_be_missing_but_not_malformed(name: str) -> None:
    """Each is a path, a URL or None, with the rules of the token endpoint."""
    for url in (None, "/v2/some", "https://idp.example/some"):
        assert getattr(Provider(token_url="/t", **{name: url}), name) == url  # type: ignore[arg-type]
    for url in ("", "some", "//idp.example/some", "http://idp.example/some"):
        with pytest.raises(ConfigurationError) as caught:
            Provider(token_url="/t", **{name: url})  # type: ignore[arg-type]
        assert caught.value.field == f"provider.{name}" or name in str(caught.value)


def test_what_is_required_is_returned_or_named() -> None:
    """The error of an undocumented setting has its name, its purpose and the way to set it."""
    provider = Provider(token_url="/t", name="mine", revocation_url="/revoke")
    assert provider.require("revocation_url", "revoking") == "/revoke"

    with pytest.raises(ConfigurationError, match=r"revoking needs it.*mine.*attrs\.evolve") as caught:
        attrs.evolve(provider, revocation_url=None).require("revocation_url", "revoking")

    assert caught.value.field == "provider.revocation_url"


@pytest.mark.parametrize("url", ["https://u:Passwd-1@x.example/t", "https://u:Passwd-1/2@x.example", "u:Passwd-1"])
def test_a_password_in_a_url_is_refused_and_not_shown(url: str) -> None:
    """Neither the error nor a frame of the provider's class has it."""
    with pytest.raises(ConfigurationError) as caught:
        Provider(token_url=url)

    assert "Passwd-1" not in report(caught.value)
