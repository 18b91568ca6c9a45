"""The token endpoint in the gateway's dialect, strict as its documents: `POST /v2/oauthtoken`.

A refusal names the header or field at fault and repeats no value. No socket and no counting here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web

from seic.sandbox._error_responses import (
    TOKEN_INVALID,
    ErrorResponse,
    InvalidField,
    authentication_failure,
    certificate_mismatch,
    invalid_request,
    unknown_grant_type,
)
from seic.sandbox._form import Form, read_basic, read_post, required, same
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._token_registry import InactiveToken, TokenFamily, TokenRegistry, whole_seconds

TOKEN_PATH = "/v2/oauthtoken"
APP_KEY = "AppKey"

_PRODUCTS = ["Investors"]

_Answer: TypeAlias = Mapping[str, Any]


class GatewayEndpoints:
    """Answers token requests: one function for each grant type, in a table."""

    def __init__(self, registration: Registration, registry: TokenRegistry) -> None:
        self._registration = registration
        self._registry = registry
        self._grants: Mapping[str, Callable[[Form, Peer | None], _Answer]] = {
            "client_credentials": self._client_credentials,
            "password": self._password,
            "refresh_token": self._refresh_token,
            "sessionToken": self._session_token,
            "invalidate_token": self._invalidate_token,
        }

    async def answer(self, request: web.BaseRequest, peer: Peer | None) -> _Answer:
        """Return the body of a 200.

        Args:
            request: The request, its body unread.
            peer: Who proved a client certificate; None on the host that asks for none.

        Raises:
            ErrorResponse: The request breaks one of the documented rules.
        """
        form = await read_post(request)
        self._authenticate_client(request)
        if "client_secret" in form:
            # RFC 6749 §2.3: a client authenticates in one way only.
            raise invalid_request(
                "The AppSecret belongs in the Authorization header alone.",
                InvalidField("client_secret", "body", "must not stand in the form"),
            )
        grant_type = required(form, "grant_type")[0]
        grant = self._grants.get(grant_type)
        if grant is None:
            raise unknown_grant_type(list(self._grants))
        return grant(form, peer)

    def _authenticate_client(self, request: web.BaseRequest) -> None:
        check_app_key(request, self._registration.client_id)
        client_id, client_secret = read_basic(request, expected="Basic base64(AppKey:AppSecret)")
        # The AppKey header is right by now, so this is also what makes the two agree.
        if not same(client_id, self._registration.client_id):
            raise authentication_failure(
                "The Authorization header speaks of another application than the AppKey header.",
                InvalidField("Authorization", "header", "its user must be the AppKey"),
            )
        if not same(client_secret, self._registration.client_secret):
            raise authentication_failure(
                "The AppSecret is wrong.", InvalidField("Authorization", "header", "its password must be the AppSecret")
            )

    def _client_credentials(self, form: Form, peer: Peer | None) -> _Answer:
        # Never with a refresh token: a new token is minted instead.
        return self._answer(self._log_in(form, peer))

    def _password(self, form: Form, peer: Peer | None) -> _Answer:
        return self._refreshable(self._log_in(form, peer))

    def _log_in(self, form: Form, peer: Peer | None) -> TokenFamily:
        username, password = required(form, "username", "password")
        known = self._registration
        # Both are compared, whatever the first says, and the refusal does not tell which was wrong.
        if not (same(username, known.username) & same(password, known.password)):
            raise authentication_failure("The user name or the password of the service account is wrong.")
        return self._family(peer)

    def _session_token(self, form: Form, peer: Peer | None) -> _Answer:
        (session_token,) = required(form, self._registration.session_token_field)
        if not same(session_token, self._registration.session_token):
            raise authentication_failure(
                "There is no such session.",
                InvalidField(self._registration.session_token_field, "body", "must be the token of a session"),
            )
        return self._answer(self._family(peer))

    def _refresh_token(self, form: Form, peer: Peer | None) -> _Answer:
        (refresh_token,) = required(form, "refresh_token")
        try:
            family = self._registry.use_refresh_token(
                refresh_token, "gateway", admit=lambda family: check_bound(family, peer)
            )
        except InactiveToken as death:
            raise _dead(death, "refresh_token") from None
        return self._refreshable(family)

    def _invalidate_token(self, form: Form, peer: Peer | None) -> _Answer:
        (token,) = required(form, "access_token")
        family = self._registry.family_of(token)
        try:
            if family is None or family.dialect != "gateway":
                raise InactiveToken("The access token is unknown or was revoked.")
            self._registry.find(token)
        except InactiveToken as death:
            raise _dead(death, "access_token") from None
        check_bound(family, peer)
        # Whether its refresh token dies along is not documented; who relies on its life has lost nothing but a login.
        self._registry.revoke_family(family)
        # What a successful invalidation answers is not documented; this keeps to the members that a token reply has.
        return {"client_id": self._registration.client_id, "status": "revoked"}

    def _family(self, peer: Peer | None) -> TokenFamily:
        username = self._registration.username
        check_certificate(peer, owner=username)
        return TokenFamily(dialect="gateway", username=username, thumbprint=None if peer is None else peer.thumbprint)

    def _refreshable(self, family: TokenFamily) -> _Answer:
        return {
            **self._answer(family),
            "refresh_token": self._registry.issue_refresh_token(family),
            "refresh_token_expires_in": str(whole_seconds(self._registry.refresh_lifetime)),
        }

    def _answer(self, family: TokenFamily) -> _Answer:
        token, record = self._registry.issue(family)
        return {
            "refresh_token_expires_in": "0",
            "api_product_list": f"[{', '.join(_PRODUCTS)}]",
            "api_product_list_json": _PRODUCTS,
            "organization_name": "sei",
            "developer.email": "developer@example.com",
            "token_type": "BearerToken",
            "issued_at": str(record.issued_at),
            "client_id": self._registration.client_id,
            "access_token": token,
            "application_name": self._registration.application_name,
            "scope": "",
            "expires_in": str(whole_seconds(record.seconds_left)),
            "refresh_count": str(family.refresh_count),
            "status": "approved",
        }


def check_app_key(request: web.BaseRequest, client_id: str) -> None:
    """Demand the AppKey header, which token and API calls carry alike.

    Raises:
        ErrorResponse: There is none, more than one, or another application's.
    """
    values = request.headers.getall(APP_KEY, [])
    if len(values) != 1:
        raise authentication_failure(
            "The call carries no AppKey header, or more than one.", InvalidField(APP_KEY, "header", "is required, once")
        )
    if not same(values[0], client_id):
        raise authentication_failure("The AppKey is unknown.", InvalidField(APP_KEY, "header", "names no application"))


def check_certificate(peer: Peer | None, *, owner: str) -> None:
    """Demand that a client certificate, where there is one, is the service account's own: its CN is the user name.

    Raises:
        ErrorResponse: It is another's.
    """
    if peer is not None and peer.common_name != owner:
        raise certificate_mismatch(
            "The subject CN of the client certificate is not the user name of the service account."
        )


def binding_problem(family: TokenFamily, peer: Peer | None) -> str | None:
    """Say why a token is of no use on the host that is called; None where it was had on the same.

    A server-based application uses the mutual-TLS host "for every call, token and API alike" (SEI's developer portal),
    and any other the plain host.
    """
    if family.thumbprint is not None and peer is None:
        return "is bound to a client certificate, and this call has none"
    if family.thumbprint is None and peer is not None:
        return "was had without a client certificate, and an application uses one host for token and API calls alike"
    return None


def check_bound(family: TokenFamily, peer: Peer | None) -> None:
    """Demand of a refresh what was demanded of the login: the same host, and the account's own certificate.

    Raises:
        ErrorResponse: It comes to the other host, or with another's certificate.
    """
    if (reason := binding_problem(family, peer)) is not None:
        raise certificate_mismatch(f"The token {reason}.")
    check_certificate(peer, owner=family.username)


def _dead(death: InactiveToken, field: str) -> ErrorResponse:
    # Not 401: the caller is known, it is the form's value that is wrong.
    return ErrorResponse(400, TOKEN_INVALID, str(death), faults=[InvalidField(field, "body", "must be a valid token")])
