"""Forks: a child process is held up by nothing that the threads of its parent were doing."""

from __future__ import annotations

import ast
import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import seic
from seic import _discovery
from seic._runtime import Latch, Lock, survive_fork
from seic._tls import context, watching
from seic._tokens.lifeline import Lifeline
from seic.otel._telemetry import Telemetry
from tests._support.edge import Edge
from tests._support.forking import forks, in_child
from tests._support.pki import Minted, authority, mint
from tests._support.swapping import PairOnDisk, settings_for

_SOURCES = Path(seic.__file__).parent
#: What in `threading` and `queue` is a lock, or stands on one that a fork may leave held.
_BARE = {"RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Queue", "LifoQueue", "PriorityQueue"}

pytestmark = forks


@pytest.fixture
def root() -> Minted:
    """An authority."""
    return authority()


@pytest.fixture
def client(root: Minted, tmp_path: Path) -> Iterator[seic.Client]:
    """A client with everything that there is: a certificate, authorities in a file, a store."""
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
    """Everything that has a lock, and the lock's name, by the module that makes it; a new one belongs here too."""
    auth, transport = client._oauth, client._transport
    presenter = auth._presenter
    return {
        "_listeners.py": (auth._listeners, "_lock"),
        "_discovery.py": (_discovery, "_lock"),
        "_network/identity.py": (presenter, "_lock"),
        "_network/pools.py": (cast("Any", transport)._inner, "_lock"),
        "_runtime.py": (Latch(), "_lock"),
        "_tls/authorities.py": (presenter._authorities, "_lock"),
        "_tls/context.py": (context._SHARED, "_lock"),
        "_tls/rotation.py": (presenter._identity, "_lock"),
        "_tls/watching.py": (watching.WATCHER, "_lock"),
        "_tokens/keeping.py": (auth._source._keeper, "_lock"),
        "_tokens/keeping.py, while it writes": (auth._source._keeper, "_writing"),
        "_tokens/lifeline.py": (Lifeline(), "_lock"),
        "_tokens/spending.py": (auth._source._spendings, "_lock"),
        "_tokens/state.py": (auth._source.state, "_lock"),
        "otel/_telemetry.py": (Telemetry(cast("Any", None), {}, token_url="https://idp.example/", http=False), "_lock"),
    }


def test_no_lock_of_the_parent_holds_the_child_up(client: seic.Client) -> None:
    """A thread of the parent holds them all at the fork, and does not exist in the child: there each is free."""
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
    return {name for name in made if name in {"Lock", "threading.Lock"} or name.rpartition(".")[2] in _BARE}


def test_every_lock_survives_a_fork_and_is_tested_for_it(client: seic.Client) -> None:
    """No module makes a bare lock but the one that renews them; who makes one of these stands in the list above.

    The sandbox is left out: its server is a thread of the process that started it, and a child has none.
    """
    made = {
        path.relative_to(_SOURCES).as_posix(): _made_in(path)
        for path in _SOURCES.rglob("*.py")
        if path.relative_to(_SOURCES).parts[0] != "sandbox"
    }
    assert {path: names - {"Lock"} for path, names in made.items() if names - {"Lock"}} == {
        "_runtime.py": {"threading.RLock"}
    }
    covered = {name.partition(",")[0] for name in holders(client)}
    assert covered == {path for path, names in made.items() if names}


def test_who_survives_is_told_once_and_is_not_kept_alive() -> None:
    """Each heir begins anew in the child, with its locks free; what nobody else holds is gone."""

    class Heir:
        def __init__(self, lock: Any) -> None:
            self.lock = lock
            self.told = 0

        def after_fork(self) -> None:
            with self.lock:
                self.told += 1

    lock = Lock()
    heirs = [Heir(lock), Heir(lock)]
    for heir in heirs:
        survive_fork(heir)
        survive_fork(heir)
    assert in_child(lambda: [heir.told for heir in heirs]) == "[1, 1]"
    assert [heir.told for heir in heirs] == [0, 0]


def test_the_child_does_not_speak_on_its_parents_connections(root: Minted, tmp_path: Path) -> None:
    """Both go on calling after a fork, the parent on the connection that it has and the child on one of its own."""
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
