"""`Config(rate_limit_timeout=...)`: requests wait while the API asks for a pause, in the order of their arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import httpx2
import pytest

import seic
import seic.httpx2
from seic.events import Event, RateLimitEnded, RateLimitStarted
from tests._support.fakes.gate import Gate
from tests._support.fakes.gateway import FakeGateway
from tests._support.fakes.server import PATIENCE

CLIENTS: list[Any] = [seic.AsyncClient, seic.Client, seic.httpx2.AsyncClient, seic.httpx2.Client]
#: A pause that ends while a test runs, and one that does not.
SHORT, LONG = "0.05", "60"


def limited(retry_after: str | None, status: int = 429) -> httpx.Response:
    """Return a reply that asks for a pause."""
    return httpx.Response(status, headers={} if retry_after is None else {"Retry-After": retry_after})


class HeldGateway(FakeGateway):
    """A gateway that holds the API's requests up.

    Attributes:
        started: The paths of the requests that have arrived.
        gates: The gate of each.
        limits: The replies for paths, in place of 200.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []
        self.gates: dict[str, Gate] = {}
        self.limits: dict[str, httpx.Response] = {}
        self.changed = asyncio.Condition()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request when its gate is open."""
        path = request.url.path
        if not self.is_token_request(request):
            gate = self.gates[path] = Gate()
            self.started.append(path)
            async with self.changed:
                self.changed.notify_all()
            assert await gate.wait_async(PATIENCE)
        reply = await super().handle_async_request(request)
        return self.limits.get(path, reply)

    async def arrive(self, number: int) -> None:
        """Wait until so many requests have arrived."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.started) >= number), PATIENCE)


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
    gateway, heard = FakeGateway(), list[Event]()
    gateway.api_plan.extend([limited(SHORT), limited(SHORT)])
    client = kind(gateway.config(rate_limit_timeout=PATIENCE), transport=gateway, on_event=heard.append)
    get = getter(client)
    assert (await get("/a")).status_code == 429
    statuses = [reply.status_code for reply in await asyncio.gather(*(get(f"/{one}") for one in range(8)))]

    assert sorted(statuses) == [200] * 7 + [429]
    [began], [ended] = of_kind(heard, RateLimitStarted), of_kind(heard, RateLimitEnded)
    assert (began.host, began.status, began.retry_after) == ("api.seic.com", 429, 0.05)
    assert 1 <= ended.waited <= 8
    assert ended.refused == 0


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_request_that_would_wait_too_long_is_not_sent(kind: Any) -> None:
    """It fails at once, with the rest of the pause."""
    gateway = FakeGateway()
    gateway.api_plan.append(limited(LONG))
    client = kind(gateway.config(rate_limit_timeout=10), transport=gateway)
    await getter(client)("/a")
    sent = gateway.calls
    with pytest.raises(seic.TooManyRequests, match=r"api\.seic\.com: the API asked for a pause of .* s more") as caught:
        await getter(client)("/a")

    assert isinstance(caught.value, seic.ApiError)
    assert (caught.value.status, caught.value.transient, gateway.calls) == (429, True, sent)
    assert caught.value.retry_after is not None
    assert 10 < caught.value.retry_after <= 60


async def test_without_the_setting_no_request_waits() -> None:
    """A 429 concerns its own caller, and emits no event."""
    gateway, heard = FakeGateway(), list[Event]()
    gateway.api_plan.append(limited(LONG))
    async with gateway.client(on_event=heard.append) as client:
        assert (await client.get("/a")).status_code == 429
        assert (await client.get("/a")).status_code == 200

    assert of_kind(heard, RateLimitStarted) == []


async def test_all_clients_of_a_client_id_wait() -> None:
    """Of one process, whatever their library; another client id has its own limit."""
    gateway = FakeGateway()
    gateway.api_plan.append(limited(LONG))
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
    gateway, heard = FakeGateway(), list[Event]()
    gateway.api_plan.append(limited(value))
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=0), transport=gateway, on_event=heard.append
    ) as client:
        await client.get("/a")

    [began] = of_kind(heard, RateLimitStarted)
    assert least <= began.retry_after <= most


