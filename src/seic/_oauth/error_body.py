"""`ErrorBody`: parse the error documents of all known providers into one value.

    {"code": "…", "message": "…", "trackingId": "…", "transient": "false", "errors": [{…}]}     SEI gateway
    {"error": {"code": 403, "message": "…", "subcode": "018", "errorid": ""}}                   SEI platform
    {"ErrorCode": "…", "Error": "…", "Hint": "…"}                                               SEI platform, revocation
    {"error": "invalid_grant", "error_description": "…"}                                        RFC 6749 §5.2, RFC 6750
    {"type": "…", "title": "…", "detail": "…"}                                                  RFC 9457

Nothing here raises: a document in no known form gives None.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from seic._errors import FieldError
from seic._oauth.json_body import JsonBodyError, read_document

#: The platform's subcode for "logged out as the same user is logged in elsewhere".
LOGGED_IN_ELSEWHERE = "018"

#: Advice for it. It ends another session, so it is never done without being asked for.
END_OTHER_SESSIONS = (
    "the account allows one session at a time; to take it over, ask for the token with end_other_sessions=True "
    "(endOtherSessions=true on the token call and on each refresh), which ends the other session, even if it is in use"
)


@attrs.frozen(kw_only=True)
class ErrorBody:
    """An error in the provider's own words, not sanitized.

    Args:
        code: The code, for programs; a number is given as its digits.
        description: The description, for people.
        subcode: The platform's second code.
        tracking_id: The tracking id in the body.
        transient: Whether the same request may be sent again; None if the document does not say.
        errors: The gateway's list of fields.
    """

    code: str | None = None
    description: str | None = None
    subcode: str | None = None
    tracking_id: str | None = None
    transient: bool | None = None
    errors: tuple[FieldError, ...] = ()


def read_error(body: bytes) -> ErrorBody | None:
    """Return the error of a body; None if it is in no known form."""
    try:
        return error_in(read_document(body))
    except JsonBodyError:
        return None


def error_in(document: Mapping[str, object]) -> ErrorBody | None:
    """Return the error of a JSON object; None if it is in no known form."""
    error = document.get("error")
    if isinstance(error, dict):
        return ErrorBody(
            code=_word(error.get("code")),
            description=_word(error.get("message")),
            subcode=_word(error.get("subcode")),
            tracking_id=_word(error.get("errorid")),
        )
    if _word(error):
        # Some servers add the gateway's members to the RFC's.
        return _gateway(document, code=_word(error), description=_word(document.get("error_description")))
    if _word(document.get("ErrorCode")) or _word(document.get("Error")):
        words = (_word(document.get("Error")), _word(document.get("Hint")))
        return ErrorBody(code=_word(document.get("ErrorCode")), description="; ".join(filter(None, words)) or None)
    if _word(document.get("code")) and not document.keys().isdisjoint({"message", "trackingId", "transient", "errors"}):
        return _gateway(document, code=_word(document.get("code")), description=_word(document.get("message")))
    if _word(document.get("title")) or (_word(document.get("type")) and "status" in document):
        kind = _word(document.get("type"))
        words = (_word(document.get("title")), _word(document.get("detail")))
        return ErrorBody(
            code=None if kind == "about:blank" else kind, description=": ".join(filter(None, words)) or None
        )
    return None


def _gateway(document: Mapping[str, object], *, code: str | None, description: str | None) -> ErrorBody:
    entries = document.get("errors")
    return ErrorBody(
        code=code,
        description=description,
        tracking_id=_word(document.get("trackingId")),
        transient=_flag(document.get("transient")),
        errors=tuple(
            FieldError(*(_word(entry.get(name)) or "" for name in ("field", "location", "reason")))
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, dict)
        ),
    )


def _word(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None
