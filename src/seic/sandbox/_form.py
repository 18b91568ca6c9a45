"""What every token endpoint does with a request before it looks at the grant: read the form, strictly, and the client.

A refusal names the header or field at fault and repeats no value.
"""

from __future__ import annotations

import base64
import hmac
import urllib.parse
from collections.abc import Mapping
from typing import TypeAlias

from aiohttp import hdrs, web

from seic.sandbox._error_responses import InvalidField, authentication_failure, invalid_request, unknown_resource

Form: TypeAlias = Mapping[str, str]

_FORM_TYPE = "application/x-www-form-urlencoded"


async def read_post(request: web.BaseRequest) -> Form:
    """Return the form of a POST, in which each field stands once (RFC 6749 §3.2).

    Raises:
        ErrorResponse: The method is another, there is a query, or the body is no such form.
    """
    if request.method != "POST":
        raise unknown_resource("This endpoint takes POST only.")
    if request.query_string:
        raise invalid_request(
            "The form belongs in the body: a query string ends in access logs.",
            InvalidField("", "query", "this endpoint takes no query string"),
        )
    # A second content type never gets here with a recent aiohttp; older ones take the first.
    is_form = request.content_type == _FORM_TYPE and len(request.headers.getall(hdrs.CONTENT_TYPE, [])) == 1
    # The type knows no charset; clients that name the one that is meant do no harm.
    if not is_form or (request.charset or "utf-8").lower() != "utf-8":
        raise invalid_request(
            f"The content type must be {_FORM_TYPE}.", InvalidField("Content-Type", "header", f"must be {_FORM_TYPE}")
        )
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise invalid_request("The body is too large for a form.", InvalidField("", "body", "is too large")) from None
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict"
        )
    except ValueError:
        # The cause repeats what was sent.
        raise invalid_request("The body is no form.", InvalidField("", "body", f"must be {_FORM_TYPE}")) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise invalid_request(
            "A field stands in the form more than once.", InvalidField("", "body", "each field stands once")
        )
    return form


def required(form: Form, *fields: str) -> list[str]:
    """Return the fields' values.

    Raises:
        ErrorResponse: One of them is missing or empty.
    """
    missing = [field for field in fields if not form.get(field)]
    if missing:
        faults = [InvalidField(field, "body", "is required") for field in missing]
        raise invalid_request(f"The form lacks {' and '.join(missing)}.", *faults)
    return [form[field] for field in fields]


def one_of(form: Form, *fields: str) -> tuple[str, str]:
    """Return name and value of the one field among these that the form has.

    Raises:
        ErrorResponse: It has none, or several.
    """
    given = [field for field in fields if form.get(field)]
    if len(given) != 1:
        names = " and ".join(fields)
        faults = [InvalidField(field, "body", "is required, alone") for field in fields]
        raise invalid_request(f"The form needs exactly one of {names}.", *faults)
    return given[0], form[given[0]]


def flag(form: Form, field: str) -> bool:
    """Return a field that is `true`, `false` or not there.

    Raises:
        ErrorResponse: It is something else.
    """
    value = form.get(field, "false")
    if value not in ("true", "false"):
        raise invalid_request(
            f"{field} is neither true nor false.", InvalidField(field, "body", "must be true or false")
        )
    return value == "true"


def read_basic(request: web.BaseRequest, *, expected: str, challenge: str | None = None) -> tuple[str, str]:
    """Return user and password of Basic authentication (RFC 7617), undecoded otherwise.

    Args:
        request: The request.
        expected: What should stand in the header, for the refusal.
        challenge: What to ask for in the refusal.

    Raises:
        ErrorResponse: There is no such header, or more than one.
    """
    fault = InvalidField(hdrs.AUTHORIZATION, "header", f"{expected} is required")
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(values) != 1:
        message = "The call carries no Authorization header, or more than one."
        raise authentication_failure(message, fault, challenge=challenge)
    scheme, _, credentials = values[0].partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except ValueError:
        message = "The Authorization header is not Basic authentication."
        raise authentication_failure(message, fault, challenge=challenge) from None
    return user, password


def same(given: str, known: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), known.encode())
