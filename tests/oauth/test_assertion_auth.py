"""Client authentication with a signed JWT or a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import attrs
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey

import seic
from seic import ClientSecretJwt, PrivateKeyJwt, SelfSignedTlsClientAuth, TlsClientAuth
from tests._support import identities
from tests._support.jwts import EC_KEY, parts, pem
from tests._support.token_calls import Endpoints, config_of, reply, revoke, token_info, token_request

NOW = 1_700_000_000.5
TOKEN_URL = "https://idp.example/token"
SECRET = "a-secret-that-is-long-enough-for-a-hash"
HOSTS = seic.Hosts(api="idp.example", mtls="mtls.idp.example")


def provider(method: Any, **changes: Any) -> seic.Provider:
    """Return a provider with a method of client authentication."""
    return seic.Provider(
        token_url=TOKEN_URL,
        revocation_url="/revoke",
        introspection_url="/introspect",
        client_authentication=method,
        **changes,
    )


def form_of(method: Any, *, certificate: Any = None, **changes: Any) -> dict[str, str]:
    """Return the form of a token request."""
    config = config_of(
        provider(method, **changes),
        hosts=HOSTS,
        client_id="client-1",
        client_secret=SECRET,
        grant=seic.ClientCredentials(),
        certificate=certificate,
    )
    request = token_request(config, wall=NOW)
    assert "Authorization" not in request.headers
    assert SECRET not in request.content.decode()
    return dict(parse_qsl(request.content.decode()))


@pytest.mark.parametrize("method", [PrivateKeyJwt(key=pem(EC_KEY)), ClientSecretJwt()], ids=["key", "secret"])
def test_a_signed_proof(method: Any) -> None:
    """Expect the claims of RFC 7523 §3, a lifetime of a minute, a unique id, and no other credentials."""
    form = form_of(method)
    _, claims, _, _ = parts(form.pop("client_assertion"))
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert claims.pop("jti") != parts(form_of(method)["client_assertion"])[1]["jti"]
    assert claims == {
        "iss": "client-1",
        "sub": "client-1",
        "aud": TOKEN_URL,
        "iat": 1_700_000_000,
        "exp": 1_700_000_060,
    }


@pytest.mark.parametrize(
    ("method", "changes", "audience"),
    [
        (ClientSecretJwt(), {}, TOKEN_URL),
        (ClientSecretJwt(), {"issuer": "https://idp.example"}, "https://idp.example"),
        (ClientSecretJwt(audience="urn:else"), {"issuer": "https://idp.example"}, "urn:else"),
        (PrivateKeyJwt(key=pem(EC_KEY), audience="urn:else"), {}, "urn:else"),
    ],
)
def test_for_whom_a_proof_is(method: Any, changes: dict[str, str], audience: str) -> None:
    """Expect the user's audience, else the issuer, else the token endpoint."""
    assert parts(form_of(method, **changes)["client_assertion"])[1]["aud"] == audience


def test_the_audience_stays_the_same_at_other_endpoints() -> None:
    """Expect the audience of a revocation and an introspection to be the provider, not that endpoint."""
    config = config_of(provider(ClientSecretJwt()), hosts=HOSTS, client_secret=SECRET, grant=seic.ClientCredentials())
    for request in (*revoke(config), token_info(config, reply({"active": True}))[1]):
        form = dict(parse_qsl(request.content.decode()))
        assert parts(form["client_assertion"])[1]["aud"] == TOKEN_URL


def test_the_key_and_its_name() -> None:
    """Expect the key's own algorithm, its `kid`, and a valid signature."""
    form = form_of(PrivateKeyJwt(key=pem(EC_KEY), key_id="key-1"))
    header, _, signature, signed = parts(form["client_assertion"])
    assert header == {"typ": "JWT", "kid": "key-1", "alg": "ES256"}
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    EC_KEY.public_key().verify(der, signed, ec.ECDSA(SHA256()))


def test_the_certificates_key() -> None:
    """Expect the client certificate's key to sign, and its thumbprint in the header."""
    certificate = identities.certificate()
    header, _, signature, signed = parts(form_of(PrivateKeyJwt(), certificate=certificate)["client_assertion"])
    assert header["x5t#S256"] == certificate.x5t_s256
    key: Any = load_der_private_key(certificate.reveal_key(), None)
    if header["alg"] == "RS256":
        key.public_key().verify(signature, signed, padding.PKCS1v15(), SHA256())
    else:
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        key.public_key().verify(der, signed, ec.ECDSA(SHA256()))


