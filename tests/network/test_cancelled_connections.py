"""A request that is cancelled at any turn of its event loop leaves no connection open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator

import attrs
import httpx
import pytest
import trio

import seic
from tests._support.connect_proxy import ConnectProxy
from tests._support.edge import Edge
from tests._support.open_sockets import open_sockets
from tests._support.pki import authority, mint
from tests._support.swapping import PairOnDisk, settings_for

#: Turns of the loop in which a closed connection gives up its socket.
_CLOSING = 5


@attrs.frozen
class Session:
    """A client for each turn, and its call.

    Args:
        config: The configuration.
        port: The port that its connections lead to.
        kind: `HTTP/1.1`, `HTTP/2`, or `token` for a request to the token endpoint.
    """

    config: seic.Config
    port: int
    kind: str

    def client(self) -> seic.AsyncClient:
        """Return a client that keeps no idle connection."""
        limits = httpx.Limits(max_keepalive_connections=0)
        return seic.AsyncClient(self.config, http2=self.kind == "HTTP/2", limits=limits)

    async def call(self, client: seic.AsyncClient) -> bool:
        """Send a request; return False."""
        if self.kind == "token":
            await client.token()
        else:
            await client.get("/", auth=None)
        return False

    def check(self, turn: int) -> None:
        """Expect no connection of an API call; a token request belongs to all callers, and ends with the loop."""
        if self.kind != "token":
            assert open_sockets(self.port) == 0, turn


class _CountingLoop(asyncio.SelectorEventLoop):
    """Calls a function at the beginning of one of its turns."""

    left = 0
    then: Callable[[], object] = staticmethod(lambda: None)

    def _run_once(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.then()
        super()._run_once()  # type: ignore[misc]  # it is there, without a type


def cancel_in_asyncio(session: Session, turn: int) -> bool:
    """Cancel a call after some turns of a new loop; return whether it was still running."""

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _CountingLoop)
        async with session.client() as client:
            task = asyncio.ensure_future(session.call(client))
            loop.left, loop.then = turn, task.cancel
            await asyncio.wait([task])
            loop.left = 0
            for _ in range(_CLOSING):
                await asyncio.sleep(0)
            session.check(turn)
            return task.cancelled() or task.result()

    with asyncio.Runner(loop_factory=_CountingLoop) as runner:
        return runner.run(main())


class _Turns(trio.abc.Instrument):
    def __init__(self, left: int, then: Callable[[], object]) -> None:
        self._left = left
        self._then = then

    def before_io_wait(self, timeout: float) -> None:
        """Count a turn."""
        self._left -= 1
        if self._left == 0:
            self._then()


def cancel_in_trio(session: Session, turn: int) -> bool:
    """As `cancel_in_asyncio`, in trio."""

    async def main() -> bool:
        async with session.client() as client:
            with trio.CancelScope() as scope:
                trio.lowlevel.add_instrument(_Turns(turn, scope.cancel))
                await session.call(client)
            session.check(turn)
            return scope.cancelled_caught

    return trio.run(main)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, seic.Config]]:
    """A server with mutual TLS that speaks HTTP/2 too, and the configuration for it."""
    folder = tmp_path_factory.mktemp("edge")
    root = authority()
    with Edge(folder / "nginx", root, http2=True) as edge:
        certificate = PairOnDisk(folder / "pair", mint(issuer=root, number=77)).load()
        yield edge, settings_for(edge, root, certificate=certificate)


@pytest.fixture(params=["direct", "proxy"])
def route(request: pytest.FixtureRequest, place: tuple[Edge, seic.Config]) -> Iterator[tuple[seic.Config, int]]:
    """The configuration and the port that this process connects to."""
    edge, config = place
    if request.param == "direct":
        yield config, edge.port
    else:
        with ConnectProxy() as proxy:
            yield attrs.evolve(config, proxy=proxy.url), proxy.port


# httpcore leaves the iteration over a request's body to the garbage collector, and trio remarks on it.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
@pytest.mark.parametrize("cancel", [cancel_in_asyncio, cancel_in_trio], ids=["asyncio", "trio"])
@pytest.mark.parametrize("kind", ["HTTP/1.1", "HTTP/2", "token"])
def test_a_request_cancelled_at_any_turn_leaves_no_connection(
    kind: str, cancel: Callable[[Session, int], bool], route: tuple[seic.Config, int], caplog: pytest.LogCaptureFixture
) -> None:
    """From the first turn of the loop to the answer: name resolution, tunnel, handshake, request, reply.

    No failure of the token endpoint is reported either: trio cancels name resolution with a group of exceptions.
    """
    session = Session(*route, kind)
    turn = 1
    gc.disable()  # it closes what was forgotten
    try:
        while cancel(session, turn):
            assert open_sockets(session.port) == 0, turn
            turn += 1
    finally:
        gc.enable()
    assert turn > 10
    assert "token endpoint down" not in caplog.text
