from __future__ import annotations

from typing import Any

import httpx
import pytest

import seic
from seic import ConfigurationError, Origin
from seic._network.proxies import Network, show_proxy
from tests._support.reports import report

_PROXY = "http://proxy.example:3128"
_SECRET = "proxy-Secret-77"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def network(**stated: Any) -> Network:
    """Return the network settings of a configuration."""
    return Network.of(**{"proxy": None, "local_address": None, "trust_env": True, **stated})


def origin(text: str) -> Origin:
    """Return an https origin."""
    return Origin.parse(text, field="hosts.api")


def place(proxy: httpx.Proxy | None) -> str | None:
    """Return its URL."""
    return None if proxy is None else str(proxy.url)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": _PROXY}, _PROXY),
        ({"https_proxy": _PROXY}, _PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, _PROXY),
        ({"ALL_PROXY": _PROXY}, _PROXY),
        ({"HTTPS_PROXY": _PROXY, "ALL_PROXY": "http://other.example:1"}, _PROXY),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": f" {_PROXY}\n"}, _PROXY),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": _PROXY}, _PROXY),
        ({"HTTP_PROXY": _PROXY}, None),
        ({"ALL_PROXY": "socks5://proxy.example:1080"}, "socks5://proxy.example:1080"),
    ],
    ids=[
        "none",
        "https",
        "lower case",
        "without a scheme",
        "all",
        "https before all",
        "empty",
        "blanks around",
        "blank",
        "http only",
        "socks",
    ],
)
def test_the_environment_names_the_proxy(
    variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the standard variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert place(network().choose_proxy(origin("api.example"))) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        ("*", "api.example", True),
        ("api.example", "api.example", True),
        ("api.example", "api.example:444", True),
        ("example", "api.example", True),
        (".example", "api.example", True),
        ("*.example", "api.example", True),
        ("API.Example", "api.example", True),
        ("a, api.example ,b", "api.example", True),
        ("api.example:443", "api.example", True),
        ("api.example:444", "api.example", False),
        ("pi.example", "api.example", False),
        ("api.example.com", "api.example", False),
        (",", "api.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3:8443", "10.1.2.3:8443", True),
        ("10.1.2.3:8443", "10.1.2.3", False),
        ("::1", "[::1]:8443", True),
        ("[::1]", "[::1]:8443", True),
        ("[::1]:8443", "[::1]:8443", True),
        ("[::1]:8444", "[::1]:8443", False),
        ("fd00::/8", "[fd00::1]", True),
        ("example", "10.1.2.3", False),
        ("https://api.example", "api.example", True),
        ("https://api.example/", "api.example:8443", True),
        ("https://user@api.example:443/x", "api.example", True),
        ("https://api.example:8443", "api.example", False),
        ("http://api.example", "api.example", False),
        ("all://api.example", "api.example", True),
        ("https://example", "api.example", False),
        ("https://*.example", "api.example", True),
        ("https://", "api.example", True),
        ("all://*", "api.example", True),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://[::1]:8443/", "[::1]:8443", True),
        ("localhost 127.0.0.1 api.example", "api.example", True),
        ("localhost\tapi.example\n", "api.example", True),
        ("localhost 127.0.0.1", "api.example", False),
        ("api.example.", "api.example", True),
        (".example.", "api.example", True),
        ("api.example/", "api.example", True),
        ("api.example:443/", "api.example", True),
        ("10.1.2.3/", "10.1.2.3", True),
        ("api.example/x", "api.example", False),
        ("api.example", "api.example.", True),
        ("bücher.example", "xn--bcher-kva.example", True),
        (".", "api.example", False),
        ("*.", "api.example", False),
    ],
)
def test_no_proxy_exempts(no_proxy: str, host: str, exempt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Domains with their subdomains, addresses, networks, each with an optional port; URLs as httpx, blanks as curl."""
    monkeypatch.setenv("HTTPS_PROXY", _PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)

    assert (network().choose_proxy(origin(host)) is None) is exempt


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"proxy": "ftp://proxy.example"}, "proxy"),
        ({"proxy": f"user:{_SECRET}@proxy.example"}, "proxy"),
        ({"proxy": ""}, "proxy"),
        ({"proxy": 3128}, "proxy"),
        ({"proxy": f"http://user:{_SECRET}@proxy.example:port"}, "proxy"),
        ({"proxy": f"http://user:{_SECRET}@proxy.example:99999"}, "proxy"),
        ({"proxy": f"http://user:{_SECRET}@xn--a:3128"}, "proxy"),
        ({"local_address": "eth0"}, "local_address"),
        ({"local_address": 1}, "local_address"),
        ({"local_address": "192.0.2.1", "proxy": _PROXY}, "local_address"),
    ],
)
def test_what_cannot_be_is_refused(stated: dict[str, Any], field: str) -> None:
    """The error names the setting, and does not quote the proxy, which can contain a password."""
    with pytest.raises(ConfigurationError) as caught:
        network(**stated)

    assert caught.value.field == field
    assert _SECRET not in str(caught.value)


def test_a_malformed_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own name; neither the error nor its frames contain its value."""
    monkeypatch.setenv("HTTPS_PROXY", f"gopher://user:{_SECRET}@proxy.example")
    with pytest.raises(ConfigurationError) as caught:
        network().choose_proxy(origin("api.example"))

    assert caught.value.field == "HTTPS_PROXY"
    assert _SECRET not in report(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks://127.0.0.1:7890/", "the scheme socks:// is not supported; write socks5h://"),
        ("SOCKS4://127.0.0.1:7890/", "the scheme socks4:// is not supported"),
        (f"{_SECRET}://127.0.0.1:7890/", "the scheme of the URL must be http, https, socks5 or socks5h"),
        ("http://", "must be a URL such as"),
        ("http://xn--a/", "must be a URL such as"),
        ("http://proxy.example:99999", "must be a URL such as"),
    ],
)
def test_a_proxy_of_another_scheme_says_what_is_wrong(value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Desktops set `ALL_PROXY=socks://`; the same words are for the setting. Only known schemes are quoted."""
    monkeypatch.setenv("ALL_PROXY", value)
    for refused in (lambda: network().choose_proxy(origin("api.example")), lambda: network(proxy=value)):
        with pytest.raises(ConfigurationError) as caught:
            refused()
        assert words in str(caught.value)
        assert _SECRET not in str(caught.value)


_ENVIRONMENT_PROXY = f"http://user:{_SECRET}@proxy.example:3128"


@pytest.mark.parametrize(
    ("variables", "proxy", "shown", "told"),
    [
        ({}, None, "proxy=None,", None),
        ({"HTTPS_PROXY": _ENVIRONMENT_PROXY}, None, "proxy=http://proxy.example:3128 (HTTPS_PROXY)", "through the"),
        ({"ALL_PROXY": _PROXY}, None, "proxy=http://proxy.example:3128 (ALL_PROXY)", "through the proxy http://proxy"),
        ({"HTTPS_PROXY": _PROXY, "NO_PROXY": "api.seic.com"}, None, "proxy=None (NO_PROXY)", None),
        (
            {"HTTPS_PROXY": _PROXY},
            "http://other.example:1",
            "proxy='http://other.example:1'",
            "through the proxy http:/",
        ),
        ({"ALL_PROXY": "socks://proxy:1"}, None, "ALL_PROXY: the scheme socks:// is not", "unusable proxy: ALL_PROXY"),
    ],
    ids=["none", "https", "all", "exempt", "configured", "unusable"],
)
def test_the_proxy_in_force_is_shown(
    variables: dict[str, str], proxy: str | None, shown: str, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variable that it comes from, without credentials; the clients show it too."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="k",
        client_secret="s",
        grant=seic.ClientCredentials(username="u", password="p"),
        proxy=proxy,
    )

    assert shown in repr(config.network)
    seen = repr(seic.OAuth2Auth(config))
    assert told in seen if told else "proxy" not in seen
    assert _SECRET not in repr(config.network) + seen


def test_a_local_address_contradicts_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The allow-list would see the proxy's address: the error tells how to bypass the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", _PROXY)
    stated = network(local_address="192.0.2.1")
    with pytest.raises(ConfigurationError, match=r"add api\.example to NO_PROXY"):
        stated.choose_proxy(origin("api.example"))
    monkeypatch.setenv("NO_PROXY", "api.example")

    assert stated.choose_proxy(origin("api.example")) is None


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        (None, "None"),
        (f"http://user:{_SECRET}@proxy.example:3128", "'http://proxy.example:3128'"),
        (httpx.URL(f"http://user:{_SECRET}@proxy.example:3128"), "'http://proxy.example:3128'"),
        (httpx.Proxy("http://proxy.example:3128", auth=("user", _SECRET)), "'http://proxy.example:3128'"),
        (f"user:{_SECRET}@proxy", "***"),
    ],
)
def test_a_proxy_shows_without_its_credentials(proxy: Any, shown: str) -> None:
    """Only its URL is shown."""
    assert show_proxy(proxy) == shown


def test_a_proxy_behind_tls_sees_no_client_certificate() -> None:
    """The connection to it has its own context, with the system's trust."""
    way = network(proxy="https://proxy.example:3129")._way(origin("api.example"), httpx)

    assert way["proxy"].ssl_context is not None
    assert way["proxy"].ssl_context.cert_store_stats()["x509"] >= 0
    assert network(proxy="https://proxy.example:3129")._way(origin("b.example"), httpx)["proxy"].ssl_context is (
        way["proxy"].ssl_context
    )


def test_a_socks_proxy_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would raise an ImportError in the middle of a call."""
    import ssl
    import sys

    monkeypatch.setitem(sys.modules, "socksio", None)
    stated = network(proxy="socks5://proxy.example:1080")
    context = ssl.create_default_context()
    kinds: tuple[Any, ...] = (httpx.AsyncHTTPTransport, httpx.HTTPTransport)
    for kind in kinds:
        with pytest.raises(ConfigurationError, match=r"httpx\[socks\]"):
            stated.new_transport(kind, origin("api.example"), context, {})
