"""The cost of starting: imports, the first call of a process, new clients and configurations, and the idle watcher.

Programs run in processes of their own, in turn with the same work on httpx alone. The figures are processor time (user
and system) of a whole process, its interpreter included, and its largest memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import sys
import tempfile
import time
import timeit
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import httpx

import seic
from tests._support import pki
from tests.benchmarks.libraries import SEIC
from tests.benchmarks.rows import Effort, Figure, Row
from tests.benchmarks.token_server import TokenServer

#: The names of a program with a client, and the same for httpx alone.
PROGRAMS = {
    "httpx": "import httpx",
    "seic": "import seic",
    "names": "from seic import SEI_GATEWAY, AsyncClient, ClientCertificate, ClientCredentials, Config, Hosts",
}

_SETTINGS = """
import seic
config = seic.Config(
    provider=seic.OAUTH2, hosts=seic.Hosts(api="{url}"), client_id="AppKey", client_secret="secret",
    grant=seic.ClientCredentials(), ca="{ca}", trust_env=False,
)
"""
_BY_HAND = """
import httpx, ssl
context = ssl.create_default_context(cafile="{ca}")
settings = dict(verify=context, base_url="{url}", trust_env=False)
form, auth = {{"grant_type": "client_credentials"}}, ("AppKey", "secret")
"""
FIRST_CALLS = {
    "async": (
        _BY_HAND
        + """
import asyncio
async def main():
    async with httpx.AsyncClient(**settings) as client:
        token = (await client.post("/oauth/v2/token", data=form, auth=auth)).json()["access_token"]
        assert (await client.get("/v1/x", headers={{"Authorization": "Bearer " + token}})).status_code == 200
asyncio.run(main())
""",
        _SETTINGS
        + """
import asyncio
async def main():
    async with seic.AsyncClient(config) as client:
        assert (await client.get("/v1/x")).status_code == 200
asyncio.run(main())
""",
    ),
    "blocking": (
        _BY_HAND
        + """
with httpx.Client(**settings) as client:
    token = client.post("/oauth/v2/token", data=form, auth=auth).json()["access_token"]
    assert client.get("/v1/x", headers={{"Authorization": "Bearer " + token}}).status_code == 200
""",
        _SETTINGS
        + """
with seic.Client(config) as client:
    assert client.get("/v1/x").status_code == 200
""",
    ),
}


@attrs.frozen
class Cost:
    """The cost of a process.

    Args:
        seconds: Processor time.
        mebibytes: The largest memory.
    """

    seconds: float
    mebibytes: float


def run(program: str) -> Cost:
    """Run a program in a new process, and return its cost.

    Raises:
        RuntimeError: It failed.
    """
    # Compiled modules are kept, as after an installation.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.NamedTemporaryFile("r", encoding="ascii") as status_file:
        # The memory that `wait4` reports is at least that of this process.
        whole = f"{program}\nopen({status_file.name!r}, 'w').write(open('/proc/self/status').read())"
        process = os.posix_spawn(sys.executable, [sys.executable, "-W", "ignore", "-c", whole], environment)
        _, status, usage = os.wait4(process, 0)
        if status:
            raise RuntimeError(f"the program failed: {program}")
        kibibytes = next(line for line in status_file if line.startswith("VmHWM:")).split()[1]
    return Cost(usage.ru_utime + usage.ru_stime, int(kibibytes) / 1024)


def compare_imports(rounds: int) -> Mapping[str, Cost]:
    """Return the cost of `PROGRAMS`: seconds relative to those of httpx, the median of all rounds, and MiB more."""
    costs = _run_in_turn(PROGRAMS, rounds)
    return {
        name: Cost(
            _median_ratio(costs[name], costs["httpx"]), _median_memory(costs[name]) - _median_memory(costs["httpx"])
        )
        for name in ("seic", "names")
    }


def compare_first_calls(rounds: int) -> Mapping[str, float]:
    """Return the processor time of import, context, token and call relative to httpx by hand, by kind of client."""
    authority = pki.authority()
    with tempfile.TemporaryDirectory() as folder:
        pair, ca = Path(folder, "server.pem"), Path(folder, "ca.pem")
        pair.write_bytes(pki.server(authority).pair)
        ca.write_bytes(authority.pem)
        with TokenServer(pair) as server:
            found = {}
            for kind, programs in FIRST_CALLS.items():
                named = dict(
                    zip(("httpx", "seic"), (one.format(url=server.url, ca=ca) for one in programs), strict=True)
                )
                costs = _run_in_turn(named, rounds)
                found[kind] = _median_ratio(costs["seic"], costs["httpx"])
            return found


def time_new_objects(calls: int) -> Mapping[str, float]:
    """Return the microseconds of a new client of a known identity, and of a configuration with a known `ca`."""
    with tempfile.TemporaryDirectory() as folder:
        root = pki.authority()
        ca = Path(folder, "ca.pem")
        ca.write_bytes(root.pem)
        # It was not written just now: such a file is read each time.
        os.utime(ca, (time.time() - 3600,) * 2)
        certificate = _certificate(Path(folder), root)

        def configure() -> seic.Config:
            return seic.Config(
                provider=seic.OAUTH2,
                hosts=seic.Hosts(mtls="https://mtls.example"),
                client_id="AppKey",
                client_secret="secret",
                grant=seic.ClientCredentials(),
                certificate=certificate,
                ca=ca,
            )

        config = configure()
        kept = seic.AsyncClient(config), seic.Client(config)
        found = {
            "AsyncClient": _time(lambda: seic.AsyncClient(config), calls),
            "Client": _time(lambda: seic.Client(config), calls),
            "Config": _time(configure, calls),
        }
        del kept
        return found


def watch_idle(certificates: int, seconds: float) -> float:
    """Return the share of a processor that the watching thread takes while no file changes, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result")
        call = f"watch_in_this_process({certificates}, {seconds}, {str(result)!r})"
        run(f"from tests.benchmarks import cold_start; cold_start.{call}")
        return float(result.read_text(encoding="ascii"))


