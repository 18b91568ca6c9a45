"""The way to the provider: through which proxy, and from which address. It knows no identity and no token.

httpx drops the environment's proxies as soon as it is given a transport, and seic gives it one, so they are read here.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from typing import Any, TypeAlias
from urllib.request import getproxies_environment

import attrs
import httpx

from seic._errors import ConfigurationError
from seic._model.hosts import Origin
from seic._model.secrecy import HIDDEN, traceless
from seic._oauth.redact import secrets_of
from seic._tls.context import shared_context

#: A URL such as `http://user:password@proxy.example:3128`, or an `httpx.Proxy`.
ProxyLike: TypeAlias = str | httpx.URL | httpx.Proxy

_SCHEMES = ("http", "https", "socks5", "socks5h")


def show_proxy(proxy: ProxyLike | None) -> str:
    """Return what a repr shows of a proxy: where it is, without its credentials."""
    parsed = None if proxy is None else _parse_proxy(proxy)
    if parsed is None:
        return "None" if proxy is None else HIDDEN
    return repr(_place(parsed))


@attrs.frozen(kw_only=True, eq=False)
class Network:
    """How connections leave this machine, for token and API calls alike.

    Args:
        proxy: The proxy that every call goes through; None leaves that to the environment.
        local_address: The address that connections leave from; None leaves that to the system.
        trust_env: Whether `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` count.
    """

    proxy: httpx.Proxy | None = attrs.field(default=None, repr=show_proxy)
    local_address: str | None = None
    trust_env: bool = True

    @classmethod
    def of(cls, *, proxy: ProxyLike | None, local_address: str | None, trust_env: bool) -> Network:
        """Take what a user states.

        Raises:
            ConfigurationError: A setting is malformed or contradicts another; its `field` names it.
        """
        parsed = None if proxy is None else _parse_proxy(proxy)
        if proxy is not None and parsed is None:
            raise _malformed("proxy")
        if local_address is not None and not (isinstance(local_address, str) and _is_address(local_address)):
            raise ConfigurationError(
                "local_address: must be an IP address of this machine, such as '192.0.2.10'", field="local_address"
            )
        if local_address is not None and proxy is not None:
            raise ConfigurationError(
                "local_address: a proxy is set too, and the provider sees the proxy's address, never this one; keep "
                "one of them",
                field="local_address",
            )
        return cls(proxy=parsed, local_address=local_address, trust_env=trust_env)

    def check(self, origin: Origin) -> None:
        """Refuse an origin that the stated proxy would see the inside of.

        Raises:
            ConfigurationError: The origin is not https, and a proxy is stated.
        """
        if self.proxy is not None and origin.scheme != "https":
            raise ConfigurationError(
                f"proxy: {origin} is not https, so the proxy would read the credentials in clear; leave the proxy out, "
                "or use an https host",
                field="proxy",
            )

    @traceless
    def choose_proxy(self, origin: Origin) -> httpx.Proxy | None:
        """Return the proxy for an origin: the one stated, else the environment's, else None.

        The environment's serves https alone: what goes in clear goes to this machine itself, and straight.

        Raises:
            ConfigurationError: It cannot be used; `field` is the setting or the variable.
        """
        self.check(origin)
        if self.proxy is not None or not self.trust_env or origin.scheme != "https":
            return self.proxy
        variables = getproxies_environment()
        name = next((name for name in ("https", "all") if variables.get(name)), None)
        if name is None or _is_exempt(origin, variables.get("no", "")):
            return None
        variable, value = f"{name.upper()}_PROXY", variables[name]
        proxy = _parse_proxy(value if "://" in value else f"http://{value}")
        if proxy is None:
            raise _malformed(variable)
        if self.local_address is not None:
            raise ConfigurationError(
                f"local_address: {variable} names a proxy, and the provider sees the proxy's address, never this one; "
                f"add {origin.host} to NO_PROXY, or pass trust_env=False",
                field="local_address",
            )
        return proxy

    def describe(self, origin: Origin) -> str:
        """Return a word about the proxy for a message about a failed connection; empty where there is none."""
        proxy = self.choose_proxy(origin)
        return "" if proxy is None else f"through the proxy {_place(proxy)}"

    def secrets(self, origin: Origin) -> set[str]:
        """Return what a proxy is told of credentials, in each form in which it could echo them; empty without one."""
        proxy = self.choose_proxy(origin)
        if proxy is None:
            return set()
        found = secrets_of(proxy.headers.get("Proxy-Authorization", "").rpartition(" ")[2])
        if proxy.raw_auth is not None:
            found |= secrets_of(base64.b64encode(b":".join(proxy.raw_auth)).decode("ascii"))
        return found

    def new_async_transport(
        self, origin: Origin, context: ssl.SSLContext, options: dict[str, Any]
    ) -> httpx.AsyncHTTPTransport:
        """Return an httpx transport for calls of one origin.

        Args:
            origin: Where they go.
            context: How their TLS is spoken.
            options: Further keywords of `httpx.AsyncHTTPTransport`.

        Raises:
            ConfigurationError: The proxy cannot be used.
        """
        try:
            return httpx.AsyncHTTPTransport(verify=context, **self._way(origin), **options)
        except ImportError:
            raise _missing_socks() from None

    def new_transport(self, origin: Origin, context: ssl.SSLContext, options: dict[str, Any]) -> httpx.HTTPTransport:
        """Return a blocking httpx transport for calls of one origin; see `new_async_transport`."""
        try:
            return httpx.HTTPTransport(verify=context, **self._way(origin), **options)
        except ImportError:
            raise _missing_socks() from None

    def _way(self, origin: Origin) -> dict[str, Any]:
        proxy = self.choose_proxy(origin)
        if proxy is not None and proxy.url.scheme == "https" and proxy.ssl_context is None:
            # The system's trust and no client certificate: `ca` and the identity are for the provider alone.
            proxy = httpx.Proxy(
                proxy.url, auth=proxy.auth, headers=proxy.headers, ssl_context=shared_context(None, alpn=("http/1.1",))
            )
        return {"proxy": proxy, "local_address": self.local_address}


def _parse_proxy(proxy: ProxyLike) -> httpx.Proxy | None:
    """Return the proxy; None where the text is no URL of one. What is wrong is never quoted: it may hold a password."""
    try:
        parsed = proxy if isinstance(proxy, httpx.Proxy) else httpx.Proxy(proxy)
    except (httpx.InvalidURL, TypeError, ValueError):
        return None
    return parsed if parsed.url.scheme in _SCHEMES and parsed.url.host else None


def _malformed(field: str) -> ConfigurationError:
    return ConfigurationError(f"{field}: must be a URL such as 'http://proxy.example:3128'", field=field)


def _missing_socks() -> ConfigurationError:
    return ConfigurationError('proxy: a SOCKS proxy needs another package: pip install "httpx[socks]"', field="proxy")


def _place(proxy: httpx.Proxy) -> str:
    return f"{proxy.url.scheme}://{proxy.url.netloc.decode('ascii')}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_exempt(origin: Origin, no_proxy: str) -> bool:
    """Tell whether `NO_PROXY` names it: `*`, a domain with all below it, an address or a network; a port narrows it."""
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return any(_covers(entry, origin) for entry in entries if entry)


def _covers(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    name, port = _split_port(entry)
    if port not in ("", str(origin.port)):
        return False
    if not _is_address(origin.host):
        return f".{origin.host}".endswith(f".{name.lstrip('*.')}")
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    # More than one colon is an IPv6 address without brackets, which has no port.
    name, _, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    return name, port
