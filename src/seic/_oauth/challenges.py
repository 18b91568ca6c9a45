"""What a refused API call says about itself: its challenges, the pause it asks for, who is logged in elsewhere.

Everything here reads what a foreign server wrote: nothing raises, and nothing takes more than linear time.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

import attrs
import httpx

from seic._model.provider import Provider
from seic._oauth.error_body import LOGGED_IN_ELSEWHERE, read_error

# The longest HTTP-date has 33 characters (RFC 9110 §5.6.7, the obsolete form of a Wednesday in September).
_LONGEST_DATE = 40
#: The longest pause that is understood, in seconds: a year. Who waits, and how long at most, is decided elsewhere.
MAX_RETRY_AFTER = 365 * 86400.0

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Read a `Retry-After` (RFC 9110 §10.2.3).

    Fractions of a second are taken, although the RFC has none: servers send them.

    Args:
        value: The header's value; None where there is none.
        now: Seconds since the epoch, against which a date counts.

    Returns:
        Seconds to wait, 0 for a date that has passed; None where there is no value or it makes no sense. A negative
        number makes none.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER)
    if not text or len(text) > _LONGEST_DATE:
        return None
    try:
        date = parsedate_to_datetime(text)
        # HTTP-dates are in GMT; one that names no zone is read so.
        moment = (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(moment - now, 0.0), MAX_RETRY_AFTER)


@attrs.frozen
class Challenge:
    """One challenge of a `WWW-Authenticate` (RFC 9110 §11.6.1); scheme and names of parameters in lower case."""

    scheme: str
    parameters: Mapping[str, str] = attrs.field(factory=dict, hash=False)


# No browser and no server takes longer headers; what lies beyond is not read.
_LONGEST_HEADER = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# An unclosed string ends with the header: never giving back what was read is what keeps the time linear.
_PARAMETER = re.compile(r"""[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([!#$%&'*+.^_`|~0-9A-Za-z-]+))""", re.DOTALL)
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read every challenge of a reply's `WWW-Authenticate` headers (RFC 9110 §11.6.1); what makes no sense is skipped.

    Args:
        values: The header's values, one for each line: joined with commas or not is the same.
    """
    found: list[Challenge] = []
    for value in values:
        text = value[:_LONGEST_HEADER]
        current: dict[str, str] | None = None
        position = 0
        while position < len(text):
            word = _TOKEN.match(text, position)
            if word is None:
                position += 1
                continue
            parameter = _PARAMETER.match(text, word.end())
            if parameter is None:
                current = {}
                found.append(Challenge(word[0].lower(), current))
                token68 = _TOKEN68.match(text, word.end())
                position = token68.end() if token68 else word.end()
                continue
            if current is not None:
                quoted, plain = parameter.groups()
                content = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
                # A name stands once in a challenge; of two, the first counts.
                current.setdefault(word[0].lower(), content)
            position = parameter.end()
    return tuple(found)


# The names of codes that speak of the token or of who the caller is: "gateway.authentication.failure",
# "invalid_token", "token.expired". What the caller may do ("authorization", "insufficient_scope") is another matter.
_SPEAKS_OF_TOKEN = re.compile(r"token|authentication|unauthenticated", re.IGNORECASE)


def speaks_of_token(*, provider: Provider, headers: httpx.Headers, body: bytes) -> bool:
    """Tell whether a 401 of the API says that the token is bad, so that a new one may help.

    A Bearer or DPoP challenge decides alone: `invalid_token`, or no error at all (RFC 6750 §3.1), speaks of the token;
    `insufficient_scope` and `invalid_request` do not. Without one, the provider's error decides: its code, or its
    message where the code is a mere number. A 401 that explains itself in neither way, or asks for Basic only, does not
    speak of the token: renewing on it would cost one token request for each refused call. The exception is a provider
    whose documents give the bare status that meaning (`Provider.bare_401_means_token`).

    Args:
        provider: The dialect.
        headers: The reply's headers.
        body: The reply's body; empty where it was not read.
    """
    challenges = parse_challenges(headers.get_list("WWW-Authenticate"))
    errors = [c.parameters.get("error") for c in challenges if c.scheme in ("bearer", "dpop")]
    if errors:
        return any(error in (None, "", "invalid_token") for error in errors)
    form = read_error(body)
    if form is not None:
        named = form.code if form.code and not form.code.isdigit() else form.description
        return _SPEAKS_OF_TOKEN.search(named or "") is not None
    return provider.bare_401_means_token and not challenges


def is_logged_in_elsewhere(*, status: int, body: bytes) -> bool:
    """Tell whether the platform ended the session because the same user logged in elsewhere (403, subcode 018)."""
    form = read_error(body) if status == httpx.codes.FORBIDDEN else None
    return form is not None and form.subcode == LOGGED_IN_ELSEWHERE
