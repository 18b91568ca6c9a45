"""Runs of a container: `python -m seic` with variables and mounted files only, at each dialect and at another server.

Each call is a process of its own. They share a store, so that a secret can change at the provider first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from seic.sandbox import CertificateAuthority, IssuedCertificate, Sandbox
from tests._support.authlib_site import SECRET, open_site
from tests._support.command import run_program
from tests._support.sandbox_secrets import change_secret

_NEW = "another secret that is long enough"


@attrs.frozen(kw_only=True)
class Place:
    """A provider, the variables, the mounted files, and the changes at the provider."""

    environ: dict[str, str]
    folder: Path
    path: str
    issue: Callable[[], IssuedCertificate]
    change: Callable[[], object]

    def mount(self, name: str, content: str | bytes) -> None:
        """Replace a file by a rename, as a volume does."""
        staged = self.folder / "staged"
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
        staged.chmod(0o600)
        staged.replace(self.folder / name)

    def call(self) -> None:
        """Make one call, in a process that has these variables."""
        done = run_program("request", "GET", self.path, environ=self.environ)
        assert done.code == 0, done.err
        assert isinstance(json.loads(done.out), dict)
        for secret in (_NEW, SECRET):
            assert secret not in done.out + done.err


def _variables(folder: Path, *, has_account: bool) -> dict[str, str]:
    files = {
        "CLIENT_SECRET_FILE": "client-secret",
        "CERTIFICATE": "client.p12",
        "CERTIFICATE_PASSWORD_FILE": "passphrase",
        "CA": "ca.pem",
        "STORE_KEY_FILE": "store-key",
        **({"PASSWORD_FILE": "password"} if has_account else {}),
    }
    variables = {f"SEIC_{name}": str(folder / file) for name, file in files.items()}
    return {**variables, "SEIC_STORE": f"file://{folder.parent / 'tokens'}"}


def _of_sandbox(folder: Path, dialect: str, sandbox: Sandbox) -> Place:
    has_account = dialect != "oauth2"
    account = sandbox.email if dialect == "sei-platform" else sandbox.username
    environ = {
        **_variables(folder, has_account=has_account),
        "SEIC_PROVIDER": dialect,
        "SEIC_API_HOST": sandbox.api_url,
        "SEIC_MTLS_HOST": sandbox.mtls_url,
        "SEIC_CLIENT_ID": sandbox.client_id,
        **({"SEIC_USERNAME": account} if has_account else {}),
    }
    changes = {"client_secret": _NEW, **({"password": _NEW} if has_account else {})}
    place = Place(
        environ=environ,
        folder=folder,
        path="/v1/investments/accounts",
        issue=sandbox.issue_certificate,
        change=lambda: change_secret(sandbox, **changes),
    )
    place.mount("client-secret", sandbox.client_secret)
    place.mount("password", sandbox.password)
    place.mount("ca.pem", sandbox.ca_pem)
    return place


@pytest.fixture(params=["sei-gateway", "sei-platform", "oauth2", "authlib"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Run a provider with mutual TLS."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if request.param != "authlib":
        with Sandbox() as sandbox:
            yield _of_sandbox(folder, request.param, sandbox)
        return
    with open_site(tmp_path / "site", monkeypatch) as site:
        environ = {
            **_variables(folder, has_account=False),
            "SEIC_ISSUER": site.nginx.api_url,
            "SEIC_API_HOST": site.nginx.api_url,
            "SEIC_MTLS_HOST": site.nginx.mtls_url,
            "SEIC_CLIENT_ID": "basic",
            "SEIC_SCOPE": "read",
        }
        authority: CertificateAuthority = site.authority

        def change() -> None:
            site.server.state.apps["basic"].secret = _NEW

        made = Place(
            environ=environ, folder=folder, path="/api", issue=lambda: authority.issue("svc-user"), change=change
        )
        made.mount("client-secret", SECRET)
        made.mount("ca.pem", site.ca)
        yield made


def _mount_certificate(place: Place, passphrase: str) -> None:
    issued = place.issue()
    encryption = BestAvailableEncryption(passphrase.encode())
    content = pkcs12.serialize_key_and_certificates(None, issued.key, issued.certificate, None, encryption)
    place.mount("client.p12", content)
    place.mount("passphrase", passphrase)


def test_every_secret_rotates(place: Place) -> None:
    """Certificate, passphrase, trust, client secret, password and the store's key; the provider's side comes first."""
    place.mount("store-key", "the first key of the store, 32 or more")
    _mount_certificate(place, "first")
    place.call()
    _mount_certificate(place, "second")
    place.call()
    place.mount("ca.pem", CertificateAuthority("Next root").cert_pem + (place.folder / "ca.pem").read_bytes())
    place.call()
    place.change()
    # The stored token is valid, and no secret is sent.
    place.call()
    place.mount("client-secret", _NEW)
    place.mount("password", _NEW)
    # A token of the new certificate needs the new secrets.
    _mount_certificate(place, "third")
    place.call()
    place.mount("store-key", "the second key of the store, 32 or more")
    place.call()


def test_a_secret_that_was_not_renewed(place: Place) -> None:
    """The exit code and the message say that the provider refuses it, and which variables to check."""
    place.mount("store-key", "the first key of the store, 32 or more")
    _mount_certificate(place, "first")
    place.change()
    done = run_program("request", "GET", place.path, environ=place.environ)
    assert done.code != 0
    assert "refused" in done.err
