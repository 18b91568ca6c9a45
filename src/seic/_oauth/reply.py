"""`Reply`: one response of a provider's endpoint, read whole, and its JSON document, parsed once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import NoReturn

import attrs
import httpx

from seic._errors import InvalidTokenResponse
from seic._model.provider import Provider
from seic._oauth.error_body import ErrorBody, error_in
from seic._oauth.json_body import DefectiveDocument, read_document
from seic._oauth.redact import find_tracking_id, sanitize

# The members of a reply that are secrets, and their minimum length: a shorter value is not a token.
_TOKENS = ("access_token", "refresh_token", "id_token", "device_code")
_SHORTEST_TOKEN = 8
_LONGEST_CODE = 100

# Codes of RFC 6749 §4.1.2.1 and §5.2, 6750 §3.1, 7009 §2.2.1, 8628 §3.5, 8707 §2 and 9449 §5, §8, and the gateway's.
_KNOWN_CODES = frozenset(
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


# With a __dict__, in which cached_property keeps its values.
@attrs.frozen(kw_only=True, slots=False)
class Reply:
    """A response of one of the provider's endpoints, read whole and decompressed.

    Args:
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed.
        host: Host and port of the endpoint, for messages.
        now: Seconds since the epoch when the reply was read, for a `Retry-After` or an `exp` that is a date.
        secrets: The secrets of the request; no message repeats them.
        provider: The dialect.
    """

    status: int
    headers: httpx.Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    host: str = ""
    now: float = 0.0
    secrets: Collection[str] = attrs.field(default=(), repr=False)
    provider: Provider = attrs.field(default=Provider(token_url="/"), repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx; RFC 6749 §5.1 has 200 only, and some servers answer 201."""
        return 200 <= self.status < 300

    @cached_property
    def document(self) -> dict[str, object] | DefectiveDocument:
        """The JSON object of the body, or the reason why there is none."""
        # Returned and not chained: the defect may quote a name from the reply, unsanitized.
        try:
            return read_document(self.body)
        except DefectiveDocument as defect:
            return defect.with_traceback(None)

    @cached_property
    def error(self) -> ErrorBody | None:
        """The error that the body carries; None if it is in no known form."""
        return None if isinstance(self.document, DefectiveDocument) else error_in(self.document)

    @cached_property
    def secret_values(self) -> Collection[str]:
        """The secrets of the request, and the tokens in the reply."""
        if isinstance(self.document, DefectiveDocument):
            return self.secrets
        values = [self.document.get(name) for name in _TOKENS]
        tokens = [value for value in values if isinstance(value, str) and len(value) >= _SHORTEST_TOKEN]
        return (*self.secrets, *tokens)

    def sanitize(self, text: str | None, limit: int) -> str | None:
        """Return a provider's text in a form that a message can hold; None if nothing is left of it."""
        return (sanitize(text, secrets=self.secret_values, limit=limit) if text else None) or None

    def code_of(self, error: ErrorBody) -> str | None:
        """Return the code of an error; a code of the RFCs is returned unchanged, even if a secret contains it."""
        return error.code if error.code in _KNOWN_CODES else self.sanitize(error.code, _LONGEST_CODE)

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
        raise InvalidTokenResponse(
            f"{self.host} answered {self.status}, which cannot be used: {problem}; {advice}{tracked(tracking_id)}",
            problem=problem,
            tracking_id=tracking_id,
        )


def tracked(tracking_id: str | None) -> str:
    """Return the end of a message that names the tracking id; empty if there is none."""
    return f" (tracking id {tracking_id})" if tracking_id else ""
