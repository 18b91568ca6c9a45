"""The command `python -m tests.benchmarks.growth`, which `nox -s growth` runs: what grows in a process that runs long.

One async client makes calls over TLS with a client certificate, while tokens are renewed and the certificate's files
are replaced. Memory, file descriptors, tasks and threads at the end are compared with those after the first fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import attrs

import seic
from tests._support import pki
from tests.benchmarks.token_server import TokenServer

_CALLERS = 20
#: The growth of memory that is not counted: the allocator's fragments, in MiB.
_NOISE = 2.0


@attrs.frozen
class Holdings:
    """Resources of the process.

    Args:
        memory: Resident memory, in MiB.
        descriptors: Open file descriptors.
        tasks: Tasks of the event loop.
        threads: Threads.
    """

    memory: float
    descriptors: int
    tasks: int
    threads: int

    @classmethod
    async def count(cls, client: seic.AsyncClient) -> Holdings:
        """Count when the client is at rest, with one connection."""
        await client.get("/v1/x")
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - no disk is involved
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
        return cls(resident / 1024**2, descriptors, len(asyncio.all_tasks()), threading.active_count())


def growth(before: Holdings, after: Holdings) -> dict[str, float]:
    """Return what has grown, and by how much."""
    changes = {name: after_value - getattr(before, name) for name, after_value in attrs.asdict(after).items()}
    return {name: change for name, change in changes.items() if change > (_NOISE if name == "memory" else 0)}


async def measure(folder: Path, url: str, *, calls: int, renewals: int, rotations: int) -> tuple[Holdings, Holdings]:
    """Return what the process holds after the first fifth of the calls, and after all."""
    root = pki.authority()
    pairs = [pki.mint(issuer=root, number=90 + number) for number in range(2)]
    certificate, key = pairs[0].write(folder)
    config = seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(mtls=url),
        client_id="AppKey",
        client_secret="secret",
        grant=seic.ClientCredentials(),
        certificate=seic.ClientCertificate.load(certificate, key=key),
        ca=folder / "ca.pem",
    )
    before: Holdings | None = None
    parts, rotated = max(renewals, 1), 0
    async with seic.AsyncClient(config) as client:

        async def call(count: int) -> None:
            for _ in range(count):
                assert (await client.get("/v1/x")).status_code == 200

        for part in range(parts):
            if before is None and part * 5 >= parts:
                before = await Holdings.count(client)
            if rotated * parts < part * rotations:
                rotated += 1
                pairs[rotated % 2].write(folder)
                assert await client.reload_certificate()
            await client.token(force=True)
            await asyncio.gather(*(call(max(1, calls // parts // _CALLERS)) for _ in range(_CALLERS)))
        after = await Holdings.count(client)
    return before or after, after


def main() -> int:
    """Measure, print, and return 1 if anything has grown."""
    parser = argparse.ArgumentParser(prog="nox -s growth --", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--renewals", type=int, default=1_000)
    parser.add_argument("--rotations", type=int, default=300)
    given = parser.parse_args()
    warnings.simplefilter("ignore", seic.CertificateWarning)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = pki.authority()
        (folder / "server.pem").write_bytes(pki.server(root).pair)
        (folder / "ca.pem").write_bytes(root.pem)
        with TokenServer(folder / "server.pem") as server:
            before, after = asyncio.run(measure(folder, server.url, **vars(given)))
    print(
        f"{given.calls} calls, {given.renewals} renewals, {given.rotations} rotations: {time.monotonic() - begun:.0f} s"
    )
    for field in attrs.fields(Holdings):
        print(f"{field.name:12} {getattr(before, field.name):8.1f} {getattr(after, field.name):8.1f}")
    grown = growth(before, after)
    print("nothing has grown" if not grown else f"grown: {grown}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
