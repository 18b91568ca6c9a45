"""The modules that `import seic`, a client's names and a first call load; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: The import of a program with a client.
NAMES = "from seic import SEI_GATEWAY, AsyncClient, ClientCertificate, ClientCredentials, Config, Hosts"
#: A first call, on transports in memory.
CALL = """
import httpx, asyncio
from seic import OAUTH2, AsyncClient, Client, ClientCredentials, Config, Hosts
def answer(request):
    token = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}
    return httpx.Response(200, json=token)
transport = httpx.MockTransport(answer)
hosts = Hosts(api="https://api.example")
config = Config(provider=OAUTH2, hosts=hosts, client_id="c", client_secret="s", grant=ClientCredentials())
with Client(config, transport=transport) as client:
    assert client.get("/").status_code == 200
async def main():
    async with AsyncClient(config, transport=transport) as client:
        assert (await client.get("/")).status_code == 200
asyncio.run(main())
"""
#: Loaded only by a program that uses them.
_SELDOM = {
    "cryptography": "reading a client certificate, or authorities in a form other than PEM",
    "truststore": "the trust of macOS and Windows",
    "tomllib": "a TOML file",
    "difflib": "a misspelled variable",
    "pyexpat": "a SAML document",
    "uuid": "a JWT or a device login",
    "html": "an error page",
    "httpx2": "the program's own import",
    "joserfc": "a signed JWT",
    "seic._settings": "variables and files",
    "seic._discovery": "an issuer's metadata",
    "seic._oauth.metadata": "the same",
    "seic._oauth.error_codes": "an error of the provider",
    "seic._tls.diagnose": "a failed handshake",
    "seic._network.connect_errors": "a failed connection",
    "seic._x509.private_key": "reading a certificate",
    "seic._x509.certificate_fields": "the same",
    "seic._x509.memory": "the same",
    "seic._setting_names": "variables and files, and errors of files",
    "seic._oauth.challenges": "an error of the API",
    "seic._model.extension_grants": "such a grant",
    "seic._model.login_grants": "such a grant",
    "seic._device_login": "a device login",
    "seic._api.dpop_signer": "a DPoP key",
    "seic._oauth.introspection": "a description of the token",
    "seic._stores.file_store": "a store",
}
#: Loaded with the first client only.
_LATE = {
    "asyncio": "the program's own import, or the first blocking call",
    "httpcore": "the first transport, as in httpx",
    "h11": "the same",
    "anyio": "the first wait",
    "seic._pool": "the same",
    "seic._tokens.refresh": "the first auth",
    "seic._tokens.endpoint": "the same",
}


def loaded_by(program: str) -> set[str]:
    """Return the modules that a program loads, apart from those of Python's start."""
    script = f"import sys\nbefore = {{*sys.modules}}\n{program}\nprint(*({{*sys.modules}} - before))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, cwd="/"
    )
    return set(done.stdout.split()) - {"__future__"}


@pytest.fixture(scope="module")
def of_httpx() -> set[str]:
    """Return what httpx loads, which depends on the packages that are installed: its command loads rich and click."""
    return loaded_by("import httpx")


def test_a_bare_import_loads_nothing_else() -> None:
    """Neither httpx nor attrs, nor any other module of seic."""
    assert loaded_by("import seic") == {"seic"}


def test_the_names_of_a_client_load_what_their_types_need(of_httpx: set[str]) -> None:
    """The rest follows with the first client."""
    loaded = loaded_by(NAMES)
    assert {"httpx", "attrs"} <= loaded
    assert (loaded - of_httpx) & {*_SELDOM, *_LATE} == set()


def test_a_first_call_loads_nothing_that_is_needed_seldom(of_httpx: set[str]) -> None:
    """A token request and a call, async and blocking, on transports in memory."""
    assert (loaded_by(CALL) - of_httpx) & set(_SELDOM) == set()


@pytest.mark.parametrize("name", ["events", "Token", "SeicError", "Retry", "DPoP"])
def test_a_name_does_not_load_a_client(name: str, of_httpx: set[str]) -> None:
    """Other code may only need an error or a value."""
    loaded = loaded_by(f"from seic import {name}") - of_httpx
    assert loaded & {*_SELDOM, *_LATE, "seic._client", "seic._auth"} == set()
