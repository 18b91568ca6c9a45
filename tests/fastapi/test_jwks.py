from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from seic._oauth.json_body import DefectiveDocument
from seic.fastapi._jwks import JWKSCache, JWKSUnavailable, read_key_set
from tests._support.issuer import JWKS_URL, Issuer

HOUR = 3600.0


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def issuer() -> Issuer:
    """An issuer with an EC key, which is made at once."""
    issuer = Issuer.__new__(Issuer)
    issuer.published = []
    issuer.fetches, issuer.reply, issuer.gate, issuer.arrived = 0, None, None, asyncio.Event()
    issuer.rotate("key-1")
    return issuer


def cache_of(issuer: Issuer, clock: Clock) -> JWKSCache:
    """Return a cache of the issuer's keys that pauses for 30 s."""
    return JWKSCache(JWKS_URL, transport=issuer.transport, lifetime=HOUR, pause=30.0, monotonic=clock)


async def settle() -> None:
    """Let a fetch in the background end."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


async def test_the_keys_are_fetched_once(issuer: Issuer, clock: Clock) -> None:
    """However many ask at once, and whoever asks later."""
    cache = cache_of(issuer, clock)

    found = await asyncio.gather(*(cache.find("key-1", "ES256") for _ in range(200)))
    again = await cache.find("key-1", "ES256")

    assert {key.kid for key in found if key} == {"key-1"}
    assert again is found[0]
    assert issuer.fetches == 1


async def test_a_new_key_is_found_at_once(issuer: Issuer, clock: Clock) -> None:
    """An issuer rotates without telling; the first token with the new key fetches it, and the old key goes on."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    clock.now += 31
    issuer.rotate("key-2")

    assert await cache.find("key-2", "ES256") is not None
    assert await cache.find("key-1", "ES256") is not None
    assert issuer.fetches == 2


async def test_a_withdrawn_key_is_gone_after_the_lifetime(issuer: Issuer, clock: Clock) -> None:
    """It serves until the set is fetched again, at most an hour and one request."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    issuer.rotate("key-2", keep=False)
    clock.now += HOUR
    assert await cache.find("key-1", "ES256") is not None
    await settle()

    assert await cache.find("key-1", "ES256") is None


async def test_unknown_keys_cause_no_storm(issuer: Issuer, clock: Clock) -> None:
    """Tokens with invented kids cost the issuer one fetch a pause, and good tokens nothing."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    clock.now += 31

    invented = [cache.find(f"invented-{number}", "ES256") for number in range(500)]
    assert set(await asyncio.gather(*invented)) == {None}
    assert issuer.fetches == 2
    for number in range(100):
        clock.now += 0.29
        await cache.find(f"later-{number}", "ES256")
    assert issuer.fetches == 2
    clock.now += 1.01
    await cache.find("after-the-pause", "ES256")
    assert issuer.fetches == 3
    assert await cache.find("key-1", "ES256") is not None


@pytest.mark.parametrize("rotates_after", [0.0, 1.0, 29.0], ids=["at once", "a second later", "before the next fetch"])
async def test_invented_kids_keep_no_new_key_out_for_longer_than_a_pause(
    rotates_after: float, issuer: Issuer, clock: Clock
) -> None:
    """A stream of them uses up each fetch, and that very fetch brings the new key."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    await cache.find("invented", "ES256")
    clock.now += rotates_after
    issuer.rotate("key-2")
    rotated_at, fetched = clock.now, issuer.fetches

    while await cache.find("key-2", "ES256") is None:
        clock.now += 0.5
        await cache.find(f"invented-{clock.now}", "ES256")

    assert clock.now - rotated_at <= 30.0
    assert issuer.fetches == fetched + 1


async def test_the_fetch_of_a_new_key_waits_for_no_other_kind(issuer: Issuer, clock: Clock) -> None:
    """The first fetch, or one because an hour is over, holds no rotation up that comes right after."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    issuer.rotate("key-2")
    assert await cache.find("key-2", "ES256") is not None

    clock.now += HOUR
    await cache.find("key-2", "ES256")
    await settle()
    issuer.rotate("key-3")
    assert await cache.find("key-3", "ES256") is not None
    assert issuer.fetches == 4


