"""The token endpoint of SEI's gateway, as strict as its documents: `POST /v2/oauthtoken`."""

from __future__ import annotations

import attrs
from aiohttp import web

from seic.sandbox._error_responses import (
    TOKEN_INVALID,
    ErrorResponse,
    InvalidField,
    JsonBody,
    authentication_failure,
    invalid_request,
)
from seic.sandbox._peer import Peer, check_certificate, check_refresh_binding
from seic.sandbox._registration import Registration
from seic.sandbox._request_reader import Form, read_basic, read_post, required, same, select_grant
from seic.sandbox._token_registry import InactiveToken, TokenFamily, TokenRegistry, whole_seconds

GATEWAY_TOKEN_PATH = "/v2/oauthtoken"
APP_KEY = "AppKey"

_PRODUCTS = ["Investors"]


@attrs.frozen(eq=False, repr=False)
class GatewayEndpoints:
    """The token endpoint; each grant type has a method."""

    registration: Registration
    registry: TokenRegistry

    async def token(self, request: web.BaseRequest, peer: Peer | None) -> JsonBody:
        """Return the response to a token request.

        Args:
            request: The request; its body is not yet read.
            peer: The client certificate; None on the api host.

        Raises:
            ErrorResponse: The request breaks a documented rule.
        """
        form = await read_post(request)
        self._authenticate_client(request)
        if "client_secret" in form:
            # RFC 6749 §2.3: one authentication method per request.
            raise invalid_request(
                "The AppSecret must be only in the Authorization header.",
                InvalidField("client_secret", "body", "must not be in the form"),
            )
        grants = {
            "client_credentials": self._client_credentials,
            "password": self._password,
            "refresh_token": self._refresh_token,
            "sessionToken": self._session_token,
            "invalidate_token": self._invalidate_token,
        }
        return select_grant(form, grants)(form, peer)

    def _authenticate_client(self, request: web.BaseRequest) -> None:
        check_app_key(request, self.registration.client_id)
        client_id, client_secret = read_basic(request, expected="Basic base64(AppKey:AppSecret)")
        if not same(client_id, self.registration.client_id):
            raise authentication_failure(
                "The Authorization header and the AppKey header name different applications.",
                InvalidField("Authorization", "header", "its user must be the AppKey"),
            )
        if not same(client_secret, self.registration.client_secret):
            raise authentication_failure(
                "The AppSecret is wrong.", InvalidField("Authorization", "header", "its password must be the AppSecret")
            )

    def _client_credentials(self, form: Form, peer: Peer | None) -> JsonBody:
        return self._token_response(self._log_in(form, peer))

    def _password(self, form: Form, peer: Peer | None) -> JsonBody:
        return self._token_response_with_refresh(self._log_in(form, peer))

    def _log_in(self, form: Form, peer: Peer | None) -> TokenFamily:
        username, password = required(form, "username", "password")
        known = self.registration
        # Both are compared in any case, and the error does not tell which is wrong.
        if not (same(username, known.username) & same(password, known.password)):
            raise authentication_failure("The user name or the password of the service account is wrong.")
        return self._family(peer)

    def _session_token(self, form: Form, peer: Peer | None) -> JsonBody:
        name = self.registration.session_token_field
        (session_token,) = required(form, name)
        if not same(session_token, self.registration.session_token):
            field = InvalidField(name, "body", "must be the token of a session")
            raise authentication_failure("There is no such session.", field)
        return self._token_response(self._family(peer))

    def _refresh_token(self, form: Form, peer: Peer | None) -> JsonBody:
        (refresh_token,) = required(form, "refresh_token")
        try:
            family = self.registry.use_refresh_token(
                refresh_token, "gateway", check=lambda family: check_refresh_binding(family, peer)
            )
        except InactiveToken as inactive:
            raise _invalid_token(inactive, "refresh_token") from None
        return self._token_response_with_refresh(family)

    def _invalidate_token(self, form: Form, peer: Peer | None) -> JsonBody:
        (token,) = required(form, "access_token")
        try:
            family = self.registry.find(token, "gateway").family
        except InactiveToken as inactive:
            raise _invalid_token(inactive, "access_token") from None
        check_refresh_binding(family, peer)
        # Undocumented: whether the refresh token is revoked too. Revoking it costs a client at most a login.
        self.registry.revoke_family(family)
        # Undocumented: the response. These are two members of a token response.
        return {"client_id": self.registration.client_id, "status": "revoked"}

    def _family(self, peer: Peer | None) -> TokenFamily:
        username = self.registration.username
        check_certificate(peer, owner=username)
        return TokenFamily(dialect="gateway", username=username, thumbprint=None if peer is None else peer.thumbprint)

    def _token_response_with_refresh(self, family: TokenFamily) -> JsonBody:
        return {
            **self._token_response(family),
            "refresh_token": self.registry.issue_refresh_token(family),
            "refresh_token_expires_in": str(whole_seconds(self.registry.refresh_lifetime)),
        }

    def _token_response(self, family: TokenFamily) -> JsonBody:
        token, record = self.registry.issue(family)
        return {
            "refresh_token_expires_in": "0",
            "api_product_list": f"[{', '.join(_PRODUCTS)}]",
            "api_product_list_json": _PRODUCTS,
            "organization_name": "sei",
            "developer.email": "developer@example.com",
            "token_type": "BearerToken",
            "issued_at": str(record.issued_at),
            "client_id": self.registration.client_id,
            "access_token": token,
            "application_name": self.registration.application_name,
            "scope": "",
            "expires_in": str(whole_seconds(record.seconds_left)),
            "refresh_count": str(family.refresh_count),
            "status": "approved",
        }


def check_app_key(request: web.BaseRequest, client_id: str) -> None:
    """Check the AppKey header, which both token and API requests need.

    Raises:
        ErrorResponse: There is none, more than one, or that of another application.
    """
    values = request.headers.getall(APP_KEY, [])
    if len(values) != 1:
        field = InvalidField(APP_KEY, "header", "is required, once")
        raise authentication_failure("The request must have exactly one AppKey header.", field)
    if not same(values[0], client_id):
        raise authentication_failure("The AppKey is unknown.", InvalidField(APP_KEY, "header", "names no application"))


def _invalid_token(inactive: InactiveToken, field: str) -> ErrorResponse:
    # 400 and not 401: the client is authenticated, a value of the form is wrong.
    return ErrorResponse(
        400, TOKEN_INVALID, str(inactive), fields=[InvalidField(field, "body", "must be an active token")]
    )
