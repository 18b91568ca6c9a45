"""Ready clients of both kinds, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

import seic
from tests._support.fakes.gateway import FakeGateway


def both(gateway: FakeGateway, **options: Any) -> tuple[seic.AsyncClient, seic.Client]:
    """One client of each kind."""
    return (
        seic.AsyncClient(gateway.config(), transport=gateway, **options),
        seic.Client(gateway.config(), transport=gateway, **options),
    )


def refused(kind: Any, config: Any, **options: Any) -> seic.ConfigurationError:
    """The error that the options lead to."""
    with pytest.raises(seic.ConfigurationError) as caught:
        kind(config, **options)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


KINDS = pytest.mark.parametrize("kind", [seic.AsyncClient, seic.Client])
