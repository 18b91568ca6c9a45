"""`seic request`: one API request with the token and the certificate."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import add_login_option, environment_of, read_config
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    import httpx

    from seic._config import Config

_FIRST_ERROR = 400
_EPILOG = """\
  seic request GET /v1/accounts -q limit=10
  seic request POST /v1/orders -d @order.json
  seic request GET /v1/reports/7 -o report.pdf

An answer with a status from 400 on is printed too, and the exit code is 7. A
download that was interrupted goes on with the same command, if the server
supports that and the file has not changed there.
"""


def add_request_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "request",
        help="send an API request with the token and the certificate",
        description="Send an API request with the token and the certificate.\nIt goes to the configured host only.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("method", metavar="METHOD", help="GET, POST, ...")
    parser.add_argument("path", metavar="PATH", help="a path of the configured host, such as /v1/accounts")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="a header")
    parser.add_argument("-q", "--query", action="append", default=[], metavar="NAME=VALUE", help="a query parameter")
    parser.add_argument(
        "-d", "--data", metavar="TEXT|@FILE|@-", help="the body: a text, a file, or stdin; it is JSON if it looks so"
    )
    parser.add_argument("-i", "--include", action="store_true", help="print status and headers too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the body to a file, with progress")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="without data; default 30")
    add_login_option(parser)
    parser.add_argument("--curl", action="store_true", help="print the curl command instead, secrets as variables")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    config = read_config(options)
    _check(options)
    if options.curl:
        terminal.print(_as_curl(options, config))
        return ExitCode.OK
    from seic import Client

    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(config, timeout=options.timeout))
        request = client.build_request(
            options.method.upper(),
            _url(options),
            headers=_pairs(options.header, ":", "header"),
            content=_body(options.data, stack),
        )
        if options.data is not None and "Content-Type" not in request.headers:
            request.headers["Content-Type"] = _content_type(options.data)
        if options.output is not None:
            from seic.cli._download import download

            return download(client, request, options.output, terminal)
        response = client.send(request, stream=True)
        stack.callback(response.close)
        return _show(response, options, terminal)


def _check(options: argparse.Namespace) -> None:
    from seic import ConfigurationError

    if not options.path.startswith("/") or options.path.startswith("//"):
        raise ConfigurationError("PATH: must be a path of the configured host, such as /v1/accounts", field="path")


def _url(options: argparse.Namespace) -> httpx.URL:
    """Return the path with its query and that of `--query`."""
    import httpx

    query = _pairs(options.query, "=", "query")
    return httpx.URL(options.path).copy_merge_params(query) if query else httpx.URL(options.path)


def _pairs(texts: list[str], separator: str, what: str) -> list[tuple[str, Any]]:
    from seic import ConfigurationError

    pairs: list[tuple[str, Any]] = []
    for text in texts:
        name, found, value = text.partition(separator)
        if not found or not name.strip():
            raise ConfigurationError(f"--{what}: must be NAME{separator}VALUE", field=what)
        pairs.append((name.strip(), value.strip() if separator == ":" else value))
    return pairs


def _body(data: str | None, stack: contextlib.ExitStack) -> Any:
    if data is None:
        return None
    if data == "@-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        # A file is sent as it is read.
        return stack.enter_context(Path(data[1:]).expanduser().open("rb"))
    return data.encode()


def _content_type(data: str) -> str:
    if data.startswith("@"):
        return "application/json" if data.endswith(".json") else "application/octet-stream"
    return "application/json" if data.lstrip()[:1] in {"{", "["} else "text/plain; charset=utf-8"


def _show(response: httpx.Response, options: argparse.Namespace, terminal: Terminal) -> int:
    if options.include:
        terminal.print(f"{response.http_version} {response.status_code} {response.reason_phrase}")
        for name, value in response.headers.items():
            terminal.print(f"{name}: {value}")
        terminal.print()
    is_json = response.headers.get("Content-Type", "").partition(";")[0].endswith(("/json", "+json"))
    if terminal.is_terminal and is_json:
        response.read()
        try:
            terminal.print(json.dumps(response.json(), indent=2, ensure_ascii=False))
        except ValueError:
            terminal.print(response.text)
    else:
        for part in response.iter_bytes():
            terminal.write_bytes(part)
    if response.status_code < _FIRST_ERROR:
        return ExitCode.OK
    if not options.include:
        terminal.note(f"seic: the API answered {response.status_code} {response.reason_phrase}")
    return ExitCode.API


def _as_curl(options: argparse.Namespace, config: Config) -> str:
    from seic.cli._setting_sources import list_settings

    settings = {setting.name: setting for setting in list_settings(environment_of(options))}
    parts = ["curl", "--request", options.method.upper()]
    for name, option in (("certificate", "--cert"), ("certificate_key", "--key"), ("ca", "--cacert")):
        if name in settings:
            setting = settings[name]
            parts += [option, f'"${setting.source}"' if setting.is_secret else shlex.quote(setting.text)]
    if any(name.startswith("certificate_password") for name in settings):
        parts += ["--pass", '"$SEIC_CERTIFICATE_PASSWORD"']
    parts += ["--header", f'"Authorization: {config.provider.authorization_scheme} $ACCESS_TOKEN"']
    if config.provider.client_id_header is not None:
        parts += ["--header", f'"{config.provider.client_id_header}: $SEIC_CLIENT_ID"']
    for header in options.header:
        parts += ["--header", shlex.quote(header)]
    if options.data is not None:
        if not any(header.lower().startswith("content-type:") for header in options.header):
            parts += ["--header", shlex.quote(f"Content-Type: {_content_type(options.data)}")]
        parts += ["--data-binary", shlex.quote(options.data)]
    if options.output is not None:
        parts += ["--output", shlex.quote(str(options.output))]
    parts.append(shlex.quote(f"{config.base_url}{_url(options)}"))
    return f'eval "$(seic token --format env)"  # ACCESS_TOKEN\n{" ".join(parts)}'
