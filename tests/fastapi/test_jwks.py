"""The key set of an issuer: fetches, pauses, rotation, outages, and the keys that are accepted."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey

from seic.fastapi import BearerTokens
from seic.testing import MockIssuer
from tests._support.bearers import bearer_of, check
from tests._support.clocks import FakeClock
from tests._support.issuer import issuer_of

HOUR = 3600.0
PAUSE = 30.0


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def issuer() -> MockIssuer:
    """An issuer with an EC key."""
    return issuer_of(ECKey.generate_key("P-256", {"kid": "key-1"}))


@pytest.fixture
def bearer(issuer: MockIssuer, clock: FakeClock) -> BearerTokens:
    """A validator of the issuer's tokens."""
    return bearer_of(issuer, lifetime=HOUR, pause=PAUSE, monotonic=clock.clock.monotonic)


def unknown(issuer: MockIssuer, kid: object = "unknown") -> str:
    """Return a token with a key that the issuer does not have."""
    return issuer.token(header={"kid": str(kid)})


async def settle() -> None:
    """Wait for fetches in the background."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


# Fetches


async def test_the_keys_are_fetched_once(issuer: MockIssuer, bearer: BearerTokens) -> None:
    """For all concurrent requests and for later ones."""
    token = issuer.token()

    assert set(await asyncio.gather(*(check(bearer, token) for _ in range(200)))) == {200}
    assert await check(bearer, token) == 200
    assert issuer.key_set_requests == 1


async def test_a_new_key_is_fetched_at_once(issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock) -> None:
    """By the first token that names it; tokens with the old key stay valid."""
    old = issuer.token()
    await check(bearer, old)
    clock.advance(31)
    issuer.rotate("key-2")

    assert await check(bearer, issuer.token()) == 200
    assert await check(bearer, old) == 200
    assert issuer.key_set_requests == 2


async def test_a_withdrawn_key_is_rejected_after_the_lifetime(
    issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """It is accepted until the key set is fetched again."""
    old = issuer.token()
    await check(bearer, old)
    issuer.rotate("key-2", keep=False)
    clock.advance(HOUR)
    assert await check(bearer, old) == 200
    await settle()

    assert await check(bearer, old) == 401


async def test_unknown_keys_cause_one_fetch_per_pause(
    issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """Tokens with invented `kid` do not flood the issuer."""
    good = issuer.token()
    await check(bearer, good)
    clock.advance(31)

    invented = [check(bearer, unknown(issuer, number)) for number in range(500)]
    assert set(await asyncio.gather(*invented)) == {401}
    assert issuer.key_set_requests == 2
    for number in range(100):
        clock.advance(0.29)
        await check(bearer, unknown(issuer, f"later-{number}"))
    assert issuer.key_set_requests == 2
    clock.advance(1.01)
    await check(bearer, unknown(issuer, "after-the-pause"))
    assert issuer.key_set_requests == 3
    assert await check(bearer, good) == 200


@pytest.mark.parametrize("rotates_after", [0.0, 1.0, 29.0], ids=["at once", "a second later", "before the next fetch"])
async def test_unknown_keys_delay_a_new_key_by_a_pause_at_most(
    rotates_after: float, issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """Their fetch brings the new key."""
    await check(bearer, issuer.token())
    await check(bearer, unknown(issuer))
    clock.advance(rotates_after)
    issuer.rotate("key-2")
    rotated_at, fetches = clock.now, issuer.key_set_requests

    while await check(bearer, issuer.token()) != 200:
        clock.advance(0.5)
        await check(bearer, unknown(issuer, clock.now))

    assert clock.now - rotated_at <= PAUSE
    assert issuer.key_set_requests == fetches + 1


async def test_a_new_key_does_not_wait_for_the_pause_of_a_refresh(
    issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """Neither after the first fetch, nor after one because of age."""
    await check(bearer, issuer.token())
    issuer.rotate("key-2")
    assert await check(bearer, issuer.token()) == 200

    clock.advance(HOUR)
    await check(bearer, issuer.token())
    await settle()
    issuer.rotate("key-3")
    assert await check(bearer, issuer.token()) == 200
    assert issuer.key_set_requests == 4


async def test_unknown_keys_do_not_delay_a_refresh(issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock) -> None:
    """Each reason for a fetch has its own pause."""
    old = issuer.token()
    await check(bearer, old)
    clock.advance(HOUR - 1)
    issuer.response = httpx.Response(503)
    assert await check(bearer, unknown(issuer)) == 401
    issuer.response = None
    issuer.rotate("key-2", keep=False)
    clock.advance(1)
    await check(bearer, old)
    await settle()

    assert await check(bearer, old) == 401


async def test_old_keys_are_refreshed_in_the_background(
    issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """No request waits for a refresh because of age."""
    token = issuer.token()
    await check(bearer, token)
    clock.advance(HOUR)
    issuer.hold_keys()

    assert await check(bearer, token) == 200
    assert await issuer.wait_for_key_request()
    assert await check(bearer, token) == 200
    issuer.release_keys()
    await settle()

    assert issuer.key_set_requests == 2


# Outages


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(httpx.ConnectError("refused"), id="no connection"),
        pytest.param(httpx.Response(500), id="500"),
        pytest.param(httpx.Response(302, headers={"Location": "https://evil.example/"}), id="a redirect"),
        pytest.param(httpx.Response(200, content=b""), id="empty"),
        pytest.param(httpx.Response(200, text="<html>"), id="HTML"),
        pytest.param(httpx.Response(200, json={}), id="no keys"),
        pytest.param(httpx.Response(200, json={"keys": None}), id="keys null"),
        pytest.param(httpx.Response(200, json={"keys": {}}), id="keys an object"),
        pytest.param(httpx.Response(200, json=[]), id="a list"),
        pytest.param(httpx.Response(200, json={"keys": []}), id="no key"),
        pytest.param(httpx.Response(200, json={"keys": [{"kty": "oct", "k": "AAAA"}]}), id="no usable key"),
        pytest.param(httpx.Response(200, content=b" " * 2_000_000), id="2 MB"),
    ],
)
async def test_old_keys_are_used_during_an_outage(
    reply: httpx.Response | Exception,
    issuer: MockIssuer,
    bearer: BearerTokens,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a day, with one fetch in each pause; then every token gets a 503 until the issuer is back."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    token = issuer.token()
    await check(bearer, token)
    issuer.response = reply
    clock.advance(HOUR)

    for _ in range(50):
        assert await check(bearer, token) == 200
        await settle()
    # Two attempts, if there was no reply.
    assert issuer.key_set_requests == 1 + (2 if isinstance(reply, Exception) else 1)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "the old keys are used" in record.getMessage()

    clock.advance(23 * HOUR)
    assert await check(bearer, token) == 503
    issuer.response = None
    clock.advance(PAUSE)
    assert await check(bearer, token) == 200


async def test_an_outage_from_the_start_causes_one_fetch_per_pause(
    issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """One fetch for all waiting requests, and none until the pause is over."""
    token = issuer.token()
    issuer.response = httpx.Response(503)

    assert set(await asyncio.gather(*(check(bearer, token) for _ in range(100)))) == {503}
    clock.advance(29)
    assert await check(bearer, token) == 503
    assert issuer.key_set_requests == 1


async def test_a_cancelled_request_does_not_cancel_the_fetch(issuer: MockIssuer, bearer: BearerTokens) -> None:
    """The request that started it may end first; others wait for it."""
    token = issuer.token()
    issuer.hold_keys()
    first = asyncio.create_task(check(bearer, token))
    assert await issuer.wait_for_key_request()
    second = asyncio.create_task(check(bearer, token))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    issuer.release_keys()

    assert await second == 200
    assert issuer.key_set_requests == 1


def test_a_fetch_is_repeated_if_its_loop_has_ended(issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock) -> None:
    """A test client, or a reloading server, ends its loop during a fetch."""
    token = issuer.token()

    async def abandon() -> None:
        issuer.hold_keys()
        task = asyncio.create_task(check(bearer, token))
        assert await issuer.wait_for_key_request()
        task.cancel()

    asyncio.run(abandon())
    issuer.release_keys()
    clock.advance(31)

    assert asyncio.run(check(bearer, token)) == 200


# Keys


def _public(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **members}


_EC = ECKey.generate_key("P-256", {"kid": "ec"})


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(_public(_EC, use="enc"), id="for encryption"),
        pytest.param(_public(_EC, kty="AKP"), id="unknown kty"),
        pytest.param(_public(_EC, kty=1), id="kty a number"),
        pytest.param(_public(_EC, kid=7), id="kid a number"),
        pytest.param(_public(_EC, alg=["ES256"]), id="alg a list"),
        pytest.param(_public(_EC, x="AA"), id="not on its curve"),
        pytest.param(_public(_EC, crv="P-0"), id="unknown curve"),
        pytest.param({"kty": "EC", "kid": "ec"}, id="without coordinates"),
        pytest.param({"kty": "RSA", "kid": "ec", "n": "AQAB", "e": "AQAB"}, id="RSA with 24 bits"),
        pytest.param({"kty": "RSA", "kid": "ec", "n": "_" * 170, "e": "AQAB"}, id="RSA with 1020 bits"),
        pytest.param({"kty": "RSA", "kid": "ec", "n": "A" * 342 + "B", "e": "AQAB"}, id="RSA with leading zeros"),
        pytest.param({"kty": "RSA", "kid": "ec", "n": "é", "e": "AQAB"}, id="RSA without Base64"),
        pytest.param({**OctKey.generate_key(256).as_dict(), "kid": "ec"}, id="a shared secret"),
        pytest.param("key", id="a string"),
    ],
)
async def test_an_unusable_key_is_ignored(entry: Any, issuer: MockIssuer, bearer: BearerTokens) -> None:
    """The other keys of the set are used (RFC 7517 §5)."""
    issuer.published.insert(0, entry)

    assert await check(bearer, issuer.token()) == 200
    assert await check(bearer, issuer.token(key=_EC, header={"kid": "ec"})) == 401


async def test_a_published_private_key_is_not_loaded(issuer: MockIssuer, bearer: BearerTokens) -> None:
    """An issuer's mistake does not put its private key into the memory of every service."""

    def private_keys() -> set[int]:
        return {id(key) for key in gc.get_objects() if isinstance(key, ECKey) and key.is_private}

    issuer.published = [issuer.key.as_dict(private=True)]
    token, before = issuer.token(), private_keys()

    assert await check(bearer, token) == 200
    assert private_keys() <= before


async def test_the_number_of_keys_is_limited(issuer: MockIssuer, clock: FakeClock) -> None:
    """Importing keys takes time; only the first 100 are."""
    (own,) = issuer.published
    others = [_public(_EC, kid=f"key-{number}") for number in range(2, 102)]

    for published, status in (([own, *others], 200), ([*others, own], 401)):
        issuer.published = published
        assert await check(bearer_of(issuer), issuer.token()) == status


async def test_a_token_without_kid_needs_a_single_key(
    issuer: MockIssuer, bearer: BearerTokens, clock: FakeClock
) -> None:
    """With two keys for its algorithm it is rejected."""
    assert await check(bearer, issuer.token(header={"kid": None})) == 200
    clock.advance(HOUR)
    issuer.rotate("key-2")
    await check(bearer, issuer.token())
    await settle()

    assert await check(bearer, issuer.token(header={"kid": None})) == 401
    assert await check(bearer, issuer.token()) == 200
