"""The last use of a token and DPoP nonces are shared by processes; each is a client with a store of its own here."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import seic
from seic.testing import MockClocks, MockProvider
from tests._support.mocks import dpop_mock, gateway_mock

KEY = "the key of all processes, 32 letters"
MINUTE = 60.0
#: The idle lifetime of SEI's gateway ends within it.
HALF_AN_HOUR = 30


class CountingStore(seic.FileStore):
    """A store that is called in place, so that a test's clock moves between calls only.

    Attributes:
        saves: The number of saves.
        loaded: The keys that were loaded.
    """

    blocking = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, key=KEY)
        self.saves = 0
        self.loaded: set[str] = set()

    def load(self, key: str) -> seic.Token | None:
        """Load a token."""
        self.loaded.add(key)
        return super().load(key)

    def save(self, key: str, token: seic.Token) -> None:
        """Save a token."""
        self.saves += 1
        super().save(key, token)


class Process:
    """One client of a folder of tokens."""

    def __init__(self, server: MockProvider, folder: Path, clocks: MockClocks, **settings: Any) -> None:
        self.store = CountingStore(folder)
        config = server.config(store=self.store, **settings)
        self.client = seic.AsyncClient(config, transport=server, clock=clocks.clock)

    async def call(self) -> httpx.Response:
        """Make a call."""
        reply = await self.client.get("/api")
        assert reply.is_success
        return reply


@pytest.fixture
def clocks() -> MockClocks:
    """Return the clocks of all processes."""
    return MockClocks(wall=time.time())


@pytest.fixture
def gateway() -> MockProvider:
    """Return a gateway whose tokens end half an hour after their last use, or after a day."""
    return gateway_mock(expires_in=86_400)


async def test_a_token_that_another_process_uses_is_not_idle(
    gateway: MockProvider, tmp_path: Path, clocks: MockClocks
) -> None:
    """Neither for a process that has it, nor for one that starts later."""
    one, other = Process(gateway, tmp_path, clocks), Process(gateway, tmp_path, clocks)
    await one.call()
    await other.call()
    for _ in range(2 * HALF_AN_HOUR):
        clocks.advance(MINUTE)
        await one.call()
    await other.call()
    await Process(gateway, tmp_path, clocks).call()

    assert gateway.issued_tokens == 1


async def test_a_token_that_no_process_uses_is_idle(gateway: MockProvider, tmp_path: Path, clocks: MockClocks) -> None:
    """The last use is shared, not the belief that it is in use."""
    one, other = Process(gateway, tmp_path, clocks), Process(gateway, tmp_path, clocks)
    for _ in range(10):
        await one.call()
        clocks.advance(MINUTE)
    clocks.advance(HALF_AN_HOUR * MINUTE)
    await other.call()
    await one.call()

    assert gateway.issued_tokens == 2


async def test_jobs_that_start_now_and_then_keep_a_token_in_use(
    gateway: MockProvider, tmp_path: Path, clocks: MockClocks
) -> None:
    """Each ends before it compares its token with the stored one, and saves its use when it is closed."""
    for _ in range(12):
        job = Process(gateway, tmp_path, clocks)
        await job.call()
        await job.client.aclose()
        clocks.advance(10 * MINUTE)

    assert gateway.issued_tokens == 1


def test_a_blocking_job_saves_its_use(gateway: MockProvider, tmp_path: Path, clocks: MockClocks) -> None:
    """As an async one does."""
    for _ in range(6):
        config = gateway.config(store=seic.FileStore(tmp_path, key=KEY))
        with seic.Client(config, transport=gateway, clock=clocks.clock) as client:
            assert client.get("/api").is_success
        clocks.advance(10 * MINUTE)

    assert gateway.issued_tokens == 1


async def test_a_use_is_written_once_a_minute_at_most(
    gateway: MockProvider, tmp_path: Path, clocks: MockClocks
) -> None:
    """A call every second; the first save is the token's."""
    process = Process(gateway, tmp_path, clocks)
    for _ in range(20 * 60):
        await process.call()
        clocks.advance(1)
    await process.client.aclose()

    assert 10 <= process.store.saves <= 21


