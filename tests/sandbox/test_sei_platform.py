from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from seic.sandbox import ManualClock, Sandbox
from tests._support.far_side import api_client, basic, mtls_client
from tests._support.platform_side import (
    CALLBACK,
    REVOKE,
    SAML2_BEARER,
    TOKEN,
    TOKEN_INFO,
    ask,
    ask_for_account,
    assert_refused,
    body_of,
    call,
    exchange,
    log_in,
    post,
    refresh,
    revoke,
)

DAY = 86400.0
VERIFIER = "a-verifier-of-forty-three-characters-at-least-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def pair_of(client: httpx.Client, sandbox: Sandbox) -> tuple[str, str]:
    """Log in and return access and refresh token."""
    body = body_of(exchange(client, sandbox, log_in(client, sandbox)))
    return body["access_token"], body["refresh_token"]


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
        pytest.param({"grant_type": "password"}, 400, id="a grant of the gateway's"),
        pytest.param({"email": None}, 400, id="no email"),
        pytest.param({"password": None}, 400, id="no password"),
        pytest.param({"email": "nobody@example.com"}, 401, id="wrong email"),
        pytest.param({"password": "wrong"}, 401, id="wrong password"),
        pytest.param({"email": "svc-sandbox"}, 401, id="the gateway's name of the account"),
        pytest.param({"endOtherSessions": "yes"}, 400, id="endOtherSessions is no boolean"),
    ],
)
def test_token_call_is_checked_field_by_field(
    changes: dict[str, str | None], status: int, api: httpx.Client, sandbox: Sandbox
) -> None:
    """Each defect is refused in the platform's form, and no secret is repeated."""
    reply = ask_for_account(api, sandbox, **changes)
    assert_refused(reply, status)
    assert sandbox.client_secret not in reply.text
    assert sandbox.password not in reply.text


def test_secrets_belong_in_the_form_alone(api: httpx.Client, sandbox: Sandbox) -> None:
    """The documents allow them in the URL, where logs keep them; here they are refused, beside a whole form too."""
    form = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, "grant_type": "client_credentials"}
    for path in (TOKEN, REVOKE):
        reply = api.post(path, params=form, data=form)
        assert reply.status_code == 400
        assert sandbox.client_secret not in reply.text


def test_client_proves_itself_in_one_way_only(api: httpx.Client, sandbox: Sandbox) -> None:
    """Basic beside the form is refused, right or wrong."""
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


def test_reply_has_the_documented_members_and_numbers(sandbox: Sandbox, api: httpx.Client) -> None:
    """`expires_in` is a number, and there is no refresh token without a login."""
    body = body_of(ask_for_account(api, sandbox))
    assert call(api, body.pop("access_token")).status_code == 200
    assert body == {"token_type": "BearerToken", "expires_in": 3599, "redirect_url": "", "email": sandbox.email}
    assert isinstance(body["expires_in"], int)


@pytest.mark.parametrize(("seconds", "status"), [(1800.0, 200), (3599.9, 200), (3600.0, 401)])
def test_access_token_lives_an_hour_and_no_idleness_ends_it(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: ManualClock
) -> None:
    """The 30 minutes are the gateway's."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    clock.advance(seconds)
    reply = call(api, token)
    assert reply.status_code == status
    if status == 401:
        assert "token" in assert_refused(reply, 401)


def test_token_of_the_mtls_host_needs_the_accounts_certificate(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """It is bound to a certificate, as at the gateway."""
    token = body_of(ask_for_account(mtls, sandbox))["access_token"]
    assert call(mtls, token).status_code == 200
    assert_refused(call(api, token), 401)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        assert_refused(call(thief, token), 403)
        assert_refused(ask_for_account(thief, sandbox), 403)


def test_token_of_the_api_host_stays_there(api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox) -> None:
    """An application uses one host for every call; a description of the token is one, too."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    assert_refused(call(mtls, token), 401)
    assert_refused(info(mtls, sandbox, token), 401)
    assert call(api, token).status_code == 200
    assert info(api, sandbox, token).status_code == 200


