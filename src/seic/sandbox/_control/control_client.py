"""The command's request to the control of a running sandbox."""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import os
import urllib.parse

_TIMEOUT = 10.0
_FIELDS = ("fault", "target", "times", "seconds", "thumbprint")


def send_fault(options: argparse.Namespace) -> None:
    """Send the fault of the arguments to the sandbox that `SANDBOX_CONTROL` names.

    Raises:
        ValueError: The fault or one of its values is wrong.
        OSError: There is no such sandbox.
    """
    url, token = os.environ.get("SANDBOX_CONTROL", ""), os.environ.get("SANDBOX_TOKEN", "")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or not token:
        raise ValueError("SANDBOX_CONTROL, SANDBOX_TOKEN: paste the lines of a running sandbox first")
    values = {name: value for name in _FIELDS if (value := getattr(options, name)) is not None}
    # Without urllib's opener, which would send loopback to a proxy.
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/faults", body=json.dumps(values), headers=headers)
        response = connection.getresponse()
        body = json.loads(response.read())
    except ConnectionRefusedError:
        raise OSError(errno.ECONNREFUSED, "no sandbox is running there", "SANDBOX_CONTROL") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise ValueError(body["error"])
