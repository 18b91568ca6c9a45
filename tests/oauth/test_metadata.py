"""Authorization server metadata."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import (
    OAUTH2,
    ClientIdOnly,
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    InvalidTokenResponse,
    PrivateKeyJwt,
    Provider,
    TlsClientAuth,
    discover_sync,
)

ISSUER = "https://idp.example/tenant"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "token_endpoint": "https://idp.example/token",
    "authorization_endpoint": "https://login.example/authorize",
    "revocation_endpoint": "https://idp.example/revoke",
    "introspection_endpoint": "https://idp.example/introspect",
    "device_authorization_endpoint": "https://idp.example/device",
    "grant_types_supported": ["client_credentials", "refresh_token"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.idp.example/token", "userinfo_endpoint": 1},
    "tls_client_certificate_bound_access_tokens": True,
    "jwks_uri": "https://idp.example/keys",
}


class OwnMethod(ClientSecretBasic):
    """A user's own client authentication."""


def read(document: Any, *, issuer: str = ISSUER, **options: Any) -> Provider:
    """Discover an issuer that publishes this document."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    return discover_sync(issuer, transport=transport, **options)


def urls(issuer: str, **options: Any) -> list[str]:
    """Return the URLs at which the metadata of an issuer is requested."""
    requested: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        url = request.url
        requested.append(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}")
        return httpx.Response(404)

    with pytest.raises(ConfigurationError, match="has no metadata"):
        discover_sync(issuer, transport=httpx.MockTransport(answer), **options)
    return requested


def test_a_whole_document() -> None:
    """Expect each of its endpoints, grants and methods, and the aliases."""
    assert read(DOCUMENT) == Provider(
        name="idp.example",
        issuer=ISSUER,
        token_url="https://idp.example/token",
        authorize_url="https://login.example/authorize",
        revocation_url="https://idp.example/revoke",
        introspection_url="https://idp.example/introspect",
        device_authorization_url="https://idp.example/device",
        grants=frozenset({"client_credentials", "refresh_token"}),
        client_authentication=ClientSecretPost(),
        mtls_endpoint_aliases={"token_endpoint": "https://mtls.idp.example/token"},
        certificate_bound_tokens=True,
    )


def test_the_least_document() -> None:
    """Expect the RFC's default, Basic, and every grant to be allowed if the document has no lists."""
    provider = read({"issuer": ISSUER, "token_endpoint": "https://idp.example/token"})
    assert (provider.client_authentication, provider.grants) == (None, None)
    assert (provider.mtls_endpoint_aliases, provider.certificate_bound_tokens) == ({}, False)


def test_a_list_of_grants_says_nothing_of_refresh_tokens() -> None:
    """Expect refresh tokens to be used although the list does not name them."""
    provider = read({**DOCUMENT, "grant_types_supported": ["authorization_code"]})
    assert provider.grants == frozenset({"authorization_code", "refresh_token"})


def test_the_settings_of_a_base() -> None:
    """Expect settings that metadata does not have to come from the base."""
    base = attrs.evolve(OAUTH2, tracking_header="x-request-id", client_authentication=ClientSecretPost())
    provider = read(DOCUMENT, base=base)
    assert (provider.tracking_header, provider.name) == ("x-request-id", OAUTH2.name)
    assert provider.token_url == "https://idp.example/token"
    assert provider.client_authentication is base.client_authentication


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["client_secret_post", "client_secret_basic"], ClientSecretBasic()),
        (["tls_client_auth", "client_secret_post"], ClientSecretPost()),
        (["private_key_jwt", "tls_client_auth"], TlsClientAuth()),
        (["private_key_jwt"], PrivateKeyJwt()),
        (["none"], ClientIdOnly()),
        (["something_new", "private_key_jwt"], PrivateKeyJwt()),
    ],
)
def test_a_method_that_is_offered(offered: list[str], taken: object) -> None:
    """Expect the most common of the supported methods."""
    document = {**DOCUMENT, "token_endpoint_auth_methods_supported": offered}
    assert read(document).client_authentication == taken


