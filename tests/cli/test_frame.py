"""Help, version, errors, exit codes, streams: the habits that all commands share."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.command import environment, run, run_program
from tests._support.planted import Planted


def test_help_names_each_command() -> None:
    """Without a command too, and on stdout."""
    helped = run("--help")

    assert helped.code == 0
    assert helped.err == ""
    assert "token" in helped.out
    assert "completion" in helped.out
    assert run() == helped


def test_help_fits_a_terminal(env: pytest.MonkeyPatch) -> None:
    """Each line of each command's help, at 80 columns."""
    commands = [
        "token",
        "token info",
        "doctor",
        "explain",
        "certs",
        "sandbox",
        "completion",
        "env",
        "config",
        "request",
        "login",
        "curl",
    ]
    for command in [*commands, "certs inspect", "certs check", "certs csr", "certs convert", "config init"]:
        helped = run(*command.split(), "--help")
        assert helped.code == 0
        assert [line for line in helped.out.splitlines() if len(line) > 80] == [], command


def test_the_version_names_the_libraries() -> None:
    """Python, OpenSSL and httpx are what a report needs."""
    shown = run("--version")

    assert shown.code == 0
    assert shown.out.startswith(f"seic {seic.__version__} (Python {sys.version.split()[0]}, OpenSSL ")
    assert "httpx" in shown.out


@pytest.mark.parametrize("arguments", [["--bogus"], ["bogus"], ["token", "--format", "xml"], ["completion", "tcl"]])
def test_wrong_arguments_are_named(arguments: list[str]) -> None:
    """Exit code 2, and the usage on stderr."""
    refused = run(*arguments)

    assert refused.code == 2
    assert refused.out == ""
    assert "usage: seic" in refused.err
    assert arguments[-1] in refused.err