def test_a_key_of_its_own_has_no_thumbprint() -> None:
    """Expect no thumbprint of the certificate if another key signs."""
    form = form_of(PrivateKeyJwt(key=pem(EC_KEY)), certificate=identities.certificate())
    assert "x5t#S256" not in parts(form["client_assertion"])[0]


def test_an_assertion_is_a_secret() -> None:
    """Expect no error to repeat it if the server echoes the request."""

    def echo(request: httpx.Request) -> httpx.Response:
        assertion = dict(parse_qsl(request.content.decode()))["client_assertion"]
        return httpx.Response(400, json={"error": "invalid_client", "error_description": f"bad {assertion}"})

    config = config_of(provider(ClientSecretJwt()), hosts=HOSTS, client_secret=SECRET, grant=seic.ClientCredentials())
    with pytest.raises(seic.TokenRequestRefused) as caught:
        seic.OAuth2Auth(config, transport=httpx.MockTransport(echo)).token_sync()
    assert caught.value.description == "bad ***"


@pytest.mark.parametrize(
    ("method", "secret", "field"),
    [
        pytest.param(PrivateKeyJwt(), None, "provider.client_authentication", id="no key"),
        pytest.param(PrivateKeyJwt(key="no.pem"), None, "provider.client_authentication.key", id="no file"),
        pytest.param(ClientSecretJwt(), None, "client_secret", id="no secret"),
        pytest.param(ClientSecretJwt(), "short", "client_secret", id="short secret"),
        pytest.param(TlsClientAuth(), SECRET, "certificate", id="no certificate"),
        pytest.param(SelfSignedTlsClientAuth(), SECRET, "certificate", id="no self-signed certificate"),
    ],
)
def test_what_is_missing_is_found_when_the_configuration_is_made(method: Any, secret: str | None, field: str) -> None:
    """Expect an error instead of another method, before anything is sent."""
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config(
            provider=provider(method),
            hosts=seic.Hosts(api="idp.example"),
            client_id="client-1",
            client_secret=secret,
            grant=seic.ClientCredentials(),
        )
    assert caught.value.field == field


@pytest.mark.parametrize("method", [TlsClientAuth(), SelfSignedTlsClientAuth()], ids=["authority", "self-signed"])
def test_a_certificate_as_the_proof(method: Any) -> None:
    """Expect the id alone in the form (RFC 8705 §2), although there is a secret."""
    form = form_of(method, certificate=identities.certificate())
    assert form == {"grant_type": "client_credentials", "client_id": "client-1"}


ALIASES = {
    "token_endpoint": "https://mtls.idp.example/token",
    "revocation_endpoint": "https://mtls.idp.example/revoke",
    "introspection_endpoint": "https://mtls.idp.example/introspect",
    "device_authorization_endpoint": "https://mtls.idp.example/device",
}


def settings(method: Any, *, certificate: bool, aliases: dict[str, str]) -> seic.Config:
    """Return the configuration of a client at a provider with aliases."""
    return seic.Config(
        provider=attrs.evolve(
            provider(method, mtls_endpoint_aliases=aliases),
            token_url=TOKEN_URL,
            revocation_url="https://idp.example/revoke",
            introspection_url="https://idp.example/introspect",
            device_authorization_url="https://idp.example/device",
        ),
        hosts=seic.Hosts(api="api.example", mtls="mtls.api.example"),
        client_id="client-1",
        client_secret=SECRET,
        grant=seic.ClientCredentials(),
        certificate=identities.certificate() if certificate else None,
    )


METHODS = [
    pytest.param(TlsClientAuth(), id="certificate"),
    pytest.param(seic.ClientSecretBasic(), id="secret"),
    pytest.param(seic.ClientSecretPost(), id="secret in the form"),
    pytest.param(seic.PrivateKeyJwt(key=pem(EC_KEY)), id="signature"),
    pytest.param(seic.ClientIdOnly(), id="id alone"),
]


def url_of(endpoint: str, config: seic.Config) -> str:
    """Return the URL of a request to one of the provider's endpoints."""
    if endpoint == "revocation_endpoint":
        request = revoke(config)[0]
    elif endpoint == "introspection_endpoint":
        request = token_info(config, reply({"active": True}))[1]
    else:
        document = {"device_code": "d", "user_code": "u", "verification_uri": "https://idp.example/device"}
        endpoints = Endpoints(config, reply(document))
        seic.DeviceLogin.begin_sync(attrs.evolve(config, grant=seic.DeviceCode()), transport=endpoints)
        request = endpoints.requests[0]
    return str(request.url)