@pytest.mark.parametrize(("status", "retry_after", "pauses"), [(503, LONG, 1), (503, None, 0), (500, LONG, 0)])
async def test_other_statuses(status: int, retry_after: str | None, pauses: int) -> None:
    """A 503 asks for a pause if it names one (RFC 9110 §10.2.3)."""
    gateway, heard = FakeGateway(), list[Event]()
    gateway.api_plan.append(limited(retry_after, status))
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=0), transport=gateway, on_event=heard.append
    ) as client:
        await client.get("/a")

    assert [event.status for event in of_kind(heard, RateLimitStarted)] == [status] * pauses


async def test_the_first_requests_after_a_pause_are_few() -> None:
    """One, and each that succeeds lets two follow, in the order of their arrival."""
    gateway, heard = HeldGateway(), list[Event]()
    gateway.limits = {"/first": limited("0")}
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=PATIENCE), transport=gateway, on_event=heard.append
    ) as client:
        first = asyncio.create_task(client.get("/first"))
        await gateway.arrive(1)
        gateway.gates["/first"].set()
        await first
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
    gateway.limits["/first"] = limited("0")
    async with seic.AsyncClient(gateway.config(rate_limit_timeout=PATIENCE), transport=gateway) as client:
        first = asyncio.create_task(client.get("/first"))
        await gateway.arrive(1)
        gateway.gates["/first"].set()
        await first
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


async def test_a_cancelled_wait_leaves_no_request_behind() -> None:
    """A deadline around a call holds during the pause."""
    gateway, heard = FakeGateway(), list[Event]()
    gateway.api_plan.append(limited(LONG))
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=3600), transport=gateway, on_event=heard.append
    ) as client:
        await client.get("/a")
        sent = gateway.calls
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.get("/b")

    assert gateway.calls == sent


async def test_a_request_can_have_a_limit_of_its_own() -> None:
    """For a blocking caller, who cannot be cancelled."""
    gateway = FakeGateway()
    gateway.api_plan.append(limited(LONG))
    with seic.Client(gateway.config(rate_limit_timeout=3600), transport=gateway) as client:
        client.get("/a")
        with pytest.raises(seic.TooManyRequests):
            client.get("/a", extensions={"seic.rate_limit_timeout": 0})


async def test_too_many_waiting_requests_fail_when_their_time_is_over() -> None:
    """The pause is over, and the one request that is let through does not end."""
    gateway = HeldGateway()
    gateway.limits["/first"] = limited("0")
    async with seic.AsyncClient(gateway.config(rate_limit_timeout=0.02), transport=gateway) as client:
        first = asyncio.create_task(client.get("/first"))
        await gateway.arrive(1)
        gateway.gates["/first"].set()
        await first
        slow = asyncio.create_task(client.get("/slow"))
        await gateway.arrive(2)
        with pytest.raises(seic.TooManyRequests, match="too many requests wait after a pause") as caught:
            await client.get("/late")
        gateway.gates["/slow"].set()
        await slow

    assert caught.value.retry_after == 0


async def test_retries_and_the_pause_are_one() -> None:
    """The repetition of the request that got the 429 does not wait twice."""
    gateway = FakeGateway()
    gateway.api_plan.append(limited(SHORT))
    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=PATIENCE), transport=gateway, retry=seic.Retry()
    ) as client:
        assert (await client.get("/a")).status_code == 200


async def test_a_failed_connection_does_not_end_the_pause() -> None:
    """Nothing is known of the limit then: the next request goes alone."""
    gateway, heard = FakeGateway(), list[Event]()
    gateway.api_plan.append(limited("0"))
    broken = httpx.ConnectError("down")

    class Broken(FakeGateway):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/broken":
                raise broken
            return await gateway.handle_async_request(request)

    async with seic.AsyncClient(
        gateway.config(rate_limit_timeout=PATIENCE), transport=Broken(), on_event=heard.append
    ) as client:
        await client.get("/a")
        with pytest.raises(httpx.ConnectError):
            await client.get("/broken")
        assert of_kind(heard, RateLimitEnded) == []
        await client.get("/a")

    assert len(of_kind(heard, RateLimitEnded)) == 1
