"""Run the application on one machine, with the sandbox in place of SEI; nothing has to be configured.

    python local.py [PORT]

Ctrl-C, SIGTERM or the end of the terminal stops the application, its workers and the sandbox.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

from seic.sandbox import Sandbox


def main(port: str = "8000") -> int:
    """Serve until Ctrl-C or a signal."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # Windows has no SIGHUP
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    url = f"http://localhost:{port}"
    with Sandbox(redirect_urls=[f"{url}/login/callback"]) as sandbox, tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "client.pem")
        certificate.touch(mode=0o600)
        certificate.write_bytes(sandbox.client_certificate_pem + sandbox.client_key_pem)
        settings = {
            "SEIC_CLIENT_ID": sandbox.client_id,
            "SEIC_CLIENT_SECRET": sandbox.client_secret,
            "SEIC_USERNAME": sandbox.username,
            "SEIC_PASSWORD": sandbox.password,
            "SEIC_CERTIFICATE": str(certificate),
            "SEIC_API_HOST": sandbox.api_url,
            "SEIC_MTLS_HOST": sandbox.mtls_url,
            "SEIC_CA": sandbox.ca_pem.decode(),
            "APP_URL": url,
            "APP_KEY": Fernet.generate_key().decode(),
            "APP_TOKENS": str(Path(folder, "tokens")),
        }
        print(f"""
{url}/accounts   a request of the service itself, over mutual TLS
{url}/ready      its readiness
{url}/           a page for users; the login page has a certificate of the sandbox's CA

email:    {sandbox.email}
password: {sandbox.password}
""")
        command = [sys.executable, "-m", "uvicorn", "app:app", "--workers", "2", "--port", port]
        here = Path(__file__).parent
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEIC_")}
        with subprocess.Popen(command, cwd=here, env={**inherited, **settings}) as server:  # noqa: S603 - a fixed command
            try:
                return server.wait()
            except KeyboardInterrupt:
                # Ctrl-C also reaches the server, which exits after its requests.
                return server.wait()
            finally:
                server.terminate()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
