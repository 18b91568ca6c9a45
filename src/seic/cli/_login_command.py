"""`seic login`: a person logs in in a browser, here or on another device; the token lives in the store."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import read_config, require_store
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    from seic._config import Config
    from seic._model.token import Token
    from seic.cli._login_trace import LoginTrace

_EPILOG = """\
Commands with --login use the login: seic token --login, seic request --login,
seic curl --login. It lives in the store of the settings (SEIC_STORE), and is
refreshed as long as the provider allows. `seic token --login revoke` ends it.
"""


def add_login_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "login",
        help="log a person in, in a browser or on another device",
        description="Log a person in, and keep the token in the store.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--device", action="store_true", help="show a code to type on another device (RFC 8628)")
    way.add_argument(
        "--no-browser", action="store_true", help="print the address, and ask for the one that it leads to"
    )
    parser.add_argument(
        "--port", type=int, default=0, metavar="PORT", help="the port of the redirect; by default any free one"
    )
    parser.add_argument(
        "--redirect-uri", metavar="URI", help="with --no-browser: the registered redirect URI, by default on loopback"
    )
    parser.add_argument("--scope", metavar="SCOPES", help="the scopes, separated by spaces")
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="for the person in the browser or on the other device; by default 300; --no-browser waits without end",
    )
    parser.add_argument("--explain", action="store_true", help="show each step of the protocol, without secrets")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    import asyncio

    import attrs

    from seic import Client
    from seic._discovery import with_metadata
    from seic.cli._login_grant import LoginGrant
    from seic.cli._login_trace import LoginTrace

    config = read_config(options, grant=LoginGrant())
    store = require_store(config, "keep")
    explanation = LoginTrace(terminal, is_shown=options.explain)
    known = config
    if config.provider.token_url is None:
        explanation.step("metadata", {"issuer": config.provider.issuer or ""}, "RFC 8414")
        known = asyncio.run(with_metadata(config))
    _require_logins(known, is_device=options.device)
    # The code is exchanged without the store, since it belongs to no stored token.
    known = attrs.evolve(known, store=None)
    token = (
        _on_device(options, terminal, known, explanation)
        if options.device
        else _in_browser(options, terminal, known, explanation)
    )
    with Client(config) as client:
        certificate = client.certificate
    store.save(config.store_key(None if certificate is None else certificate.thumbprint), token)
    explanation.step("store", {"store": repr(store)}, "the refresh token is used by later commands")
    until = "" if token.expires_at is None else f" until {token.expires_at:%Y-%m-%d %H:%M} UTC"
    more = ", and is refreshed" if token.refresh_token else ""
    terminal.note(f"Logged in at {config.base_url}; the token is valid{until}{more}. Use it with --login.")
    return ExitCode.OK


def _require_logins(config: Config, *, is_device: bool) -> None:
    from seic import ConfigurationError

    provider = config.provider
    if (provider.device_authorization_url if is_device else provider.authorize_url) is not None:
        return
    place = "on another device (--device)" if is_device else "in a browser"
    raise ConfigurationError(
        f"{provider.name} has no login {place}; set SEIC_ISSUER, or SEIC_PROVIDER, to one that has it, or use the "
        f"commands without a login",
        field="provider",
    )


def _in_browser(options: argparse.Namespace, terminal: Terminal, config: Config, explanation: LoginTrace) -> Token:
    import attrs

    from seic import Client, Login
    from seic.cli._login_redirect import LoopbackRedirect, ask_for_callback, open_browser

    with LoopbackRedirect(options.port) as redirect:
        redirect_uri = options.redirect_uri or redirect.uri
        login = Login.begin(
            provider=config.provider,
            client_id=config.client_id,
            redirect_uri=redirect_uri,
            environment=config.environment,
            hosts=config.hosts,
            scope=options.scope,
        )
        explanation.authorization_request(login.url)
        if options.no_browser:
            terminal.note(f"Open this address in a browser, and log in:\n{login.url}")
            callback = ask_for_callback(terminal)
        else:
            redirect.expect(login.state)
            terminal.note(f"Log in in the browser. If it does not open:\n{login.url}")
            open_browser(login.url)
            callback = redirect.wait(options.timeout)
    explanation.callback(callback)
    grant = login.finish(callback)
    explanation.token_request(config, "authorization_code")
    with Client(attrs.evolve(config, grant=grant)) as client:
        token = client.token()
    explanation.token(token)
    return token


def _on_device(options: argparse.Namespace, terminal: Terminal, config: Config, explanation: LoginTrace) -> Token:
    import asyncio

    import attrs

    from seic import DeviceCode, DeviceLogin, TokenRequestRefused

    config = attrs.evolve(config, grant=DeviceCode(scope=options.scope))
    explanation.step("device authorization", {"url": config.provider.device_authorization_url or ""}, "RFC 8628 §3.1")
    login = DeviceLogin.begin_sync(config)
    terminal.note(f"On any device, open {login.verification_uri} and type the code {login.user_code}")
    if login.verification_uri_complete is not None:
        terminal.note(f"or open {login.verification_uri_complete}")
    explanation.token_request(config, config.grant.grant_type)
    try:
        token = asyncio.run(asyncio.wait_for(login.finish(), options.timeout)).token
    except TimeoutError:
        raise TokenRequestRefused(
            f"the login was not finished within {options.timeout:g} s; start again", status=None, code="expired_token"
        ) from None
    explanation.token(token)
    return token
