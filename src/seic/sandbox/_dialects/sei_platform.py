"""The platform's endpoints for token, tokeninfo and revocation, below `/v2/oauth`.

Undocumented behaviour is implemented in the stricter way, and noted: a client that works here does not rely on it.
"""

from __future__ import annotations

import base64
import hashlib

import attrs
from aiohttp import hdrs, web

from seic._model.grants import SAML2_BEARER
from seic.sandbox._dialects.platform_codes import AuthorizationCodes, AuthorizationRequest, InvalidCode
from seic.sandbox._dialects.platform_saml import IdentityProvider, InvalidSamlDocument
from seic.sandbox._error_responses import (
    ErrorResponse,
    InvalidField,
    JsonBody,
    authentication_failure,
    invalid_grant,
    invalid_request,
    invalid_token,
    logged_in_elsewhere,
    unknown_resource,
)
from seic.sandbox._peer import Peer, binding_problem, check_certificate, check_refresh_binding
from seic.sandbox._registration import Registration
from seic.sandbox._request_reader import Form, flag, one_of, read_bearer_token, read_post, required, same, select_grant
from seic.sandbox._token_registry import InactiveToken, TokenFamily, TokenRegistry, whole_seconds

PLATFORM_TOKEN_PATH = "/v2/oauth/token"
TOKEN_INFO_PATH = "/v2/oauth/tokeninfo"
#: The only scope.
SCOPE = "ilservices"
END_OTHER_SESSIONS = "endOtherSessions"
#: The documents have both names.
REDIRECT_FIELDS = ("redirect_url", "redirect_uri")


