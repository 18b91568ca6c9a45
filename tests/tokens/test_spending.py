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


def test_what_the_provider_hands_out_is_good() -> None:
    """Expect a secret that comes anew from the provider to be unspent, whatever was known of it."""
    spendings = Spendings()
    spendings.begin("r")[0].end(Fate.SPENT)
    spendings.issued("r")
    spendings.issued("never seen")
    assert spendings.fate("r") is Fate.UNSPENT


def test_old_endings_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect memory to be bounded, the oldest going first."""
    monkeypatch.setattr("seic._tokens.spending._REMEMBERED", 3)
    spendings = Spendings()
    for number in range(4):
        spendings.begin(str(number))[0].end(Fate.SPENT)
    assert [spendings.fate(str(number)) for number in range(4)] == [Fate.UNSPENT, *[Fate.SPENT] * 3]


def test_one_client_has_the_same_spendings_everywhere() -> None:
    """Expect the client alone to count, and nothing to be forgotten with those who asked."""
    spendings_of("client-1").begin("r")[0].end(Fate.SPENT)
    gc.collect()
    assert spendings_of("client-1").fate("r") is Fate.SPENT
    assert spendings_of("client-2").fate("r") is Fate.UNSPENT


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
