"""`NO_PROXY`: the hosts that are reached without the proxy, in every form that httpx or curl reads."""

from __future__ import annotations

import ipaddress
import re

import httpx

from seic._model.hosts import Origin

# curl takes blanks as well as commas.
_SEPARATORS = r"[,\s]+"


def is_exempt(origin: Origin, no_proxy: str) -> bool:
    """Return whether an entry of `NO_PROXY` covers an origin.

    An entry is `*`, a domain (with its subdomains), an address or a network, each with an optional port; or a URL, as
    httpx reads it: it covers its scheme and exactly its host. A final dot or slash of a name has no effect.
    """
    return any(_covers(entry.lower(), origin) for entry in re.split(_SEPARATORS, no_proxy) if entry)


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _covers(entry: str, origin: Origin) -> bool:
    scheme, separator, rest = entry.rpartition("://")
    if scheme not in ("", "all", origin.scheme):
        return False
    # Outside of a URL a slash belongs to a network.
    authority = rest.partition("/")[0].rpartition("@")[2] if separator else rest.removesuffix("/")
    if authority == "*" or (separator and not authority):
        return True
    name, port = _split_port(authority)
    if port not in ("", str(origin.port)):
        return False
    host, name = origin.host.rstrip("."), _ascii(name.rstrip("."))
    if is_address(host):
        return _contains(name, host)
    if separator and not name.startswith("*"):
        return host == name
    domain = name.lstrip("*.")
    return bool(domain) and f".{host}".endswith(f".{domain}")


def _contains(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _ascii(name: str) -> str:
    # Hosts are in their ASCII form.
    if name.isascii():
        return name
    try:
        return httpx.URL(f"https://{name}").raw_host.decode("ascii")
    except httpx.InvalidURL:
        return name


def _split_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        name, _, rest = authority[1:].partition("]")
        return name, rest.removeprefix(":")
    # More than one colon is an IPv6 address without brackets, and without a port.
    name, _, port = authority.partition(":") if authority.count(":") == 1 else (authority, "", "")
    return name, port
