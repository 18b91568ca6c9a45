"""A login on another device (RFC 8628): the call that begins it, and what each answer to a poll means."""

from __future__ import annotations

import attrs
import httpx

from seic._errors import ConfigurationError, SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._model.extension_grants import DeviceCode
from seic._model.provider import RequestContext
from seic._model.secrecy import Unpicklable, hide
from seic._oauth.error_response import raise_token_error, read_success
from seic._oauth.form_request import build_form_request, endpoint_url, origin_of
from seic._oauth.json_body import number_in
from seic._oauth.reply import Reply

#: Seconds between polls where the provider names none (§3.2), and what each `slow_down` adds (§3.5).
_INTERVAL = 5.0
#: The shortest pause between polls, in seconds: one without would hammer the provider for as long as a person types.
_FASTEST = 1.0
#: The longest pause between polls, in seconds: whoever logs in waits for the program to notice.
_SLOWEST = 60.0
#: The longest that a login may take, in seconds, whatever the provider says.
_LONGEST = 86400.0
_LONGEST_CODE = 100


@attrs.frozen(kw_only=True)
class DeviceAuthorization(Unpicklable):
    """What a login on another device begins with (§3.2).

    Args:
        device_code: What the polls carry.
        user_code: What the person types.
        verification_uri: Where.
        verification_uri_complete: The same with the code in it, for a QR code; None where there is none.
        expires_in: Seconds for the login.
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
    """Build the call that begins a login (§3.1).

    Args:
        context: The client and the circumstances.
        grant: What is asked for.

    Raises:
        ConfigurationError: The provider names no place for it, or a credential is missing or cannot be sent.
    """
    # §3.1: the client's id stands in the form, and its proof as at the token endpoint.
    form = {"client_id": context.client_id, **grant.authorization_fields(context.provider)}
    return build_form_request(context, endpoint_url(context, "device_authorization_url", "the device grant"), form)


def parse_device_reply(reply: Reply) -> DeviceAuthorization:
    """Read the answer (§3.2); an interval or a lifetime that makes no sense is the RFC's own, or the longest.

    A person is sent to `verification_uri` to log in, on a device that knows nothing of this one: a page in clear, whose
    place anybody on the way may take, is refused, and so is a URL that hides its host behind a user name. On loopback,
    for tests, http is taken.

    Args:
        reply: The reply.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: A redirect, or a success that begins no login.
    """
    raise_token_error(reply)
    document = read_success(reply)

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) and value and value.isprintable() else None

    found = {name: text(name) for name in ("device_code", "user_code", "verification_uri")}
    device_code, user_code = found["device_code"], found["user_code"]
    # Drafts, and providers that began with one, wrote it with an L.
    uri = found["verification_uri"] or text("verification_url")
    if device_code is None or user_code is None or uri is None:
        reply.invalid(f"{next(name for name, value in found.items() if value is None)} is missing or is no text")
    if len(user_code) > _LONGEST_CODE:
        reply.invalid("user_code is nothing that a person could type")
    complete = text("verification_uri_complete")
    for name, page in (("verification_uri", uri), ("verification_uri_complete", complete)):
        if page is not None and not _is_page(name, page):
            reply.invalid(
                f"{name} must be an https URL without a user name",
                advice="a person would log in there; have the provider name such a page",
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
    """Return the seconds before the next poll (§3.5); None where there must be none.

    Args:
        error: What the last poll ended with.
        interval: The seconds before it.
    """
    if isinstance(error, TokenRequestRefused):
        if error.code == "authorization_pending":
            return interval
        return min(interval + _INTERVAL, _SLOWEST) if error.code == "slow_down" else None
    if isinstance(error, TokenEndpointUnavailable):
        # §3.5 wants an exponential backoff after a timeout.
        return min(max(interval * 2, error.retry_after or 0.0, 1.0), _SLOWEST)
    return None
