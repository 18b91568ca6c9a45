"""Sessions of logged-in users: each has its own token in the store, and its own client here.

The session id is in the user's cookie only; the store knows its hash.
"""

import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Unpack

import anyio
import attrs
import httpx

from seic import (
    AsyncClient,
    AsyncTransport,
    AuthorizationCode,
    ClientCertificate,
    Clock,
    Config,
    ConfigurationError,
    OAuth2Auth,
    Provider,
    Retry,
    Secret,
    Token,
    TokenError,
    TokenRequestRefused,
    events,
)
from seic._concurrency import run_in_thread
from seic._listeners import Listeners
from seic._model.grant_parameters import GrantParameters
from seic._model.secret import hide
from seic._oauth.error_codes import ErrorSubject, known_code, subject_of
from seic._options import AsyncClientOptions
from seic._transport import identity_of
from seic.fastapi._app_state import auth_of
from seic.fastapi._health import HealthTracker
from seic.fastapi._session_store import SessionStore

#: Clients in memory; those of other sessions are made again from the store.
_MAX_CLIENTS = 1000
#: Seconds that the store may take to look a session up.
_STORE_TIMEOUT = 1.0
#: Codes of errors after which a user has to log in again, or chose not to (RFC 6749 §4.1.2.1, OpenID Connect Core
#: §3.1.2.6).
_OF_THE_USER = frozenset(
    {
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_grant",
        "login_required",
    }
)
#: Events of the certificate, which all users share.
_SHARED_EVENTS = (
    events.TrustStoreReloaded,
    events.CertificateExpiring,
    events.CertificateRejected,
    events.CertificateRotated,
)

_logger = logging.getLogger("seic.fastapi")


@attrs.frozen(kw_only=True)
class UserLogin(AuthorizationCode):
    """The grant of the `Config` for `Logins`: each login supplies the code.

    A code works once, so the user logs in again when the refresh token has expired.
    """

    is_refreshed: ClassVar[bool] = True
    code: Secret = attrs.field(default="", repr=hide)
    subject: str | None = ""

    @property
    def is_repeatable(self) -> bool:
        """False: a code works once."""
        return False

    def check(self, provider: Provider) -> None:
        """Require a provider with an authorization endpoint."""
        GrantParameters.check(self, provider)
        provider.require_login()

    def fields(self, provider: Provider) -> Mapping[str, str | tuple[str, ...]]:
        """Return the code and its parameters.

        Raises:
            TokenRequestRefused: Nobody has logged in, or the session has ended.
        """
        if not self.code:
            raise TokenRequestRefused(
                "login required: nobody has logged in, or the session has ended", status=None, code="login_required"
            )
        return super().fields(provider)


def is_matter_of_user(code: str | None, description: str | None = None) -> bool:
    """Whether an error of a login is a matter of its user; any other is a fault of the application or the provider."""
    known = known_code(code)
    if known in _OF_THE_USER or code in _OF_THE_USER:
        return True
    return known != "unsupported_grant_type" and subject_of(code, description) is ErrorSubject.GRANT


class SessionNotSaved(Exception):
    """The store did not save a session: the next request would not find it."""


class _SharedTransport(httpx.AsyncBaseTransport):
    """The connections of all users' clients; closing a client does not close them."""

    inner: httpx.AsyncBaseTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)


