"""One TLS context for equal identities: shared by content, built once, and let go when it is not in use."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import threading
import warnings
import weakref
from pathlib import Path

import pytest

from seic import CertificateError, ClientCertificate
from seic._tls import context as module
from seic._tls.context import build_context, shared_context
from tests._support.pki import Minted, authority, mint, server
from tests._support.tls_servers import TlsServer


def test_one_context_serves_all_who_ask_for_the_same(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The content decides, not the files."""
    certificate, key = client.write(tmp_path)
    one = shared_context(ClientCertificate.load(certificate, key=key), root.pem)
    assert shared_context(ClientCertificate.load(client.pair), root.der) is one


def test_different_identities_authorities_and_protocols_never_share(client: Minted, root: Minted) -> None:
    """Another key, chain, authority or ALPN list has a context of its own."""
    between = mint("Between", issuer=root, ca=True, number=71)
    leaf = mint(issuer=between)
    contexts = [
        shared_context(None, root.pem),
        shared_context(ClientCertificate.load(client.pair), root.pem),
        shared_context(ClientCertificate.load(client.pair), between.pem),
        shared_context(ClientCertificate.load(client.pair), root.pem, alpn=["h2", "http/1.1"]),
        shared_context(ClientCertificate.load(leaf.pair), root.pem),
        shared_context(ClientCertificate.load(leaf.pair + between.pem), root.pem),
    ]
    assert len({id(context) for context in contexts}) == len(contexts)


def test_the_protocols_asked_for_are_offered(root: Minted) -> None:
    """The context offers the protocols that the caller names."""
    offered: list[str | None] = []
    identity = server(root)
    with TlsServer(identity, prepare=lambda far: far.set_alpn_protocols(["h2"])) as far:
        context = shared_context(None, root.pem, alpn=["h2"])
        with (
            socket.create_connection(("127.0.0.1", far.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as stream,
        ):
            offered.append(stream.selected_alpn_protocol())
    assert offered == ["h2"]


def test_two_threads_that_ask_at_once_build_once(client: Minted, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread waits for the first and gets the same context."""
    certificate = ClientCertificate.load(client.pair)
    building, go_on = threading.Event(), threading.Event()
    built: list[ssl.SSLContext] = []

    def slow(*arguments: object, **how: object) -> ssl.SSLContext:
        building.set()
        assert go_on.wait(10)
        built.append(build_context(*arguments, **how))  # type: ignore[arg-type]
        return built[-1]

    monkeypatch.setattr(module, "build_context", slow)
    found: list[ssl.SSLContext] = []
    threads = [threading.Thread(target=lambda: found.append(shared_context(certificate, root.pem))) for _ in range(2)]
    threads[0].start()
    assert building.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()

    assert len(built) == 1
    assert found == [built[0], built[0]]


def test_a_failed_build_is_not_kept(client: Minted, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call after a failure tries again."""
    certificate = ClientCertificate.load(client.pair)
    with monkeypatch.context() as patch:
        patch.setattr(module, "build_context", lambda *_, **__: (_ for _ in ()).throw(CertificateError("no")))
        with pytest.raises(CertificateError):
            shared_context(certificate, root.pem)
    assert isinstance(shared_context(certificate, root.pem), ssl.SSLContext)


def test_contexts_that_nobody_uses_leave_memory(root: Minted) -> None:
    """Only the last few contexts stay alive, and those in use."""
    in_use = shared_context(ClientCertificate.load(mint(issuer=root, number=20).pair), root.pem)
    identities = [ClientCertificate.load(mint(issuer=root, number=number).pair) for number in range(21, 31)]
    others = [weakref.ref(shared_context(identity, root.pem)) for identity in identities]
    gc.collect()
    assert [other() is not None for other in others] == [False] * 6 + [True] * 4
    assert shared_context(identities[-1], root.pem) is others[-1]()
    assert in_use is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_child_forked_during_a_build_is_not_locked_out(
    client: Minted, root: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that a thread of the parent holds at the fork is free in the child."""
    certificate = ClientCertificate.load(client.pair)
    building, go_on = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> ssl.SSLContext:
        building.set()
        assert go_on.wait(10)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    with monkeypatch.context() as patch:
        patch.setattr(module, "build_context", slow)
        thread = threading.Thread(target=shared_context, args=(None, root.der))
        thread.start()
        assert building.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork while threads run
        child = os.fork()
    if child == 0:
        import signal

        signal.alarm(10)
        os._exit(0 if isinstance(shared_context(certificate, root.pem), ssl.SSLContext) else 1)
    go_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_changed_bundle_has_a_context_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """The authorities' content decides, or the modification time of a bundle that OpenSSL reads."""
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    named = shared_context(None, path)
    assert shared_context(None, path) is named
    path.write_bytes(authority("Other Root", 71).pem)
    assert shared_context(None, path) is not named

    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    os.utime(path, ns=(1, 1))
    before = shared_context(None)
    assert shared_context(None) is before
    os.utime(path, ns=(2, 2))
    assert shared_context(None) is not before
