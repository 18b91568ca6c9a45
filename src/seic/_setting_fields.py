"""The table of all settings: names, types, defaults, examples. Variables, profiles and the reference come from it."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Kind(enum.Enum):
    """The type of a setting's value, as the reference names it."""

    TEXT = "text"
    SECRET = "secret"
    PATH_OR_PEM = "path or PEM"
    NUMBER = "seconds"
    MARGIN = "seconds or share"
    FLAG = "`true` or `false`"
    LIST = "list"


class Setting(NamedTuple):
    """One setting; `Config` validates its value, and `_settings` reads it.

    Attributes:
        name: The key in a profile; the variable is `SEIC_` with the name in capitals.
        group: The heading in the reference.
        keyword: The argument in code.
        about: A sentence on its meaning.
        example: A value.
        kind: The type. A secret has two more names: `<name>_file` and `<name>_command`.
        default: The value if it is not set; empty if there is none.
        fields: Further fields by which errors name it; that of the keyword is derived from it.
    """

    name: str
    group: str
    keyword: str
    about: str
    example: str
    kind: Kind = Kind.TEXT
    default: str = ""
    fields: tuple[str, ...] = ()


_PROVIDER, _CLIENT, _GRANT = "Provider and hosts", "Client authentication", "Grant"
_IDENTITY, _CONNECTION = "Certificate and trust", "Tokens and connections"
_KEY = "provider=Provider(client_authentication=PrivateKeyJwt({}=...))"

