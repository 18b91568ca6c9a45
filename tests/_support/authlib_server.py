"""An authorization server that is not ours: Authlib's, in Flask, in clear on loopback, for an nginx to stand before.

It takes whom nginx says the client certificate names (RFC 8705), and binds its tokens to it. Beside it stands an API
that takes those tokens.
"""

# mypy: disable-error-code="misc,untyped-decorator"
# Authlib has no types, so what is made of its classes has none either.

from __future__ import annotations

import base64
import hashlib
import json
import logging
import ssl
import threading
import time
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import unquote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import attrs
from authlib.integrations.flask_oauth2 import AuthorizationServer  # type: ignore[import-untyped]  # it has no types
from authlib.oauth2 import rfc6749, rfc7009, rfc7523, rfc7636, rfc7662, rfc8414, rfc8628  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import grants  # type: ignore[import-untyped]  # it has no types
from cryptography import x509
from flask import Flask, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

METHODS = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "client_secret_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
GRANTS = {
    "authorization_code",
    "client_credentials",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:device_code",
}
REDIRECT = "https://app.example/back"
PASSWORD = "pass+word with %"


@attrs.define(kw_only=True)
class App(rfc6749.ClientMixin):
    """A registered client: its id, how it proves itself, and with what."""

    client_id: str
    method: str
    secret: str = ""
    public_key: bytes = b""
    subject: str = ""
    thumbprint: str = ""

    def get_client_id(self) -> str:
        """Name it."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """Where its logins return to."""
        return REDIRECT

    def get_allowed_scope(self, scope: str) -> str:
        """Grant what is asked for."""
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Take the registered one only."""
        return redirect_uri == REDIRECT

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare."""
        return bool(self.secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Take the registered method only, at every endpoint."""
        return method in (self.method, "client_assertion_jwt" if self.method.endswith("_jwt") else "")

    def check_response_type(self, response_type: str) -> bool:
        """Take codes."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Take every grant."""
        return grant_type in GRANTS


@attrs.define(eq=False)
class Issued(rfc6749.TokenMixin):
    """A token that was issued."""

    client: App
    user: Any
    reply: dict[str, Any]
    issued_at: float = attrs.field(factory=time.time)
    revoked: bool = False

    def check_client(self, client: App) -> bool:
        """Tell whose it is."""
        return client.client_id == self.client.client_id

    def get_scope(self) -> str:
        """What it is for."""
        return str(self.reply.get("scope", ""))

    def get_expires_in(self) -> int:
        """Seconds."""
        return int(self.reply["expires_in"])

    def is_expired(self) -> bool:
        """Tell whether it is over."""
        return time.time() > self.issued_at + self.get_expires_in()

    def is_revoked(self) -> bool:
        """Tell whether it was ended."""
        return self.revoked

    def get_user(self) -> Any:
        """Whose it is."""
        return self.user

    def get_client(self) -> App:
        """To whom it was given."""
        return self.client


@attrs.define(eq=False)
class State:
    """What the server knows, and `calls`, what it was asked: path, method of client authentication, presented name."""

    apps: dict[str, App] = attrs.field(factory=dict)
    issued: list[Issued] = attrs.field(factory=list)
    codes: dict[str, Any] = attrs.field(factory=dict)
    devices: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    approved: set[str] = attrs.field(factory=set)
    used_jtis: set[str] = attrs.field(factory=set)
    calls: list[str] = attrs.field(factory=list)
    api_url: str = ""
    mtls_url: str = ""

    @property
    def audiences(self) -> list[str]:
        """What the server is called."""
        return [self.api_url, f"{self.api_url}/oauth/v2/token", f"{self.mtls_url}/oauth/v2/token"]

    def find(self, secret: str) -> Issued | None:
        """Return the token of which this is one half."""
        halves = ("access_token", "refresh_token")
        return next((each for each in self.issued if secret in map(each.reply.get, halves)), None)


def presented() -> x509.Certificate | None:
    """Return the certificate that nginx has verified, if there is one."""
    pem = unquote(request.headers.get("X-SSL-Client-Cert", ""))
    return x509.load_pem_x509_certificate(pem.encode()) if pem else None


def x5t(certificate: x509.Certificate) -> str:
    """RFC 8705 §3.1, by the standard library."""
    from cryptography.hazmat.primitives.serialization import Encoding

    der = ssl.PEM_cert_to_DER_cert(certificate.public_bytes(Encoding.PEM).decode())
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


