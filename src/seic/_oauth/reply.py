"""`Reply`: one response of a provider's endpoint, read whole: its JSON document, or the error that it means."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import NoReturn

import attrs
import httpx

from seic._errors import InvalidTokenResponse, TokenEndpointUnavailable, TokenRequestRefused
from seic._model.provider import Provider
from seic._oauth.error_body import END_OTHER_SESSIONS, LOGGED_IN_ELSEWHERE, ErrorBody, any_words, error_in, read_error
from seic._oauth.json_body import JsonBodyError, as_utf8, read_document
from seic._oauth.redact import MAX_WORDS, find_tracking_id, sanitize
from seic._setting_errors import GRANT_CREDENTIALS, SettingNames
from seic._values import frozen

# The members of a reply that are secrets, and their minimum length: a shorter value is not a token.
_TOKENS = ("access_token", "refresh_token", "id_token", "device_code")
_SHORTEST_TOKEN = 8
_LONGEST_CODE = 100
_LONGEST_HOST = 253

_STATUS = r"[45][0-9]{2}"
# RFC 6749 §5.2, and the gateway's; what to do about each.
_ADVICE_BY_CODE = {
    "invalid_client": "check client_id and client_secret, and that the provider takes this way of sending them",
    "invalid_grant": f"check {GRANT_CREDENTIALS}: the password, the code, the assertion or the refresh token is wrong, "
    "used up or too old",
    "unauthorized_client": "the application is not registered for this grant",
    "unsupported_grant_type": "the provider does not offer this grant",
    "invalid_scope": "check grant.scope",
    # RFC 7009 §2.2.1.
    "unsupported_token_type": "the provider does not revoke or describe tokens of this kind, such as signed ones",
    "invalid_target": "check grant.audience and grant.resource",
    "gateway.authentication.failure": "check client_id (the AppKey), client_secret (the AppSecret), and the service "
    "account: grant.username and grant.password",
}
# Codes that put the client's credentials in doubt, whatever the status.
_OF_THE_CLIENT = frozenset({"invalid_client", "gateway.authentication.failure"})
#: The problem of a success that lacks the token, and is not an error.
NO_ACCESS_TOKEN = "access_token is missing"
# Members of a success: a document with no others says nothing of an error.
_OF_A_SUCCESS = frozenset(
    {"access_token", "token_type", "expires_in", "scope", "refresh_token", "refresh_token_expires_in", "id_token"}
)
# Members that decide; a defect of another one does not matter.
_MEMBERS = _OF_A_SUCCESS | {"error", "active", "cascade", "cnf", "exp", *_TOKENS, "user_code", "verification_uri"}
# Members by which a document says that it is an error under any status, and their values.
_FAILURE_FLAGS = {"success": ("false", "0"), "ok": ("false", "0"), "status": ("error", "fail", "failed", "failure")}
_NUMBERS_OF_ERRORS = ("errcode", "errorcode", "errno", "errors")
# Codes by which a document says that it is none.
_OF_NO_ERROR = r"(?i)0+|2[0-9]{2}|ok|success"
_ADVICE_BY_STATUS = {
    400: "check the grant and its fields",
    401: f"check client_id, client_secret and {GRANT_CREDENTIALS}",
    403: "check that the application and its account may use this endpoint: the grant, the address it calls from, "
    "and on a mutual-TLS host the certificate, whose CN is the account's name at SEI",
}
# Statuses of a server that has no such endpoint (RFC 9110 §15.5.5, §15.5.6, §15.5.11, §15.5.20).
_NO_ENDPOINT = frozenset({404, 405, 410, 421})
_ENDPOINTS = ("revocation_url", "introspection_url", "token_info_url", "device_authorization_url")
_ADVICE = "check the host, provider.token_url and the credentials"


# With a __dict__, in which cached_property keeps its values.
@frozen(kw_only=True, slots=False)
class Reply:
    """A response of one of the provider's endpoints, read whole and decompressed.

    Args:
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed.
        host: Host and port of the endpoint, for messages.
        url: The URL of the request without its query, for messages.
        now: Seconds since the epoch when the reply was read, for a `Retry-After` or an `exp` that is a date.
        secrets: The secrets of the request; no message repeats them.
        provider: The dialect.
        setting_names: The variables or keys of the client's settings, which advice names.
    """

    status: int
    headers: httpx.Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    host: str = ""
    url: str = ""
    now: float = 0.0
    secrets: Collection[str] = attrs.field(default=(), repr=False)
    provider: Provider = attrs.field(default=Provider(token_url="/"), repr=False)
    setting_names: SettingNames = attrs.field(default=SettingNames(), repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx; RFC 6749 §5.1 has 200 only, and some servers answer 201."""
        return 200 <= self.status < 300

    @cached_property
    def document(self) -> dict[str, object] | JsonBodyError:
        """The JSON object of the body, or the reason why there is none."""
        # Returned and not chained: the defect may quote a name from the reply, unsanitized.
        try:
            return read_document(as_utf8(self.body, self.headers.get("Content-Type")), members=_MEMBERS)
        except JsonBodyError as defect:
            return defect.with_traceback(None)

    @cached_property
    def error(self) -> ErrorBody | None:
        """The error that the body carries; None if a success has none in a known form, or an error has no words."""
        if not self.is_success:
            content_type = self.headers.get("Content-Type")
            error = read_error(self.body, provider=self.provider, secrets=self.secrets, content_type=content_type)
            return error or self._challenge()
        if isinstance(self.document, JsonBodyError):
            return None
        error = error_in(self.document, provider=self.provider)
        if error is not None and not self.document.get("error") and re.fullmatch(_OF_NO_ERROR, error.code or ""):
            return None
        if self.document.get("error") or _says_failure(self.document):
            # The words may be in any member.
            return any_words(self.document, error or ErrorBody())
        return error

    def _challenge(self) -> ErrorBody | None:
        """Return the error of a `WWW-Authenticate` (RFC 6750 §3)."""
        from seic._oauth.challenges import parse_challenges

        for challenge in parse_challenges(self.headers.get_list("WWW-Authenticate")):
            if code := challenge.parameters.get("error"):
                return ErrorBody(code=code, description=challenge.parameters.get("error_description"))
        return None

    @property
    def means(self) -> int:
        """The status that the reply means: that of the body if the response's is a success and the body an error."""
        code = self.error.code if self.is_success and self.error is not None else None
        return int(code) if code is not None and re.fullmatch(_STATUS, code) else self.status

    @property
    def url_setting(self) -> str:
        """The provider's setting of the URL of the request."""
        for name in _ENDPOINTS:
            path = getattr(self.provider, name)
            if path is not None and self.url.endswith(path.partition("?")[0]):
                return f"provider.{name}"
        return "provider.token_url"

    @property
    def has_token(self) -> bool:
        """Whether the body has an access token."""
        return not isinstance(self.document, JsonBodyError) and bool(self.document.get("access_token"))

    @cached_property
    def secret_values(self) -> Collection[str]:
        """The secrets of the request, and the tokens in the reply."""
        if isinstance(self.document, JsonBodyError):
            return self.secrets
        values = [self.document.get(name) for name in _TOKENS]
        tokens = [value for value in values if isinstance(value, str) and len(value) >= _SHORTEST_TOKEN]
        return (*self.secrets, *tokens)

    def sanitize(self, text: str | None, limit: int) -> str | None:
        """Return a provider's text in a form that a message can hold; None if nothing is left of it."""
        return (sanitize(text, secrets=self.secret_values, limit=limit) if text else None) or None

    def code_of(self, error: ErrorBody) -> str | None:
        """Return the code of an error; a code of the RFCs is returned unchanged, even if a secret contains it."""
        from seic._oauth.error_codes import KNOWN_CODES

        return error.code if error.code in KNOWN_CODES else self.sanitize(error.code, _LONGEST_CODE)

    def tracking_id(self, error: ErrorBody | None = None) -> str | None:
        """Return the provider's id of the call, from the header or else from the body."""
        return find_tracking_id(
            self.headers,
            self.provider.tracking_header,
            otherwise=error.tracking_id if error else None,
            secrets=self.secret_values,
        )

    def invalid(self, problem: str, *, error: ErrorBody | None = None, advice: str | None = None) -> NoReturn:
        """Raise InvalidTokenResponse; `problem` names the property that is wrong and holds no unsanitized text."""
        tracking_id = self.tracking_id(error)
        advice = advice or "check the host and provider.token_url, and that no proxy or login page answers in its place"
        advice = self.setting_names.in_advice(advice)
        raise InvalidTokenResponse(
            f"{self.host} answered {self.status}, which cannot be used: {problem}; {advice}{_tracked(tracking_id)}",
            problem=problem,
            tracking_id=tracking_id,
        )


