"""Plain httpx against the sandbox: what a client without the SDK has to do by itself."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from seic.sandbox import IssuedCertificate, Sandbox

TOKEN_PATH = "/v2/oauthtoken"
ECHO_PATH = "/v1/echo"
ACCOUNTS_PATH = "/v1/investments/accounts"


def client_context(ca_pem: bytes, certificate: IssuedCertificate | None = None) -> ssl.SSLContext:
    """Trust one CA, and present a certificate where there is one."""
    context = ssl.create_default_context(cadata=ca_pem.decode())
    if certificate is not None:
        load_pair(context, certificate)
    return context


def load_pair(context: ssl.SSLContext, certificate: IssuedCertificate) -> None:
    """Have a context present a certificate; the ssl module reads it from a file only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pair.pem")
        path.write_bytes(certificate.key_pem + certificate.cert_pem)
        context.load_cert_chain(path)


def api_client(sandbox: Sandbox) -> httpx.Client:
    """A client of the host that asks for no certificate."""
    return httpx.Client(base_url=sandbox.api_url, verify=client_context(sandbox.ca_pem))


def mtls_client(sandbox: Sandbox, certificate: IssuedCertificate | None = None) -> httpx.Client:
    """A client of the host that demands one; the service account's own by default."""
    context = client_context(sandbox.ca_pem, certificate or sandbox.issue_certificate())
    return httpx.Client(base_url=sandbox.mtls_url, verify=context)


def basic(user: str, password: str) -> str:
    """The header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def token_headers(sandbox: Sandbox) -> dict[str, str]:
    """The headers that a token call needs."""
    return {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}


def token_form(sandbox: Sandbox) -> dict[str, str]:
    """The form of `client_credentials`."""
    return {"grant_type": "client_credentials", "username": sandbox.username, "password": sandbox.password}


def ask_token(client: httpx.Client, sandbox: Sandbox, form: Mapping[str, Any] | None = None) -> httpx.Response:
    """Ask for a token, or send another form with the right headers."""
    return client.post(TOKEN_PATH, headers=token_headers(sandbox), data=form or token_form(sandbox))


def get_token(client: httpx.Client, sandbox: Sandbox) -> str:
    """Ask for a token and return it."""
    reply = ask_token(client, sandbox)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access_token"])


def api_headers(sandbox: Sandbox, token: str) -> dict[str, str]:
    """The headers that an API call needs."""
    return {"AppKey": sandbox.client_id, "Authorization": f"Bearer {token}"}


def call(client: httpx.Client, sandbox: Sandbox, token: str, path: str = ECHO_PATH) -> httpx.Response:
    """Make an API call with a token."""
    return client.get(path, headers=api_headers(sandbox, token))


def assert_refused(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Demand the gateway's error form with this status and code, and return it."""
    assert reply.status_code == status, reply.text
    form: dict[str, Any] = reply.json()
    assert list(form) == ["code", "message", "trackingId", "transient", "errors"]
    assert form["code"] == code
    assert form["trackingId"] == reply.headers["requesttrackingid"]
    assert form["transient"] in ("true", "false")
    assert all(list(entry) == ["field", "location", "reason"] for entry in form["errors"])
    return form
