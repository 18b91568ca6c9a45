"""docs/observability.md: its examples and metrics."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry import metrics
from opentelemetry.metrics import _internal
from opentelemetry.util._once import Once

from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment
from tests._support.uvicorn_app import Served, free_port

_FILE = "docs/observability.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return the gateway of the examples."""
    with Sandbox() as sandbox:
        set_environment(sandbox, monkeypatch)
        yield sandbox


def test_the_examples_run_and_the_exposition_is_as_shown(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each series in the page is in the exposition for Prometheus."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    # The provider is global and set once: other tests must not find this one, which is shut down.
    monkeypatch.setattr(_internal, "_METER_PROVIDER", None)
    monkeypatch.setattr(_internal, "_METER_PROVIDER_SET_ONCE", Once())
    try:
        exposition = run_blocks(_FILE)["exposition"]
    finally:
        metrics.get_meter_provider().shutdown()  # type: ignore[attr-defined]

    assert 'seic_client_name="investments"' in exposition
    shown = set(re.findall(r"^((?:seic|http_client)_[a-z_]+)\{", _TEXT, re.MULTILINE))
    assert len(shown) >= 5
    for series in shown:
        assert re.search(rf"^{series}\{{", exposition, re.MULTILINE), series


def test_the_metrics_of_several_workers_are_told_apart(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example under uvicorn with two workers: each has a port and an instance of its own."""
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL) if "instance.id" in block)
    (tmp_path / "app.py").write_text(example, encoding="utf-8")
    first = free_port()
    environment = set_environment(sandbox, monkeypatch) | {"METRICS_PORT": str(first)}
    with Served(tmp_path / "app.sock", workers=2, environment=environment, folder=tmp_path):
        expositions = []
        for port in range(first, first + 16):
            with contextlib.suppress(httpx.ConnectError):
                expositions.append(httpx.get(f"http://127.0.0.1:{port}/metrics").text)

    instances = [re.findall(r'service_instance_id="([^"]+)"', exposition) for exposition in expositions]
    assert len({instance for found in instances for instance in found}) == 2
    for exposition in expositions:
        assert re.search(r'^seic_ready\{.*seic_client_name="default".*\} 1\.0$', exposition, re.MULTILINE)
