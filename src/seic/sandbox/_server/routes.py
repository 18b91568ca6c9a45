"""The paths of the three dialects and of further issuers; every host serves all of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping

import attrs
from aiohttp import web

from seic.sandbox._dialects.oauth2 import (
    INTROSPECTION_PATH,
    KEYS_PATH,
    METADATA_PATH,
    OAUTH2_REVOCATION_PATH,
    OAUTH2_TOKEN_PATH,
    OAuth2Endpoints,
    ProviderUrls,
)
from seic.sandbox._dialects.platform_codes import AuthorizationCodes
from seic.sandbox._dialects.platform_login import AUTHORIZE_PATH, LoginEndpoints
from seic.sandbox._dialects.platform_login_pages import LOGIN_PATH
from seic.sandbox._dialects.platform_saml import IdentityProvider
from seic.sandbox._dialects.sei_gateway import GATEWAY_TOKEN_PATH, GatewayEndpoints
from seic.sandbox._dialects.sei_platform import PLATFORM_TOKEN_PATH, TOKEN_INFO_PATH, PlatformEndpoints
from seic.sandbox._error_responses import (
    gateway_error_body,
    oauth2_error_body,
    platform_error_body,
    platform_revocation_error_body,
)
from seic.sandbox._registration import Registration
from seic.sandbox._server.dispatch import Route
from seic.sandbox._token_registry import TokenRegistry

#: An issuer by path, and the same behind the metadata's path (RFC 8414 §3.1).
_ISSUER_PATH = re.compile(rf"(?:{re.escape(METADATA_PATH)})?(/issuers/[A-Za-z0-9._~-]{{1,64}})(/.*)?")
_ISSUERS = "/issuers/"


@attrs.frozen(eq=False, repr=False)
class Routes:
    """Finds the endpoint of a path; all other paths belong to the API.

    Args:
        known: The endpoints of the three dialects by path.
        new_issuer: Returns the endpoints of another issuer, with its own key, for its path.
        issuers: The endpoints of the issuers by path.
    """

    known: Mapping[str, Route]
    new_issuer: Callable[[str], OAuth2Endpoints]
    issuers: dict[str, OAuth2Endpoints]
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)  # guards issuers

    def find(self, path: str) -> Route | None:
        """Return the endpoint of a path; an issuer is created by its first request."""
        found = self.known.get(path)
        if found is not None or _ISSUERS not in path or (match := _ISSUER_PATH.fullmatch(path)) is None:
            return found
        rest = path.replace(match.group(1), "", 1)
        return oauth2_routes(self.issuer(match.group(1))).get(rest)

    def issuer(self, path: str) -> OAuth2Endpoints:
        """Return the endpoints of the issuer with a path."""
        with self._lock:
            if path not in self.issuers:
                self.issuers[path] = self.new_issuer(path)
            return self.issuers[path]


def issuer_path(name: str) -> str:
    """Return the path of an issuer; empty for the provider itself.

    Raises:
        ValueError: The name cannot be part of a path.
    """
    path = f"{_ISSUERS}{name}" if name else ""
    if name and (_ISSUER_PATH.fullmatch(path) is None or "/" in name):
        raise ValueError(f"issuer: must be 1 to 64 letters, digits or ._~-, not {name!r}")
    return path


def oauth2_routes(oauth2: OAuth2Endpoints) -> dict[str, Route]:
    """Return the endpoints of an issuer of the plain provider, by the path below it."""
    return {
        OAUTH2_TOKEN_PATH: Route(oauth2.token, oauth2_error_body, "token_requests"),
        OAUTH2_REVOCATION_PATH: Route(oauth2.revoke, oauth2_error_body, "revocation_requests"),
        INTROSPECTION_PATH: Route(oauth2.introspect, oauth2_error_body, "info_requests"),
        METADATA_PATH: Route(oauth2.metadata, oauth2_error_body, "info_requests"),
        KEYS_PATH: Route(oauth2.keys, oauth2_error_body, "info_requests"),
    }


def build_routes(
    registration: Registration,
    registry: TokenRegistry,
    identity_provider: IdentityProvider,
    *,
    clock: Callable[[], float],
    urls_for: Callable[[web.BaseRequest], ProviderUrls],
    revocation_path: str,
) -> Routes:
    """Return the endpoints.

    Args:
        registration: The registered application and account.
        registry: The tokens of all dialects.
        identity_provider: Signs the SAML documents that the platform accepts.
        clock: Returns seconds; only differences matter.
        urls_for: Returns the base URLs of the plain provider for a request.
        revocation_path: The path of the platform's revocation endpoint.

    Raises:
        ValueError: `revocation_path` is not a path, or another endpoint has it.
    """
    gateway = GatewayEndpoints(registration, registry)
    codes = AuthorizationCodes(clock, registry)
    login = LoginEndpoints(registration, codes, clock)
    platform = PlatformEndpoints(registration, registry, codes, identity_provider)

    def new_issuer(path: str) -> OAuth2Endpoints:
        return OAuth2Endpoints(registration, registry, urls_for, path)

    provider = new_issuer("")

    routes = {
        GATEWAY_TOKEN_PATH: Route(gateway.token, gateway_error_body, "token_requests"),
        AUTHORIZE_PATH: Route(login.authorize, platform_error_body, "login_requests"),
        LOGIN_PATH: Route(login.page, platform_error_body, "login_requests"),
        PLATFORM_TOKEN_PATH: Route(platform.token, platform_error_body, "token_requests"),
        TOKEN_INFO_PATH: Route(platform.token_info, platform_error_body, "info_requests"),
        **oauth2_routes(provider),
    }
    if not revocation_path.startswith("/") or revocation_path in routes:
        raise ValueError(f"revocation_path: must be a path that no other endpoint has, not {revocation_path!r}")
    revocation = Route(platform.revoke, platform_revocation_error_body, "revocation_requests")
    return Routes({**routes, revocation_path: revocation}, new_issuer, {"": provider})