class Sessions:
    """The sessions of one application at one provider.

    Args:
        config: The configuration; its grant is replaced by each user's.
        redirect_uri: The address of the callback.
        lasts: Seconds after which a session ends.
        idle: Seconds after the expiry of an access token within which it has to be refreshed.
        end_other_sessions: End the user's sessions elsewhere.
        transport: Sends API and token requests in place of the network, for tests.
        on_event: A listener for the events of all users.
        clock: The clocks for lifetimes, for tests.
        retry: See `AsyncClient`.
        options: See `AsyncClient`.

    Raises:
        ConfigurationError: There is no store.
    """

    def __init__(
        self,
        config: Config,
        *,
        redirect_uri: str,
        lasts: float,
        idle: float,
        end_other_sessions: bool,
        transport: httpx.AsyncBaseTransport | None,
        on_event: events.Listener | None,
        clock: Clock,
        retry: Retry | None,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        if config.store is None:
            raise ConfigurationError(
                "store: is missing; logins need a token store that all processes share (see seic.TokenStore); "
                "seic.MemoryStore() is enough for one process",
                field="store",
            )
        self._store = SessionStore(config.store, lasts=lasts, idle=idle, wall=clock.wall)
        self._grant = UserLogin(redirect_uri=redirect_uri, end_other_sessions=end_other_sessions)
        self._config = attrs.evolve(config, grant=self._grant, store=self._store)
        self._inner_transport = transport
        self._clock = clock
        self._retry = retry
        self._options = options
        self.transport = _SharedTransport()
        self._is_open = False
        #: By session id; the most recently used last.
        self._clients: OrderedDict[str, AsyncClient] = OrderedDict()
        self.tracker = HealthTracker(ignores=is_matter_of_user)
        self.listeners = Listeners(on_event)
        self.listeners.add(self.tracker)
        # Kept here: all users share it, also while no client is in memory.
        self._identity = identity_of(self._config)
        self._identity.add_listener(self.listeners)

    def certificate(self) -> ClientCertificate | None:
        """Return the certificate of all users; it may call the user's callback, which may block."""
        return self._identity.certificate

    def open(self) -> None:
        """Open the shared connections."""
        self.transport.inner = AsyncTransport(self._config, transport=self._inner_transport)
        self._is_open = True

    async def aclose(self) -> None:
        """Close every client and the shared connections."""
        was_open, self._is_open = self._is_open, False
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await _close(client)
        await self.listeners.drain()
        if was_open:
            await self.transport.inner.aclose()

    async def start(self, login: AuthorizationCode) -> tuple[str, Token]:
        """Exchange the code of a login, and return the id of the new session and its first token.

        The id is always new, so nobody can have planted it in the browser (session fixation).

        Raises:
            TokenError: The code was refused, or the token endpoint is unavailable.
            SessionNotSaved: The store did not save the session.
        """
        session = secrets.token_urlsafe(32)
        client = self._make_client(session, login)
        try:
            token = await client.token()
            saved, _ = await self._call_store("save a session", self._store.start, self._key(client), token)
            if not saved:
                raise SessionNotSaved
        except BaseException:
            await _close(client)
            raise
        self._keep(session, client)
        return session, token

    async def find(self, session: str) -> AsyncClient | None:
        """Return the client of a session, or None if the session has ended.

        If the store fails or is slow, sessions with a client in memory go on.
        """
        client = self._clients.get(session) or self._make_client(session)
        answered, exists = await self._call_store("look up a session", self._store.exists, self._key(client))
        in_memory = self._clients.get(session)
        if not exists and (answered or in_memory is None):
            self._clients.pop(session, None)
            await _close(client)
            return None
        if in_memory is not None and self._store.is_idle(auth_of(in_memory)._source.cache.token.token):  # noqa: SLF001
            # Another process may have refreshed it: only the newest token, which is in the store, tells.
            in_memory, client = None, self._make_client(session)
        self._keep(session, in_memory or client)
        return in_memory or client

    async def end(self, session: str) -> bool:
        """End a session: delete its token from the store, and revoke it if the provider can.

        Returns:
            Whether it has ended; False if the store failed, so that the caller has to try again.
        """
        client = self._clients.pop(session, None) or self._make_client(session)
        ended, _ = await self._call_store("end a session", self._store.end, self._key(client))
        try:
            if ended:
                await client.revoke()
        except ConfigurationError:
            _logger.debug("logout: the provider cannot revoke tokens")
        except TokenError as error:
            # The session has ended here nevertheless.
            _logger.warning("logout: the token was not revoked: %s", error)
        if ended:
            await self._call_store("delete a token", self._store.delete, self._key(client))
        await _close(client)
        return ended

    def _make_client(self, session: str, login: AuthorizationCode | None = None) -> AsyncClient:
        if not self._is_open:
            raise ConfigurationError(
                "logins are not open: pass lifespan=seic.fastapi.lifespan(..., also=logins.lifespan) to the "
                "application",
                field="lifespan",
            )
        # Hashed, because a subject may be logged.
        subject = hashlib.sha256(session.encode()).hexdigest()
        grant = attrs.evolve(self._grant, subject=subject)
        if login is not None:
            grant = attrs.evolve(grant, code=login.code, code_verifier=login.code_verifier)
        config = attrs.evolve(self._config, grant=grant)
        auth = OAuth2Auth(config, transport=self._inner_transport, clock=self._clock)
        auth.listen(self._forward)
        return AsyncClient(config, auth=auth, transport=self.transport, retry=self._retry, **self._options)

    def _forward(self, event: events.Event) -> None:
        # The shared identity reports these once; here they would come once for each user.
        if not isinstance(event, _SHARED_EVENTS):
            self.listeners.notify(event)

    def _keep(self, session: str, client: AsyncClient) -> None:
        self._clients[session] = client
        self._clients.move_to_end(session)
        while len(self._clients) > _MAX_CLIENTS:
            # Not closed, because a request may be using it; it has no connections of its own.
            self._clients.popitem(last=False)

    def _key(self, client: AsyncClient) -> str:
        certificate = client.certificate
        return auth_of(client).config.store_key(None if certificate is None else certificate.thumbprint)

    async def _call_store(self, purpose: str, call: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
        """Call the store; return whether it succeeded, and the result."""
        try:
            if not self._store.blocking:
                return True, call(*args)
            with anyio.fail_after(_STORE_TIMEOUT):
                return True, await run_in_thread(call, *args)
        except Exception as error:  # noqa: BLE001 - stores raise anything
            kind = type(error).__name__
            _logger.error("the token store failed to %s: %s", purpose, kind)  # noqa: TRY400 - it may hold secrets
            return False, None


async def _close(client: AsyncClient) -> None:
    # A client does not close an auth that was passed to it.
    await auth_of(client).aclose()
    await client.aclose()