async def test_invented_kids_do_not_hold_up_the_renewal_of_old_keys(issuer: Issuer, clock: Clock) -> None:
    """Each kind of fetch has a pause of its own."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    clock.now += HOUR - 1
    issuer.reply = httpx.Response(503)
    assert await cache.find("invented", "ES256") is None
    issuer.reply = None
    issuer.rotate("key-2", keep=False)
    clock.now += 1
    await cache.find("key-1", "ES256")
    await settle()

    assert await cache.find("key-1", "ES256") is None


async def test_old_keys_are_renewed_while_they_serve(issuer: Issuer, clock: Clock) -> None:
    """Nobody waits for the issuer because an hour is over."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    clock.now += HOUR
    issuer.gate = asyncio.Event()
    issuer.arrived.clear()

    assert await cache.find("key-1", "ES256") is not None
    await issuer.arrived.wait()
    assert await cache.find("key-1", "ES256") is not None
    issuer.gate.set()
    await settle()

    assert issuer.fetches == 2


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(httpx.ConnectError("refused"), id="no connection"),
        pytest.param(httpx.Response(500), id="500"),
        pytest.param(httpx.Response(302, headers={"Location": "https://evil.example/"}), id="a redirect"),
        pytest.param(httpx.Response(200, text="<html>"), id="HTML"),
        pytest.param(httpx.Response(200, json={"keys": "none"}), id="no list"),
        pytest.param(httpx.Response(200, json=[]), id="no object"),
        pytest.param(httpx.Response(200, json={"keys": []}), id="no key"),
        pytest.param(httpx.Response(200, json={"keys": [{"kty": "oct", "k": "AAAA"}]}), id="no usable key"),
        pytest.param(httpx.Response(200, content=b" " * 2_000_000), id="2 MB"),
    ],
)
async def test_an_issuer_in_trouble_leaves_the_old_keys_in_service(
    reply: httpx.Response | Exception, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """For a day, with a try each pause; then they are too old to be believed."""
    cache = cache_of(issuer, clock)
    await cache.find("key-1", "ES256")
    issuer.reply = reply
    clock.now += HOUR

    for _ in range(50):
        assert await cache.find("key-1", "ES256") is not None
        await settle()
    assert issuer.fetches == 2
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "the old keys go on serving" in record.getMessage()

    clock.now += 23 * HOUR
    with pytest.raises(JWKSUnavailable) as caught:
        await cache.find("key-1", "ES256")
    assert 0 < caught.value.retry_after <= 30
    issuer.reply = None
    clock.now += 30
    assert await cache.find("key-1", "ES256") is not None


async def test_an_issuer_that_is_down_from_the_start_is_not_hammered(issuer: Issuer, clock: Clock) -> None:
    """One fetch for all who wait, then none until the pause is over; each asker is told how long that is."""
    cache = cache_of(issuer, clock)
    issuer.reply = httpx.Response(503)

    results = await asyncio.gather(*(cache.find("key-1", "ES256") for _ in range(100)), return_exceptions=True)
    assert {type(result) for result in results} == {JWKSUnavailable}
    clock.now += 29
    with pytest.raises(JWKSUnavailable) as caught:
        await cache.find("key-1", "ES256")
    assert caught.value.retry_after == 1
    assert issuer.fetches == 1


async def test_a_cancelled_request_does_not_end_the_fetch_of_others(issuer: Issuer, clock: Clock) -> None:
    """Whoever came first may hang up."""
    cache = cache_of(issuer, clock)
    issuer.gate = asyncio.Event()
    first = asyncio.create_task(cache.find("key-1", "ES256"))
    await issuer.arrived.wait()
    second = asyncio.create_task(cache.find("key-1", "ES256"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    issuer.gate.set()

    assert await second is not None
    assert issuer.fetches == 1


def test_a_fetch_whose_loop_died_is_begun_anew(issuer: Issuer, clock: Clock) -> None:
    """A test client, or a reloading server, closes its loop in the middle."""
    cache = cache_of(issuer, clock)

    async def give_up() -> None:
        issuer.gate = asyncio.Event()
        task = asyncio.create_task(cache.find("key-1", "ES256"))
        await issuer.arrived.wait()
        task.cancel()

    asyncio.run(give_up())
    issuer.gate, issuer.arrived = None, asyncio.Event()
    clock.now += 31

    assert asyncio.run(cache.find("key-1", "ES256")) is not None


def key_set(*keys: dict[str, Any]) -> bytes:
    """Return a key set as it is sent."""
    return httpx.Response(200, json={"keys": list(keys)}).content


def _public(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **members}


_EC = ECKey.generate_key("P-256", {"kid": "ec"})


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(_public(_EC, use="enc"), id="for encryption"),
        pytest.param(_public(_EC, kty="AKP"), id="of an unknown kind"),
        pytest.param(_public(_EC, kty=1), id="of no kind"),
        pytest.param(_public(_EC, kid=7), id="kid a number"),
        pytest.param(_public(_EC, alg=["ES256"]), id="alg a list"),
        pytest.param(_public(_EC, x="AA"), id="not on its curve"),
        pytest.param(_public(_EC, crv="P-0"), id="on no curve"),
        pytest.param({"kty": "EC", "kid": "ec"}, id="without its numbers"),
        pytest.param({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}, id="RSA of 24 bits"),
        pytest.param({"kty": "RSA", "kid": "r", "n": "A" * 342 + "B", "e": "AQAB"}, id="RSA of zeroes"),
        pytest.param({"kty": "RSA", "kid": "r", "n": "é", "e": "AQAB"}, id="RSA of no Base64"),
        pytest.param({**OctKey.generate_key(256).as_dict(), "kid": "o"}, id="a shared secret"),
        pytest.param("key", id="no object"),
    ],
)
def test_an_unusable_key_is_passed_over(entry: Any) -> None:
    """The others of the set go on to be used (RFC 7517 §5)."""
    other = ECKey.generate_key("P-256", {"kid": "other"})

    assert [key.kid for key in read_key_set(key_set(entry, _public(other)))] == ["other"]


def test_a_published_private_key_is_not_taken_over() -> None:
    """An issuer that leaks it must not make every service a place where it lies."""
    (key,) = read_key_set(key_set(_EC.as_dict(private=True)))

    assert not key.key.is_private


def test_a_set_of_a_thousand_keys_is_cut_short() -> None:
    """No issuer has that many, and each takes time to import."""
    keys = read_key_set(key_set(*([_public(_EC)] * 1000)))

    assert len(keys) == 100


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": null}', b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}']
)
def test_what_has_no_key_for_us_is_an_error(body: bytes) -> None:
    """Rather than a set without keys, which would refuse everybody."""
    with pytest.raises(DefectiveDocument):
        read_key_set(body)