SIGNING_KEY = OctKey.generate_key(256)


class AuthlibServer:
    """The server between entry and exit; `url` is where nginx finds it."""

    def __init__(self) -> None:
        self.state = State()
        self._server: WSGIServer = make_server("127.0.0.1", 0, self._application(), handler_class=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it stands, in clear."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def register(self, client_id: str, method: str, **facts: Any) -> None:
        """Make a client known."""
        self.state.apps[client_id] = App(client_id=client_id, method=method, **facts)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _application(self) -> Flask:  # noqa: C901  # a function for each route
        state = self.state
        app = Flask("authlib")
        logging.getLogger("werkzeug").disabled = True

        def access_token(client: App, grant_type: str, user: Any, scope: str) -> str:
            certificate = presented()
            claims: dict[str, Any] = {"iss": state.api_url, "client_id": client.client_id, "scope": scope or ""}
            claims |= {"iat": int(time.time()), "exp": int(time.time()) + 600, "jti": str(len(state.issued))}
            if certificate is not None:
                claims["cnf"] = {"x5t#S256": x5t(certificate)}
            return jwt.encode({"alg": "HS256"}, claims, SIGNING_KEY)

        app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = access_token
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(GRANTS, 600)

        def save_token(token: dict[str, Any], oauth_request: Any) -> None:
            state.issued.append(Issued(oauth_request.client, oauth_request.user, token))

        server = AuthorizationServer(app, state.apps.get, save_token)
        for name, method in _client_authentications(state).items():
            server.register_client_auth_method(name, method)
        for grant in _grants(state):
            server.register_grant(*grant)
        for endpoint in _endpoints(state):
            server.register_endpoint(endpoint)

        @app.before_request
        def note() -> None:
            certificate = presented()
            name = certificate.subject.rfc4514_string() if certificate is not None else "-"
            state.calls.append(f"{request.path} {name}")

        @app.post("/oauth/v2/token")
        def token() -> Any:
            return server.create_token_response()

        @app.post("/revoke")
        def revoke() -> Any:
            return server.create_endpoint_response("revocation")

        @app.post("/introspect")
        def introspect() -> Any:
            return server.create_endpoint_response("introspection")

        @app.post("/device")
        def device() -> Any:
            return server.create_endpoint_response("device_authorization")

        @app.get("/authorize")
        def authorize() -> Any:
            # The person has logged in and agreed; a page would ask here.
            grant = server.get_consent_grant(end_user=SimpleNamespace(name="ann"))
            return server.create_authorization_response(grant_user=SimpleNamespace(name="ann"), grant=grant)

        @app.get("/elsewhere")
        def elsewhere() -> Any:
            return redirect(REDIRECT)

        @app.get("/.well-known/oauth-authorization-server")
        def metadata() -> Any:
            return jsonify(_metadata(state))

        @app.get("/api")
        def api() -> Any:
            return _answer_api_call(state)

        return app


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def _client_authentications(state: State) -> dict[str, Any]:
    def by_certificate(query_client: Any, oauth_request: Any) -> App | None:
        client: App | None = query_client(oauth_request.form.get("client_id") or "")
        certificate = presented()
        if client is None or certificate is None or "client_secret" in oauth_request.form:
            return None
        if client.method == "tls_client_auth" and certificate.subject.rfc4514_string() == client.subject:
            return client
        return client if client.method.startswith("self") and x5t(certificate) == client.thumbprint else None

    class Assertion(rfc7523.JWTBearerClientAssertion):
        def get_audiences(self) -> list[str]:
            return state.audiences

        def validate_jti(self, claims: Any, jti: str) -> bool:
            is_new = jti not in state.used_jtis
            state.used_jtis.add(jti)
            return is_new

        def resolve_client_public_key(self, client: App) -> Any:
            return ECKey.import_key(client.public_key) if client.public_key else OctKey.import_key(client.secret)

    return {
        "tls_client_auth": by_certificate,
        "self_signed_tls_client_auth": by_certificate,
        "client_assertion_jwt": Assertion(),
    }


_AUTHENTICATIONS = [
    "client_secret_basic",
    "client_secret_post",
    "client_assertion_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]


def _grants(state: State) -> list[tuple[Any, ...]]:  # noqa: C901  # a class for each grant
    class ClientCredentials(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATIONS

    class Password(grants.ResourceOwnerPasswordCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATIONS

        def authenticate_user(self, username: str, password: str) -> Any:
            return SimpleNamespace(name=username) if password == PASSWORD else None

    class Code(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATIONS

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
        TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATIONS
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
            found = state.find(refresh_token)
            return None if found is None or found.revoked else found

        def authenticate_user(self, refresh_token: Issued) -> Any:
            return refresh_token.user

        def revoke_old_credential(self, refresh_token: Issued) -> None:
            refresh_token.revoked = True

    class Jwt(rfc7523.JWTBearerGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATIONS

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
        TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATIONS

        def query_device_credential(self, device_code: str) -> Any:
            found = state.devices.get(device_code)
            return None if found is None else rfc8628.DeviceCredentialDict(found)

        def query_user_grant(self, user_code: str) -> Any:
            return (SimpleNamespace(name="ann"), True) if user_code in state.approved else None

        def should_slow_down(self, credential: Any) -> bool:
            return False

    return [
        (ClientCredentials,),
        (Password,),
        (Code, [rfc7636.CodeChallenge(required=True)]),
        (Refresh,),
        (Jwt,),
        (Device,),
    ]


def _endpoints(state: State) -> list[Any]:
    class Revocation(rfc7009.RevocationEndpoint):
        CLIENT_AUTH_METHODS = _AUTHENTICATIONS

        def query_token(self, token_string: str, token_type_hint: str) -> Issued | None:
            return state.find(token_string)

        def revoke_token(self, token: Issued, oauth_request: Any) -> None:
            token.revoked = True

    class Introspection(rfc7662.IntrospectionEndpoint):
        CLIENT_AUTH_METHODS = _AUTHENTICATIONS

        def query_token(self, token_string: str, token_type_hint: str) -> Issued | None:
            return state.find(token_string)

        def check_permission(self, token: Issued, client: App, oauth_request: Any) -> bool:
            return token.check_client(client)

        def introspect_token(self, token: Issued) -> dict[str, Any]:
            claims = jwt.decode(token.reply["access_token"], SIGNING_KEY).claims
            return {**claims, "token_type": "Bearer", "username": getattr(token.user, "name", None)}

    class DeviceAuthorization(rfc8628.DeviceAuthorizationEndpoint):
        CLIENT_AUTH_METHODS = _AUTHENTICATIONS
        INTERVAL = 0

        def get_verification_uri(self) -> str:
            return f"{state.api_url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            found = {"client_id": client_id, "scope": scope, "expires_at": time.time() + 60, **data}
            state.devices[data["device_code"]] = found

    return [Revocation, Introspection, DeviceAuthorization]


def _metadata(state: State) -> dict[str, Any]:
    document = {
        "issuer": state.api_url,
        "authorization_endpoint": f"{state.api_url}/authorize",
        "token_endpoint": f"{state.api_url}/oauth/v2/token",
        "revocation_endpoint": f"{state.api_url}/revoke",
        "introspection_endpoint": f"{state.api_url}/introspect",
        "device_authorization_endpoint": f"{state.api_url}/device",
        "response_types_supported": ["code"],
        "grant_types_supported": sorted(GRANTS),
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "HS256"],
        "tls_client_certificate_bound_access_tokens": True,
        "mtls_endpoint_aliases": {
            "token_endpoint": f"{state.mtls_url}/oauth/v2/token",
            "revocation_endpoint": f"{state.mtls_url}/revoke",
            "introspection_endpoint": f"{state.mtls_url}/introspect",
            "device_authorization_endpoint": f"{state.mtls_url}/device",
        },
    }
    # Authlib's own judgement of it.
    rfc8414.AuthorizationServerMetadata(document).validate()
    return document


def _answer_api_call(state: State) -> Any:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    token = state.find(secret)
    if scheme != "Bearer" or token is None or token.revoked:
        return json.dumps({}), 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    bound_to = jwt.decode(secret, SIGNING_KEY).claims.get("cnf", {}).get("x5t#S256")
    certificate = presented()
    if bound_to is not None and (certificate is None or x5t(certificate) != bound_to):
        return json.dumps({}), 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return jsonify({"client_id": token.client.client_id, "user": getattr(token.user, "name", None)})
