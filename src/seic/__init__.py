"""seic: OAuth 2.0 tokens and API calls over mutual TLS, async first.

A name is imported when it is first used (PEP 562), so that `import seic` alone costs next to nothing.
"""

from __future__ import annotations

# As typing.TYPE_CHECKING, which type checkers know by its name; typing takes longer to import than the rest.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from seic import events as events
    from seic._api.response_errors import raise_for_status
    from seic._api.retry import Retry, RetryTransport
    from seic._auth import OAuth2Auth
    from seic._client import AsyncClient, Client
    from seic._config import Config
    from seic._device_login import DeviceLogin
    from seic._discovery import discover, discover_sync
    from seic._errors import (
        ApiError,
        CertificateError,
        ConfigurationError,
        FieldError,
        HostNotAllowed,
        InvalidTokenResponse,
        LoggedInElsewhere,
        SeicError,
        TokenEndpointUnavailable,
        TokenError,
        TokenRequestRefused,
        TooManyRequests,
    )
    from seic._model.extension_grants import (
        DeviceCode,
        ExistingToken,
        JwtBearer,
        SamlBearer,
        TokenExchange,
    )
    from seic._model.grant_parameters import Grant
    from seic._model.grants import ClientCredentials, RefreshToken
    from seic._model.hosts import Hosts, Origin
    from seic._model.login_grants import AuthorizationCode, Password, Saml2Bearer, SessionToken
    from seic._model.provider import ClientAuthentication, KeyedCertificate, Provider, RequestContext
    from seic._model.saml import SamlDocument
    from seic._model.secret import Secret
    from seic._model.token import Token
    from seic._model.token_info import TokenInfo
    from seic._model.token_source import TokenSource
    from seic._oauth.assertion_auth import ClientSecretJwt, PrivateKeyJwt
    from seic._oauth.authorize import Login
    from seic._oauth.client_auth import (
        ClientIdOnly,
        ClientSecretBasic,
        ClientSecretPost,
        SelfSignedTlsClientAuth,
        TlsClientAuth,
    )
    from seic._oauth.dpop import DPoP
    from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
    from seic._options import AsyncClientOptions, ClientOptions, ConfigOptions, DiscoveryOptions, TransportOptions
    from seic._stores.file_store import FileStore
    from seic._tls.certificate import ClientCertificate
    from seic._tls.context import create_ssl_context
    from seic._tokens.cache import Stats
    from seic._tokens.clock import Clock
    from seic._tokens.store import ClaimingStore, MemoryStore, TokenStore
    from seic._transport import AsyncTransport, Transport
    from seic._version import __version__
    from seic._x509.certificate_info import CertificateInfo
    from seic._x509.reasons import CertificateWarning, Reason

__all__ = [
    # Configuration
    "Config",
    "Hosts",
    "Origin",
    "Provider",
    "SEI_GATEWAY",
    "SEI_PLATFORM",
    "OAUTH2",
    "discover",
    "discover_sync",
    # Grants
    "Grant",
    "ClientCredentials",
    "Password",
    "RefreshToken",
    "AuthorizationCode",
    "Saml2Bearer",
    "SessionToken",
    "TokenExchange",
    "JwtBearer",
    "SamlBearer",
    "DeviceCode",
    "ExistingToken",
    "Secret",
    "SamlDocument",
    "Login",
    "DeviceLogin",
    # Client authentication
    "ClientAuthentication",
    "ClientSecretBasic",
    "ClientSecretPost",
    "ClientIdOnly",
    "PrivateKeyJwt",
    "ClientSecretJwt",
    "TlsClientAuth",
    "SelfSignedTlsClientAuth",
    "RequestContext",
    "KeyedCertificate",
    "DPoP",
    # Certificates and TLS
    "ClientCertificate",
    "CertificateInfo",
    "CertificateWarning",
    "Reason",
    "create_ssl_context",
    "AsyncTransport",
    "Transport",
    # Clients
    "AsyncClient",
    "Client",
    "OAuth2Auth",
    # API replies
    "raise_for_status",
    "Retry",
    "RetryTransport",
    # Tokens
    "Token",
    "TokenInfo",
    "TokenSource",
    "TokenStore",
    "ClaimingStore",
    "MemoryStore",
    "FileStore",
    "Stats",
    "Clock",
    # Events
    "events",
    # Errors
    "SeicError",
    "ConfigurationError",
    "CertificateError",
    "HostNotAllowed",
    "TokenError",
    "TokenEndpointUnavailable",
    "TokenRequestRefused",
    "TooManyRequests",
    "InvalidTokenResponse",
    "ApiError",
    "FieldError",
    "LoggedInElsewhere",
    # Keyword arguments, for code that passes them on
    "ConfigOptions",
    "DiscoveryOptions",
    "TransportOptions",
    "AsyncClientOptions",
    "ClientOptions",
    # About this package
    "__version__",
]

