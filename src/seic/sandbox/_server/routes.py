"""What stands where: the paths of the three dialects, side by side on every host."""

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
from seic.sandbox._dialects.sei_gateway import TOKEN_PATH, GatewayEndpoints
from seic.sandbox._dialects.sei_platform import PLATFORM_TOKEN_PATH, TOKEN_INFO_PATH, PlatformEndpoints
from seic.sandbox._error_responses import (
    gateway_error_body,
    oauth2_error_body,
    platform_error_body,
    revocation_error_body,
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
    addresses: Callable[[web.BaseRequest], ProviderUrls],
    revocation_path: str,
) -> dict[str, Route]:
    """Return who answers at which path; all else is the API's.

    Args:
        registration: Who is known.
        registry: The tokens of all dialects.
        identity_provider: Whose SAML documents the platform takes.
        clock: Seconds; only differences count.
        addresses: Tells where the caller of the plain provider reaches it.
        revocation_path: Where the platform revokes tokens.

    Raises:
        ValueError: That path is no path, or is taken.
    """
    gateway = GatewayEndpoints(registration, registry)
    codes = AuthorizationCodes(clock=clock, registry=registry)
    login = LoginEndpoints(registration, codes, clock=clock)
    platform = PlatformEndpoints(registration, registry, codes, identity_provider)
    plain = OAuth2Endpoints(registration, registry, addresses)
    routes = {
        TOKEN_PATH: Route(answer=gateway.answer, form=gateway_error_body, counted="token_requests"),
        AUTHORIZE_PATH: Route(answer=login.authorize, form=platform_error_body, counted="login_requests"),
        LOGIN_PATH: Route(answer=login.page, form=platform_error_body, counted="login_requests"),
        PLATFORM_TOKEN_PATH: Route(answer=platform.token, form=platform_error_body, counted="token_requests"),
        TOKEN_INFO_PATH: Route(answer=platform.token_info, form=platform_error_body, counted="info_requests"),
        OAUTH2_TOKEN_PATH: Route(answer=plain.token, form=oauth2_error_body, counted="token_requests"),
        OAUTH2_REVOCATION_PATH: Route(
            answer=plain.revoke, form=oauth2_error_body, counted="revocation_requests", kills=True
        ),
        INTROSPECTION_PATH: Route(answer=plain.introspect, form=oauth2_error_body, counted="info_requests"),
        METADATA_PATH: Route(answer=plain.metadata, form=oauth2_error_body, counted="info_requests"),
        KEYS_PATH: Route(answer=plain.keys, form=oauth2_error_body, counted="info_requests"),
    }
    if not revocation_path.startswith("/") or revocation_path in routes:
        raise ValueError(f"revocation_path must be a path that is not taken, not {revocation_path!r}")
    revocation = Route(answer=platform.revoke, form=revocation_error_body, counted="revocation_requests", kills=True)
    return {**routes, revocation_path: revocation}
