"""`seic curl`: the real curl, with token and certificate through a pipe, where no process list shows them."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import add_login_option, environment_of, read_config
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    from seic._config import Config
    from seic._tls.certificate import ClientCertificate

#: Options that would send the credentials elsewhere, or turn a check off; the short form of each too.
_REFUSED = {
    "--config": "it could name another host",
    "--next": "each part could name another host",
    "--location": "the target of a redirect would get the headers; call it by its path",
    "--location-trusted": "the target of a redirect would get the token",
    "--insecure": "it turns the check of the server's certificate off; set SEIC_CA",
    "--variable": "the URL must be in the arguments",
}
#: Options whose output has the token.
_REVEALING = {"--verbose", "--trace", "--trace-ascii", "--trace-config", "--libcurl"}
#: A line of `curl --help all`: a short and a long form, and the value of options that take one.
_OPTION = re.compile(r"^\s*(?:(-.), )?(--[\w.-]+)( <.*?>)?", re.MULTILINE)
_EPILOG = """\
  seic curl -- /v1/accounts
  seic curl -- -sS --fail -X POST --json @order.json /v1/orders

Arguments after -- are curl's. A URL is a path of the configured host. The exit
code is curl's.
"""


def add_curl_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "curl",
        help="run the real curl with token and certificate, out of sight of process lists",
        description="Run the real curl with the token and the certificate.",
        usage="seic curl [options] -- [curl's options] PATH",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--show", action="store_true", help="allow -v and --trace, which print the token")
    add_login_option(parser)
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="arguments of curl")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic import Client, ConfigurationError

    program = shutil.which("curl")
    if program is None:
        raise ConfigurationError("curl: not found on PATH; install it, or use `seic request`", field="curl")
    config = read_config(options)
    arguments = _check(options, _options_of(program), config)
    with Client(config) as client:
        token = client.token()
    from seic.cli._token_command import api_headers

    with tempfile.TemporaryDirectory(prefix="seic-curl-") as folder:
        lines = [f'header = "{_quote(f"{name}: {value}")}"' for name, value in api_headers(token, config).items()]
        lines += [f'{name} = "{_quote(value)}"' for name, value in _tls(options, config, Path(folder))]
        return _exec(program, "\n".join(lines), arguments, terminal)


def _exec(program: str, config: str, arguments: list[str], terminal: Terminal) -> int:
    terminal.stdout.flush()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEIC_")}
    readable, writable = os.pipe()
    try:
        # First of all: a ~/.curlrc could name another host, or turn a check off.
        command = [program, "--disable", "--config", f"/dev/fd/{readable}", *arguments]
        process = subprocess.Popen(command, pass_fds=[readable], env=environ)  # noqa: S603
    finally:
        os.close(readable)
    with process:
        try:
            # While curl reads, since a long token does not fit into the buffer of a pipe; curl may end early.
            with contextlib.suppress(BrokenPipeError), os.fdopen(writable, "wb") as pipe:
                pipe.write(config.encode())
            return process.wait()
        except BaseException:
            process.kill()
            raise


def _options_of(program: str) -> dict[str, tuple[str, bool]]:
    """Return each option of the installed curl, by both forms: its long form, and whether it takes a value."""
    done = subprocess.run([program, "--help", "all"], capture_output=True, text=True, check=False)  # noqa: S603
    found: dict[str, tuple[str, bool]] = {}
    for short, long, value in _OPTION.findall(done.stdout):
        found[long] = long, bool(value)
        if short:
            found[short] = long, bool(value)
    return found


def _check(options: argparse.Namespace, known: dict[str, tuple[str, bool]], config: Config) -> list[str]:
    """Return curl's arguments with whole URLs; each must be of the configured origin."""
    from seic import ConfigurationError

    checked: list[str] = []
    urls = 0
    for option, value in _parse(options.arguments, known):
        if option is None or option == "--url":
            url = _url(value or "", config)
            checked += [url] if option is None else [option, url]
            urls += 1
            continue
        if option in _REFUSED or option.startswith("--expand-"):
            reason = _REFUSED.get(option, _REFUSED["--variable"])
            raise ConfigurationError(f"{option}: not possible with seic curl; {reason}", field=option)
        if option in _REVEALING and not options.show:
            raise ConfigurationError(
                f"{option}: its output has the token; add --show before the --, or use `seic -v curl`", field=option
            )
        checked += [option] if value is None else [option, value]
    if not urls:
        raise ConfigurationError(
            "PATH: missing; name a path of the configured host, such as /v1/accounts", field="path"
        )
    return checked