def raise_token_error(reply: Reply, *, hint: str | None = None) -> None:
    """Raise the error of a reply; the body decides before the status, since many servers answer 200 to all.

    Args:
        reply: The reply.
        hint: Advice to add if the credentials are refused.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408, or an error that says so.
        TokenRequestRefused: Another 4xx, or an error under another status.
        InvalidTokenResponse: 3xx, a status that is not final, or an error that comes with a token.
    """
    error = reply.error
    if reply.is_success and (error is None or reply.has_token):
        return
    from seic._oauth.error_codes import is_passing, is_refusal

    # A server that names a time for the next attempt means an outage, whatever its words resemble.
    is_final = not reply.is_success and reply.status not in (408, 429) and "Retry-After" not in reply.headers
    if is_final and error is not None and is_refusal(error.code, error.description):
        refuse(reply, error, hint=hint)
    if (
        reply.means in (408, 429)
        or 500 <= reply.means < 600
        or (error is not None and is_passing(error.code, error.description))
    ):
        _raise_unavailable(reply)
    if reply.is_success or 400 <= reply.status < 500:
        refuse(reply, error or ErrorBody(), hint=hint)
    if 300 <= reply.status < 400:
        reply.invalid(
            f"a redirect to {_target(reply)}",
            advice="redirects of token requests are never followed, which would leak the credentials; set the host "
            "and provider.token_url to the real address of the endpoint",
        )
    reply.invalid("the status is not final")


