"""Proxies and local addresses of connections. Certificates and tokens are not known here.

httpx ignores the proxies of the environment if it is given a transport, as seic does, so they are read here.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.request import getproxies_environment

import attrs
import httpx

from seic._errors import ConfigurationError
from seic._httpx import AnyProxy, either, httpx_of
from seic._model.hosts import Origin
from seic._model.secret import HIDDEN, Unpicklable, strip_frames
from seic._network.no_proxy import is_address, is_exempt
from seic._oauth.redact import secrets_of
from seic._tls.context import shared_context

#: A URL such as `http://user:password@proxy.example:3128`, or an `httpx.Proxy`.
ProxyLike: TypeAlias = str | AnyProxy

_Transport = TypeVar("_Transport", httpx.AsyncHTTPTransport, httpx.HTTPTransport)

_SCHEMES = ("http", "https", "socks5", "socks5h")
_MAX_PORT = 65535
# The variable that exempts an origin from the proxy.
_EXEMPT = "NO_PROXY"
# Desktops and VPN programs set the first; it does not tell the version of SOCKS.
_OTHER_SOCKS = ("socks", "socks4", "socks4a")


def show_proxy(proxy: ProxyLike | None) -> str:
    """Return the proxy's URL without its credentials, for a repr."""
    parsed = None if proxy is None else _parse_proxy(proxy)
    if parsed is None:
        return "None" if proxy is None else HIDDEN
    return repr(_place(parsed))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Network(Unpicklable):
    """The network settings of token requests and API calls.

    The repr shows the proxy that is in force for `shown_for` now, and the variable that it comes from.

    Args:
        proxy: The proxy for all requests; None for those of the environment.
        local_address: The local address of connections; None for the system's choice.
        trust_env: Whether `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` apply.
        shown_for: The origin that the repr is about; None for none.
        setting_names: The variables or keys that the user sets, by the argument that hints about a failed connection
            name, such as `ca=...`.
    """

    proxy: httpx.Proxy | None = None
    local_address: str | None = None
    trust_env: bool = True
    shown_for: Origin | None = None
    setting_names: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        *,
        proxy: ProxyLike | None,
        local_address: str | None,
        trust_env: bool,
        shown_for: Origin | None = None,
        setting_names: Mapping[str, str] | None = None,
    ) -> Network:
        """Validate a user's settings.

        Raises:
            ConfigurationError: A setting is malformed or contradicts another; its `field` names it.
        """
        parsed = None if proxy is None else _parse_proxy(proxy)
        if proxy is not None and parsed is None:
            raise _malformed("proxy", proxy)
        if local_address is not None and not (isinstance(local_address, str) and is_address(local_address)):
            raise ConfigurationError(
                "local_address: must be an IP address of this machine, such as '192.0.2.10'", field="local_address"
            )
        if local_address is not None and proxy is not None:
            raise ConfigurationError(
                "local_address: a proxy is also set, so the provider sees the proxy's address instead; remove "
                "one of them",
                field="local_address",
            )
        return cls(
            proxy=parsed,
            local_address=local_address,
            trust_env=trust_env,
            shown_for=shown_for,
            setting_names=setting_names or {},
        )

    def check(self, origin: Origin) -> None:
        """Refuse an http origin with a configured proxy, which could read the credentials.

        Raises:
            ConfigurationError: The origin is not https, and a proxy is set.
        """
        if self.proxy is not None and origin.scheme != "https":
            raise ConfigurationError(
                f"proxy: {origin} is not https, so the proxy could read the credentials; remove the proxy, "
                "or use an https host",
                field="proxy",
            )

    @strip_frames
    def choose_proxy(self, origin: Origin) -> httpx.Proxy | None:
        """Return the proxy for an origin: the configured one, or that of the environment, or None.

        The environment's proxy applies to https only: http is allowed on loopback only, which needs no proxy.

        Raises:
            ConfigurationError: It cannot be used; `field` is the setting or the variable.
        """
        self.check(origin)
        if self.proxy is not None:
            return self.proxy
        variable, value = self._variable(origin)
        if not value or variable == _EXEMPT:
            return None
        proxy = _parse_proxy(value if "://" in value else f"http://{value}")
        if proxy is None:
            raise _malformed(variable, value)
        if self.local_address is not None:
            raise ConfigurationError(
                f"local_address: {variable} sets a proxy, so the provider sees the proxy's address instead; "
                f"add {origin.host} to NO_PROXY, or set trust_env=False",
                field="local_address",
            )
        return proxy

    def _variable(self, origin: Origin) -> tuple[str, str]:
        """Return the variable that decides and its value; two empty strings if none does."""
        if not self.trust_env or origin.scheme != "https":
            return "", ""
        variables = {name: value.strip() for name, value in getproxies_environment().items()}
        name = next((name for name in ("https", "all") if variables.get(name)), None)
        if name is None:
            return "", ""
        if is_exempt(origin, exempt := variables.get("no", "")):
            return _EXEMPT, exempt
        return f"{name.upper()}_PROXY", variables[name]

    def __repr__(self) -> str:
        proxy, origin = show_proxy(self.proxy), self.shown_for
        if self.proxy is None and origin is not None:
            variable, _ = self._variable(origin)
            through = self.describe(origin, errors=False).removeprefix("through the proxy ")
            proxy = f"{through or None} ({variable})" if variable else "None"
        return f"Network(proxy={proxy}, local_address={self.local_address!r}, trust_env={self.trust_env!r})"

    def describe(self, origin: Origin, *, errors: bool = True) -> str:
        """Return a phrase about the proxy for a message or a repr; empty without a proxy.

        Args:
            origin: The origin.
            errors: Whether a proxy that cannot be used is an error; otherwise the phrase says so.

        Raises:
            ConfigurationError: As for `choose_proxy`.
        """
        try:
            proxy = self.choose_proxy(origin)
        except ConfigurationError as error:
            if errors:
                raise
            return f"unusable proxy: {error}"
        return "" if proxy is None else f"through the proxy {_place(proxy)}"

    def secrets(self, origin: Origin) -> set[str]:
        """Return the proxy's credentials in each form in which it could echo them."""
        proxy = self.choose_proxy(origin)
        if proxy is None:
            return set()
        found = secrets_of(proxy.headers.get("Proxy-Authorization", "").rpartition(" ")[2])
        if proxy.raw_auth is not None:
            found |= secrets_of(base64.b64encode(b":".join(proxy.raw_auth)).decode("ascii"))
        return found

    def new_transport(
        self, kind: type[_Transport], origin: Origin, context: ssl.SSLContext, options: dict[str, Any]
    ) -> _Transport:
        """Return an httpx transport for requests to one origin.

        Args:
            kind: The class of the transport, async or blocking.
            origin: The origin.
            context: The TLS context.
            options: Further keywords of the class.

        Raises:
            ConfigurationError: The proxy cannot be used.
        """
        try:
            return kind(verify=context, **self._way(origin, httpx_of(kind)), **options)
        except ImportError:
            raise _missing_socks() from None

    def _way(self, origin: Origin, module: Any) -> dict[str, Any]:
        proxy = self.choose_proxy(origin)
        if proxy is not None:
            context = proxy.ssl_context
            if proxy.url.scheme == "https" and context is None:
                # The system's trust without a client certificate: `ca` and the identity are for the provider only.
                context = shared_context(None, alpn=("http/1.1",))
            proxy = _convert(proxy, module, context)
        return {"proxy": proxy, "local_address": self.local_address}


