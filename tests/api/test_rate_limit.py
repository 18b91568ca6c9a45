"""`Config(rate_limit_timeout=...)`: requests wait while the API asks for a pause, in the order of their arrival."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import httpx2
import pytest

import seic
import seic.httpx2
from seic.events import Event, RateLimitEnded, RateLimitStarted
from seic.testing import MockProvider
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE, client_of, gateway_mock

CLIENTS: list[Any] = [seic.AsyncClient, seic.Client, seic.httpx2.AsyncClient, seic.httpx2.Client]
#: A pause that ends while a test runs, and one that does not.
SHORT, LONG = "0.05", "60"


def limit(gateway: MockProvider, retry_after: str | None, *, path: str = "/a", status: int = 429) -> None:
    """Have the next request of a path answered with a demand for a pause."""
    gateway.add_response(status, path=path, headers={} if retry_after is None else {"Retry-After": retry_after})


class HeldGateway(httpx.AsyncBaseTransport):
    """A gateway that holds the API's requests up.

    Attributes:
        gateway: The gateway.
        started: The paths of the requests that have arrived.
        gates: The gate of each.
    """

    def __init__(self) -> None:
        self.gateway = gateway_mock()
        self.started: list[str] = []
        self.gates: dict[str, Gate] = {}
        self._changed = asyncio.Condition()

    def client(self, timeout: float, **options: Any) -> seic.AsyncClient:
        """Return a client."""
        return seic.AsyncClient(self.gateway.config(rate_limit_timeout=timeout), transport=self, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request when its gate is open."""
        path = request.url.path
        if b"grant_type" not in await request.aread():
            gate = self.gates[path] = Gate()
            self.started.append(path)
            async with self._changed:
                self._changed.notify_all()
            assert await gate.wait_async(PATIENCE)
        response: httpx.Response = await self.gateway.handle_async_request(request)
        return response

    async def arrive(self, number: int) -> None:
        """Wait until so many requests have arrived."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: len(self.started) >= number), PATIENCE)

    async def begin(self, client: seic.AsyncClient) -> None:
        """Have one request answered with a demand for a pause of no length."""
        limit(self.gateway, "0", path="/first")
        first = asyncio.create_task(client.get("/first"))
        await self.arrive(1)
        self.gates["/first"].set()
        assert (await first).status_code == 429


def getter(client: Any) -> Callable[..., Awaitable[Any]]:
    """Return the `get` of a client of any kind; that of a blocking one runs in a thread."""
    if isinstance(client, httpx.AsyncClient | httpx2.AsyncClient):
        get: Callable[..., Awaitable[Any]] = client.get
        return get
    return lambda *given, **options: asyncio.to_thread(client.get, *given, **options)


def of_kind(events: list[Event], kind: type[Any]) -> list[Any]:
    """Return the events of a class."""
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("kind", CLIENTS)
async def test_requests_wait_for_the_end_of_the_pause(kind: Any) -> None:
    """Those of each kind of client; one event when it begins, and one when it ends."""
    gateway, heard = gateway_mock(), list[Event]()
    limit(gateway, SHORT)
    client = kind(gateway.config(rate_limit_timeout=PATIENCE), transport=gateway, on_event=heard.append)
    get = getter(client)
    assert (await get("/a")).status_code == 429
    statuses = [reply.status_code for reply in await asyncio.gather(*(get(f"/{one}") for one in range(8)))]

    assert statuses == [200] * 8
    [began], [ended] = of_kind(heard, RateLimitStarted), of_kind(heard, RateLimitEnded)
    assert (began.host, began.status, began.retry_after) == ("api.example", 429, 0.05)
    assert ended.waited <= 8
    assert ended.refused == 0


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_request_that_would_wait_too_long_is_not_sent(kind: Any) -> None:
    """It fails at once, with the rest of the pause."""
    gateway = gateway_mock()
    limit(gateway, LONG)
    client = kind(gateway.config(rate_limit_timeout=10), transport=gateway)
    await getter(client)("/a")
    sent = len(gateway.requests)
    with pytest.raises(seic.TooManyRequests, match=r"api\.seic\.com: the API asked for a pause of .* s more") as caught:
        await getter(client)("/a")

    assert isinstance(caught.value, seic.ApiError)
    assert (caught.value.status, caught.value.transient, len(gateway.requests)) == (429, True, sent)
    assert caught.value.retry_after is not None
    assert 10 < caught.value.retry_after <= 60


async def test_without_the_setting_no_request_waits() -> None:
    """A 429 concerns its own caller, and emits no event."""
    gateway, heard = gateway_mock(), list[Event]()
    limit(gateway, LONG)
    async with client_of(gateway, on_event=heard.append) as client:
        assert (await client.get("/a")).status_code == 429
        assert (await client.get("/a")).status_code == 200

    assert of_kind(heard, RateLimitStarted) == []


async def test_all_clients_of_a_client_id_wait() -> None:
    """Of one process, whatever their library; another client id has its own limit."""
    gateway = gateway_mock()
    limit(gateway, LONG)
    first = seic.AsyncClient(gateway.config(rate_limit_timeout=1), transport=gateway)
    other = seic.httpx2.Client(gateway.config(rate_limit_timeout=1), transport=gateway)
    config = gateway.config(rate_limit_timeout=1)
    own = httpx.AsyncClient(auth=seic.OAuth2Auth(config, transport=gateway), transport=seic.AsyncTransport(
        config, transport=gateway), base_url=config.base_url)  # fmt: skip
    stranger = seic.AsyncClient(gateway.config(rate_limit_timeout=1, client_id="another"), transport=gateway)
    await first.get("/a")
    for client in (first, other, own):
        with pytest.raises(seic.TooManyRequests):
            await getter(client)("/a")

    assert (await stranger.get("/a")).status_code == 200


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("31536000", 60, 60),
        ("9" * 4000, 60, 60),
        ("1e9", 1, 1),
        ("-5", 1, 1),
        ("soon", 1, 1),
        ("nan", 1, 1),
        ("inf", 1, 1),
        ("", 1, 1),
        (None, 1, 1),
        ("0", 0, 0),
        ("0.25", 0.25, 0.25),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2105 07:28:00 GMT", 60, 60),
        ("Wed, 99 Oct 9999999 07:28:00 GMT", 1, 1),
    ],
)
async def test_the_pause_is_bounded(value: str | None, least: float, most: float) -> None:
    """Whatever a server sends: a minute at most; a second if it names none that can be read."""
    gateway, heard = gateway_mock(), list[Event]()
    limit(gateway, value)
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=0), transport=gateway, on_event=heard.append
    ) as client:
        await client.get("/a")

    [began] = of_kind(heard, RateLimitStarted)
    assert least <= began.retry_after <= most


@pytest.mark.parametrize(("status", "retry_after", "pauses"), [(503, LONG, 1), (503, None, 0), (500, LONG, 0)])
async def test_other_statuses(status: int, retry_after: str | None, pauses: int) -> None:
    """A 503 asks for a pause if it names one (RFC 9110 §10.2.3)."""
    gateway, heard = gateway_mock(), list[Event]()
    limit(gateway, retry_after, status=status)
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=0), transport=gateway, on_event=heard.append
    ) as client:
        await client.get("/a")

    assert [event.status for event in of_kind(heard, RateLimitStarted)] == [status] * pauses


async def test_the_first_requests_after_a_pause_are_few() -> None:
    """One, and each that succeeds lets two follow, in the order of their arrival."""
    gateway, heard = HeldGateway(), list[Event]()
    async with gateway.client(PATIENCE, on_event=heard.append) as client:
        await gateway.begin(client)
        tasks = []
        for number in range(6):
            tasks.append(asyncio.create_task(client.get(f"/{number}")))
            # Each has its place in the queue before the next one comes.
            await asyncio.sleep(0)
        await gateway.arrive(2)
        assert gateway.started == ["/first", "/0"]

        gateway.gates["/0"].set()
        await gateway.arrive(4)
        assert gateway.started[2:] == ["/1", "/2"]

        gateway.gates["/1"].set()
        await gateway.arrive(6)
        assert gateway.started[4:] == ["/3", "/4"]
        for number in (2, 3, 4):
            gateway.gates[f"/{number}"].set()
        await gateway.arrive(7)
        gateway.gates["/5"].set()
        await asyncio.gather(*tasks)

    assert gateway.started == ["/first", *(f"/{number}" for number in range(6))]
    assert len(of_kind(heard, RateLimitStarted)) == len(of_kind(heard, RateLimitEnded)) == 1


async def test_a_cancelled_request_gives_its_turn_to_the_next() -> None:
    """While it waits, and while it is in progress."""
    gateway = HeldGateway()
    async with gateway.client(PATIENCE) as client:
        await gateway.begin(client)
        running, waiting, last = (asyncio.create_task(client.get(f"/{number}")) for number in range(3))
        await gateway.arrive(2)
        for task in (waiting, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await gateway.arrive(3)
        gateway.gates["/2"].set()
        await last

    assert gateway.started == ["/first", "/0", "/2"]


async def test_a_renewed_pause_has_an_end_for_those_that_wait() -> None:
    """They wait in a queue, after a first pause, and not for the end of their own limit."""
    gateway = HeldGateway()
    limit(gateway.gateway, SHORT, path="/0")
    async with gateway.client(3600) as client:
        await gateway.begin(client)
        limited, waiting = (asyncio.create_task(client.get(f"/{number}")) for number in range(2))
        await gateway.arrive(2)
        gateway.gates["/0"].set()
        await gateway.arrive(3)
        gateway.gates["/1"].set()

        assert ((await limited).status_code, (await waiting).status_code) == (429, 200)


async def test_a_cancelled_wait_leaves_no_request_behind() -> None:
    """A deadline around a call holds during the pause."""
    gateway, heard = gateway_mock(), list[Event]()
    limit(gateway, LONG)
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=3600), transport=gateway, on_event=heard.append
    ) as client:
        await client.get("/a")
        sent = len(gateway.requests)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.get("/b")

    assert len(gateway.requests) == sent


async def test_a_request_can_have_a_limit_of_its_own() -> None:
    """For a blocking caller, who cannot be cancelled."""
    gateway = gateway_mock()
    limit(gateway, LONG)
    with seic.Client(gateway.config(rate_limit_timeout=3600), transport=gateway) as client:
        client.get("/a")
        with pytest.raises(seic.TooManyRequests):
            client.get("/a", extensions={"seic.rate_limit_timeout": 0})
        for value in (-1, "2", None, math.inf):
            with pytest.raises(seic.ConfigurationError, match=r"seic\.rate_limit_timeout: must be 0 seconds or more"):
                client.get("/a", extensions={"seic.rate_limit_timeout": value})


async def test_too_many_waiting_requests_fail_when_their_time_is_over() -> None:
    """The pause is over, and the one request that is let through does not end."""
    gateway = HeldGateway()
    async with gateway.client(0.02) as client:
        await gateway.begin(client)
        slow = asyncio.create_task(client.get("/slow"))
        await gateway.arrive(2)
        with pytest.raises(seic.TooManyRequests, match="too many requests wait after a pause") as caught:
            await client.get("/late")
        gateway.gates["/slow"].set()
        await slow

    assert caught.value.retry_after == 0


async def test_retries_and_the_pause_are_one() -> None:
    """The repetition of the request that got the 429 does not wait twice."""
    gateway = gateway_mock()
    limit(gateway, SHORT)
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=PATIENCE), transport=gateway, retry=seic.Retry()
    ) as client:
        assert (await client.get("/a")).status_code == 200


async def test_a_failed_connection_does_not_end_the_pause() -> None:
    """Nothing is known of the limit then: the next request goes alone."""
    gateway, heard = gateway_mock(), list[Event]()
    limit(gateway, "0")
    broken = httpx.ConnectError("down")

    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/broken":
                raise broken
            response: httpx.Response = await gateway.handle_async_request(request)
            return response

    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=PATIENCE), transport=Broken(), on_event=heard.append
    ) as client:
        await client.get("/a")
        with pytest.raises(httpx.ConnectError):
            await client.get("/broken")
        assert of_kind(heard, RateLimitEnded) == []
        await client.get("/a")

    assert len(of_kind(heard, RateLimitEnded)) == 1
