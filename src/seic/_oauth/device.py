"""The device grant (RFC 8628): its authorization request and response, and the interval between polls."""

from __future__ import annotations

import attrs
import httpx

from seic._errors import ConfigurationError, SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._model.extension_grants import DeviceCode
from seic._model.provider import RequestContext
from seic._model.secret import Unpicklable, hide
from seic._oauth.error_codes import known_code
from seic._oauth.form_request import build_form_request, endpoint_url, origin_of
from seic._oauth.json_body import number_in
from seic._oauth.reply import Reply, raise_token_error, read_success
from seic._values import frozen

#: Seconds between polls if the provider names none (§3.2), and the seconds that each `slow_down` adds (§3.5).
_INTERVAL = 5.0
#: The shortest interval between polls, in seconds: it protects the provider while the user types.
_FASTEST = 1.0
#: The longest interval between polls, in seconds: after the login the user waits for the next poll.
_SLOWEST = 60.0
#: The maximum lifetime of a login, in seconds.
_LONGEST = 86400.0
_LONGEST_CODE = 100


@frozen(kw_only=True)
class DeviceAuthorization(Unpicklable):
    """A device authorization response (§3.2).

    Args:
        device_code: The code that the polls send.
        user_code: The code that the user types.
        verification_uri: The page to type it at.
        verification_uri_complete: The same with the code in it, for a QR code; None if there is none.
        expires_in: Lifetime of the login in seconds.
        interval: Seconds between polls.
    """

    device_code: str = attrs.field(repr=hide)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_in: float
    interval: float


def build_device_request(
    context: RequestContext,
    *,
    grant: DeviceCode,
) -> httpx.Request:
    """Build a device authorization request (§3.1).

    Args:
        context: The client and the circumstances.
        grant: The grant, for its parameters.

    Raises:
        ConfigurationError: The provider has no endpoint for it, or a credential is missing or cannot be sent.
    """
    # The client's id is always in the form (§3.1); the client authenticates as at the token endpoint.
    form = {"client_id": context.client_id, **grant.authorization_fields(context.provider)}
    return build_form_request(context, endpoint_url(context, "device_authorization_url", "the device grant"), form)


def parse_device_reply(reply: Reply) -> DeviceAuthorization:
    """Parse a device authorization response (§3.2); a malformed interval or lifetime is replaced by the default.

    The user logs in at `verification_uri`: a URL that is not https, or that hides its host behind a user name, is
    refused. On loopback, for tests, http is accepted.

    Args:
        reply: The reply.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: A redirect, or a success that starts no login.
    """
    raise_token_error(reply)
    document = read_success(reply)

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) and value and value.isprintable() else None

    found = {name: text(name) for name in ("device_code", "user_code", "verification_uri")}
    device_code, user_code = found["device_code"], found["user_code"]
    # Drafts of the RFC, and early providers, spell it with an L.
    uri = found["verification_uri"] or text("verification_url")
    if device_code is None or user_code is None or uri is None:
        reply.invalid(f"{next(name for name, value in found.items() if value is None)} is missing or no string")
    if len(user_code) > _LONGEST_CODE:
        reply.invalid(f"user_code is longer than {_LONGEST_CODE} characters")
    complete = text("verification_uri_complete")
    for name, page in (("verification_uri", uri), ("verification_uri_complete", complete)):
        if page is not None and not _is_page(name, page):
            reply.invalid(
                f"{name} must be an https URL without a user name",
                advice="the user would log in there; ask the provider to name such a page",
            )
    lifetime, interval = number_in(document.get("expires_in")), number_in(document.get("interval"))
    return DeviceAuthorization(
        device_code=device_code,
        user_code=user_code,
        verification_uri=uri,
        verification_uri_complete=complete,
        expires_in=min(lifetime, _LONGEST) if lifetime is not None and lifetime > 0 else _LONGEST,
        interval=min(max(interval, _FASTEST), _SLOWEST) if interval is not None and interval >= 0 else _INTERVAL,
    )


def _is_page(name: str, url: str) -> bool:
    try:
        origin_of(name, url, allow_http=True)
    except ConfigurationError:
        return False
    return True


def next_interval(error: SeicError, interval: float) -> float | None:
    """Return the seconds before the next poll (§3.5); None if there must be none.

    Args:
        error: The error of the last poll.
        interval: The seconds before that poll.
    """
    if isinstance(error, TokenRequestRefused):
        code = known_code(error.code)
        if code == "authorization_pending":
            return interval
        return min(interval + _INTERVAL, _SLOWEST) if code == "slow_down" else None
    if isinstance(error, TokenEndpointUnavailable):
        # §3.5 wants an exponential backoff after a timeout.
        return min(max(interval * 2, error.retry_after or 0.0, 1.0), _SLOWEST)
    return None
