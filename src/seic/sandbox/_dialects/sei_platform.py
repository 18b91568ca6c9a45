"""The token calls in the platform's dialect: token, tokeninfo and revocation below `/v2/oauth`. No counting here.

What the documents leave open is decided here for the stricter side, and said where it is: a client that works here has
relied on nothing that nobody promised.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import hdrs, web

from seic._model.grants import SAML2_BEARER
from seic.sandbox._dialects.platform_codes import AuthorizationCodes, AuthorizationRequest, InvalidCode
from seic.sandbox._dialects.platform_saml import IdentityProvider, InvalidSamlDocument
from seic.sandbox._dialects.sei_gateway import binding_problem, check_bound, check_certificate
from seic.sandbox._error_responses import (
    ErrorResponse,
    InvalidField,
    authentication_failure,
    invalid_grant,
    invalid_request,
    invalid_token,
    logged_in_elsewhere,
    unknown_grant_type,
    unknown_resource,
)
from seic.sandbox._form import Form, flag, one_of, read_post, required, same
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._token_registry import InactiveToken, TokenFamily, TokenRegistry, whole_seconds

PLATFORM_TOKEN_PATH = "/v2/oauth/token"
TOKEN_INFO_PATH = "/v2/oauth/tokeninfo"
#: The one scope that there is.
SCOPE = "ilservices"
END_OTHER_SESSIONS = "endOtherSessions"
#: The documents write both, and this one in the guide to authorization.
REDIRECT_FIELDS = ("redirect_url", "redirect_uri")

_Answer: TypeAlias = Mapping[str, Any]


class PlatformEndpoints:
    """Answers the platform's token calls: one function for each grant type, in a table."""

    def __init__(
        self,
        registration: Registration,
        registry: TokenRegistry,
        codes: AuthorizationCodes,
        identity_provider: IdentityProvider,
    ) -> None:
        self._registration = registration
        self._registry = registry
        self._codes = codes
        self._identity_provider = identity_provider
        self._grants: Mapping[str, Callable[[Form, Peer | None], _Answer]] = {
            "authorization_code": self._authorization_code,
            "refresh_token": self._refresh_token,
            "client_credentials": self._client_credentials,
            SAML2_BEARER: self._saml2_bearer,
        }

    async def token(self, request: web.BaseRequest, peer: Peer | None) -> _Answer:
        """Return the reply to a token call.

        Raises:
            ErrorResponse: The request breaks one of the rules.
        """
        form = await self._read_client_form(request)
        (grant_type,) = required(form, "grant_type")
        grant = self._grants.get(grant_type)
        if grant is None:
            raise unknown_grant_type(list(self._grants))
        return grant(form, peer)

    async def token_info(self, request: web.BaseRequest, peer: Peer | None) -> _Answer:
        """Return what is known of the access token that the call carries.

        Raises:
            ErrorResponse: The token is dead, or the request breaks one of the rules.
        """
        if request.method != "GET":
            raise unknown_resource("Tokens are described to a GET.")
        if list(request.query) != ["client_id"]:
            fault = InvalidField("client_id", "query", "is required, once, and alone: the token belongs in the header")
            raise invalid_request("The query is not the client_id alone.", fault)
        if not same(request.query["client_id"], self._registration.client_id):
            raise authentication_failure("The client_id is unknown.", InvalidField("client_id", "query", "is unknown"))
        token = _bearer(request)
        family = self._registry.family_of(token)
        try:
            if family is None or family.dialect != "platform":
                raise InactiveToken("The access token is unknown or was revoked.")
            record = self._registry.find(token)
        except InactiveToken as death:
            raise (logged_in_elsewhere() if death.elsewhere else invalid_token(str(death))) from None
        if (reason := binding_problem(family, peer)) is not None:
            raise invalid_token(f"The access token {reason}.")
        check_certificate(peer, owner=family.username)
        return {
            "access_token": token,
            "token_type": "BearerToken",
            "expires_in": whole_seconds(record.seconds_left),
            "status": "approved",
            "scope": family.scope,
            **self._refresh_members(family),
            "redirect_url": family.redirect_url,
            "email": self._registration.email,
            "app_name": self._registration.application_name,
        }

    async def revoke(self, request: web.BaseRequest, _peer: Peer | None) -> _Answer:
        """Kill a token and its pair.

        Raises:
            ErrorResponse: There is no such token, or the request breaks one of the rules.
        """
        form = await self._read_client_form(request)
        field, token = one_of(form, "token", "refresh_token")
        family: TokenFamily | None
        try:
            if field == "token":
                family = self._registry.family_of(token)
                if family is None or family.dialect != "platform" or family.end == "revoked":
                    raise InactiveToken("The access token is unknown or was revoked.")
            else:
                family, _ = self._registry.find_refresh_token(token, "platform")
        except InactiveToken as death:
            raise invalid_request(str(death), InvalidField(field, "body", "must be a live token")) from None
        self._registry.revoke_family(family)
        return {"message": "The token was revoked.", "token": token, "cascade": "true"}

    async def _read_client_form(self, request: web.BaseRequest) -> Form:
        form = await read_post(request)
        if hdrs.AUTHORIZATION in request.headers:
            # RFC 6749 §2.3: a client authenticates in one way only.
            fault = InvalidField(hdrs.AUTHORIZATION, "header", "must not be there")
            raise invalid_request("The client's credentials belong in the form alone.", fault)
        client_id, client_secret = required(form, "client_id", "client_secret")
        known = self._registration
        if not (same(client_id, known.client_id) & same(client_secret, known.client_secret)):
            raise authentication_failure("The client_id or the client_secret is wrong.")
        return form

    # The grants

    def _client_credentials(self, form: Form, peer: Peer | None) -> _Answer:
        email, password = required(form, "email", "password")
        known = self._registration
        if not (same(email, known.email) & same(password, known.password)):
            raise authentication_failure("The email or the password of the account is wrong.")
        return self._answer(self._open(form, peer))

    def _saml2_bearer(self, form: Form, peer: Peer | None) -> _Answer:
        field, document = one_of(form, "SAMLResponse", "SAMLAssertion")
        try:
            email = self._identity_provider.read(document, is_response=field == "SAMLResponse")
        except InvalidSamlDocument as problem:
            raise invalid_grant(str(problem), field) from None
        if not same(email, self._registration.email):
            raise invalid_grant("The document speaks of nobody who has an account.", field)
        return self._answer(self._open(form, peer))

    def _authorization_code(self, form: Form, peer: Peer | None) -> _Answer:
        (code,) = required(form, "code")
        try:
            authorization = self._codes.look_up(code)
        except InvalidCode as death:
            raise invalid_grant(str(death), "code") from None
        problem = _misfit(authorization, form)
        if problem is not None:
            # A code that was shown with the wrong proof is in the wrong hands.
            self._codes.use_up(code, None)
            raise problem
        # What is refused for the session's or the certificate's sake uses nothing up.
        family = self._open(
            form, peer, redirect_url=authorization.redirect_url, take_over=authorization.end_other_sessions
        )
        self._codes.use_up(code, family)
        return self._refreshable(family)

    def _refresh_token(self, form: Form, peer: Peer | None) -> _Answer:
        (refresh_token,) = required(form, "refresh_token")
        take_over = flag(form, END_OTHER_SESSIONS)

        def admit(family: TokenFamily) -> None:
            check_bound(family, peer)
            if family.end is None:
                self._check_session(family, take_over=take_over)

        try:
            family = self._registry.use_refresh_token(refresh_token, "platform", admit=admit, take_over=take_over)
        except InactiveToken as death:
            raise (logged_in_elsewhere() if death.elsewhere else invalid_grant(str(death), "refresh_token")) from None
        if take_over:
            self._registry.end_other_sessions(family)
        return self._refreshable(family)

    def _open(
        self, form: Form, peer: Peer | None, *, redirect_url: str | None = None, take_over: bool = False
    ) -> TokenFamily:
        """Begin a session of the account, and end its others where that is asked for."""
        take_over |= flag(form, END_OTHER_SESSIONS)
        username = self._registration.username
        check_certificate(peer, owner=username)
        family = TokenFamily(
            dialect="platform",
            username=username,
            thumbprint=None if peer is None else peer.thumbprint,
            scope=SCOPE,
            redirect_url=next(iter(self._registration.redirect_urls), "") if redirect_url is None else redirect_url,
        )
        self._check_session(family, take_over=take_over)
        if take_over:
            self._registry.end_other_sessions(family)
        return family

    def _check_session(self, family: TokenFamily, *, take_over: bool) -> None:
        if self._registration.one_session and not take_over and self._registry.has_other_session(family):
            raise logged_in_elsewhere()

    # The replies

    def _answer(self, family: TokenFamily) -> _Answer:
        token, record = self._registry.issue(family)
        return {
            "access_token": token,
            "token_type": "BearerToken",
            "expires_in": whole_seconds(record.seconds_left),
            "redirect_url": family.redirect_url,
            "email": self._registration.email,
        }

    def _refreshable(self, family: TokenFamily) -> _Answer:
        answer = self._answer(family)
        if not self._registration.refresh_enabled:
            return answer
        self._registry.issue_refresh_token(family)
        return {**answer, **self._refresh_members(family)}

    def _refresh_members(self, family: TokenFamily) -> _Answer:
        if family.refresh_token is None:
            return {}
        try:
            _, left = self._registry.find_refresh_token(family.refresh_token, "platform")
        except InactiveToken:
            return {}
        return {"refresh_token": family.refresh_token, "refresh_token_expires_in": whole_seconds(left)}


def _misfit(authorization: AuthorizationRequest, form: Form) -> ErrorResponse | None:
    """Return what is wrong with a token call for this login, or None."""
    for field in REDIRECT_FIELDS:
        if form.get(field, authorization.redirect_url) != authorization.redirect_url:
            return invalid_grant(f"The {field} is not the one of the login.", field)
    # A verifier without a challenge, and the other way round, is forgiven neither (RFC 9700 §4.8.2).
    if _challenge_of(form.get("code_verifier")) != authorization.code_challenge:
        return invalid_grant("The code_verifier does not fit the login.", "code_verifier")
    return None


def _challenge_of(verifier: str | None) -> str | None:
    # RFC 7636 §4.6
    if verifier is None:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _bearer(request: web.BaseRequest) -> str:
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        fault = InvalidField(hdrs.AUTHORIZATION, "header", "Bearer <access_token> is required, once")
        raise authentication_failure("The call carries no bearer token, or more than one.", fault)
    return token
