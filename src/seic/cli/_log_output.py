"""The log of seic and its warnings on stderr, while a command runs."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from seic.cli._terminal import Terminal

#: By the number of `-v`: the level of the log. Above CRITICAL, nothing is logged: the command reports its own errors.
_LEVELS = (logging.CRITICAL + 1, logging.INFO, logging.DEBUG)


class _TerminalHandler(logging.Handler):
    """Writes records as notes.

    Args:
        terminal: The streams.
    """

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self._terminal.note(self.format(record))


@contextlib.contextmanager
def log_to_stderr(terminal: Terminal, verbosity: int) -> Iterator[None]:
    """Write the log and the warnings of a block to stderr.

    Args:
        terminal: The streams.
        verbosity: 0 for warnings of certificates only, 1 for events, 2 for each step.
    """
    handler = _TerminalHandler(terminal)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("seic")
    level, propagates = logger.level, logger.propagate
    logger.setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
    logger.propagate = False
    logger.addHandler(handler)

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if category.__module__.startswith("seic"):
            terminal.note(f"seic: warning: {message}")
        elif verbosity > 1:
            terminal.note(f"{category.__name__}: {message}")

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
        logger.setLevel(level)