def refuse(reply: Reply, error: ErrorBody, *, hint: str | None = None) -> NoReturn:
    """Raise TokenRequestRefused with the provider's text and with advice."""
    tracking_id = reply.tracking_id(error)
    from seic._oauth.error_codes import known_code

    code = known_code(error.code)
    if error.subcode == LOGGED_IN_ELSEWHERE:
        advice = END_OTHER_SESSIONS
    else:
        missing = f"the URL was {reply.url}; check its host and {reply.url_setting}"
        by_status = missing if reply.status in _NO_ENDPOINT else _ADVICE_BY_STATUS.get(reply.means)
        advice = _ADVICE_BY_CODE.get(code or "") or by_status or _ADVICE
    if code == "invalid_grant" and reply.provider.code_lifetime is not None:
        advice += f" (a code lives {reply.provider.code_lifetime:g} s)"
    if hint and (code in _OF_THE_CLIENT or reply.means in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)):
        advice += f"; {hint}"
    raise TokenRequestRefused(
        f"{reply.provider.name} at {reply.host} refused the request: it answered {reply.status}"
        f"{_quoted(reply, error)}; {reply.setting_names.in_advice(advice)}{_tracked(tracking_id)}",
        status=reply.status,
        code=reply.code_of(error),
        description=reply.sanitize(error.description, MAX_WORDS),
        transient=error.transient or False,
        tracking_id=tracking_id,
    )


