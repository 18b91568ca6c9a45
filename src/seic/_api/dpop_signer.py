"""API calls with DPoP (RFC 9449 §7): each sending carries a proof of its own, and is repeated for the sake of a nonce.

An auth flow proves a call's first sending. Redirects and repetitions happen below it, so what sends the call asks here
for the proof of each further one; the call carries along, in its extensions, what can make it. Nothing is fetched here,
and who has no DPoP never comes here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from seic._api.body_prefix import discard, discard_async, peek, peek_async
from seic._api.replay import ReplayableBody
from seic._oauth.dpop import DPoP, wants_nonce

_UNAUTHORIZED = 401
#: The key in a request's `extensions`; they go along with a redirect, as its headers do.
_PROOFS = "seic.proofs"


class DPoPSigner:
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
        self.sign(request)
        request.extensions[_PROOFS] = _Proofs(self)

    def sign(self, request: Any) -> None:
        """Put a new proof into the request; none where httpx took the token off, on its way to another origin."""
        authorization = request.headers.get("Authorization")
        if authorization is None:
            request.headers.pop("DPoP", None)
            return
        request.headers["DPoP"] = self._dpop.prove(
            request.method, request.url, now=self._wall(), access_token=authorization.partition(" ")[2]
        )

    async def drive_async(self, flow: AsyncGenerator[Any, Any], request: Any) -> AsyncGenerator[Any, Any]:
        """Drive an auth flow, and send a call once more where the API asks for a nonce.

        Args:
            flow: What attaches the token.
            request: The call.
        """
        body = ReplayableBody(request.stream)
        await body.mark_async()
        try:
            sent = await anext(flow)
            while True:
                response = yield sent
                again = self._to_repeat(response, body)
                if again is not None and await body.rewind_async():
                    if await peek_async(response) is None:
                        await discard_async(response)
                    self.prove(again)
                    response = yield again
                    self._dpop.remember_nonce(response.request, response.headers, api=True)
                sent = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def drive(self, flow: Generator[Any, Any, None], request: Any) -> Generator[Any, Any, None]:
        """Drive a blocking auth flow; see `drive_async`."""
        body = ReplayableBody(request.stream)
        body.mark()
        try:
            sent = next(flow)
            while True:
                response = yield sent
                again = self._to_repeat(response, body)
                if again is not None and body.rewind():
                    if peek(response) is None:
                        discard(response)
                    self.prove(again)
                    response = yield again
                    self._dpop.remember_nonce(response.request, response.headers, api=True)
                sent = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    def _to_repeat(self, response: Any, body: ReplayableBody) -> Any | None:
        """Remember the answer's nonce; return the request that is to be sent again with it, or None.

        It is the one that was answered: after a redirect, what came before has been done and must not be done twice.
        """
        request = response.request
        is_new = self._dpop.remember_nonce(request, response.headers, api=True)
        if (
            is_new
            and response.status_code == _UNAUTHORIZED
            and wants_nonce(status=_UNAUTHORIZED, headers=response.headers)
            and "Authorization" in request.headers
            and body.problem is None
        ):
            return request
        return None


class _Proofs:
    """The proofs of one call, of which each is sent once."""

    def __init__(self, prover: DPoPSigner) -> None:
        self._prover = prover
        self._sent: str | None = None

    def take(self, request: Any) -> None:
        if request.headers.get("DPoP") == self._sent:
            self._prover.sign(request)
        self._sent = request.headers.get("DPoP")

    def renew(self, request: Any) -> None:
        self._prover.sign(request)


def sign_redirect(request: Any) -> None:
    """Have a request that is about to be sent carry a proof that never was, where its call is proven at all."""
    if (proofs := request.extensions.get(_PROOFS)) is not None:
        proofs.take(request)


def prove_anew(request: Any) -> None:
    """Have a request that was sent before carry another proof, where its call is proven at all."""
    if (proofs := request.extensions.get(_PROOFS)) is not None:
        proofs.renew(request)