def watch_in_this_process(certificates: int, seconds: float, result: str) -> None:
    """Watch certificates, and write the share of the processor to a file; for a process of its own."""
    root = pki.authority()
    minted = pki.mint(issuer=root)
    with tempfile.TemporaryDirectory() as folder:
        ca = Path(folder, "ca.pem")
        ca.write_bytes(root.pem)
        clients = []
        for number in range(certificates):
            place = Path(folder, str(number))
            place.mkdir()
            certificate, key = minted.write(place)
            config = seic.Config(
                provider=seic.OAUTH2,
                hosts=seic.Hosts(mtls="https://localhost:9"),
                client_id="AppKey",
                grant=seic.ClientCredentials(),
                client_secret="secret",
                certificate=seic.ClientCertificate.load(certificate, key=key),
                ca=ca,
            )
            clients.append(httpx.Client(transport=seic.Transport(config), base_url=config.base_url))
            with contextlib.suppress(httpx.ConnectError):
                clients[-1].get("/")  # nothing listens there, but the identity is in use now
        gc.collect()
        gc.freeze()
        begun, used = time.monotonic(), time.process_time()
        time.sleep(seconds)
        share = (time.process_time() - used) / (time.monotonic() - begun)
        Path(result).write_text(str(100 * share), encoding="ascii")


def _certificate(folder: Path, root: pki.Minted) -> seic.ClientCertificate:
    certificate, key = pki.mint(issuer=root).write(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", seic.CertificateWarning)
        return seic.ClientCertificate.load(certificate, key=key)


def _run_in_turn(programs: Mapping[str, str], rounds: int) -> dict[str, list[Cost]]:
    for program in programs.values():
        run(program)  # reads the files once
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            costs[name].append(run(program))
    return costs


def _median_ratio(costs: list[Cost], others: list[Cost]) -> float:
    return statistics.median(one.seconds / other.seconds for one, other in zip(costs, others, strict=True))


def _median_memory(costs: list[Cost]) -> float:
    return statistics.median(cost.mebibytes for cost in costs)


def _time(call: Callable[[], object], calls: int) -> float:
    return min(timeit.repeat(call, number=calls, repeat=5)) / calls * 1e6


def rows(effort: Effort, say: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of the table, each after its measurement."""
    say("imports")
    imports = compare_imports(effort.starts)
    what = "import seic against import httpx"
    yield _row(what, Figure("processor time", 0.3), imports["seic"].seconds)
    yield _row(what, Figure("the same, with a client's names", 1.6), imports["names"].seconds)
    yield _row(what, Figure("memory more, with the names", 4, digits=1, unit=" MiB"), imports["names"].mebibytes)
    say("first calls")
    for kind, ratio in compare_first_calls(effort.starts).items():
        limit = {"async": 1.4, "blocking": 1.6}[kind]
        yield _row("first call of a process against httpx by hand", Figure(kind, limit), ratio)
    say("new clients and configurations")
    for kind, took in time_new_objects(effort.instructions).items():
        yield _row("new object, all files known", Figure(kind, 100, digits=0, unit=" µs"), took)
    for certificates, limit in ((1, 0.2), (1000, 2.0)):
        say(f"{certificates} certificates watched")
        share = watch_idle(certificates, effort.idle)
        figure = Figure("processor", limit, unit=" %")
        yield _row(f"files of {certificates} certificate{'s' * (certificates > 1)} watched", figure, share)


def _row(what: str, figure: Figure, value: float) -> Row:
    return Row(what, figure, {SEIC.name: value})
