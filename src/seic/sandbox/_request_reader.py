"""Strict readers for the form, the client's credentials and the bearer token of a request.

Errors name the header or field and never repeat its value.
"""

from __future__ import annotations

import base64
import hmac
import urllib.parse
from collections.abc import Mapping
from typing import TypeAlias, TypeVar

from aiohttp import hdrs, web

from seic.sandbox._error_responses import (
    InvalidField,
    authentication_failure,
    invalid_request,
    unknown_grant_type,
    unknown_resource,
)
from seic.sandbox._server.received import keep_body

Form: TypeAlias = Mapping[str, str]
_Grant = TypeVar("_Grant")

_FORM_TYPE = "application/x-www-form-urlencoded"


async def read_post(request: web.BaseRequest) -> Form:
    """Return the form of a POST; each field occurs once (RFC 6749 §3.2).

    Raises:
        ErrorResponse: The method is not POST, there is a query string, or the body is not such a form.
    """
    if request.method != "POST":
        raise unknown_resource("This endpoint accepts only POST.")
    if request.query_string:
        raise invalid_request(
            "The form must be in the body: a query string is written to access logs.",
            InvalidField("", "query", "this endpoint accepts no query string"),
        )
    # aiohttp refuses a second content type; its older versions use the first.
    is_form = request.content_type == _FORM_TYPE and len(request.headers.getall(hdrs.CONTENT_TYPE, [])) == 1
    # The media type has no charset parameter, but naming UTF-8 does no harm.
    if not is_form or (request.charset or "utf-8").lower() != "utf-8":
        raise invalid_request(
            f"The content type must be {_FORM_TYPE}.", InvalidField("Content-Type", "header", f"must be {_FORM_TYPE}")
        )
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise invalid_request("The body is too large for a form.", InvalidField("", "body", "is too large")) from None
    keep_body(body)
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict"
        )
    except ValueError:
        # The cause repeats the body.
        raise invalid_request("The body is not a form.", InvalidField("", "body", f"must be {_FORM_TYPE}")) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        field = InvalidField("", "body", "each field must occur once")
        raise invalid_request("A field occurs more than once in the form.", field)
    return form


def required(form: Form, *fields: str) -> list[str]:
    """Return the values of fields.

    Raises:
        ErrorResponse: A field is missing or empty.
    """
    missing = [field for field in fields if not form.get(field)]
    if missing:
        invalid = [InvalidField(field, "body", "is required") for field in missing]
        raise invalid_request(f"The form lacks {' and '.join(missing)}.", *invalid)
    return [form[field] for field in fields]


def one_of(form: Form, *fields: str) -> tuple[str, str]:
    """Return name and value of the one field that the form has of these.

    Raises:
        ErrorResponse: The form has none of them, or several.
    """
    given = [field for field in fields if form.get(field)]
    if len(given) != 1:
        invalid = [InvalidField(field, "body", "is required, alone") for field in fields]
        raise invalid_request(f"The form must have exactly one of {' and '.join(fields)}.", *invalid)
    return given[0], form[given[0]]


def select_grant(form: Form, grants: Mapping[str, _Grant]) -> _Grant:
    """Return the entry of the form's grant type.

    Raises:
        ErrorResponse: The form has no grant type, or none of these.
    """
    (grant_type,) = required(form, "grant_type")
    if grant_type not in grants:
        raise unknown_grant_type(list(grants))
    return grants[grant_type]


def flag(form: Form, field: str) -> bool:
    """Return a field that is `true`, `false` or missing; missing is False.

    Raises:
        ErrorResponse: It has another value.
    """
    value = form.get(field, "false")
    if value not in ("true", "false"):
        raise invalid_request(f"{field} must be true or false.", InvalidField(field, "body", "must be true or false"))
    return value == "true"


def read_basic(request: web.BaseRequest, *, expected: str, challenge: str | None = None) -> tuple[str, str]:
    """Return user and password of Basic authentication (RFC 7617), without decoding them further.

    Args:
        request: The request.
        expected: The content that the header should have, for the error.
        challenge: The `WWW-Authenticate` header of the error.

    Raises:
        ErrorResponse: There is no such header, or more than one.
    """
    field = InvalidField(hdrs.AUTHORIZATION, "header", f"{expected} is required")
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(values) != 1:
        message = "The request must have exactly one Authorization header."
        raise authentication_failure(message, field, challenge=challenge)
    scheme, _, credentials = values[0].partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except ValueError:
        message = "The Authorization header is not Basic authentication."
        raise authentication_failure(message, field, challenge=challenge) from None
    return user, password


def find_bearer_token(request: web.BaseRequest) -> str | None:
    """Return the token of the `Authorization` header; None without one, or with several headers."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return token if scheme.lower() == "bearer" and token else None


def read_bearer_token(request: web.BaseRequest, *, challenge: str | None = None) -> str:
    """Return the token of the `Authorization` header.

    Raises:
        ErrorResponse: There is none, or several headers.
    """
    token = find_bearer_token(request)
    if token is None:
        raise authentication_failure(
            "The request must have exactly one bearer token.",
            InvalidField(hdrs.AUTHORIZATION, "header", "Bearer <access_token> is required, once"),
            challenge=challenge,
        )
    return token


def same(given: str, known: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), known.encode())
