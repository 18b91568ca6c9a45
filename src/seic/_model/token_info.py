"""`TokenInfo`: a provider's description of a token."""

# Annotations are evaluated: pydantic resolves strings in the public module, which has not all of their names.
import dataclasses
from collections.abc import Mapping

from seic._public import publish


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenInfo:
    """A token as its provider describes it (the platform's tokeninfo, RFC 7662 §2.2); it contains no secret.

    A dataclass, so that web frameworks can serialize it.

    Args:
        active: Whether the token is valid.
        expires_in: Remaining lifetime in seconds; None if the provider did not say.
        scope: As the provider wrote it; empty if it named none.
        token_type: As the provider wrote it.
        client_id: The client that the token was issued to.
        username: The user of the token: the platform's `email`, the RFC's `username`.
        app_name: The registered name of the application.
        status: The provider's own status of the token.
        refresh_expires_in: Remaining lifetime of the refresh token in seconds.
        tracking_id: The provider's id of the request.
        extra: Every other member of the reply, unchanged.
    """

    active: bool
    expires_in: float | None = None
    scope: str = ""
    token_type: str | None = None
    client_id: str | None = None
    username: str | None = None
    app_name: str | None = None
    status: str | None = None
    refresh_expires_in: float | None = None
    tracking_id: str | None = None
    extra: Mapping[str, object] = dataclasses.field(default_factory=dict, repr=False, compare=False)


publish("seic", ["TokenInfo"], globals())
