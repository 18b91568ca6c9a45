"""`ErrorBody`: parse the error documents of any provider into one value.

    {"code": "…", "message": "…", "trackingId": "…", "transient": "false", "errors": [{…}]}     SEI gateway
    {"error": {"code": 403, "message": "…", "subcode": "018", "errorid": ""}}                   SEI platform
    {"ErrorCode": "…", "Error": "…", "Hint": "…"}                                               SEI platform, revocation
    {"error": "invalid_grant", "error_description": "…"}                                        RFC 6749 §5.2, RFC 6750
    {"type": "…", "title": "…", "detail": "…"}                                                  RFC 9457

An error status may come with any other document: `any_words` finds the usual members in it, and reads a text or a page.
Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs

from seic._errors import FieldError
from seic._model.provider import Provider
from seic._oauth.json_body import JsonBodyError, as_utf8, read_document
from seic._oauth.redact import redact
from seic._values import frozen

#: The platform's subcode for "logged out as the same user is logged in elsewhere".
LOGGED_IN_ELSEWHERE = "018"

#: Advice for it. It ends another session, so it is never done without being asked for.
END_OTHER_SESSIONS = (
    "the account allows one session at a time; to take it over, ask for the token with end_other_sessions=True "
    "(endOtherSessions=true on the token call and on each refresh), which ends the other session, even if it is in use"
)

# The usual names of a code and of a description, without case and punctuation; of two in an object the first counts.
_CODES = ("errorcode", "errcode", "error", "faultcode", "reason", "errno", "err", "code")
_DESCRIPTIONS = (
    "errordescription",
    "message",
    "errormessage",
    "errorsummary",
    "faultstring",
    "description",
    "detail",
    "details",
    "title",
    "msg",
    "errmsg",
    "errormsg",
    "errortext",
    "errordetail",
    "errordetails",
    "usermessage",
    "messages",
    "errormessages",
    "errors",
    "nonfielderrors",
    "statustext",
    "statusmessage",
    "statusdescription",
    "reasonphrase",
    "reason",
    "error",
    "err",
    "text",
    "hint",
)
_NO_LETTER = r"[^a-z]"
# Strings of a list that are read as one description.
_MAX_SENTENCES = 5
# Objects of a document that are searched, the outer ones first. An error's words are never deeper.
_MAX_OBJECTS = 50
# A page or text of an error is shorter. The whole is read or nothing, so that no secret is cut before it is redacted.
_LONGEST_TEXT = 64 * 1024
_CONTROL = rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]"
_TITLE = r"(?i)<title[^<>]*>([^<]+)"
# An error in the encoding of a form, and a code alone.
_FORM = r"error=([A-Za-z0-9._-]{1,100})(?:&\S*)?"
_CODE = r"[a-z]+(?:_[a-z]+)+"
_TAG = r"<[^<>]*>"
# Pages of standards, which say no more than the status (RFC 9457 §4.2.1).
_NO_CODE = r"about:blank|https?://(tools\.ietf|datatracker\.ietf|www\.rfc-editor|httpstatuses)\..*"


@frozen(kw_only=True)
class ErrorBody:
    """An error in the provider's own words, not sanitized.

    Args:
        code: The code, for programs; a number is given as its digits.
        description: The description, for people.
        subcode: The platform's second code.
        tracking_id: The tracking id in the body.
        transient: Whether the same request may be sent again; None if the document does not say.
        errors: The gateway's list of fields.
        is_text: Whether the body was a text or a page, which is for people alone.
    """

    code: str | None = None
    description: str | None = None
    subcode: str | None = None
    tracking_id: str | None = None
    transient: bool | None = None
    errors: tuple[FieldError, ...] = ()
    is_text: bool = False


def read_error(
    body: bytes,
    *,
    provider: Provider | None = None,
    secrets: Collection[str] = (),
    content_type: str | None = None,
) -> ErrorBody | None:
    """Return the error in the body of a response with an error status; None if it has no words.

    Args:
        body: The body.
        provider: The dialect, which may name the members of its errors.
        secrets: The secrets of the request, which are removed from a text or page.
        content_type: The `Content-Type`, for a body that is not UTF-8.
    """
    body = as_utf8(body, content_type).removeprefix(b"\xef\xbb\xbf")
    # Some servers send a list of errors.
    is_list = body[:100].lstrip().startswith(b"[")
    try:
        document = read_document(b'{"errors":' + body + b"}" if is_list else body, members=())
    except JsonBodyError:
        return _text_error(body, secrets)
    return any_words(document, error_in(document, provider=provider))


def error_in(document: Mapping[str, object], *, provider: Provider | None = None) -> ErrorBody | None:
    """Return the error of a JSON object, whatever its status; None if it is in no known form."""
    known = _known_form(document)
    if provider is None:
        return known
    code = _member(document, provider.error_code_field)
    description = _member(document, provider.error_description_field)
    if known is None and code is None:
        return None
    known = known or ErrorBody()
    return attrs.evolve(known, code=code or known.code, description=description or known.description)


def any_words(document: Mapping[str, object], known: ErrorBody | None) -> ErrorBody | None:
    """Add code and description from the usual members of any JSON object to what is `known` of an error."""
    code, description = (known.code, known.description) if known is not None else (None, None)
    for part in _objects(document):
        values = {re.sub(_NO_LETTER, "", name.lower()): value for name, value in part.items()}
        members = {name: _word(value) for name, value in values.items()}
        # Elsewhere "code" alone may be a part of what was asked for.
        names = _CODES if description or any(members.get(name) for name in _DESCRIPTIONS) else _CODES[:-1]
        words = [members.get(name) for name in names]
        # A code has no spaces; a reason or an error may be a sentence.
        code = code or next((word for word in words if word and " " not in word and word != description), None)
        words = [members.get(name) or _sentences(values.get(name)) for name in _DESCRIPTIONS]
        description = description or next((word for word in words if word and word != code), None)
    if code is None and description is None:
        return known
    return attrs.evolve(known or ErrorBody(), code=code, description=description)


def _known_form(document: Mapping[str, object]) -> ErrorBody | None:
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
    code, said, hint = (_word(document.get(name)) for name in ("ErrorCode", "Error", "Hint"))
    if code or said:
        from seic._oauth.error_codes import known_code

        if code is None and known_code(said) is not None:
            code, said = said, None
        return ErrorBody(code=code, description="; ".join(filter(None, (said, hint))) or None)
    if _word(document.get("code")) and not document.keys().isdisjoint({"message", "trackingId", "transient", "errors"}):
        return _gateway(document, code=_word(document.get("code")), description=_word(document.get("message")))
    if _word(document.get("title")) or (_word(document.get("type")) and "status" in document):
        kind = _word(document.get("type"))
        words = (_word(document.get("title")), _word(document.get("detail")))
        return ErrorBody(
            code=None if kind is None or re.match(_NO_CODE, kind) else kind,
            description=": ".join(filter(None, words)) or None,
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


def _member(document: Mapping[str, object], path: str | None) -> str | None:
    """Return the string or number at a path such as `fault.detail.errorcode`."""
    value: Any = document if path else None
    for name in (path or "").split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return _word(value)


def _objects(document: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield an object and those in it, the outer ones first."""
    queue: list[object] = [document]
    for item in queue:
        if len(queue) > _MAX_OBJECTS:
            del queue[_MAX_OBJECTS:]
        if isinstance(item, dict):
            yield item
            queue += [value for value in item.values() if isinstance(value, dict | list)]
        elif isinstance(item, list):
            queue += [value for value in item[:_MAX_OBJECTS] if isinstance(value, dict | list)]


