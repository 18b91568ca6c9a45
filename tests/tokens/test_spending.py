"""Who spends what can be spent once only."""

from __future__ import annotations

import gc
import os
import signal

import pytest

from seic._tokens.spending import Fate, Spendings, spendings_of


@pytest.mark.parametrize("fate", Fate)
def test_a_spending_ends_once(fate: Fate) -> None:
    """Expect the first word on how it ended to count, and whoever waits to be woken."""
    spendings = Spendings()
    spending, is_ours = spendings.begin("r")
    assert is_ours
    assert spendings.begin("r") == (spending, False)
    assert spendings.begin("another")[1]
    spending.end(fate)
    spending.end(Fate.SPENT)
    assert spending.ended.is_set()
    assert spendings.fate("r") is fate
    assert spendings.begin("r")[1]


def test_what_was_never_sent() -> None:
    """Expect it to be unspent."""
    assert Spendings().fate("r") is Fate.UNSPENT


def test_an_ending_nobody_told_is_in_doubt() -> None:
    """Expect a fetch that is given up to leave a doubt behind."""
    spendings = Spendings()
    spendings.begin("r")[0].end()
    assert spendings.fate("r") is Fate.IN_DOUBT


def test_old_endings_are_forgotten() -> None:
    """Expect memory to be bounded, the oldest going first."""
    spendings = Spendings()
    for number in range(300):
        spendings.begin(str(number))[0].end(Fate.SPENT)
    assert spendings.fate("0") is Fate.UNSPENT
    assert spendings.fate("299") is Fate.SPENT
    assert len(spendings._fates) <= 256


class Anchor:
    """Something that sources share."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # such a store of a user's has to work


def test_those_who_share_something_share_its_spendings() -> None:
    """Expect identity to count, not equality, and nothing to be kept of what is gone."""
    one, other = Anchor(), Anchor()
    assert spendings_of(one) is spendings_of(one)
    assert spendings_of(one) is not spendings_of(other)
    from seic._tokens import spending

    key = id(other)
    assert key in spending._known
    del other
    gc.collect()
    assert key not in spending._known


def test_what_cannot_be_watched_is_alone() -> None:
    """Expect an object without weak references to share nothing, and no error."""
    assert spendings_of(()) is not spendings_of(())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_does_not_send_what_the_parent_is_sending() -> None:
    """Expect it to be in doubt there, and nobody to wait for the parent's answer."""
    spendings = Spendings()
    spending, _ = spendings.begin("r")
    child = os.fork()
    if child == 0:
        spendings.after_fork()
        is_fine = spendings.fate("r") is Fate.IN_DOUBT and spendings.begin("r")[1]
        os.kill(os.getpid(), signal.SIGKILL if is_fine else signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not spending.ended.is_set()