_KEYS = {
    "RSA": RSAKey.generate_key(2048),
    "P-256": _EC,
    "P-384": ECKey.generate_key("P-384"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}
_ALGORITHMS = {
    "RS256": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "Ed25519": "Ed25519",
    "EdDSA": "Ed25519",
    "HS256": None,
    "none": None,
}


@pytest.mark.parametrize(("name", "algorithm"), list(itertools.product(_KEYS, _ALGORITHMS)))
def test_a_key_signs_with_the_algorithms_of_its_kind_alone(name: str, algorithm: str) -> None:
    """Whatever a token's header says (RFC 8725 §3.1)."""
    (key,) = read_key_set(key_set(_public(_KEYS[name])))

    assert key.fits(algorithm) is (_ALGORITHMS[algorithm] == name)


@pytest.mark.parametrize(("algorithm", "fits"), [("RS256", True), ("PS256", False)])
def test_a_key_that_names_its_algorithm_signs_with_that_one_alone(algorithm: str, fits: bool) -> None:
    """The issuer said so (RFC 7517 §4.4)."""
    (key,) = read_key_set(key_set(_public(_KEYS["RSA"], alg="RS256")))

    assert key.fits(algorithm) is fits


async def test_without_a_kid_one_key_alone_may_fit(issuer: Issuer, clock: Clock) -> None:
    """With two that could be it, trying both would be guessing."""
    cache = cache_of(issuer, clock)
    assert await cache.find(None, "ES256") is not None
    clock.now += HOUR
    issuer.rotate("key-2")
    await cache.find("key-1", "ES256")
    await settle()

    assert await cache.find(None, "ES256") is None
    assert await cache.find("key-2", "ES256") is not None
