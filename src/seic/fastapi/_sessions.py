"""Who is logged in: a session of each person, whose token is in the store and whose cookie holds a name for it."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Unpack

import attrs
import httpx

from seic._api.retry import Retry
from seic._auth import OAuth2Auth
from seic._client import AsyncClient
from seic._config import Config
from seic._errors import ConfigurationError, TokenError
from seic._events import CertificateExpiring, CertificateRejected, CertificateRotated, Event, TrustStoreReloaded
from seic._listeners import Listener, Listeners
from seic._model.grant_parameters import Fields, GrantParameters
from seic._model.grants import AuthorizationCode
from seic._model.provider import Provider
from seic._model.secrecy import Secret, hide
from seic._model.token import Token
from seic._oauth.next_grant import login_required
from seic._options import AsyncClientOptions
from seic._runtime import in_thread, within
from seic._tls.certificate import ClientCertificate
from seic._tokens.store import TokenStore
from seic._transport import AsyncTransport
from seic.fastapi._health import HealthTracker

#: How many people's clients a worker keeps at hand; the others' are made again of what the store has.
_MAX_CLIENTS = 1000
#: Seconds that a store may take to say whether a session lives; see `Sessions.find`.
_PATIENCE = 1.0

#: Refusals that say that a person has to log in again, and nothing of the provider or of the application.
_OVER = ("login_required", "invalid_grant", "access_denied")

#: Events of what people share.
_OF_THE_CERTIFICATE = (TrustStoreReloaded, CertificateExpiring, CertificateRejected, CertificateRotated)

_logger = logging.getLogger("seic.fastapi")


@attrs.frozen(kw_only=True)
class UserLogin(AuthorizationCode):
    """The grant of a person who logs in, for the `Config` that `Logins` is made with: there is nothing to state.

    A login fills in the rest. It is never repeated: when its refresh token is at its end, the person logs in again.
    """

    is_refreshed: ClassVar[bool] = True
    code: Secret = attrs.field(default="", repr=hide)
    subject: str | None = ""

    @property
    def is_repeatable(self) -> bool:
        """False: a code works once."""
        return False

    def check(self, provider: Provider) -> None:
        """Require a provider that people can log in at."""
        GrantParameters.check(self, provider)
        provider.require("authorize_url", "a login")

    def fields(self, provider: Provider) -> Fields:
        """Return the code and what it is bound to.

        Raises:
            TokenRequestRefused: Nobody has logged in, or the session is over.
        """
        if not self.code:
            raise login_required("there is no login whose token could be renewed")
        return super().fields(provider)


class SessionNotSaved(Exception):
    """The store did not keep a session: at the next page the person would not be logged in."""


class _SharedTransport(httpx.AsyncBaseTransport):
    """The connections of all people's clients: closing one client closes none of them."""

    inner: httpx.AsyncBaseTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)


