"""A TLS server that asks for the client certificate after it has read the request, as Apache does for a location."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests._support.pki import Minted

_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_PAGE = b"<p>Reason: Cannot perform Post-Handshake Authentication.<br /></p>"
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=iso-8859-1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_PAGE), _PAGE)
)


class LateServer:
    """`openssl s_server` on loopback for one connection, running inside `with`.

    Args:
        folder: The folder of its files.
        identity: Its certificate and key.
        trusts: The authority of client certificates.
        version: `1.2`: it renegotiates; `1.3`: it uses post-handshake authentication.
    """

    def __init__(self, folder: Path, identity: Minted, trusts: Minted, version: str) -> None:
        certificate, key = identity.write(folder, "late-server")
        authority, _ = trusts.write(folder, "late-clients")
        files = ("-cert", certificate, "-key", key, "-CAfile", authority)
        how = ("-accept", "127.0.0.1:0", f"-tls{version.replace('.', '_')}", "-naccept", "1", "-no_ticket", "-no_cache")
        self._command = [str(word) for word in ("openssl", "s_server", *how, *files)]
        self._request = b"R\n" if version == "1.2" else b"c\n"
        #: The subject of the certificate that it received after the request.
        self.subject: str | None = None

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
        assert self._process.stdout is not None
        line = b""
        while not line.startswith(b"ACCEPT"):
            line = self._process.stdout.readline()
            assert line, "openssl s_server ended"
        self.port = int(line.rpartition(b":")[2])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._thread.join()
        self._process.communicate()

    def _serve(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"GET "):
                self._say(self._request)
            elif line.startswith(b"depth=0 "):
                self.subject = line.partition(b" ")[2].decode().strip()
            elif line.startswith(b"verify return:1") and self.subject is not None:
                self._say(_REPLY)
            elif b"extension not received" in line:
                self._say(_REFUSAL)

    def _say(self, text: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except OSError:  # it has ended
            return
