"""Reads a client certificate for the readiness route: in a thread, because a callback may supply it and block."""

from __future__ import annotations

from collections.abc import Callable

from seic import ClientCertificate
from seic._concurrency import SharedFuture, SingleFlight, start_thread


class CertificateProbe:
    """Reads a client certificate in a thread, one read at a time.

    Args:
        get: Returns the certificate; it may block.
    """

    def __init__(self, get: Callable[[], ClientCertificate | None]) -> None:
        self._get = get
        self._reads: SingleFlight[SharedFuture[ClientCertificate | None]] = SingleFlight()
        self._last: SharedFuture[ClientCertificate | None] | None = None

    def start(self) -> None:
        """Read the certificate, unless that is in progress."""
        self._last = self._reads.join(lambda: start_thread(self._get))

    async def result(self, seconds: float) -> ClientCertificate | None:
        """Return the certificate that the last `start` read; wait for at most `seconds`.

        Raises:
            TimeoutError: It was not read in time.
            CertificateError: It cannot be used.
        """
        if self._last is None or not await self._last.wait(seconds):
            raise TimeoutError
        return self._last.result()
