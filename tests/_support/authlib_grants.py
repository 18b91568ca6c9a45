"""The grants of an authorization server, on Authlib's classes."""

# mypy: disable-error-code="misc"
# Authlib has no types, so classes derived from its own have none either.

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

from authlib.oauth2 import rfc6749, rfc7523, rfc7636, rfc8628  # type: ignore[import-untyped]  # it has no types
from authlib.oauth2.rfc6749 import grants  # type: ignore[import-untyped]  # it has no types
from joserfc.jwk import ECKey

from tests._support.authlib_models import ACCESS_TOKEN_TYPE, PASSWORD, App, Issued, State

AUTHENTICATIONS = [
    "client_secret_basic",
    "client_secret_post",
    "client_assertion_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]


def grants_of(state: State) -> list[tuple[Any, ...]]:  # noqa: C901  # a class for each grant
    """Return Authlib's grants, and two that it does not have."""

    class ClientCredentials(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS

    class Password(grants.ResourceOwnerPasswordCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS

        def authenticate_user(self, username: str, password: str) -> Any:
            return SimpleNamespace(name=username) if password == PASSWORD else None

    class Code(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS

        def save_authorization_code(self, code: str, oauth_request: Any) -> None:
            data = oauth_request.payload.data
            state.codes[code] = SimpleNamespace(
                code=code,
                client_id=oauth_request.client.client_id,
                user=oauth_request.user,
                code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
                get_redirect_uri=lambda: oauth_request.payload.redirect_uri,
                get_scope=lambda: oauth_request.payload.scope,
            )

        def query_authorization_code(self, code: str, client: App) -> Any:
            found = state.codes.get(code)
            return found if found is not None and found.client_id == client.client_id else None

        def delete_authorization_code(self, authorization_code: Any) -> None:
            del state.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Any) -> Any:
            return authorization_code.user

    class Refresh(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
            found = state.find(refresh_token)
            return None if found is None or found.revoked else found

        def authenticate_user(self, refresh_token: Issued) -> Any:
            return refresh_token.user

        def revoke_old_credential(self, refresh_token: Issued) -> None:
            refresh_token.revoked = True

    class Jwt(rfc7523.JWTBearerGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS

        def get_audiences(self) -> list[str]:
            return state.audiences

        def resolve_issuer_client(self, issuer: str) -> App | None:
            return state.apps.get(issuer)

        def resolve_client_public_key(self, client: App) -> Any:
            return ECKey.import_key(client.public_key)

        def authenticate_user(self, subject: str) -> Any:
            return SimpleNamespace(name=subject)

        def has_granted_permission(self, client: App, user: Any) -> bool:
            return True

    class Device(rfc8628.DeviceCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS

        def query_device_credential(self, device_code: str) -> Any:
            found = state.devices.get(device_code)
            return None if found is None else rfc8628.DeviceCredentialDict(found)

        def query_user_grant(self, user_code: str) -> Any:
            return (SimpleNamespace(name="ann"), True) if user_code in state.approved else None

        def should_slow_down(self, credential: Any) -> bool:
            return False

    class _Exchanging(grants.BaseGrant, grants.TokenEndpointMixin):
        TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATIONS

        def validate_token_request(self) -> None:
            self.request.client = self.authenticate_token_endpoint_client()
            self.request.user = self.user_of(self.request.form)
            if self.request.user is None:
                raise rfc6749.InvalidGrantError

        def create_token_response(self) -> Any:
            scope = self.request.payload.scope
            token = self.generate_token(user=self.request.user, scope=scope, include_refresh_token=False)
            self.save_token(token)
            return 200, {**token, "issued_token_type": ACCESS_TOKEN_TYPE}, self.TOKEN_RESPONSE_HEADER

    class Exchange(_Exchanging):
        GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"

        def user_of(self, form: Any) -> Any:
            # RFC 8693 §2.1.
            found = state.find(form["subject_token"])
            is_known = form["subject_token_type"] == ACCESS_TOKEN_TYPE and form["audience"] == "orders"
            return found.user if found is not None and is_known else None

    class Saml(_Exchanging):
        GRANT_TYPE = "urn:ietf:params:oauth:grant-type:saml2-bearer"

        def user_of(self, form: Any) -> Any:
            # RFC 7522 §2.1: base64url, without padding.
            text = form["assertion"]
            if set("+/=") & set(text):
                return None
            xml = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            document = ET.fromstring(xml)  # noqa: S314  # a test's own
            return SimpleNamespace(name=document.findtext(".//{*}NameID"))

    return [
        (Exchange,),
        (Saml,),
        (ClientCredentials,),
        (Password,),
        (Code, [rfc7636.CodeChallenge(required=True)]),
        (Refresh,),
        (Jwt,),
        (Device,),
    ]