def _convert(proxy: Any, module: Any, context: ssl.SSLContext | None) -> Any:
    """Return the proxy as one of httpx or httpx2."""
    return module.Proxy(str(proxy.url), auth=proxy.auth, headers=proxy.headers.raw, ssl_context=context)


def _parse_proxy(proxy: ProxyLike) -> httpx.Proxy | None:
    """Return the proxy; None if the text is not a valid URL. Errors never quote it, since it can contain a password."""
    try:
        given: Any = proxy
        if isinstance(given, either("Proxy")):
            parsed: httpx.Proxy = _convert(given, httpx, given.ssl_context)
        else:
            parsed = httpx.Proxy(str(given) if isinstance(given, either("URL")) else given)
        # httpx decodes the host for each request, and raises what idna raises.
        is_usable = parsed.url.scheme in _SCHEMES and parsed.url.host and (parsed.url.port or 1) <= _MAX_PORT
    except (httpx.InvalidURL, TypeError, ValueError):
        return None
    return parsed if is_usable else None


def _malformed(field: str, proxy: object) -> ConfigurationError:
    # Nothing of the value is quoted but a known scheme, since any part of it may be a password.
    scheme = str(getattr(proxy, "url", proxy)).partition("://")[0].lower() if "://" in str(proxy) else ""
    text = "must be a URL such as 'http://proxy.example:3128'"
    if scheme in _OTHER_SOCKS:
        text = (
            f"the scheme {scheme}:// is not supported; write socks5h:// if the proxy speaks SOCKS 5 and resolves "
            "names, socks5:// if this machine resolves them, or http:// for an HTTP proxy"
        )
    elif scheme and scheme not in _SCHEMES:
        text = f"the scheme of the URL must be {', '.join(_SCHEMES[:-1])} or {_SCHEMES[-1]}"
    return ConfigurationError(f"{field}: {text}", field=field)


def _missing_socks() -> ConfigurationError:
    return ConfigurationError('proxy: a SOCKS proxy needs a further package: pip install "httpx[socks]"', field="proxy")


def _place(proxy: httpx.Proxy) -> str:
    return f"{proxy.url.scheme}://{proxy.url.netloc.decode('ascii')}"
