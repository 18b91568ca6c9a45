"""The search for secrets finds each secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from seic.sandbox import CertificateAuthority
from tests._support.planted import Planted
from tests._support.secret_runs import Run


@pytest.mark.parametrize(
    "leak",
    [
        lambda secret: secret,
        lambda secret: f"Authorization: Basic {base64.b64encode(f'id:{secret}'.encode()).decode()}",
        lambda secret: f"Basic {base64.b64encode(f'an-id:{secret}'.encode()).decode()}",
        lambda secret: f"Basic {base64.b64encode(f'app-id:{secret}'.encode()).decode()}",
        lambda secret: base64.urlsafe_b64encode(f"{secret}...".encode()).decode(),
        lambda secret: str(httpx.QueryParams({"password": secret})),
        lambda secret: str(httpx.Request("POST", "https://x", data={"password": secret}).content),
        lambda secret: str(httpx.URL("https://x", params={"p": secret})),
        lambda secret: repr({"password": secret}),
        lambda secret: repr(secret.encode()),
        json.dumps,
        lambda secret: secret.encode().hex(),
        lambda secret: secret.encode().decode("latin-1"),
    ],
    ids=["plain", "basic", "basic+1", "basic+2", "urlsafe", "form", "body", "url", "repr", "bytes", "json", "hex",
         "latin-1"],
)  # fmt: skip
@pytest.mark.parametrize("secret", ["pla/in+ascii=of&%20chars", "with é and ü %in it", "0123456789abcdef"])
def test_the_search_finds_a_secret_in_each_form(leak: Callable[[str], str], secret: str) -> None:
    """Otherwise the other tests would prove nothing."""
    planted = Planted()
    planted.add("it", secret)

    assert planted.find(f"before {leak(secret)} after")
    assert planted.find(f"before {leak('something-else-1234')} after") == []


_ELSEWHERE = """
def fail(secret):
    try:
        int("x")
    except ValueError:
        raise KeyError("k") from None
"""


def test_the_search_finds_a_secret_in_an_errors_frames() -> None:
    """Reports contain the local variables of each frame, also of a suppressed context."""
    planted = Planted()
    secret = planted.add("it", "a-variable-of-a-frame")
    # Reports leave out frames of the tests, so this function must be elsewhere.
    namespace: dict[str, Any] = {}
    exec(compile(_ELSEWHERE, "elsewhere.py", "exec"), namespace)  # noqa: S102  # written above
    with pytest.raises(KeyError) as caught:
        namespace["fail"](secret)
    del secret

    assert planted.find_in_error(caught.value)
    caught.value.__traceback__ = None
    assert planted.find_in_error(caught.value)  # the context contains it too


def test_the_search_finds_a_key(run: Run) -> None:
    """The search finds a key as PEM, in part, and as bytes."""
    pair = CertificateAuthority().issue("x")
    run.planted.add_key(pair, pair.key_pem)
    der = base64.b64decode(b"".join(pair.key_pem.splitlines()[1:-1]))

    assert run.planted.find(pair.key_pem)
    assert run.planted.find(pair.key_pem.splitlines()[1])
    assert run.planted.find(repr(der))
    assert run.planted.find(run.encrypted)
    assert run.planted.find(pair.cert_pem) == []
