"""The host and the token URL of a configuration."""

from __future__ import annotations

from typing import Any

import pytest

from seic import OAUTH2, ClientCredentials, Config, ConfigurationError, Hosts, Provider
from tests._support.configs import make, refused
from tests._support.identities import certificate

_LOOPBACK = Hosts(api="http://127.0.0.1:8080", allow_http_on_loopback=True)


# The host


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
        "custom hosts",
        "custom hosts with a certificate",
        "a port",
        "the default port",
        "ipv6",
        "custom host for the test environment",
        "http on loopback if allowed",
    ],
)
def test_the_certificate_selects_the_host(changes: dict[str, Any], base_url: str) -> None:
    """The mutual-TLS host with a certificate, otherwise the API host; for token requests too."""
    config = make(**{**changes, **({"certificate": certificate()} if "certificate" in changes else {})})

    assert config.base_url == base_url
    assert config.token_url == f"{base_url}/v2/oauthtoken"


def test_a_certificate_in_the_test_environment_needs_hosts() -> None:
    """SEI documents no mutual-TLS host for tests: the error says so, and names the remedy."""
    error = refused(certificate=certificate(), environment="test")

    assert error.field == "hosts.mtls"
    for words in (
        "the test environment",
        "no documented mutual-TLS host",
        "hosts=seic.Hosts(",
        "remove the certificate",
    ):
        assert words in str(error)


@pytest.mark.parametrize(
    ("hosts", "with_certificate", "field"),
    [(Hosts(api="a.example"), True, "hosts.mtls"), (Hosts(mtls="m.example"), False, "hosts.api")],
    ids=["a certificate and no mtls host", "no certificate and no api host"],
)
def test_a_missing_host_is_not_replaced_by_the_other(hosts: Hosts, with_certificate: bool, field: str) -> None:
    """A missing host is an error, whether API or mutual TLS. There is no fallback."""
    error = refused(hosts=hosts, certificate=certificate() if with_certificate else None)

    assert error.field == field


def test_a_provider_without_hosts_requires_them() -> None:
    """The plain provider has no default hosts: the error tells how to set them."""
    error = refused(provider=OAUTH2, grant=ClientCredentials())

    assert error.field == "hosts"
    assert "hosts=seic.Hosts(" in str(error)


def test_an_error_about_an_unknown_environment_lists_the_known_ones() -> None:
    """A misspelt environment does not fall back to production."""
    error = refused(environment="Production")

    assert error.field == "environment"
    assert "'production' or 'test'" in str(error)


@pytest.mark.parametrize(
    ("with_certificate", "field"), [(False, "hosts.api"), (True, "hosts.mtls")], ids=["api", "mtls"]
)
def test_an_invalid_address_is_refused(with_certificate: bool, field: str) -> None:
    """An invalid IP address is an error of the configuration, not of the first request."""
    error = refused(
        hosts=Hosts(api="1.2.3.999", mtls="1.2.3.256"), certificate=certificate() if with_certificate else None
    )

    assert error.field == field


# The token URL


@pytest.mark.parametrize(
    ("token_url", "hosts", "expected"),
    [
        ("/t", Hosts(api="a.example:8443"), "https://a.example:8443/t"),
        ("/t?tenant=1", Hosts(api="a.example"), "https://a.example/t?tenant=1"),
        ("https://idp.example/t", Hosts(api="a.example"), "https://idp.example/t"),
        ("https://idp.example:8443/t", Hosts(api="a.example"), "https://idp.example:8443/t"),
        ("http://localhost:1/t", _LOOPBACK, "http://localhost:1/t"),
    ],
    ids=["path", "query", "url", "url with a port", "http with http hosts"],
)
def test_the_token_url_is_a_path_or_a_full_url(token_url: str, hosts: Hosts, expected: str) -> None:
    """A path is relative to the selected host and port. A full URL is used as it is."""
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
    ids=[
        "http",
        "http with https on loopback",
        "fragment",
        "fragment of a path",
        "line end",
        "DEL",
        "invalid address",
    ],
)
def test_an_invalid_token_url_is_refused(token_url: str, hosts: Hosts) -> None:
    """Secrets are sent there, so the rules for hosts apply (fragments: RFC 6749 §3.2)."""
    provider = Provider(token_url=token_url)

    assert refused(provider=provider, grant=ClientCredentials(), hosts=hosts).field == "provider.token_url"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"hosts": Hosts(api="xn--0.example")}, "hosts.api", id="API host"),
        pytest.param({"provider": Provider(token_url="https://xn--0.example/t")}, "provider.token_url", id="token URL"),
    ],
)
def test_an_invalid_internationalised_name_is_refused(changes: dict[str, Any], field: str) -> None:
    """The error names the setting, and is not an error of another library."""
    settings: dict[str, Any] = {"provider": OAUTH2, "hosts": Hosts(api="api.example"), "client_id": "c"}
    with pytest.raises(ConfigurationError) as caught:
        Config(**{**settings, "client_secret": "s", "grant": ClientCredentials(), **changes})
    assert caught.value.field == field
