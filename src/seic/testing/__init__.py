"""Tests of code that uses seic: a provider in memory, clocks, events; `TokenStoreTests` for a token store of your own.

The fixtures of the pytest plugin return these; see docs/testing.md.
"""

from __future__ import annotations

from seic._public import publish as _publish
from seic.testing._mock_clocks import MockClocks
from seic.testing._mock_provider import MockProvider
from seic.testing._recorded_events import Events
from seic.testing._token_store_tests import TokenStoreTests

__all__ = ["Events", "MockClocks", "MockProvider", "TokenStoreTests"]

_publish(__name__, __all__, globals())
