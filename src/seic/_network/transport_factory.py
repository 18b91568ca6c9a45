"""The transport of token calls: the network with an identity, or a transport of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import httpx

from seic._credential import Credential
from seic._errors import CertificateError, ConfigurationError, TokenRequestRefused
from seic._httpx import AnyTransport, either
from seic._identity import Identity
from seic._network.error_translator import TokenErrorTranslator
from seic._network.identity_probe import IdentityProbe
from seic._network.identity_transport import AsyncIdentityTransport
from seic._network.proxies import Network
from seic._network.transport_adapter import adapt
from seic._oauth.form_request import origin_of
from seic._tls.certificate import ClientCertificate
from seic._version import HTTPX_USER_AGENT, user_agent
from seic._x509.reasons import Reason


class TransportFactory:
    """Open a transport for each token call: calls are an hour apart, longer than servers keep a connection.

    Args:
        url: The endpoint's URL; it may be on another host than the API.
        identity: The identity presented to the server.
        network: The proxy and the local address.
        transport: The user's own transport, used in place of the network.
        field: The setting that an error about the URL names.

    Raises:
        ConfigurationError: The URL is not https, or too long.
    """

    def __init__(
        self,
        url: str,
        *,
        identity: Identity,
        network: Network,
        transport: AnyTransport | None = None,
        field: str = "provider.token_url",
    ) -> None:
        self._network = network
        self.move_to(url, field=field)
        self._identity = identity
        self._transport = transport
        #: Whether the caller closes the transport after the call; a user's own stays open.
        self.closes_after_call = transport is None
        #: The `User-Agent` of each request.
        self.user_agent = user_agent()

    def move_to(self, url: str, *, field: str = "provider.token_url") -> None:
        """Open transports for another endpoint from now on; the arguments are those of the class."""
        self._errors = TokenErrorTranslator(origin=origin_of(field, url, allow_http=True), network=self._network)

    def replace_certificate(
        self, build: Callable[[ClientCertificate | None], httpx.Request], refusal: TokenRequestRefused
    ) -> bool:
        """Look for another certificate after a token request was refused; return whether another try may succeed.

        A server may accept the connection and refuse the client, whose new certificate it has yet to register (RFC 8705
        §2). So for a minute after a rotation the request is sent with the certificate before; if that gets a token, it
        is in use again. It blocks.

        Args:
            build: Returns the request that a certificate is to make.
            refusal: The refusal of the same request.
        """
        credential = self._identity.current_nowait()
        if credential is None or credential.certificate is None:
            return False
        probe = IdentityProbe(
            errors=self._errors, module=httpx, http2=False, options={}, is_read=lambda response: response.is_success
        )

        def gets_token(before: Credential) -> bool:
            request = build(before.certificate)
            request.headers["User-Agent"] = self.user_agent
            answer = probe.send(request, before)
            return isinstance(answer, bytes) and b'"access_token"' in answer

        failure = CertificateError(refusal.message, path=credential.certificate.path, reason=Reason.REFUSED)
        return self._identity.replace_refused(credential, failure, gets_token)

    def name_sender(self, headers: Mapping[str, str]) -> None:
        """Adopt the `User-Agent` of a user's request or client, unless it is the default of httpx."""
        named = headers.get("User-Agent", "")
        if named and not named.startswith(HTTPX_USER_AGENT):
            self.user_agent = named

    def open(self) -> httpx.AsyncBaseTransport:
        """Return a transport for one call in the running event loop.

        Raises:
            ConfigurationError: The user's transport is blocking.
        """
        if self._transport is None:
            return AsyncIdentityTransport(self._identity, self._errors)
        if isinstance(self._transport, httpx.AsyncBaseTransport):
            return self._transport
        if isinstance(self._transport, either("AsyncBaseTransport")):
            transport = adapt(self._transport)
            return cast("httpx.AsyncBaseTransport", transport)
        raise ConfigurationError(
            f"transport: {type(self._transport).__name__} is for blocking clients only", field="transport"
        )

    def open_sync(self) -> httpx.BaseTransport:
        """Return the user's own transport, for a call in this thread.

        Raises:
            ConfigurationError: It is async.
        """
        if isinstance(self._transport, httpx.BaseTransport):
            return self._transport
        if isinstance(self._transport, either("BaseTransport")):
            transport = adapt(self._transport)
            return cast("httpx.BaseTransport", transport)
        raise ConfigurationError(
            f"transport: {type(self._transport).__name__} is for async clients only", field="transport"
        )
