"""`ca=["system", "corporate.pem"]`: authorities that are added to others."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import httpx
import pytest

import seic
from seic import CertificateError, CertificateWarning, ConfigurationError, Reason, create_ssl_context
from seic.events import CertificateRejected, TrustStoreReloaded
from tests._support.hops import make_config
from tests._support.pki import Minted, authority, server
from tests._support.rotating import SETTLED, Bench, connect
from tests._support.tls_servers import TlsServer, call


@pytest.fixture
def corporate() -> Minted:
    """Return an authority that the system does not know."""
    return authority("Corporate root", 84)


@pytest.fixture
def file(corporate: Minted, tmp_path: Path) -> Path:
    """Return its file."""
    path = tmp_path / "corporate.pem"
    path.write_bytes(corporate.pem)
    return path


@pytest.fixture(autouse=True)
def system(root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the system trust one authority."""
    path = tmp_path / "system.pem"
    path.write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return path


def test_the_word_system_adds_the_systems_trust(file: Path, root: Minted, corporate: Minted) -> None:
    """Servers of both authorities are trusted, in either order; without the word only those of the file are."""
    lists: list[list[str | Path]] = [["system", file], [file, "system"]]
    for ca in lists:
        context = create_ssl_context(ca=ca)
        assert set(context.get_ca_certs(binary_form=True)) == {root.der, corporate.der}
        for one in (root, corporate):
            with TlsServer(server(one)) as far:
                assert call(context, far.port).endswith(b"ok")
    assert create_ssl_context(ca=[file]).get_ca_certs(binary_form=True) == [corporate.der]
    assert create_ssl_context(ca=["system"]).get_ca_certs(binary_form=True) == [root.der]


def test_several_files_and_bytes_are_one_trust(file: Path, root: Minted, corporate: Minted) -> None:
    """Each authority once."""
    context = create_ssl_context(ca=[file, root.pem, root.pem])
    assert set(context.get_ca_certs(binary_form=True)) == {root.der, corporate.der}


def test_a_part_that_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    """Each part must have an authority; a damaged block in one is left out."""
    with pytest.raises(CertificateError) as caught:
        create_ssl_context(ca=["system", tmp_path / "absent.pem"])
    assert (caught.value.reason, caught.value.field) == (Reason.NOT_FOUND, "ca")
    assert caught.value.path == str(tmp_path / "absent.pem")
    file.write_bytes(file.read_bytes() + b"-----BEGIN CERTIFICATE-----\n!?\n-----END CERTIFICATE-----\n")
    with pytest.warns(CertificateWarning, match=r"corporate\.pem: ca: .* left out"):
        create_ssl_context(ca=["system", file])


@pytest.mark.parametrize("ca", [[], ()])
def test_an_empty_list_is_an_error(ca: list[str]) -> None:
    """It would trust nobody."""
    for use in (lambda: create_ssl_context(ca=ca), lambda: make_config(ca=ca)):
        with pytest.raises(ConfigurationError, match="ca: empty") as caught:
            use()
        assert caught.value.field == "ca"


def test_a_part_of_another_type_is_an_error() -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=r"must be a path or PEM, a list of these, .*, not int"):
        make_config(ca=["system", 5])