def _text_error(body: bytes, secrets: Collection[str]) -> ErrorBody | None:
    """Return the words of a plain text, or of a page: its title, or else its text."""
    # Control characters show data other than text.
    if len(body) > _LONGEST_TEXT or re.search(_CONTROL, body) or b"\xef\xbf\xbd" in body:
        return None
    text = body.decode()
    if text.lstrip().startswith(("{", "[")):
        # Damaged JSON has words for programs only.
        return None
    import html

    text = redact(html.unescape(redact(text, secrets)), secrets) if "&" in text else redact(text, secrets)
    if (form := re.fullmatch(_FORM, text.strip())) is not None:
        from urllib.parse import parse_qs

        members = parse_qs(form[0])
        return ErrorBody(code=form[1], description="; ".join(members.get("error_description", [])) or None)
    if re.fullmatch(_CODE, text.strip()):
        return ErrorBody(code=text.strip(), is_text=True)
    if text.lstrip().startswith("<"):
        title = re.search(_TITLE, text)
        text = title[1] if title else re.sub(_TAG, " ", text)
    return ErrorBody(description=text.strip(), is_text=True) if text.strip() else None


def _word(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _sentences(value: object) -> str | None:
    """Return the strings of a list as one description; None for any other value."""
    words = [_word(each) for each in value[:_MAX_SENTENCES]] if isinstance(value, list) else []
    return "; ".join(filter(None, words)) or None


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None
