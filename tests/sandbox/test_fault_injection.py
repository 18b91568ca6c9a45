"""Planned failures, held responses and latency."""

from __future__ import annotations

import asyncio
import concurrent.futures

import httpx
import pytest

from seic.sandbox import Hold, Sandbox
from tests._support.sandbox_client import api_client, ask_token, assert_refused, call, get_token


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (400, "gateway.request.invalid", "false"),
        (401, "gateway.authentication.failure", "false"),
        (429, "gateway.request.invalid", "true"),
        (500, "gateway.internal.error", "true"),
        (503, "gateway.internal.error", "true"),
    ],
)
def test_planned_failure_has_the_error_body_of_the_gateway(
    status: int, code: str, transient: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """If it has no body of its own."""
    sandbox.fail_tokens(status)
    assert assert_refused(ask_token(api, sandbox), status, code)["transient"] == transient


@pytest.mark.parametrize("times", [0, 1, 2])
def test_failure_occurs_as_often_as_planned(times: int, api: httpx.Client, sandbox: Sandbox) -> None:
    """Then tokens are issued again."""
    sandbox.fail_tokens(times=times)
    assert [ask_token(api, sandbox).status_code for _ in range(3)] == [503] * times + [200] * (3 - times)


def test_failures_occur_in_the_order_of_planning(api: httpx.Client, sandbox: Sandbox) -> None:
    """A second plan starts after the first."""
    sandbox.fail_tokens(503, times=2)
    sandbox.fail_tokens(429)
    assert [ask_token(api, sandbox).status_code for _ in range(4)] == [503, 503, 429, 200]


def test_failure_has_its_own_headers_and_body(api: httpx.Client, sandbox: Sandbox) -> None:
    """They replace the sandbox's; the tracking id stays."""
    sandbox.fail_tokens(200, headers={"Content-Type": "text/html", "Retry-After": "7"}, body="<p>é</p>")
    reply = ask_token(api, sandbox)
    assert (reply.status_code, reply.text) == (200, "<p>é</p>")
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("text/html", "7")
    assert reply.headers["requesttrackingid"]


def test_failure_may_have_headers_and_the_default_body(api: httpx.Client, sandbox: Sandbox) -> None:
    """`Retry-After` in a response with the error body of the gateway."""
    sandbox.fail_tokens(headers={"Retry-After": "7"})
    reply = ask_token(api, sandbox)
    assert_refused(reply, 503, "gateway.internal.error")
    assert reply.headers["Retry-After"] == "7"


def test_api_requests_do_not_fail(api: httpx.Client, sandbox: Sandbox) -> None:
    """Planned failures are only for token endpoints."""
    token = get_token(api, sandbox)
    sandbox.fail_tokens(times=9)
    assert call(api, sandbox, token).status_code == 200


def test_tokens_are_revoked_without_telling_the_client(api: httpx.Client, sandbox: Sandbox) -> None:
    """One token, then all of them."""
    first, second, third = (get_token(api, sandbox) for _ in range(3))
    assert sandbox.revoke(first)
    assert [call(api, sandbox, token).status_code for token in (first, second, third)] == [401, 200, 200]
    assert sandbox.revoke_all() == 2
    assert [call(api, sandbox, token).status_code for token in (second, third)] == [401, 401]
    assert not sandbox.revoke(second)


def test_held_requests_wait_for_the_release(sandbox: Sandbox) -> None:
    """They are counted on arrival; each gets its token when the block ends."""
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        with sandbox.hold_tokens() as hold:
            calls = [pool.submit(_token_on_a_new_connection, sandbox) for _ in range(5)]
            hold.wait_for(5)
            assert (sandbox.counts.token_requests, sandbox.counts.tokens_issued) == (5, 0)
            assert not any(call.done() for call in calls)
        assert len({call.result(timeout=30) for call in calls}) == 5
    assert sandbox.counts.tokens_issued == 5


def _token_on_a_new_connection(sandbox: Sandbox) -> str:
    with api_client(sandbox) as client:
        return get_token(client, sandbox)


def test_api_requests_are_not_held(api: httpx.Client, sandbox: Sandbox) -> None:
    """An active token works while token responses are held."""
    token = get_token(api, sandbox)
    with sandbox.hold_tokens():
        assert call(api, sandbox, token).status_code == 200


def test_nothing_is_held_after_the_release(api: httpx.Client, sandbox: Sandbox) -> None:
    """Released in the block, at its end, or both."""
    with sandbox.hold_tokens() as hold:
        hold.release()
        assert get_token(api, sandbox)
        hold.release()
    assert get_token(api, sandbox)
    with sandbox.hold_tokens():
        pass
    assert get_token(api, sandbox)


def test_a_second_hold_is_refused(api: httpx.Client, sandbox: Sandbox) -> None:
    """Its end would otherwise end the first hold."""
    with sandbox.hold_tokens(), pytest.raises(RuntimeError, match="already held"), sandbox.hold_tokens():
        pass
    assert get_token(api, sandbox)


def test_waiting_for_requests_times_out(sandbox: Sandbox) -> None:
    """The error has the number of requests that arrived."""
    with sandbox.hold_tokens() as hold, pytest.raises(TimeoutError, match="0 of 1 token requests"):
        hold.wait_for(1, timeout=0)


def test_hold_may_end_after_the_sandbox() -> None:
    """The held request is cut when the sandbox stops; the release after that does not fail."""
    sandbox = Sandbox()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, sandbox.hold_tokens() as hold:
        with sandbox:
            call = pool.submit(_token_on_a_new_connection, sandbox)
            hold.wait_for(1)
        with pytest.raises(httpx.TransportError):
            call.result(timeout=30)


async def test_held_request_may_be_cancelled_before_the_release(caplog: pytest.LogCaptureFixture) -> None:
    """The release does not fail, and the event loop logs no error."""
    hold = Hold()
    call = asyncio.ensure_future(hold._wait_until_released())
    await asyncio.to_thread(hold.wait_for, 1)
    hold.release()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert "Exception in callback" not in caplog.text


def test_latency_delays_token_responses(api: httpx.Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no response of the API."""
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    class Asyncio:
        sleep = staticmethod(nap)

        def __getattr__(self, name: str) -> object:
            return getattr(asyncio, name)

    monkeypatch.setattr("seic.sandbox._server.fault_injection.asyncio", Asyncio())
    assert sandbox.token_latency == 0.0
    token = get_token(api, sandbox)
    sandbox.token_latency = 2.5
    ask_token(api, sandbox)
    call(api, sandbox, token)
    assert naps == [2.5]
    assert sandbox.token_latency == 2.5
