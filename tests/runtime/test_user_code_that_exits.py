"""SystemExit, KeyboardInterrupt and GeneratorExit of user code: failures like others, and no end of the shared loop."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import httpx
import pytest

import seic
from seic import _portal
from seic._portal import run

EXITS = [SystemExit, KeyboardInterrupt, GeneratorExit]
Raise = Callable[..., NoReturn]


@pytest.fixture(params=EXITS)
def raises(request: pytest.FixtureRequest) -> Raise:
    """Return a function that raises one of them."""

    def leave(*_args: object) -> NoReturn:
        raise request.param

    return leave


def _answer(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"access_token": "t", "expires_in": "600", "token_type": "BearerToken"})


def _client(
    *, password: Any = "of-the-account", answer: Any = _answer, store: Any = None, **options: Any
) -> seic.Client:
    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="i",
        client_secret="of-the-client",
        grant=seic.ClientCredentials(username="u", password=password),
        hosts=seic.Hosts(api="api.example", mtls="mtls.example"),
        store=store,
    )
    return seic.Client(config, transport=httpx.MockTransport(answer), **options)


def _status(**options: Any) -> int:
    with _client(**options) as client:
        return client.get("/").status_code


class _Store:
    def __init__(self, leave: Raise, *, blocking: bool) -> None:
        self.blocking = blocking
        self.load = self.delete = leave

    def save(self, key: str, token: seic.Token) -> None:
        """Save nothing."""


def test_a_listener_does_not_fail_the_request(raises: Raise, caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is logged, and other clients work."""
    with caplog.at_level(logging.ERROR, logger="seic.events"):
        assert _in_a_thread(lambda: _status(on_event=raises)) == 200
    assert "a listener failed" in caplog.text
    assert _status() == 200


@pytest.mark.parametrize("blocking", [True, False])
def test_a_store_costs_a_token_request(raises: Raise, blocking: bool) -> None:
    """The request succeeds, and other clients work."""
    assert _status(store=_Store(raises, blocking=blocking)) == 200
    assert _status() == 200


def test_a_callable_fails_its_own_request(raises: Raise) -> None:
    """The error names the class, and other clients work."""
    with pytest.raises(seic.TokenError, match=r"SystemExit|KeyboardInterrupt|GeneratorExit"):
        _status(password=raises)
    assert _status() == 200


def test_a_transport_fails_its_own_request(raises: Raise) -> None:
    """The error names the class, and other clients work."""
    with pytest.raises(seic.TokenError, match=r"SystemExit|KeyboardInterrupt|GeneratorExit"):
        _status(answer=raises)
    assert _status() == 200


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_the_portal_survives_a_task_that_exits(error: type[BaseException]) -> None:
    """The waiter gets an error, and the thread remains the same."""

    async def leave() -> None:
        raise error

    async def here() -> threading.Thread:
        return threading.current_thread()

    thread = run(here)
    with pytest.raises(RuntimeError, match=error.__name__):
        run(leave)
    assert run(here) is thread


@pytest.mark.usefixtures("unfinished")
def test_a_portal_whose_loop_was_closed_is_replaced() -> None:
    """The next caller gets a new thread."""
    assert _status() == 200


@pytest.fixture
def unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a portal behind whose loop is closed."""
    portal, loop = _portal._Portal(), asyncio.SelectorEventLoop()
    loop.close()
    portal._loop = loop
    monkeypatch.setattr(_portal, "_portals", {os.getpid(): portal})


def test_the_portal_survives_a_callback_that_exits() -> None:
    """One of another library, in the same loop."""

    async def leave() -> None:
        asyncio.get_running_loop().call_soon(_exit)

    run(leave)
    assert _status() == 200


def _exit() -> NoReturn:
    raise SystemExit


def _in_a_thread(call: Callable[[], int]) -> int:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(30)
    return results[0]
