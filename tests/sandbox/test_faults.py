"""Named faults of token and API requests, over HTTP/1.1 and HTTP/2, and changes of state."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

import seic
from seic.sandbox import Fault, FaultName, FaultTarget, MockClock, Sandbox
from tests._support.sandbox_client import ask_token, call, client_context, get_token, mtls_client

_Ask = Callable[[], httpx.Response]


@pytest.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"])
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the api host that speaks one version."""
    context = client_context(sandbox.ca_pem)
    with httpx.Client(base_url=sandbox.api_url, verify=context, http1=not request.param, http2=request.param) as client:
        yield client


@pytest.fixture(params=["token", "api"])
def target(request: pytest.FixtureRequest) -> FaultTarget:
    """The target of the faults."""
    target: FaultTarget = request.param
    return target


@pytest.fixture
def ask(client: httpx.Client, sandbox: Sandbox, target: FaultTarget) -> _Ask:
    """Send a request to the target."""
    if target == "token":
        return lambda: ask_token(client, sandbox)
    token = get_token(client, sandbox)
    return lambda: call(client, sandbox, token)


@pytest.mark.parametrize(("fault", "status", "retry_after"), [("500", 500, None), ("503", 503, "7"), ("429", 429, "7")])
def test_a_status(
    fault: FaultName, status: int, retry_after: str | None, sandbox: Sandbox, target: FaultTarget, ask: _Ask
) -> None:
    """With the error body of the dialect, as often as asked for."""
    sandbox.inject(fault, target=target, times=2, seconds=None if retry_after is None else 7)
    replies = [ask() for _ in range(3)]
    assert [reply.status_code for reply in replies] == [status, status, 200]
    assert replies[0].headers.get("Retry-After") == retry_after
    assert replies[0].json()["transient"] == "true"
    counts = sandbox.counts
    assert (counts.token_faults, counts.api_faults) == ((2, 0) if target == "token" else (0, 2))


@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_a_broken_response(fault: FaultName, sandbox: Sandbox, target: FaultTarget, ask: _Ask) -> None:
    """The client sees no response, and the next request works."""
    sandbox.inject(fault, target=target)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        ask()
    assert ask().status_code == 200


def test_half_a_body_arrives_of_a_truncated_response(client: httpx.Client, sandbox: Sandbox) -> None:
    """Its length is announced."""
    token = get_token(client, sandbox)
    whole = call(client, sandbox, token).content
    sandbox.inject("truncated", target="api")
    headers = {"AppKey": sandbox.client_id, "Authorization": f"Bearer {token}"}
    with client.stream("GET", "/v1/echo", headers=headers) as reply:
        assert reply.headers["Content-Length"] == str(len(whole))
        chunks = reply.iter_raw()
        received = next(chunks)
        with pytest.raises(httpx.RemoteProtocolError):
            next(chunks)
    assert received == whole[: len(whole) // 2]


def test_a_page_and_an_empty_body(sandbox: Sandbox, target: FaultTarget, ask: _Ask) -> None:
    """In place of JSON, with status 200."""
    sandbox.inject("html", target=target)
    sandbox.inject("empty", target=target)
    page, empty, last = ask(), ask(), ask()
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.text.startswith("<!doctype html>")
    assert (empty.status_code, empty.content) == (200, b"")
    assert last.json()


def test_an_error_with_status_200(sandbox: Sandbox, target: FaultTarget, ask: _Ask) -> None:
    """The body of the dialect's error."""
    sandbox.inject("error-in-200", target=target)
    reply = ask()
    assert (reply.status_code, reply.json()["code"]) == (200, "gateway.internal.error")


def test_a_redirect_to_another_host(sandbox: Sandbox, target: FaultTarget, ask: _Ask) -> None:
    """The path and the port are the same, so that a client that follows arrives here."""
    sandbox.inject("redirect", target=target)
    reply = ask()
    assert reply.status_code == 307
    there = httpx.URL(reply.headers["Location"])
    assert (there.host, there.port, there.path) == ("127.0.0.1", reply.url.port, reply.url.path)


def test_a_token_without_a_lifetime(client: httpx.Client, sandbox: Sandbox) -> None:
    """The token works."""
    sandbox.inject("no-expires-in")
    form = ask_token(client, sandbox).json()
    assert "expires_in" not in form
    assert call(client, sandbox, form["access_token"]).status_code == 200
    assert "expires_in" in ask_token(client, sandbox).json()


def test_a_slow_response(sandbox: Sandbox, target: FaultTarget, ask: _Ask, client: httpx.Client) -> None:
    """It is late by the seconds, or by nothing."""
    sandbox.inject("slow", target=target, seconds=60)
    sandbox.inject("slow", target=target, seconds=0)
    client.timeout = httpx.Timeout(30, read=0.1)
    with pytest.raises(httpx.ReadTimeout):
        ask()
    client.timeout = httpx.Timeout(30)
    assert ask().status_code == 200


def test_a_fault_without_an_end(sandbox: Sandbox, target: FaultTarget, ask: _Ask) -> None:
    """It holds until it is cleared; counted faults precede it, and a second one replaces it."""
    sandbox.inject("500", target=target, times=None)
    sandbox.inject("503", target=target, times=None)
    sandbox.inject("429", target=target)
    assert [ask().status_code for _ in range(3)] == [429, 503, 503]
    assert sandbox.faults == [Fault(name="503", target=target, times=None)]
    sandbox.clear_faults("api" if target == "token" else "token")
    assert ask().status_code == 503
    sandbox.clear_faults(target)
    assert (sandbox.faults, ask().status_code) == ([], 200)


def test_the_faults_that_are_left(sandbox: Sandbox, client: httpx.Client) -> None:
    """Equal ones together."""
    sandbox.inject("500", times=3)
    sandbox.inject("html", target="api")
    ask_token(client, sandbox)
    assert sandbox.faults == [Fault(name="500", times=2), Fault(name="html", target="api")]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "418"}, "fault"),
        ({"name": "500", "target": "x"}, "target"),
        ({"name": "500", "times": 0}, "times"),
        ({"name": "500", "seconds": 1}, "seconds"),
        ({"name": "slow", "seconds": -1}, "seconds"),
        ({"name": "slow", "seconds": float("nan")}, "seconds"),
        ({"name": "no-expires-in", "target": "api"}, "no-expires-in"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, object], field: str) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match=field):
        Fault(**values)  # type: ignore[arg-type] # that is the test


