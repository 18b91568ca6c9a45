"""A look at what may have to be called for first, and may hang: one at a time, however many ask."""

from __future__ import annotations

from collections.abc import Callable

from seic._concurrency import SharedFuture, start_thread
from seic._tls.certificate import ClientCertificate


class CertificateProbe:
    """Looks at a certificate, which a callback may have to give.

    Args:
        get: What gives it; it may block.
    """

    def __init__(self, get: Callable[[], ClientCertificate | None]) -> None:
        self._get = get
        self._look: SharedFuture[ClientCertificate | None] | None = None

    def begin(self) -> None:
        """Look, in a thread, unless a look is under way."""
        if self._look is None or self._look.done():
            self._look = start_thread(self._get)

    async def end(self, seconds: float) -> ClientCertificate | None:
        """Return what the look that began last saw.

        Raises:
            TimeoutError: It goes on after so many seconds, or none has begun.
            CertificateError: There is none that works.
        """
        if self._look is None or not await self._look.wait(seconds):
            raise TimeoutError
        return self._look.result()