# authorization_code


def test_login_brings_a_pair(sandbox: Sandbox, api: httpx.Client) -> None:
    """The reply has the refresh token, and the address that the login returned to."""
    body = body_of(exchange(api, sandbox, log_in(api, sandbox)))
    assert call(api, body.pop("access_token")).status_code == 200
    assert body.pop("refresh_token")
    assert body == {
        "token_type": "BearerToken",
        "expires_in": 3599,
        "refresh_token_expires_in": 2591999,
        "redirect_url": CALLBACK,
        "email": sandbox.email,
    }


def test_application_without_refresh_gets_an_access_token_alone() -> None:
    """Refresh has to be enabled for the application."""
    with Sandbox(refresh_enabled=False) as sandbox, api_client(sandbox) as client:
        body = body_of(exchange(client, sandbox, log_in(client, sandbox)))
        assert not {"refresh_token", "refresh_token_expires_in"} & set(body)


@pytest.mark.parametrize(("seconds", "status"), [(0.0, 200), (19.9, 200), (20.0, 400), (21.0, 400)])
def test_code_dies_after_twenty_seconds(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: ManualClock
) -> None:
    """At the very second it is dead."""
    code = log_in(api, sandbox)
    clock.advance(seconds)
    assert exchange(api, sandbox, code).status_code == status


@pytest.mark.parametrize("seconds", [0.0, 19.0, 3000.0])
def test_code_is_good_for_one_use_and_a_second_kills_what_came_of_the_first(
    seconds: float, sandbox: Sandbox, api: httpx.Client, clock: ManualClock
) -> None:
    """Early or late: access and refresh token die, and those of another login live."""
    other, _ = pair_of(api, sandbox)
    code = log_in(api, sandbox)
    body = body_of(exchange(api, sandbox, code))
    fresh = body_of(refresh(api, sandbox, body["refresh_token"]))
    clock.advance(seconds)
    assert "used before" in assert_refused(exchange(api, sandbox, code), 400)
    tokens = [body["access_token"], fresh["access_token"], other]
    assert [call(api, token).status_code for token in tokens] == [401, 401, 200]
    assert refresh(api, sandbox, fresh["refresh_token"]).status_code == 400


