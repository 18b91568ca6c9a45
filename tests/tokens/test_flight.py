"""A fetch that belongs to nobody."""

from __future__ import annotations

from typing import Any

import pytest

from seic import CertificateError, Token, TokenEndpointUnavailable
from seic._tokens.flight import Flight
from seic._tokens.held import Held, Windows
from tests._support.runner import Runner


def fly(**changes: Any) -> Flight:
    """Return a flight."""
    return Flight(**{"host": "idp.example", "ahead": False, "force": False, "patience": 10, **changes})


def hold() -> Held:
    """Return a token."""
    token = Token(access_token="token", tracking_id="track-1")
    return Held(token, now=0, wall=0, windows=Windows())


def test_flights_have_numbers_of_their_own() -> None:
    """Events tell them apart by it."""
    assert fly().number != fly().number


@pytest.mark.parametrize(("stored", "outcome"), [(False, "acquired"), (True, "stored")])
def test_a_flight_lands(stored: bool, outcome: str) -> None:
    """With a token, from the endpoint or from a store."""
    flight, held = fly(), hold()
    assert not flight.ended
    flight.land(held, stored=stored)
    assert flight.ended
    assert (flight.held, flight.error, flight.outcome, flight.tracking_id) == (held, None, outcome, "track-1")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(TokenEndpointUnavailable("down", tracking_id="track-1"), "unavailable"), (CertificateError("bad"), "failed")],
)
def test_a_flight_fails(error: Any, outcome: str) -> None:
    """With an error."""
    flight = fly()
    flight.fail(error)
    assert flight.ended
    assert (flight.held, flight.error, flight.outcome) == (None, error, outcome)
    assert flight.tracking_id == getattr(error, "tracking_id", None)


def test_an_abandoned_flight_ends_what_runs_it() -> None:
    """Nobody is left who wants what it brings."""
    flight = fly()
    flight.job = runner = Runner()
    flight.abandon()
    assert flight.ended
    assert (flight.held, flight.error, flight.outcome) == (None, None, "abandoned")
    assert runner.cancelled


def test_a_flight_is_stranded_when_its_runner_died_under_it() -> None:
    """Not before it has one, and not once it has ended."""
    flight = fly()
    assert not flight.is_stranded()
    flight.job = Runner(stranded=True)
    assert flight.is_stranded()
    flight.land(hold(), stored=False)
    assert not flight.is_stranded()


def test_a_flight_is_overdue_after_its_patience() -> None:
    """The error names the host and the time."""
    assert fly().overdue() is None
    error = fly(patience=0).overdue()
    assert error is not None
    assert str(error) == "idp.example: the token endpoint gave no answer within 0 s"


async def test_who_waits_in_the_loop_of_the_flight_waits_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere one looks up now and then, for a runner elsewhere can die unseen."""
    monkeypatch.setattr("seic._tokens.flight._LOOK", 0.001)
    flight = fly()
    assert not await flight.wait_async()
    assert not flight.wait()
    assert not await flight.wait_async(0.001)
    flight.job = Runner(here=True)
    flight.land(hold(), stored=False)
    assert await flight.wait_async()
    assert flight.wait()