class _SessionStore:
    """The store as people's clients see it: whatever a refresh brings, the session of a logout does not come back.

    A session lives while its mark is in the store. A login writes the mark, a logout deletes it, and a refresh never
    touches it; so a refresh that ends after the logout, in whatever worker, brings a token that leads to no session.
    That token is deleted again: a logout takes the mark first and the token then, a refresh looks for the mark last,
    so one of the two comes after the other's write in any order.

    Args:
        store: The store.
        lasts: Seconds that a session lives.
        idle: Seconds after the end of an access token within which it has to be refreshed.
    """

    def __init__(self, store: TokenStore, *, lasts: float, idle: float) -> None:
        self._store = store
        self._lasts = lasts
        self._idle = idle
        self.load = store.load
        self.delete = store.delete
        # Who may say which worker renews; see `ClaimingStore`.
        for name in ("claim", "release"):
            if hasattr(store, name):
                setattr(self, name, getattr(store, name))

    @property
    def blocking(self) -> bool:
        return self._store.blocking

    def save(self, key: str, token: Token) -> None:
        self._store.save(key, self._bounded(token))
        if not self.is_begun(key):
            self._store.delete(key)

    def begin(self, key: str, token: Token) -> None:
        """Begin a session with its first token."""
        self._store.save(key, self._bounded(token))
        # In the shape that stores take: it is nobody's token, and ends with the session.
        mark = Token(access_token="session", expires_in=self._lasts, obtained_at=time.time())
        self._store.save(_mark_of(key), mark)

    def is_begun(self, key: str) -> bool:
        """Whether the session lives."""
        return self._store.load(_mark_of(key)) is not None

    def end(self, key: str) -> None:
        """End a session; what is left of it is a token that leads to none."""
        self._store.delete(_mark_of(key))

    def is_idle(self, token: Token) -> bool:
        """Whether a token was left alone for too long to be refreshed."""
        ends_at = token.expires_at
        return ends_at is not None and ends_at.timestamp() + self._idle <= time.time()

    def _bounded(self, token: Token) -> Token:
        """Give the token's lives an end, so that a session nobody comes back to can be forgotten by the store."""
        life = self._lasts if token.expires_in is None else token.expires_in
        if token.refresh_token is None:
            return attrs.evolve(token, expires_in=life)
        left = life + self._idle
        if token.refresh_expires_in is not None:
            left = min(left, token.refresh_expires_in)
        return attrs.evolve(token, expires_in=life, refresh_expires_in=left)


def _mark_of(key: str) -> str:
    return hashlib.sha256(f"session {key}".encode()).hexdigest()


