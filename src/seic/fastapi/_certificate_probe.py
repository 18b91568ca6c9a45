"""Reads a client certificate for the readiness route: in a thread, because a callback may supply it and block."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable

from seic import ClientCertificate
from seic._runtime import Latch, start_thread


class CertificateProbe:
    """Reads a client certificate in a thread.

    Args:
        get: Returns the certificate; it may block.
    """

    def __init__(self, get: Callable[[], ClientCertificate | None]) -> None:
        self._get = get
        self._done: Latch | None = None
        self._result: concurrent.futures.Future[ClientCertificate | None]

    def start(self) -> None:
        """Read the certificate, unless that is in progress."""
        if self._done is not None and not self._done.is_set():
            return
        done = Latch()
        result: concurrent.futures.Future[ClientCertificate | None] = concurrent.futures.Future()
        self._done, self._result = done, result

        def read() -> None:
            try:
                result.set_result(self._get())
            except BaseException as error:  # noqa: BLE001 - for the caller of `result`
                result.set_exception(error)

        start_thread(read, ended=done.set)

    async def result(self, timeout: float) -> ClientCertificate | None:  # noqa: ASYNC109 - the thread goes on
        """Return the certificate that the last `start` read.

        Raises:
            TimeoutError: It was not read within `timeout` seconds.
            CertificateError: It cannot be used.
        """
        if self._done is None:
            raise TimeoutError
        done, result = self._done, self._result
        if not await done.wait_async(timeout):
            raise TimeoutError
        return result.result()
