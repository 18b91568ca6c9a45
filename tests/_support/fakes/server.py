"""The base of the fakes: one transport that answers token requests and API requests in memory."""

from __future__ import annotations

import abc
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
import httpx

import seic
from tests._support.fakes.gate import Gate

#: Seconds after which a test that would hang fails; nothing in memory takes as long.
PATIENCE = 10.0

_T = TypeVar("_T")


class FakeServer(httpx.AsyncBaseTransport, httpx.BaseTransport, abc.ABC):
    """A provider and its API behind one transport, for async and blocking clients, tasks and threads.

    A closed gate holds token requests up. `answers_before_gate` is the point at which the server acts: before the gate,
    so that only the reply is late, or behind it.

    Attributes:
        requests: All requests.
        forms: The forms of the token requests.
        plan: Replies or exceptions for the next token requests; `"lose"` answers one, and loses the reply.
        tokens: The number of tokens issued.
        expires_in: The lifetime of the next tokens in seconds; None leaves the member out.
        api_plan: Replies for the next requests of the API.
        dead: Access tokens that the API rejects.
        challenges: Whether a rejection has a `WWW-Authenticate` header.
        redirects: Status and location of the API's redirects, by path.
        arrived: Set when a token request arrives; new with each `hold`.
        turns: The turns of the event loop that an async token request takes.
    """

    answers_before_gate: ClassVar[bool] = False
    token_path: ClassVar[str] = "/oauth/v2/token"
    tracking_header: ClassVar[str | None] = None
    challenge: ClassVar[str] = 'Bearer error="invalid_token"'

    def __init__(self, *, expires_in: Any = 3600) -> None:
        self.requests: list[httpx.Request] = []
        self.forms: list[dict[str, str]] = []
        self.plan: deque[httpx.Response | Exception | Literal["lose"]] = deque()
        self.api_plan: deque[httpx.Response] = deque()
        self.tokens = 0
        self.expires_in = expires_in
        self.dead: set[str] = set()
        self.challenges = True
        self.redirects: dict[str, tuple[int, str]] = {}
        self.turns = 0
        self._tracking_ids = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Open the gate, and replace the locks; for a forked child, which may inherit a locked one."""
        self.arrived = Gate()
        self._gate: Gate | None = None
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Close the gate: token requests arrive, and their answers wait."""
        self.arrived = Gate()
        self._gate = Gate()

    def release(self) -> None:
        """Open the gate, if it is closed."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()

    @property
    def calls(self) -> int:
        """The number of requests."""
        return len(self.requests)

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the arguments of a configuration that reaches this server."""

    def config(self, **changes: Any) -> seic.Config:
        """Return a configuration that reaches this server."""
        return seic.Config(**{**self.settings(), **changes})

    def client(self, **options: Any) -> seic.AsyncClient:
        """Return a client of this server."""
        return seic.AsyncClient(self.config(), transport=self, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        await request.aread()
        gate, deliver = self._take(request)
        if gate is not None:
            assert await gate.wait_async(PATIENCE)
        for _ in range(self.turns if self.is_token_request(request) else 0):
            await anyio.lowlevel.checkpoint()
        return deliver()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking request."""
        request.read()
        gate, deliver = self._take(request)
        if gate is not None:
            assert gate.wait(PATIENCE)
        return deliver()

    def _take(self, request: httpx.Request) -> tuple[Gate | None, Callable[[], httpx.Response]]:
        def answer() -> httpx.Response:
            with self._lock:
                return self.answer(request)

        self.requests.append(request)
        deliver = _outcome(answer) if self.answers_before_gate else answer
        if not self.is_token_request(request):
            return None, deliver
        gate = self._gate
        self.arrived.set()
        return gate, deliver

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer any request."""
        reply = self._answer_token(request) if self.is_token_request(request) else self.answer_other(request)
        if self.tracking_header is not None:
            reply.headers[self.tracking_header] = f"track-{next(self._tracking_ids)}"
        return reply

    def _answer_token(self, request: httpx.Request) -> httpx.Response:
        self.forms.append(form_of(request))
        planned = self.plan.popleft() if self.plan else None
        if isinstance(planned, BaseException):
            raise planned
        if isinstance(planned, httpx.Response):
            return planned
        reply = self.answer_token(self.forms[-1])
        if planned == "lose":
            raise httpx.ReadError("the connection broke")
        return reply

    def is_token_request(self, request: httpx.Request) -> bool:
        """Whether a request is one of the token endpoint's."""
        return request.url.path == self.token_path

    def answer_token(self, form: dict[str, str]) -> httpx.Response:
        """Answer a token request that is not planned for."""
        return self.issue()

    def answer_other(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of the API."""
        if request.headers["Authorization"].partition(" ")[2] in self.dead:
            return self.reject()
        if self.api_plan:
            return self.api_plan.popleft()
        return self.redirect(request.url.path) or httpx.Response(200, json={"path": request.url.path})

    def redirect(self, path: str) -> httpx.Response | None:
        """Return the redirect of a path, if it has one."""
        if path not in self.redirects:
            return None
        status, location = self.redirects[path]
        return httpx.Response(status, headers={"Location": location})

    def reject(self) -> httpx.Response:
        """Return the API's reply to a token that it rejects."""
        return httpx.Response(401, headers={"WWW-Authenticate": self.challenge} if self.challenges else {})

    def issue(self, **members: object) -> httpx.Response:
        """Return a reply with a new token."""
        self.tokens += 1
        reply = {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": self.expires_in}
        return httpx.Response(
            200, json={name: value for name, value in {**reply, **members}.items() if value is not None}
        )


def form_of(request: httpx.Request) -> dict[str, str]:
    """Return the form that a request carries."""
    return dict(parse_qsl(request.content.decode()))


def _outcome(call: Callable[[], _T]) -> Callable[[], _T]:
    """Call a function now; the returned function returns or raises what it did."""
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001  raised later
        failure = error

        def fail() -> _T:
            raise failure

        return fail
    return lambda: result
