from __future__ import annotations

import threading

import httpx

from seic.sandbox import Counts, HostCounts, Sandbox
from seic.sandbox._server.counts import RequestCounter
from tests._support.far_side import api_client, ask_token, call, get_token, token_form


def test_counts_start_at_nothing(sandbox: Sandbox) -> None:
    """Before the first call all is zero."""
    assert sandbox.counts == Counts(api=HostCounts(), mtls=HostCounts())


def test_each_host_counts_its_own_and_the_sums_are_right(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """Every outcome has its counter, at the host where it happened."""
    token = get_token(api, sandbox)
    call(api, sandbox, token)
    call(api, sandbox, "dead")
    call(api, sandbox, token, "/nowhere")
    ask_token(api, sandbox, {**token_form(sandbox), "password": "wrong"})
    ask_token(api, sandbox, {"grant_type": "invalidate_token", "access_token": token})
    sandbox.fail_tokens()
    ask_token(mtls, sandbox)
    get_token(mtls, sandbox)
    assert sandbox.counts == Counts(
        connections=2,
        token_requests=5,
        tokens_issued=2,
        tokens_invalidated=1,
        token_refusals=1,
        token_faults=1,
        api_calls=3,
        api_refusals=1,
        api=HostCounts(
            connections=1,
            token_requests=3,
            tokens_issued=1,
            tokens_invalidated=1,
            token_refusals=1,
            api_calls=3,
            api_refusals=1,
        ),
        mtls=HostCounts(connections=1, token_requests=2, tokens_issued=1, token_faults=1),
    )


def test_snapshot_does_not_move(api: httpx.Client, sandbox: Sandbox) -> None:
    """What was read stays as it was."""
    before = sandbox.counts
    get_token(api, sandbox)
    assert (before.token_requests, sandbox.counts.token_requests) == (0, 1)


def test_connections_are_counted_and_not_calls(sandbox: Sandbox) -> None:
    """Two calls over one connection, and one over another."""
    for calls in (2, 1):
        with api_client(sandbox) as client:
            for _ in range(calls):
                call(client, sandbox, "dead")
    assert (sandbox.counts.connections, sandbox.counts.api_calls) == (2, 3)


def test_counter_loses_nothing_between_threads() -> None:
    """Many threads at once add up."""
    counter = RequestCounter()

    def count() -> None:
        for _ in range(500):
            counter.add("mtls", "api_calls")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.snapshot().mtls.api_calls == 4000