@pytest.mark.parametrize(("offered", "named"), [(["something_new", "another"], "something_new, another"), ([], "none")])
def test_methods_that_nobody_here_speaks(offered: list[str], named: str) -> None:
    """Expect an error with the offered and the supported methods, and no fallback to Basic."""
    document = {**DOCUMENT, "token_endpoint_auth_methods_supported": offered}
    with pytest.raises(
        ConfigurationError, match=f"offers {named}, .* client_secret_basic, .* private_key_jwt"
    ) as caught:
        read(document)
    assert caught.value.field == "client_authentication"
    assert read(document, client_authentication=OwnMethod()).client_authentication == OwnMethod()


def test_a_method_that_is_set() -> None:
    """Expect it if it is offered, and otherwise an error with the offered methods."""
    assert read(DOCUMENT, client_authentication=PrivateKeyJwt(key_id="k")).client_authentication == PrivateKeyJwt(
        key_id="k"
    )
    with pytest.raises(ConfigurationError, match="private_key_jwt, client_secret_post") as caught:
        read(DOCUMENT, client_authentication=TlsClientAuth())
    assert caught.value.field == "client_authentication"


@pytest.mark.parametrize("member", ["revocation_endpoint", "introspection_endpoint", "device_authorization_endpoint"])
def test_an_empty_endpoint(member: str) -> None:
    """An empty string counts as missing."""
    assert read({**DOCUMENT, member: ""}) == read({**DOCUMENT, member: None})


def test_a_byte_order_mark() -> None:
    """A document with one is read (RFC 8259 §8.1)."""
    assert read(json.dumps(DOCUMENT).encode("utf-8-sig")) == read(DOCUMENT)


@pytest.mark.parametrize(
    "said", ["https://idp.example/tenant/", "https://idp.example", "https://IDP.example/tenant", "", None, 1]
)
def test_another_issuer(said: object) -> None:
    """Expect an exact match to be required (RFC 8414 §3.3), with a slash at the end."""
    with pytest.raises(InvalidTokenResponse, match="issuer must be exactly"):
        read({**DOCUMENT, "issuer": said})


