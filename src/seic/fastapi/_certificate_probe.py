"""Reads a client certificate for the readiness route: in a thread, because a callback may supply it and block."""

from __future__ import annotations

from collections.abc import Callable

from seic import ClientCertificate
from seic._concurrency import SharedFuture, start_thread


class CertificateProbe:
    """Reads a client certificate in a thread.

    Args:
        get: Returns the certificate; it may block.
    """

    def __init__(self, get: Callable[[], ClientCertificate | None]) -> None:
        self._get = get
        self._reading: SharedFuture[ClientCertificate | None] | None = None

    def start(self) -> None:
        """Read the certificate, unless that is in progress."""
        if self._reading is None or self._reading.done():
            self._reading = start_thread(self._get)

    async def result(self, timeout: float) -> ClientCertificate | None:  # noqa: ASYNC109 - the thread goes on
        """Return the certificate that the last `start` read.

        Raises:
            TimeoutError: It was not read within `timeout` seconds.
            CertificateError: It cannot be used.
        """
        if self._reading is None or not await self._reading.wait(timeout):
            raise TimeoutError
        return self._reading.result()
