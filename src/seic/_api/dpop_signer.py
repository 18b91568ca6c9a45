"""DPoP proofs of API requests (RFC 9449 §7): one for each sending, and a second sending if the API requires a nonce.

The auth flow signs the first sending of a request. Redirects and retries happen below it, in transports
that find the signer in the request's extensions: `sign_redirect`, `sign_retry`, and `sign_repeat` for a request that is
sent again because its connection closed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from seic._api.body_prefix import discard, discard_sync, read_prefix, read_prefix_sync
from seic._api.replayable_body import ReplayableBody
from seic._httpx import PROOFS
from seic._oauth.dpop import DPoP, wants_nonce

_UNAUTHORIZED = 401


class DPoPSigner:
    """Signs the requests of one auth.

    Args:
        dpop: The key.
        wall: The wall clock.
    """

    def __init__(self, dpop: DPoP, wall: Callable[[], float]) -> None:
        self._dpop = dpop
        self._wall = wall

    def prove(self, request: Any) -> None:
        """Sign a request and the token that it carries, and let redirects and retries of it be signed again."""
        self.sign(request)
        request.extensions[PROOFS] = _Proofs(self)

    def sign(self, request: Any) -> None:
        """Set a new proof; remove it if httpx removed the token because of a redirect to another origin."""
        authorization = request.headers.get("Authorization")
        if authorization is None:
            request.headers.pop("DPoP", None)
            return
        request.headers["DPoP"] = self._dpop.prove(
            request.method, request.url, now=self._wall(), access_token=authorization.partition(" ")[2]
        )

    async def drive(self, flow: AsyncGenerator[Any, Any], request: Any) -> AsyncGenerator[Any, Any]:
        """Drive an auth flow, and send a request once more if the API requires a nonce.

        Args:
            flow: The flow that attaches the token.
            request: The request.
        """
        body = ReplayableBody(request.stream)
        await body.save_position()
        try:
            sent = await anext(flow)
            while True:
                response = yield sent
                again = self._to_repeat(response, body)
                if again is not None and await body.rewind():
                    if await read_prefix(response) is None:
                        await discard(response)
                    self.prove(again)
                    response = yield again
                    self._dpop.remember_nonce(response.request, response.headers, api=True)
                sent = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def drive_sync(self, flow: Generator[Any, Any, None], request: Any) -> Generator[Any, Any, None]:
        """Drive a blocking auth flow; see `drive`."""
        body = ReplayableBody(request.stream)
        body.save_position_sync()
        try:
            sent = next(flow)
            while True:
                response = yield sent
                again = self._to_repeat(response, body)
                if again is not None and body.rewind_sync():
                    if read_prefix_sync(response) is None:
                        discard_sync(response)
                    self.prove(again)
                    response = yield again
                    self._dpop.remember_nonce(response.request, response.headers, api=True)
                sent = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    def _to_repeat(self, response: Any, body: ReplayableBody) -> Any | None:
        """Remember the response's nonce; return the request that must be sent again with it, or None.

        After a redirect it is the redirected request: those before it were processed and must not be repeated.
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
    """The proofs of one request; each is sent once."""

    def __init__(self, signer: DPoPSigner) -> None:
        self._signer = signer
        self._sent: str | None = None

    def sign_redirect(self, request: Any) -> None:
        if request.headers.get("DPoP") == self._sent:
            self._signer.sign(request)
        self._sent = request.headers.get("DPoP")

    def sign_retry(self, request: Any) -> None:
        self._signer.sign(request)

    def sign_repeat(self, request: Any) -> None:
        """Sign a request whose connection closed: the server may have read the first proof, and accepts each once."""
        self._signer.sign(request)
        # A redirect copies this proof, which is sent now.
        self._sent = request.headers.get("DPoP")
