"""Origins, the pair of hosts of an environment, and the one place that chooses between them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import attrs

from seic._errors import ConfigurationError
from seic._model.secrecy import traceless, tracelessly_made

_DEFAULT_PORTS = {"https": 443, "http": 80}
# RFC 1123 labels; an internationalised name has to come in its ASCII form, as it stands in a certificate.
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)


@attrs.frozen
class Origin:
    """A scheme, a host and a port: what bounds where a token may travel (RFC 6454 §4).

    `host` is lower case; an IPv6 address stands without brackets. `port` is always a number.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    @traceless
    def parse(cls, text: str, *, field: str, allow_http_on_loopback: bool = False) -> Origin:
        """Read `host`, `host:port` or `https://host:port`.

        Args:
            text: The host as a user writes it; without a scheme it is https.
            field: The setting's name, for the error.
            allow_http_on_loopback: Whether `http://` is taken for a loopback address; it never is for any other.

        Raises:
            ConfigurationError: The text is no origin, carries more than one, or is not https.
        """
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"{field}: a host is needed, such as 'api.example.com'", field=field)
        try:
            parts = urlsplit(text if "://" in text else f"https://{text}")
        except ValueError:
            # Not chained and not quoted: what cannot be split may hold a password.
            raise ConfigurationError(f"{field}: is not a host such as 'api.example.com'", field=field) from None
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(f"{field}: a host carries no user name or password", field=field)
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{field}: must be a host, or a host and a port, without a path or query", field=field
            )
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            # Where a user name stands before it, what is read as a port is a password.
            raise ConfigurationError(f"{field}: its port is not a number from 1 to 65535", field=field) from None
        if not host or not _is_host(host):
            raise ConfigurationError(f"{field}: is not a host name or an IP address in ASCII form", field=field)
        if port == 0:
            raise ConfigurationError(f"{field}: port 0 names no service; give 1 to 65535", field=field)
        if parts.scheme not in _DEFAULT_PORTS:
            raise ConfigurationError(f"{field}: the scheme must be https, not {parts.scheme!r}", field=field)
        origin = cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])
        if origin.scheme == "http" and not (allow_http_on_loopback and origin.is_loopback):
            raise ConfigurationError(
                f"{field}: {origin} is not https, and a token must not travel in clear; for a test on this machine "
                "use a loopback address and Hosts(..., allow_http_on_loopback=True)",
                field=field,
            )
        return origin

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its address or as `localhost`."""
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


@tracelessly_made
@attrs.frozen(init=False)
class Hosts:
    """The two hosts of an environment: `api` for calls without a client certificate, `mtls` for calls with one.

    Either may be None where the provider has none; choosing a missing one is an error, never a fall-back.

    Args:
        api: `host`, `host:port` or `https://host:port`; None where there is none.
        mtls: The same for mutual TLS.
        allow_http_on_loopback: Take `http://` for a loopback address, for tests on this machine.

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

        # attrs makes the method for a class that has an __init__ of its own.
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue]
            parse("hosts.api", api), parse("hosts.mtls", mtls)
        )

    def choose(self, *, certificate: bool, environment: str | None = None) -> Origin:
        """Return the origin for token and API calls alike.

        Args:
            certificate: Whether the caller presents a client certificate.
            environment: The environment's name, for the error.

        Raises:
            ConfigurationError: The host that is needed is not known.
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
