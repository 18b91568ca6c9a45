"""Moves: how often control passes from one file of seic to another, counted with `sys.setprofile`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import httpx

import seic
from tests._support import pki
from tests._support.tls_servers import TlsServer

_ROOT = str(Path(seic.__file__).parent)
#: The longest wait for a rotation, in seconds.
_PATIENCE = 10.0


@attrs.frozen
class Moves:
    """Calls of functions, files entered, and moves between files."""

    calls: int
    files: int
    moves: int

    def __str__(self) -> str:
        return f"{self.calls} · {self.files} · {self.moves}"


_VALUES = str(Path(seic.__file__).with_name("_values.py"))
#: The reading of changed files, in a thread of its own.
_READING = (str(Path(_ROOT, "_tls", "reload.py")), "_run")
_EVENT = vars(seic.events.Event)["__init__"].__code__


class Counter:
    """Counts in every thread that runs while it is on."""

    def __init__(self) -> None:
        self.calls = 0
        self.moves = 0
        self.files: set[str] = set()
        self._last: dict[int, str] = {}
        self._reading: int | None = None

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Count a call that `sys.setprofile` reports; each step of a coroutine is one."""
        file = frame.f_code.co_filename
        # Methods that events or values share are not counted, as those that attrs and dataclasses generate are not.
        if event != "call" or not file.startswith(_ROOT) or frame.f_code is _EVENT or file == _VALUES:
            return
        thread = threading.get_ident()
        if (file, frame.f_code.co_name) == _READING:
            self._reading = thread
        # The checks of files while others are read are as many as the reading takes time.
        if self._reading not in (None, thread):
            return
        self.calls += 1
        self.files.add(file)
        if self._last.get(thread) != file:
            self.moves += 1
            self._last[thread] = file

    @property
    def counted(self) -> Moves:
        """The figures so far."""
        return Moves(self.calls, len(self.files), self.moves)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Count in this block."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


# The names of `seic` are imported at their first use, and are not part of a request.
for _name in (*seic.__all__, *seic.events.__all__):
    getattr(seic, _name, None)


class _Provider:
    """A token endpoint and an API in memory, which rejects the tokens that it is told to.

    The moves of `MockProvider`, which is a part of seic, would be counted.
    """

    def __init__(self) -> None:
        self._issued = 0
        self._revoked: set[bytes] = set()

    def revoke(self) -> None:
        """Reject the last token from now on."""
        self._revoked.add(f"token-{self._issued}".encode())

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        if request.url.path.endswith("oauthtoken"):
            self._issued += 1
            token = {"access_token": f"token-{self._issued}", "token_type": "BearerToken", "expires_in": "3599"}
            return httpx.Response(200, json=token)
        # Raw, as on the wire: to read it as text is the API's work.
        sent = dict(request.headers.raw)[b"Authorization"]
        if any(sent.endswith(token) for token in self._revoked):
            return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return httpx.Response(200, json={})


def of_calls() -> dict[str, Moves]:
    """Count one call with a fresh token, one without a token, and one whose token is rejected."""
    # The first of a process imports modules.
    asyncio.run(_of_calls())
    return asyncio.run(_of_calls())


async def _of_calls() -> dict[str, Moves]:
    counted: dict[str, Moves] = {}
    provider = _Provider()
    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
    )
    async with seic.AsyncClient(config, transport=httpx.MockTransport(provider.answer)) as client:
        # The second call is the one whose headers are not yet known, so the fresh one is the third.
        for name in ("no token", "warm-up", "fresh", "401"):
            if name == "401":
                provider.revoke()
            counter = Counter()
            with counter.on():
                reply = await client.get("/v1/echo")
            assert reply.status_code == 200
            counted[name] = counter.counted
    return counted


def of_rotation() -> Moves:
    """Count a rotation of two files, from the swap on disk to the last listener; the next call presents the new pair.

    A check of the files may fall between the two swaps, so the least of three runs counts. Each has a process of its
    own, in which no other certificate is watched.
    """
    program = "from tests.structure import moves; print(*moves.count_rotation())"
    command = [sys.executable, "-W", "ignore", "-c", program]
    runs = [
        subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    return min((Moves(*map(int, run.stdout.split())) for run in runs), key=lambda one: one.moves)


def count_rotation() -> tuple[int, int, int]:
    """Count a rotation in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return attrs.astuple(asyncio.run(_of_rotation(Path(folder))))


async def _of_rotation(folder: Path) -> Moves:
    root = pki.authority()
    certificate, key = pki.mint(issuer=root).write(folder)
    rotated = asyncio.Event()
    telling: list[threading.Thread] = []
    loop = asyncio.get_running_loop()
    staged = folder / "staged"
    staged.mkdir()
    renewed = pki.mint(issuer=root, number=1).write(staged)

    def listen(event: object) -> None:
        if isinstance(event, seic.events.CertificateRotated):
            telling.append(threading.current_thread())
            loop.call_soon_threadsafe(rotated.set)

    with TlsServer(pki.server(root), trusts=root) as server:
        config = seic.Config(
            provider=seic.SEI_GATEWAY,
            client_id="AppKey-1",
            client_secret="AppSecret-1",
            grant=seic.ClientCredentials(username="svc-user", password="password-1"),
            hosts=seic.Hosts(mtls=f"localhost:{server.port}", api=f"localhost:{server.port}"),
            certificate=seic.ClientCertificate.load(certificate, key=key),
            ca=root.pem,
            # The swap alone is counted, without the request that tries a renewed certificate.
            probe_rotation=False,
        )
        auth = seic.OAuth2Auth(config, on_event=listen)
        counter = Counter()
        # The thread that watches the files begins with the first call, and is counted from the swap on.
        threading.setprofile(counter)
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client:
            assert (await client.get("/")).status_code == 200
            counter.calls, counter.moves, counter.files = 0, 0, set()
            with counter.on():
                for new, old in zip(renewed, (certificate, key), strict=True):
                    new.replace(old)
                await asyncio.wait_for(rotated.wait(), _PATIENCE)
                # The event was told to this listener, perhaps not yet to those of the library.
                await asyncio.to_thread(telling[0].join)
            counted = counter.counted
            assert (await client.get("/")).status_code == 200
        await auth.aclose()
        assert len(set(server.peers)) == 2
    return counted
