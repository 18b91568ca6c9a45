"""`DeviceLogin`: start a login on another device, and poll until the user has decided (RFC 8628)."""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

import anyio
import attrs

from seic._config import Config, network_of, setting_names_of
from seic._errors import ConfigurationError, SeicError, TokenRequestRefused
from seic._event_types import Event, TokenNotBound
from seic._httpx import AnyTransport
from seic._listeners import Listener, Listeners
from seic._model.extension_grants import DeviceCode, ExistingToken
from seic._model.secret import Unpicklable
from seic._model.token import Token
from seic._network.transport_factory import TransportFactory
from seic._oauth.device import DeviceAuthorization, build_device_request, next_interval, parse_device_reply
from seic._oauth.reply import Reply
from seic._portal import run
from seic._public import publish
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.exchange import in_two_attempts, without_frames
from seic._transport import identity_of

_Transport: TypeAlias = AnyTransport


@attrs.frozen(kw_only=True, eq=False)
class DeviceLogin(Unpicklable):
    """A login in progress: show the user `verification_uri` and `user_code`, then call `finish`.

    Create it with `begin` or `begin_sync`, from a configuration whose grant is `seic.DeviceCode()`.

    Args:
        user_code: The code that the user types.
        verification_uri: The page to type it at.
        verification_uri_complete: The same with the code in it, for a QR code; None if there is none.
        expires_in: Lifetime of the login in seconds.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    _requested: DeviceCode = attrs.field(repr=False, alias="requested")
    _authorization: DeviceAuthorization = attrs.field(repr=False, alias="authorization")
    _endpoint: TokenEndpoint = attrs.field(repr=False, alias="endpoint")
    _ends: float = attrs.field(repr=False, alias="ends")

    @classmethod
    async def begin(
        cls,
        config: Config,
        *,
        transport: _Transport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_event: Listener | None = None,
    ) -> DeviceLogin:
        """Start a login.

        Args:
            config: The configuration; its grant is `seic.DeviceCode()`.
            transport: A transport in place of the network, for tests.
            clock: The two clocks, for tests.
            on_event: A function or coroutine function that is called with `TokenNotBound`, if the token should be bound
                to the client certificate and is not.

        Raises:
            ConfigurationError: The grant is another.
            TokenError: The provider did not start a login.
        """
        endpoint = _endpoint(config, transport, clock, on_event)
        await identity_of(config).ready()
        return await without_frames(_begin(endpoint))

    @classmethod
    def begin_sync(
        cls,
        config: Config,
        *,
        transport: _Transport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_event: Listener | None = None,
    ) -> DeviceLogin:
        """Start a login, blocking; see `begin`."""
        endpoint = _endpoint(config, transport, clock, on_event)
        # Read it here: a callable that returns it may block, and must not block the portal.
        endpoint.certificate()
        return run(lambda: without_frames(_begin(endpoint)))

    async def finish(self, *, subject: str | None = None) -> ExistingToken:
        """Wait until the user has logged in, and return the grant for `attrs.evolve(config, grant=...)`.

        Args:
            subject: The user whose token it is, to keep users apart in a store.

        Raises:
            TokenRequestRefused: The user refused (`access_denied`), or took too long (`expired_token`).
            TokenError: The provider returned no token.
        """
        return self._grant(await without_frames(self._poll()), subject)

    def finish_sync(self, *, subject: str | None = None) -> ExistingToken:
        """Wait until the user has logged in, blocking; see `finish`."""
        return self._grant(run(lambda: without_frames(self._poll())), subject)

    async def _poll(self) -> Token:
        interval = self._authorization.interval
        grant = attrs.evolve(self._requested, device_code=self._authorization.device_code)
        endpoint = self._endpoint
        while True:
            await anyio.sleep(interval)
            if endpoint.clock.monotonic() >= self._ends:
                raise TokenRequestRefused(
                    "the login took longer than the provider allows; start a new one", status=None, code="expired_token"
                )
            try:
                return await endpoint.request(await endpoint.off_loop(endpoint.build, grant), grant)
            except SeicError as error:
                pause = next_interval(error, interval)
                if pause is None:
                    raise
            interval = pause

    def _grant(self, token: Token, subject: str | None) -> ExistingToken:
        return ExistingToken(
            token=token,
            audience=self._requested.audience,
            resource=self._requested.resource,
            end_other_sessions=self._requested.end_other_sessions,
            **({} if subject is None else {"subject": subject}),
        )


def _endpoint(config: Config, transport: _Transport | None, clock: Clock, on_event: Listener | None) -> TokenEndpoint:
    if not isinstance(config.grant, DeviceCode):
        raise ConfigurationError("grant: must be seic.DeviceCode() for a login on another device", field="grant")
    listeners = Listeners(on_event)

    def emit(event: Event) -> None:
        # Not the polls, most of which end with `authorization_pending`.
        if isinstance(event, TokenNotBound):
            listeners.emit(event)

    identity = identity_of(config)
    transports = TransportFactory(config.token_url, identity=identity, network=network_of(config), transport=transport)
    return TokenEndpoint(
        provider=config.provider,
        url=config.token_url,
        client_id=config.client_id,
        client_secret=config.client_secret,
        grant=config.grant,
        transports=transports,
        timeout=config.token_timeout,
        clock=clock,
        emit=emit,
        certificate=lambda: identity.certificate,
        dpop=config.dpop,
        hint=identity.hint,
        setting_names=setting_names_of(config),
    )


async def _begin(endpoint: TokenEndpoint) -> DeviceLogin:
    grant = endpoint.grant
    if not isinstance(grant, DeviceCode):
        raise TypeError("the grant must be a DeviceCode")
    begun = endpoint.clock.monotonic()

    async def attempt(seconds: float) -> Reply:
        # Built again, because a client assertion works once.
        context = await endpoint.off_loop(endpoint.context)
        return await endpoint.send(
            await endpoint.off_loop(partial(build_device_request, context, grant=grant)), seconds
        )

    authorization = parse_device_reply(await in_two_attempts(attempt, endpoint.timeout))
    return DeviceLogin(
        user_code=authorization.user_code,
        verification_uri=authorization.verification_uri,
        verification_uri_complete=authorization.verification_uri_complete,
        expires_in=authorization.expires_in,
        requested=grant,
        authorization=authorization,
        endpoint=endpoint,
        ends=begun + authorization.expires_in,
    )


publish("seic", ["DeviceLogin"], globals())
