"""What stands where: the paths of the three dialects, side by side on every host."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from seic.sandbox.clock import Clock
from seic.sandbox.codes import Codes
from seic.sandbox.dispatch import Route
from seic.sandbox.gateway import TOKEN_PATH, TokenEndpoint
from seic.sandbox.ledger import Ledger
from seic.sandbox.login import AUTHORIZE_PATH, Login
from seic.sandbox.pages import LOGIN_PATH
from seic.sandbox.plain import (
    INTROSPECTION_PATH,
    KEYS_PATH,
    METADATA_PATH,
    PLAIN_REVOCATION_PATH,
    PLAIN_TOKEN_PATH,
    Addresses,
    PlainEndpoints,
)
from seic.sandbox.refusals import gateway_form, platform_form, revocation_form, standard_form
from seic.sandbox.registration import Registration
from seic.sandbox.saml import IdentityProvider
from seic.sandbox.sei_platform import PLATFORM_TOKEN_PATH, TOKEN_INFO_PATH, PlatformEndpoints


def build_routes(
    registration: Registration,
    ledger: Ledger,
    identity_provider: IdentityProvider,
    *,
    clock: Clock,
    addresses: Callable[[web.BaseRequest], Addresses],
    revocation_path: str,
) -> dict[str, Route]:
    """Return who answers at which path; all else is the API's.

    Args:
        registration: Who is known.
        ledger: The tokens of all dialects.
        identity_provider: Whose SAML documents the platform takes.
        clock: Seconds; only differences count.
        addresses: Tells where the caller of the plain provider reaches it.
        revocation_path: Where the platform revokes tokens.

    Raises:
        ValueError: That path is no path, or is taken.
    """
    gateway = TokenEndpoint(registration, ledger)
    codes = Codes(clock=clock, ledger=ledger)
    login = Login(registration, codes, clock=clock)
    platform = PlatformEndpoints(registration, ledger, codes, identity_provider)
    plain = PlainEndpoints(registration, ledger, addresses)
    routes = {
        TOKEN_PATH: Route(answer=gateway.answer, form=gateway_form, counted="token_requests"),
        AUTHORIZE_PATH: Route(answer=login.authorize, form=platform_form, counted="login_requests"),
        LOGIN_PATH: Route(answer=login.page, form=platform_form, counted="login_requests"),
        PLATFORM_TOKEN_PATH: Route(answer=platform.token, form=platform_form, counted="token_requests"),
        TOKEN_INFO_PATH: Route(answer=platform.token_info, form=platform_form, counted="info_requests"),
        PLAIN_TOKEN_PATH: Route(answer=plain.token, form=standard_form, counted="token_requests"),
        PLAIN_REVOCATION_PATH: Route(
            answer=plain.revoke, form=standard_form, counted="revocation_requests", kills=True
        ),
        INTROSPECTION_PATH: Route(answer=plain.introspect, form=standard_form, counted="info_requests"),
        METADATA_PATH: Route(answer=plain.metadata, form=standard_form, counted="info_requests"),
        KEYS_PATH: Route(answer=plain.keys, form=standard_form, counted="info_requests"),
    }
    if not revocation_path.startswith("/") or revocation_path in routes:
        raise ValueError(f"revocation_path must be a path that is not taken, not {revocation_path!r}")
    revocation = Route(answer=platform.revoke, form=revocation_form, counted="revocation_requests", kills=True)
    return {**routes, revocation_path: revocation}
