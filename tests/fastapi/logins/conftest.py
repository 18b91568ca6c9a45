"""An application with logins, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests._support.login_site import Site
from tests._support.platform_mock import PlatformMock


@pytest.fixture
def site(platform: PlatformMock) -> Site:
    """An application with logins at the platform."""
    return Site(platform)


@pytest.fixture
def browser(site: Site) -> Iterator[TestClient]:
    """A browser of the running application."""
    with site as browser:
        yield browser
