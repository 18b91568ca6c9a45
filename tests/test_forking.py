"""Forks: no lock or connection of the parent's threads blocks a child process."""

from __future__ import annotations

import ast
import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

import seic
from seic import _discovery
from seic._api.rate_limit import RateLimit
from seic._concurrency import SingleFlight
from seic._tls import context
from seic.otel._telemetry import Telemetry
from tests._support.edge import Edge
from tests._support.forking import forks, in_child
from tests._support.pki import Minted, authority, mint
from tests._support.swapping import PairOnDisk, settings_for

#: The locks that are free in a child.
_SAFE = {"Lock", "ForkSafeLock"}
_SOURCES = Path(seic.__file__).parent
#: Classes of `threading` and `queue` that are or contain a lock, which can be held after a fork.
_BARE = {"RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Queue", "LifoQueue", "PriorityQueue"}

pytestmark = forks


@pytest.fixture
def root() -> Minted:
    """Return an authority."""
    return authority()


@pytest.fixture
def client(root: Minted, tmp_path: Path) -> Iterator[seic.Client]:
    """Return a client with a certificate, authorities in a file, and a store."""
    (tmp_path / "ca.pem").write_bytes(root.pem)
    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        hosts=seic.Hosts(mtls="mtls.example"),
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
        certificate=PairOnDisk(tmp_path / "pair", mint(issuer=root)).load(),
        ca=tmp_path / "ca.pem",
        store=seic.MemoryStore(),
    )
    with seic.Client(config) as made:
        yield made


def holders(client: seic.Client) -> dict[str, tuple[Any, str]]:
    """Return all objects with a lock and the name of its attribute, by module; add new ones here."""
    auth, transport = client._oauth, client._transport
    identity = auth._identity
    return {
        "_api/rate_limit.py": (RateLimit("api.example"), "_lock"),
        "_auth.py": (auth, "_lock"),
        "_concurrency.py": (SingleFlight(), "_lock"),
        "_listeners.py": (auth._listeners, "_lock"),
        "_discovery.py": (_discovery, "_lock"),
        "_identity.py": (identity, "_lock"),
        "_identity.py, while it falls back": (identity, "_recovery"),
        "_network/identity_transport.py": (cast("Any", transport)._open(httpx.Request), "_lock"),
        "_tls/context.py": (context, "_lock"),
        "_tokens/cache.py": (auth._source.cache, "_lock"),
        "_tokens/single_use.py": (auth._source._memory, "_lock"),
        "_tokens/store_guard.py": (auth._source._guard, "_lock"),
        "_tokens/store_guard.py, while it writes": (auth._source._guard, "_writing"),
        "otel/_telemetry.py": (Telemetry(cast("Any", None), {}, token_url="https://idp.example/", http=False), "_lock"),
    }


def test_no_lock_of_the_parent_holds_the_child_up(client: seic.Client) -> None:
    """A thread of the parent holds all locks during the fork; in the child they are free."""
    owners = holders(client)
    locked, unlock = threading.Event(), threading.Event()

    def keep_them() -> None:
        with contextlib.ExitStack() as held:
            for owner, name in owners.values():
                held.enter_context(getattr(owner, name))
            locked.set()
            assert unlock.wait(60)

    def give_up(*_: object) -> None:
        raise TimeoutError

    def take_them() -> str:
        held: list[str] = []
        signal.signal(signal.SIGALRM, give_up)
        for what, (owner, name) in owners.items():
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            try:
                # By the thread that forked: a new one may have the number of the one that stayed in the parent.
                with getattr(owner, name):
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeoutError:
                held.append(what)
        return ", ".join(held) or "all are free"

    keeping = threading.Thread(target=keep_them)
    keeping.start()
    assert locked.wait(10)
    try:
        said = in_child(take_them)
    finally:
        unlock.set()
        keeping.join()
    assert said == "all are free"


def _made_in(path: Path) -> set[str]:
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    made = {ast.unparse(call.func) for call in calls}
    return {
        name for name in made if name in {"Lock", "threading.Lock", "ForkSafeLock"} or name.rpartition(".")[2] in _BARE
    }


def test_every_lock_survives_a_fork_and_is_tested_for_it(client: seic.Client) -> None:
    """Only modules with state of one process create plain locks; all others are in the list above.

    The sandbox and the command are left out: their servers are threads of the process that started them, and a child
    has none. So are the tests of stores.
    """
    made = {
        path.relative_to(_SOURCES).as_posix(): _made_in(path)
        for path in _SOURCES.rglob("*.py")
        if path.relative_to(_SOURCES).parts[0] not in {"cli", "sandbox", "testing"}
    }
    bare = {path for path, names in made.items() if names - _SAFE}
    assert bare <= {"_pool.py", "_portal.py", "_tls/watcher.py"}
    covered = {name.partition(",")[0] for name in holders(client)}
    assert covered - bare == {path for path, names in made.items() if names} - bare


def test_the_child_does_not_speak_on_its_parents_connections(root: Minted, tmp_path: Path) -> None:
    """Both make calls after a fork, the parent on its connection and the child on a new one."""
    certificate = PairOnDisk(tmp_path / "pair", mint(issuer=root)).load()
    with (
        Edge(tmp_path / "nginx", root) as edge,
        seic.Client(settings_for(edge, root, certificate=certificate)) as client,
    ):

        def call() -> int:
            return client.get("/").status_code

        assert call() == 200
        for _ in range(2):
            assert in_child(call) == "200"
            assert call() == 200


def test_the_child_watches_its_certificate_by_itself(root: Minted, tmp_path: Path) -> None:
    """The watching thread stayed in the parent: the child's first call starts another."""
    disk, new = PairOnDisk(tmp_path / "pair", mint(issuer=root)), mint(issuer=root, key="rsa", number=6)
    with (
        Edge(tmp_path / "nginx", root) as edge,
        seic.Client(settings_for(edge, root, certificate=disk.load())) as client,
    ):
        assert client.get("/").status_code == 200

        def follow() -> bool:
            rotated = threading.Event()
            client.listen(lambda event: rotated.set() if isinstance(event, seic.events.CertificateRotated) else None)
            assert client.get("/").status_code == 200
            disk.put(new)
            return rotated.wait(10) and client.get("/").status_code == 200

        assert in_child(follow) == "True"
