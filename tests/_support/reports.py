"""The report of an error as crash reporters write it."""

from __future__ import annotations

import traceback
from pathlib import Path

_TESTS = str(Path(__file__).parents[1])


def report(error: BaseException) -> str:
    """Return the traceback with the variables of every frame, also of causes and of suppressed contexts.

    Frames of the tests are left out: they hold the secrets.
    """
    return "".join(_without_tests(traceback.TracebackException.from_exception(error, capture_locals=True)).format())


def _without_tests(account: traceback.TracebackException) -> traceback.TracebackException:
    account.stack[:] = [frame for frame in account.stack if not frame.filename.startswith(_TESTS)]
    # `from None` hides the context, but keeps it in memory.
    account.__suppress_context__ = False
    for link in (account.__cause__, account.__context__, *(account.exceptions or ())):
        if link is not None:
            _without_tests(link)
    return account
