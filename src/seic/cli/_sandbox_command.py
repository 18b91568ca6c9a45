"""`seic sandbox`: run the local gateway in the foreground, and print the variables of its client."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    from seic.sandbox import Sandbox


def add_sandbox_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sandbox",
        help="run a local gateway with throw-away credentials",
        description="Run a local gateway, platform and OAuth 2.0 provider with throw-away credentials, and print the "
        "variables of its client. It ends with Ctrl-C or SIGTERM.",
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="the folder of ca.pem, client.pem and client.key; by default a temporary one, deleted at the end",
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="write the variables to a file (0600) instead of stdout"
    )
    parser.add_argument(
        "--provider", choices=["sei-gateway", "sei-platform", "oauth2"], default="sei-gateway", help="the dialect"
    )
    parser.add_argument("--no-certificate", action="store_true", help="print the variables of the host without one")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic.sandbox import Sandbox

    with contextlib.ExitStack() as stack:
        ends = stack.enter_context(_ended_by_signals())
        if options.directory is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seic-sandbox-")))
        else:
            folder = options.directory.absolute()
            folder.mkdir(parents=True, exist_ok=True)
        sandbox = stack.enter_context(Sandbox())
        variables = _variables(sandbox, folder, options)
        lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
        if options.env_file is not None:
            write_private(options.env_file, lines)
            terminal.note(f"variables: {options.env_file}")
        else:
            terminal.print("".join(f"export {line}\n" for line in lines.splitlines()).rstrip())
            terminal.stdout.flush()
        terminal.note(f"{sandbox.api_url}, with a client certificate {sandbox.mtls_url}; end with Ctrl-C")
        terminal.stderr.flush()
        signal.sigwait(ends)
    return ExitCode.OK


def _variables(sandbox: Sandbox, folder: Path, options: argparse.Namespace) -> dict[str, str]:
    (folder / "ca.pem").write_bytes(sandbox.ca_pem)
    username = sandbox.email if options.provider == "sei-platform" else sandbox.username
    variables = {
        "SEIC_PROVIDER": options.provider,
        "SEIC_API_HOST": sandbox.api_url.removeprefix("https://"),
        "SEIC_MTLS_HOST": sandbox.mtls_url.removeprefix("https://"),
        "SEIC_CA": str(folder / "ca.pem"),
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET": sandbox.client_secret,
    }
    if options.provider != "oauth2":
        variables |= {"SEIC_USERNAME": username, "SEIC_PASSWORD": sandbox.password}
    if not options.no_certificate:
        (folder / "client.pem").write_bytes(sandbox.client_certificate_pem)
        write_private(folder / "client.key", sandbox.client_key_pem.decode())
        variables |= {
            "SEIC_CERTIFICATE": str(folder / "client.pem"),
            "SEIC_CERTIFICATE_KEY": str(folder / "client.key"),
        }
    return variables


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[set[signal.Signals]]:
    # Blocked and waited for, so that they cannot end the process before the folder is deleted. The threads that start
    # in the block inherit the mask.
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        yield ends
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600); an existing one is replaced.

    Raises:
        OSError: It cannot be written.
    """
    # A new file: an existing one could be readable by others, or be open elsewhere.
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