def refuse_without_token(reply: Reply, *, hint: str | None = None) -> None:
    """Raise TokenRequestRefused for a JSON object without an access token, unless it has members of a success only.

    A body in another form, such as a list, a form or XML, is a refusal if it says so.
    """
    document = reply.document
    if isinstance(document, JsonBodyError):
        from seic._oauth.error_codes import is_refusal

        error = read_error(reply.body, provider=reply.provider, secrets=reply.secrets)
        if error is not None:
            # Words as short as a code decide like one; a page may name an application for another reason.
            words = (error.description or "")[: _LONGEST_CODE + 1]
            code = error.code or (words if len(words) <= _LONGEST_CODE else None)
            if is_refusal(code, error.description):
                refuse(reply, error, hint=hint)
        return
    if document.get("access_token") is not None:
        return
    if not document.keys() <= _OF_A_SUCCESS:
        refuse(reply, any_words(document, reply.error) or ErrorBody(), hint=hint)


def _says_failure(document: Mapping[str, object]) -> bool:
    """Whether a document says without a code that it is an error, as `{"success": false}` does."""
    if "active" in document:
        # An introspection (RFC 7662 §2.2), whose other members describe a token.
        return False
    members = {name.lower().replace("_", ""): value for name, value in document.items()}
    for name, values in _FAILURE_FLAGS.items():
        if str(members.get(name)).lower() in values:
            return True
    return any(members.get(name) and str(members[name]) != "0" for name in _NUMBERS_OF_ERRORS)


def read_success(reply: Reply) -> Mapping[str, object]:
    """Return the JSON object of a success.

    Raises:
        InvalidTokenResponse: The body is none, or it is an error in spite of the status.
    """
    document = reply.document
    if isinstance(document, JsonBodyError):
        member = reply.sanitize(document.member, MAX_WORDS)
        reply.invalid(document.problem if member is None else f"{member} {document.problem}")
    # With a token only `error` counts: some servers say `"code": 0, "message": "success"`. A token that comes with an
    # error is not taken: a reply that contradicts itself cannot be trusted.
    if not document.get("error") and "access_token" in document:
        return document
    error = reply.error
    if error is not None:
        words = _words(reply, error) or "without a description"
        reply.invalid(f"the reply is an error: {words}", error=error, advice="do what the error asks for")
    return document


def _words(reply: Reply, error: ErrorBody) -> str:
    """Return code and description of an error for a message, sanitized."""
    words = (reply.code_of(error), reply.sanitize(error.description, MAX_WORDS))
    return ": ".join(filter(None, words))


def _raise_unavailable(reply: Reply) -> NoReturn:
    from seic._oauth.challenges import parse_retry_after

    error = reply.error or ErrorBody()
    retry_after = parse_retry_after(reply.headers.get("Retry-After"), now=reply.now)
    tracking_id = reply.tracking_id(error)
    pause = "try again later" if retry_after is None else f"try again in {retry_after:.0f} s"
    raise TokenEndpointUnavailable(
        f"{reply.provider.name} at {reply.host} is unavailable: it answered {reply.status}{_quoted(reply, error)}; "
        f"{pause}{_tracked(tracking_id)}",
        retry_after=retry_after,
        status=reply.status,
        tracking_id=tracking_id,
    )


def _quoted(reply: Reply, error: ErrorBody) -> str:
    words = _words(reply, error)
    if not words and reply.is_success:
        words = "an error without words"
    return f" ({words})" if words else ""


def _target(reply: Reply) -> str:
    # The host alone: path and query of a redirect may carry a session or what was sent.
    location = reply.headers.get("Location")
    if not location:
        return "nowhere: it names no location"
    try:
        host = httpx.URL(location).raw_host.decode("ascii")
    except httpx.InvalidURL:
        return "an unreadable location"
    return reply.sanitize(host, _LONGEST_HOST) or f"another path of {reply.host}"


def _tracked(tracking_id: str | None) -> str:
    """Return the end of a message that names the tracking id; empty if there is none."""
    return f" (tracking id {tracking_id})" if tracking_id else ""
