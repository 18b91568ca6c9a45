"""Turns an answer of a provider's own endpoint that is no success into the error that says what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NoReturn

import attrs
import httpx

from seic._errors import InvalidTokenResponse, TokenEndpointUnavailable, TokenRequestRefused
from seic._model.provider import Provider
from seic._oauth.challenges import parse_retry_after
from seic._oauth.error_body import END_OTHER_SESSIONS, LOGGED_IN_ELSEWHERE, ErrorBody, error_in, read_error
from seic._oauth.json_body import DefectiveDocument, read_document
from seic._oauth.redact import MAX_WORDS, clean, find_tracking_id

# The members of a reply that are secrets, and how long they are at least: less is no token.
_TOKENS = ("access_token", "refresh_token", "id_token", "device_code")
_SHORTEST_TOKEN = 8
_LONGEST_CODE = 100
_LONGEST_HOST = 253

# RFC 6749 §5.2, and the gateway's; what a person can do about each.
_ADVICE_BY_CODE = {
    "invalid_client": "check client_id and client_secret, and that the provider takes this way of sending them",
    "invalid_grant": "check what the grant carries: the password, the code, the assertion or the refresh token is "
    "wrong, used up or too old",
    "unauthorized_client": "the application is not registered for this grant",
    "unsupported_grant_type": "the provider does not offer this grant",
    "invalid_scope": "check the grant's scope",
    "invalid_target": "check the grant's audience and resource",
    "gateway.authentication.failure": "check client_id (the AppKey), client_secret (the AppSecret), and the service "
    "account's username and password",
}
# Those that say that the credentials are in doubt, whatever the status.
_OF_THE_CLIENT = frozenset({"invalid_client", "gateway.authentication.failure"})
# Codes of RFC 6749 §4.1.2.1 and §5.2, 6750 §3.1, 7009 §2.2.1, 8628 §3.5, 8707 §2 and 9449 §5, §8.
_KNOWN_CODES = frozenset(
    {
        *_ADVICE_BY_CODE,
        "access_denied",
        "authorization_pending",
        "expired_token",
        "insufficient_scope",
        "invalid_dpop_proof",
        "invalid_request",
        "invalid_token",
        "server_error",
        "slow_down",
        "temporarily_unavailable",
        "unsupported_token_type",
        "use_dpop_nonce",
    }
)
_ADVICE_BY_STATUS = {
    400: "check the grant and its fields",
    401: "check client_id, client_secret and the grant's credentials",
    403: "check that the application and its account may use this endpoint: the grant, the address it calls from, "
    "and on a mutual-TLS host the certificate, whose CN is the account's name at SEI",
    404: "check the host and provider.token_url",
    405: "check the host and provider.token_url",
}
_ADVICE = "check the host, provider.token_url and the credentials"


@attrs.frozen(kw_only=True)
class Reply:
    """An answer of one of the provider's own endpoints, and what is needed to speak of it.

    Args:
        provider: The dialect.
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed.
        host: Where it came from, for messages.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
        secrets: What no message may repeat.
        hint: What to add where the credentials are refused.
    """

    provider: Provider
    status: int
    headers: httpx.Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    host: str
    now: float
    secrets: Collection[str] = attrs.field(default=(), repr=False)
    hint: str | None = None
    #: The secrets, and the tokens that the reply brings.
    unspeakable: Collection[str] = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(lambda self: (*self.secrets, *_tokens_in(self.body)), takes_self=True),
    )

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx; RFC 6749 §5.1 has 200 only, and some servers answer 201."""
        return 200 <= self.status < 300

    def clean(self, text: str | None, limit: int) -> str | None:
        """Return a provider's words fit for a message; None where nothing is left of them."""
        return (clean(text, secrets=self.unspeakable, limit=limit) if text else None) or None

    def code_of(self, form: ErrorBody) -> str | None:
        """Return an error's code; one that the RFCs have is what programs compare, and no secret of anybody."""
        return form.code if form.code in _KNOWN_CODES else self.clean(form.code, _LONGEST_CODE)

    def tracking_id(self, form: ErrorBody | None = None) -> str | None:
        """Return the provider's id of the call: the header's, else the body's."""
        return find_tracking_id(
            self.headers,
            self.provider.tracking_header,
            otherwise=form.tracking_id if form else None,
            secrets=self.unspeakable,
        )

    def invalid(self, problem: str, *, form: ErrorBody | None = None, advice: str | None = None) -> NoReturn:
        """Raise InvalidTokenResponse; `problem` names the property that is wrong, and holds no word uncleaned."""
        tracking_id = self.tracking_id(form)
        advice = advice or "check the host and provider.token_url, and that no proxy or login page stands before it"
        raise InvalidTokenResponse(
            f"{self.host} answered {self.status}, which cannot be used: {problem}; {advice}{_tracked(tracking_id)}",
            problem=problem,
            tracking_id=tracking_id,
        )


