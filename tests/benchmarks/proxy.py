"""Prints the tables of docs/proxy.md: `python -m tests.benchmarks.proxy`, two minutes; nginx and curl are needed.

The API of the requests per second is an nginx with mutual TLS. The callers of the proxy are aiohttp's client in this
process, which needs less time for a request than the proxy; the direct client is seic's in this process. The API of the
large bodies is the sandbox, and their caller is curl.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import attrs
import httpx

import seic
from seic.sandbox import Sandbox
from tests._support import pki
from tests._support.command import environment, variables_of
from tests._support.edge import Edge
from tests._support.running_proxy import RunningProxy
from tests._support.swapping import PairOnDisk, settings_for

_PATH = "/v1/x"
_ROUNDS, _SECONDS, _WARM_UP = 5, 2.0, 0.5
_MIB = 1 << 20
_GIB = 1 << 30


@attrs.frozen
class Rate:
    """The results of one run.

    Args:
        rate: Requests per second.
        milliseconds: The time of a request.
        processor: Microseconds of processor time of a request, in the client or in the proxy.
    """

    rate: float
    milliseconds: float
    processor: float


async def _measure(call: Callable[[], Awaitable[object]], callers: int, processor: Callable[[], float]) -> Rate:
    ended, is_over = 0, False

    async def repeat() -> None:
        nonlocal ended
        while not is_over:
            await call()
            ended += 1

    calling = [asyncio.create_task(repeat()) for _ in range(callers)]
    await asyncio.sleep(_WARM_UP)
    ended, begun, used = 0, time.perf_counter(), processor()
    await asyncio.sleep(_SECONDS)
    # At least one, so that a rate exists.
    number, took, used = max(ended, 1), time.perf_counter() - begun, processor() - used
    is_over = True
    await asyncio.gather(*calling)
    return Rate(number / took, 1000 * callers * took / number, 1e6 * used / number)


async def _direct(config: seic.Config, callers: int) -> Rate:
    async with seic.AsyncClient(config, timeout=httpx.Timeout(60)) as client:
        return await _measure(lambda: client.get(_PATH), callers, time.process_time)


async def _proxied(proxy: RunningProxy, callers: int) -> Rate:
    path = proxy.variables.get("PROXY_SOCKET")
    connector = aiohttp.TCPConnector(limit=callers) if path is None else aiohttp.UnixConnector(path, limit=callers)
    headers = {} if path is not None else {"Authorization": f"Bearer {proxy.secret}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def call() -> None:
            async with session.get(f"{proxy.url}{_PATH}") as response:
                assert response.status == 200
                await response.read()

        return await _measure(call, callers, lambda: _processor_seconds(proxy.process.pid))


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rates(folder: Path) -> Iterator[str]:
    root = pki.authority()
    disk = PairOnDisk(folder / "pair", pki.mint(issuer=root, number=1))
    (folder / "root.pem").write_bytes(root.pem)
    with Edge(folder / "nginx", root) as edge:
        config = settings_for(edge, root, certificate=disk.load())
        variables = {
            "SEIC_API_HOST": edge.host,
            "SEIC_MTLS_HOST": edge.host,
            "SEIC_CLIENT_ID": "AppKey-1",
            "SEIC_CLIENT_SECRET": "AppSecret-1",
            "SEIC_USERNAME": "svc-user",
            "SEIC_PASSWORD": "password-1",
            "SEIC_CERTIFICATE": str(disk.certificate),
            "SEIC_CERTIFICATE_KEY": str(disk.key),
            "SEIC_CA": str(folder / "root.pem"),
        }
        socket = ("--unix-socket", str(folder / "proxy.sock"))
        with environment(variables, folder), RunningProxy() as tcp, RunningProxy(*socket) as unix:
            for callers in (1, 200):
                runs: dict[str, list[Rate]] = {}
                for _ in range(_ROUNDS):
                    runs.setdefault("seic's client, direct", []).append(asyncio.run(_direct(config, callers)))
                    runs.setdefault("`seic proxy`, port", []).append(asyncio.run(_proxied(tcp, callers)))
                    runs.setdefault("`seic proxy`, Unix socket", []).append(asyncio.run(_proxied(unix, callers)))
                for name, each in runs.items():
                    rate = statistics.median(run.rate for run in each)
                    milliseconds = statistics.median(run.milliseconds for run in each)
                    processor = statistics.median(run.processor for run in each)
                    yield f"| {name} | {callers} | {rate:,.0f} | {milliseconds:.1f} ms | {processor:,.0f} µs |"


def _bodies(folder: Path) -> Iterator[str]:
    with Sandbox() as sandbox, environment(variables_of(sandbox, folder), folder), RunningProxy() as proxy:
        assert proxy.curl("/v1/slow?seconds=0").status == 200
        for version in ("--http1.1", "--http2-prior-knowledge"):
            name = "HTTP/1.1" if version == "--http1.1" else "HTTP/2"
            for what in ("download", "upload"):
                before = proxy.forget_peak()
                begun = time.perf_counter()
                received = _transfer(proxy, version, what)
                took = time.perf_counter() - begun
                assert received == _GIB
                peak = proxy.peak()
                yield (
                    f"| {what}, {name} | {_GIB / _MIB / took:,.0f} MiB/s | {before / _MIB:.0f} MiB | "
                    f"{peak / _MIB:.0f} MiB |"
                )


def _transfer(proxy: RunningProxy, version: str, what: str) -> int:
    """Move a GiB with curl; return the bytes that arrived."""
    if what == "download":
        command = proxy.curl_command(f"/v1/downloads/{_GIB}", version, "-o", "/dev/null", "-w", "%{size_download}")
        return int(subprocess.run(command, capture_output=True, check=True).stdout)
    command = [*proxy.curl_command("/v1/uploads", version, "-T", "-", "-X", "POST"), "--max-time", "600"]
    with contextlib.ExitStack() as stack:
        zeros = stack.enter_context(subprocess.Popen(["head", "-c", str(_GIB), "/dev/zero"], stdout=subprocess.PIPE))
        done = subprocess.run(command, stdin=zeros.stdout, capture_output=True, check=True)
    return int(done.stdout.rpartition(b'"length": ')[2].split(b",")[0])


def main() -> None:
    """Print each row once it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        head = "| client | callers | requests per second | time of a request | processor time of a request |"
        print(f"{head}\n|---|---|---|---|---|", flush=True)
        for row in _rates(Path(folder)):
            print(row, flush=True)
        print("\n| 1 GiB through the proxy | rate | memory before | largest memory |\n|---|---|---|---|", flush=True)
        for row in _bodies(Path(folder)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