#: The public names of each private module. It repeats the imports above, which only type checkers execute.
_EXPORTED = {
    "seic._api.response_errors": ("raise_for_status",),
    "seic._api.retry": ("Retry", "RetryTransport"),
    "seic._auth": ("OAuth2Auth",),
    "seic._client": ("AsyncClient", "Client"),
    "seic._config": ("Config",),
    "seic._device_login": ("DeviceLogin",),
    "seic._discovery": ("discover", "discover_sync"),
    "seic._errors": (
        "ApiError",
        "CertificateError",
        "ConfigurationError",
        "FieldError",
        "HostNotAllowed",
        "InvalidTokenResponse",
        "LoggedInElsewhere",
        "SeicError",
        "TokenEndpointUnavailable",
        "TokenError",
        "TokenRequestRefused",
        "TooManyRequests",
    ),
    "seic._model.extension_grants": ("DeviceCode", "ExistingToken", "JwtBearer", "SamlBearer", "TokenExchange"),
    "seic._model.grant_parameters": ("Grant",),
    "seic._model.grants": ("ClientCredentials", "RefreshToken"),
    "seic._model.hosts": ("Hosts", "Origin"),
    "seic._model.login_grants": ("AuthorizationCode", "Password", "Saml2Bearer", "SessionToken"),
    "seic._model.provider": ("ClientAuthentication", "KeyedCertificate", "Provider", "RequestContext"),
    "seic._model.saml": ("SamlDocument",),
    "seic._model.secret": ("Secret",),
    "seic._model.token": ("Token",),
    "seic._model.token_info": ("TokenInfo",),
    "seic._model.token_source": ("TokenSource",),
    "seic._oauth.assertion_auth": ("ClientSecretJwt", "PrivateKeyJwt"),
    "seic._oauth.authorize": ("Login",),
    "seic._oauth.client_auth": (
        "ClientIdOnly",
        "ClientSecretBasic",
        "ClientSecretPost",
        "SelfSignedTlsClientAuth",
        "TlsClientAuth",
    ),
    "seic._oauth.dpop": ("DPoP",),
    "seic._oauth.providers": ("OAUTH2", "SEI_GATEWAY", "SEI_PLATFORM"),
    "seic._options": ("AsyncClientOptions", "ClientOptions", "ConfigOptions", "DiscoveryOptions", "TransportOptions"),
    "seic._stores.file_store": ("FileStore",),
    "seic._tls.certificate": ("ClientCertificate",),
    "seic._x509.certificate_info": ("CertificateInfo",),
    "seic._tls.context": ("create_ssl_context",),
    "seic._x509.reasons": ("CertificateWarning", "Reason"),
    "seic._tokens.cache": ("Stats",),
    "seic._tokens.clock": ("Clock",),
    "seic._tokens.store": ("ClaimingStore", "MemoryStore", "TokenStore"),
    "seic._transport": ("AsyncTransport", "Transport"),
    "seic._version": ("__version__",),
}
_MODULES = {name: module for module, names in _EXPORTED.items() for name in names}

# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        import importlib

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "events":
            return importlib.import_module("seic.events")
        value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return all public names, for completion in editors and shells."""
        return sorted({*globals(), *__all__})
