"""Methods that sign, and send no secret: a key or client secret that changes while a client is in use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

import seic
from seic.events import Event, SecretRejected
from seic.sandbox import MockClock
from tests._support.pki import mint

_PLAIN = {"SEIC_PROVIDER": "oauth2", "SEIC_CLIENT_ID": "id", "SEIC_API_HOST": "api.example"}
_SECRETS = {
    "client_secret_jwt": ("SEIC_CLIENT_SECRET_FILE", [number * 40 for number in "123"]),
    "private_key_jwt": ("SEIC_CLIENT_KEY", [mint(number=number).key_pem.decode() for number in (81, 82, 83)]),
}


class _Verifier(httpx.MockTransport):
    """A token endpoint that accepts the signatures of some keys."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.accepted: list[str] = []
        self.requests = 0

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/token"):
            return httpx.Response(200)
        self.requests += 1
        (assertion,) = parse_qs(request.content.decode())["client_assertion"]
        for secret in self.accepted:
            key = ECKey.import_key(secret) if "BEGIN" in secret else OctKey.import_key(secret)
            try:
                jwt.decode(assertion, key)
            except JoseError:
                continue
            return httpx.Response(200, json={"access_token": f"token-{self.requests}", "expires_in": 3600})
        return httpx.Response(401, json={"error": "invalid_client"})


class Story:
    """A client whose secret is in a file."""

    def __init__(self, file: Path, method: str) -> None:
        variable, self.secrets = _SECRETS[method]
        self.file, self.endpoint, self.clock = file, _Verifier(), MockClock()
        self.events: list[Event] = []
        self.put(0)
        config = seic.Config.from_env({**_PLAIN, "SEIC_CLIENT_AUTH": method, variable: str(file)})
        clock = seic.Clock(monotonic=self.clock, wall=self.clock)
        self.auth = seic.OAuth2Auth(config, transport=self.endpoint, clock=clock, on_event=self.events.append)

    def put(self, number: int) -> None:
        """Write a secret to the file."""
        self.file.write_text(self.secrets[number])

    def accept(self, *numbers: int) -> None:
        """Have the endpoint accept these secrets only."""
        self.endpoint.accepted = [self.secrets[number] for number in numbers]


@pytest.fixture(params=_SECRETS)
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    """Return a client of each method."""
    made = Story(tmp_path / "secret", request.param)
    yield made
    made.auth.close()


def test_a_refusal_ends_when_the_key_changes(story: Story) -> None:
    """Until then, nothing is sent again: each assertion differs, so the key itself is compared."""
    for _ in range(3):
        with pytest.raises(seic.TokenRequestRefused):
            story.auth.token_sync()
        story.clock.advance(1.01)
    assert story.endpoint.requests == 1
    story.accept(1)
    story.put(1)
    assert story.auth.token_sync().access_token == "token-2"


def test_a_key_that_changes_on_our_side_first(story: Story) -> None:
    """The one that got the last token signs, until the provider knows the new one."""
    story.accept(0)
    story.auth.token_sync()
    story.put(1)
    for number in (3, 5):
        assert story.auth.token_sync(force=True).access_token == f"token-{number}"
    assert len([event for event in story.events if isinstance(event, SecretRejected)]) == 2
    story.accept(1)
    assert story.auth.token_sync(force=True).access_token == "token-6"
    story.put(2)
    story.accept()
    with pytest.raises(seic.TokenRequestRefused):
        story.auth.token_sync(force=True)