SETTINGS = (
    Setting(
        "provider",
        _PROVIDER,
        "provider=SEI_GATEWAY",
        "A provider that seic knows: `sei-gateway`, `sei-platform` or `oauth2`. With `issuer` or `token_url`, the "
        "default is a plain OAuth 2.0 provider.",
        "sei-gateway",
        default="sei-gateway",
    ),
    Setting(
        "issuer",
        _PROVIDER,
        "provider=Provider(issuer=...)",
        "The issuer, exactly as the provider writes it. Its metadata names the endpoints; it is read with the first "
        "token, unless `token_url` is set.",
        "https://idp.example.com/realms/main",
        fields=("issuer",),
    ),
    Setting(
        "token_url",
        _PROVIDER,
        "provider=Provider(token_url=...)",
        "The token endpoint: a URL, or a path on the host.",
        "https://idp.example.com/oauth2/token",
    ),
    Setting(
        "revocation_url",
        _PROVIDER,
        "provider=Provider(revocation_url=...)",
        "The revocation endpoint (RFC 7009): a URL, or a path on the host of the token endpoint.",
        "/oauth2/revoke",
    ),
    Setting(
        "introspection_url",
        _PROVIDER,
        "provider=Provider(introspection_url=...)",
        "The introspection endpoint (RFC 7662), in the same form.",
        "/oauth2/introspect",
    ),
    Setting(
        "environment",
        _PROVIDER,
        "environment",
        "An environment of the provider: `production` or `test`.",
        "test",
        default="production",
    ),
    Setting(
        "api_host",
        _PROVIDER,
        "hosts=Hosts(api=...)",
        "The host of the API without a client certificate.",
        "api.example.com",
        fields=("hosts",),
    ),
    Setting(
        "mtls_host",
        _PROVIDER,
        "hosts=Hosts(mtls=...)",
        "The host of the API with a client certificate.",
        "mtls.example.com",
    ),
    Setting(
        "page_cursor_field",
        _PROVIDER,
        "provider=Provider(page_cursor_field=...)",
        "The member of a page with the cursor or the URL of the next page, for `client.pages`.",
        "meta.next",
    ),
    Setting(
        "page_cursor_parameter",
        _PROVIDER,
        "provider=Provider(page_cursor_parameter=...)",
        "The parameter that takes the cursor.",
        "cursor",
    ),
    Setting("client_id", _CLIENT, "client_id", "The client id; at SEI's gateway the AppKey.", "my-app"),
    Setting("client_secret", _CLIENT, "client_secret", "The client secret.", "my-secret", Kind.SECRET),
    Setting(
        "client_auth",
        _CLIENT,
        "provider=Provider(client_authentication=...)",
        "The method, by its registered name: `client_secret_basic`, `client_secret_post`, `client_secret_jwt`, "
        "`private_key_jwt`, `tls_client_auth`, `self_signed_tls_client_auth` or `none`.",
        "private_key_jwt",
        default="the provider's, or the first in the issuer's metadata",
        fields=("client_authentication",),
    ),
    Setting(
        "client_key",
        _CLIENT,
        _KEY.format("key"),
        "The private key of `private_key_jwt`.",
        "signing.key",
        Kind.PATH_OR_PEM,
        default="the client certificate's key",
    ),
    Setting(
        "client_key_password",
        _CLIENT,
        _KEY.format("password"),
        "The passphrase of `client_key`.",
        "passphrase",
        Kind.SECRET,
    ),
    Setting("client_key_id", _CLIENT, _KEY.format("key_id"), "The `kid` of the key at the provider.", "key-1"),
    Setting(
        "client_key_algorithm",
        _CLIENT,
        _KEY.format("algorithm"),
        "The algorithm of the signature, also of `client_secret_jwt`.",
        "PS256",
        default="RS256 for RSA, HS256 for a secret",
    ),
    Setting(
        "client_assertion_audience",
        _CLIENT,
        _KEY.format("audience"),
        "The audience of the signed JWT.",
        "https://idp.example.com",
        default="the issuer, else the token endpoint",
    ),
    Setting(
        "grant",
        _GRANT,
        "grant=ClientCredentials(...)",
        "The grant: `client_credentials`, `password`, `refresh_token`, `jwt-bearer`, `saml2-bearer` or "
        "`token-exchange`; also by its registered URN.",
        "token-exchange",
        default="client_credentials",
    ),
    Setting(
        "scope",
        _GRANT,
        "grant=ClientCredentials(scope=...)",
        "The scopes, separated by spaces.",
        "orders.read orders.write",
        Kind.LIST,
    ),
    Setting(
        "audience",
        _GRANT,
        "grant=ClientCredentials(audience=...)",
        "The audience of the token, if the provider has such a parameter.",
        "https://api.example.com",
    ),
    Setting(
        "resource",
        _GRANT,
        "grant=ClientCredentials(resource=...)",
        "The resources of the token (RFC 8707): absolute URIs, separated by spaces.",
        "https://api.example.com/",
        Kind.LIST,
    ),
    Setting(
        "username",
        _GRANT,
        "grant=ClientCredentials(username=...)",
        "The service account of SEI's providers; with `password`, the user.",
        "svc-user",
    ),
    Setting(
        "password",
        _GRANT,
        "grant=ClientCredentials(password=...)",
        "The password of `username`.",
        "password",
        Kind.SECRET,
    ),
    Setting(
        "refresh_token",
        _GRANT,
        "grant=RefreshToken(refresh_token=...)",
        "The refresh token of `refresh_token`.",
        "8xLOxBtZp8",
        Kind.SECRET,
    ),
    Setting(
        "assertion",
        _GRANT,
        "grant=JwtBearer(assertion=...)",
        "The signed JWT of `jwt-bearer`, or the SAML assertion of `saml2-bearer`, as XML or Base64.",
        "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        Kind.SECRET,
        fields=("grant.saml_assertion", "grant.saml_response"),
    ),
    Setting(
        "subject_token",
        _GRANT,
        "grant=TokenExchange(subject_token=...)",
        "The token of `token-exchange` (RFC 8693).",
        "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        Kind.SECRET,
    ),
    Setting(
        "subject_token_type",
        _GRANT,
        "grant=TokenExchange(subject_token_type=...)",
        "Its type: a URI, or the last part of one.",
        "jwt",
        default="access_token",
    ),
    Setting(
        "actor_token",
        _GRANT,
        "grant=TokenExchange(actor_token=...)",
        "The token of the party that acts for the subject.",
        "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        Kind.SECRET,
    ),
    Setting(
        "actor_token_type",
        _GRANT,
        "grant=TokenExchange(actor_token_type=...)",
        "Its type.",
        "access_token",
        default="access_token",
    ),
    Setting(
        "requested_token_type",
        _GRANT,
        "grant=TokenExchange(requested_token_type=...)",
        "The type of the new token.",
        "access_token",
    ),
    Setting(
        "subject",
        _GRANT,
        "grant=RefreshToken(subject=...)",
        "The owner of the token in a store. A file or a command for the grant's secret needs it.",
        "ann@example.com",
    ),
    Setting(
        "certificate",
        _IDENTITY,
        "certificate=ClientCertificate.load(...)",
        "The client certificate: PEM, DER or PKCS#12.",
        "client.pem",
        Kind.PATH_OR_PEM,
    ),
    Setting(
        "certificate_key",
        _IDENTITY,
        "certificate=ClientCertificate.load(key=...)",
        "Its private key, if it is in another file.",
        "client.key",
        Kind.PATH_OR_PEM,
    ),
    Setting(
        "certificate_password",
        _IDENTITY,
        "certificate=ClientCertificate.load(password=...)",
        "The passphrase of the key or of the PKCS#12 file.",
        "passphrase",
        Kind.SECRET,
    ),
    Setting(
        "certificate_wait",
        _IDENTITY,
        "certificate=ClientCertificate.load(wait=...)",
        "The time to wait for files that a sidecar has yet to write: the certificate's, `ca`, and those with secrets.",
        "30",
        Kind.NUMBER,
        default="0",
        fields=("wait",),
    ),
    Setting(
        "strict_common_name",
        _IDENTITY,
        "strict_common_name",
        "Refuse a certificate whose CN is not the service account's username.",
        "true",
        Kind.FLAG,
        default="false",
    ),
    Setting(
        "ca", _IDENTITY, "ca", "The trusted authorities.", "system,my-ca.pem", Kind.PATH_OR_PEM, default="the system's"
    ),
    Setting(
        "store", _CONNECTION, "store", "`memory`, `file:///path` or `redis://host`.", "redis://redis.example:6379/0"
    ),
    Setting(
        "store_key",
        _CONNECTION,
        "store=FileStore(key=...)",
        "The key of a shared store: random text of 32 characters or more.",
        "BIIEHZd-S3Iy9TwIJmFPdhxsVElLDoI0s5ykVxwAJrs",
        Kind.SECRET,
    ),
    Setting(
        "token_timeout", _CONNECTION, "token_timeout", "The time for a token, in total.", "5", Kind.NUMBER, default="10"
    ),
    Setting(
        "rate_limit_timeout",
        _CONNECTION,
        "rate_limit_timeout",
        "The longest wait of a request while the API asks for a pause (429, `Retry-After`). Unset, none waits.",
        "30",
        Kind.NUMBER,
    ),
    Setting(
        "advisory_refresh",
        _CONNECTION,
        "advisory_refresh",
        "The time before expiry at which a token is refreshed in the background.",
        "300",
        Kind.MARGIN,
        default="20%",
    ),
    Setting(
        "mandatory_refresh",
        _CONNECTION,
        "mandatory_refresh",
        "The time before expiry at which calls wait for a refresh.",
        "60",
        Kind.MARGIN,
        default="2.5%",
    ),
    Setting(
        "proxy",
        _CONNECTION,
        "proxy",
        "The proxy of all requests.",
        "http://proxy.example.com:3128",
        default="`HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`",
    ),
    Setting(
        "trust_env", _CONNECTION, "trust_env", "Whether proxy variables apply.", "false", Kind.FLAG, default="true"
    ),
    Setting("local_address", _CONNECTION, "local_address", "The local address of connections.", "192.0.2.10"),
)
