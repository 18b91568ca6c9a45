"""The command with an issuer whose endpoints come from its metadata."""

from __future__ import annotations

import json

import pytest

from tests._support.authlib_site import Site
from tests._support.command import run


def test_doctor_with_an_issuer(site: Site) -> None:
    """The token endpoint is not a setting; all checks run."""
    done = run("doctor", "--path", "/api", "--json")
    found = {result["name"]: result for result in json.loads(done.out)["checks"]}

    assert done.code == 0, done.out
    assert {found[name]["outcome"] for name in ("token", "tokeninfo", "api")} == {"ok"}


def test_a_wrong_issuer_is_named(site: Site) -> None:
    """Its metadata is elsewhere; certificate, network and TLS are right."""
    # Not the fixture, which could end after that of the other variables and restore one of them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEIC_ISSUER", f"{site.nginx.api_url}/wrong")
        done = run("doctor", "--json")
    failed = [result for result in json.loads(done.out)["checks"] if result["outcome"] == "failed"]

    assert [result["name"] for result in failed] == ["token"]
    assert "/wrong" in failed[0]["found"]
    assert done.code != 0


def test_info_of_a_token(site: Site) -> None:
    """By the introspection endpoint of the metadata."""
    described = run("token", "info")

    assert described.code == 0, described.err
    assert "active\tTrue" in described.out
