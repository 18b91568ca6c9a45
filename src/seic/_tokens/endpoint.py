"""The token endpoint of one configuration: token requests, revocation and introspection, each sent and read here.

Which token is requested when, and what becomes of it, is decided in `refresh` and `source`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, TypeVar

import attrs
import httpx

from seic._concurrency import run_in_thread
from seic._errors import CertificateError, ConfigurationError, SeicError, TokenRequestRefused
from seic._event_types import Emit, SecretRejected, TokenNotBound, TokenRequested
from seic._model.grant_parameters import CustomGrant, GrantParameters, as_grant_parameters
from seic._model.provider import KeyedCertificate, Provider, RequestContext
from seic._model.secret import Secret, Unpicklable, hide, reveal
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.client_auth import hint_for_refusal, is_users_own
from seic._oauth.confirmation import check_confirmation
from seic._oauth.dpop import DPoP, wants_nonce
from seic._oauth.jwt import claims_of
from seic._oauth.messages import build_token_request, parse_token_reply
from seic._oauth.reply import Reply
from seic._oauth.revocation import build_revocation_request, parse_revocation_reply
from seic._setting_errors import SettingNames
from seic._tokens.backoff import error_class_name, failure_name, is_refusal, use_state_after
from seic._tokens.clock import Clock
from seic._tokens.exchange import HEAD, Head, TransportSource, exchange, in_two_attempts
from seic._tokens.sent_secrets import Secrets, SentSecrets, key_file_method
from seic._tokens.single_use import UseState
from seic._values import frozen

_T = TypeVar("_T")
#: Returns the token request that a certificate is to make.
BuildRequest: TypeAlias = Callable[[KeyedCertificate | None], httpx.Request]

_logger = logging.getLogger("seic.api")


@functools.lru_cache(64)
def _netloc(url: str) -> str:
    return httpx.URL(url).netloc.decode("ascii")


def _calls_user_code(grant: GrantParameters) -> bool:
    values = [getattr(grant, field.name) for field in attrs.fields(type(grant))]
    return isinstance(grant, CustomGrant) or any(map(callable, values))


@frozen
class PendingRevocation(Unpicklable):
    """A token to revoke; `may_be_revoked` says that a refusal is expected."""

    secret: str = attrs.field(repr=hide)
    is_refresh_token: bool = attrs.field(default=False, kw_only=True)
    may_be_revoked: bool = attrs.field(default=False, kw_only=True)


@attrs.define(kw_only=True, eq=False)
class TokenEndpoint(Unpicklable):
    """The endpoint that issues the tokens of one configuration."""

    provider: Provider
    url: str
    client_id: str
    client_secret: Secret | None = attrs.field(repr=hide)
    grant: GrantParameters = attrs.field(converter=as_grant_parameters)
    transports: TransportSource = attrs.field(repr=False)
    #: Seconds for a refresh in all: each attempt and the pauses between them.
    timeout: float
    clock: Clock = attrs.field(repr=False)
    emit: Emit = attrs.field(repr=False)
    #: Returns the client certificate in use, if any.
    certificate: Callable[[], KeyedCertificate | None] = attrs.field(default=lambda: None, repr=False)
    #: The key that tokens are bound to (RFC 9449), if they are.
    dpop: DPoP | None = attrs.field(default=None, repr=False)
    #: Returns a likely cause of a refusal that lies outside the credentials, or None.
    hint: Callable[[], str | None] = attrs.field(default=lambda: None, repr=False)
    #: Looks for another certificate after a refusal, as `TransportFactory` does; None if there is none.
    replace_certificate: Callable[[BuildRequest, TokenRequestRefused], bool] | None = attrs.field(
        default=None, repr=False
    )
    #: The variables or keys of the client's settings, for messages.
    setting_names: SettingNames = attrs.field(default=SettingNames(), repr=False)
    #: Reads the provider and the endpoint's URL from the issuer's metadata; None if both are known. `url` is the
    #: issuer's until then.
    metadata: Callable[[], Awaitable[tuple[Provider, str]]] | None = attrs.field(default=None, repr=False)
    #: The endpoint's host and port, for messages and events; read once, because each call that waits has an event.
    host: str = attrs.field(init=False, repr=False)
    #: Whether the grant can be used any number of times, and calls no code of the user's.
    has_plain_grant: bool = attrs.field(init=False, repr=False)
    #: Whether a callable returns one of the secrets, or a file has the key that signs: they may change.
    follows_secrets: bool = attrs.field(init=False, repr=False)
    #: The secrets of the last requests.
    sent: SentSecrets = attrs.field(init=False, repr=False, factory=SentSecrets)
    #: Whether building a request calls code of the user's, which may block.
    calls_user_code: bool = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.host = _netloc(self.url)
        calls_user_code = _calls_user_code(self.grant)
        self.has_plain_grant = self.grant.is_repeatable and not calls_user_code
        method = self.provider.client_authentication
        calls_user_code |= callable(self.client_secret) or callable(getattr(method, "password", None))
        self.follows_secrets = calls_user_code or key_file_method(method) is not None
        self.calls_user_code = calls_user_code or is_users_own(method)

    async def read_metadata(self) -> None:
        """Read the issuer's metadata, if the endpoint is not known yet; every request needs that before.

        Raises:
            SeicError: The metadata cannot be read or used; see `discover`.
        """
        if self.metadata is not None:
            with self.setting_names.rename_errors():
                self.provider, self.url = await self.metadata()
            self.host = _netloc(self.url)
            self.metadata = None

    def context(self, secrets: Secrets | None = None, certificate: KeyedCertificate | None = None) -> RequestContext:
        """Return the client and the circumstances of a request that is built now; this calls code of the user's."""
        secrets = secrets or self.sent.previous
        secret = self.client_secret if secrets is None else secrets.client_secret
        provider = self.provider
        if secrets is not None and secrets.method is not None:
            provider = attrs.evolve(provider, client_authentication=secrets.method)
        return RequestContext(
            provider=provider,
            token_url=self.url,
            client_id=self.client_id,
            client_secret=reveal(secret, field="client_secret") if callable(secret) else secret,
            certificate=certificate or self.certificate(),
            now=self.clock.wall(),
        )

    def build(
        self, grant: GrantParameters, secrets: Secrets | None = None, certificate: KeyedCertificate | None = None
    ) -> httpx.Request:
        """Return a token request, of the certificate in use unless another is given."""
        secrets = secrets or self.sent.previous
        context = self.context(secrets, certificate)
        request = build_token_request(context, grant=grant if secrets is None else secrets.apply(grant))
        if self.dpop is not None:
            request.headers["DPoP"] = self.dpop.prove(request.method, request.url, now=context.now)
        return request

    async def prepare(
        self, grant: GrantParameters, *, is_own: bool, check: Callable[[str], Awaitable[None]]
    ) -> httpx.Request:
        """Return a token request that is about to be sent.

        Args:
            grant: Its grant.
            is_own: Whether that is the configured one.
            check: Raises if another process was refused with the secrets of a digest; called for those that may change.
        """
        if self.metadata is not None:
            await self.read_metadata()
        if self.follows_secrets:
            request = await self.off_loop(self._build_followed, grant, is_own)
            if is_own:
                await check(self.sent.digest)
            return request
        return await self.off_loop(self.build, grant)

    def _build_followed(self, grant: GrantParameters, is_own: bool) -> httpx.Request:  # noqa: FBT001  # called through a thread
        self.sent.previous = None
        secrets = self._read_secrets(grant, is_own=is_own)
        request = self.build(grant, secrets)
        self.sent.note(request, secrets, is_own=is_own)
        return request

    def _read_secrets(self, grant: GrantParameters, *, is_own: bool) -> Secrets:
        return self.sent.read(self.client_secret, self.provider.client_authentication, grant, is_own=is_own)

    @property
    def secrets_digest(self) -> str:
        """A digest of the secrets of the last request, if they may change; else empty."""
        return self.sent.digest if self.follows_secrets else ""

    async def has_new_secret(self) -> bool:
        """Whether a request of the configured grant would have another secret than the last."""

        def differ() -> bool:
            secrets = self._read_secrets(self.grant, is_own=True)
            return self.sent.differ(self.build(self.grant, secrets), secrets)

        return await self.off_loop(differ)

    async def off_loop(self, call: Callable[..., _T], *args: object) -> _T:
        """Call what builds a request: in a thread if it calls code of the user's, which must not block the loop."""
        try:
            return await run_in_thread(call, *args) if self.calls_user_code else call(*args)
        except (CertificateError, ConfigurationError) as error:
            renamed = self.setting_names.of_error(error)
        raise renamed from renamed.__cause__

    async def request(
        self,
        request: httpx.Request,
        grant: GrantParameters,
        *,
        ends: float | None = None,
        count: Callable[[str], object] = lambda _counter: None,
    ) -> Token:
        """Send a token request and return the token.

        If new secrets are refused, it is sent once more with those that got the last token; if a new certificate is,
        with the one before; if both are, with both.

        It ends at the latest at `ends` of the monotonic clock, which is `timeout` from now by default. `count` adds to
        the counters of `Stats`.
        """
        ends = self.clock.monotonic() + self.timeout if ends is None else ends
        try:
            return await self._request(request, grant, ends, count)
        except TokenRequestRefused as error:
            # A refresh token or code that the provider has read is not sent again.
            is_repeatable = grant.single_use_secret is None or use_state_after(error) is UseState.UNUSED
            if not (is_refusal(error) and is_repeatable):
                raise
            refusal = error.fresh()
        has_new_secret = self.sent.fall_back()
        for replaces_certificate in (False, True) if has_new_secret else (True,):
            if replaces_certificate and (
                self.replace_certificate is None
                or not await run_in_thread(
                    self.replace_certificate, lambda certificate: self.build(grant, certificate=certificate), refusal
                )
            ):
                continue
            try:
                token = await self._request(await self.off_loop(self.build, grant), grant, ends, count)
            except TokenRequestRefused:
                continue
            if has_new_secret:
                status, code, tracking_id = refusal.status, refusal.code, refusal.tracking_id
                self.emit(SecretRejected(host=self.host, status=status, code=code, tracking_id=tracking_id))
            return token
        if has_new_secret:
            self.sent.fall_back()
        raise refusal from refusal.__cause__

    async def _request(
        self, request: httpx.Request, grant: GrantParameters, ends: float, count: Callable[[str], object]
    ) -> Token:
        """Send a token request; build it once more if the endpoint demands a nonce (RFC 9449 §8)."""
        begun, wall = self.clock.monotonic(), self.clock.wall()
        certificate = self.certificate()
        is_bound = True
        count("token_requests")
        try:
            reply = await self.send(request, ends - begun)
            if self.dpop is not None and self._wants_nonce(request, reply):
                self._tell("challenged", request, begun, tracking_id=reply.tracking_id())
                count("token_requests")
                begun = self.clock.monotonic()
                request = await self.off_loop(self.build, grant)
                reply = await self.send(request, ends - begun)
            hint = None if reply.is_success and reply.error is None else await self._hint(reply.means)
            token = parse_token_reply(reply, obtained_at=wall, hint=hint, takes_dpop=self.dpop is not None)
            if self.dpop is not None:
                self.dpop.check(token.access_token, token.token_type, host=self.host)
            if (claims := claims_of(token.access_token)) is not None:
                is_bound = check_confirmation(claims, provider=self.provider, certificate=certificate, host=self.host)
        except SeicError as error:
            count("token_failures")
            self._tell(failure_name(error), request, begun, error=error)
            raise
        if self.follows_secrets:
            self.sent.accepted()
        self._tell("acquired", request, begun, tracking_id=token.tracking_id)
        if not is_bound:
            self.emit(TokenNotBound(host=self.host, tracking_id=token.tracking_id))
        return token

    async def send(self, request: httpx.Request, seconds: float) -> Reply:
        """Send a request and return the whole reply; see `exchange`."""
        reply = await exchange(self.transports, request, seconds=seconds, provider=self.provider, wall=self.clock.wall)
        return attrs.evolve(reply, host=self.host, setting_names=self.setting_names)

    def _wants_nonce(self, request: httpx.Request, reply: Reply) -> bool:
        assert self.dpop is not None  # noqa: S101  # for the type checker
        is_new = self.dpop.remember_nonce(request, reply.headers, api=False)
        return is_new and wants_nonce(status=reply.status, headers=reply.headers, body=reply.body)

    async def _hint(self, status: int) -> str | None:
        if status == httpx.codes.FORBIDDEN:
            return self.hint()
        known = hint_for_refusal(await self.off_loop(self.context))
        outside = self.hint() if status == httpx.codes.UNAUTHORIZED else None
        return "; ".join(filter(None, (outside, known))) or None

    def _tell(
        self,
        outcome: str,
        request: httpx.Request,
        begun: float,
        *,
        error: SeicError | None = None,
        tracking_id: str | None = None,
    ) -> None:
        head: Head | None = request.extensions.get(HEAD)
        self.emit(
            TokenRequested(
                host=self.host,
                outcome=outcome,
                status=None if head is None else head.status,
                took=self.clock.monotonic() - begun,
                error=None if error is None else error_class_name(error),
                http_version=None if head is None else head.version,
                tracking_id=getattr(error, "tracking_id", tracking_id),
            )
        )

    async def revocations(self, token: Token, *, may_be_revoked: bool = False) -> list[PendingRevocation]:
        """Return the revocations of a token and its refresh token.

        There is one if the revocation of one also revokes the other (the platform). Otherwise the refresh token comes
        first, so that it cannot be used meanwhile. The gateway revokes access tokens only.
        """
        pending = [PendingRevocation(token.access_token, may_be_revoked=may_be_revoked)]
        if token.refresh_token is not None and self.provider.invalidate_grant_type is None:
            pending.insert(0, PendingRevocation(token.refresh_token, is_refresh_token=True))
        if self.provider.revocation_cascades:
            del pending[1:]
        for each in pending:
            await self.off_loop(self._revocation, each)
        return pending

    async def revoke(self, pending: list[PendingRevocation]) -> None:
        """Revoke tokens; what the provider gave no answer to stays in the list."""
        refusal: TokenRequestRefused | None = None
        while pending:
            # Taken out, so that a second revocation at the same time does not send it as well.
            each = pending.pop(0)
            answered = False

            async def attempt(seconds: float) -> Reply:
                nonlocal each
                # Built again, because a client assertion works once.
                request = await self.off_loop(self._revocation, each)
                try:
                    return await self.send(request, seconds)
                except SeicError as error:
                    if use_state_after(error) is UseState.UNKNOWN:
                        each = attrs.evolve(each, may_be_revoked=True)
                    raise

            try:
                parse_revocation_reply(await in_two_attempts(attempt, self.timeout))
                answered = True
            except TokenRequestRefused as error:
                # The provider checked the token, and will answer the same again.
                answered = each.may_be_revoked or use_state_after(error) is not UseState.UNUSED
                if not answered:
                    raise
                if not each.may_be_revoked:
                    refusal = refusal or error.fresh()
            finally:
                if not answered:
                    pending.insert(0, each)
        if refusal is not None:
            raise refusal

    def _revocation(self, pending: PendingRevocation) -> httpx.Request:
        return build_revocation_request(self.context(), token=pending.secret, is_refresh_token=pending.is_refresh_token)

    async def introspect(self, token: Token) -> TokenInfo:
        """Ask the provider to describe a token (RFC 7662, or the platform's tokeninfo)."""
        from seic._oauth.introspection import build_token_info_request, parse_token_info_reply

        async def attempt(seconds: float) -> tuple[RequestContext, httpx.Request, Reply]:
            # Built again, because a client assertion works once.
            context = await self.off_loop(self.context)
            request = await self.off_loop(partial(build_token_info_request, context, access_token=token.access_token))
            return context, request, await self.send(request, seconds)

        context, request, reply = await in_two_attempts(attempt, self.timeout)
        # As the log has each response of the API.
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        url = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}{path}"
        facts = {"method": request.method, "url": url, "status": reply.status, "tracking_id": reply.tracking_id()}
        _logger.info("%s %s %d tracking_id=%s", *facts.values(), extra=facts)
        info = parse_token_info_reply(reply)
        # The platform's call has no confirmation; only introspection has (RFC 8705 §3.2).
        if info.active and self.provider.token_info_url is None:
            certificate = context.certificate
            if not check_confirmation(info.extra, provider=self.provider, certificate=certificate, host=self.host):
                self.emit(TokenNotBound(host=self.host, tracking_id=info.tracking_id))
        return info
