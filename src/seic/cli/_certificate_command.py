"""`seic certs`: its actions and their arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seic.cli._terminal import Terminal

_CHECK_EPILOG = """\
Exit codes, as those of `step certificate needs-renewal`, so that
`seic certs check && renew` renews in time:

  0    the certificate needs renewal, or has expired
  1    it does not
  2    there is no such file
  255  another error

With --nagios: 0 OK, 1 WARNING (needs renewal), 2 CRITICAL (has expired, or
cannot be used), 3 UNKNOWN.
"""


def add_certificate_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser(
        "certs",
        help="inspect, check, request and convert certificates",
        description="Inspect, check, request and convert certificates. Passphrases come from --password-file, from the "
        "settings, or are asked for at a terminal; never from an argument, which other users could see.",
        parents=[common],
        allow_abbrev=False,
    )
    parser.set_defaults(run=lambda options, terminal: _help(parser))
    actions = parser.add_subparsers(metavar="ACTION", title="actions")
    _add_inspect(actions, common)
    _add_check(actions, common)
    _add_csr(actions, common)
    _add_convert(actions, common)


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _add_inspect(actions: Any, common: argparse.ArgumentParser) -> None:
    inspect = actions.add_parser(
        "inspect",
        help="show what a file, a folder or a server has, in any format",
        description="Show what a file, a folder or a server has; of a folder also which files belong together, and the "
        "variables to set.",
        parents=[common],
        allow_abbrev=False,
    )
    inspect.add_argument("source", metavar="FILE|DIR|URL", help="a file, a folder, or https://host")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    _add_password(inspect)

    def run(options: argparse.Namespace, terminal: Terminal) -> int:
        from seic.cli._certificate_inspection import inspect_source

        return inspect_source(options, terminal)

    inspect.set_defaults(run=run)


def _add_check(actions: Any, common: argparse.ArgumentParser) -> None:
    check = actions.add_parser(
        "check",
        help="tell whether a certificate needs renewal, for cron and Nagios",
        description="Tell whether a client certificate needs renewal.",
        epilog=_CHECK_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    check.add_argument("file", nargs="?", metavar="FILE", help="the certificate; by default that of the settings")
    check.add_argument(
        "--expires-in",
        default=None,
        metavar="SPAN",
        help="the time left at which it is renewed: days (30d), hours (12h), or a share of its lifetime (20%%); by "
        "default 30 days, but at most a fifth of its lifetime",
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--nagios", action="store_true", help="print a line and use the exit codes of a Nagios plugin")
    _add_password(check)

    def run(options: argparse.Namespace, terminal: Terminal) -> int:
        from seic.cli._certificate_check import check_renewal

        return check_renewal(options, terminal)

    check.set_defaults(run=run)


def _add_csr(actions: Any, common: argparse.ArgumentParser) -> None:
    csr = actions.add_parser(
        "csr",
        help="make a key and a certificate request (CSR) with the right CN",
        description="Make a certificate request (CSR), and a new key unless one is named. The CN is the service "
        "account's username, which SEI's gateway requires.",
        parents=[common],
        allow_abbrev=False,
    )
    csr.add_argument("--common-name", metavar="NAME", help="the CN; by default the username of the settings")
    csr.add_argument("--organization", metavar="NAME", help="the O of the subject")
    csr.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="the key: written (0600), unless it exists"
    )
    csr.add_argument("--key-type", choices=["ec", "rsa"], default="ec", help="the kind of a new key; ec is P-256")
    csr.add_argument("--encrypt", action="store_true", help="encrypt a new key with a passphrase")
    csr.add_argument("-o", "--output", type=Path, metavar="FILE", help="the request; by default stdout")
    _add_password(csr)

    def run(options: argparse.Namespace, terminal: Terminal) -> int:
        from seic.cli._certificate_request import make_request

        return make_request(options, terminal)

    csr.set_defaults(run=run)


def _add_convert(actions: Any, common: argparse.ArgumentParser) -> None:
    convert = actions.add_parser(
        "convert",
        help="convert a certificate with its chain and key: PEM, PKCS#12, DER",
        description="Convert a client certificate with its chain and its key. The file is written with mode 0600, and "
        "an existing one is not replaced without --force.",
        parents=[common],
        allow_abbrev=False,
    )
    convert.add_argument("source", metavar="FILE", help="the certificate, in any format")
    convert.add_argument("--key", metavar="FILE", help="the key, if it is in another file")
    convert.add_argument("--to", choices=["pem", "pkcs12", "der"], required=True, help="the form; der has no chain")
    convert.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the new file")
    convert.add_argument("--new-key", type=Path, metavar="FILE", help="write the key to this file (PEM and DER)")
    convert.add_argument("--new-password-file", type=Path, metavar="FILE", help="encrypt the key; PKCS#12 needs it")
    convert.add_argument("--force", action="store_true", help="replace existing files")
    _add_password(convert)

    def run(options: argparse.Namespace, terminal: Terminal) -> int:
        from seic.cli._certificate_serialization import convert_certificate

        return convert_certificate(options, terminal)

    convert.set_defaults(run=run)


def _add_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="a file with the passphrase of the key")
