"""What a source knows, with chance at its worst and short names for what tests do."""

from __future__ import annotations

from seic import SeicError, Token, TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.flight import Flight
from seic._tokens.held import Held, Windows
from seic._tokens.state import Serve, TokenState, Wait
from tests._support.clocks import FakeClock

DOWN = TokenEndpointUnavailable("down")
REFUSED = TokenRequestRefused("no", status=401)


class State(TokenState):
    """A state with chance at its worst, and short names for what tests do."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock.clock, chance=lambda: 0.999, depart=self._new)
        self.fake = clock

    @staticmethod
    def _new(*, ahead: bool, force: bool) -> Flight:
        return Flight(host="idp.example", ahead=ahead, force=force, patience=10)

    def hold(self, name: str = "old") -> Held:
        """Return a token of an hour, as of now."""
        return Held(
            Token(access_token=name, expires_in=3600), now=self.fake.now, wall=self.fake.wall, windows=Windows()
        )

    def land(self, held: Held, *, ahead: bool = False) -> Held:
        """Put a token in hand."""
        flight = self.start(ahead=ahead)
        assert self.landed(flight, held) is not None
        flight.land(held, stored=False)
        return held

    def start(self, *, ahead: bool = False) -> Flight:
        """Begin a fetch."""
        self._flight = self._new(ahead=ahead, force=False)
        return self._flight

    def fail(self, flight: Flight, error: SeicError = DOWN) -> None:
        """End a fetch with an error."""
        assert self.failed(flight, error) is not None
        flight.fail(error)

    def wait(self, *, after: int = 0) -> Wait:
        """Decide, and have it be to wait."""
        decision = self.decide(after=after)
        assert isinstance(decision, Wait)
        return decision

    def serve(self) -> Serve:
        """Decide, and have it be to go on."""
        decision = self.decide()
        assert isinstance(decision, Serve)
        return decision
