"""Each client authentication, DPoP and resource indicators of oidc-provider, with its issuer as the only address.

The file's name keeps it out of the test suite, since it needs npm.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

import seic
from seic.sandbox import CertificateAuthority
from tests._support.jwts import EC_KEY, parts, pem

_SECRET = "a+secret with %41 that is long enough"
_API = "https://api.example/"


def _key(public_key: Any, **members: Any) -> dict[str, Any]:
    text = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {**ECKey.import_key(text).as_dict(private=False), **members}


def _client(name: str, method: str, **facts: Any) -> dict[str, Any]:
    grants = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [], "scope": "read write"}
    return {"client_id": name, "token_endpoint_auth_method": method, **grants, **facts}


@attrs.frozen(kw_only=True)
class _Site:
    issuer: str
    variables: dict[str, str]
    pair: str

    def environ(self, **variables: str) -> dict[str, str]:
        """Return the variables of a client."""
        return {f"SEIC_{name}": text for name, text in {**self.variables, **variables}.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Site]:
    """Run the server, with a registered client of each kind."""
    folder = tmp_path_factory.mktemp("oidc")
    authority = CertificateAuthority("Clients CA")
    server = authority.issue("localhost", sans=("localhost",), client=False, server=True)
    client = authority.issue("svc-user")
    certificate = x509.load_pem_x509_certificate(client.cert_pem)
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    signing = {"keys": [_key(EC_KEY.public_key(), kid="key-1", use="sig", alg="ES256")]}
    clients = [
        _client("basic", "client_secret_basic", client_secret=_SECRET),
        _client("post", "client_secret_post", client_secret=_SECRET),
        _client("hmac", "client_secret_jwt", client_secret=_SECRET),
        _client("key", "private_key_jwt", jwks=signing),
        _client("tls", "tls_client_auth", tls_client_auth_subject_dn="CN=svc-user"),
        _client(
            "self-signed", "self_signed_tls_client_auth", jwks={"keys": [_key(certificate.public_key(), x5c=chain)]}
        ),
        _client("bound", "client_secret_basic", client_secret=_SECRET, tls_client_certificate_bound_access_tokens=True),
        _client("dpop", "client_secret_basic", client_secret=_SECRET, dpop_bound_access_tokens=True),
    ]
    files = {"ca.pem": authority.cert_pem, "server.pem": server.cert_pem, "server.key": server.key_pem}
    for name, content in {**files, "clients.json": json.dumps(clients).encode()}.items():
        (folder / name).write_bytes(content)
    node = shutil.which("node") or pytest.fail("node is missing")
    script = Path(__file__).with_name("server.mjs")
    command = [node, str(script), os.environ["OIDC_PROVIDER_MODULES"], str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            issuer = next(line for line in process.stdout if line.startswith("https://")).strip()
            variables = {"ISSUER": issuer, "API_HOST": issuer, "MTLS_HOST": issuer, "SCOPE": "read"}
            variables["CA"] = authority.cert_pem.decode()
            yield _Site(issuer=issuer, variables=variables, pair=(client.cert_pem + client.key_pem).decode())
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("client_id", "method", "certificate"),
    [
        ("basic", "client_secret_basic", False),
        ("basic", "", False),
        ("post", "client_secret_post", False),
        ("hmac", "client_secret_jwt", False),
        ("key", "private_key_jwt", False),
        ("tls", "tls_client_auth", True),
        ("self-signed", "self_signed_tls_client_auth", True),
        ("bound", "client_secret_basic", True),
    ],
)
async def test_each_client_authentication(site: _Site, client_id: str, method: str, certificate: bool) -> None:
    """A call, an introspection and a revocation with an opaque token; then a JWT for a resource, bound or not."""
    further = {"CLIENT_SECRET": _SECRET}
    if client_id == "key":
        further = {"CLIENT_KEY": pem(EC_KEY).decode(), "CLIENT_KEY_ID": "key-1"}
    elif client_id in ("tls", "self-signed"):
        further = {}
    if certificate:
        further["CERTIFICATE"] = site.pair
    environ = site.environ(CLIENT_ID=client_id, CLIENT_AUTH=method, **further)
    async with seic.AsyncClient.from_env(environ) as client:
        assert (await client.get("/api")).json() == {"scheme": "Bearer", "has_proof": False}
        assert (await client.token_info()).active
        first = await client.token()
        await client.revoke()
        assert (await client.token()).access_token != first.access_token
    async with seic.AsyncClient.from_env({**environ, "SEIC_RESOURCE": _API}) as client:
        claims = parts((await client.token()).access_token)[1]
    assert (claims["aud"], claims["scope"], claims["client_id"]) == (_API, "read", client_id)
    assert ("x5t#S256" in claims.get("cnf", {})) is (client_id == "bound")


async def test_proofs(site: _Site) -> None:
    """The token is bound to the key of `dpop`, which code passes."""
    environ = site.environ(CLIENT_ID="dpop", CLIENT_SECRET=_SECRET, RESOURCE=_API)
    key = seic.DPoP()
    async with seic.AsyncClient.from_env(environ, dpop=key) as client:
        assert (await client.get("/api")).json() == {"scheme": "DPoP", "has_proof": True}
        assert parts((await client.token()).access_token)[1]["cnf"] == {"jkt": key.thumbprint}


async def test_each_request_has_its_scope(site: _Site) -> None:
    """Another scope and resource under the same identity."""
    environ = site.environ(CLIENT_ID="basic", CLIENT_SECRET=_SECRET)
    async with seic.AsyncClient.from_env(environ) as client:
        reply = await client.get("/api", extensions={"seic.scope": "write", "seic.resource": _API})
        claims = parts(reply.request.headers["Authorization"].split()[1])[1]
    assert (claims["aud"], claims["scope"]) == (_API, "write")


def test_a_refusal_names_the_variables(site: _Site) -> None:
    """In the words of the server and of the user's own settings."""
    environ = site.environ(CLIENT_ID="basic", CLIENT_SECRET="wrong")
    with (
        seic.Client.from_env(environ) as client,
        pytest.raises(seic.TokenRequestRefused, match=r"invalid_client.*check SEIC_CLIENT_ID and SEIC_CLIENT_SECRET,"),
    ):
        client.token()
