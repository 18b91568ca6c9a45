"""`Origin`, and `Hosts`: the two hosts of an environment and the choice between them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from seic._errors import ConfigurationError
from seic._model.secret import strip_frames, strip_frames_on_init
from seic._public import publish
from seic._values import frozen

_DEFAULT_PORTS = {"https": 443, "http": 80}
# RFC 1123 labels; an internationalised name must be in its ASCII form, as in a certificate.
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)


@frozen
class Origin:
    """A scheme, a host and a port (RFC 6454 §4): tokens are sent to the configured origin only.

    `host` is lower case; an IPv6 address has no brackets. `port` is always a number.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    @strip_frames
    def parse(cls, text: str, *, field: str, allow_http_on_loopback: bool = False) -> Origin:
        """Parse `host`, `host:port` or `https://host:port`.

        Args:
            text: The host as a user writes it; without a scheme it is https.
            field: The setting's name, for the error.
            allow_http_on_loopback: Whether `http://` is allowed for a loopback address; it never is for any other.

        Raises:
            ConfigurationError: The text is not an origin, has more than that, or is not https.
        """
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"{field}: a host is needed, such as 'api.example.com'", field=field)
        try:
            parts = urlsplit(text if "://" in text else f"https://{text}")
        except ValueError:
            # Not chained and not quoted: the text may contain a password.
            raise ConfigurationError(f"{field}: is not a host such as 'api.example.com'", field=field) from None
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(f"{field}: must have no user name or password", field=field)
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{field}: must be a host, or a host and a port, without a path or query", field=field
            )
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            # With a user name before it, the supposed port is a password.
            raise ConfigurationError(f"{field}: the port must be a number from 1 to 65535", field=field) from None
        if not host or not _is_host(host):
            raise ConfigurationError(f"{field}: is not a host name or an IP address in ASCII form", field=field)
        if port == 0:
            raise ConfigurationError(f"{field}: the port must be from 1 to 65535", field=field)
        if parts.scheme not in _DEFAULT_PORTS:
            raise ConfigurationError(f"{field}: the scheme must be https, not {parts.scheme!r}", field=field)
        origin = cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])
        if origin.scheme == "http" and not (allow_http_on_loopback and origin.is_loopback):
            raise ConfigurationError(
                f"{field}: {origin} is not https, and tokens must be encrypted in transit; for a test on this machine "
                "use a loopback address and Hosts(..., allow_http_on_loopback=True)",
                field=field,
            )
        return origin

    @property
    def is_loopback(self) -> bool:
        """Whether the host is a loopback address or `localhost`."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None
    return True


@strip_frames_on_init
@frozen(init=False)
class Hosts:
    """The two hosts of an environment: `api` for requests without a client certificate, `mtls` for requests with one.

    Either may be None if the provider has none; a missing host is an error, never replaced by the other.

    Args:
        api: `host`, `host:port` or `https://host:port`; None if there is none.
        mtls: The same for mutual TLS.
        allow_http_on_loopback: Allow `http://` for a loopback address, for tests on this machine.

    Raises:
        ConfigurationError: A host is malformed or not https.
    """

    api: Origin | None
    mtls: Origin | None

    def __init__(
        self, api: str | None = None, mtls: str | None = None, *, allow_http_on_loopback: bool = False
    ) -> None:
        def parse(field: str, text: str | None) -> Origin | None:
            if text is None:
                return None
            return Origin.parse(text, field=field, allow_http_on_loopback=allow_http_on_loopback)

        # attrs generates this method for a class with its own __init__.
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue]
            parse("hosts.api", api), parse("hosts.mtls", mtls)
        )

    def choose(self, *, certificate: bool, environment: str | None = None) -> Origin:
        """Return the origin for token requests and API requests.

        Args:
            certificate: Whether the client presents a certificate.
            environment: The environment's name, for the error.

        Raises:
            ConfigurationError: The necessary host is None.
        """
        origin = self.mtls if certificate else self.api
        if origin is not None:
            return origin
        where = f"the {environment} environment has" if environment else "these hosts have"
        if certificate:
            raise ConfigurationError(
                f"hosts.mtls: a client certificate is set, but {where} no documented mutual-TLS host; set "
                "hosts=seic.Hosts(api=..., mtls=...) to your provider's hosts, or remove the certificate",
                field="hosts.mtls",
            )
        raise ConfigurationError(
            f"hosts.api: no client certificate is set, and {where} only a mutual-TLS host; set certificate=... "
            "or hosts=seic.Hosts(api=...)",
            field="hosts.api",
        )


publish("seic", ["Hosts", "Origin"], globals())
