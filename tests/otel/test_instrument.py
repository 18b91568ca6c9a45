"""The clients that can be instrumented, and the packages that are needed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import httpx
import pytest

import seic
import seic.otel
from seic.testing import MockProvider
from tests._support.observatory import Observatory


async def test_an_auth_of_an_httpx_client_can_be_instrumented(gateway: MockProvider, seen: Observatory) -> None:
    """An auth without its client has spans of tokens only."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    async with httpx.AsyncClient(auth=auth, transport=gateway) as client:
        seen.instrument(auth)
        await client.get("https://api.example/v1/accounts")

    assert len(seen.named("seic.token.refresh")) == 1
    assert seen.points("http.client.request.duration") == []


def test_a_client_with_another_auth_is_refused() -> None:
    """It emits no events, so there would be no spans."""
    with httpx.Client(auth=("user", "password")) as client, pytest.raises(seic.ConfigurationError):
        seic.otel.instrument(client)


def test_a_missing_extra_is_explained() -> None:
    """The ImportError tells what to install."""
    script = (
        "import sys; sys.modules['opentelemetry'] = None\ntry:\n import seic.otel\nexcept ImportError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == 'seic.otel needs opentelemetry-api: run pip install "seic[otel]"'


def test_the_root_imports_no_opentelemetry() -> None:
    """The core works without it."""
    script = "import sys, seic; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


_WITHOUT_SDK = """
    import sys

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.startswith(("opentelemetry.sdk", "opentelemetry.semconv", "opentelemetry.exporter")):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Absent())

    import asyncio, httpx, seic, seic.otel

    def answer(request):
        token = {"access_token": "token-1"} if request.url.path == "/v2/oauthtoken" else {}
        return httpx.Response(200, json=token)

    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
    )

    async def main():
        async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
            stop = seic.otel.instrument(client)
            print((await client.get("/v1/accounts")).status_code)
            stop()

    asyncio.run(main())
    foreign = {name.split(".")[1] for name in sys.modules if name.startswith("opentelemetry.")}
    print(sorted(foreign & {"sdk", "semconv", "exporter", "instrumentation"}))
"""


def test_the_api_package_is_enough() -> None:
    """Without the SDK, everything can be imported and called, and nothing is recorded."""
    script = textwrap.dedent(_WITHOUT_SDK)
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)

    assert (done.stdout.split("\n"), done.stderr) == (["200", "[]", ""], "")
