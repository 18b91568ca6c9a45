"""`seic token`: obtain, describe and revoke a token, and print it in the forms that other tools read."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import add_login_option, read_config, require_store
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    from seic._config import Config
    from seic._model.token import Token

_FORMATS = ("raw", "json", "env", "header", "exec")
_EPILOG = """\
The token is printed to a pipe or a file; at a terminal only with --show.

  raw      the token alone
  json     the token, its type, and its end
  env      export ACCESS_TOKEN=..., for eval
  header   the headers of an API request, for curl -H @-
  exec     an ExecCredential, for kubectl and tools that read the same

Calls share a token if the settings name a store that outlives the process.
"""


def add_token_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "token",
        usage="seic token [options] [info | revoke | purge]",
        help="get a token, in a form that other tools read; info, revoke, purge",
        description="Get a valid token, from the store if it has one.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--show", action="store_true", help="print the token at a terminal too")
    parser.add_argument("--format", choices=_FORMATS, help="the form; by default raw")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    add_login_option(parser)
    parser.add_argument("--force", action="store_true", help="request a new token even if the present one is valid")
    parser.set_defaults(run=_get)
    actions = parser.add_subparsers(metavar="ACTION", title="actions", prog="seic token")
    info = actions.add_parser(
        "info",
        help="ask the provider to describe the token",
        description="Ask the provider to describe the token; it is not printed.",
        parents=[common],
        allow_abbrev=False,
    )
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=_info)
    revoke = actions.add_parser(
        "revoke",
        help="revoke the stored token at the provider, and delete it from the store",
        description="Revoke the token in the store at the provider, and delete it from the store.",
        parents=[common],
        allow_abbrev=False,
    )
    revoke.set_defaults(run=_revoke)
    purge = actions.add_parser(
        "purge",
        help="delete the token from the store only",
        description="Delete the token from the store; at the provider it stays valid until it expires.",
        parents=[common],
        allow_abbrev=False,
    )
    purge.set_defaults(run=_purge)


def _get(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic import Client

    config = read_config(options)
    with Client(config) as client:
        token = client.token(force=options.force)
    if terminal.is_terminal and not options.show:
        terminal.table(_facts(token, config).items(), styles=["dim"])
        terminal.note("The token is not shown at a terminal; add --show, or pipe the output.")
    else:
        terminal.print(_format(token, config, options.format or "raw"))
    return ExitCode.OK


def _facts(token: Token, config: Config) -> dict[str, str]:
    return {
        "host": config.base_url,
        "type": token.token_type,
        "expires": "not known" if token.expires_at is None else f"{token.expires_at:%Y-%m-%d %H:%M:%S} UTC",
        "sha256": token.fingerprint,
        **({"scope": token.scope} if token.scope else {}),
        **({"tracking id": token.tracking_id} if token.tracking_id else {}),
    }


def _format(token: Token, config: Config, form: str) -> str:
    expires_at = None if token.expires_at is None else f"{token.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if form == "json":
        fields = {
            "access_token": token.access_token,
            "token_type": token.token_type,
            "expires_in": token.expires_in,
            "expires_at": expires_at,
            "scope": token.scope,
        }
        return json.dumps({name: value for name, value in fields.items() if value not in (None, "")}, indent=2)
    if form == "env":
        # Not SEIC_...: an unknown variable of that prefix is an error.
        return f"export ACCESS_TOKEN={shlex.quote(token.access_token)}"
    if form == "header":
        return "\n".join(f"{name}: {value}" for name, value in api_headers(token, config).items())
    if form == "exec":
        status = {"token": token.access_token, "expirationTimestamp": expires_at}
        document = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {name: value for name, value in status.items() if value is not None},
        }
        return json.dumps(document)
    return token.access_token


def api_headers(token: Token, config: Config) -> dict[str, str]:
    """Return the headers of an API request: the token, and the client id if the provider wants it."""
    headers = {"Authorization": f"{config.provider.authorization_scheme} {token.access_token}"}
    if config.provider.client_id_header is not None:
        headers[config.provider.client_id_header] = config.client_id
    return headers


def _info(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic import Client, ConfigurationError

    config = read_config(options)
    try:
        with Client(config) as client:
            info = client.token_info()
    except ConfigurationError as error:
        if error.field != "provider.introspection_url":
            raise
        # In the words of settings: the library's message is about code.
        raise ConfigurationError(
            f"{config.provider.name} has no call that describes a token; if yours has one, set SEIC_INTROSPECTION_URL",
            field="introspection_url",
        ) from None
    facts = {name: value for name, value in dataclasses.asdict(info).items() if value not in (None, "", {})}
    if options.json:
        terminal.json(facts)
    else:
        more: dict[str, object] = facts.pop("extra", {})
        terminal.table([(name, str(value)) for name, value in {**facts, **more}.items()], styles=["dim"])
    return ExitCode.OK if info.active else ExitCode.TOKEN


def _revoke(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic import Client

    config = read_config(options)
    require_store(config, "revoke")
    with Client(config) as client:
        client.revoke()
    terminal.note("The stored token is revoked.")
    return ExitCode.OK


def _purge(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic import Client

    config = read_config(options)
    store = require_store(config, "purge")
    with Client(config) as client:
        certificate = client.certificate
    store.delete(config.store_key(None if certificate is None else certificate.thumbprint))
    terminal.note("The token is deleted from the store.")
    return ExitCode.OK