@pytest.mark.parametrize(
    ("member", "value"),
    [
        pytest.param("token_endpoint", None, id="missing"),
        pytest.param("token_endpoint", 1, id="number"),
        pytest.param("token_endpoint", "", id="empty"),
        pytest.param("token_endpoint", "/token", id="path"),
        pytest.param("token_endpoint", "http://idp.example/token", id="http"),
        pytest.param("token_endpoint", "ftp://idp.example/token", id="another scheme"),
        pytest.param("token_endpoint", "https://user:secret@idp.example/token", id="with a password"),
        pytest.param("token_endpoint", "https://idp.example/token#x", id="fragment"),
        pytest.param("token_endpoint", "https://127.0.0.1/token", id="loopback"),
        pytest.param("token_endpoint", "https://localhost/token", id="this machine"),
        pytest.param("token_endpoint", "https://10.0.0.1/token", id="behind the firewall"),
        pytest.param("token_endpoint", "https://[::1]/token", id="IPv6 loopback"),
        pytest.param("token_endpoint", "https://127.1/token", id="loopback in short"),
        pytest.param("token_endpoint", "https://2130706433/token", id="loopback as a number"),
        pytest.param("token_endpoint", "https://0x7f.0.0.1/token", id="loopback in hexadecimal"),
        pytest.param("token_endpoint", "https://0x7F000001/token", id="loopback as a hexadecimal number"),
        pytest.param("token_endpoint", "https://[::ffff:127.0.0.1]/token", id="loopback in IPv6"),
        pytest.param("token_endpoint", "https://localhost./token", id="this machine with a dot"),
        pytest.param("token_endpoint", "https://LOCALHOST/token", id="this machine in capitals"),
        pytest.param("token_endpoint", "https://x.localhost/token", id="below this machine"),
        pytest.param("token_endpoint", "https://169.254.169.254/latest", id="a cloud's own"),
        pytest.param("token_endpoint", f"https://idp.example/{'x' * 65500}", id="too long"),
        pytest.param("revocation_endpoint", "http://idp.example/revoke", id="revocation"),
        pytest.param("introspection_endpoint", ["https://idp.example"], id="introspection"),
        pytest.param("mtls_endpoint_aliases", "https://idp.example", id="aliases"),
        pytest.param("mtls_endpoint_aliases", {"token_endpoint": "http://idp.example/t"}, id="an alias"),
        pytest.param("grant_types_supported", {"a": 1}, id="grants"),
        pytest.param("token_endpoint_auth_methods_supported", [1], id="methods"),
        pytest.param("code_challenge_methods_supported", 256, id="challenges"),
        pytest.param("authorization_response_iss_parameter_supported", "1", id="issuer in the callback"),
        pytest.param("tls_client_certificate_bound_access_tokens", "yes", id="bound"),
    ],
)
def test_a_member_that_cannot_be_meant(member: str, value: object) -> None:
    """Expect an error that names it, and no password in it."""
    with pytest.raises(InvalidTokenResponse) as caught:
        read({**DOCUMENT, member: value})
    assert member in caught.value.problem
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::10.1.2.3]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2606:4700::5efe:127.0.0.1]",
        "[2606:4700::200:5efe:10.0.0.1]",
        "[fec0::1]",
        "[ff0e::1]",
        "[fd00:ec2::254]",
        "[5f00::1]",
        "192.0.0.192",
        "168.63.129.16",
        "192.88.99.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",  # noqa: S104 - a host to refuse, not to bind
        "127.0.0.1.",
        "localhost.localdomain",
        "ip6-loopback",
    ],
)
def test_a_private_address_in_disguise(host: str) -> None:
    """Metadata of a public issuer must not name one, in any endpoint; metadata of a private issuer may."""
    for document in (
        {**DOCUMENT, "token_endpoint": f"https://{host}/token"},
        {**DOCUMENT, "mtls_endpoint_aliases": {"token_endpoint": f"https://{host}/token"}},
    ):
        with pytest.raises(InvalidTokenResponse, match="is not a public address, but the issuer has one"):
            read(document)

    inside = {"issuer": "https://10.0.0.1", "token_endpoint": f"https://{host}/token"}
    assert read(inside, issuer="https://10.0.0.1").token_url == f"https://{host}/token"


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "[2606:4700::1]",
        "[64:ff9b::8.8.8.8]",
        "[2002:808:808::1]",
        "[::ffff:8.8.8.8]",
        "192.0.1.1",
        "a.local",
    ],
)
def test_a_public_address_in_another_notation(host: str) -> None:
    """It may be named: NAT64 and 6to4 carry public addresses, too."""
    assert read({**DOCUMENT, "token_endpoint": f"https://{host}/token"}).token_url == f"https://{host}/token"


@pytest.mark.parametrize("length", [16500, 65500, 65536, 70000])
def test_an_issuer_of_64_kib(length: int) -> None:
    """Expect an error of seic, not of httpx, whose URLs have a limit of 64 KiB; so for a provider's own URLs."""
    url = f"https://idp.example/{'x' * length}"
    for refused in (
        functools.partial(discover_sync, url, transport=httpx.MockTransport(lambda _: httpx.Response(404))),
        functools.partial(Provider, token_url=url),
        functools.partial(Provider, token_url="/token", revocation_url=url[len("https://idp.example") :]),
    ):
        with pytest.raises(ConfigurationError, match="must not be longer than 16384 characters"):
            refused()


_HERE = ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]


