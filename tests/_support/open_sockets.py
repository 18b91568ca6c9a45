"""Counts the connections that this process has open."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

_DESCRIPTORS = Path("/proc/self/fd")


def open_sockets(port: int) -> int:
    """Count the sockets of this process that are connected to a port of this machine."""
    if not _DESCRIPTORS.is_dir():
        pytest.skip("sockets are counted by Linux's /proc")
    count = 0
    for descriptor in _DESCRIPTORS.iterdir():
        # Some are no sockets, or not connected.
        with contextlib.suppress(OSError):
            found = socket.socket(fileno=int(descriptor.name))
            try:
                count += found.family == socket.AF_INET and found.getpeername()[1] == port
            finally:
                found.detach()
    return count
