"""TLS contexts: at least TLS 1.2, every check on, and a clear error if OpenSSL refuses the certificate."""

from __future__ import annotations

import inspect
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seic import CertificateError, CertificateWarning, ClientCertificate, Reason, create_ssl_context
from tests._support.pki import DAY, NOW, Minted, mint, server, signed_over_sha1
from tests._support.tls_servers import TLS12, TLS13, TlsServer, call


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_the_client_presents_its_certificate_and_chain(kind: str, version: ssl.TLSVersion, root: Minted) -> None:
    """A server that knows only the root accepts a client with an intermediate, over TLS 1.2 and 1.3."""
    between = mint("Between", issuer=root, ca=True, number=71)
    client = mint(issuer=between, key=kind)
    context = create_ssl_context(certificate=ClientCertificate.load(client.pair + between.pem), ca=root.pem)
    with TlsServer(server(root), trusts=root, version=version) as far:
        assert call(context, far.port).endswith(b"ok")
    assert far.peers == [client.der]


def test_a_function_may_give_the_certificate(root: Minted, client: Minted) -> None:
    """A context accepts a callback, as a configuration does."""
    loaded = ClientCertificate.load(client.pair)
    with TlsServer(server(root), trusts=root) as far:
        assert call(create_ssl_context(certificate=lambda: loaded, ca=root.pem), far.port).endswith(b"ok")
    assert far.peers == [client.der]


def test_without_a_certificate_none_is_presented(root: Minted) -> None:
    """A context without a certificate presents none, even if the server asks for one."""
    with TlsServer(server(root), trusts=root, demand=False) as far:
        assert call(create_ssl_context(ca=root.pem), far.port).endswith(b"ok")
    assert far.peers == [None]


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_every_check_is_on(platform: str, client: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS 1.2 is the minimum, certificate and host name are checked, compression is off."""
    monkeypatch.setattr(sys, "platform", platform)
    context = create_ssl_context(certificate=ClientCertificate.load(client.pair))
    assert context.minimum_version == TLS12
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.options & ssl.OP_NO_COMPRESSION
    assert create_ssl_context().options & ssl.OP_NO_RENEGOTIATION  # without a certificate there is nothing to ask for


def test_a_stricter_policy_stays(root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Python's own contexts begin at TLS 1.3, seic's do too."""
    make = ssl.SSLContext.__new__

    def make_strict(kind: type[ssl.SSLContext], *arguments: Any, **how: Any) -> ssl.SSLContext:
        context = make(kind, *arguments, **how)
        context.minimum_version = TLS13
        return context

    monkeypatch.setattr(ssl.SSLContext, "__new__", make_strict)
    assert create_ssl_context(ca=root.pem).minimum_version == TLS13


@pytest.mark.parametrize("policy", ["TLSv1", "TLSv1.2", "TLSv1.3"])
def test_the_systems_min_protocol_counts_as_far_as_python_heeds_it(policy: str, root: Minted, tmp_path: Path) -> None:
    """The minimum is TLS 1.2 with any openssl.cnf, or a higher one of the system's policy that Python respects."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(
        f"openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMinProtocol = {policy}\n"
    )
    (tmp_path / "ca.pem").write_bytes(root.pem)
    program = (
        "import seic, ssl, sys\n"
        "print(int(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).minimum_version))\n"
        "print(int(seic.create_ssl_context(ca=sys.argv[1]).minimum_version))"
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
    """Building the context warns at once, with the authority's name."""
    old = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with pytest.warns(CertificateWarning, match="ca: the authority CN=Old Root expired on") as warned:
        create_ssl_context(ca=root.pem + old.pem)
    assert warned[0].filename == __file__


def test_no_argument_turns_a_check_off() -> None:
    """The public function takes only a certificate and authorities."""
    assert set(inspect.signature(create_ssl_context).parameters) == {"certificate", "ca"}


def test_no_secrets_are_logged_for_a_debugger(root: Minted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE, which would write every session's keys to a file, has no effect."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    assert create_ssl_context(ca=root.pem).keylog_filename is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_tls_1_1_is_refused(root: Minted) -> None:
    """A server that supports nothing newer is refused."""
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


def test_a_warning_points_to_the_callers_line(root: Minted) -> None:
    """A certificate that expires soon warns once, and the warning points to the user's code."""
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
def test_a_refusal_of_openssl_names_the_remedy(
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
    """An unknown reason is quoted in OpenSSL's words, with the original error as the cause."""

    def refuse(*_: object, **__: object) -> None:
        error = ssl.SSLError(1, "no")
        error.reason = "UNKNOWN_CERTIFICATE_TYPE"
        raise error

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", refuse)
    with pytest.raises(CertificateError, match="UNKNOWN_CERTIFICATE_TYPE") as caught:
        create_ssl_context(certificate=ClientCertificate.load(client.pair), ca=root.pem)
    assert caught.value.reason == Reason.REFUSED_BY_OPENSSL
