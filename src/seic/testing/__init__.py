"""Tests for what users write: `TokenStoreTests` for a token store of your own."""

from __future__ import annotations

from seic._public import publish as _publish
from seic.testing._token_store_tests import TokenStoreTests

__all__ = ["TokenStoreTests"]

_publish(__name__, __all__, globals())
