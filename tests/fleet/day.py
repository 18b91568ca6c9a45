"""A day of many processes in fast-forward: their clocks are one fake clock, and their store is in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from seic import ClientCredentials, MemoryStore, Token
from seic._tokens.single_use import SingleUseMemory
from tests._support.clocks import FakeClock
from tests._support.mocks import refresh_tokens_or_grants, refreshing_mock
from tests._support.sources import granted_source_of

_STEP = 300.0
_DAY = 86_400


class CountingStore(MemoryStore):
    """A store with claims.

    Attributes:
        calls: The number of calls of each operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._claimed: set[str] = set()

    def load(self, key: str) -> Token | None:
        """Return the token of a key."""
        self.calls["load"] += 1
        return super().load(key)

    def save(self, key: str, token: Token) -> None:
        """Save the token of a key."""
        self.calls["save"] += 1
        super().save(key, token)

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key."""
        self.calls["claim"] += 1
        is_free = key not in self._claimed
        self._claimed.add(key)
        return is_free

    def release(self, key: str) -> None:
        """Release a key."""
        self._claimed.discard(key)


class Day(NamedTuple):
    """The cost of a day.

    Attributes:
        requests: Token requests.
        loads: Loads of the store.
        claims: Claims, the refused ones included.
    """

    requests: int
    loads: int
    claims: int


async def live_a_day(count: int, *, hours: int = 24) -> Day:
    """Let so many processes make a call every five minutes, with tokens of an hour."""
    provider, clock, store = refreshing_mock(), FakeClock(), CountingStore()
    provider.refresh_tokens = False
    sources = [
        granted_source_of(provider, ClientCredentials(), clock, store=store, memory=SingleUseMemory())
        for _ in range(count)
    ]
    for _ in range(int(hours * _DAY / 24 / _STEP)):
        await asyncio.gather(*(source.token() for source in sources))
        clock.advance(_STEP)
    for source in sources:
        await source.aclose()
    return Day(len(refresh_tokens_or_grants(provider)), store.calls["load"], store.calls["claim"])
