"""The main job, end to end, on this machine alone: `python -m seic.sandbox.demo`.

It starts a sandbox, uses the SDK as a user's script would, and prints what the sandbox counted. It exits with 0 if
every count is what it should be, and with 1 if not. Only public names of the SDK belong here.
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
_CROWD = 100
_WIDTH = 100
_GREEN, _RED, _BOLD = "32", "31", "1"


class Transcript:
    """Prints what happens and remembers whether all was right.

    Args:
        out: Where to; coloured if it is a terminal and NO_COLOR (no-color.org) is not set.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_colour = out.isatty() and not os.environ.get("NO_COLOR")
        self.right: int = 0
        self.wrong: int = 0

    def title(self, text: str) -> None:
        """Open a step."""
        self._print(f"\n{self._paint(text, _BOLD)}")

    def say(self, text: str) -> None:
        """Tell something that cannot be wrong."""
        self._print(textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="        "))

    def check(self, what: str, actual: object, expected: object) -> None:
        """Tell a fact, and whether it is the right one."""
        if actual == expected:
            self.right += 1
            self._print(f"  {self._paint('ok   ', _GREEN)} {what}: {actual}")
        else:
            self.wrong += 1
            self._print(f"  {self._paint('WRONG', _RED)} {what}: {actual}, and it should be {expected}")

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._has_colour else text

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


async def call_plain_host(sandbox: Sandbox, transcript: Transcript) -> None:
    """Make one call without a client certificate."""
    config = sandbox.config()
    transcript.check("the host that the SDK chose", config.base_url, sandbox.api_url)
    async with seic.AsyncClient(config) as client:
        reply = await client.get(_PATH)
    transcript.check(f"GET {_PATH} answered", reply.status_code, 200)
    transcript.check("certificate that the gateway saw", reply.json()["certificate_common_name"], None)


async def call_mtls_host(sandbox: Sandbox, transcript: Transcript) -> None:
    """Make one call with a client certificate, and nothing else changed."""
    config = sandbox.config(certificate=True)
    transcript.check("the host that the SDK chose", config.base_url, sandbox.mtls_url)
    async with seic.AsyncClient(config) as client:
        reply = await client.get(_PATH)
    transcript.check(f"GET {_PATH} answered", reply.status_code, 200)
    transcript.check("certificate that the gateway saw", reply.json()["certificate_common_name"], sandbox.username)


async def call_in_a_crowd(sandbox: Sandbox, transcript: Transcript) -> None:
    """Make many calls at once before there is any token."""
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        replies = await asyncio.gather(*(client.get(_PATH) for _ in range(_CROWD)))
    transcript.check("calls answered 200", sum(reply.status_code == 200 for reply in replies), _CROWD)


async def lose_the_token(sandbox: Sandbox, transcript: Transcript) -> None:
    """Have the token revoked between two calls."""
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        await client.get(_PATH)
        sandbox.revoke_all()
        reply = await client.get(_PATH)
        transcript.check(f"GET {_PATH} after the revocation answered", reply.status_code, 200)
        transcript.check("replays that the SDK counted", client.stats.replays, 1)


async def present_a_wrong_certificate(sandbox: Sandbox, transcript: Transcript) -> None:
    """Present a certificate of the trusted authority that is another account's."""
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
    transcript.check("the error", type(error).__name__, seic.TokenRequestRefused.__name__)
    transcript.say(f"      {error}")


@attrs.frozen
class DemoStep:
    """One step, and what the sandbox has to count in it: members of `Counts`, by host."""

    title: str
    run: Callable[[Sandbox, Transcript], Awaitable[None]]
    counts: dict[str, int]


STEPS = (
    DemoStep("1. A token and a call", call_plain_host, {"api.token_requests": 1, "api.api_calls": 1}),
    DemoStep("2. The same with a client certificate", call_mtls_host, {"mtls.token_requests": 1, "mtls.api_calls": 1}),
    DemoStep(
        f"3. {_CROWD} calls at once, and no token yet",
        call_in_a_crowd,
        {"mtls.token_requests": 1, "mtls.api_calls": _CROWD},
    ),
    DemoStep(
        "4. The token is revoked behind the client's back",
        lose_the_token,
        {"mtls.token_requests": 2, "mtls.api_calls": 3, "mtls.api_refusals": 1},
    ),
    DemoStep(
        "5. The certificate of somebody else",
        present_a_wrong_certificate,
        {"mtls.token_requests": 1, "mtls.token_refusals": 1, "mtls.api_calls": 0},
    ),
)


async def run(transcript: Transcript) -> None:
    """Run every step against a sandbox of its own."""
    async with Sandbox() as sandbox:
        transcript.say(f"api   {sandbox.api_url}   asks for no client certificate")
        transcript.say(f"mtls  {sandbox.mtls_url}   demands one")
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
    """Run the demo; return 0 if all was as it should be, and 1 if not."""
    transcript = Transcript(sys.stdout)
    transcript.title("seic, against SEI's gateway in small on this machine")
    try:
        asyncio.run(run(transcript))
    except (seic.SeicError, httpx.HTTPError) as error:
        transcript.check("the demo ended with", f"{type(error).__name__}: {error}", "its last step")
    total = transcript.right + transcript.wrong
    transcript.title(f"{transcript.right} of {total} facts are as they should be.")
    return 1 if transcript.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
