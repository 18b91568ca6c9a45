"""Routes from the examples of an OpenAPI document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import seic
from seic.sandbox import Sandbox
from seic.sandbox.__main__ import main


def _json(example: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": example}}


_DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Orders", "version": "1"},
    "servers": [{"url": "https://api.example/v2"}],
    "paths": {
        "/orders/{id}": {
            "get": {"responses": {"404": _json({"example": 1}), "200": _json({"example": {"id": "any"}})}},
            "delete": {"responses": {"204": {"description": "gone"}}},
        },
        "/orders/latest": {"get": {"responses": {"200": {"$ref": "#/components/responses/Latest"}}}},
        "/orders": {
            "post": {"responses": {"201": _json({"examples": {"a": {"$ref": "#/components/examples/New~1Order"}}})}},
            "get": {"responses": {"200": _json({"schema": {"type": "array", "examples": [[{"id": "1"}]]}})}},
            "put": {"responses": {"200": _json({"schema": {"type": "object"}})}},
        },
        "/report": {"get": {"responses": {"200": {"content": {"text/csv": {"example": "a,b\n"}}}}}},
        "/broken": {"get": {"responses": {"default": _json({"example": 1})}}},
    },
    "components": {
        "responses": {"Latest": _json({"schema": {"$ref": "#/components/schemas/Order"}})},
        "examples": {"New/Order": {"value": {"id": "new"}}},
        "schemas": {"Order": {"type": "object", "example": {"id": "latest"}}},
    },
}


async def test_the_examples_are_served(tmp_path: Path) -> None:
    """After the token is checked; below the path of the server."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(_DOCUMENT))
    with Sandbox(openapi=file) as sandbox:
        async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
            expected: list[tuple[str, str, int, Any]] = [
                ("GET", "/v2/orders/7", 200, {"id": "any"}),
                ("GET", "/v2/orders/latest", 200, {"id": "latest"}),
                ("POST", "/v2/orders", 201, {"id": "new"}),
                ("GET", "/v2/orders", 200, [{"id": "1"}]),
            ]
            for method, path, status, body in expected:
                reply = await client.request(method, path)
                assert (reply.status_code, reply.json()) == (status, body)
                assert reply.headers["Content-Type"] == "application/json"
            deleted = await client.delete("/v2/orders/7")
            assert (deleted.status_code, deleted.content) == (204, b"")
            report = await client.get("/v2/report")
            assert (report.headers["Content-Type"], report.text) == ("text/csv", "a,b\n")
            for path in ("/orders", "/v2/orders/7/items", "/v2/broken"):
                assert (await client.get(path)).status_code == 404
            assert (await client.put("/v2/orders")).status_code == 404
            await client.post("/v2/orders", json={"amount": 1})
        assert sandbox.received(path="/v2/orders", method="POST")[-1].body == b'{"amount":1}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openapi: 3.1.0", "must be an OpenAPI document in JSON"),
        ("[]", "with `paths`"),
        ('{"paths": {"/a": {"$ref": "other.json"}}}', "a reference leads nowhere"),
        ('{"paths": {"/a": {"$ref": "#/paths/~1a"}}}', "a reference leads nowhere"),
    ],
)
def test_another_document_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the start; the message names the file."""
    file = tmp_path / "openapi.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        Sandbox(openapi=file)
    assert main(["--openapi", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_a_file_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a traceback."""
    file = tmp_path / "openapi.json"
    assert main(["--openapi", str(file)]) == 1
    assert capsys.readouterr().err == f"sandbox: {file}: No such file or directory\n"
