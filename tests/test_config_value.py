"""`Config` as a value: equality, repr, copy, pickle, and store keys, without secrets."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from seic import SEI_GATEWAY, ClientCertificate, ClientCredentials, Config, ConfigurationError, Hosts
from tests._support.configs import CA_FILE, PASSWORD, SECRET, make
from tests._support.identities import authority, certificate, issued
from tests._support.reports import report


class _Broken(str):
    __slots__ = ()

    def isprintable(self) -> bool:
        raise RuntimeError("broken")

    def __len__(self) -> int:
        return 1


# A value that holds secrets


def test_a_configuration_is_a_value() -> None:
    """Equal configurations have the same hash, and are immutable."""
    one, other = make(), make()

    assert one == other
    assert {one: 1}[other] == 1
    assert one != make(client_secret="another")
    assert attrs.evolve(one, environment="test").base_url == "https://test.api.seic.com"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.client_id = "other"  # type: ignore[misc]


def test_a_repr_contains_public_values_only() -> None:
    """Secrets are masked, and the PEM of a CA is replaced by its length."""
    # A file that a user takes for the CA can contain its key.
    pem = authority().cert_pem + issued().key_pem
    shown = [repr(make(ca=ca, certificate=certificate())) for ca in (pem, pem.decode(), CA_FILE)]

    for text in shown:
        assert SECRET not in text
        assert PASSWORD not in text
        assert issued().key_pem.decode().splitlines()[1] not in text
        assert "client_secret=***" in text
        assert "client_id='app-key'" in text
    assert f"<{len(pem)} bytes>" in shown[0]
    assert "<PEM text>" in shown[1]
    assert f"ca={CA_FILE!r}" in shown[2]


def test_it_cannot_be_pickled_and_a_copy_is_the_same_object() -> None:
    """A pickle or a copy would duplicate the secrets."""
    config = make(certificate=certificate())

    with pytest.raises(TypeError, match=r"Config holds secrets"):
        pickle.dumps(config)
    assert copy.deepcopy(config) is config


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "nowhere"},
        {"client_id": "two words"},
        {"client_secret": f"{SECRET}\n"},
        {"grant": ClientCredentials(password=PASSWORD)},
        {"token_timeout": 0},
        {"certificate": "client.pem"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_error_contains_no_secret(changes: dict[str, Any]) -> None:
    """Neither a report with the local variables of all frames, causes and contexts, nor a pickle contains one."""
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    written, pickled = report(caught.value), pickle.dumps(caught.value)

    assert "in called" in written  # the frames of the SDK are included
    for secret in (SECRET, PASSWORD):
        assert secret not in written
        assert secret.encode() not in pickled


@pytest.mark.parametrize(
    "changes", [{"typo": 1}, {"client_id": _Broken()}], ids=["an unknown keyword", "a value that fails"]
)
def test_an_error_of_another_type_contains_no_secret(changes: dict[str, Any]) -> None:
    """The same applies to errors that are not a ConfigurationError."""
    with pytest.raises((TypeError, RuntimeError)) as caught:
        make(**changes)
    written = report(caught.value)

    assert "in called" in written
    for secret in (SECRET, PASSWORD):
        assert secret not in written


def test_an_uninitialised_configuration_has_a_repr() -> None:
    """A crash reporter must not fail on it."""
    assert repr(Config.__new__(Config)) == "<Config, half initialised>"


# Store keys


def test_a_store_key_distinguishes_identities() -> None:
    """The key depends on everything that a token is bound to, and on nothing else."""
    config = make()
    key = config.store_key(None)

    assert len({
        key,
        config.store_key("a1"),
        make(client_id="other").store_key(None),
        make(environment="test").store_key(None),
        make(hosts=Hosts(api="api.seic.com:444")).store_key(None),
        make(grant=ClientCredentials(username="other", password=PASSWORD)).store_key(None),
        make(provider=attrs.evolve(SEI_GATEWAY, token_url="/other")).store_key(None),
    }) == 7  # fmt: skip
    assert key == make(client_secret="renewed", ca=CA_FILE, token_timeout=1).store_key(None)
    assert key == make(grant=ClientCredentials(username="svc-user", password="renewed")).store_key(None)


# Files, by their absolute path


def test_a_relative_ca_is_the_file_of_its_creation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy in another working directory keeps the file, and a new configuration with another file is not equal."""
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        folder.mkdir()
        (folder / "ca.pem").write_bytes(authority().cert_pem)
    monkeypatch.chdir(home)
    config = make(ca="ca.pem")
    monkeypatch.chdir(other)

    assert config.ca == str(home / "ca.pem")
    assert attrs.evolve(config, token_timeout=5).ca == config.ca
    assert make(ca=str(home / "ca.pem")) == config
    assert make(ca="ca.pem") != config


def test_a_ca_in_the_home_directory_is_the_file_of_its_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of `HOME` has no effect."""
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem)
    monkeypatch.setenv("HOME", str(tmp_path))
    config = make(ca="~/ca.pem")
    monkeypatch.setenv("HOME", "/nowhere")

    assert attrs.evolve(config).ca == str(tmp_path / "ca.pem")


def test_a_certificate_of_other_files_is_another_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same content may be rotated separately, so equal configurations follow the same files."""
    made = []
    for name in ("a", "b", "a"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "client.pem").write_bytes(issued().cert_pem + issued().key_pem)
        monkeypatch.chdir(folder)
        made.append(make(certificate=ClientCertificate.load("client.pem")))
    one, other, again = made

    assert one != other
    assert one == again
    assert hash(one) == hash(again)
    assert one.certificate == other.certificate


def test_a_callback_that_cannot_be_hashed_is_compared_by_identity() -> None:
    """The configuration is hashable in any case."""

    class Vault:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> ClientCertificate:
            return certificate()

    vault = Vault()

    assert {make(certificate=vault): 1}[make(certificate=vault)] == 1
    assert make(certificate=vault) != make(certificate=Vault())
