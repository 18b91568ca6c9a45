"""Measures how late a renewed certificate is used next to a saturated event loop.

Run it by `python -m tests.benchmarks.saturation`. The loop runs callbacks of 1 ms (and, for comparison, 20 ms) without
idle time, so that the thread that checks the files competes for the interpreter with it. nginx is the server, and the
certificate is proven by a request of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from pathlib import Path

import seic
from seic.events import CertificateRotated
from tests._support.edge import Edge
from tests._support.pki import authority, mint
from tests._support.swapping import PairOnDisk, settings_for

_PATIENCE = 60.0


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def rotate(folder: Path, edge: Edge, callback: float) -> float:
    """Return the seconds from the swap of the files to the event, in a loop with callbacks of this many seconds."""
    root = authority()
    disk = PairOnDisk(folder, mint(issuer=root, number=91))
    rotated = threading.Event()
    config = settings_for(edge, root, certificate=disk.load())

    def hear(event: seic.events.Event) -> None:
        if isinstance(event, CertificateRotated):
            rotated.set()

    async with seic.AsyncClient(config, on_event=hear) as client:
        await client.get("/v1/echo")
        renewed = mint(issuer=root, number=92)
        begun = time.perf_counter()
        disk.put(renewed)
        while not rotated.is_set():
            _spin(callback)
            await asyncio.sleep(0 if callback else 0.01)
            if time.perf_counter() - begun > _PATIENCE:
                raise TimeoutError
        seconds = time.perf_counter() - begun
        serial = (await client.get("/v1/echo")).json()["serial"]
        if serial.lstrip("0") != f"{renewed.certificate.serial_number:X}".lstrip("0"):
            raise RuntimeError("the next call presents another certificate")
    return seconds


def main() -> None:
    """Print the median and the longest time for each length of callbacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name, Edge(Path(name) / "nginx", authority()) as edge:
        for callback in (0.0, 0.001, 0.02):
            taken = [asyncio.run(rotate(Path(name) / f"{callback}-{number}", edge, callback)) for number in range(runs)]
            words = f"callbacks of {callback * 1000:2.0f} ms" if callback else "an idle loop      "
            print(f"{words}  median {statistics.median(taken):.2f} s  longest {max(taken):.2f} s")


if __name__ == "__main__":
    main()
