"""`seic proxy`: a forwarder on loopback, which adds the token and the certificate to requests of local programs."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import add_login_option, read_config
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    from seic.cli._proxy.proxy_run import ProxyAddress

_EPILOG = """\
  seic proxy --port 8400 --env-file proxy.env
  seic proxy --unix-socket "$XDG_RUNTIME_DIR/seic.sock"

A program calls the proxy in clear text, and the proxy calls the configured
host with seic's client: token, key header, certificate, rotation, retry after
a 401. On a port each request needs the secret that the command prints, in
`Authorization: Bearer`, or as the password of `Basic`. It ends with Ctrl-C or
SIGTERM.
"""


def add_proxy_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "proxy",
        help="forward requests of local programs with token and certificate",
        description="Forward requests of local programs to the configured host, with the token\nand the certificate.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--address", default="127.0.0.1", metavar="IP", help="an address of loopback; by default 127.0.0.1"
    )
    parser.add_argument("--port", type=_port, default=0, metavar="PORT", help="the port; by default any free one")
    parser.add_argument(
        "--unix-socket", type=Path, metavar="FILE", help="listen on a Unix socket (0600) instead, without a secret"
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="write the variables to a file (0600) instead of stdout"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="without data from the host; default 60"
    )
    parser.add_argument(
        "--connections", type=_count, default=100, metavar="N", help="connections to the host; default 100"
    )
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="for requests in progress at the end; default 10",
    )
    add_login_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    config = read_config(options)
    try:
        from seic.cli._proxy.proxy_run import run_proxy
    except ModuleNotFoundError as error:
        terminal.error(f'this command needs the package {error.name}: pip install "seic[proxy]"')
        return ExitCode.FAILED

    def announce(address: ProxyAddress) -> None:
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in address.variables.items()]
        if options.env_file is not None:
            from seic._files import write_private

            write_private(options.env_file, "".join(lines))
            terminal.note(f"variables: {options.env_file}")
        else:
            terminal.print("".join(f"export {line}" for line in lines).rstrip("\n"))
            terminal.stdout.flush()
        terminal.note(f"forwards to {config.origin}; metrics at {address.metrics}; end with Ctrl-C")
        terminal.stderr.flush()

    try:
        cut = run_proxy(options, config, announce)
    except ValueError as error:
        terminal.error(f"--address: {error}")
        return ExitCode.USAGE
    if cut:
        terminal.note(f"seic: {cut} {'request was' if cut == 1 else 'requests were'} cut off at the end")
    return ExitCode.OK


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 0 to 65535")


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 1 on")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value < 1e6:
        return value
    raise argparse.ArgumentTypeError("must be a number of seconds")
