"""The token endpoint of one configuration: builds its requests, sends them, reads its replies."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import httpx

from seic._model.grant_parameters import GrantParameters, as_grant_parameters
from seic._model.provider import KeyedCertificate, Provider, RequestContext
from seic._model.secrecy import Unpicklable, hide
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.client_auth import hint_for_refusal
from seic._oauth.dpop import DPoP, wants_nonce
from seic._oauth.introspection import build_token_info_request, parse_token_info_reply
from seic._oauth.messages import build_token_request, parse_token_reply
from seic._oauth.reply import Reply
from seic._oauth.revocation import build_revocation_request, parse_revocation_reply
from seic._tokens.sending import Sender


def _no_hint() -> None:
    return None


def _host_of(endpoint: TokenEndpoint) -> str:
    return httpx.URL(endpoint.url).netloc.decode("ascii")


@attrs.frozen
class Doomed(Unpicklable):
    """A token that is to be revoked; `may_be_gone` says that a refusal is no news."""

    secret: str = attrs.field(repr=hide)
    is_refresh_token: bool = attrs.field(default=False, kw_only=True)
    may_be_gone: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(kw_only=True, eq=False)
class TokenEndpoint(Unpicklable):
    """Where the tokens of one configuration come from.

    Args:
        provider: The dialect.
        url: The endpoint's whole URL; the one place that chose the host chose it.
        client_id: The client's id (the gateway's AppKey).
        client_secret: Its secret, where there is one.
        grant: How a token is asked for.
        sender: What puts a request on the wire.
        timeout: Seconds for a fetch in all, each attempt at it and the pauses between them.
        certificate: Gives the client's certificate in use, where it presents one.
        dpop: The key that tokens are bound to (RFC 9449); None where they are not.
        hint: Gives a likely cause of a refusal that lies outside the credentials, or None.
    """

    provider: Provider
    url: str
    client_id: str
    client_secret: str | None = attrs.field(repr=hide)
    grant: GrantParameters = attrs.field(converter=as_grant_parameters)
    sender: Sender = attrs.field(repr=False)
    timeout: float
    certificate: Callable[[], KeyedCertificate | None] = attrs.field(default=lambda: None, repr=False)
    dpop: DPoP | None = attrs.field(default=None, repr=False)
    hint: Callable[[], str | None] = attrs.field(default=_no_hint, repr=False)
    #: The endpoint's host and port, for messages and events; read once, since each call that waits has an event.
    host: str = attrs.field(init=False, repr=False, default=attrs.Factory(_host_of, takes_self=True))

    def context(self, *, now: float = 0.0) -> RequestContext:
        """Return the client and the circumstances of a request; `now` is wall clock, in seconds since the epoch."""
        return RequestContext(
            provider=self.provider,
            token_url=self.url,
            client_id=self.client_id,
            client_secret=self.client_secret,
            certificate=self.certificate(),
            now=now,
        )

    def _own(self, reply: Reply, *, now: float) -> Reply:
        return attrs.evolve(reply, provider=self.provider, host=self.host, now=now)

    def build(self, grant: GrantParameters | None = None, *, now: float = 0.0) -> httpx.Request:
        """Return a request for a new token.

        Args:
            grant: How to ask; None is the configured grant.
            now: Wall clock, in seconds since the epoch, for what is signed.
        """
        request = build_token_request(self.context(now=now), grant=grant or self.grant)
        if self.dpop is not None:
            request.headers["DPoP"] = self.dpop.prove(request.method, request.url, now=now)
        return request

    def should_resend(self, request: httpx.Request, reply: Reply) -> bool:
        """Tell whether the endpoint refused a request for want of a nonce, and sent another (RFC 9449 §8)."""
        if self.dpop is None:
            return False
        is_new = self.dpop.remember_nonce(request, reply.headers, api=False)
        return is_new and wants_nonce(status=reply.status, headers=reply.headers, body=reply.body)

    def parse(self, reply: Reply, *, obtained_at: float, now: float) -> Token:
        """Return the token of a reply.

        Args:
            reply: What came back.
            obtained_at: Wall clock just before the request was sent, in seconds since the epoch.
            now: Wall clock, for a Retry-After that is a date.

        Raises:
            TokenError: The reply holds none.
        """
        token = parse_token_reply(
            self._own(reply, now=now),
            obtained_at=obtained_at,
            hint=self._hint(reply.status),
            takes_dpop=self.dpop is not None,
        )
        if self.dpop is not None:
            self.dpop.check(token.access_token, token.token_type, host=self.host)
        return token

    def _hint(self, status: int) -> str | None:
        if status == httpx.codes.FORBIDDEN:
            return self.hint()
        known = hint_for_refusal(self.context())
        outside = self.hint() if status == httpx.codes.UNAUTHORIZED else None
        return "; ".join(filter(None, (outside, known))) or None

    def to_revoke(self, token: Token) -> list[Doomed]:
        """Return what has to be revoked so that a token and the refresh token that came with it end.

        Where one of the pair takes the other along (the platform) there is one; elsewhere the refresh token dies first,
        so that nothing new comes of it. The gateway ends access tokens only.
        """
        doomed = [Doomed(token.access_token)]
        if token.refresh_token is not None and self.provider.invalidate_grant_type is None:
            doomed.insert(0, Doomed(token.refresh_token, is_refresh_token=True))
        if self.provider.revocation_cascades:
            del doomed[1:]
        return doomed

    def build_revocation(self, doomed: Doomed, *, now: float) -> httpx.Request:
        """Return the request that ends one of them."""
        return build_revocation_request(
            self.context(now=now), token=doomed.secret, is_refresh_token=doomed.is_refresh_token
        )

    def parse_revocation(self, reply: Reply, *, now: float) -> None:
        """Read the reply to one of them.

        Raises:
            TokenError: The token was not revoked.
        """
        parse_revocation_reply(self._own(reply, now=now))

    def build_token_info(self, token: Token, *, now: float) -> httpx.Request:
        """Return the request that has a token described."""
        return build_token_info_request(self.context(now=now), access_token=token.access_token)

    def parse_token_info(self, reply: Reply, *, now: float) -> TokenInfo:
        """Return the description.

        Raises:
            TokenError: The reply holds none.
        """
        return parse_token_info_reply(self._own(reply, now=now))
