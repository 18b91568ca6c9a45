"""TLS contexts: never weaker than TLS 1.2 with every check on, shared by content, and clear when OpenSSL refuses."""

from __future__ import annotations

import gc
import inspect
import os
import ssl
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from seic._errors import CertificateError
from seic._tls import context as module
from seic._tls.certificate import ClientCertificate
from seic._tls.context import build_context, create_ssl_context, shared_context
from seic._tls.reasons import CertificateWarning, Reason
from seic._tls.trust import Trust, read_trust
from tests._support.pki import DAY, NOW, Minted, mint, server, signed_over_sha1
from tests._support.tls_servers import TLS12, TLS13, TlsServer, call


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_the_client_presents_its_certificate_and_chain(kind: str, version: ssl.TLSVersion, root: Minted) -> None:
    """A server that knows the root alone accepts a client with an intermediate, over TLS 1.2 and 1.3."""
    between = mint("Between", issuer=root, ca=True, number=71)
    client = mint(issuer=between, key=kind)
    context = create_ssl_context(certificate=ClientCertificate.load(client.pair + between.pem), ca=root.pem)
    with TlsServer(server(root), trusts=root, version=version) as far:
        assert call(context, far.port).endswith(b"ok")
    assert far.peers == [client.der]


def test_a_function_may_give_the_certificate(root: Minted, client: Minted) -> None:
    """What a configuration takes, a context takes, too: it is asked once."""
    loaded = ClientCertificate.load(client.pair)
    with TlsServer(server(root), trusts=root) as far:
        assert call(create_ssl_context(certificate=lambda: loaded, ca=root.pem), far.port).endswith(b"ok")
    assert far.peers == [client.der]


