"""The sandbox as its user sees it: start, stop, the facts to reach it, its counts and its faults."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from seic._model.hosts import Hosts
from seic._model.token import Token
from seic.sandbox._certificates import CertificateAuthority, IssuedCertificate, KeyType
from seic.sandbox._dialects.oauth2 import ProviderUrls
from seic.sandbox._dialects.platform_saml import IdentityProvider
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._resource_server import ResourceServer
from seic.sandbox._server.counts import Counts, HostName, RequestCounter
from seic.sandbox._server.dispatch import Dispatcher
from seic.sandbox._server.faults import FaultInjector, Hold, PlannedFailure
from seic.sandbox._server.loopback import LoopbackHost, LoopbackServer, server_context
from seic.sandbox._server.routes import build_routes
from seic.sandbox._token_registry import TokenRegistry

if TYPE_CHECKING:
    from seic._config import Config

_MINUTE = 60.0
_DAY = 86400.0


class Sandbox:
    """SEI's gateway, SEI's platform and a plain provider in small, on loopback: two TLS hosts, and an API behind them.

        with Sandbox() as sandbox:
            config = sandbox.config(certificate=True)
            config = sandbox.config(provider=seic.SEI_PLATFORM)

    All three dialects stand side by side on both hosts, with one application and one account; the token of a call says
    by whose rules it is judged. The platform's login is a page for a browser, at `/v2/oauth/authorize`.

    `async with` does the same; starting and stopping take some tens of milliseconds, wait for no caller, and so are
    done in place. It runs once: a second start is an error. Everything else here may be called from any thread.

    Args:
        active_lifetime: Seconds that a token lives; 60 minutes at SEI.
        idle_lifetime: Seconds after which an unused token is dead; 30 minutes at SEI.
        clock: What counts them; a `ManualClock` lets a test move on.
        refresh_lifetime: Seconds that a refresh token lives; 30 days on the platform.
        username: The account, and the CN of its certificate.
        client_secret: The application's secret; by default one that reads the same raw and form-encoded, for whether
            the gateway decodes what RFC 6749 §2.3.1 has clients encode is not documented.
        session_token_field: What the gateway's form calls a session's token; no document says.
        redirect_urls: Where logins may return to, exactly; `http` on loopback they may without (RFC 8252 §7.3).
        refresh_enabled: Whether the application gets refresh tokens on the platform.
        one_session: Whether a token call on the platform is refused while the account has another session, unless it
            ends it; without, sessions live side by side until one of them ends the others.
        revocation_path: Where the platform revokes tokens; no document says.
        challenge: Send `WWW-Authenticate` with a 401 of an API call (RFC 6750 §3). Off by default: the documents do not
            say whether the gateway does.
        behind_proxy: Serve one plain-HTTP host, `proxy_url`, for a reverse proxy on this machine that ends TLS. The
            client certificate is then read from the header `X-SSL-Client-Cert`, percent-encoded PEM (nginx:
            `proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;`), and believed: the proxy has to verify it,
            and to set the header on every call, empty where there is none, so that no caller can. A call with a
            certificate counts as the mtls host's, one without as the api host's.
    """

    def __init__(
        self,
        *,
        active_lifetime: float = 60 * _MINUTE,
        idle_lifetime: float = 30 * _MINUTE,
        clock: Callable[[], float] = time.monotonic,
        refresh_lifetime: float = 30 * _DAY,
        username: str = "svc-sandbox",
        client_secret: str | None = None,
        session_token_field: str = "sessionToken",
        redirect_urls: Iterable[str] = (),
        refresh_enabled: bool = True,
        one_session: bool = False,
        revocation_path: str = "/v2/oauth/revoke",
        challenge: bool = False,
        behind_proxy: bool = False,
    ) -> None:
        # A password that breaks whoever forgets to encode the form.
        self._registration = Registration(
            client_id=secrets.token_hex(8),
            client_secret=secrets.token_hex(16) if client_secret is None else client_secret,
            username=username,
            password=f"{secrets.token_urlsafe(12)} +&=%é",
            session_token_field=session_token_field,
            redirect_urls=tuple(redirect_urls),
            refresh_enabled=refresh_enabled,
            one_session=one_session,
        )
        self._registry = TokenRegistry(
            clock=clock,
            active_lifetime=active_lifetime,
            idle_lifetime=idle_lifetime,
            refresh_lifetime=refresh_lifetime,
        )
        self._authority = CertificateAuthority()
        self._client_certificate = self._authority.issue(username)
        self._identity_provider = IdentityProvider(
            certificate=self._authority.issue("seic sandbox identity provider", client=False), registry=self._registry
        )
        self._counter = RequestCounter()
        self._faults = FaultInjector()
        self._behind_proxy = behind_proxy
        self._revocation_path = revocation_path
        self._dispatcher = Dispatcher(
            routes=build_routes(
                self._registration,
                self._registry,
                self._identity_provider,
                clock=clock,
                addresses=self._addresses,
                revocation_path=revocation_path,
            ),
            api=ResourceServer(self._registration.client_id, self._registry),
            counter=self._counter,
            faults=self._faults,
            challenge=challenge,
            behind_proxy=behind_proxy,
        )
        self._ports: dict[HostName, int] = {}
        self._server: LoopbackServer | None = None

    def _addresses(self, request: web.BaseRequest) -> ProviderUrls:
        if self._behind_proxy:
            # The proxy's hosts are its own; the one that was called is known.
            return ProviderUrls(issuer=f"https://{request.host}", mtls=None)
        return ProviderUrls(issuer=self.api_url, mtls=self.mtls_url)

    # Start and stop

    def start(self) -> None:
        """Open the hosts; prefer `with`, which also closes them.

        Raises:
            RuntimeError: It was started before.
            OSError: A port or a thread could not be had.
        """
        if self._server is not None:
            raise RuntimeError("a sandbox runs once; make another")
        hosts: tuple[HostName, ...] = ("api",) if self._behind_proxy else ("api", "mtls")
        self._server = LoopbackServer([self._listener(host) for host in hosts])
        self._ports = dict(zip(hosts, self._server.start(), strict=True))

    def stop(self) -> None:
        """Close the hosts, cut every connection and end the thread; a second time changes nothing."""
        self._ports = {}
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _listener(self, host: HostName) -> LoopbackHost:
        context = None
        if not self._behind_proxy:
            context = server_context(self._authority, demand_certificate=host == "mtls")

        async def answer(request: web.BaseRequest, peer: Peer | None) -> web.Response:
            return await self._dispatcher.reply(request, host, peer)

        def connected() -> None:
            self._counter.add(host, "connections")

        return LoopbackHost(context=context, answer=answer, reject=self._dispatcher.reject, connected=connected)

    # How to reach it

    @property
    def api_url(self) -> str:
        """The host that asks for no client certificate."""
        return self._url("api", "https")

    @property
    def mtls_url(self) -> str:
        """The host that demands a client certificate."""
        return self._url("mtls", "https")

    @property
    def proxy_url(self) -> str:
        """Where a reverse proxy passes its requests on to."""
        return self._url("api", "http")

    def _url(self, host: HostName, scheme: str) -> str:
        if not self._ports:
            raise RuntimeError("the sandbox does not run; enter it with `with`")
        if self._behind_proxy is not (scheme == "http"):
            has = "proxy_url alone: the hosts are the proxy's" if self._behind_proxy else "no proxy_url"
            raise RuntimeError(f"a sandbox with behind_proxy={self._behind_proxy} has {has}")
        return f"{scheme}://localhost:{self._ports[host]}"

    @property
    def client_id(self) -> str:
        """The AppKey."""
        return self._registration.client_id

    @property
    def client_secret(self) -> str:
        """The AppSecret."""
        return self._registration.client_secret

    @property
    def username(self) -> str:
        """The service account."""
        return self._registration.username

    @property
    def password(self) -> str:
        """The service account's password; it holds what a form has to encode."""
        return self._registration.password

    @property
    def email(self) -> str:
        """The account as the platform knows it."""
        return self._registration.email

    @property
    def session_token(self) -> str:
        """The token of the one session that the gateway knows, for its `sessionToken` grant."""
        return self._registration.session_token

    @property
    def session_token_field(self) -> str:
        """What the gateway's form calls it."""
        return self._registration.session_token_field

    @property
    def revocation_path(self) -> str:
        """Where the platform revokes tokens."""
        return self._revocation_path

    @property
    def authority(self) -> CertificateAuthority:
        """The throw-away authority behind every certificate here."""
        return self._authority

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate: what a client has to trust."""
        return self._authority.cert_pem

    @property
    def client_certificate_pem(self) -> bytes:
        """The service account's certificate."""
        return self._client_certificate.cert_pem

    @property
    def client_key_pem(self) -> bytes:
        """The private key of the service account's certificate, in clear."""
        return self._client_certificate.key_pem

    def issue_certificate(
        self,
        common_name: str | None = None,
        *,
        key_type: KeyType = "ec",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> IssuedCertificate:
        """Mint another client certificate of the trusted authority, a renewed or a wrong one.

        Args:
            common_name: The subject's CN; the service account's by default.
            key_type: The key's type.
            not_before: Start of validity; a day ago by default.
            not_after: End of validity; two years from the start by default.
        """
        return self._authority.issue(
            common_name or self.username, key_type=key_type, not_before=not_before, not_after=not_after
        )

    def config(self, *, certificate: bool | IssuedCertificate = False, **overrides: Any) -> Config:
        """Return a `seic.Config` that reaches this sandbox.

        Args:
            certificate: True for the service account's, which chooses the mtls host; or one of `issue_certificate`.
            overrides: Arguments of `Config` in place of the sandbox's: with `provider=seic.SEI_PLATFORM`, or `OAUTH2`,
                the rest is of that dialect, and what its documents leave open is filled in. Behind a proxy `hosts` has
                to be among them, and `ca`, unless the proxy's own certificate is of this authority.
        """
        # The SDK is imported only here: the server must not depend on it.
        from seic.sandbox._client_config import build_config

        if certificate is True:
            certificate = self._client_certificate
        if "hosts" not in overrides:
            overrides["hosts"] = Hosts(api=self.api_url, mtls=self.mtls_url)
        return build_config(
            self._registration,
            ca_pem=self.ca_pem,
            certificate=certificate or None,
            revocation_path=self._revocation_path,
            overrides=overrides,
        )

    def saml_assertion(self, email: str | None = None, *, lifetime: float = 300.0) -> bytes:
        """Sign a SAML assertion that a person has logged in, as the identity provider that the platform trusts.

        Args:
            email: The person; the account's own by default.
            lifetime: Seconds until it ends, by the sandbox's clock.
        """
        return self._identity_provider.assertion(email or self.email, lifetime=lifetime)

    def saml_response(self, email: str | None = None, *, lifetime: float = 300.0) -> bytes:
        """Return a SAML response around such an assertion; the arguments are the same."""
        return self._identity_provider.response(email or self.email, lifetime=lifetime)

    # What it counted, and what goes wrong

    @property
    def counts(self) -> Counts:
        """A snapshot of what was counted since the start."""
        return self._counter.snapshot()

    def revoke(self, token: Token | str) -> bool:
        """Kill a token behind its client's back; tell whether it was there."""
        return self._registry.revoke(token.access_token if isinstance(token, Token) else token)

    def revoke_all(self) -> int:
        """Kill every token behind their clients' backs; tell how many there were."""
        return self._registry.revoke_all()

    def fail_tokens(
        self, status: int = 503, *, times: int = 1, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> None:
        """Answer the next token calls with a failure, after those already planned.

        Args:
            status: The HTTP status.
            times: How many calls.
            headers: Further headers, such as `Retry-After`; they replace the sandbox's own of the same name.
            body: The body as it is; the gateway's error form by default.
        """
        self._faults.plan(PlannedFailure(status=status, headers=dict(headers or {}), body=body), times)

    @property
    def token_latency(self) -> float:
        """Seconds by which every token answer is late; 0 by default."""
        return self._faults.token_latency

    @token_latency.setter
    def token_latency(self, seconds: float) -> None:
        self._faults.token_latency = seconds

    def hold_tokens(self) -> AbstractContextManager[Hold]:
        """Hold every token answer back until the block ends; the value of the block can wait for calls to arrive.

            with sandbox.hold_tokens() as hold:
                ...
                hold.wait_for(1)

        Raises:
            RuntimeError: On entry, where they are held already.
        """
        return self._faults.hold()
