"""Servers of other protocols with mutual TLS: each answers with the CN, the key header and the scheme it was sent."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from cryptography import x509
from websockets.asyncio.server import ServerConnection, serve

from seic.sandbox import CertificateAuthority, IssuedCertificate


def _described(headers: Mapping[str, str], der: bytes | None) -> str:
    name = "" if der is None else x509.load_der_x509_certificate(der).subject.rfc4514_string()
    scheme = headers.get("authorization", "").partition(" ")[0]
    return json.dumps({"name": name, "key": headers.get("appkey"), "scheme": scheme})


def _context(folder: Path, authority: CertificateAuthority, own: IssuedCertificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.cert_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    pair = folder / "server.pem"
    pair.write_bytes(own.cert_pem + own.key_pem)
    context.load_cert_chain(pair)
    return context


async def _http(context: ssl.SSLContext, connections: set[asyncio.Transport]) -> tuple[int, web.AppRunner]:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        connections.add(request.transport)
        der = request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "https://elsewhere.example/"})
        return web.Response(text=_described(headers, der), content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    return runner.addresses[0][1], runner


async def _web_socket(context: ssl.SSLContext) -> tuple[int, Any]:
    async def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        der = connection.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        async for _ in connection:
            await connection.send(_described(headers, der))

    server = await serve(answer, "localhost", 0, ssl=context)
    return next(iter(server.sockets)).getsockname()[1], server


@contextmanager
def http_and_web_socket(
    folder: Path, authority: CertificateAuthority, own: IssuedCertificate
) -> Iterator[tuple[int, int]]:
    """Run both in a thread; the ports."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    context = _context(folder, authority, own)
    connections: set[asyncio.Transport] = set()
    http_port, runner = run(_http(context, connections))
    socket_port, server = run(_web_socket(context))

    async def close() -> None:
        # A closing TLS connection waits for the client's part of it.
        for connection in connections:
            connection.abort()
        server.close()
        await server.wait_closed()
        await runner.cleanup()

    try:
        yield http_port, socket_port
    finally:
        run(close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Answer every method."""

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            headers = {name: str(value) for name, value in context.invocation_metadata()}
            (name,) = map(bytes, context.auth_context()["x509_common_name"])
            described = json.loads(_described(headers, None))
            return json.dumps({**described, "name": f"CN={name.decode()}"}).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def grpc_server(authority: CertificateAuthority, own: IssuedCertificate) -> Iterator[int]:
    """Run a gRPC server; its port."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Echo(),))
    pair = [(own.key_pem, own.cert_pem)]
    credentials = grpc.ssl_server_credentials(pair, authority.cert_pem, require_client_auth=True)
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait(10)
