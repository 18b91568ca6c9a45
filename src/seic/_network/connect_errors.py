"""Why no connection came about, in words: the name, the port, the route, or an address of ours."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import httpx


def explain_connect_error(error: Exception, request: httpx.Request, local_address: str | None) -> str | None:
    """Explain a connection that never was, by what stands in the error's chain of causes.

    Args:
        error: What the call failed with.
        request: The call.
        local_address: The address that connections leave from, where one is set.

    Returns:
        What is wrong and what to do; None where the error itself says all that is known.
    """
    if isinstance(error, httpx.ConnectTimeout):
        seconds = request.extensions.get("timeout", {}).get("connect")
        limit = "in time" if seconds is None else f"within {seconds:.3g} s"
        return (
            f"there was no answer {limit}, to the connection or to its TLS handshake; check host and port, whether "
            "this machine's address is on the server's allow-list, and whether a proxy is needed (HTTPS_PROXY)"
        )
    causes = [*_causes(error)]
    codes = {cause.errno for cause in causes if isinstance(cause, OSError)}
    # A host of several addresses fails once for each, and what came furthest tells most.
    return _by_code(codes, local_address) or _by_address(causes, local_address)


def _by_code(codes: set[int | None], local_address: str | None) -> str | None:
    if local_address is not None and errno.EADDRNOTAVAIL in codes:
        return f"local_address {local_address} is not an address of this machine; correct it or leave it out"
    if errno.ECONNREFUSED in codes:
        return (
            "the connection was refused: nothing listens on that port, or a firewall turns this machine away; check "
            "host and port, and the server's allow-list"
        )
    if not {errno.ENETUNREACH, errno.EHOSTUNREACH}.isdisjoint(codes):
        return (
            "there is no route to it; check this machine's network and firewall, and whether a proxy is needed "
            "(HTTPS_PROXY)"
        )
    return None


def _by_address(causes: list[BaseException], local_address: str | None) -> str | None:
    if local_address is not None and any(map(_is_of_another_kind, causes)):
        return (
            f"local_address {local_address} is of another kind than the host's addresses (IPv4, IPv6); give one of "
            "theirs or leave it out"
        )
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            kind = "" if local_address is None else f", or to no address of the kind of local_address {local_address}"
            return (
                f"its name does not resolve ({cause.strerror}){kind}; check the host's spelling and this machine's "
                "DNS; where only a proxy resolves names, set HTTPS_PROXY"
            )
    return None


def _is_of_another_kind(cause: BaseException) -> bool:
    # Python's sockets say it by a code that not every system has, anyio in words.
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
