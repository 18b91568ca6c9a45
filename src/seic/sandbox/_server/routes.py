"""The paths of the three dialects; every host serves all of them."""

from __future__ import annotations

from collections.abc import Callable

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


def build_routes(
    registration: Registration,
    registry: TokenRegistry,
    identity_provider: IdentityProvider,
    *,
    clock: Callable[[], float],
    urls_for: Callable[[web.BaseRequest], ProviderUrls],
    revocation_path: str,
) -> dict[str, Route]:
    """Return the endpoint of each path; all other paths belong to the API.

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
    oauth2 = OAuth2Endpoints(registration, registry, urls_for)
    routes = {
        GATEWAY_TOKEN_PATH: Route(gateway.token, gateway_error_body, "token_requests"),
        AUTHORIZE_PATH: Route(login.authorize, platform_error_body, "login_requests"),
        LOGIN_PATH: Route(login.page, platform_error_body, "login_requests"),
        PLATFORM_TOKEN_PATH: Route(platform.token, platform_error_body, "token_requests"),
        TOKEN_INFO_PATH: Route(platform.token_info, platform_error_body, "info_requests"),
        OAUTH2_TOKEN_PATH: Route(oauth2.token, oauth2_error_body, "token_requests"),
        OAUTH2_REVOCATION_PATH: Route(oauth2.revoke, oauth2_error_body, "revocation_requests"),
        INTROSPECTION_PATH: Route(oauth2.introspect, oauth2_error_body, "info_requests"),
        METADATA_PATH: Route(oauth2.metadata, oauth2_error_body, "info_requests"),
        KEYS_PATH: Route(oauth2.keys, oauth2_error_body, "info_requests"),
    }
    if not revocation_path.startswith("/") or revocation_path in routes:
        raise ValueError(f"revocation_path: must be a path that no other endpoint has, not {revocation_path!r}")
    revocation = Route(platform.revoke, platform_revocation_error_body, "revocation_requests")
    return {**routes, revocation_path: revocation}
