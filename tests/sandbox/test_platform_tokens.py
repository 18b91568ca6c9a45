"""The platform's token endpoint: client authentication, `client_credentials` and SAML documents."""

from __future__ import annotations

import base64

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import (
    REVOKE,
    SAML2_BEARER,
    TOKEN,
    ask,
    ask_for_account,
    assert_refused,
    body_of,
    call,
    info,
)
from tests._support.sandbox_client import basic, mtls_client

# The client


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"client_id": "0123456789abcdef"}, 401, id="wrong client_id"),
        pytest.param({"client_secret": "wrong"}, 401, id="wrong client_secret"),
        pytest.param({"client_id": None}, 400, id="no client_id"),
        pytest.param({"client_secret": None}, 400, id="no client_secret"),
        pytest.param({"client_secret": ""}, 400, id="empty client_secret"),
        pytest.param({"grant_type": None}, 400, id="no grant type"),
        pytest.param({"grant_type": "password"}, 400, id="a grant of the gateway"),
        pytest.param({"email": None}, 400, id="no email"),
        pytest.param({"password": None}, 400, id="no password"),
        pytest.param({"email": "nobody@example.com"}, 401, id="wrong email"),
        pytest.param({"password": "wrong"}, 401, id="wrong password"),
        pytest.param({"email": "svc-sandbox"}, 401, id="the gateway's name of the account"),
        pytest.param({"endOtherSessions": "yes"}, 400, id="endOtherSessions is not a boolean"),
    ],
)
def test_every_field_of_a_token_request_is_checked(
    changes: dict[str, str | None], status: int, api: httpx.Client, sandbox: Sandbox
) -> None:
    """The error has the platform's body and repeats no secret."""
    reply = ask_for_account(api, sandbox, **changes)
    assert_refused(reply, status)
    assert sandbox.client_secret not in reply.text
    assert sandbox.password not in reply.text


def test_secrets_must_be_only_in_the_form(api: httpx.Client, sandbox: Sandbox) -> None:
    """The documents allow them in the URL, which is written to access logs; the sandbox refuses them there."""
    form = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, "grant_type": "client_credentials"}
    for path in (TOKEN, REVOKE):
        reply = api.post(path, params=form, data=form)
        assert reply.status_code == 400
        assert sandbox.client_secret not in reply.text


def test_client_authenticates_in_one_way(api: httpx.Client, sandbox: Sandbox) -> None:
    """Basic authentication in addition to the form is refused."""
    form = {
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "grant_type": "client_credentials",
        "email": sandbox.email,
        "password": sandbox.password,
    }
    header = {"Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    assert_refused(api.post(TOKEN, data=form, headers=header), 400)


# client_credentials


def test_response_has_the_documented_members(sandbox: Sandbox, api: httpx.Client) -> None:
    """`expires_in` is a number; there is no refresh token without a login."""
    body = body_of(ask_for_account(api, sandbox))
    assert call(api, body.pop("access_token")).status_code == 200
    assert body == {"token_type": "BearerToken", "expires_in": 3599, "redirect_url": "", "email": sandbox.email}
    assert isinstance(body["expires_in"], int)


@pytest.mark.parametrize(("seconds", "status"), [(1800.0, 200), (3599.9, 200), (3600.0, 401)])
def test_access_token_expires_after_an_hour(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: MockClock
) -> None:
    """The idle lifetime of 30 minutes is only for the gateway."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    clock.advance(seconds)
    reply = call(api, token)
    assert reply.status_code == status
    if status == 401:
        assert "token" in assert_refused(reply, 401)


def test_token_of_the_mtls_host_needs_the_accounts_certificate(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """Tokens are bound to certificates, as at the gateway."""
    token = body_of(ask_for_account(mtls, sandbox))["access_token"]
    assert call(mtls, token).status_code == 200
    assert_refused(call(api, token), 401)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        assert_refused(call(thief, token), 403)
        assert_refused(ask_for_account(thief, sandbox), 403)


def test_token_of_the_api_host_is_refused_at_the_mtls_host(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """An application uses one host for all requests, also for tokeninfo."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    assert_refused(call(mtls, token), 401)
    assert_refused(info(mtls, sandbox, token), 401)
    assert call(api, token).status_code == 200
    assert info(api, sandbox, token).status_code == 200


# saml2-bearer


@pytest.mark.parametrize("field", ["SAMLResponse", "SAMLAssertion"])
def test_signed_document_is_exchanged_for_a_token(field: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """Assertion or response, each in its field; there is no refresh token."""
    document = sandbox.saml_response() if field == "SAMLResponse" else sandbox.saml_assertion()
    body = body_of(ask(api, sandbox, grant_type=SAML2_BEARER, **{field: base64.b64encode(document).decode()}))
    assert "refresh_token" not in body
    assert call(api, body["access_token"]).status_code == 200


@pytest.mark.parametrize("fields", [[], ["SAMLResponse", "SAMLAssertion"]])
def test_exactly_one_document_is_required(fields: list[str], sandbox: Sandbox, api: httpx.Client) -> None:
    """None and two are refused."""
    document = base64.b64encode(sandbox.saml_assertion()).decode()
    form = dict.fromkeys(fields, document)
    assert "exactly one" in assert_refused(ask(api, sandbox, grant_type=SAML2_BEARER, **form), 400)


def test_document_of_an_unknown_user_is_refused(sandbox: Sandbox, api: httpx.Client) -> None:
    """The identity provider may know users who have no account."""
    document = base64.b64encode(sandbox.saml_assertion("nobody@example.com")).decode()
    assert_refused(ask(api, sandbox, grant_type=SAML2_BEARER, SAMLAssertion=document), 400)


def test_forged_document_is_refused(sandbox: Sandbox, api: httpx.Client) -> None:
    """A document of another sandbox's identity provider."""
    document = base64.b64encode(Sandbox().saml_assertion()).decode()
    assert "signature" in assert_refused(ask(api, sandbox, grant_type=SAML2_BEARER, SAMLAssertion=document), 400)


# Planned failures


def test_planned_failures_have_the_error_body_of_the_platform(sandbox: Sandbox, api: httpx.Client) -> None:
    """They affect the next token request of any dialect, and no other request."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    sandbox.fail_tokens(503, headers={"Retry-After": "3"})
    assert info(api, sandbox, token).status_code == 200
    reply = ask_for_account(api, sandbox)
    assert_refused(reply, 503)
    assert reply.headers["Retry-After"] == "3"
    assert (sandbox.counts.token_faults, sandbox.counts.info_requests) == (1, 1)