def _parse(arguments: list[str], known: dict[str, tuple[str, bool]]) -> Iterator[tuple[str | None, str | None]]:
    """Yield each option in its long form with its value; a URL without an option."""
    from seic import ConfigurationError

    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument == "-":
            yield None, argument
        elif argument.startswith("--"):
            name = argument.removeprefix("--no-")
            positive = argument if argument in known else f"--{name}"
            # Prefixes of options, which curl takes, could hide one that is refused.
            if positive not in known:
                raise ConfigurationError(f"{argument}: not an option of the installed curl", field=argument)
            takes_value = known[positive][1] and argument in known
            yield argument, _value(argument, rest) if takes_value else None
        else:
            letters = argument[1:]
            while letters:
                short, letters = f"-{letters[0]}", letters[1:]
                if short not in known:
                    raise ConfigurationError(f"{short}: not an option of the installed curl", field=short)
                long, takes_value = known[short]
                if takes_value:
                    yield long, letters or _value(short, rest)
                    break
                yield long, None


def _value(option: str, rest: list[str]) -> str:
    from seic import ConfigurationError

    if not rest:
        raise ConfigurationError(f"{option}: needs a value", field=option)
    return rest.pop(0)


def _url(text: str, config: Config) -> str:
    from seic import HostNotAllowed

    if text.startswith("/") and not text.startswith("//"):
        return f"{config.base_url}{text}"
    if text == config.base_url or text.startswith(f"{config.base_url}/"):
        return text
    raise HostNotAllowed(
        f"{text.partition('?')[0]}: not of {config.base_url}, the only origin that may receive this token and "
        "certificate; name a path, such as /v1/accounts",
        host=text,
    )


def _tls(options: argparse.Namespace, config: Config, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the options of curl for certificate, authorities and proxy."""
    from seic import create_ssl_context
    from seic._model.secret import reveal
    from seic._setting_names import PREFIX
    from seic._setting_values import SettingReader
    from seic._settings import read_values
    from seic._tls.certificate import ClientCertificate

    reader = SettingReader(read_values(environment_of(options)), lambda setting: f"{PREFIX}{setting.upper()}")
    if isinstance(config.certificate, ClientCertificate):
        yield from _certificate(config.certificate, reader.text("certificate_key"))
        if passphrase := reader.secret("certificate_password"):
            yield "pass", reveal(passphrase, field="certificate_password")
    if isinstance(config.ca, bytes):
        authorities = folder / "ca.pem"
        authorities.write_bytes(config.ca)
        yield "cacert", str(authorities)
    elif config.ca is not None and not isinstance(config.ca, str | os.PathLike):
        authorities = folder / "ca.pem"
        trusted = create_ssl_context(ca=config.ca).get_ca_certs(binary_form=True)
        authorities.write_text("".join(map(ssl.DER_cert_to_PEM_cert, trusted)), encoding="ascii")
        yield "cacert", str(authorities)
    elif config.ca is not None:
        yield ("capath" if Path(config.ca).is_dir() else "cacert"), os.fspath(config.ca)
    if proxy := reader.text("proxy"):
        yield "proxy", proxy
    yield "proto", f"={config.origin.scheme}"


def _certificate(certificate: ClientCertificate, key: str | None) -> Iterator[tuple[str, str]]:
    from seic import ConfigurationError
    from seic._x509.encoding import is_pem, is_pkcs12
    from seic.cli._curl_request import certificate_argument

    if not certificate.files:
        raise ConfigurationError(
            "certificate: set as text, but curl reads files; write it to a file (0600), and set its path",
            field="certificate",
        )
    path = certificate.files[0]
    content = path.read_bytes()
    yield "cert", certificate_argument(str(path))
    if not is_pem(content):
        yield "cert-type", "P12" if is_pkcs12(content) else "DER"
    if key is not None:
        other = Path(key).expanduser()
        yield "key", str(other)
        if not is_pem(other.read_bytes()):
            yield "key-type", "DER"


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
