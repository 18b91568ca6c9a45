"""A login on another device, carried out (RFC 8628): begun, shown to a person, and polled for until it is decided."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import httpx

from seic._config import Config
from seic._errors import ConfigurationError, SeicError, TokenRequestRefused
from seic._events import Emit, TokenNotBound
from seic._listeners import Listener, Listeners
from seic._model.extension_grants import DeviceCode, ExistingToken
from seic._model.secrecy import Unpicklable
from seic._model.token import Token
from seic._network.transport_factory import TransportFactory
from seic._oauth.confirmation import check_confirmation
from seic._oauth.device import DeviceAuthorization, build_device_request, next_interval, parse_device_reply
from seic._oauth.jwt import claims_of
from seic._oauth.reply import Reply
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.fetch import Send, Sleep, Steps, run_async, run_sync
from seic._tokens.lifeline import Lifeline
from seic._tokens.sending import Sender

_Transport: TypeAlias = httpx.AsyncBaseTransport | httpx.BaseTransport


@attrs.frozen(kw_only=True, eq=False)
class DeviceLogin(Unpicklable):
    """A login in progress; show the person `verification_uri` and `user_code`, then call `finish`.

    Made by `begin` or `begin_sync`, from a configuration whose grant is `seic.DeviceCode()`.

    Args:
        user_code: What the person types.
        verification_uri: Where.
        verification_uri_complete: The same with the code in it, for a QR code; None where there is none.
        expires_in: Seconds for the login.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    _asked: DeviceCode = attrs.field(repr=False, alias="asked")
    _authorization: DeviceAuthorization = attrs.field(repr=False, alias="authorization")
    _endpoint: TokenEndpoint = attrs.field(repr=False, alias="endpoint")
    _clock: Clock = attrs.field(repr=False, alias="clock")
    _ends: float = attrs.field(repr=False, alias="ends")
    _emit: Emit = attrs.field(repr=False, alias="emit")

    @classmethod
    async def begin(
        cls,
        config: Config,
        *,
        transport: _Transport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_event: Listener | None = None,
    ) -> DeviceLogin:
        """Begin a login.

        Args:
            config: Who asks, where, and how; its grant is `seic.DeviceCode()`.
            transport: What carries the calls in place of the network, for tests.
            clock: The two clocks, for tests.
            on_event: A function or coroutine function of one event: a token that should be bound to the client
                certificate and is not is told of.

        Raises:
            ConfigurationError: The grant is another.
            TokenError: The provider did not begin one.
        """
        endpoint = _endpoint(config, transport)
        await config.presenter.ready()
        return await run_async(_beginning(endpoint, clock, Listeners(on_event).emit), endpoint.sender)

    @classmethod
    def begin_sync(
        cls,
        config: Config,
        *,
        transport: _Transport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_event: Listener | None = None,
    ) -> DeviceLogin:
        """Begin a login, blocking; see `begin`."""
        endpoint = _endpoint(config, transport)
        return run_sync(_beginning(endpoint, clock, Listeners(on_event).emit), endpoint.sender, Lifeline())

    async def finish(self, *, subject: str | None = None) -> ExistingToken:
        """Wait until the person has logged in, and return the grant for `attrs.evolve(config, grant=...)`.

        Args:
            subject: Whose token it is, to keep several people's apart in a store.

        Raises:
            TokenRequestRefused: The person said no (`access_denied`), or took too long (`expired_token`).
            TokenError: The provider gave no token.
        """
        return self._grant(await run_async(self.polling(), self._endpoint.sender), subject)

    def finish_sync(self, *, subject: str | None = None) -> ExistingToken:
        """Wait until the person has logged in, blocking; see `finish`."""
        return self._grant(run_sync(self.polling(), self._endpoint.sender, Lifeline()), subject)

    def polling(self) -> Steps[Token]:
        """Yield the polls and the pauses between them, and return the token."""
        interval = self._authorization.interval
        grant = attrs.evolve(self._asked, device_code=self._authorization.device_code)
        while True:
            yield Sleep(interval)
            if self._clock.monotonic() >= self._ends:
                raise TokenRequestRefused(
                    "the login took longer than the provider allows; begin a new one", status=None, code="expired_token"
                )
            wall = self._clock.wall()
            certificate = self._endpoint.certificate()
            try:
                request = self._endpoint.build(grant, now=wall)
                reply: Reply = yield Send(request, self._endpoint.timeout)
                if self._endpoint.should_resend(request, reply):
                    reply = yield Send(self._endpoint.build(grant, now=wall), self._endpoint.timeout)
                token = self._endpoint.parse(reply, obtained_at=wall, now=wall)
                is_bound = check_confirmation(
                    claims_of(token.access_token),
                    provider=self._endpoint.provider,
                    certificate=certificate,
                    host=self._endpoint.host,
                )
                if not is_bound:
                    self._emit(TokenNotBound(host=self._endpoint.host, tracking_id=token.tracking_id))
                return token
            except SeicError as error:
                pause = next_interval(error, interval)
                if pause is None:
                    raise
            interval = pause

    def _grant(self, token: Token, subject: str | None) -> ExistingToken:
        return ExistingToken(
            token=token,
            audience=self._asked.audience,
            resource=self._asked.resource,
            end_other_sessions=self._asked.end_other_sessions,
            **({} if subject is None else {"subject": subject}),
        )


def _endpoint(config: Config, transport: _Transport | None) -> TokenEndpoint:
    if not isinstance(config.grant, DeviceCode):
        raise ConfigurationError("grant: a login on another device needs grant=seic.DeviceCode()", field="grant")
    transports = TransportFactory(
        config.token_url, presenter=config.presenter, network=config.network, transport=transport
    )
    return TokenEndpoint(
        provider=config.provider,
        url=config.token_url,
        client_id=config.client_id,
        client_secret=config.client_secret,
        grant=config.grant,
        sender=Sender(transports, tracking_header=config.provider.tracking_header),
        timeout=config.token_timeout,
        certificate=config.presenter.certificate,
        dpop=config.dpop,
        hint=config.presenter.hint,
    )


def _beginning(endpoint: TokenEndpoint, clock: Clock, emit: Emit) -> Steps[DeviceLogin]:
    grant = endpoint.grant
    if not isinstance(grant, DeviceCode):
        raise TypeError("the endpoint is made for a device login")
    request = build_device_request(endpoint.context(now=clock.wall()), grant=grant)
    begun = clock.monotonic()
    reply: Reply = yield Send(request, endpoint.timeout)
    authorization = parse_device_reply(attrs.evolve(reply, provider=endpoint.provider, now=clock.wall()))
    return DeviceLogin(
        user_code=authorization.user_code,
        verification_uri=authorization.verification_uri,
        verification_uri_complete=authorization.verification_uri_complete,
        expires_in=authorization.expires_in,
        asked=grant,
        authorization=authorization,
        endpoint=endpoint,
        clock=clock,
        ends=begun + authorization.expires_in,
        emit=emit,
    )
