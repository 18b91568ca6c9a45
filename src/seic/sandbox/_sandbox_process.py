"""The command that runs a sandbox in the foreground, for `seic sandbox` and `python -m seic.sandbox`."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from seic._files import write_private
from seic.sandbox._control.control_client import send_fault
from seic.sandbox._control.control_server import ControlServer
from seic.sandbox._control.fault_actions import apply_fault
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.fault import FAULT_NAMES


def run_sandbox(options: argparse.Namespace, *, write: Callable[[str], object], note: Callable[[str], object]) -> None:
    """Run a sandbox until SIGINT or SIGTERM, or control a running one.

    Args:
        options: The arguments of `add_sandbox_arguments`.
        write: Writes text to stdout and flushes it.
        note: Writes a line to stderr and flushes it.

    Raises:
        OSError: A port is not available, a file cannot be written, or there is no sandbox to control.
        ValueError: A fault is unknown.
    """
    if options.action == "fault":
        send_fault(options)
        return
    with contextlib.ExitStack() as stack:
        ends = stack.enter_context(_ended_by_signals())
        if options.directory is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seic-sandbox-")))
        else:
            folder = options.directory.absolute()
            folder.mkdir(parents=True, exist_ok=True)
        sandbox = stack.enter_context(
            Sandbox(api_port=options.api_port, mtls_port=options.mtls_port, openapi=options.openapi)
        )
        control = stack.enter_context(ControlServer(sandbox, port=options.control_port))
        for fault in options.fault:
            apply_fault(sandbox, {"times": "always", **fault} if fault["fault"] in FAULT_NAMES else fault)
        variables = _variables(sandbox, control, folder, options)
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
        if options.env_file is not None:
            write_private(options.env_file, "".join(lines))
            note(f"variables: {options.env_file}")
        else:
            write("".join(f"export {line}" for line in lines))
        note(f"page: {control.page_url}")
        note(f"{sandbox.api_url}, with a client certificate {sandbox.mtls_url}; end with Ctrl-C")
        signal.sigwait(ends)


def _variables(sandbox: Sandbox, control: ControlServer, folder: Path, options: argparse.Namespace) -> dict[str, str]:
    (folder / "ca.pem").write_bytes(sandbox.ca_pem)
    username = sandbox.email if options.provider == "sei-platform" else sandbox.username
    variables = {
        "SANDBOX_CONTROL": control.url,
        "SANDBOX_TOKEN": control.token,
        "SEIC_PROVIDER": options.provider,
        "SEIC_API_HOST": sandbox.api_url.removeprefix("https://"),
        "SEIC_MTLS_HOST": sandbox.mtls_url.removeprefix("https://"),
        "SEIC_CA": str(folder / "ca.pem"),
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET": sandbox.client_secret,
    }
    if options.provider != "oauth2":
        variables |= {"SEIC_USERNAME": username, "SEIC_PASSWORD": sandbox.password}
    if not options.no_certificate:
        (folder / "client.pem").write_bytes(sandbox.client_certificate_pem)
        write_private(folder / "client.key", sandbox.client_key_pem.decode())
        variables |= {
            "SEIC_CERTIFICATE": str(folder / "client.pem"),
            "SEIC_CERTIFICATE_KEY": str(folder / "client.key"),
        }
    return variables


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[set[signal.Signals]]:
    # Blocked and waited for, so that they cannot end the process before the folder is deleted. The threads that start
    # in the block inherit the mask.
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        yield ends
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
