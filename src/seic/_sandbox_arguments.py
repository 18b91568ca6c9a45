"""The arguments of `seic sandbox` and `python -m seic.sandbox`, without the sandbox, which needs an extra."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = (
    "Run a local gateway, platform and OAuth 2.0 provider with throw-away credentials, and print the variables of its "
    "client. It ends with Ctrl-C or SIGTERM."
)


def add_sandbox_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to a parser."""
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
    for host, description in (
        ("api", "of the host without client certificates"),
        ("mtls", "of the host that requires one"),
        ("control", "of the live page and the health route, over plain HTTP"),
    ):
        parser.add_argument(
            f"--{host}-port", type=_port, default=0, metavar="PORT", help=f"the port {description}; by default any"
        )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="[TARGET:]NAME[=SECONDS]",
        help="start with a fault of every token request, or with api: of every API request; docs/sandbox.md lists them",
    )
    parser.add_argument(
        "--openapi", type=Path, metavar="FILE", help="serve the examples of an OpenAPI document in JSON, too"
    )
    actions = parser.add_subparsers(metavar="ACTION", title="actions on the sandbox of $SANDBOX_CONTROL", dest="action")
    fault = actions.add_parser("fault", help="inject a fault, or end all", allow_abbrev=False)
    fault.add_argument("fault", metavar="NAME", help="its name, or clear; docs/sandbox.md lists them")
    fault.add_argument("--target", choices=["token", "api"], help="the requests that it is for; by default token")
    fault.add_argument("--times", metavar="N", help="the number of requests, or always; by default 1")
    fault.add_argument("--seconds", metavar="N", help="Retry-After, the delay, or the clock skew")
    fault.add_argument("--thumbprint", metavar="X5T", help="the client certificate; by default the account's")


def _fault(text: str) -> dict[str, str]:
    target, _, rest = text.rpartition(":")
    name, _, seconds = rest.partition("=")
    values = {"fault": name, "target": target, "seconds": seconds}
    return {field: value for field, value in values.items() if value}


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
