"""Secrets of a test run, and a search for them, plain or encoded, in all output of the run."""

from __future__ import annotations

import base64
import contextlib
import logging
import pickle
import traceback
from collections.abc import Iterator

from seic.sandbox import IssuedCertificate, Sandbox
from seic.testing._secret_finder import SecretFinder
from tests._support.reports import report

_SHORTEST = 8


class Planted(SecretFinder):
    """Secrets that must not appear anywhere."""

    def add_key(self, pair: IssuedCertificate, pem: bytes) -> None:
        """Add a private key: the lines of its PEM, and the repr of its bytes."""
        for text in (pair.key_pem.decode(), pem.decode()):
            for line in text.splitlines():
                if "-----" not in line and len(line) >= _SHORTEST:
                    self.add_text("a line of the private key", line)
        der = base64.b64decode(b"".join(pair.key_pem.splitlines()[1:-1]))
        for start in range(0, len(der) - 16, 16):
            self.add_text("bytes of the private key", repr(der[start : start + 16])[2:-1])

    def add_sandbox(self, sandbox: Sandbox) -> None:
        """Add the sandbox's credentials, and each token that it will issue."""
        self.add("client secret", sandbox.client_secret)
        self.add("password", sandbox.password)
        basic = base64.b64encode(f"{sandbox.client_id}:{sandbox.client_secret}".encode()).decode()
        self.add("Basic credentials", basic)
        issue = sandbox._registry.issue

        def recorded(*args: object, **options: object) -> object:
            token, lease = issue(*args, **options)  # type: ignore[arg-type]  # as they came
            self.add("access token", token)
            return token, lease

        sandbox._registry.issue = recorded  # type: ignore[assignment,method-assign]  # records each token

    def find_in_error(self, error: BaseException) -> list[str]:
        """Search the message, the full report and the pickle of an error."""
        found = {*self.find(str(error)), *self.find(repr(error)), *self.find(repr(vars(error)))}
        found |= {*self.find("".join(traceback.format_exception(error))), *self.find(report(error))}
        # An error that cannot be pickled leaks nothing this way.
        with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
            found |= {*self.find(pickle.dumps(error))}
        return sorted(found)


class _Everything(logging.Handler):
    """Record all attributes of each log record."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.text: list[str] = []
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.names.add(record.name)
        self.text.append(f"{record.getMessage()} {vars(record)!r}")
        if record.exc_info is not None and record.exc_info[1] is not None:
            self.text.append(report(record.exc_info[1]))


@contextlib.contextmanager
def all_logs() -> Iterator[_Everything]:
    """Record all loggers at all levels."""
    handler = _Everything()
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, root.manager.loggerDict))}
    for logger in levels:
        logger.setLevel(1)
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)
