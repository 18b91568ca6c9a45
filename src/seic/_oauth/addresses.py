"""`is_private`: whether a host of a URL is certainly not a public one, in any notation, without a name lookup."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# The last label of a host that resolvers read as an address: no top-level domain is a number.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_NAMES = re.compile(r"(.*\.)?(localhost|localdomain)|(ip6-)?(localhost6?|loopback)")
# Python's own tables differ between versions. The protocol assignments of RFC 6890 hold a cloud's metadata service
# (192.0.0.192), as does 168.63.129.16; 6to4 relays (RFC 7526) are gone; the rest is documentation and source routing
# (RFC 9637, RFC 9602).
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20", "5f00::/16"))
)
# Global unicast (RFC 4291 §2.4): no public address is outside of it.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Networks whose addresses end with an IPv4 address: IPv4-compatible and IPv4-mapped (RFC 4291 §2.5.5), translated (RFC
# 2765 §2.1), NAT64 (RFC 6052 §2.1).
_ENDS_WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
# The interface identifiers of ISATAP (RFC 5214 §6.1), which also end with one; the first has its universal bit set.
_ISATAP = (0x0200_5EFE, 0x0000_5EFE)


def is_private(host: str) -> bool:
    """Return whether a host is loopback, private or reserved, or an address that hides such an address.

    Args:
        host: A name or an address in lower case, without brackets.
    """
    name = host.rstrip(".")
    if _LOCAL_NAMES.fullmatch(name):
        return True
    try:
        return not _is_public(ipaddress.ip_address(name))
    except ValueError:
        # Resolvers read 127.1, 2130706433 and 0x7f000001 as addresses, too.
        return _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        number = int(address)
        last = ipaddress.IPv4Address(number & 0xFFFF_FFFF)
        if any(address in network for network in _ENDS_WITH_IPV4):
            return _is_public(last)
        if address.sixtofour is not None:
            return _is_public(address.sixtofour)
        if (number >> 32) & 0xFFFF_FFFF in _ISATAP and not _is_public(last):
            return False
        if address not in _GLOBAL_UNICAST:
            return False
    is_listed = any(address.version == network.version and address in network for network in _NOT_PUBLIC)
    return address.is_global and not address.is_multicast and not is_listed
