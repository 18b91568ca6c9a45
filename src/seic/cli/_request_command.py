"""`seic request`: one API request with the token and the certificate."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import add_login_option, read_config
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    import httpx

_EPILOG = """\
examples:
  seic request GET /v1/accounts -q limit=10
  seic request POST /v1/orders -d @order.json
  seic request GET /v1/reports/7 -o report.pdf
  seic request GET /v1/accounts --all --jq '.accounts[].id'

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
    parser.add_argument(
        "--all", action="store_true", help="follow the pages of a collection; print one JSON array of all items"
    )
    parser.add_argument("--jq", metavar="EXPR", help="print what a jq expression selects; with --all from each page")
    parser.add_argument("-i", "--include", action="store_true", help="print status and headers too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the body to a file, with progress")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="without data; default 30")
    add_login_option(parser)
    parser.add_argument("--curl", action="store_true", help="print the curl command instead, secrets as variables")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    _check(options)
    config = read_config(options)
    if options.curl:
        from seic.cli._curl_request import curl_request

        content_type = None if options.data is None else _content_type(options.data)
        terminal.print(curl_request(options, config, _url(options), content_type))
        return ExitCode.OK
    from seic import Client
    from seic.cli._response_output import ResponseOutput

    output = ResponseOutput(terminal, options.jq, with_head=options.include)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(config, timeout=options.timeout))
        if options.all:
            pages = client.pages(_url(options), headers=_pairs(options.header, ":", "header"))
            return output.pages(pages)
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

            response = download(client, request, options.output, terminal)
        else:
            response = client.send(request, stream=True)
        stack.callback(response.close)
        return output.response(response)


def _check(options: argparse.Namespace) -> None:
    """Refuse a wrong path, and options that exclude each other."""
    from seic import ConfigurationError

    if not options.path.startswith("/") or options.path.startswith("//"):
        raise ConfigurationError("PATH: must be a path of the configured host, such as /v1/accounts", field="path")
    if options.all and (options.method.upper() != "GET" or options.data is not None):
        options.command.error("--all: pages are requested by GET, without --data")
    pairs = (("--all", "--include"), ("--all", "--output"), ("--all", "--curl"), ("--jq", "--output"))
    for pair in (*pairs, ("--jq", "--curl")):
        if all(getattr(options, name.removeprefix("--")) for name in pair):
            options.command.error(f"{pair[0]}: not with {pair[1]}")


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
