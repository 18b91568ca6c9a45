"""`run_proxy`: one run of `seic proxy`, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from argparse import Namespace
from collections.abc import Callable

import attrs
import httpx

from seic._client import AsyncClient
from seic._config import Config
from seic.cli._proxy.access_check import AccessCheck
from seic.cli._proxy.forwarder import Forwarder, ForwarderLimits
from seic.cli._proxy.listening import listen_tcp, listen_unix, parse_loopback
from seic.cli._proxy.proxy_meter import METRICS_PATH
from seic.cli._proxy.proxy_server import ProxyServer


@attrs.frozen
class ProxyAddress:
    """The address of a running proxy.

    Args:
        variables: The variables that a program needs.
        metrics: The URL of the metrics.
    """

    variables: dict[str, str] = attrs.field(repr=False)
    metrics: str


def run_proxy(options: Namespace, config: Config, announce: Callable[[ProxyAddress], None]) -> int:
    """Serve until SIGINT or SIGTERM; a second one does not wait for requests in progress.

    Args:
        options: The arguments of the command.
        config: The configuration.
        announce: Called with the address when requests are accepted.

    Returns:
        The number of requests that were cut off.

    Raises:
        OSError: The socket is not available.
        ValueError: The address is not one of loopback.
    """
    with contextlib.ExitStack() as stack:
        if options.unix_socket is not None:
            sock = stack.enter_context(listen_unix(options.unix_socket))
            access = AccessCheck(config.origin, secret=None)
            variables = {"PROXY_SOCKET": str(options.unix_socket.absolute())}
            address = ProxyAddress(variables, f"http://localhost{METRICS_PATH}")
        else:
            ip = parse_loopback(options.address)
            sock = stack.enter_context(listen_tcp(ip, options.port))
            port = sock.getsockname()[1]
            authority = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
            secret = secrets.token_urlsafe(32)
            access = AccessCheck(config.origin, secret=secret, authorities=[authority], port=port)
            variables = {"PROXY_URL": f"http://{authority}", "PROXY_SECRET": secret}
            address = ProxyAddress(variables, f"http://{authority}{METRICS_PATH}")
        sock.listen(1024)

        async def serve() -> int:
            stop, hurry = asyncio.Event(), asyncio.Event()

            def end() -> None:
                (hurry if stop.is_set() else stop).set()

            _on_signals(end)
            limits = ForwarderLimits(timeout=options.timeout, connections=options.connections)
            async with _client(config, limits) as client:
                server = ProxyServer([sock], Forwarder(client, config, access, limits))
                serving = asyncio.create_task(server.serve(stop, hurry, grace=options.grace))
                announce(address)
                return await serving

        return asyncio.run(serve())


def _client(config: Config, limits: ForwarderLimits) -> AsyncClient:
    number = limits.connections
    return AsyncClient(
        config,
        timeout=httpx.Timeout(limits.timeout),
        limits=httpx.Limits(max_connections=number, max_keepalive_connections=number),
    )


def _on_signals(act: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, act)
        except NotImplementedError:  # on Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))
