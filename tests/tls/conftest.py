"""Shared fixtures: an authority, a client certificate, and a search for leaked secrets."""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests._support.pki import PASSPHRASE, Minted, authority, mint
from tests._support.rotating import Bench


@pytest.fixture
def root() -> Minted:
    """An authority."""
    return authority()


@pytest.fixture
def client(root: Minted) -> Minted:
    """A client certificate that works, CN=svc-user."""
    return mint(issuer=root)


@pytest.fixture
def bench(client: Minted, root: Minted, tmp_path: Path) -> Bench:
    """Return a bench with the client certificate in service and no change pending."""
    client.write(tmp_path)
    made = Bench(tmp_path, root)
    made.current()
    made.check()
    assert made.events == []
    return made


@pytest.fixture
def assert_no_leak(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> Callable[..., None]:
    """Check that things, tracebacks, output, logs and warnings show neither passphrase nor private key."""
    caplog.set_level(0)

    def check(*things: object, keys: tuple[Minted, ...] = ()) -> None:
        said = [text for thing in things for text in _said_by(thing)]
        captured = capfd.readouterr()
        said += [captured.out, captured.err, caplog.text, *(str(warning.message) for warning in recwarn.list)]
        for secret in (PASSPHRASE, *(part for key in keys for part in _key_parts(key))):
            for text in said:
                assert secret not in text, text

    return check


def _said_by(thing: object) -> list[str]:
    said = [repr(thing), str(thing), f"{thing!a}", repr(vars(thing)) if hasattr(thing, "__dict__") else ""]
    if isinstance(thing, BaseException):
        said.append(repr(pickle.dumps(thing)))
    links = [thing] if isinstance(thing, BaseException) else []
    while links:
        # Crash reports show every link, suppressed ones too, with the local variables of its frames. The tests' own
        # frames are left out, since they hold the secrets.
        link = links.pop()
        told = traceback.TracebackException.from_exception(link, capture_locals=True)
        frames = [frame for frame in told.stack if "/tests/" not in frame.filename]
        said += [repr(link), str(link), *traceback.StackSummary.from_list(frames).format()]
        links += [part for part in (link.__cause__, link.__context__) if part is not None]
    return said


def _key_parts(minted: Minted) -> list[str]:
    der = minted.key_bytes(encoding=Encoding.DER)
    body = base64.b64encode(der).decode()
    secret = der[len(der) // 3 : len(der) // 2]
    return [body[40:100], secret.hex(), repr(secret)[2:-1]]
