"""Codes and words of a refusal in any spelling: the RFC's code that is meant, and what the refusal is about.

    INVALID_CLIENT · invalidClient · oauth.v2.InvalidClientIdentifier           invalid_client
    bad_refresh_token · {"message": "The refresh token has expired"}            about the grant

Nothing here raises, and nothing takes more than linear time.
"""

from __future__ import annotations

import enum
import re

#: Codes of RFC 6749 §4.1.2.1 and §5.2, 6750 §3.1, 7009 §2.2.1, 8628 §3.5, 8707 §2 and 9449 §5, §8, and the gateway's.
KNOWN_CODES = frozenset(
    {
        "access_denied",
        "authorization_pending",
        "expired_token",
        "gateway.authentication.failure",
        "insufficient_scope",
        "invalid_client",
        "invalid_dpop_proof",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "invalid_token",
        "server_error",
        "slow_down",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
        "use_dpop_nonce",
    }
)
# Codes of RFC 6749 §5.2: the endpoint read the request and refuses it, whatever the status says.
_REFUSALS = frozenset(
    {"invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type"}
)
# Codes of RFC 6749 §4.1.2.1 that another attempt may end, whatever the status says.
_PASSING = frozenset({"server_error", "temporarily_unavailable"})
# The same in other words; not `quota` and `limit`, since an account may be locked by more attempts.
_SAYS_PASSING = re.compile(
    r"_(?:unavailable|busy|overloaded|maintenance|internal(?:_server)?_(?:error|failure)|time_?out|timed_out|try_again|throttled|throttling"
    r"|rate_?limit(?:ed)?|too_many_requests|(?:system|fatal)_error)_"
)
# Words of an error that is about neither the client nor the grant.
_SAYS_LIMIT = re.compile(r"_(?:slow_down|quota|limit|attempts)_")
_OF_THE_CLIENT = frozenset({"invalid_client", "invalid_dpop_proof", "use_dpop_nonce"})
_OF_THE_GRANT = frozenset({"invalid_grant", "invalid_token", "expired_token", "unsupported_grant_type"})

# More is not read: a code or a sentence is shorter.
_LONGEST = 500
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN = re.compile(r"[^a-z0-9]+")

# The rest works on words in lower case with "_" between and around them.
_GRANT_NAMES = r"refresh_?tokens?|refresh|grants?|(?:auth|authori[sz]ation|verification|device|login)_?codes?|assertion"
_CLIENT_NAMES = (
    r"(?:o_?auth_?)?clients?(?:_?(?:id|identifier|secret|credentials|authentication|assertion))?"
    r"|(?:api|app|application|consumer)_?(?:key|secret|id)|app|application|consumer"
)
_BAD = (
    "invalid|bad|incorrect|wrong|unknown|expired|revoked|used|reused|inactive|unrecogni[sz]ed|mismatch|not_found"
    "|not_valid|not_exist|not_recogni[sz]ed|too_old|consumed|redeemed|replayed|blacklisted|unauthori[sz]ed"
)
_BETWEEN_THEM = "is|was|has|have|been|are|does|do|no|longer|already|the|this|that|provided|given|supplied"


def _refusing(names: str) -> re.Pattern[str]:
    return re.compile(
        rf"_(?:{_BAD})(?:_(?:{_BETWEEN_THEM}))*_(?:{names})_|_(?:{names})(?:_(?:{_BETWEEN_THEM}))*_(?:{_BAD})_"
    )


_BAD_GRANT = _refusing(_GRANT_NAMES)
# Whatever the status, in a code alone: "code" and "token" may be anything in the sentence of an outage.
_BAD_IN_CODE = _refusing(rf"{_GRANT_NAMES}|{_CLIENT_NAMES}|codes?|(?<!access_)tokens?")
_BAD_CODE = _refusing(r"codes?|(?<!access_)tokens?")
_SAYS_GRANT = re.compile(rf"_(?:{_GRANT_NAMES})_")
_SAYS_GRANT_IN_CODE = re.compile(rf"_(?:{_GRANT_NAMES}|codes?|(?<!access_)tokens?)_")
# A step of the user, which only another login brings (OpenID Connect Core §3.1.2.6).
_SAYS_LOGIN = re.compile(r"_(?:interaction|consent|login|account_selection)_required_")
_SAYS_CLIENT = re.compile(rf"_(?:{_CLIENT_NAMES})_")


class ErrorSubject(enum.Enum):
    """The cause of a refusal."""

    #: The client, or how it authenticated: the grant was not looked at.
    CLIENT = enum.auto()
    #: The content of the grant: the refresh token, the code, the assertion.
    GRANT = enum.auto()
    #: The error does not say; many servers write `invalid_request` for anything.
    UNKNOWN = enum.auto()


def known_code(code: str | None) -> str | None:
    """Return the code of the RFCs that a code is or contains, in any spelling; None if there is none."""
    if code is None or code in KNOWN_CODES:
        return code
    letters = _words(code).replace("_", "")
    return next((known for known in _LONGEST_FIRST if known.replace("_", "") in letters), None)


_LONGEST_FIRST = sorted(KNOWN_CODES, key=len, reverse=True)


def is_passing(code: str | None, description: str | None = None) -> bool:
    """Whether an error says that another attempt may succeed, whatever the status is.

    The description counts only if the code has no words.
    """
    if (known := known_code(code)) is not None:
        return known in _PASSING
    words = _words(code)
    if not any(map(str.isalpha, words)):
        words = _words(description) if code is not None else words
    return bool(_SAYS_PASSING.search(words)) and not is_refusal(code, None)


def is_about_limit(code: str | None) -> bool:
    """Whether an error says that there were too many requests."""
    return bool(_SAYS_LIMIT.search(_words(code)))


def is_refusal(code: str | None, description: str | None) -> bool:
    """Whether an error says that the endpoint read the request and refuses it, whatever the status is."""
    known = known_code(code)
    if known in _REFUSALS or known in _PASSING:
        return known in _REFUSALS
    return bool(_BAD_IN_CODE.search(_words(code)) or _BAD_GRANT.search(_words(description)))


def subject_of(code: str | None, description: str | None) -> ErrorSubject:
    """Return what an error of a token request is about; the code decides before the description."""
    known, words = known_code(code), _words(code)
    if known in _OF_THE_CLIENT:
        return ErrorSubject.CLIENT
    if known in _OF_THE_GRANT or _SAYS_LOGIN.search(words):
        return ErrorSubject.GRANT
    # Servers write `unauthorized_client` for a wrong secret too; what it is about is in the description.
    if known != "unauthorized_client":
        if _SAYS_CLIENT.search(words):
            return ErrorSubject.CLIENT
        if _SAYS_GRANT_IN_CODE.search(words):
            return ErrorSubject.GRANT
    words = _words(description)
    if (
        _BAD_GRANT.search(words)
        or _BAD_CODE.search(words)
        or (_SAYS_GRANT.search(words) and not _SAYS_CLIENT.search(words))
    ):
        return ErrorSubject.GRANT
    is_client = known == "unauthorized_client" or _SAYS_CLIENT.search(words)
    return ErrorSubject.CLIENT if is_client else ErrorSubject.UNKNOWN


def _words(text: str | None) -> str:
    return "_" + _BETWEEN.sub("_", _HUMP.sub("_", (text or "")[:_LONGEST]).lower()).strip("_") + "_"
