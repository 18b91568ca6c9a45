"""The SEI platform of the testing kit, and what its applications have: a clock, and a database of tokens."""

from __future__ import annotations

import time
from typing import Any

import attrs
import httpx

import seic
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.stores import DatabaseStore

CALLBACK = "https://app.example/login/callback"


class PlatformMock(MockProvider):
    """The platform, whose tokens are `access-1`, `refresh-1` and so on; its API names the user.

    Args:
        changes: Changes of the provider.

    Attributes:
        now: Its clock, in seconds.
        clock: The clock of its applications.
        database: The tokens of its applications, whatever process stores them.
        store: The store of its configurations; None is one over `database` for each.
    """

    def __init__(self, **changes: Any) -> None:
        super().__init__(
            provider=attrs.evolve(seic.SEI_PLATFORM, **{"revocation_url": "/v2/oauth/revoke", **changes}),
            expires_in=3599,
            create_token=lambda kind, number: f"{kind}-{number}",
            clock=seic.Clock(monotonic=lambda: self.now),
            client_id="app-1",
            client_secret="secret-1",
        )
        self.token_members |= {"token_type": "BearerToken", "refresh_token_expires_in": 2591999}
        self.now = 0.0
        self.clock = FakeClock(wall=time.time())
        self.database: dict[str, seic.Token] = {}
        self.store: seic.TokenStore | None = None
        self.add_callback(self._name_user, times=None)

    def config(self, **changes: Any) -> seic.Config:
        """Return a configuration of an application with logins."""
        from seic.fastapi import UserLogin

        store = self.store or DatabaseStore(self.database)
        return super().config(**{"grant": UserLogin(), "store": store, **changes})

    def _name_user(self, request: Any) -> httpx.Response:
        return httpx.Response(200, json={"email": self.username_of(request), "path": request.url.path})
