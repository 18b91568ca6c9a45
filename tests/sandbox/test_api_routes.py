"""Routes of the API for transfers, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.sandbox_client import client_context

_MIB = 1 << 20


@pytest.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"])
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client with a token that speaks one version."""
    with httpx.Client(
        base_url=sandbox.api_url,
        verify=client_context(sandbox.ca_pem),
        http1=not request.param,
        http2=request.param,
        headers={"Authorization": f"Bearer {sandbox.issue()}"},
    ) as client:
        yield client


async def test_pages_by_link(sandbox: Sandbox) -> None:
    """The client of seic follows them."""
    async with seic.AsyncClient(sandbox.config()) as client:
        pages = [page.json() async for page in client.pages("/v1/pages")]
    assert pages == [[{"number": 1}, {"number": 2}], [{"number": 3}, {"number": 4}], [{"number": 5}, {"number": 6}]]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload(method: str, client: httpx.Client, sandbox: Sandbox) -> None:
    """Its length and its digest come back."""
    content = b"x" * (3 * _MIB)
    reply = client.request(method, "/v1/uploads", content=content)
    assert reply.json() == {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert sandbox.received()[-1].body == content[:65536]


@pytest.mark.parametrize("size", [0, 1, 65521, 3 * _MIB])
def test_a_download(size: int, client: httpx.Client) -> None:
    """Its length is known before it begins, also to HEAD."""
    reply = client.get(f"/v1/downloads/{size}")
    assert (reply.status_code, len(reply.content), reply.headers["Content-Length"]) == (200, size, str(size))
    head = client.head(f"/v1/downloads/{size}")
    assert (head.headers["Content-Length"], head.headers["Accept-Ranges"], head.content) == (str(size), "bytes", b"")


@pytest.mark.parametrize(
    ("range_", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=70000-", 70000, 200_000),
        ("bytes=65520-65522", 65520, 65523),
        ("bytes=-5", 199_995, 200_000),
        ("bytes=199999-300000", 199_999, 200_000),
    ],
)
def test_a_range(range_: str, start: int, end: int, client: httpx.Client) -> None:
    """It is a part of the whole."""
    whole = client.get("/v1/downloads/200000")
    reply = client.get("/v1/downloads/200000", headers={"Range": range_, "If-Range": whole.headers["ETag"]})
    assert (reply.status_code, reply.content) == (206, whole.content[start:end])
    assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/200000"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=10-"}, 416),
        ({"Range": "bytes=x"}, 400),
        ({"Range": "bytes=1-", "If-Range": '"other"'}, 200),
    ],
)
def test_a_range_that_does_not_fit(headers: dict[str, str], status: int, client: httpx.Client) -> None:
    """Beyond the end, malformed, or of other content."""
    reply = client.get("/v1/downloads/10", headers=headers)
    assert reply.status_code == status
    if status == 416:
        assert reply.headers["Content-Range"] == "bytes */10"


def test_a_download_that_is_too_large(client: httpx.Client) -> None:
    """The limit is 1 GiB."""
    assert client.get(f"/v1/downloads/{(1 << 30) + 1}").status_code == 404


@pytest.mark.parametrize(
    ("accept", "kind", "line"),
    [
        ("*/*", "application/x-ndjson", '{"number": 3}\n'),
        ("text/event-stream", "text/event-stream", 'data: {"number": 3}\n\n'),
    ],
)
def test_a_stream(accept: str, kind: str, line: str, client: httpx.Client) -> None:
    """Lines of JSON, or events."""
    reply = client.get("/v1/stream", params={"count": 3}, headers={"Accept": accept})
    assert reply.headers["Content-Type"].startswith(kind)
    assert reply.text.endswith(line)
    assert reply.text.count("number") == 3


def test_a_stream_arrives_in_parts(client: httpx.Client) -> None:
    """The first line is here before the second one, which is a minute late."""
    with client.stream("GET", "/v1/stream", params={"count": 2, "interval": 60}) as reply:
        assert json.loads(next(reply.iter_lines())) == {"number": 1}


def test_an_empty_stream(client: httpx.Client) -> None:
    """It ends at once."""
    assert client.get("/v1/stream", params={"count": 0}).content == b""


def test_a_slow_route(client: httpx.Client) -> None:
    """As slow as the request says."""
    assert client.get("/v1/slow", params={"seconds": 0}).json() == {"seconds": 0}
    with pytest.raises(httpx.ReadTimeout):
        client.get("/v1/slow", params={"seconds": 60}, timeout=httpx.Timeout(30, read=0.1))


@pytest.mark.parametrize(
    "path",
    ["/v1/slow?seconds=x", "/v1/slow?seconds=61", "/v1/slow?seconds=nan", "/v1/stream?count=-1", "/v1/pages?page=4"],
)
def test_a_number_out_of_range(path: str, client: httpx.Client) -> None:
    """Status 400."""
    assert client.get(path).status_code == 400


@pytest.mark.parametrize("path", ["/v1/pages", "/v1/downloads/1", "/v1/slow?seconds=0", "/v1/stream"])
def test_they_need_a_token_and_a_method(path: str, api: httpx.Client, client: httpx.Client) -> None:
    """As all routes of the API."""
    assert api.get(path).status_code == 401
    assert client.delete(path).status_code == 404
    assert client.get("/v1/uploads").status_code == 404
