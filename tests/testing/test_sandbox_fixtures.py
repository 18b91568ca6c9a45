"""`seic_sandbox`, `seic_environ` and the clock of both."""

from __future__ import annotations

import os

import seic
from seic.sandbox import Sandbox
from seic.testing import MockClocks


async def test_the_clock_moves_the_sandbox_and_its_clients(seic_sandbox: Sandbox, seic_clock: MockClocks) -> None:
    """Real TLS, and no wait: the token ends for both."""
    async with seic.AsyncClient(seic_sandbox.config(certificate=True)) as client:
        token = await client.token()
        seic_clock.advance(3601)
        headers = {"Authorization": f"Bearer {token.access_token}"}
        assert (await client.get("/v1/investments/accounts", headers=headers, auth=None)).status_code == 401
        assert (await client.get("/v1/investments/accounts")).status_code == 200

    assert seic_sandbox.counts.token_requests == 2


def test_the_variables_are_the_sandboxs(seic_environ: dict[str, str], seic_sandbox: Sandbox) -> None:
    """An application that reads its configuration from the variables calls the sandbox, with its certificate."""
    with seic.Client.from_env() as client:
        assert client.get("/v1/investments/accounts").status_code == 200

    assert seic_sandbox.counts.mtls.api_calls == 1
    assert {name: value for name, value in os.environ.items() if name.startswith("SEIC_")} == seic_environ