@pytest.mark.parametrize("issuer", _HERE)
def test_an_issuer_on_this_machine(issuer: str) -> None:
    """Expect loopback endpoints to be allowed, and http only if it is enabled."""
    for endpoint in _HERE:
        document = {"issuer": issuer, "token_endpoint": f"{endpoint}/token"}
        assert read(document, issuer=issuer, allow_http_on_loopback=True).token_url == f"{endpoint}/token"
        with pytest.raises(ConfigurationError, match="not https"):
            read(document, issuer=issuer)
    assert urls(issuer, allow_http_on_loopback=True)[1] == f"{issuer}/.well-known/openid-configuration"


@pytest.mark.parametrize("issuer", _HERE)
def test_an_issuer_on_this_machine_in_other_words(issuer: str) -> None:
    """Expect two names of one machine to be two issuers."""
    for said in {*_HERE, f"{issuer}/", issuer.upper()} - {issuer}:
        with pytest.raises(InvalidTokenResponse, match="issuer must be exactly"):
            read({"issuer": said, "token_endpoint": f"{issuer}/token"}, issuer=issuer, allow_http_on_loopback=True)


@pytest.mark.parametrize("host", ["idp.example", "10.0.0.1", "127.1", "localhost.", "localhost.example", "192.0.2.1"])
def test_http_elsewhere(host: str) -> None:
    """Expect http to be refused for any host other than a plain loopback name or address."""
    with pytest.raises(ConfigurationError):
        read(DOCUMENT, issuer=f"http://{host}", allow_http_on_loopback=True)


@pytest.mark.parametrize("member", sorted(DOCUMENT.keys() - {"issuer", "token_endpoint"}))
def test_a_member_that_is_null(member: str) -> None:
    """Expect it to count as missing."""
    missing = {name: value for name, value in DOCUMENT.items() if name != member}
    assert read({**DOCUMENT, member: None}) == read(missing)


def test_a_host_that_cannot_be_decoded() -> None:
    """Expect an endpoint with such a host to be accepted in its ASCII form."""
    endpoint = "https://xn--0.example/token"
    assert read({"issuer": ISSUER, "token_endpoint": endpoint}).token_url == endpoint


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"issuer": 1', b"x" * (1024 * 1024 + 1)])
def test_no_document(body: bytes) -> None:
    """Expect an error, and none of the parser's."""
    with pytest.raises(InvalidTokenResponse):
        read(body)


@pytest.mark.parametrize(
    ("issuer", "rfc8414", "openid"),
    [
        (
            "https://idp.example",
            "https://idp.example/.well-known/oauth-authorization-server",
            "https://idp.example/.well-known/openid-configuration",
        ),
        (
            "https://idp.example/a/b/",
            "https://idp.example/.well-known/oauth-authorization-server/a/b",
            "https://idp.example/a/b/.well-known/openid-configuration",
        ),
        (
            "https://idp.example:8443/a",
            "https://idp.example:8443/.well-known/oauth-authorization-server/a",
            "https://idp.example:8443/a/.well-known/openid-configuration",
        ),
    ],
)
def test_the_addresses_of_metadata(issuer: str, rfc8414: str, openid: str) -> None:
    """Expect the well-known part between host and path (RFC 8414 §3.1), and behind the path (OpenID)."""
    assert urls(issuer) == [rfc8414, openid]


@pytest.mark.parametrize(
    "issuer",
    [
        "idp.example",
        "http://idp.example",
        "http://127.0.0.1",
        "https://",
        "https://idp.example?x",
        "https://idp.example/#x",
        "https://u:p@idp.example",
        "https://[x",
        "https://xn--0.example",
        "",
    ],
)
def test_no_issuer(issuer: str) -> None:
    """Expect the setting to be named."""
    with pytest.raises(ConfigurationError) as caught:
        read(DOCUMENT, issuer=issuer)
    assert caught.value.field == "issuer"


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["https://a.example", "https://xn--/", "http://[", "//"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(DOCUMENT)), _JSON))
def test_any_document_is_a_provider_or_an_error(changes: dict[str, Any]) -> None:
    """Expect no other exception for any document."""
    with contextlib.suppress(InvalidTokenResponse, ConfigurationError):
        assert read({**DOCUMENT, **changes}).issuer == ISSUER