def raise_for_status(reply: Reply) -> None:
    """Return where the reply is a success; raise what it is otherwise.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: 3xx, or no status of a final answer.
    """
    if reply.is_success:
        return
    if reply.status in (408, 429) or 500 <= reply.status < 600:
        _raise_unavailable(reply)
    if 400 <= reply.status < 500:
        refuse(reply, read_error(reply.body) or ErrorBody())
    if 300 <= reply.status < 400:
        reply.invalid(
            f"a redirect to {_target(reply)}",
            advice="redirects of token calls are never followed, for the credentials would go along; set the host and "
            "provider.token_url to where the endpoint really is",
        )
    reply.invalid("a status that is no final answer")


def refuse(reply: Reply, form: ErrorBody) -> NoReturn:
    """Raise TokenRequestRefused in the words of the form, with what to do about it."""
    tracking_id = reply.tracking_id(form)
    if form.subcode == LOGGED_IN_ELSEWHERE:
        advice = END_OTHER_SESSIONS
    else:
        advice = _ADVICE_BY_CODE.get(form.code or "") or _ADVICE_BY_STATUS.get(reply.status) or _ADVICE
    if form.code == "invalid_grant" and reply.provider.code_lifetime is not None:
        advice += f" (a code lives {reply.provider.code_lifetime:g} s)"
    if reply.hint and (
        form.code in _OF_THE_CLIENT or reply.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
    ):
        advice += f"; {reply.hint}"
    raise TokenRequestRefused(
        f"{reply.provider.name} at {reply.host} refused the request: it answered {reply.status}"
        f"{_quoted(reply, form)}; {advice}{_tracked(tracking_id)}",
        status=reply.status,
        code=reply.code_of(form),
        description=reply.clean(form.description, MAX_WORDS),
        transient=form.transient or False,
        tracking_id=tracking_id,
    )


def read_success(reply: Reply) -> Mapping[str, object]:
    """Return the JSON object of a success.

    Raises:
        InvalidTokenResponse: It is none, or it is an error under a success's status.
    """
    document = _document_or_defect(reply.body)
    if isinstance(document, DefectiveDocument):
        member = reply.clean(document.member, MAX_WORDS)
        reply.invalid(document.problem if member is None else f"{member} {document.problem}")
    form = error_in(document)
    # Beside a token only `error` counts: some servers say `"code": 0, "message": "success"`. A token that comes with an
    # error is not taken: who says both cannot be trusted with either.
    if document.get("error") or (form is not None and "access_token" not in document):
        words = (form and _said(reply, form)) or "without words"
        reply.invalid(f"the reply is an error: {words}", form=form, advice="do what the error asks for")
    return document


def _said(reply: Reply, form: ErrorBody) -> str:
    """Return code and description of an error for a message, cleaned."""
    words = (reply.code_of(form), reply.clean(form.description, MAX_WORDS))
    return ": ".join(filter(None, words))


def _tokens_in(body: bytes) -> list[str]:
    document = _document_or_defect(body)
    if isinstance(document, DefectiveDocument):
        return []
    values = [document.get(name) for name in _TOKENS]
    return [value for value in values if isinstance(value, str) and len(value) >= _SHORTEST_TOKEN]


def _document_or_defect(body: bytes) -> dict[str, object] | DefectiveDocument:
    # Handed out and not chained: the defect may quote a name from the reply, uncleaned.
    try:
        return read_document(body)
    except DefectiveDocument as defect:
        return defect


def _raise_unavailable(reply: Reply) -> NoReturn:
    form = read_error(reply.body) or ErrorBody()
    retry_after = parse_retry_after(reply.headers.get("Retry-After"), now=reply.now)
    tracking_id = reply.tracking_id(form)
    pause = "try again later" if retry_after is None else f"try again in {retry_after:.0f} s"
    raise TokenEndpointUnavailable(
        f"{reply.provider.name} at {reply.host} is unavailable: it answered {reply.status}{_quoted(reply, form)}; "
        f"{pause}{_tracked(tracking_id)}",
        retry_after=retry_after,
        status=reply.status,
        tracking_id=tracking_id,
    )


def _quoted(reply: Reply, form: ErrorBody) -> str:
    words = _said(reply, form)
    return f" ({words})" if words else ""


def _tracked(tracking_id: str | None) -> str:
    return f" (tracking id {tracking_id})" if tracking_id else ""


def _target(reply: Reply) -> str:
    # The host alone: path and query of a redirect may carry a session or what was sent.
    location = reply.headers.get("Location")
    if not location:
        return "nowhere: it names no location"
    try:
        host = httpx.URL(location).raw_host.decode("ascii")
    except httpx.InvalidURL:
        return "an unreadable location"
    return reply.clean(host, _LONGEST_HOST) or f"another path of {reply.host}"