def test_help_imports_no_library() -> None:
    """Neither httpx nor cryptography nor rich, so that its help is fast, and so are mistakes in arguments."""
    code = (
        "import sys; before = set(sys.modules); from seic.cli import main; main(sys.argv[1:]); "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    for arguments in (["--help"], ["certs", "check", "--help"], ["token", "--bogus"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "{'seic'}"


def test_a_missing_setting_is_a_sentence(tmp_path: Path) -> None:
    """It names the variables, exits with 3, and has no traceback."""
    with environment({}, tmp_path):
        failed = run("token")

    assert failed.code == 3
    assert failed.out == ""
    assert failed.err.startswith("seic: SEIC_CLIENT_ID: missing; ")
    assert failed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("SEIC_CERTIFICATE_KEY", "/nowhere/client.key", 4),
        ("SEIC_MTLS_HOST", "localhost:1", 5),
        ("SEIC_PASSWORD", "wrong", 6),
    ],
)
def test_exit_codes_tell_failures_apart(env: pytest.MonkeyPatch, name: str, value: str, code: int) -> None:
    """Each kind has its own; the sentence is on stderr."""
    env.setenv(name, value)
    failed = run("token")

    assert failed.code == code
    assert failed.out == ""
    assert "Traceback" not in failed.err
    assert failed.err.startswith("seic: ")


def test_debug_shows_events_and_the_traceback(env: pytest.MonkeyPatch) -> None:
    """Before the command or after it, and -v the events alone."""
    env.setenv("SEIC_PASSWORD", "wrong")

    for arguments in (["--debug", "token"], ["token", "--debug"]):
        failed = run(*arguments)
        assert "Traceback (most recent call last)" in failed.err
        assert "token refused: host=localhost" in failed.err
    for arguments in (["-v", "token"], ["token", "-v"]):
        failed = run(*arguments)
        assert "Traceback" not in failed.err
        assert "token refused: host=localhost" in failed.err
    assert "token refused: host" not in run("token").err


def test_a_profile_is_named(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--profile` is SEIC_PROFILE; variables take precedence as in the library."""
    folder = tmp_path / "xdg/seic"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[other]\nusername = "nobody"\n')
    env.delenv("SEIC_USERNAME")

    assert run("token").code == 3
    assert run("token", "--profile", "other").code == 6
    assert "its tables: other" in run("--profile", "third", "token").err


def test_a_warning_of_a_certificate_is_on_stderr(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The result on stdout stays clean."""
    (tmp_path / "client.key").chmod(0o644)
    shown = run("token")

    assert shown.code == 0
    assert shown.err.startswith("seic: warning: ")
    assert len(shown.out.split()) == 1


def test_an_interrupt_has_the_code_of_shells(env: pytest.MonkeyPatch) -> None:
    """128 and the number of the signal, without a sentence."""

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    env.setattr(seic.Client, "token", interrupted)
    assert run("token").code == 130


def test_a_reader_that_ends_is_no_error() -> None:
    """`seic ... | head -1` ends with 141, as other programs do."""
    command = f"{sys.executable} -m seic completion bash; echo $? >&2"
    with subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "141\n"


def test_an_unexpected_error_quotes_nothing(env: pytest.MonkeyPatch) -> None:
    """Its message could have a secret."""

    def broken(*_arguments: object, **_options: object) -> None:
        raise ValueError("secret-in-a-message")

    env.setattr(seic.Client, "token", broken)
    failed = run("token")

    assert failed.code == 1
    assert failed.err.startswith("seic: an unexpected error (ValueError); ")
    assert "secret-in-a-message" not in failed.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    """Bash reads its script; each names the commands."""
    script = run("completion", shell)

    assert script.code == 0
    assert "completion" in script.out
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script.out, text=True, check=True)


def test_no_secret_at_a_real_terminal(sandbox: Sandbox, env: pytest.MonkeyPatch) -> None:
    """Neither the process list nor the terminal shows one, unless it is asked for."""
    planted = Planted()
    planted.add_sandbox(sandbox)
    arguments = [sys.executable, "-m", "seic", "token", "--debug"]
    main, screen = pty.openpty()
    with subprocess.Popen(arguments, stdout=screen, stderr=screen) as process:
        os.close(screen)
        shown = bytearray()
        # A terminal ends with EIO.
        with os.fdopen(main, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
            while some := terminal.read(65536):
                shown += some

    assert process.returncode == 0
    assert "not shown at a terminal" in shown.decode()
    assert planted.find(shown.decode()) == []
    assert planted.find(" ".join(arguments)) == []


def test_python_runs_the_module() -> None:
    """`python -m seic` is the command."""
    assert run_program("--help") == run("--help")


def test_wrong_arguments_of_an_action() -> None:
    """The usage is that of the action."""
    assert run("certs", "check", "--bogus").err.startswith("usage: seic certs check ")
    assert run("token", "--bogus").err.startswith("usage: seic token ")


def test_lines_end_with_a_word(env: pytest.MonkeyPatch) -> None:
    """At a terminal of 80 columns: sentences, notes and events; in a pipe each is one line."""
    for arguments in (["certs", "check"], ["-v", "token", "--force"]):
        piped, shown = run(*arguments), run(*arguments, at_terminal=True)
        assert max(map(len, (piped.out + piped.err).splitlines())) > 80
        assert max(map(len, (shown.out + shown.err).splitlines())) <= 80


def test_no_color(env: pytest.MonkeyPatch) -> None:
    """Neither colours nor other styles."""
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        env.setenv("TERM", "xterm-256color")
        assert "\x1b[" in run("config", "show", at_terminal=True).out
        env.setenv(name, value)
        for arguments in (["config", "show"], ["doctor"], ["certs", "check"], ["token", "--bogus"]):
            shown = run(*arguments, at_terminal=True)
            assert "\x1b" not in shown.out + shown.err
        env.delenv(name)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("seic req", {"request"}),
        ("seic certs ins", {"inspect"}),
        ("seic request --outp", {"--output"}),
        ("seic completion f", {"fish"}),
        ("seic certs inspect client.", {"client.pem", "client.key"}),
        ("seic request GET / -o client.k", {"client.key"}),
        ("seic request GET / -d client.k", set()),
    ],
)
def test_bash_completes(env: pytest.MonkeyPatch, tmp_path: Path, words: str, completed: set[str]) -> None:
    """Commands, options, choices, and files where a file belongs."""
    env.chdir(tmp_path)
    script = (
        'eval "$1"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$2; COMP_POINT=${#2}; '
        "compopt() { :; }; $(complete -p seic | sed 's/.* -F \\([^ ]*\\) .*/\\1/') seic; "
        'printf "%s\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "-", run("completion", "bash").out, words], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) == completed
