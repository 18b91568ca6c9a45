"""The live events of a sandbox as a stream: its requests and its state (WHATWG HTML §9.2, server-sent events)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from seic.sandbox._control.documents import describe_request, describe_state
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.received import ReceivedRequest

#: Requests that a new reader gets at once.
_FIRST = 100
#: Seconds after which a change of the state is seen that no request came with, and a reader that left is missed.
_INTERVAL = 0.5


async def stream_events(sandbox: Sandbox) -> AsyncIterator[bytes]:
    """Yield the events `call` and `state`, the last requests first, until the reader leaves."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[ReceivedRequest] = asyncio.Queue()
    end = sandbox.on_received(lambda request: loop.call_soon_threadsafe(queue.put_nowait, request))
    try:
        for request in sandbox.received()[-_FIRST:]:
            yield _event("call", describe_request(request))
        last = None
        while True:
            state = describe_state(sandbox)
            # Lifetimes pass without an event.
            compared = {**state, "tokens": [token["digest"] for token in state["tokens"]]}
            if compared != last:
                last = compared
                yield _event("state", state)
            else:
                # A comment, which fails if the reader has left.
                yield b":\n\n"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    waited = await queue.get()
                yield _event("call", describe_request(waited))
            while not queue.empty():
                yield _event("call", describe_request(queue.get_nowait()))
    finally:
        end()


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
