"""The token endpoint of one configuration: builds its requests, sends them, reads its replies."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import httpx

from seic._model.grants import Grant
from seic._model.provider import Provider
from seic._model.secrecy import Secretive, hide
from seic._model.token import Token
from seic._oauth.client_auth import hint_for_refusal
from seic._oauth.messages import build_token_request, parse_token_reply
from seic._oauth.revocation import build_revocation_request, parse_revocation_reply
from seic._oauth.words import secrets_in
from seic._tokens.sending import Reply, Sender

_CREDENTIALS_REFUSED = (401, 403)


def _no_hint() -> None:
    return None


@attrs.frozen(kw_only=True, eq=False)
class TokenEndpoint(Secretive):
    """Where the tokens of one configuration come from.

    Args:
        provider: The dialect.
        url: The endpoint's whole URL; the one place that chose the host chose it.
        client_id: The client's id (the gateway's AppKey).
        client_secret: Its secret, where there is one.
        grant: How a token is asked for.
        sender: What puts a request on the wire.
        hint: Gives a likely cause of a refusal that lies outside the credentials, or None.
    """

    provider: Provider
    url: str
    client_id: str
    client_secret: str | None = attrs.field(repr=hide)
    grant: Grant
    sender: Sender = attrs.field(repr=False)
    hint: Callable[[], str | None] = attrs.field(default=_no_hint, repr=False)

    @property
    def host(self) -> str:
        """The endpoint's host and port, for messages."""
        return httpx.URL(self.url).netloc.decode("ascii")

    def build(self) -> httpx.Request:
        """Return a request for a new token."""
        return build_token_request(
            provider=self.provider,
            token_url=self.url,
            client_id=self.client_id,
            client_secret=self.client_secret,
            grant=self.grant,
        )

    async def send(self, request: httpx.Request) -> Reply:
        """Send a request of this endpoint's."""
        return attrs.evolve(await self.sender.send(request), secrets=secrets_in(request))

    def send_sync(self, request: httpx.Request) -> Reply:
        """Send a request of this endpoint's, blocking."""
        return attrs.evolve(self.sender.send_sync(request), secrets=secrets_in(request))

    def parse(self, reply: Reply, *, obtained_at: float, now: float) -> Token:
        """Return the token of a reply.

        Args:
            reply: What came back.
            obtained_at: Wall clock just before the request was sent, in seconds since the epoch.
            now: Wall clock, for a Retry-After that is a date.

        Raises:
            TokenError: The reply holds none.
        """
        return parse_token_reply(
            provider=self.provider,
            status=reply.status,
            headers=reply.headers,
            body=reply.body,
            obtained_at=obtained_at,
            host=self.host,
            now=now,
            secrets=reply.secrets,
            hint=self._hint(reply.status),
        )

    def _hint(self, status: int) -> str | None:
        known = hint_for_refusal(self.provider, client_id=self.client_id, client_secret=self.client_secret)
        causes = filter(None, (self.hint() if status in _CREDENTIALS_REFUSED else None, known))
        return "; ".join(causes) or None

    def build_invalidation(self, token: Token) -> httpx.Request:
        """Return the request that ends a token's life."""
        return build_revocation_request(
            provider=self.provider,
            token_url=self.url,
            client_id=self.client_id,
            client_secret=self.client_secret,
            token=token.access_token,
        )

    def parse_invalidation(self, reply: Reply, *, now: float) -> None:
        """Read the reply to it.

        Raises:
            TokenError: The token was not revoked.
        """
        parse_revocation_reply(
            provider=self.provider,
            status=reply.status,
            headers=reply.headers,
            body=reply.body,
            host=self.host,
            now=now,
            secrets=reply.secrets,
        )
