"""Refused connections of one transport: the looks for another certificate are shared."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import cast

import seic
from seic._credential import Credential
from seic._identity import Identity
from seic._network.error_translator import ErrorTranslator
from seic._network.identity_transport import AsyncIdentityTransport


class SlowIdentity:
    """Replaces an identity: a check takes until the test releases it, and is counted."""

    def __init__(self) -> None:
        self.generation = 1
        self.looks = 0
        self.go_on = threading.Event()

    def replace_refused(self, credential: Credential, refusal: seic.CertificateError) -> bool:
        """Check, and report a new certificate."""
        self.looks += 1
        assert self.go_on.wait(10)
        self.generation = 2
        return credential.generation != self.generation


async def test_all_who_are_refused_at_once_share_a_look() -> None:
    """Otherwise each would occupy a thread while a source hangs; the first caller can be cancelled."""
    identity = SlowIdentity()
    before, after = (cast("Credential", SimpleNamespace(generation=number)) for number in (1, 2))
    network = AsyncIdentityTransport(cast("Identity", identity), cast("ErrorTranslator", None))
    refusal = seic.CertificateError("refused")
    looking = [asyncio.create_task(network._has_other(before, refusal)) for _ in range(50)]
    await asyncio.sleep(0)
    looking[0].cancel()
    identity.go_on.set()
    found = await asyncio.gather(*looking, return_exceptions=True)

    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [True] * 49
    assert identity.looks == 1
    assert await network._has_other(after, refusal) is False
    assert identity.looks == 2
