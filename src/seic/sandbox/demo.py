"""A demonstration of seic against a sandbox: `python -m seic.sandbox.demo`.

It uses only the SDK's public names, prints the sandbox's counts, and exits with 0 if every count is as expected, else
with 1.
"""

from __future__ import annotations

import asyncio
import operator
import os
import sys
import textwrap
import warnings
from collections.abc import Awaitable, Callable
from typing import TextIO

import attrs
import httpx

import seic
from seic.sandbox import Sandbox

_PATH = "/v1/echo"
_CONCURRENT = 100
_WIDTH = 100
_GREEN, _RED, _BOLD = "32", "31", "1"


class DemoOutput:
    """Prints the steps and their results, and counts the right and wrong ones.

    Args:
        out: The output stream; coloured if it is a terminal and NO_COLOR (no-color.org) is not set.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_colour = out.isatty() and not os.environ.get("NO_COLOR")
        self.right: int = 0
        self.wrong: int = 0

    def title(self, text: str) -> None:
        """Print the title of a step."""
        self._print(f"\n{self._paint(text, _BOLD)}")

    def say(self, text: str) -> None:
        """Print information."""
        self._print(textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="        "))

    def check(self, what: str, actual: object, expected: object) -> None:
        """Print a result, and whether it is the expected one."""
        if actual == expected:
            self.right += 1
            self._print(f"  {self._paint('ok   ', _GREEN)} {what}: {actual}")
        else:
            self.wrong += 1
            self._print(f"  {self._paint('WRONG', _RED)} {what}: {actual}, expected {expected}")

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._has_colour else text

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


async def call_plain_host(sandbox: Sandbox, transcript: DemoOutput, *, certificate: bool = False) -> None:
    """Send one request, by default without a client certificate."""
    config = sandbox.config(certificate=certificate)
    host, name = (sandbox.mtls_url, sandbox.username) if certificate else (sandbox.api_url, None)
    transcript.check("host chosen by the SDK", config.base_url, host)
    async with seic.AsyncClient(config) as client:
        reply = await client.get(_PATH)
    transcript.check(f"status of GET {_PATH}", reply.status_code, 200)
    transcript.check("certificate seen by the gateway", reply.json()["certificate_common_name"], name)


async def call_mtls_host(sandbox: Sandbox, transcript: DemoOutput) -> None:
    """Send the same request with a client certificate."""
    await call_plain_host(sandbox, transcript, certificate=True)


async def call_concurrently(sandbox: Sandbox, transcript: DemoOutput) -> None:
    """Send many requests at once, before there is a token."""
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        replies = await asyncio.gather(*(client.get(_PATH) for _ in range(_CONCURRENT)))
    transcript.check("requests answered with 200", sum(reply.status_code == 200 for reply in replies), _CONCURRENT)


async def revoke_the_token(sandbox: Sandbox, transcript: DemoOutput) -> None:
    """Revoke the token between two requests."""
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        await client.get(_PATH)
        sandbox.revoke_all()
        reply = await client.get(_PATH)
        transcript.check(f"status of GET {_PATH} after the revocation", reply.status_code, 200)
        transcript.check("replays counted by the SDK", client.stats.replays, 1)


async def present_a_wrong_certificate(sandbox: Sandbox, transcript: DemoOutput) -> None:
    """Present another account's certificate, issued by the trusted CA."""
    error: seic.SeicError | None = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with seic.AsyncClient(sandbox.config(certificate=sandbox.issue_certificate("somebody-else"))) as client:
            try:
                await client.get(_PATH)
            except seic.SeicError as caught:
                error = caught
    transcript.check("warnings before the first handshake", len(warned), 1)
    for warning in warned:
        transcript.say(f"      {warning.message}")
    transcript.check("error", type(error).__name__, seic.TokenRequestRefused.__name__)
    transcript.say(f"      {error}")


@attrs.frozen
class DemoPart:
    """A step, and the counts that it must add: members of `Counts`, by host."""

    title: str
    run: Callable[[Sandbox, DemoOutput], Awaitable[None]]
    counts: dict[str, int]


STEPS = (
    DemoPart("1. A token and a request", call_plain_host, {"api.token_requests": 1, "api.api_calls": 1}),
    DemoPart("2. The same with a client certificate", call_mtls_host, {"mtls.token_requests": 1, "mtls.api_calls": 1}),
    DemoPart(
        f"3. {_CONCURRENT} requests at once, without a token",
        call_concurrently,
        {"mtls.token_requests": 1, "mtls.api_calls": _CONCURRENT},
    ),
    DemoPart(
        "4. The token is revoked without telling the client",
        revoke_the_token,
        {"mtls.token_requests": 2, "mtls.api_calls": 3, "mtls.api_refusals": 1},
    ),
    DemoPart(
        "5. The certificate of another account",
        present_a_wrong_certificate,
        {"mtls.token_requests": 1, "mtls.token_refusals": 1, "mtls.api_calls": 0},
    ),
)


async def run(transcript: DemoOutput) -> None:
    """Run every step against one sandbox."""
    async with Sandbox() as sandbox:
        transcript.say(f"api   {sandbox.api_url}   without client certificates")
        transcript.say(f"mtls  {sandbox.mtls_url}   requires a client certificate")
        for step in STEPS:
            transcript.title(step.title)
            before = sandbox.counts
            await step.run(sandbox, transcript)
            after = sandbox.counts
            for name, expected in step.counts.items():
                host, counted = name.split(".")
                count = operator.attrgetter(name)
                words = counted.replace("api", "API").replace("_", " ")
                transcript.check(f"{words} at the {host} host", count(after) - count(before), expected)


def main() -> int:
    """Run the demonstration; return 0 if every result is as expected, else 1."""
    transcript = DemoOutput(sys.stdout)
    transcript.title("seic against a local SEI gateway")
    try:
        asyncio.run(run(transcript))
    except (seic.SeicError, httpx.HTTPError) as error:
        transcript.check("end of the demo", f"{type(error).__name__}: {error}", "the last step")
    total = transcript.right + transcript.wrong
    transcript.title(f"{transcript.right} of {total} results are as expected.")
    return 1 if transcript.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
