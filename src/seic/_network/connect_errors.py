"""Explanations of failed connections: name resolution, closed ports, missing routes, local addresses, timeouts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import httpx

from seic._httpx import either


def explain_connect_error(error: Exception, request: httpx.Request, local_address: str | None) -> str | None:
    """Explain a connection that could not be opened, from the error's chain of causes.

    Args:
        error: The error of the call.
        request: The request of the call.
        local_address: The local address of connections, if one is set.

    Returns:
        The cause and the remedy; None if the error itself says everything that is known.
    """
    if isinstance(error, either("ConnectTimeout")):
        seconds = request.extensions.get("timeout", {}).get("connect")
        limit = "in time" if seconds is None else f"within {seconds:.3g} s"
        return (
            f"no answer {limit}, to the connection or to its TLS handshake; check host and port, whether "
            "this machine's address is on the server's allow-list, and whether a proxy is needed (HTTPS_PROXY)"
        )
    causes = [*_causes(error)]
    codes = {cause.errno for cause in causes if isinstance(cause, OSError)}
    # A host with several addresses fails once for each; the attempt that got furthest is the most informative.
    return _by_code(codes, local_address) or _by_address(causes, local_address)


def _by_code(codes: set[int | None], local_address: str | None) -> str | None:
    if local_address is not None and errno.EADDRNOTAVAIL in codes:
        return f"local_address {local_address} is not an address of this machine; correct or remove it"
    if errno.ECONNREFUSED in codes:
        return (
            "the connection was refused: nothing listens on that port, or a firewall rejects it; check "
            "host and port, and the server's allow-list"
        )
    if not {errno.ENETUNREACH, errno.EHOSTUNREACH}.isdisjoint(codes):
        return (
            "no route to the host; check this machine's network and firewall, and whether a proxy is needed "
            "(HTTPS_PROXY)"
        )
    return None


def _by_address(causes: list[BaseException], local_address: str | None) -> str | None:
    if local_address is not None and any(map(_is_of_another_kind, causes)):
        return (
            f"local_address {local_address} and the host's addresses are of different families (IPv4, IPv6); set one "
            "of the same family or remove it"
        )
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            kind = "" if local_address is None else f", or not to the address family of local_address {local_address}"
            return (
                f"the host name does not resolve ({cause.strerror}){kind}; check its spelling and this machine's "
                "DNS; if only a proxy resolves names, set HTTPS_PROXY"
            )
    return None


def _is_of_another_kind(cause: BaseException) -> bool:
    # Python's sockets raise an error code that not every system has; anyio has a message only.
    if isinstance(cause, socket.gaierror):
        return cause.errno == getattr(socket, "EAI_ADDRFAMILY", None)
    return "no matching local address" in str(cause)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    links = [error]
    while links:
        link = links.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            links.extend(link.exceptions)
        links.extend(one for one in (link.__cause__ or link.__context__,) if one is not None)
