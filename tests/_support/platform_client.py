"""Plain httpx against the platform in the sandbox: token requests, and a login without a browser."""

from __future__ import annotations

import html
import re
import urllib.parse
import uuid
from collections.abc import Mapping
from typing import Any

import attrs
import httpx

from seic.sandbox import Sandbox
from tests._support.sandbox_client import api_client

TOKEN = "/v2/oauth/token"
AUTHORIZE = "/v2/oauth/authorize"
LOGIN = "/v2/oauth/login"
TOKEN_INFO = "/v2/oauth/tokeninfo"
REVOKE = "/v2/oauth/revoke"
SAML2_BEARER = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
#: The redirect URL of the tests; nothing listens there.
CALLBACK = "http://127.0.0.1:1/callback"

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def post(client: httpx.Client, sandbox: Sandbox, path: str, form: Mapping[str, str | None]) -> httpx.Response:
    """Post a form with the client's credentials; None leaves a field out."""
    fields: dict[str, str | None] = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, **form}
    return client.post(path, data={name: value for name, value in fields.items() if value is not None})


def ask(client: httpx.Client, sandbox: Sandbox, **form: str | None) -> httpx.Response:
    """Send a token request."""
    return post(client, sandbox, TOKEN, form)


def revoke(client: httpx.Client, sandbox: Sandbox, **form: str | None) -> httpx.Response:
    """Revoke a token."""
    return post(client, sandbox, REVOKE, form)


def ask_for_account(client: httpx.Client, sandbox: Sandbox, **form: str | None) -> httpx.Response:
    """Request a token by `client_credentials`."""
    credentials = {"grant_type": "client_credentials", "email": sandbox.email, "password": sandbox.password}
    return post(client, sandbox, TOKEN, {**credentials, **form})


def body_of(reply: httpx.Response) -> dict[str, Any]:
    """Return the body of a successful response."""
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def assert_refused(reply: httpx.Response, status: int, subcode: str = "") -> str:
    """Check that a response is an error of the platform with this status and subcode; return its message."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert list(reply.json()) == ["error"]
    assert {**error, "message": ""} == {"code": status, "message": "", "subcode": subcode, "errorid": ""}
    message: str = error["message"]
    return message


def call(client: httpx.Client, token: str) -> httpx.Response:
    """Send an API request with a token; the platform needs no AppKey."""
    return client.get("/v1/echo", headers={"Authorization": f"Bearer {token}"})


@attrs.frozen
class Page:
    """A login page and its form."""

    client: httpx.Client
    reply: httpx.Response
    fields: dict[str, str]

    def submit(self, **fields: str | None) -> httpx.Response:
        """Submit the form with these fields; None leaves a field out."""
        form = {"action": "log-in", **self.fields, **fields}
        return self.client.post(LOGIN, data={name: value for name, value in form.items() if value is not None})


def authorize(client: httpx.Client, sandbox: Sandbox, **parameters: str | None) -> httpx.Response:
    """Start a login; None leaves a parameter out."""
    query: dict[str, str | None] = {
        "client_id": sandbox.client_id,
        "state": str(uuid.uuid4()),
        "scope": "ilservices",
        "redirect_url": CALLBACK,
        **parameters,
    }
    return client.get(AUTHORIZE, params={name: value for name, value in query.items() if value is not None})


def open_page(client: httpx.Client, sandbox: Sandbox, **parameters: str | None) -> Page:
    """Start a login and open its page."""
    started = authorize(client, sandbox, **parameters)
    assert started.status_code == 302, started.text
    reply = client.get(started.headers["Location"])
    assert reply.status_code == 200, reply.text
    fields = {name: html.unescape(value) for name, value in _HIDDEN.findall(reply.text)}
    return Page(client, reply, fields)


def returned(reply: httpx.Response) -> dict[str, str]:
    """Return the parameters that a redirect brings to the application."""
    assert reply.status_code in (302, 303), reply.text
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(reply.headers["Location"]).query))


def log_in(client: httpx.Client, sandbox: Sandbox, **parameters: str | None) -> str:
    """Complete a login and return its code."""
    page = open_page(client, sandbox, **parameters)
    return returned(page.submit(email=sandbox.email, password=sandbox.password))["code"]


def exchange(client: httpx.Client, sandbox: Sandbox, code: str, **form: str | None) -> httpx.Response:
    """Exchange a code for a token."""
    return ask(client, sandbox, grant_type="authorization_code", code=code, **form)


def refresh(client: httpx.Client, sandbox: Sandbox, refresh_token: str, **form: str | None) -> httpx.Response:
    """Use a refresh token."""
    return ask(client, sandbox, grant_type="refresh_token", refresh_token=refresh_token, **form)


def pair_of(client: httpx.Client, sandbox: Sandbox) -> tuple[str, str]:
    """Log in; return the access token and the refresh token."""
    body = body_of(exchange(client, sandbox, log_in(client, sandbox)))
    return body["access_token"], body["refresh_token"]


def info(client: httpx.Client, sandbox: Sandbox, token: str, **query: str) -> httpx.Response:
    """Request the tokeninfo of a token."""
    params = {"client_id": sandbox.client_id, **query}
    return client.get(TOKEN_INFO, params=params, headers={"Authorization": f"Bearer {token}"})


def log_in_at(sandbox: Sandbox, authorize_url: str) -> str:
    """Log the account in without a browser, and return the address to which the browser is sent back."""
    with api_client(sandbox) as client:
        started = client.get(authorize_url)
        assert started.status_code == 302, started.text
        reply = client.get(started.headers["Location"])
        fields = {name: html.unescape(value) for name, value in _HIDDEN.findall(reply.text)}
        page = Page(client, reply, fields)
        ended = page.submit(email=sandbox.email, password=sandbox.password)
        assert ended.status_code in (302, 303), ended.text
        return str(ended.headers["Location"])
