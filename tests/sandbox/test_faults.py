from __future__ import annotations

import asyncio
import concurrent.futures

import httpx
import pytest

from seic.sandbox import Hold, Sandbox
from seic.sandbox._server import faults as faults_module
from tests._support.far_side import api_client, ask_token, assert_refused, call, get_token


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
def test_failure_comes_in_the_gateways_form(
    status: int, code: str, transient: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """Without a body of its own a planned failure looks like one of the gateway's."""
    sandbox.fail_tokens(status)
    assert assert_refused(ask_token(api, sandbox), status, code)["transient"] == transient


@pytest.mark.parametrize("times", [0, 1, 2])
def test_failure_comes_as_often_as_planned(times: int, api: httpx.Client, sandbox: Sandbox) -> None:
    """Then tokens are issued again."""
    sandbox.fail_tokens(times=times)
    assert [ask_token(api, sandbox).status_code for _ in range(3)] == [503] * times + [200] * (3 - times)


def test_failures_come_in_the_order_of_their_planning(api: httpx.Client, sandbox: Sandbox) -> None:
    """A second plan waits for the first to end."""
    sandbox.fail_tokens(503, times=2)
    sandbox.fail_tokens(429)
    assert [ask_token(api, sandbox).status_code for _ in range(4)] == [503, 503, 429, 200]


def test_failure_has_its_own_headers_and_body(api: httpx.Client, sandbox: Sandbox) -> None:
    """They replace what the sandbox would have sent; the tracking id stays."""
    sandbox.fail_tokens(200, headers={"Content-Type": "text/html", "Retry-After": "7"}, body="<p>é</p>")
    reply = ask_token(api, sandbox)
    assert (reply.status_code, reply.text) == (200, "<p>é</p>")
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("text/html", "7")
    assert reply.headers["requesttrackingid"]


def test_form_of_a_failure_takes_headers_too(api: httpx.Client, sandbox: Sandbox) -> None:
    """A pause can be asked for in the gateway's own form."""
    sandbox.fail_tokens(headers={"Retry-After": "7"})
    reply = ask_token(api, sandbox)
    assert_refused(reply, 503, "gateway.internal.error")
    assert reply.headers["Retry-After"] == "7"


def test_api_calls_do_not_fail(api: httpx.Client, sandbox: Sandbox) -> None:
    """FaultInjector are the token endpoint's alone."""
    token = get_token(api, sandbox)
    sandbox.fail_tokens(times=9)
    assert call(api, sandbox, token).status_code == 200


def test_revocation_behind_the_clients_back(api: httpx.Client, sandbox: Sandbox) -> None:
    """One token, then all of them."""
    first, second, third = (get_token(api, sandbox) for _ in range(3))
    assert sandbox.revoke(first)
    assert [call(api, sandbox, token).status_code for token in (first, second, third)] == [401, 200, 200]
    assert sandbox.revoke_all() == 2
    assert [call(api, sandbox, token).status_code for token in (second, third)] == [401, 401]
    assert not sandbox.revoke(second)


def test_held_answers_wait_for_the_release(sandbox: Sandbox) -> None:
    """All that arrive are held, and counted as requests; each gets its token once the block ends."""
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        with sandbox.hold_tokens() as hold:
            calls = [pool.submit(_token_over_a_connection_of_its_own, sandbox) for _ in range(5)]
            hold.wait_for(5)
            assert (sandbox.counts.token_requests, sandbox.counts.tokens_issued) == (5, 0)
            assert not any(call.done() for call in calls)
        assert len({call.result(timeout=30) for call in calls}) == 5
    assert sandbox.counts.tokens_issued == 5


def _token_over_a_connection_of_its_own(sandbox: Sandbox) -> str:
    with api_client(sandbox) as client:
        return get_token(client, sandbox)


def test_api_answers_are_not_held(api: httpx.Client, sandbox: Sandbox) -> None:
    """A live token serves while token answers are held back."""
    token = get_token(api, sandbox)
    with sandbox.hold_tokens():
        assert call(api, sandbox, token).status_code == 200


def test_after_the_release_nothing_is_held(api: httpx.Client, sandbox: Sandbox) -> None:
    """Released inside the block or by its end, and both again."""
    with sandbox.hold_tokens() as hold:
        hold.release()
        assert get_token(api, sandbox)
        hold.release()
    assert get_token(api, sandbox)
    with sandbox.hold_tokens():
        pass
    assert get_token(api, sandbox)


def test_answers_are_held_by_one_at_a_time(api: httpx.Client, sandbox: Sandbox) -> None:
    """A second hold would end the first by its own end."""
    with sandbox.hold_tokens(), pytest.raises(RuntimeError, match="held already"), sandbox.hold_tokens():
        pass
    assert get_token(api, sandbox)


def test_waiting_for_calls_that_do_not_come_ends(sandbox: Sandbox) -> None:
    """The error tells how many came."""
    with sandbox.hold_tokens() as hold, pytest.raises(TimeoutError, match="0 of 1 token calls"):
        hold.wait_for(1, timeout=0)


def test_hold_outlives_the_sandbox() -> None:
    """A call that is held as the sandbox stops is cut; the release after that is no error."""
    sandbox = Sandbox()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, sandbox.hold_tokens() as hold:
        with sandbox:
            call = pool.submit(_token_over_a_connection_of_its_own, sandbox)
            hold.wait_for(1)
        with pytest.raises(httpx.TransportError):
            call.result(timeout=30)


async def test_released_call_may_have_been_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """A waiter that was cancelled just before the release is no error, not in the loop's log either."""
    hold = Hold()
    call = asyncio.ensure_future(hold.pass_through())
    await asyncio.to_thread(hold.wait_for, 1)
    hold.release()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert "Exception in callback" not in caplog.text


def test_latency_delays_the_answer(api: httpx.Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token answer waits so many seconds, and no API answer does."""
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    class Asyncio:
        sleep = staticmethod(nap)

        def __getattr__(self, name: str) -> object:
            return getattr(asyncio, name)

    monkeypatch.setattr(faults_module, "asyncio", Asyncio())
    assert sandbox.token_latency == 0.0
    token = get_token(api, sandbox)
    sandbox.token_latency = 2.5
    ask_token(api, sandbox)
    call(api, sandbox, token)
    assert naps == [2.5]
    assert sandbox.token_latency == 2.5
