"""State and code challenge."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import ConfigurationError
from seic._oauth.pkce import challenge_of, is_same_state, new_state, new_verifier


def test_the_rfcs_own_example() -> None:
    """Expect the challenge that RFC 7636 Appendix B computes."""
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    ("verifier", "sound"),
    [
        pytest.param("a" * 42, False, id="too short by one"),
        pytest.param("a" * 43, True, id="shortest"),
        pytest.param("-._~" * 32, True, id="longest, every sign"),
        pytest.param("a" * 129, False, id="too long by one"),
        pytest.param("a" * 43 + "\n", False, id="newline at the end"),
        pytest.param("+" * 43, False, id="another sign"),
        pytest.param("ä" * 43, False, id="beyond ASCII"),
    ],
)
def test_what_a_verifier_may_be(verifier: str, sound: bool) -> None:
    """Expect 43 to 128 unreserved characters, and the verifier never to be repeated in the error."""
    if sound:
        assert len(challenge_of(verifier)) == 43
        return
    with pytest.raises(ConfigurationError) as caught:
        challenge_of(verifier)
    assert verifier not in str(caught.value)


def test_new_verifiers_are_sound_and_differ() -> None:
    """Expect each to be taken by the challenge, and no two to be alike."""
    verifiers = {new_verifier() for _ in range(20)}
    assert len(verifiers) == 20
    assert len({challenge_of(verifier) for verifier in verifiers}) == 20


def test_new_states_are_uuids_and_differ() -> None:
    """Expect random UUIDs, as the platform asks for."""
    states = [new_state() for _ in range(20)]
    assert len(set(states)) == 20
    assert all(uuid.UUID(state).version == 4 for state in states)


@pytest.mark.parametrize(
    ("returned", "same"),
    [("abc", True), ("abd", False), ("ab", False), ("abcd", False), ("", False), ("ABC", False), ("äbc", False)],
)
def test_states_are_compared_whole(returned: str, same: bool) -> None:
    """Expect equality and nothing looser."""
    assert is_same_state("abc", returned) is same


@given(st.text(), st.text())
def test_any_two_states_compare(expected: str, returned: str) -> None:
    """Expect no text to be too odd, half of a surrogate pair included."""
    assert is_same_state(expected, returned) is (expected == returned)
    assert is_same_state(expected + "\ud800", expected + "\ud800")
