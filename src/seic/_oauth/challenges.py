"""Parse `WWW-Authenticate` and `Retry-After`, and decide whether a 401 is about the token.

The input is a foreign server's: no function raises, and none takes more than linear time.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping

import attrs
import httpx

from seic._model.provider import Provider
from seic._values import frozen

# The longest HTTP-date has 33 characters (RFC 9110 §5.6.7, the obsolete form of a Wednesday in September).
_LONGEST_DATE = 40
#: The longest pause that is returned, in seconds: a year. The caller decides how long it waits.
MAX_RETRY_AFTER = 365 * 86400.0

_SECONDS = r"[0-9]+(\.[0-9]+)?"


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Parse a `Retry-After` (RFC 9110 §10.2.3).

    It accepts fractions of a second, which servers send although the RFC has none.

    Args:
        value: The header's value; None if there is none.
        now: Seconds since the epoch, for a date.

    Returns:
        Seconds to wait, 0 for a date in the past; None if there is no value or it is malformed or negative.
    """
    text = (value or "").strip()
    if re.fullmatch(_SECONDS, text):
        return min(float(text), MAX_RETRY_AFTER)
    if not text or len(text) > _LONGEST_DATE:
        return None
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        # HTTP-dates are in GMT, and so is one without a zone.
        moment = (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(moment - now, 0.0), MAX_RETRY_AFTER)


@frozen
class Challenge:
    """One challenge of a `WWW-Authenticate` (RFC 9110 §11.6.1); scheme and parameter names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = attrs.field(factory=dict, hash=False)


# Patterns are compiled when they are used, since a program that only imports a client needs few of them.

# No browser and no server takes longer headers; the rest is not read.
_LONGEST_HEADER = 64 * 1024
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# An unclosed string ends with the header: without backtracking the time stays linear.
_PARAMETER = r"""(?s)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([!#$%&'*+.^_`|~0-9A-Za-z-]+))"""
_TOKEN68 = r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)"
_ESCAPE = r"(?s)\\(.)"
# Characters of an error that are read.
_LONGEST_WORDS = 500


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Parse every challenge of the `WWW-Authenticate` headers (RFC 9110 §11.6.1); malformed parts are skipped.

    Args:
        values: The header's values, one for each line, joined with commas or not.
    """
    token, pair, token68 = re.compile(_TOKEN), re.compile(_PARAMETER), re.compile(_TOKEN68)
    found: list[Challenge] = []
    for value in values:
        text = value[:_LONGEST_HEADER]
        current: dict[str, str] | None = None
        position = 0
        while position < len(text):
            word = token.match(text, position)
            if word is None:
                position += 1
                continue
            parameter = pair.match(text, word.end())
            if parameter is None:
                current = {}
                found.append(Challenge(word[0].lower(), current))
                credentials = token68.match(text, word.end())
                position = credentials.end() if credentials else word.end()
                continue
            if current is not None:
                quoted, plain = parameter.groups()
                content = plain if quoted is None else re.sub(_ESCAPE, r"\1", quoted)
                # A name is in a challenge once; of two, the first counts.
                current.setdefault(word[0].lower(), content)
            position = parameter.end()
    return tuple(found)


# Words about the token or the caller's identity: "gateway.authentication.failure", "token.expired", "jwt expired",
# "INVALID_SESSION_ID". Words about permissions ("authorization", "insufficient_scope") do not match.
_ABOUT_TOKEN = (
    r"(?i)token|jwt|authenticat|bearer|credential"
    r"|session.{0,20}(expired|invalid|ended|timed|terminated)|invalid.?session"
    # Alone, as a code.
    r"|\A\W*(expired|revoked|inactive|invalid_auth)\W*\Z|not.logged.?in|login.?required|not_authed"
)
_ABOUT_RIGHTS = r"(?i)scope|permission|privilege|insufficient|\brole"
# The letters of words that only repeat the status.
_NO_MORE = (
    r"(http|error|err|status|code|api|app|response|fail(ed|ure)?|unknown|generic|general|invalid|bad)*"
    r"(unauthori[sz]ed(access|error|exception|request)?|notauthori[sz]ed|authori[sz]ation(required|failed)"
    r"|accessdenied)?"
)
# A number with a prefix, as E0000011, ERR-1001 or 0x80070005: it has no words, and hides none.
_OPAQUE = r"(?i)([a-z]{1,8}[-_.: ]?){0,2}[0-9][0-9a-fx._-]*"
_NO_LETTER = r"[\W\d_]+"


def is_token_rejected(*, provider: Provider, headers: httpx.Headers, body: bytes) -> bool:
    """Whether a 401 of the API is about the token, so that a new one may help.

    A challenge of the token's scheme decides alone: `invalid_token`, a code that names the token, or no error at
    all (RFC 6750 §3.1) is about the token; `insufficient_scope` and `invalid_request` are not. Without one the
    provider's error decides: its code, or its message if the code has no words or repeats the status. A 401 with
    neither is about the token unless the provider gives it another meaning (`Provider.bare_401_means_token`), or there
    is a challenge of another scheme, such as Basic. One of another scheme decides if its code names the token.

    Args:
        provider: The dialect.
        headers: The response's headers.
        body: The response's body; empty if it was not read.
    """
    challenges = parse_challenges(headers.get_list("WWW-Authenticate"))
    schemes = {"bearer", "dpop", provider.authorization_scheme.lower()}
    verdicts = [
        _names_token(provider, each.parameters.get("error"), each.parameters.get("error_description")) is not False
        for each in challenges
        if each.scheme in schemes
    ]
    if verdicts:
        return any(verdicts)
    if any(_names_token(provider, each.parameters.get("error"), None) for each in challenges):
        return True
    from seic._oauth.error_body import read_error

    error = read_error(body, provider=provider, content_type=headers.get("Content-Type"))
    verdict = None if error is None else _names_token(provider, error.code, error.description)
    if verdict is None or (not verdict and error is not None and error.is_text):
        return provider.bare_401_means_token and not challenges
    return verdict


def _names_token(provider: Provider, code: str | None, description: str | None) -> bool | None:
    """Whether an error is about the token; None if it says no more than the status."""
    if code in provider.token_error_codes:
        return True
    for words in ("" if re.fullmatch(_OPAQUE, code or "") else code, description):
        words = (words or "")[:_LONGEST_WORDS]  # noqa: PLW2901
        if not re.fullmatch(_NO_MORE, re.sub(_NO_LETTER, "", words).lower()):
            return re.search(_ABOUT_TOKEN, words) is not None and re.search(_ABOUT_RIGHTS, words) is None
    return None
