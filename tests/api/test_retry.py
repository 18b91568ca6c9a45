"""Idempotent requests are retried if that can help, and no others."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections import deque
from typing import Any

import httpx
import pytest
import trio

import seic
from seic import Retry, RetryTransport
from tests._support.api import KINDS, Async, Blocking, Kind
from tests._support.retrying import Answer, Plan, busy

IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
PAYLOAD = b"the whole body"


def send(kind: Kind, plan: Plan, method: str = "GET", retry: Retry | None = None, **options: Any) -> Any:
    """Make a call with a client that retries."""
    if not kind.is_async:
        transport = RetryTransport(Blocking(plan.api, kind.library), retry)
        with kind.library.Client(transport=transport) as client:
            return client.request(method, "https://api.example/v1?q=secret", **options)

    async def call() -> Any:
        transport = RetryTransport(Async(plan.api, kind.library), retry)
        async with kind.library.AsyncClient(transport=transport) as client:
            return await client.request(method, "https://api.example/v1?q=secret", **options)

    return asyncio.run(call())


def says(transient: str, status: int = 400) -> Answer:
    """Return an error in the gateway's format."""
    body = f'{{"code": "gateway.trouble", "message": "m", "transient": {transient}}}'.encode()
    return status, {"Content-Type": "application/json"}, body


@pytest.mark.parametrize("method", IDEMPOTENT)
def test_an_idempotent_call_is_repeated(kind: Kind, pauses: list[float], method: str) -> None:
    """The caller gets the last response; pauses grow, and are random below their limit."""
    plan = Plan(busy(), busy())
    assert send(kind, plan, method).status_code == 200
    assert plan.calls == 3
    assert pauses == [0.25, 0.5]


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT"])
def test_any_other_call_is_not(kind: Kind, pauses: list[float], method: str) -> None:
    """A second request could repeat its effect."""
    plan = Plan(busy())
    assert send(kind, plan, method).status_code == 503
    assert plan.calls == 1
    assert pauses == []


def test_the_last_response_is_returned(kind: Kind, pauses: list[float]) -> None:
    """It is returned unchanged after the last attempt."""
    plan = Plan(*[busy(body=b"%d" % number) for number in range(9)])
    reply = send(kind, plan, retry=Retry(attempts=4))
    assert (reply.status_code, reply.content) == (503, b"3")
    assert plan.calls == 4
    assert pauses == [0.25, 0.5, 1.0]


def test_one_attempt_is_no_retry(kind: Kind, pauses: list[float]) -> None:
    """This switches retries off."""
    plan = Plan(busy())
    assert send(kind, plan, retry=Retry(attempts=1)).status_code == 503
    assert plan.calls == 1


def test_the_response_of_a_failed_attempt_is_closed(kind: Kind, pauses: list[float]) -> None:
    """The next attempt needs its connection."""
    plan = Plan(busy(), busy())
    send(kind, plan)
    assert plan.api.closed == plan.calls == 3


@pytest.mark.parametrize(
    ("answer", "repeated"),
    [
        *[pytest.param(busy(status), True, id=str(status)) for status in (408, 429, 502, 503, 504)],
        *[pytest.param(busy(status), False, id=str(status)) for status in (400, 401, 403, 404, 409, 500, 501)],
        *[pytest.param(busy(status), False, id=str(status)) for status in (200, 302)],
        pytest.param(says('"true"'), True, id="transient: true"),
        pytest.param(says("true"), True, id="transient: true, a boolean"),
        pytest.param(says('"true"', 500), True, id="500, transient: true"),
        pytest.param(says('"false"', 503), False, id="503, transient: false"),
        pytest.param(says('"perhaps"', 503), True, id="503, transient: who knows"),
        pytest.param(says('"true"', 401), False, id="401, transient: true"),
        pytest.param((503, {"Content-Type": "text/html"}, says('"false"')[2]), True, id="a form that is no JSON"),
    ],
)
def test_the_providers_word_counts_for_more_than_the_status(
    kind: Kind, pauses: list[float], answer: Answer, repeated: bool
) -> None:
    """`transient` decides; without it, the status does. A rejected token is not retried."""
    plan = Plan(answer)
    reply = send(kind, plan)
    assert plan.calls == (2 if repeated else 1)
    if not repeated:
        assert (reply.status_code, reply.content) == (answer[0], answer[2])


@pytest.mark.parametrize(
    ("asked", "repeated"),
    [
        pytest.param("0", True, id="at once"),
        pytest.param("10", True, id="the longest that is waited"),
        pytest.param("11", False, id="longer"),
    ],
)
def test_retry_after_is_kept_to(kind: Kind, pauses: list[float], asked: str, repeated: bool) -> None:
    """To the second; if it is too long, the response is returned."""
    plan = Plan(busy(429, Retry_After=asked))
    reply = send(kind, plan)
    assert plan.calls == (2 if repeated else 1)
    assert pauses == ([float(asked)] if repeated else [])
    assert reply.status_code == (200 if repeated else 429)


