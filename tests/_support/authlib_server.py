"""An independent authorization server: Authlib's, in Flask, over http on loopback, for an nginx in front of it.

It accepts the client certificate in nginx's headers (RFC 8705), and binds its tokens to it. It also has an API that
accepts those tokens.
"""

# mypy: disable-error-code="misc,untyped-decorator"
# Authlib has no types, so classes derived from its own have none either.

from __future__ import annotations

import json
import logging
import threading
import time
from types import SimpleNamespace
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authlib.integrations.flask_oauth2 import AuthorizationServer  # type: ignore[import-untyped]  # it has no types
from authlib.oauth2 import rfc7009, rfc7523, rfc7662, rfc8414, rfc8628  # type: ignore[import-untyped]
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from tests._support.authlib_grants import AUTHENTICATIONS, grants_of
from tests._support.authlib_models import (
    GRANTS,
    METHODS,
    SIGNING_KEY,
    App,
    Issued,
    State,
    presented,
    x5t,
)


class AuthlibServer:
    """The server, running inside `with`; `url` is its address for nginx."""

    def __init__(self) -> None:
        self.state = State()
        self._server: WSGIServer = make_server("127.0.0.1", 0, self._application(), handler_class=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Its http URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def register(self, client_id: str, method: str, **facts: Any) -> None:
        """Register a client."""
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
        for grant in grants_of(state):
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
            # The user has logged in and consented; a real server shows a page here.
            grant = server.get_consent_grant(end_user=SimpleNamespace(name="ann"))
            return server.create_authorization_response(grant_user=SimpleNamespace(name="ann"), grant=grant)

        @app.get("/.well-known/oauth-authorization-server")
        def metadata() -> Any:
            return jsonify(_metadata(state))

        @app.get("/api")
        def api() -> Any:
            return _answer_api_call(state)

        inner = app.wsgi_app

        def at_the_providers_paths(environ: Any, start_response: Any) -> Any:
            path = environ["PATH_INFO"]
            if path == state.token_path:
                environ["PATH_INFO"] = "/oauth/v2/token"
            elif path == f"{state.issuer_path.rstrip('/')}/.well-known/openid-configuration":
                environ["PATH_INFO"] = "/.well-known/oauth-authorization-server"
            elif path == "/.well-known/oauth-authorization-server" and state.issuer_path.rstrip("/"):
                environ["PATH_INFO"] = "/nowhere"
            return inner(environ, start_response)

        app.wsgi_app = at_the_providers_paths  # type: ignore[method-assign]  # as Flask's documentation does it
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


def _endpoints(state: State) -> list[Any]:
    class Revocation(rfc7009.RevocationEndpoint):
        CLIENT_AUTH_METHODS = AUTHENTICATIONS

        def query_token(self, token_string: str, token_type_hint: str) -> Issued | None:
            return state.find(token_string)

        def revoke_token(self, token: Issued, oauth_request: Any) -> None:
            token.revoked = True

    class Introspection(rfc7662.IntrospectionEndpoint):
        CLIENT_AUTH_METHODS = AUTHENTICATIONS

        def query_token(self, token_string: str, token_type_hint: str) -> Issued | None:
            return state.find(token_string)

        def check_permission(self, token: Issued, client: App, oauth_request: Any) -> bool:
            return token.check_client(client)

        def introspect_token(self, token: Issued) -> dict[str, Any]:
            claims = jwt.decode(token.reply["access_token"], SIGNING_KEY).claims
            return {**claims, "token_type": "Bearer", "username": getattr(token.user, "name", None)}

    class DeviceAuthorization(rfc8628.DeviceAuthorizationEndpoint):
        CLIENT_AUTH_METHODS = AUTHENTICATIONS
        INTERVAL = 0

        def get_verification_uri(self) -> str:
            return f"{state.api_url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            found = {"client_id": client_id, "scope": scope, "expires_at": time.time() + 60, **data}
            state.devices[data["device_code"]] = found

    return [Revocation, Introspection, DeviceAuthorization]


def _metadata(state: State) -> dict[str, Any]:
    document = {
        "issuer": state.issuer,
        "authorization_endpoint": f"{state.api_url}/authorize",
        "token_endpoint": f"{state.api_url}{state.token_path}",
        "revocation_endpoint": f"{state.api_url}/revoke",
        "introspection_endpoint": f"{state.api_url}/introspect",
        "device_authorization_endpoint": f"{state.api_url}/device",
        "response_types_supported": ["code"],
        "grant_types_supported": sorted(GRANTS),
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "HS256"],
        "tls_client_certificate_bound_access_tokens": True,
        "mtls_endpoint_aliases": {
            "token_endpoint": f"{state.mtls_url}{state.token_path}",
            "revocation_endpoint": f"{state.mtls_url}/revoke",
            "introspection_endpoint": f"{state.mtls_url}/introspect",
            "device_authorization_endpoint": f"{state.mtls_url}/device",
        },
    }
    # Authlib verifies it.
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
