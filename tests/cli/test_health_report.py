"""The reports of `seic doctor`: without secrets, explained offline, compared with another profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests._support.command import run, variables_of
from tests._support.command_case import Case
from tests._support.planted import Planted


def test_the_report_has_no_secret(case: Case, tmp_path: Path) -> None:
    """Searched in plain and encoded form, in each output and the report, also after failures."""
    planted = Planted()
    planted.add_sandbox(case.sandbox)
    planted.add_key(case.sandbox._client_certificate, case.sandbox.client_key_pem)
    report = tmp_path / "report.json"
    outputs = []
    for password in (case.sandbox.password, planted.add("wrong password", "wrong-password-1")):
        case.env.setenv("SEIC_PASSWORD", password)
        for arguments in (["--json"], [], ["--debug"]):
            done = run("doctor", *arguments, "--capsule", str(report))
            outputs += [done.out, done.err, report.read_text()]

    assert len(planted._needles) > 20
    assert [planted.find(output) for output in outputs] == [[]] * len(outputs)
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_secret_in_a_report_is_masked(case: Case, tmp_path: Path) -> None:
    """One that was set as another value is masked there, too."""
    case.env.setenv("SEIC_USERNAME", case.sandbox.client_secret)
    done = run("doctor", "--json", "--capsule", str(tmp_path / "report.json"))

    assert case.sandbox.client_secret not in done.out
    assert case.sandbox.client_secret not in (tmp_path / "report.json").read_text()
    assert "***  (SEIC_USERNAME)" in done.out


def test_a_secret_of_a_file_is_masked(case: Case, tmp_path: Path) -> None:
    """The settings name the file only."""
    case.env.setenv("SEIC_CLIENT_SECRET_FILE", case.write("secret", case.sandbox.client_secret.encode()))
    case.env.delenv("SEIC_CLIENT_SECRET")
    case.env.setenv("SEIC_USERNAME", case.sandbox.client_secret)
    done = run("doctor", "--json")

    assert case.sandbox.client_secret not in done.out
    assert "***  (SEIC_USERNAME)" in done.out


def test_a_report_is_explained_offline(case: Case, tmp_path: Path) -> None:
    """The same lines, versions and events; nothing is sent."""
    report = tmp_path / "report.json"
    assert run("doctor", "--capsule", str(report)).code == 0
    before = case.sandbox.counts
    shown = run("explain", str(report))

    assert shown.code == 0
    assert "python 3." in shown.out
    assert "event token acquired: host=localhost" in shown.out
    assert run("doctor", "--brief").out.splitlines()[0] in shown.out
    assert case.sandbox.counts.api.connections == before.api.connections


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "seic-report", "version": 1, "checks": [1]}'])
def test_other_files_are_not_explained(tmp_path: Path, content: str) -> None:
    """A sentence names the file."""
    file = tmp_path / "other.json"
    file.write_text(content)
    failed = run("explain", str(file))

    assert failed.code == 1
    assert str(file) in failed.err
    assert failed.err.count("\n") == 1


def test_two_profiles_are_compared(case: Case, tmp_path: Path) -> None:
    """It works there and not here: the settings that differ, and the checks."""
    variables = variables_of(case.sandbox, tmp_path)
    lines = {name.removeprefix("SEIC_").lower(): value for name, value in variables.items()}
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    folder = tmp_path / "xdg/seic"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f"[there]\n{table}")
    case.env.setenv("SEIC_USERNAME", "svc-other")
    done = run("doctor", "--against", "there", "--json")
    rows = {row["name"]: row for row in json.loads(done.out)["differences"]}

    assert done.code == 4
    assert rows["username"] == {"name": "username", "here": "svc-other", "there": case.sandbox.username}
    assert rows["check token"]["there"] == "ok"
    assert rows["check token"]["here"].startswith("failed: ")
    assert "client_id" not in rows
    assert "username" in run("doctor", "--against", "there").out


def test_a_profile_that_cannot_be_read(case: Case) -> None:
    """The comparison says so."""
    shown = run("doctor", "--against", "absent")

    assert "check settings\tnot set\tfailed: SEIC_PROFILE: " in shown.out