class Sessions:
    """The sessions of one application at one provider.

    A session lives as long as its mark is in the store, so that a logout in one worker counts in all of them.

    Args:
        config: Who the application is; its grant is replaced by each person's.
        redirect_uri: Where logins return to.
        lasts: Seconds that a session lives.
        idle: Seconds after the end of an access token within which it has to be refreshed.
        transport: What carries API and token calls in place of the network, for tests.
        on_event: A listener of everybody's events.
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
        end_other_sessions: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        if config.store is None:
            raise ConfigurationError(
                "store: people's tokens need a place that all workers see, such as seic.FileStore(...); "
                "seic.MemoryStore() will do for one worker",
                field="store",
            )
        self._store = _SessionStore(config.store, lasts=lasts, idle=idle)
        self._grant = UserLogin(redirect_uri=redirect_uri, end_other_sessions=end_other_sessions)
        self._config = attrs.evolve(config, grant=self._grant, store=self._store)
        self._given = transport
        self._options: dict[str, Any] = {"retry": retry, **options}
        #: What carries everybody's calls.
        self.carrier = _SharedTransport()
        self._is_open = False
        self._clients: OrderedDict[str, AsyncClient] = OrderedDict()
        #: What all people's clients went through.
        self.tracker = HealthTracker(ignored_codes=_OVER)
        #: Who hears of everybody.
        self.listeners = Listeners(on_event)
        self.listeners.add(self.tracker)
        self._config.presenter.tell(self.listeners)

    @property
    def certificate(self) -> ClientCertificate | None:
        """The certificate that all people's clients present; the first look at one from a callback calls it."""
        return self._config.presenter.certificate()

    def open(self) -> None:
        """Begin: connections are shared from now on."""
        self.carrier.inner = AsyncTransport(self._config, transport=self._given)
        self._is_open = True

    async def aclose(self) -> None:
        """Close every client, and the connections."""
        was_open, self._is_open = self._is_open, False
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await _close(client)
        await self.listeners.drain()
        if was_open:
            await self.carrier.inner.aclose()

    async def begin(self, *, code: str, code_verifier: str | None) -> tuple[str, Token]:
        """Exchange a login's code, and return the new session's name and its first token.

        The name is new whatever the browser brought along, so nobody can have set it before (session fixation).

        Raises:
            TokenError: The code was not taken, or the endpoint cannot be reached.
            SessionNotSaved: The store did not keep the session.
        """
        session = secrets.token_urlsafe(32)
        client = self._make(session, code=code, code_verifier=code_verifier)
        try:
            token = await client.token()
            kept, _ = await self._try("keep a session", self._store.begin, self._key(client), token)
            if not kept:
                raise SessionNotSaved
        except BaseException:
            await _close(client)
            raise
        self._keep(session, client)
        return session, token

    async def find(self, session: str) -> AsyncClient | None:
        """Return the client of a session; None where the session is over.

        A store that fails or takes too long ends no session whose client is at hand.
        """
        client = self._clients.get(session) or self._make(session)
        answered, begun = await self._try("look for a session", self._store.is_begun, self._key(client))
        at_hand = self._clients.get(session)
        if not begun and (answered or at_hand is None):
            self._clients.pop(session, None)
            await _close(client)
            return None
        if at_hand is not None and self._store.is_idle(_auth_of(at_hand)._source.state.held.token):  # noqa: SLF001
            # Another worker may have gone on with it; the store has the newest token, and knows whether it is too old.
            at_hand, client = None, self._make(session)
        self._keep(session, at_hand or client)
        return at_hand or client

    async def end(self, session: str) -> bool:
        """End a session: its token is forgotten in the store, and revoked where the provider can.

        Returns:
            Whether it is over; False where the store did not forget it, so that this has to be done again.
        """
        client = self._clients.pop(session, None) or self._make(session)
        ended, _ = await self._try("end a session", self._store.end, self._key(client))
        try:
            if ended:
                await client.revoke()
        except (ConfigurationError, TokenError) as error:
            # The person is logged out here all the same.
            _logger.warning("a logout was not told to the provider: %s", error)
        if ended:
            await self._try("forget a token", self._store.delete, self._key(client))
        await _close(client)
        return ended

    def _make(self, session: str, *, code: str = "", code_verifier: str | None = None) -> AsyncClient:
        if not self._is_open:
            raise ConfigurationError(
                "logins are not open: give the application lifespan=seic.fastapi.lifespan(..., also=logins.lifespan)",
                field="lifespan",
            )
        # Not the session's own name, which is the cookie's: a subject may be printed.
        subject = hashlib.sha256(session.encode()).hexdigest()
        grant = attrs.evolve(self._grant, code=code, code_verifier=code_verifier, subject=subject)
        config = attrs.evolve(self._config, grant=grant)
        # One identity, however many people: each would watch the certificate's files for itself.
        object.__setattr__(config, "presenter", self._config.presenter)
        auth = OAuth2Auth(config, transport=self._given)
        auth.listen(self._pass_on)
        return AsyncClient(config, auth=auth, transport=self.carrier, **self._options)

    def _pass_on(self, event: Event) -> None:
        # LoginRealm share one certificate, of which the presenter tells; each auth hears of it again.
        if not isinstance(event, _OF_THE_CERTIFICATE):
            self.listeners.tell(event)

    def _keep(self, session: str, client: AsyncClient) -> None:
        self._clients[session] = client
        self._clients.move_to_end(session)
        while len(self._clients) > _MAX_CLIENTS:
            # Not closed: a request may be using it. It holds no connection of its own.
            self._clients.popitem(last=False)

    def _key(self, client: AsyncClient) -> str:
        auth = _auth_of(client)
        return auth.config.store_key(None if auth.certificate is None else auth.certificate.thumbprint)

    async def _try(self, purpose: str, call: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
        """Call the store; return whether it answered, and what."""
        try:
            if not self._store.blocking:
                return True, call(*args)
            return True, await within(_PATIENCE, lambda: in_thread(call, *args))
        except Exception as error:  # noqa: BLE001  # a store may throw anything
            kind = type(error).__name__
            _logger.error("the store could not %s: %s", purpose, kind)  # noqa: TRY400  # its words may hold anything
            return False, None


async def _close(client: AsyncClient) -> None:
    # A client leaves a shared auth alone; this one is shared with nobody.
    await _auth_of(client).aclose()
    await client.aclose()


def _auth_of(client: AsyncClient) -> OAuth2Auth:
    auth = client.auth
    assert isinstance(auth, OAuth2Auth)  # noqa: S101  # as it was made; for the type checker
    return auth