def test_a_configuration_keeps_the_list_as_absolute_paths(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal lists are equal configurations."""
    monkeypatch.chdir(tmp_path)
    config = make_config(ca=["system", "corporate.pem"])
    assert config.ca == ("system", str(file))
    assert config == make_config(ca=("system", file.as_posix()))
    assert connect(config) is connect(make_config(ca=["system", str(file)]))
    assert f"ca=('system', {str(file)!r})" in repr(config)


def test_the_files_of_a_list_are_followed(file: Path, root: Minted, tmp_path: Path, client: Minted) -> None:
    """A change of one replaces the trust; the system's stays."""
    client.write(tmp_path)
    bench = Bench(tmp_path, root, ca=["system", file])
    bench.current()
    other = authority("Another root", 85)
    staged = tmp_path / "staged.pem"
    staged.write_bytes(other.pem)
    staged.replace(file)
    bench.check(SETTLED)
    assert set(bench.current().context.get_ca_certs(binary_form=True)) == {root.der, other.der}
    (event,) = bench.events
    assert isinstance(event, TrustStoreReloaded)


class Vault:
    """A callback that returns authorities, or fails."""

    def __init__(self, *authorities: Minted) -> None:
        self.authorities = authorities
        self.threads: list[int] = []

    def __call__(self) -> list[str | bytes]:
        """Return the authorities with the system's."""
        self.threads.append(threading.get_ident())
        if not self.authorities:
            raise OSError("secret")
        return ["system", *(one.pem for one in self.authorities)]


def test_a_callback_gives_the_authorities(root: Minted, corporate: Minted, client: Minted, tmp_path: Path) -> None:
    """It is called on a thread, once a minute; one that fails leaves the last good ones in use."""
    client.write(tmp_path)
    vault = Vault(corporate)
    bench = Bench(tmp_path, root, ca=vault)
    assert vault.threads == []
    assert set(bench.current().context.get_ca_certs(binary_form=True)) == {root.der, corporate.der}
    assert threading.get_ident() not in vault.threads
    other = authority("Another root", 85)
    vault.authorities = (other,)
    bench.check(1)
    assert len(vault.threads) == 1
    bench.seconds += 60
    bench.check(1)
    assert set(bench.current().context.get_ca_certs(binary_form=True)) == {root.der, other.der}

    vault.authorities = ()
    bench.seconds += 60
    bench.check(1)
    assert set(bench.current().context.get_ca_certs(binary_form=True)) == {root.der, other.der}
    reloaded, rejected = bench.events
    assert isinstance(reloaded, TrustStoreReloaded)
    assert isinstance(rejected, CertificateRejected)
    assert (rejected.path, rejected.reason) == ("the ca callback", Reason.SOURCE_FAILED)
    assert "secret" not in rejected.problem


def test_a_callback_is_a_value_of_a_configuration(corporate: Minted) -> None:
    """It is not called at its creation, and a context calls it once."""
    vault = Vault(corporate)
    config = make_config(ca=vault)
    assert config == make_config(ca=vault)
    assert vault.threads == []
    context = create_ssl_context(ca=vault)
    assert corporate.der in context.get_ca_certs(binary_form=True)
    for wrong in (Vault, asyncio.sleep):
        with pytest.raises(ConfigurationError, match="a plain function that returns them"):
            make_config(ca=wrong)


def test_the_variable_takes_a_list(file: Path) -> None:
    """Separated by commas; a path with a comma that exists is a path."""
    environ = {
        "SEIC_PROVIDER": "sei-gateway",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": "secret",
        "SEIC_USERNAME": "svc-user",
        "SEIC_PASSWORD": "password",
        "SEIC_CA": f"system, {file}",
    }
    assert seic.Config.from_env(environ=environ).ca == ("system", str(file))
    odd = file.with_name("a,b.pem")
    odd.write_bytes(file.read_bytes())
    assert seic.Config.from_env(environ={**environ, "SEIC_CA": str(odd)}).ca == os.fspath(odd)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_error_about_an_unknown_authority_names_a_variable_of_other_clients(
    variable: str, corporate: Minted, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set, so that its user expects it to count."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with TlsServer(server(corporate)) as far:
        config = make_config(hosts=seic.Hosts(api=f"localhost:{far.port}"), ca=None)
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            with pytest.raises(httpx.ConnectError) as caught:
                client.get("/")
            assert variable not in str(caught.value)
            monkeypatch.setenv(variable, str(file))
            with pytest.raises(httpx.ConnectError, match=f"seic does not read {variable}: pass its file as ca="):
                client.get("/")