def test_without_a_certificate_none_is_presented(root: Minted) -> None:
    """A context for the plain host presents nothing, even where it is asked."""
    with TlsServer(server(root), trusts=root, demand=False) as far:
        assert call(create_ssl_context(ca=root.pem), far.port).endswith(b"ok")
    assert far.peers == [None]


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_every_check_is_on(platform: str, client: Minted) -> None:
    """TLS 1.2 is the floor, certificate and host name are checked, compression and renegotiation are off."""
    context = build_context(ClientCertificate.load(client.pair), read_trust(platform=platform))
    assert context.minimum_version == TLS12
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_stricter_policy_stays(root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python's own contexts begin at TLS 1.3, seic's do not go below."""

    def strict(trust: Trust) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = TLS13
        return context

    monkeypatch.setattr(Trust, "new_context", strict)
    assert build_context(None, read_trust(root.pem)).minimum_version == TLS13


@pytest.mark.parametrize("policy", ["TLSv1", "TLSv1.2", "TLSv1.3"])
def test_the_systems_min_protocol_counts_as_far_as_python_heeds_it(policy: str, root: Minted, tmp_path: Path) -> None:
    """The floor is TLS 1.2 under any openssl.cnf, and above that what Python leaves of the system's policy."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(
        f"openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMinProtocol = {policy}\n"
    )
    (tmp_path / "ca.pem").write_bytes(root.pem)
    program = (
        "import ssl, sys; from seic._tls.context import create_ssl_context\n"
        "print(int(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).minimum_version))\n"
        "print(int(create_ssl_context(ca=sys.argv[1]).minimum_version))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "ca.pem"],
        env={"OPENSSL_CONF": str(configuration), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    pythons, ours = map(int, done.stdout.split())
    assert ours == max(pythons, ssl.TLSVersion.TLSv1_2)


def test_an_authority_that_has_ended_is_warned_of(root: Minted) -> None:
    """Who builds a context is told at once, with the authority's name."""
    old = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with pytest.warns(CertificateWarning, match="ca: the authority CN=Old Root expired on") as warned:
        create_ssl_context(ca=root.pem + old.pem)
    assert warned[0].filename == __file__


def test_no_argument_turns_a_check_off() -> None:
    """The public function takes a certificate and authorities, and nothing else."""
    assert set(inspect.signature(create_ssl_context).parameters) == {"certificate", "ca"}


def test_no_secrets_are_logged_for_a_debugger(root: Minted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE, which would write every session's keys to a file, is not followed."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    assert create_ssl_context(ca=root.pem).keylog_filename is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_tls_1_1_is_refused(root: Minted) -> None:
    """A server that speaks nothing newer is not spoken to."""
    old = TlsServer(
        server(root), version=ssl.TLSVersion.TLSv1_1, prepare=lambda far: far.set_ciphers("ALL:@SECLEVEL=0")
    )
    with old as far, pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|protocol version"):
        call(create_ssl_context(ca=root.pem), far.port)


@pytest.mark.parametrize(
    ("days", "reason"), [pytest.param((-9, -1), Reason.EXPIRED), pytest.param((1, 9), Reason.NOT_YET_VALID)]
)
def test_a_certificate_outside_its_dates_makes_no_context(days: tuple[int, int], reason: Reason, root: Minted) -> None:
    """The public function refuses it before any handshake."""
    minted = mint(issuer=root, not_before=NOW + days[0] * DAY, not_after=NOW + days[1] * DAY)
    with pytest.raises(CertificateError) as caught:
        create_ssl_context(certificate=ClientCertificate.load(minted.pair), ca=root.pem)
    assert caught.value.reason == reason


def test_what_deserves_a_warning_is_issued_at_the_callers_line(root: Minted) -> None:
    """A certificate that ends soon warns once, and the warning points to the user's own code."""
    minted = mint(issuer=root, not_before=NOW - 300 * DAY, not_after=NOW + 5 * DAY)
    with pytest.warns(CertificateWarning, match="expires on") as caught:
        create_ssl_context(certificate=ClientCertificate.load(minted.pair), ca=root.pem)
    assert len(caught) == 1
    assert caught[0].filename == __file__


WEAK: dict[str, tuple[Callable[[Minted], Minted], Reason, str, str]] = {
    "rsa-1024": (lambda root: mint(issuer=root, key="rsa1024"), Reason.WEAK_KEY, "RSA 1024", "RSA 2048 or EC P-256"),
    "sha-1": (
        lambda root: signed_over_sha1(mint(issuer=root)),
        Reason.WEAK_SIGNATURE,
        "its signature uses MD5 or SHA-1",
        "signed with SHA-256",
    ),
}


@pytest.mark.parametrize("row", WEAK)
def test_what_openssl_refuses_is_said_with_the_remedy(
    row: str, root: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """A key or signature below the system's security level is an error that names file, subject, level and remedy."""
    make, reason, why, remedy = WEAK[row]
    minted = make(root)
    certificate_path, key = minted.write(tmp_path)
    certificate = ClientCertificate.load(certificate_path, key=key)

    with pytest.raises(CertificateError) as caught:
        create_ssl_context(certificate=certificate, ca=root.pem)

    error = caught.value
    assert (error.reason, error.path) == (reason, str(certificate_path))
    assert isinstance(error.__cause__, ssl.SSLError)
    for word in ("CN=svc-user", why, "have CN=Test Root issue a new one", remedy, "security level 2"):
        assert word in str(error)
    assert_no_leak(error, keys=(minted,))


def test_another_refusal_of_openssl_carries_its_own_word(
    client: Minted, root: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no translation is told in OpenSSL's word, with the original as the cause."""

    def refuse(*_: object) -> None:
        error = ssl.SSLError(1, "no")
        error.reason = "UNKNOWN_CERTIFICATE_TYPE"
        raise error

    monkeypatch.setattr(module, "load_cert_chain_from_memory", refuse)
    with pytest.raises(CertificateError, match="UNKNOWN_CERTIFICATE_TYPE") as caught:
        build_context(ClientCertificate.load(client.pair), read_trust(root.pem))
    assert caught.value.reason == Reason.REFUSED_BY_OPENSSL


def test_one_context_serves_all_who_ask_for_the_same(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The context is shared by content: where the material came from makes no difference."""
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
    """ALPN is set where a caller says so."""
    offered: list[str | None] = []
    identity = server(root)
    with TlsServer(identity, prepare=lambda far: far.set_alpn_protocols(["h2"])) as far:
        import socket

        context = shared_context(None, root.pem, alpn=["h2"])
        with (
            socket.create_connection(("127.0.0.1", far.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as stream,
        ):
            offered.append(stream.selected_alpn_protocol())
    assert offered == ["h2"]


def test_two_threads_that_ask_at_once_build_once(client: Minted, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread builds, the other waits and gets the same context."""
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
    """After a failure the next one who asks tries again."""
    certificate = ClientCertificate.load(client.pair)
    with monkeypatch.context() as patch:
        patch.setattr(module, "build_context", lambda *_, **__: (_ for _ in ()).throw(CertificateError("no")))
        with pytest.raises(CertificateError):
            shared_context(certificate, root.pem)
    assert isinstance(shared_context(certificate, root.pem), ssl.SSLContext)


def test_contexts_that_nobody_uses_leave_memory(root: Minted) -> None:
    """Rotation after rotation, only a few of the last contexts stay alive; one in use always does."""
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
    """A lock that some thread of the parent holds at the fork is free in the child."""
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
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
        child = os.fork()
    if child == 0:
        import signal

        signal.alarm(10)
        os._exit(0 if isinstance(shared_context(certificate, root.pem), ssl.SSLContext) else 1)
    go_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