def test_retry_after_may_be_a_date(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compared with the wall clock."""
    monkeypatch.setattr("seic._api.retry.time", lambda: 1_700_000_000.0)
    send(KINDS[0], Plan(busy(Retry_After="Tue, 14 Nov 2023 22:13:25 GMT")))
    assert pauses == [5]


@pytest.mark.parametrize(
    ("trouble", "repeated"),
    [
        ("ConnectError", True),
        ("ReadError", True),
        ("WriteError", True),
        ("RemoteProtocolError", True),
        ("ConnectTimeout", True),
        ("ReadTimeout", True),
        ("WriteTimeout", True),
        ("PoolTimeout", False),
        ("LocalProtocolError", False),
        ("UnsupportedProtocol", False),
        ("ProxyError", False),
    ],
)
def test_a_lost_connection_is_repeated(kind: Kind, pauses: list[float], trouble: str, repeated: bool) -> None:
    """Local errors are not retried."""
    error = getattr(kind.library, trouble)
    plan = Plan(error("lost"))
    if repeated:
        assert send(kind, plan).status_code == 200
    else:
        with pytest.raises(error):
            send(kind, plan)
    assert plan.calls == (2 if repeated else 1)


def test_the_last_loss_is_the_callers(kind: Kind, pauses: list[float]) -> None:
    """It is raised unchanged."""
    errors = [kind.library.ReadError(str(number)) for number in range(3)]
    with pytest.raises(kind.library.ReadError) as caught:
        send(kind, Plan(*errors))
    assert caught.value is errors[-1]


def test_an_error_of_ours_is_not_repeated(kind: Kind, pauses: list[float]) -> None:
    """A retry does not repair a certificate."""
    plan = Plan(seic.CertificateError("expired"))
    with pytest.raises(seic.CertificateError):
        send(kind, plan)
    assert plan.calls == 1


def because(error: Exception, cause: BaseException, *, by: str = "__cause__") -> Exception:
    """Return the error with its causes."""
    setattr(error, by, cause)
    return error


class RefusedCertificate(seic.CertificateError, httpx.ConnectError):
    """The error of a transport whose client certificate the server refused."""


@pytest.mark.parametrize("by", ["__cause__", "__context__"])
def test_a_verdict_on_a_certificate_is_not_repeated(kind: Kind, pauses: list[float], by: str) -> None:
    """The server's refusal of the client certificate, and the client's refusal of the server's, also as a cause."""
    unknown = ssl.SSLCertVerificationError("self-signed certificate")
    refused = RefusedCertificate("revoked", path="client.pem", reason="revoked")
    untrusted = because(kind.library.ConnectError("no"), because(OSError("below"), unknown, by=by), by=by)
    for error in (refused, untrusted):
        plan = Plan(error)
        with pytest.raises(type(error)) as caught:
            send(kind, plan)
        assert caught.value is error
        assert plan.calls == 1


def test_what_the_caller_was_handling_is_no_verdict(kind: Kind, pauses: list[float]) -> None:
    """Python chains it to a later lost connection, but it is not its cause."""
    plan = Plan(kind.library.ConnectError("lost"))
    try:
        raise ssl.SSLCertVerificationError("of another connection")
    except ssl.SSLCertVerificationError:
        assert send(kind, plan).status_code == 200
    assert plan.calls == 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.is_async], ids=lambda kind: kind.name)
def test_a_body_is_sent_again_whole_or_not_at_all(kind: Kind, pauses: list[float]) -> None:
    """A file is sent from its position; with a consumed body the first response is returned."""
    plan = Plan(busy())
    assert send(kind, plan, "PUT", content=io.BytesIO(PAYLOAD)).status_code == 200
    assert plan.api.bodies == [PAYLOAD] * 2

    plan = Plan(busy())
    assert send(kind, plan, "PUT", content=iter([PAYLOAD])).status_code == 503
    assert plan.calls == 1
    with pytest.raises(kind.library.ReadError):
        send(kind, Plan(kind.library.ReadError("lost")), "PUT", content=iter([PAYLOAD]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_async], ids=lambda kind: kind.name)
def test_an_async_body_that_is_used_up_is_not_sent_again(kind: Kind, pauses: list[float]) -> None:
    """Neither after a response nor after a lost connection."""

    async def once() -> Any:
        yield PAYLOAD

    plan = Plan(busy())
    assert send(kind, plan, "PUT", content=once()).status_code == 503
    with pytest.raises(kind.library.ReadError):
        send(kind, Plan(kind.library.ReadError("lost")), "PUT", content=once())
    assert pauses == []


def test_trio_pauses_as_well(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same transport works with trio."""
    answers = deque([httpx.Response(503), httpx.Response(200)])

    async def main() -> int:
        transport = RetryTransport(httpx.MockTransport(lambda _: answers.popleft()))
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get("https://api.example/")).status_code

    assert trio.run(main) == 200
    assert pauses == [0.25]


def test_each_repetition_is_told_without_the_query(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A query can contain private data."""
    with caplog.at_level(logging.INFO, "seic.api"):
        send(KINDS[0], Plan(busy(), httpx.ReadError("lost")))
    lines = [record.message for record in caplog.records if record.name == "seic.api"]
    assert len(lines) == 2
    assert all("GET https://api.example/v1" in line for line in lines)
    assert "503" in lines[0]
    assert "ReadError" in lines[1]
    assert "secret" not in "".join(lines)


async def test_a_streamed_answer_stays_a_stream(pauses: list[float]) -> None:
    """Only a possible error message is read."""
    plan = Plan(says('"true"'), (200, {}, PAYLOAD))
    async with (
        httpx.AsyncClient(transport=RetryTransport(Async(plan.api, httpx))) as client,
        client.stream("GET", "https://api.example/") as reply,
    ):
        assert not reply.is_stream_consumed
        assert await reply.aread() == PAYLOAD


async def test_a_streamed_error_can_still_be_read(pauses: list[float]) -> None:
    """It was read to find `transient`."""
    plan = Plan(says('"false"'))
    async with (
        httpx.AsyncClient(transport=RetryTransport(Async(plan.api, httpx))) as client,
        client.stream("GET", "https://api.example/") as reply,
    ):
        assert b"gateway.trouble" in await reply.aread()
