"""The counters that a user can read."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Stats:
    """A snapshot of counters since the start.

    Args:
        token_requests: Requests sent to the token endpoint, repetitions included.
        token_failures: How many of them ended in an error.
        replays: API calls sent again after a 401 that spoke of the token.
        renewals_ahead: Tokens had while the old one still served.
    """

    token_requests: int = 0
    token_failures: int = 0
    replays: int = 0
    renewals_ahead: int = 0