async def test_the_client_reads_the_pause(sandbox: Sandbox) -> None:
    """`Retry-After` arrives in the error of seic."""
    sandbox.inject("503", times=None, seconds=7)
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        with pytest.raises(seic.TokenEndpointUnavailable) as caught:
            await client.get("/v1/echo")
    assert caught.value.retry_after == 7


def test_tokens_expire_now(sandbox: Sandbox, api: httpx.Client) -> None:
    """And no later one does."""
    first = get_token(api, sandbox)
    assert (sandbox.expire_all(), sandbox.expire_all()) == (1, 0)
    reply = call(api, sandbox, first)
    assert (reply.status_code, reply.json()["message"]) == (401, "The access token has expired.")
    assert call(api, sandbox, get_token(api, sandbox)).status_code == 200


def test_tokens_idle_out(sandbox: Sandbox, api: httpx.Client) -> None:
    """As after 30 minutes without use."""
    token = get_token(api, sandbox)
    assert sandbox.idle_out_all() == 1
    reply = call(api, sandbox, token)
    assert (reply.status_code, reply.json()["message"]) == (401, "The access token was not used for too long.")


def test_the_wall_clock_is_wrong(sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """In `Date` and in tokens; lifetimes are right."""
    sandbox.clock_skew = -3600
    reply = api.post(
        "/oauth/v2/token", auth=(sandbox.client_id, sandbox.client_secret), data={"grant_type": "client_credentials"}
    )
    form = reply.json()
    date = email.utils.parsedate_to_datetime(reply.headers["Date"]).timestamp()
    assert date == pytest.approx(time.time() - 3600, abs=60)
    known = api.post(
        "/oauth/v2/introspect",
        auth=(sandbox.client_id, sandbox.client_secret),
        data={"token": form["access_token"]},
    ).json()
    assert known["iat"] == pytest.approx(date, abs=60)
    clock.advance(form["expires_in"] - 1)
    assert api.get("/v1/echo", headers={"Authorization": f"Bearer {form['access_token']}"}).status_code == 200
    sandbox.clock_skew = 0
    date = email.utils.parsedate_to_datetime(api.get("/").headers["Date"]).timestamp()
    assert date == pytest.approx(time.time(), abs=60)


def test_a_certificate_is_refused_by_an_alert(sandbox: Sandbox) -> None:
    """The others work, and so does it later; its open connections are closed."""
    refused, other = sandbox.issue_certificate(), sandbox.issue_certificate()
    with mtls_client(sandbox, refused) as client, mtls_client(sandbox, other) as working:
        assert ask_token(client, sandbox).status_code == 200
        sandbox.refuse_certificate(refused)
        assert sandbox.refused_certificates == {refused.thumbprint}
        assert ask_token(working, sandbox).status_code == 200
        with mtls_client(sandbox, refused) as fresh, pytest.raises(httpx.ReadError, match=r"(?i)certificate.revoked"):
            ask_token(fresh, sandbox)
        with mtls_client(sandbox, other) as fresh:
            assert ask_token(fresh, sandbox).status_code == 200
        with pytest.raises(httpx.TransportError):
            ask_token(client, sandbox)
    sandbox.accept_certificates()
    with mtls_client(sandbox, refused) as client:
        assert ask_token(client, sandbox).status_code == 200


async def test_the_refusal_is_explained(sandbox: Sandbox) -> None:
    """As a `CertificateError` of seic."""
    sandbox.refuse_certificate()
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        with pytest.raises(seic.CertificateError):
            await client.get("/v1/echo")


def test_without_an_mtls_host_no_certificate_can_be_refused() -> None:
    """Behind a proxy, which completes the handshakes."""
    with Sandbox(behind_proxy=True) as sandbox, pytest.raises(RuntimeError, match="no mtls host"):
        sandbox.refuse_certificate()
