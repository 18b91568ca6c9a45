"""The token endpoint in the gateway's dialect, strict as its documents: `POST /v2/oauthtoken`.

A refusal names the header or field at fault and repeats no value. No socket and no counting here.
"""

from __future__ import annotations

import base64
import hmac
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs
from aiohttp import web

from seic.sandbox.ledger import DeadToken, Ledger
from seic.sandbox.peer import Peer
from seic.sandbox.refusals import (
    TOKEN_INVALID,
    Fault,
    Refusal,
    authentication_failure,
    certificate_mismatch,
    invalid_request,
    unknown_resource,
)

TOKEN_PATH = "/v2/oauthtoken"
APP_KEY = "AppKey"

_FORM_TYPE = "application/x-www-form-urlencoded"
_PRODUCTS = ["Investors"]

_Form: TypeAlias = Mapping[str, str]
_Answer: TypeAlias = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Registration:
    """The one application and the one service account that the gateway knows."""

    client_id: str
    client_secret: str = attrs.field(repr=False)
    username: str
    password: str = attrs.field(repr=False)
    application_name: str = attrs.field(factory=lambda: str(uuid.uuid4()))


class TokenEndpoint:
    """Answers token requests: one function for each grant type, in a table."""

    def __init__(self, registration: Registration, ledger: Ledger) -> None:
        self._registration = registration
        self._ledger = ledger
        self._grants: Mapping[str, Callable[[_Form, Peer | None], _Answer]] = {
            "client_credentials": self._client_credentials,
            "invalidate_token": self._invalidate_token,
        }

    async def answer(self, request: web.BaseRequest, peer: Peer | None) -> _Answer:
        """Return the body of a 200.

        Args:
            request: The request, its body unread.
            peer: Who proved a client certificate; None on the host that asks for none.

        Raises:
            Refusal: The request breaks one of the documented rules.
        """
        if request.method != "POST":
            raise unknown_resource("Tokens are asked for by POST.")
        if request.query_string:
            raise invalid_request(
                "The form belongs in the body: a query string ends in access logs.",
                Fault("", "query", "the token endpoint takes no query string"),
            )
        self._authenticate_client(request)
        form = await _read_form(request)
        grant_type = _required(form, "grant_type")[0]
        grant = self._grants.get(grant_type)
        if grant is None:
            known = ", ".join(self._grants)
            raise invalid_request("The grant type is unknown.", Fault("grant_type", "body", f"must be one of: {known}"))
        return grant(form, peer)

    def _authenticate_client(self, request: web.BaseRequest) -> None:
        check_app_key(request, self._registration.client_id)
        values = request.headers.getall("Authorization", [])
        if len(values) != 1:
            raise authentication_failure(
                "The call carries no Authorization header, or more than one.",
                Fault("Authorization", "header", "Basic base64(AppKey:AppSecret) is required"),
            )
        client_id, client_secret = _decode_basic(values[0])
        # The AppKey header is right by now, so this is also what makes the two agree.
        if not _same(client_id, self._registration.client_id):
            raise authentication_failure(
                "The Authorization header speaks of another application than the AppKey header.",
                Fault("Authorization", "header", "its user must be the AppKey"),
            )
        if not _same(client_secret, self._registration.client_secret):
            raise authentication_failure(
                "The AppSecret is wrong.", Fault("Authorization", "header", "its password must be the AppSecret")
            )

    def _client_credentials(self, form: _Form, peer: Peer | None) -> _Answer:
        username, password = _required(form, "username", "password")
        known = self._registration
        # Both are compared, whatever the first says, and the refusal does not tell which was wrong.
        if not (_same(username, known.username) & _same(password, known.password)):
            raise authentication_failure("The user name or the password of the service account is wrong.")
        check_certificate(peer, owner=username)
        token, lease = self._ledger.issue(username=username, bound=peer is not None)
        return {
            "refresh_token_expires_in": "0",
            "api_product_list": f"[{', '.join(_PRODUCTS)}]",
            "api_product_list_json": _PRODUCTS,
            "organization_name": "sei",
            "developer.email": "developer@example.com",
            "token_type": "BearerToken",
            "issued_at": str(lease.issued_at),
            "client_id": known.client_id,
            "access_token": token,
            "application_name": known.application_name,
            "scope": "",
            "expires_in": str(lease.expires_in),
            "refresh_count": "0",
            "status": "approved",
        }

    def _invalidate_token(self, form: _Form, peer: Peer | None) -> _Answer:
        (token,) = _required(form, "access_token")
        try:
            lease = self._ledger.find(token)
        except DeadToken as death:
            # Not 401: the caller is known, it is the form's value that is wrong.
            raise Refusal(
                400, TOKEN_INVALID, str(death), faults=[Fault("access_token", "body", "must be a valid token")]
            ) from None
        check_certificate(peer, owner=lease.username)
        self._ledger.revoke(token)
        # What a successful invalidation answers is not documented; this keeps to the members that a token reply has.
        return {"client_id": self._registration.client_id, "status": "revoked"}


def check_app_key(request: web.BaseRequest, client_id: str) -> None:
    """Demand the AppKey header, which token and API calls carry alike.

    Raises:
        Refusal: There is none, more than one, or another application's.
    """
    values = request.headers.getall(APP_KEY, [])
    if len(values) != 1:
        raise authentication_failure(
            "The call carries no AppKey header, or more than one.", Fault(APP_KEY, "header", "is required, once")
        )
    if not _same(values[0], client_id):
        raise authentication_failure("The AppKey is unknown.", Fault(APP_KEY, "header", "names no application"))


def check_certificate(peer: Peer | None, *, owner: str) -> None:
    """Demand that a client certificate, where there is one, is the service account's own: its CN is the user name.

    Raises:
        Refusal: It is another's.
    """
    if peer is not None and peer.common_name != owner:
        raise certificate_mismatch(
            "The subject CN of the client certificate is not the user name of the service account."
        )


async def _read_form(request: web.BaseRequest) -> _Form:
    # A second content type never gets here with a recent aiohttp; older ones take the first.
    if request.content_type != _FORM_TYPE or len(request.headers.getall("Content-Type", [])) != 1:
        raise invalid_request(
            f"The content type must be {_FORM_TYPE}.", Fault("Content-Type", "header", f"must be {_FORM_TYPE}")
        )
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise invalid_request("The body is too large for a form.", Fault("", "body", "is too large")) from None
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict"
        )
    except ValueError:
        # The cause repeats what was sent.
        raise invalid_request("The body is no form.", Fault("", "body", f"must be {_FORM_TYPE}")) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        # RFC 6749 §3.2: a parameter stands once.
        raise invalid_request("A field stands in the form more than once.", Fault("", "body", "each field stands once"))
    if "client_secret" in form:
        # RFC 6749 §2.3: a client authenticates in one way only.
        raise invalid_request(
            "The AppSecret belongs in the Authorization header alone.",
            Fault("client_secret", "body", "must not stand in the form"),
        )
    return form


def _required(form: _Form, *fields: str) -> list[str]:
    missing = [field for field in fields if not form.get(field)]
    if missing:
        faults = [Fault(field, "body", "is required") for field in missing]
        raise invalid_request(f"The form lacks {' and '.join(missing)}.", *faults)
    return [form[field] for field in fields]


def _decode_basic(value: str) -> tuple[str, str]:
    scheme, _, credentials = value.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except ValueError:
        raise authentication_failure(
            "The Authorization header is not Basic authentication.",
            Fault("Authorization", "header", "Basic base64(AppKey:AppSecret) is required"),
        ) from None
    return user, password


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), known.encode())
