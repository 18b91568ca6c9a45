"""API calls with DPoP (RFC 9449 §7): each carries a proof of its own, and is sent again where the API asks for a nonce.

It wraps an auth flow and fetches nothing; who has no DPoP never comes here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from seic._api.replay import Body
from seic._oauth.dpop import DPoP, wants_nonce

_UNAUTHORIZED = 401


class Prover:
    """Proves the calls of one auth.

    Args:
        dpop: The key.
        wall: The wall clock.
    """

    def __init__(self, dpop: DPoP, wall: Callable[[], float]) -> None:
        self._dpop = dpop
        self._wall = wall

    def prove(self, request: Any) -> None:
        """Put the proof for one call, and for the token that it carries, in place of an older one."""
        access_token = request.headers["Authorization"].partition(" ")[2]
        request.headers["DPoP"] = self._dpop.prove(
            request.method, request.url, now=self._wall(), access_token=access_token
        )

    async def drive_async(self, flow: AsyncGenerator[Any, Any], request: Any) -> AsyncGenerator[Any, Any]:
        """Drive an auth flow, and send a call once more where the API asks for a nonce.

        Args:
            flow: What attaches the token.
            request: The call.
        """
        body = Body(request.stream)
        await body.mark_async()
        try:
            sent = await anext(flow)
            while True:
                response = yield sent
                if self._asks_again(response, body) and await body.rewind_async():
                    await response.aread()
                    self.prove(sent)
                    response = yield sent
                    self._dpop.heed(response.request.url, response.headers, api=True)
                sent = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def drive(self, flow: Generator[Any, Any, None], request: Any) -> Generator[Any, Any, None]:
        """Drive a blocking auth flow; see `drive_async`."""
        body = Body(request.stream)
        body.mark()
        try:
            sent = next(flow)
            while True:
                response = yield sent
                if self._asks_again(response, body) and body.rewind():
                    response.read()
                    self.prove(sent)
                    response = yield sent
                    self._dpop.heed(response.request.url, response.headers, api=True)
                sent = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    def _asks_again(self, response: Any, body: Body) -> bool:
        """Remember the answer's nonce; tell whether the call is to be sent again with it."""
        is_new = self._dpop.heed(response.request.url, response.headers, api=True)
        return (
            is_new
            and response.status_code == _UNAUTHORIZED
            and wants_nonce(status=_UNAUTHORIZED, headers=response.headers)
            and body.problem is None
        )
