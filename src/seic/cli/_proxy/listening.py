"""The sockets of the proxy: on loopback alone, or a Unix socket that only its owner may use."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path


def parse_loopback(text: str) -> str:
    """Return an address of loopback.

    Raises:
        ValueError: It is another one.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]"))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address; use 127.0.0.1 or ::1") from None
    if not address.is_loopback or getattr(address, "ipv4_mapped", None) is not None:
        raise ValueError(
            f"{text} can be reached from other machines, which would use this machine's token and certificate; "
            "use 127.0.0.1 or ::1"
        )
    return str(address)


def listen_tcp(address: str, port: int) -> socket.socket:
    """Bind a port of loopback.

    Args:
        address: An address of `parse_loopback`.
        port: The port; 0 for any free one.

    Raises:
        OSError: It is not available.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # The port is free again at once after the last run; Windows would share it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, f"port {port} of {address}") from None
    return sock


@contextlib.contextmanager
def listen_unix(path: Path) -> Iterator[socket.socket]:
    """Bind a Unix socket with mode 0600; it is deleted at the end.

    Raises:
        OSError: It cannot be bound, another program listens on it, or there is a file that is not a socket.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with sock:
        # Not chmod afterwards: another user could connect before it.
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        finally:
            os.umask(before)
        try:
            yield sock
        finally:
            path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Delete the socket of a run that was killed."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(17, "there is a file that is not a socket; name another path", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(17, "another program listens on it; name another path", str(path))
