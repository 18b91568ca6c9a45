"""Routes from the examples of an OpenAPI file (OpenAPI Specification 3.0 and 3.1)."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_MAX_REFERENCES = 20


@attrs.frozen(kw_only=True)
class OpenApiRoute:
    """The example of one operation.

    Args:
        method: The method.
        path: Matches its path; a parameter is one segment.
        parameters: The number of parameters.
        status: The status.
        content_type: The media type; None without a body.
        body: The body.
    """

    method: str
    path: re.Pattern[str]
    parameters: int
    status: int
    content_type: str | None
    body: bytes

    def respond(self) -> web.Response:
        """Return the response."""
        headers = {} if self.content_type is None else {"Content-Type": self.content_type}
        return web.Response(status=self.status, body=self.body, headers=headers)


def read_openapi(file: Path) -> list[OpenApiRoute]:
    """Return the routes of a file in JSON: of each operation the first example of its first 2xx response.

    Operations without an example are left out, unless their response has no body.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not an OpenAPI document in JSON.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{file}: must be an OpenAPI document in JSON; convert YAML first") from None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ValueError(f"{file}: must be an OpenAPI document with `paths`")  # noqa: TRY004 - of the file, not of Python
    # Paths without parameters first (OpenAPI 3.1 §4.8.8.2).
    return sorted(_routes(document, file), key=lambda route: route.parameters)


def _routes(document: dict[str, Any], file: Path) -> Iterator[OpenApiRoute]:
    servers = document.get("servers") or [{"url": "/"}]
    base = urllib.parse.urlsplit(str(servers[0].get("url", "/"))).path.rstrip("/")
    for path, found in document["paths"].items():
        item = _resolve(document, found, file)
        for method in _METHODS:
            if method in item:
                yield from _route(document, file, method, base + path, item[method])


def _route(
    document: dict[str, Any], file: Path, method: str, path: str, operation: dict[str, Any]
) -> Iterator[OpenApiRoute]:
    statuses = [status for status in operation.get("responses", {}) if re.fullmatch(r"2[0-9]{2}", str(status))]
    if not statuses:
        return
    response = _resolve(document, operation["responses"][statuses[0]], file)
    parts = re.split(r"\{[^{}/]+\}", path)
    common: dict[str, Any] = {
        "method": method.upper(),
        "path": re.compile("[^/]+".join(map(re.escape, parts))),
        "parameters": len(parts) - 1,
        "status": int(statuses[0]),
    }
    content = response.get("content") or {}
    if not content:
        yield OpenApiRoute(**common, content_type=None, body=b"")
    for kind, media in content.items():
        for example in _examples(document, media, file):
            is_text = isinstance(example, str) and "json" not in kind
            body = example if is_text else json.dumps(example)
            yield OpenApiRoute(**common, content_type=kind, body=body.encode())
            return


def _examples(document: dict[str, Any], media: Mapping[str, Any], file: Path) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
    for found in (media.get("examples") or {}).values():
        example = _resolve(document, found, file)
        if "value" in example:
            yield example["value"]
    schema = _resolve(document, media.get("schema") or {}, file)
    if "example" in schema:
        yield schema["example"]
    yield from schema.get("examples") or []


def _resolve(document: dict[str, Any], found: Any, file: Path) -> dict[str, Any]:
    """Follow references inside the document."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(found, dict):
            break
        if "$ref" not in found:
            return found
        reference = str(found["$ref"])
        found = document if reference.startswith("#/") else None
        for part in reference[2:].split("/"):
            name = urllib.parse.unquote(part).replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
    raise ValueError(f"{file}: a reference leads nowhere, or out of the document")
