"""`Sandbox`: start and stop, URLs and credentials."""

from __future__ import annotations

import os
import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

import seic
from seic._model.hosts import Hosts
from seic.sandbox._certificates import CertificateAuthority, IssuedCertificate
from seic.sandbox._controls import SandboxControls
from seic.sandbox._dialects.oauth2 import ProviderUrls
from seic.sandbox._dialects.platform_saml import IdentityProvider
from seic.sandbox._openapi_routes import read_openapi
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._resource_server import ResourceServer
from seic.sandbox._sandbox_credentials import SandboxCredentials
from seic.sandbox._server.counts import HostName, RequestCounter
from seic.sandbox._server.dispatch import Dispatcher
from seic.sandbox._server.fault_injection import FaultInjector
from seic.sandbox._server.loopback import LoopbackHost, LoopbackServer, issue_server_certificate, server_context
from seic.sandbox._server.received import RequestRecorder
from seic.sandbox._server.refused_certificates import RefusedCertificates
from seic.sandbox._server.routes import build_routes, issuer_path
from seic.sandbox._token_registry import TokenRegistry

_MINUTE = 60.0
_DAY = 86400.0

_running: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def find_sandbox(origin: str) -> Sandbox | None:
    """Return the running sandbox of this process whose mtls host has an origin, such as `https://localhost:8443`."""
    return next((one for one in list(_running) if one._has_mtls_url(origin)), None)  # noqa: SLF001 - of this module


