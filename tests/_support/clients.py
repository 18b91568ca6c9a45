"""Clients of both kinds, and the errors of their constructors."""

from __future__ import annotations

from typing import Any

import pytest

import seic
from seic.testing import MockProvider


def both(gateway: MockProvider, **options: Any) -> tuple[seic.AsyncClient, seic.Client]:
    """Return one client of each kind."""
    return (
        seic.AsyncClient(gateway.config(), transport=gateway, **options),
        seic.Client(gateway.config(), transport=gateway, **options),
    )


def refused(kind: Any, config: Any, **options: Any) -> seic.ConfigurationError:
    """Return the error that the arguments cause."""
    with pytest.raises(seic.ConfigurationError) as caught:
        kind(config, **options)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


KINDS = pytest.mark.parametrize("kind", [seic.AsyncClient, seic.Client])