@attrs.frozen(eq=False, repr=False)
class PlatformEndpoints:
    """The endpoints; each grant type has a method."""

    registration: Registration
    registry: TokenRegistry
    codes: AuthorizationCodes
    identity_provider: IdentityProvider

    async def token(self, request: web.BaseRequest, peer: Peer | None) -> JsonBody:
        """Return the response to a token request.

        Raises:
            ErrorResponse: The request is invalid.
        """
        form = await self._read_client_form(request)
        grants = {
            "authorization_code": self._authorization_code,
            "refresh_token": self._refresh_token,
            "client_credentials": self._client_credentials,
            SAML2_BEARER: self._saml2_bearer,
        }
        return select_grant(form, grants)(form, peer)

    async def token_info(self, request: web.BaseRequest, peer: Peer | None) -> JsonBody:
        """Return the state of the request's access token.

        Raises:
            ErrorResponse: The token is inactive, or the request is invalid.
        """
        if request.method != "GET":
            raise unknown_resource("This endpoint accepts only GET.")
        if list(request.query) != ["client_id"]:
            field = InvalidField("client_id", "query", "is required, once and alone: the token belongs in the header")
            raise invalid_request("The query must have the client_id and nothing else.", field)
        if not same(request.query["client_id"], self.registration.client_id):
            raise authentication_failure("The client_id is unknown.", InvalidField("client_id", "query", "is unknown"))
        token = read_bearer_token(request)
        try:
            record = self.registry.find(token, "platform")
        except InactiveToken as inactive:
            raise (logged_in_elsewhere() if inactive.superseded else invalid_token(str(inactive))) from None
        family = record.family
        if (problem := binding_problem(family, peer)) is not None:
            raise invalid_token(f"The access token {problem}.")
        check_certificate(peer, owner=family.username)
        return {
            "access_token": token,
            "token_type": "BearerToken",
            "expires_in": whole_seconds(record.seconds_left),
            "status": "approved",
            "scope": family.scope,
            **self._refresh_members(family),
            "redirect_url": family.redirect_url,
            "email": self.registration.email,
            "app_name": self.registration.application_name,
        }

    async def revoke(self, request: web.BaseRequest, _peer: Peer | None) -> JsonBody:
        """Revoke a token with its family.

        Raises:
            ErrorResponse: There is no such token, or the request is invalid.
        """
        form = await self._read_client_form(request)
        field, token = one_of(form, "token", "refresh_token")
        family: TokenFamily | None
        try:
            if field == "token":
                family = self.registry.family_of(token)
                if family is None or family.dialect != "platform" or family.ended == "revoked":
                    raise InactiveToken("The access token is unknown or was revoked.")
            else:
                family, _ = self.registry.find_refresh_token(token, "platform")
        except InactiveToken as inactive:
            raise invalid_request(str(inactive), InvalidField(field, "body", "must be an active token")) from None
        self.registry.revoke_family(family)
        return {"message": "The token was revoked.", "token": token, "cascade": "true"}

    async def _read_client_form(self, request: web.BaseRequest) -> Form:
        form = await read_post(request)
        if hdrs.AUTHORIZATION in request.headers:
            # RFC 6749 §2.3: one authentication method per request.
            field = InvalidField(hdrs.AUTHORIZATION, "header", "must be absent")
            raise invalid_request("The client's credentials must be only in the form.", field)
        client_id, client_secret = required(form, "client_id", "client_secret")
        known = self.registration
        if not (same(client_id, known.client_id) & same(client_secret, known.client_secret)):
            raise authentication_failure("The client_id or the client_secret is wrong.")
        return form

    # Grants

    def _client_credentials(self, form: Form, peer: Peer | None) -> JsonBody:
        email, password = required(form, "email", "password")
        known = self.registration
        if not (same(email, known.email) & same(password, known.password)):
            raise authentication_failure("The email or the password of the account is wrong.")
        return self._token_response(self._open_session(form, peer))

    def _saml2_bearer(self, form: Form, peer: Peer | None) -> JsonBody:
        field, document = one_of(form, "SAMLResponse", "SAMLAssertion")
        try:
            email = self.identity_provider.read(document, is_response=field == "SAMLResponse")
        except InvalidSamlDocument as invalid:
            raise invalid_grant(str(invalid), field) from None
        if not same(email, self.registration.email):
            raise invalid_grant("The document's subject has no account.", field)
        return self._token_response(self._open_session(form, peer))

    def _authorization_code(self, form: Form, peer: Peer | None) -> JsonBody:
        (code,) = required(form, "code")
        try:
            authorization = self.codes.find(code)
        except InvalidCode as invalid:
            raise invalid_grant(str(invalid), "code") from None
        problem = _code_problem(authorization, form)
        if problem is not None:
            # The code may have been stolen.
            self.codes.mark_used(code, None)
            raise problem
        # An error of the session or the certificate leaves the code unused.
        family = self._open_session(
            form, peer, redirect_url=authorization.redirect_url, take_over=authorization.end_other_sessions
        )
        self.codes.mark_used(code, family)
        return self._token_response_with_refresh(family)

    def _refresh_token(self, form: Form, peer: Peer | None) -> JsonBody:
        (refresh_token,) = required(form, "refresh_token")
        take_over = flag(form, END_OTHER_SESSIONS)

        def check(family: TokenFamily) -> None:
            check_refresh_binding(family, peer)
            if family.ended is None:
                self._check_session(family, take_over=take_over)

        try:
            family = self.registry.use_refresh_token(refresh_token, "platform", check=check, take_over=take_over)
        except InactiveToken as inactive:
            error = logged_in_elsewhere() if inactive.superseded else invalid_grant(str(inactive), "refresh_token")
            raise error from None
        if take_over:
            self.registry.end_other_sessions(family)
        return self._token_response_with_refresh(family)

    def _open_session(
        self, form: Form, peer: Peer | None, *, redirect_url: str | None = None, take_over: bool = False
    ) -> TokenFamily:
        """Start a session of the account; end its other sessions if the form or `take_over` says so."""
        take_over |= flag(form, END_OTHER_SESSIONS)
        username = self.registration.username
        check_certificate(peer, owner=username)
        family = TokenFamily(
            dialect="platform",
            username=username,
            thumbprint=None if peer is None else peer.thumbprint,
            scope=SCOPE,
            redirect_url=next(iter(self.registration.redirect_urls), "") if redirect_url is None else redirect_url,
        )
        self._check_session(family, take_over=take_over)
        if take_over:
            self.registry.end_other_sessions(family)
        return family

    def _check_session(self, family: TokenFamily, *, take_over: bool) -> None:
        if self.registration.one_session and not take_over and self.registry.has_other_session(family):
            raise logged_in_elsewhere()

    # Responses

    def _token_response(self, family: TokenFamily) -> JsonBody:
        token, record = self.registry.issue(family)
        return {
            "access_token": token,
            "token_type": "BearerToken",
            "expires_in": whole_seconds(record.seconds_left),
            "redirect_url": family.redirect_url,
            "email": self.registration.email,
        }

    def _token_response_with_refresh(self, family: TokenFamily) -> JsonBody:
        body = self._token_response(family)
        if not self.registration.refresh_enabled:
            return body
        self.registry.issue_refresh_token(family)
        return {**body, **self._refresh_members(family)}

    def _refresh_members(self, family: TokenFamily) -> JsonBody:
        if family.refresh_token is None:
            return {}
        try:
            _, seconds_left = self.registry.find_refresh_token(family.refresh_token, "platform")
        except InactiveToken:
            return {}
        return {"refresh_token": family.refresh_token, "refresh_token_expires_in": whole_seconds(seconds_left)}


def _code_problem(authorization: AuthorizationRequest, form: Form) -> ErrorResponse | None:
    """Return the error of a token request that does not match the login; None if it matches."""
    for field in REDIRECT_FIELDS:
        if form.get(field, authorization.redirect_url) != authorization.redirect_url:
            return invalid_grant(f"The {field} differs from the one of the login.", field)
    # RFC 9700 §4.8.2: a verifier without a challenge is an error, and a challenge without a verifier.
    if _challenge_of(form.get("code_verifier")) != authorization.code_challenge:
        return invalid_grant("The code_verifier does not match the login's code_challenge.", "code_verifier")
    return None


def _challenge_of(verifier: str | None) -> str | None:
    # RFC 7636 §4.6
    if verifier is None:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
