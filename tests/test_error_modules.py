"""The module that each exception class shows in a traceback: one that users can import."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest

import seic
from seic.sandbox import Sandbox


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for one in type.__subclasses__(kind):
        yield one
        yield from _subclasses(one)


def _is_ours(kind: type) -> bool:
    """Whether a class is of seic; a class made by a call shows any module, so its bases count too."""
    return any(base.__module__.partition(".")[0] == "seic" for base in kind.__mro__)


@pytest.fixture
def all_errors() -> set[type]:
    """Every exception class of seic that is an error of seic, httpx or httpx2, those that a failure makes included."""
    for module in pkgutil.walk_packages(seic.__path__, "seic."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    roots = (seic.SeicError, httpx.HTTPError, httpx2.HTTPError, Warning)
    return {seic.SeicError, *(one for root in roots for one in _subclasses(root) if _is_ours(one))}


def _connect_errors() -> list[type]:
    """Return the classes of errors for a refused certificate, which are made by the first failure."""
    kinds: list[type] = []
    clients: list[Any] = [(seic.Client, httpx), (importlib.import_module("seic.httpx2").Client, httpx2)]
    for client_type, library in clients:
        with Sandbox() as sandbox:
            with client_type(sandbox.config(certificate=True)) as client:
                client.token()
                sandbox.refuse_certificate()
                with pytest.raises(library.ConnectError) as caught:
                    client.get("/v1/echo")
            kinds.append(caught.type)
    return kinds


def test_no_error_shows_a_private_module(all_errors: set[type]) -> None:
    """Nor does one that is made for httpx or httpx2 when it is first raised."""
    errors = {*all_errors, *_connect_errors()}
    # A base with a private name is never raised itself.
    raised = {kind for kind in errors if not (kind.__name__.startswith("_") and kind.__subclasses__())}
    private = sorted(
        f"{one.__module__}.{one.__qualname__}" for one in raised if "._" in f"{one.__module__}.{one.__qualname__}"
    )

    assert private == []
    assert {one.__name__ for one in raised} >= {"CertificateError", "TooManyRequests", "CertificateWarning"}
    for one in raised:
        assert hasattr(importlib.import_module(one.__module__), one.__name__), one
