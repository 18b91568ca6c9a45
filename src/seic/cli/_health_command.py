"""`seic doctor` checks settings, certificate, network, token and API; `seic explain` shows its report again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seic.cli._configuration import add_login_option, environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

_DESCRIPTION = """\
Check, in this order: settings, files, certificate, authorities, clock, name,
proxy, connection, TLS with both certificates, the server's clock, a token, its
description, and one API call. The checks go on after a failure. The exit code
is that of the first failure.
"""


def add_doctor_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add both commands."""
    doctor = commands.add_parser(
        "doctor",
        help="find out what is wrong: settings, certificate, network, TLS, token, API",
        description=_DESCRIPTION,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    doctor.add_argument("--path", default="/", metavar="PATH", help="the path of the API call; by default /")
    doctor.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="for each connection; default 5")
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    doctor.add_argument("--brief", action="store_true", help="leave out the details")
    doctor.add_argument("--against", metavar="PROFILE", help="check this profile too, and show the differences")
    doctor.add_argument("--capsule", type=Path, metavar="FILE", help="write the report for support, without secrets")
    add_login_option(doctor)
    doctor.set_defaults(run=_diagnose)
    explain = commands.add_parser(
        "explain",
        help="show a report that seic doctor --capsule wrote",
        description="Show a report that `seic doctor --capsule` wrote; nothing is sent.",
        parents=[common],
        allow_abbrev=False,
    )
    explain.add_argument("file", type=Path, help="the report")
    explain.set_defaults(run=_explain)


def _diagnose(options: argparse.Namespace, terminal: Terminal) -> int:
    import json

    from seic._files import write_private
    from seic.cli._health_checks.sequence import run_checks
    from seic.cli._health_report import differences, show_result, to_document, without_secrets

    def report(result: Any) -> None:
        if not options.json and options.against is None:
            show_result(terminal, result, with_details=not options.brief)
            terminal.stdout.flush()

    environ = environment_of(options)
    how: dict[str, Any] = {"path": options.path, "timeout": options.timeout, "login": options.login, "report": report}
    here = run_checks(environ, **how)
    document = to_document(here)
    secrets = set(here.secrets)
    if options.against is not None:
        changed = {name: value for name, value in environ.items() if not name.startswith("SEIC_")}
        there = run_checks({**changed, "SEIC_PROFILE": options.against}, **how)
        secrets |= there.secrets
        rows = differences(here, there)
        document["against"] = to_document(there)
        document["differences"] = [dict(zip(("name", "here", "there"), row, strict=True)) for row in rows]
        if not options.json:
            name = options.profile or environ.get("SEIC_PROFILE") or "the environment"
            terminal.table(rows, header=["", name, options.against], styles=["bold", "", ""])
            if not rows:
                terminal.note("no difference")
    text = without_secrets(json.dumps(document, indent=2, ensure_ascii=False), secrets)
    if options.capsule is not None:
        write_private(options.capsule, f"{text}\n")
        terminal.note(f"report: {options.capsule}; read it with `seic explain {options.capsule}` before you send it")
    if options.json:
        terminal.print(text)
    return here.exit_code


def _explain(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic.cli._health_report import read_report, results_of, show_result

    try:
        document = read_report(options.file)
        results = results_of(document, options.file)
    except ValueError as error:
        terminal.error(str(error))
        return ExitCode.FAILED
    versions = ", ".join(f"{name} {value}" for name, value in dict(document.get("versions", {})).items())
    host, created = document.get("host") or "no host", document.get("created", "at an unknown time")
    terminal.sentence(f"{host}, {created}; {versions}")
    for result in results:
        show_result(terminal, result, with_details=True)
    for event in document.get("events", []):
        facts = " ".join(f"{name}={value}" for name, value in dict(event).items() if name != "event")
        terminal.sentence(f"  event {event.get('event')}: {facts}")
    return ExitCode.OK