@pytest.mark.parametrize("method", METHODS)
def test_the_mutual_tls_aliases(method: Any) -> None:
    """Expect a client with a certificate to use the aliases (RFC 8705 §5), however it proves itself."""
    config = settings(method, certificate=True, aliases=ALIASES)
    assert config.token_url == ALIASES["token_endpoint"]
    for name in ALIASES.keys() - {"token_endpoint"}:
        assert url_of(name, config) == ALIASES[name]


def test_a_client_without_a_certificate_stays_at_the_usual_endpoint() -> None:
    """Expect the aliases not to be used."""
    assert settings(seic.ClientSecretBasic(), certificate=False, aliases=ALIASES).token_url == TOKEN_URL


def test_aliases_without_a_token_endpoint() -> None:
    """Expect an error and no fallback: its tokens would not be bound to the certificate."""
    with pytest.raises(seic.ConfigurationError) as caught:
        settings(seic.ClientSecretBasic(), certificate=True, aliases={"revocation_endpoint": "https://a.example/r"})
    assert caught.value.field == "provider.mtls_endpoint_aliases"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", sorted(ALIASES.keys() - {"token_endpoint"}))
def test_aliases_without_another_endpoint(method: Any, missing: str) -> None:
    """Expect an error that names it with any client authentication: there is no fallback to the usual endpoint."""
    aliases = {name: url for name, url in ALIASES.items() if name != missing}
    config = settings(method, certificate=True, aliases=aliases)
    with pytest.raises(seic.ConfigurationError, match=missing) as caught:
        url_of(missing, config)
    assert caught.value.field == "provider.mtls_endpoint_aliases"


def test_an_alias_that_is_the_usual_endpoint() -> None:
    """Expect it to be used if the user sets it."""
    aliases = {**ALIASES, "revocation_endpoint": "https://idp.example/revoke"}
    config = settings(seic.ClientSecretBasic(), certificate=True, aliases=aliases)
    assert url_of("revocation_endpoint", config) == "https://idp.example/revoke"


def test_a_path_and_an_alias() -> None:
    """Expect an endpoint that is a path to be on the host of the token endpoint's alias, without its own alias."""
    aliases = {"token_endpoint": ALIASES["token_endpoint"]}
    config = settings(seic.ClientSecretBasic(), certificate=True, aliases=aliases)
    provider_with_path = attrs.evolve(config.provider, revocation_url="/end")
    assert (
        url_of("revocation_endpoint", attrs.evolve(config, provider=provider_with_path))
        == "https://mtls.idp.example/end"
    )
    aliased = attrs.evolve(config, provider=attrs.evolve(provider_with_path, mtls_endpoint_aliases=ALIASES))
    assert url_of("revocation_endpoint", aliased) == ALIASES["revocation_endpoint"]


def test_an_alias_has_to_be_https() -> None:
    """Expect it to be checked as every URL of a provider is."""
    with pytest.raises(seic.ConfigurationError) as caught:
        provider(None, mtls_endpoint_aliases={"token_endpoint": "http://idp.example/token"})
    assert caught.value.field == "provider.mtls_endpoint_aliases['token_endpoint']"


def test_methods_keep_their_keys() -> None:
    """Expect neither key nor passphrase in a repr, and no pickle."""
    method = PrivateKeyJwt(key=pem(EC_KEY, "pass-phrase"), password="pass-phrase")
    assert "BEGIN" not in repr(method)
    assert "pass-phrase" not in repr(method)


def test_a_key_in_a_file_is_followed(tmp_path: Path) -> None:
    """A new key signs the next request; one that is half written leaves the last one in use."""
    file = tmp_path / "key.pem"
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(pem(first))
    method = PrivateKeyJwt(key=file)

    def is_signed_by(key: ec.EllipticCurvePrivateKey) -> bool:
        try:
            jwt.decode(form_of(method)["client_assertion"], ECKey.import_key(pem(key)))
        except BadSignatureError:
            return False
        return True

    assert is_signed_by(first)
    file.write_bytes(pem(second)[:40])
    assert is_signed_by(first)
    file.write_bytes(pem(second))
    assert is_signed_by(second)
    assert not is_signed_by(first)
    file.unlink()
    assert is_signed_by(second)
