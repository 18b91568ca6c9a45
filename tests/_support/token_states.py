"""A token cache with chance at its worst and short names for what tests do."""

from __future__ import annotations

from seic import SeicError, Token, TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.cache import Acquired, PendingRefresh, TokenCache
from seic._tokens.refresh_policy import CachedToken, RefreshPolicy
from tests._support.clocks import FakeClock

DOWN = TokenEndpointUnavailable("down")
REFUSED = TokenRequestRefused("no", status=401)


class Cache(TokenCache):
    """A cache with chance at its worst, and short names for what tests do."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(host="idp.example", clock=clock.clock, chance=lambda: 0.999, limit=10)
        self.fake = clock

    def hold(self, name: str = "old", *, refresh_id: int = 0) -> CachedToken:
        """Return a token of an hour, as of now."""
        return CachedToken(
            Token(access_token=name, expires_in=3600),
            now=self.fake.now,
            wall=self.fake.wall,
            policy=RefreshPolicy(),
            refresh_id=refresh_id,
        )

    def put(self, token: CachedToken, *, ahead: bool = False) -> CachedToken:
        """Have a refresh bring a token."""
        self.succeed(self.begin(ahead=ahead), token)
        return token

    def begin(self, *, ahead: bool = False) -> PendingRefresh:
        """Begin a refresh."""
        return self._begin(self.fake.now, ahead=ahead)

    def succeed(self, pending: PendingRefresh, token: CachedToken, *, stored: bool = False) -> None:
        """End a refresh with a token."""
        assert self.settle(pending, token, stored=stored) is not None
        self.finish(pending, token)

    def break_down(self, pending: PendingRefresh, error: SeicError = DOWN) -> None:
        """End a refresh with an error."""
        assert self.fail(pending, error) is not None
        self.finish(pending, error)

    def wait(self, *, after: int = 0) -> tuple[PendingRefresh, bool, float | None]:
        """Acquire, and have it be to wait: for what, whether it is to be started, and how long."""
        acquired = self.acquire(after=after)
        assert acquired.token is None
        assert acquired.pending is not None
        return acquired.pending, acquired.starts, acquired.seconds

    def use(self) -> Acquired:
        """Acquire, and have it be a token."""
        acquired = self.acquire()
        assert acquired.token is not None
        return acquired
