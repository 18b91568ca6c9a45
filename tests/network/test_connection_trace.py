"""`ConnectionTrace`: the observed steps of a call, and the user's own trace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from seic._network.connection_trace import ConnectionTrace

_OPENED = ("connection.connect_tcp.started", "connection.connect_tcp.complete", "connection.start_tls.started")
_SENT = ("http11.send_request_headers.started", "http11.send_request_headers.complete")


class _InClear:
    def get_extra_info(self, name: str) -> None:
        """Return nothing."""


class Heard:
    """A trace of the user, for both kinds of clients."""

    def __init__(self, *, blocking: bool) -> None:
        self.steps: list[str] = []
        self.trace: Any = self.note if blocking else self.note_async

    def note(self, step: str, info: dict[str, Any]) -> None:
        """Record a step."""
        self.steps.append(step)

    async def note_async(self, step: str, info: dict[str, Any]) -> None:
        """Record a step."""
        self.steps.append(step)


def step_through(request: httpx.Request, steps: Sequence[str], *, blocking: bool) -> None:
    """Report steps to a request's trace as httpcore does, which reads the trace at the start of each."""
    told: Any = None
    for step in steps:
        if told is None or not step.endswith(".complete"):
            told = request.extensions.get("trace")
        if told is not None:
            result = told(step, {"return_value": _InClear()})
            if not blocking:
                asyncio.run(result)


def request_of(heard: Heard | None) -> httpx.Request:
    """Return a request, with the user's trace if there is one."""
    extensions = {} if heard is None else {"trace": heard.trace}
    return httpx.Request("GET", "https://api.example.com", extensions=extensions)


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("is_traced", [False, True])
def test_an_open_connection_is_not_watched(blocking: bool, is_traced: bool) -> None:
    """From the first step on it, the request is unchanged, since each step of a trace costs time."""
    heard = Heard(blocking=blocking) if is_traced else None
    request = request_of(heard)
    before = dict(request.extensions)
    attempt = ConnectionTrace(request, blocking=blocking)

    step_through(request, _SENT[:1], blocking=blocking)

    assert request.extensions == before
    assert attempt.stage(tunnelled=False) == "later"


@pytest.mark.parametrize("blocking", [False, True])
def test_a_new_connection_is_watched_to_the_end(blocking: bool) -> None:
    """Failures after the start of TLS are distinguished until the call ends."""
    request = request_of(None)
    attempt = ConnectionTrace(request, blocking=blocking)

    step_through(request, _OPENED, blocking=blocking)
    assert attempt.stage(tunnelled=False) == "handshake"
    step_through(request, ["connection.start_tls.complete", *_SENT], blocking=blocking)
    assert attempt.stage(tunnelled=False) == "first"

    attempt.end()
    attempt.end()
    assert request.extensions == {}


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("steps", [(*_OPENED, *_SENT), (*_SENT, "http11.receive_response_headers.started")])
def test_the_users_trace_hears_every_step_once(blocking: bool, steps: tuple[str, ...]) -> None:
    """For a new connection and for an open one."""
    heard = Heard(blocking=blocking)
    request = request_of(heard)
    attempt = ConnectionTrace(request, blocking=blocking)

    step_through(request, steps, blocking=blocking)
    attempt.end()

    assert heard.steps == [*steps]
    assert request.extensions == {"trace": heard.trace}
