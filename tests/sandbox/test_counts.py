"""The counts of requests, tokens and connections."""

from __future__ import annotations

import threading

import httpx

from seic.sandbox import Counts, HostCounts, Sandbox
from tests._support.sandbox_client import api_client, ask_token, call, get_token, token_form


def test_counts_start_at_zero(sandbox: Sandbox) -> None:
    """Before the first request."""
    assert sandbox.counts == Counts(api=HostCounts(), mtls=HostCounts())


def test_each_host_has_its_counts_and_the_sums_are_right(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """Every outcome is counted at its host."""
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


def test_counts_are_a_snapshot(api: httpx.Client, sandbox: Sandbox) -> None:
    """Later requests do not change them."""
    before = sandbox.counts
    get_token(api, sandbox)
    assert (before.token_requests, sandbox.counts.token_requests) == (0, 1)


def test_connections_are_counted_once(sandbox: Sandbox) -> None:
    """Two requests on one connection, and one on another."""
    for calls in (2, 1):
        with api_client(sandbox) as client:
            for _ in range(calls):
                call(client, sandbox, "dead")
    assert (sandbox.counts.connections, sandbox.counts.api_calls) == (2, 3)


def test_concurrent_requests_are_all_counted(sandbox: Sandbox) -> None:
    """Clients in several threads add up."""

    def send() -> None:
        with api_client(sandbox) as client:
            for _ in range(20):
                call(client, sandbox, "unknown")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sandbox.counts.connections, sandbox.counts.api_calls, sandbox.counts.api_refusals) == (4, 80, 80)
