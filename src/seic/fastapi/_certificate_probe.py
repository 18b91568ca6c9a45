"""A look at what may have to be called for first, and may hang: one at a time, however many ask."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable

from seic._runtime import Latch, start_thread
from seic._tls.certificate import ClientCertificate


class CertificateProbe:
    """Looks at a certificate, which a callback may have to give.

    Args:
        get: What gives it; it may block.
    """

    def __init__(self, get: Callable[[], ClientCertificate | None]) -> None:
        self._get = get
        self._ended: Latch | None = None
        self._outcome: concurrent.futures.Future[ClientCertificate | None]

    def begin(self) -> None:
        """CertificateProbe, in a thread, unless somebody does so already."""
        if self._ended is not None and not self._ended.is_set():
            return
        ended = Latch()
        outcome: concurrent.futures.Future[ClientCertificate | None] = concurrent.futures.Future()
        self._ended, self._outcome = ended, outcome

        def look() -> None:
            try:
                outcome.set_result(self._get())
            except BaseException as error:  # noqa: BLE001 - it is whose who asks
                outcome.set_exception(error)

        start_thread(look, ended=ended.set)

    async def end(self, seconds: float) -> ClientCertificate | None:
        """Return what the look that began last saw.

        Raises:
            TimeoutError: It goes on after so many seconds, or none has begun.
            CertificateError: There is none that works.
        """
        if self._ended is None:
            raise TimeoutError
        ended, outcome = self._ended, self._outcome
        if not await ended.wait_async(seconds):
            raise TimeoutError
        return outcome.result()
