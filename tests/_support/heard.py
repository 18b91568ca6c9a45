"""A listener that keeps what it heard, and a client whose token is about to be renewed."""

from __future__ import annotations

import dataclasses
import math

import seic
from seic.events import Event, TokenRefreshStarted
from seic.testing import Events

HOST = "api.example"


class Heard(Events):
    """A listener that keeps what it heard; durations are set to 0, since they differ from run to run."""

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        fields = {field.name for field in dataclasses.fields(type(event))}
        super().__call__(dataclasses.replace(event, took=0.0) if "took" in fields else event)  # type: ignore[call-arg]

    @property
    def fetch(self) -> int:
        """The number of the first fetch."""
        return self.of(TokenRefreshStarted)[0].refresh_id


def enter_advisory_window(client: seic.AsyncClient) -> None:
    """Bring the client's token to where it is renewed ahead."""
    client._oauth._cache.token.renew_at = -math.inf
    client._oauth._cache._failures.retry_valid_at = -math.inf