async def test_a_provider_without_idle_lifetime_costs_no_save(
    gateway: MockProvider, tmp_path: Path, clocks: MockClocks
) -> None:
    """Nothing is written or read that nobody needs: the token, and its refusal, are the only entries."""
    process = Process(gateway, tmp_path, clocks, provider=attrs.evolve(seic.SEI_GATEWAY, idle_lifetime=None))
    for _ in range(20):
        await process.call()
        clocks.advance(MINUTE)
    await process.client.aclose()

    assert process.store.saves == 1
    assert len(process.store.loaded) == 2


async def test_the_first_use_of_a_token_is_not_written(
    gateway: MockProvider, tmp_path: Path, clocks: MockClocks
) -> None:
    """Its request counts as a use for all."""
    process = Process(gateway, tmp_path, clocks)
    for _ in range(2):
        await process.call()
        clocks.advance(10)
    await process.client.aclose()

    assert process.store.saves == 1


class _Forging(seic.MemoryStore):
    """A store in which anyone has written anything next to the token."""

    def __init__(self, extra: dict[str, Any]) -> None:
        super().__init__()
        self.forged = extra
        self.token_key = ""

    def load(self, key: str) -> seic.Token | None:
        is_token = key == self.token_key
        return super().load(key) if is_token else seic.Token(access_token="state", extra=self.forged)

    def claim(self, key: str, seconds: float) -> bool:
        return True

    def release(self, key: str) -> None:
        pass


@pytest.mark.parametrize(
    "extra",
    [
        {"token": 1, "used_at": "now", "nonces": []},
        {"used_at": float("inf"), "nonces": {"api https://idp.example": "a\r\nb", "x": None, "token": 3}},
        {"nonces": {"api https://idp.example": "n" * 10_000}, "used_at": 10**400},
    ],
)
async def test_a_forged_entry_is_ignored(extra: dict[str, Any]) -> None:
    """No value of it reaches a header or a deadline."""
    provider = dpop_mock()
    store = _Forging(extra)
    config = provider.config(store=store)
    store.token_key = config.store_key(None)
    async with seic.AsyncClient(config, transport=provider) as client:
        assert (await client.get("/api")).is_success

    assert [proof.get("nonce") for proof in provider.dpop_proofs] == [None, None]


async def test_a_forged_use_makes_no_token_immortal(gateway: MockProvider, clocks: MockClocks) -> None:
    """A use in the future, as of a clock that is ahead, counts as one of now."""
    digest = hashlib.sha256(b"token-1").hexdigest()
    store = _Forging({"token": digest, "used_at": 1e300})
    config = gateway.config(store=store)
    store.token_key = config.store_key(None)
    async with seic.AsyncClient(config, transport=gateway, clock=clocks.clock) as client:
        for minutes in (0, HALF_AN_HOUR, HALF_AN_HOUR):
            clocks.advance(minutes * MINUTE)
            await client.token()
        assert gateway.issued_tokens == 1
        store.forged = {"token": digest, "used_at": clocks.wall - HALF_AN_HOUR * MINUTE}
        clocks.advance(HALF_AN_HOUR * MINUTE)
        await client.token()

    assert gateway.issued_tokens == 2


async def test_a_process_starts_with_the_nonces_of_others(tmp_path: Path, clocks: MockClocks) -> None:
    """Its first request of the API, and its first token request, are sent once (RFC 9449 §8)."""
    provider, dpop_key = dpop_mock(), tmp_path / "key.pem"
    dpop_key.write_text(_new_key())
    provider.require_nonce("/oauth/v2/token", "nonce-1")
    provider.require_nonce("/api", "nonce-2")
    first = Process(provider, tmp_path / "store", clocks, dpop=seic.DPoP(key=dpop_key))
    await first.call()
    await first.client.aclose()
    assert provider.nonce_challenges == 2

    for _ in range(3):
        later = Process(provider, tmp_path / "store", clocks, dpop=seic.DPoP(key=dpop_key))
        await later.call()
        await later.client.token(force=True)
        await later.client.aclose()
    assert provider.nonce_challenges == 2

    # A nonce that the server no longer takes costs one more request, as without the entry.
    provider.require_nonce("/api", "nonce-3")
    later = Process(provider, tmp_path / "store", clocks, dpop=seic.DPoP(key=dpop_key))
    await later.call()
    assert provider.nonce_challenges == 3


def _new_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
