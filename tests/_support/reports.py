"""What is written down when something fails: the report of an error as crash reporters make it."""

from __future__ import annotations

import traceback
from pathlib import Path

_TESTS = str(Path(__file__).parents[1])


def report(error: BaseException) -> str:
    """Return the traceback with the variables of every frame, of causes and contexts too, hidden ones included.

    The frames of the tests themselves are left out: a test holds the secrets that it plants.
    """
    return "".join(_without_tests(traceback.TracebackException.from_exception(error, capture_locals=True)).format())


def _without_tests(account: traceback.TracebackException) -> traceback.TracebackException:
    account.stack[:] = [frame for frame in account.stack if not frame.filename.startswith(_TESTS)]
    # What `from None` hides is in memory all the same.
    account.__suppress_context__ = False
    for link in (account.__cause__, account.__context__, *(account.exceptions or ())):
        if link is not None:
            _without_tests(link)
    return account