@pytest.mark.parametrize("code", [None, "", "unknown"])
def test_code_has_to_come_from_a_login(code: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """Without one there is nothing to exchange."""
    assert_refused(ask(api, sandbox, grant_type="authorization_code", code=code), 400)


@pytest.mark.parametrize(("given", "status"), [(CALLBACK, 200), ("http://127.0.0.1:2/callback", 400), ("", 400)])
@pytest.mark.parametrize("field", ["redirect_url", "redirect_uri"])
def test_redirect_of_the_token_call_is_that_of_the_login(
    field: str, given: str, status: int, sandbox: Sandbox, api: httpx.Client
) -> None:
    """It may be left out; where it stands it has to fit, and a code that was shown with a wrong one is used up."""
    code = log_in(api, sandbox)
    assert exchange(api, sandbox, code, **{field: given}).status_code == status
    assert exchange(api, sandbox, code).status_code == 400


@pytest.mark.parametrize(
    ("challenge", "verifier", "status"),
    [
        pytest.param(CHALLENGE, VERIFIER, 200, id="both fit"),
        pytest.param(CHALLENGE, VERIFIER + "x", 400, id="another verifier"),
        pytest.param(CHALLENGE, CHALLENGE, 400, id="the challenge shown as verifier"),
        pytest.param(CHALLENGE, "", 400, id="empty verifier"),
        pytest.param(CHALLENGE, None, 400, id="no verifier"),
        pytest.param(None, VERIFIER, 400, id="verifier without challenge"),
        pytest.param(None, None, 200, id="neither"),
    ],
)
def test_stolen_code_is_worth_nothing_without_its_verifier(
    challenge: str | None, verifier: str | None, status: int, sandbox: Sandbox, api: httpx.Client
) -> None:
    """RFC 7636, where the login was begun with it; after a wrong proof the right one comes too late."""
    method = None if challenge is None else "S256"
    code = log_in(api, sandbox, code_challenge=challenge, code_challenge_method=method)
    assert exchange(api, sandbox, code, code_verifier=verifier).status_code == status
    assert exchange(api, sandbox, code, code_verifier=VERIFIER if challenge else None).status_code == 400


def test_code_is_not_spent_on_a_wrong_certificate(mtls: httpx.Client, sandbox: Sandbox) -> None:
    """Its owner may still come."""
    code = log_in(mtls, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        assert_refused(exchange(thief, sandbox, code), 403)
    assert exchange(mtls, sandbox, code).status_code == 200


# refresh_token


def test_refresh_rotates_and_keeps_the_login(sandbox: Sandbox, api: httpx.Client) -> None:
    """The next pair has the members of the first."""
    first = body_of(exchange(api, sandbox, log_in(api, sandbox)))
    second = body_of(refresh(api, sandbox, first["refresh_token"]))
    assert set(second) == set(first)
    assert second["redirect_url"] == CALLBACK
    assert second["refresh_token"] != first["refresh_token"]
    assert call(api, second["access_token"]).status_code == 200


def test_reused_refresh_token_kills_the_family(sandbox: Sandbox, api: httpx.Client) -> None:
    """Thief and owner both stand outside; another login's tokens live."""
    other, _ = pair_of(api, sandbox)
    access, stolen = pair_of(api, sandbox)
    thief = body_of(refresh(api, sandbox, stolen))
    assert "used before" in assert_refused(refresh(api, sandbox, stolen), 400)
    assert_refused(refresh(api, sandbox, thief["refresh_token"]), 400)
    assert [call(api, token).status_code for token in (access, thief["access_token"], other)] == [401, 401, 200]


@pytest.mark.parametrize(("seconds", "status"), [(30 * DAY - 1, 200), (30 * DAY, 400)])
def test_refresh_token_lives_thirty_days(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: ManualClock
) -> None:
    """At the very second it is dead."""
    _, refresh_token = pair_of(api, sandbox)
    clock.advance(seconds)
    assert refresh(api, sandbox, refresh_token).status_code == status


def test_refresh_token_of_the_gateway_is_nothing_here(sandbox: Sandbox, api: httpx.Client) -> None:
    """The dialects know nothing of each other's tokens, and trying one kills nothing there."""
    headers = {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    form = {"grant_type": "password", "username": sandbox.username, "password": sandbox.password}
    foreign = body_of(api.post("/v2/oauthtoken", headers=headers, data=form))["refresh_token"]
    for _ in range(2):
        assert_refused(refresh(api, sandbox, foreign), 400)
    form = {"grant_type": "refresh_token", "refresh_token": foreign}
    assert api.post("/v2/oauthtoken", headers=headers, data=form).status_code == 200
    assert_refused(refresh(api, sandbox, foreign), 400)


# Sessions


def test_sessions_live_side_by_side_until_one_ends_the_others(sandbox: Sandbox, api: httpx.Client) -> None:
    """The ended ones are told the documented words, at the API, at tokeninfo and on refresh."""
    first, first_refresh = pair_of(api, sandbox)
    second = body_of(ask_for_account(api, sandbox))["access_token"]
    assert [call(api, token).status_code for token in (first, second)] == [200, 200]
    third = body_of(ask_for_account(api, sandbox, endOtherSessions="true"))["access_token"]
    assert call(api, third).status_code == 200
    params, header = {"client_id": sandbox.client_id}, {"Authorization": f"Bearer {first}"}
    refusals = [
        call(api, first),
        call(api, second),
        refresh(api, sandbox, first_refresh),
        api.get(TOKEN_INFO, params=params, headers=header),
    ]
    for reply in refusals:
        message = assert_refused(reply, 403, "018")
        assert message == "Your session has been logged out as the same user is logged in elsewhere."


def test_ended_session_takes_itself_back_with_its_refresh_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """A refused refresh spends nothing; one that ends the other sessions works."""
    _, refresh_token = pair_of(api, sandbox)
    other = body_of(ask_for_account(api, sandbox, endOtherSessions="true"))["access_token"]
    assert_refused(refresh(api, sandbox, refresh_token), 403, "018")
    assert_refused(refresh(api, sandbox, refresh_token, endOtherSessions="false"), 403, "018")
    fresh = body_of(refresh(api, sandbox, refresh_token, endOtherSessions="true"))
    assert call(api, fresh["access_token"]).status_code == 200
    assert_refused(call(api, other), 403, "018")


def test_login_may_end_the_other_sessions(sandbox: Sandbox, api: httpx.Client) -> None:
    """They end with the token call, and not before."""
    other = body_of(ask_for_account(api, sandbox))["access_token"]
    code = log_in(api, sandbox, endOtherSessions="true")
    assert call(api, other).status_code == 200
    body_of(exchange(api, sandbox, code))
    assert_refused(call(api, other), 403, "018")


def test_sessions_of_the_other_dialects_do_not_end(sandbox: Sandbox, api: httpx.Client) -> None:
    """The gateway has no such thing."""
    headers = {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    form = {"grant_type": "client_credentials", "username": sandbox.username, "password": sandbox.password}
    token = body_of(api.post("/v2/oauthtoken", headers=headers, data=form))["access_token"]
    body_of(ask_for_account(api, sandbox, endOtherSessions="true"))
    headers = {"AppKey": sandbox.client_id, "Authorization": f"Bearer {token}"}
    assert api.get("/v1/echo", headers=headers).status_code == 200


def test_account_with_one_session_is_asked_to_end_it(clock: ManualClock) -> None:
    """A token call beside a live session is refused, unless it ends that one; the refused code can still be used."""
    with Sandbox(one_session=True, clock=clock) as sandbox, api_client(sandbox) as client:
        first = body_of(exchange(client, sandbox, log_in(client, sandbox)))
        assert_refused(ask_for_account(client, sandbox), 403, "018")
        code = log_in(client, sandbox)
        assert_refused(exchange(client, sandbox, code), 403, "018")
        own = body_of(refresh(client, sandbox, first["refresh_token"]))
        assert call(client, own["access_token"]).status_code == 200
        assert exchange(client, sandbox, code, endOtherSessions="true").status_code == 200
        assert_refused(call(client, own["access_token"]), 403, "018")


@pytest.mark.parametrize(("seconds", "status"), [(3599.9, 403), (3600.0, 200)])
def test_session_is_over_when_its_last_token_dies(seconds: float, status: int, clock: ManualClock) -> None:
    """Then there is nothing to end."""
    with Sandbox(one_session=True, clock=clock) as sandbox, api_client(sandbox) as client:
        body_of(ask_for_account(client, sandbox))
        clock.advance(seconds)
        assert ask_for_account(client, sandbox).status_code == status


# saml2-bearer


@pytest.mark.parametrize("field", ["SAMLResponse", "SAMLAssertion"])
def test_signed_document_is_exchanged_for_a_token(field: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """Either kind, in its own field, and without a refresh token."""
    document = sandbox.saml_response() if field == "SAMLResponse" else sandbox.saml_assertion()
    body = body_of(ask(api, sandbox, grant_type=SAML2_BEARER, **{field: base64.b64encode(document).decode()}))
    assert "refresh_token" not in body
    assert call(api, body["access_token"]).status_code == 200


@pytest.mark.parametrize("fields", [[], ["SAMLResponse", "SAMLAssertion"]])
def test_exactly_one_document_is_taken(fields: list[str], sandbox: Sandbox, api: httpx.Client) -> None:
    """Neither, or both, are refused."""
    document = base64.b64encode(sandbox.saml_assertion()).decode()
    form = dict.fromkeys(fields, document)
    assert "exactly one" in assert_refused(ask(api, sandbox, grant_type=SAML2_BEARER, **form), 400)


def test_document_of_somebody_else_gets_no_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """The identity provider may know people who have no account here."""
    document = base64.b64encode(sandbox.saml_assertion("nobody@example.com")).decode()
    assert_refused(ask(api, sandbox, grant_type=SAML2_BEARER, SAMLAssertion=document), 400)


def test_forged_document_gets_no_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """Another sandbox's identity provider is another's."""
    document = base64.b64encode(Sandbox().saml_assertion()).decode()
    assert "signature" in assert_refused(ask(api, sandbox, grant_type=SAML2_BEARER, SAMLAssertion=document), 400)


# tokeninfo


def info(client: httpx.Client, sandbox: Sandbox, token: str, **query: str) -> httpx.Response:
    """Ask about a token."""
    params = {"client_id": sandbox.client_id, **query}
    return client.get(TOKEN_INFO, params=params, headers={"Authorization": f"Bearer {token}"})


def test_token_info_has_the_documented_members(sandbox: Sandbox, api: httpx.Client, clock: ManualClock) -> None:
    """What is left of both lives is told, as numbers."""
    access, refresh_token = pair_of(api, sandbox)
    clock.advance(100)
    body = body_of(info(api, sandbox, access))
    assert body.pop("app_name")
    assert body == {
        "access_token": access,
        "token_type": "BearerToken",
        "expires_in": 3499,
        "status": "approved",
        "scope": "ilservices",
        "refresh_token": refresh_token,
        "refresh_token_expires_in": 2591899,
        "redirect_url": CALLBACK,
        "email": sandbox.email,
    }


def test_token_info_of_a_token_without_refresh_has_none(
    sandbox: Sandbox, api: httpx.Client, clock: ManualClock
) -> None:
    """There is none, or it was spent, or it has expired."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    assert "refresh_token" not in body_of(info(api, sandbox, token))
    with Sandbox(refresh_lifetime=10, clock=clock) as short, api_client(short) as client:
        access, _ = pair_of(client, short)
        clock.advance(10)
        assert "refresh_token" not in body_of(info(client, short, access))


def test_token_info_is_for_live_access_tokens_of_the_platform(sandbox: Sandbox, api: httpx.Client) -> None:
    """A refresh token, a dead token and a stranger's are refused alike."""
    access, refresh_token = pair_of(api, sandbox)
    sandbox.revoke(access)
    for token in (access, refresh_token, "unknown"):
        assert "token" in assert_refused(info(api, sandbox, token), 401)


def test_token_info_needs_the_certificate_of_the_token(api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox) -> None:
    """As every other call does."""
    token = body_of(ask_for_account(mtls, sandbox))["access_token"]
    assert info(mtls, sandbox, token).status_code == 200
    assert_refused(info(api, sandbox, token), 401)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        assert_refused(info(thief, sandbox, token), 403)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param({"client_secret": "x"}, 400, id="a secret in the URL"),
        pytest.param({"access_token": "x"}, 400, id="the token in the URL"),
        pytest.param({"client_id": "0123456789abcdef"}, 401, id="another client"),
        pytest.param({"client_id": ""}, 401, id="no client"),
    ],
)
def test_token_info_takes_the_client_id_alone_in_its_url(
    query: dict[str, str], status: int, sandbox: Sandbox, api: httpx.Client
) -> None:
    """What else stands there is refused, even beside a live token."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    assert_refused(info(api, sandbox, token, **query), status)


@pytest.mark.parametrize("authorization", [None, "Bearer", basic("a", "b")])
def test_token_info_needs_a_bearer_token(authorization: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """Without one there is nothing to describe."""
    headers = {} if authorization is None else {"Authorization": authorization}
    assert_refused(api.get(TOKEN_INFO, params={"client_id": sandbox.client_id}, headers=headers), 401)
    assert_refused(api.post(TOKEN_INFO, headers=headers), 404)


# Revocation


@pytest.mark.parametrize("field", ["token", "refresh_token"])
def test_either_token_takes_the_other_along(field: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """The reply is the documented one, and both are dead."""
    access, refresh_token = pair_of(api, sandbox)
    token = access if field == "token" else refresh_token
    body = body_of(revoke(api, sandbox, **{field: token}))
    assert body.pop("message")
    assert body == {"token": token, "cascade": "true"}
    assert call(api, access).status_code == 401
    assert_refused(refresh(api, sandbox, refresh_token), 400)
    counts = sandbox.counts
    assert (counts.revocation_requests, counts.tokens_invalidated, counts.token_requests) == (1, 1, 2)


@pytest.mark.parametrize(
    ("form", "status", "hint"),
    [
        pytest.param({}, 400, "token", id="no token"),
        pytest.param({"token": "a", "refresh_token": "b"}, 400, "token", id="two tokens"),
        pytest.param({"token": "unknown"}, 400, "token", id="unknown token"),
        pytest.param({"refresh_token": "unknown"}, 400, "refresh_token", id="unknown refresh token"),
        pytest.param({"token": "unknown", "client_secret": "wrong"}, 401, "", id="wrong client_secret"),
    ],
)
def test_refused_revocation_has_a_form_of_its_own(
    form: dict[str, str], status: int, hint: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """`ErrorCode`, `Error` and `Hint`, all strings."""
    reply = revoke(api, sandbox, **form)
    assert reply.status_code == status
    body = reply.json()
    assert list(body) == ["ErrorCode", "Error", "Hint"]
    assert body["ErrorCode"] == str(status)
    assert body["Hint"].startswith(hint)
    assert "unknown" not in body["Hint"]
    assert sandbox.counts.tokens_invalidated == 0


def test_token_is_revoked_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """A second revocation meets a dead token, by either of the pair."""
    access, refresh_token = pair_of(api, sandbox)
    assert revoke(api, sandbox, token=access).status_code == 200
    assert revoke(api, sandbox, token=access).status_code == 400
    assert revoke(api, sandbox, refresh_token=refresh_token).status_code == 400


def test_path_of_the_revocation_is_the_callers_to_choose() -> None:
    """No document names it."""
    with Sandbox(revocation_path="/oauth/kill") as sandbox, api_client(sandbox) as client:
        token = body_of(ask_for_account(client, sandbox))["access_token"]
        assert sandbox.revocation_path == "/oauth/kill"
        assert post(client, sandbox, "/oauth/kill", {"token": token}).status_code == 200


@pytest.mark.parametrize("path", ["revoke", "", "/v2/oauth/token"])
def test_path_of_the_revocation_has_to_be_a_free_one(path: str) -> None:
    """Two endpoints cannot stand at one path."""
    with pytest.raises(ValueError, match="revocation_path"):
        Sandbox(revocation_path=path)


# Faults


def test_faults_come_in_the_platforms_form(sandbox: Sandbox, api: httpx.Client) -> None:
    """Planned for the next token call, of whichever dialect; other calls meet none."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    sandbox.fail_tokens(503, headers={"Retry-After": "3"})
    assert info(api, sandbox, token).status_code == 200
    reply = ask_for_account(api, sandbox)
    assert_refused(reply, 503)
    assert reply.headers["Retry-After"] == "3"
    assert (sandbox.counts.token_faults, sandbox.counts.info_requests) == (1, 1)
