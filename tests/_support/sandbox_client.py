"""Plain httpx against the sandbox, without the SDK."""

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
    """Return a context that trusts one CA and has a client certificate, if there is one."""
    context = ssl.create_default_context(cadata=ca_pem.decode())
    if certificate is not None:
        load_pair(context, certificate)
    return context


def load_pair(context: ssl.SSLContext, certificate: IssuedCertificate) -> None:
    """Load a certificate into a context; the ssl module reads it only from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pair.pem")
        path.write_bytes(certificate.key_pem + certificate.cert_pem)
        context.load_cert_chain(path)


def api_client(sandbox: Sandbox) -> httpx.Client:
    """Return a client of the api host."""
    return httpx.Client(base_url=sandbox.api_url, verify=client_context(sandbox.ca_pem))


def mtls_client(sandbox: Sandbox, certificate: IssuedCertificate | None = None) -> httpx.Client:
    """Return a client of the mtls host, by default with the service account's certificate."""
    context = client_context(sandbox.ca_pem, certificate or sandbox.issue_certificate())
    return httpx.Client(base_url=sandbox.mtls_url, verify=context)


def basic(user: str, password: str) -> str:
    """Return the header of Basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def token_headers(sandbox: Sandbox) -> dict[str, str]:
    """Return the headers that a token request needs."""
    return {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}


def token_form(sandbox: Sandbox) -> dict[str, str]:
    """Return the form of `client_credentials`."""
    return {"grant_type": "client_credentials", "username": sandbox.username, "password": sandbox.password}


def ask_token(client: httpx.Client, sandbox: Sandbox, form: Mapping[str, Any] | None = None) -> httpx.Response:
    """Request a token, or send another form with the same headers."""
    return client.post(TOKEN_PATH, headers=token_headers(sandbox), data=form or token_form(sandbox))


def get_token(client: httpx.Client, sandbox: Sandbox) -> str:
    """Request a token and return it."""
    reply = ask_token(client, sandbox)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access_token"])


def api_headers(sandbox: Sandbox, token: str) -> dict[str, str]:
    """Return the headers that an API request needs."""
    return {"AppKey": sandbox.client_id, "Authorization": f"Bearer {token}"}


def call(client: httpx.Client, sandbox: Sandbox, token: str, path: str = ECHO_PATH) -> httpx.Response:
    """Send an API request with a token."""
    return client.get(path, headers=api_headers(sandbox, token))


def assert_refused(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response is an error of the gateway with this status and code; return its body."""
    assert reply.status_code == status, reply.text
    form: dict[str, Any] = reply.json()
    assert list(form) == ["code", "message", "trackingId", "transient", "errors"]
    assert form["code"] == code
    assert form["trackingId"] == reply.headers["requesttrackingid"]
    assert form["transient"] in ("true", "false")
    assert all(list(entry) == ["field", "location", "reason"] for entry in form["errors"])
    return form
