"""The host that a configuration calls, and the URL of its tokens."""

from __future__ import annotations

from typing import Any

import pytest

from seic._config import Config
from seic._errors import ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._oauth.providers import OAUTH2
from tests._support.configs import make, refused
from tests._support.identities import certificate

_LOOPBACK = Hosts(api="http://127.0.0.1:8080", allow_http_on_loopback=True)


# Which host


@pytest.mark.parametrize(
    ("changes", "base_url"),
    [
        ({}, "https://api.seic.com"),
        ({"environment": "test"}, "https://test.api.seic.com"),
        ({"certificate": True}, "https://mtls.api.seic.com"),
        ({"hosts": Hosts(api="a.example", mtls="m.example")}, "https://a.example"),
        ({"hosts": Hosts(api="a.example", mtls="m.example"), "certificate": True}, "https://m.example"),
        ({"hosts": Hosts(mtls="m.example:444"), "certificate": True}, "https://m.example:444"),
        ({"hosts": Hosts(api="a.example:443")}, "https://a.example"),
        ({"hosts": Hosts(api="[::1]:8443")}, "https://[::1]:8443"),
        ({"hosts": Hosts(mtls="m.example"), "certificate": True, "environment": "test"}, "https://m.example"),
        ({"hosts": _LOOPBACK}, "http://127.0.0.1:8080"),
    ],
    ids=[
        "production",
        "test",
        "production with a certificate",
        "own hosts",
        "own hosts with a certificate",
        "a port",
        "the default port",
        "ipv6",
        "own hosts for the test environment's missing one",
        "http on loopback with the switch",
    ],
)
def test_the_certificate_chooses_the_host(changes: dict[str, Any], base_url: str) -> None:
    """With a certificate calls go to the mutual-TLS host, without one to the API host; the token's way is the same."""
    config = make(**{**changes, **({"certificate": certificate()} if "certificate" in changes else {})})

    assert config.base_url == base_url
    assert config.token_url == f"{base_url}/v2/oauthtoken"


def test_a_certificate_in_the_test_environment_needs_hosts() -> None:
    """No document names a mutual-TLS host for tests: the error says so, and how to go on, in code and in variables."""
    error = refused(certificate=certificate(), environment="test")

    assert error.field == "hosts.mtls"
    for words in ("the test environment", "no documented mutual-TLS host", "hosts=seic.Hosts(", "certificate out"):
        assert words in str(error)


@pytest.mark.parametrize(
    ("hosts", "with_certificate", "field"),
    [(Hosts(api="a.example"), True, "hosts.mtls"), (Hosts(mtls="m.example"), False, "hosts.api")],
    ids=["a certificate and no mtls host", "no certificate and no api host"],
)
def test_no_host_stands_in_for_the_other(hosts: Hosts, with_certificate: bool, field: str) -> None:
    """What is missing is an error, whichever of the two it is; there is no fall-back between them."""
    error = refused(hosts=hosts, certificate=certificate() if with_certificate else None)

    assert error.field == field


def test_a_provider_without_hosts_asks_for_them() -> None:
    """The plain provider's host is the user's to name: the error says how, in code and in variables."""
    error = refused(provider=OAUTH2, grant=ClientCredentials())

    assert error.field == "hosts"
    assert "hosts=seic.Hosts(" in str(error)
    assert "SEIC_API_HOST" in str(error)


def test_an_unknown_environment_is_told_the_known_ones() -> None:
    """A slip in the environment's name does not fall back to production."""
    error = refused(environment="Production")

    assert error.field == "environment"
    assert "'production' or 'test'" in str(error)


@pytest.mark.parametrize(
    ("with_certificate", "field"), [(False, "hosts.api"), (True, "hosts.mtls")], ids=["api", "mtls"]
)
def test_a_host_that_cannot_be_called_is_refused_here(with_certificate: bool, field: str) -> None:
    """What reads as a name but can be no address does not wait for the first call to fail."""
    error = refused(
        hosts=Hosts(api="1.2.3.999", mtls="1.2.3.256"), certificate=certificate() if with_certificate else None
    )

    assert error.field == field


# The token's URL


@pytest.mark.parametrize(
    ("token_url", "hosts", "expected"),
    [
        ("/t", Hosts(api="a.example:8443"), "https://a.example:8443/t"),
        ("/t?tenant=1", Hosts(api="a.example"), "https://a.example/t?tenant=1"),
        ("https://idp.example/t", Hosts(api="a.example"), "https://idp.example/t"),
        ("https://idp.example:8443/t", Hosts(api="a.example"), "https://idp.example:8443/t"),
        ("http://localhost:1/t", _LOOPBACK, "http://localhost:1/t"),
    ],
    ids=["path", "query", "url", "url with a port", "http beside http"],
)
def test_the_token_url_is_below_the_host_or_a_whole_one(token_url: str, hosts: Hosts, expected: str) -> None:
    """A path goes to the chosen host and port; a whole URL is the provider's own."""
    config = make(provider=Provider(token_url=token_url), grant=ClientCredentials(), hosts=hosts)

    assert config.token_url == expected


@pytest.mark.parametrize(
    ("token_url", "hosts"),
    [
        ("http://localhost:1/t", Hosts(api="a.example")),
        ("http://localhost:1/t", Hosts(api="127.0.0.1")),
        ("https://idp.example/t#x", Hosts(api="a.example")),
        ("/t#x", Hosts(api="a.example")),
        ("/t\n", Hosts(api="a.example")),
        ("/t\x7f", Hosts(api="a.example")),
        ("https://1.2.3.999/t", Hosts(api="a.example")),
    ],
    ids=["http", "http beside https on loopback", "fragment", "fragment of a path", "line end", "DEL", "no address"],
)
def test_a_token_url_that_cannot_be_trusted_is_refused(token_url: str, hosts: Hosts) -> None:
    """The secrets go there, so it is held to what holds for hosts (RFC 6749 §3.2 on fragments)."""
    provider = Provider(token_url=token_url)

    assert refused(provider=provider, grant=ClientCredentials(), hosts=hosts).field == "provider.token_url"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"hosts": Hosts(api="xn--0.example")}, "hosts.api", id="the API"),
        pytest.param(
            {"provider": Provider(token_url="https://xn--0.example/t")}, "provider.token_url", id="the tokens"
        ),
    ],
)
def test_a_host_that_is_no_name_in_any_language(changes: dict[str, Any], field: str) -> None:
    """It looks like an internationalised name and is none: the setting is named, by no error of another library."""
    settings: dict[str, Any] = {"provider": OAUTH2, "hosts": Hosts(api="api.example"), "client_id": "c"}
    with pytest.raises(ConfigurationError) as caught:
        Config(**{**settings, "client_secret": "s", "grant": ClientCredentials(), **changes})
    assert caught.value.field == field