class Sandbox(SandboxCredentials, SandboxControls):
    """A local SEI gateway, SEI platform and OAuth 2.0 provider: two TLS hosts on loopback, with an API.

        with Sandbox() as sandbox:
            config = sandbox.config(certificate=True)
            config = sandbox.config(provider=seic.SEI_PLATFORM)

    Both hosts serve all three dialects, with one application and one account; the token of an API request determines
    the dialect of its response. The platform's login is a web page at `/v2/oauth/authorize`.

    `async with` does the same; it blocks for some tens of milliseconds. A sandbox can be started only once. All other
    methods and properties may be used from any thread.

    Args:
        active_lifetime: Seconds until an access token expires; at SEI 60 minutes.
        idle_lifetime: Seconds until an unused access token expires; at SEI 30 minutes.
        clock: Returns the time in seconds, for all lifetimes; a `MockClock` lets a test move it.
        refresh_lifetime: Seconds until a refresh token expires; on the platform 30 days.
        username: The account, and the CN of its certificate.
        client_secret: The application's secret. By default, it is the same raw and form-encoded, because no document
            says whether the gateway decodes it (RFC 6749 §2.3.1).
        session_token_field: The field of the gateway's form for a session token; no document names it.
        redirect_urls: The registered redirect URLs, compared exactly; `http` URLs on loopback are always allowed
            (RFC 8252 §7.3).
        refresh_enabled: Whether the platform issues refresh tokens to the application.
        one_session: Whether the platform refuses a token request while the account has another session, unless the
            request ends that session. If False, sessions are independent until one ends the others.
        revocation_path: The path of the platform's revocation endpoint; no document names it.
        challenge: Send `WWW-Authenticate` with a 401 of the API (RFC 6750 §3). False by default: no document says
            whether the gateway does.
        behind_proxy: Serve one plain HTTP host, `proxy_url`, for a reverse proxy on this machine that terminates TLS.
            The client certificate is then read from the header `X-SSL-Client-Cert`, as percent-encoded PEM (nginx:
            `proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;`). The proxy must verify the certificate and
            set the header on every request, empty without a certificate, so that no client can forge it. A request
            with a certificate is counted at the mtls host, one without at the api host.
        api_port: The port of the api host, or of `proxy_url`; 0 for any free one.
        mtls_port: The port of the mtls host; 0 for any free one.
        openapi: An OpenAPI document in JSON; the API also serves the examples of its operations.

    Raises:
        OSError: The OpenAPI document cannot be read.
        ValueError: A lifetime, a path or the OpenAPI document is invalid.
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
        api_port: int = 0,
        mtls_port: int = 0,
        openapi: str | os.PathLike[str] | None = None,
    ) -> None:
        # The password needs form encoding, so that a client that forgets it fails.
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
        self._issued = [self._client_certificate]
        self._identity_provider = IdentityProvider(
            certificate=self._authority.issue("seic sandbox identity provider", client=False), now=self._registry.now
        )
        self._counter = RequestCounter()
        self._recorder = RequestRecorder(time.time)
        self._faults = FaultInjector()
        self._behind_proxy = behind_proxy
        self._revocation_path = revocation_path
        self._routes = build_routes(
            self._registration,
            self._registry,
            self._identity_provider,
            clock=clock,
            urls_for=self._urls_for,
            revocation_path=revocation_path,
        )
        self._dispatcher = Dispatcher(
            find_route=self._routes.find,
            resource_server=ResourceServer(
                self._registration.client_id,
                self._registry,
                () if openapi is None else read_openapi(Path(openapi)),
            ),
            counter=self._counter,
            recorder=self._recorder,
            faults=self._faults,
            date=self._date,
            challenge=challenge,
            behind_proxy=behind_proxy,
        )
        self._chosen_ports: dict[HostName, int] = {"api": api_port, "mtls": mtls_port}
        self._ports: dict[HostName, int] = {}
        self._server: LoopbackServer | None = None
        self._refused: RefusedCertificates | None = None

    def _close_connections(self, thumbprint: str) -> None:
        if self._server is not None:
            self._server.close_connections(thumbprint)

    def _urls_for(self, request: web.BaseRequest) -> ProviderUrls:
        if self._behind_proxy:
            # Only the host that received the request is known.
            return ProviderUrls(issuer=f"https://{request.host}", mtls=None)
        return ProviderUrls(issuer=self.api_url, mtls=self.mtls_url)

    # Start and stop

    def start(self) -> None:
        """Start the hosts; prefer `with`, which also stops them.

        Raises:
            RuntimeError: It was started before.
            OSError: A port or a thread is not available.
        """
        if self._server is not None:
            raise RuntimeError("a sandbox can be started only once; create another one")
        hosts: tuple[HostName, ...] = ("api",) if self._behind_proxy else ("api", "mtls")
        self._server = LoopbackServer([self._host(host) for host in hosts])
        self._ports = dict(zip(hosts, self._server.start(), strict=True))
        _running.add(self)

    def stop(self) -> None:
        """Stop the hosts, close every connection and end the thread; a second call changes nothing."""
        _running.discard(self)
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

    def _host(self, name: HostName) -> LoopbackHost:
        context = None
        if not self._behind_proxy:
            issued = issue_server_certificate(self._authority)
            context = server_context(self._authority, issued, demand_certificate=name == "mtls")
            if name == "mtls":
                self._refused = RefusedCertificates(self._authority, issued, context, self._close_connections)

        async def respond(request: web.BaseRequest, peer: Peer | None) -> web.StreamResponse:
            return await self._dispatcher.respond(request, name, peer)

        def connected() -> None:
            self._counter.add(name, "connections")

        return LoopbackHost(
            context=context,
            respond=respond,
            reject=self._dispatcher.reject,
            connected=connected,
            port=self._chosen_ports[name],
        )

    # URLs and credentials

    @property
    def api_url(self) -> str:
        """The URL of the host without client certificates."""
        return self._url("api", "https")

    @property
    def mtls_url(self) -> str:
        """The URL of the host that requires a client certificate."""
        return self._url("mtls", "https")

    @property
    def proxy_url(self) -> str:
        """The URL for the requests of a reverse proxy."""
        return self._url("api", "http")

    def issuer_url(self, name: str = "") -> str:
        """Return the URL of an issuer of the plain provider, for `seic.discover` and for the claim `iss`.

        Each name has a key of its own. The endpoints are below the URL, and the metadata is where RFC 8414 §3.1 says.

        Args:
            name: Letters, digits and `._~-`; empty for the provider itself, whose URL is the api host's.

        Raises:
            ValueError: The name has other characters.
        """
        return self.api_url + issuer_path(name)

    def _url(self, host: HostName, scheme: str) -> str:
        if not self._ports:
            raise RuntimeError("the sandbox is not running; use it in a `with` block")
        if self._behind_proxy is not (scheme == "http"):
            has = "only proxy_url: the proxy has the hosts" if self._behind_proxy else "no proxy_url"
            raise RuntimeError(f"a sandbox with behind_proxy={self._behind_proxy} has {has}")
        return f"{scheme}://localhost:{self._ports[host]}"

    def _has_mtls_url(self, origin: str) -> bool:
        return "mtls" in self._ports and self.mtls_url == origin

    def issue(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        cnf: bool | IssuedCertificate | Mapping[str, Any] = False,
        issuer: str = "",
    ) -> str:
        """Return an access token of the plain provider, a JWT, without a token request: for tests of incoming requests.

            token = sandbox.issue({"sub": "user", "exp": 0}, cnf=True)

        The provider's keys verify it, the API accepts it, and introspection and revocation know it.

        Args:
            claims: They replace those of a token request (`iss`, `sub`, `aud`, `client_id`, `iat`, `exp`, `jti`,
                `scope`); None removes a claim.
            cnf: Bind it to a certificate (RFC 8705 §3.1): True for the service account's, or one of
                `issue_certificate`; a mapping is the claim as it is.
            issuer: The name of the issuer, as for `issuer_url`.

        Raises:
            ValueError: The name of the issuer has other characters.
            RuntimeError: The sandbox is not running.
        """
        claims = dict(claims or {})
        if isinstance(cnf, Mapping):
            claims["cnf"] = cnf
            thumbprint = cnf.get("x5t#S256")
        else:
            certificate = self._client_certificate if cnf is True else cnf or None
            thumbprint = None if certificate is None else certificate.thumbprint
        return self._routes.issuer(issuer_path(issuer)).issue(self.api_url, claims, thumbprint=thumbprint)

    def config(self, *, certificate: bool | IssuedCertificate = False, **overrides: Any) -> seic.Config:
        """Return a `seic.Config` that reaches this sandbox.

        Args:
            certificate: True for the service account's certificate, or one of `issue_certificate`; either selects the
                mtls host.
            overrides: Arguments of `Config`; they replace the sandbox's. With `provider=seic.SEI_PLATFORM` or
                `seic.OAUTH2`, all others match that dialect, and URLs that the provider leaves open are completed.
                Behind a proxy, `hosts` is required, and `ca` unless the sandbox's CA issued the proxy's certificate.
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
