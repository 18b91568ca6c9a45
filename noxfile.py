"""Commands of contributors and CI: `nox -l` lists them, `nox` runs the everyday checks.

Each session creates its own environment with pip. Only Python and `pip install nox` are needed first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PROJECT)

nox.options.sessions = ["lint", "layers", "types", "tests"]
nox.options.default_venv_backend = "virtualenv"
# A missing Python is not an error, in CI too: `tests` fails only if it finds none.
nox.options.error_on_missing_interpreters = False


def _candidates(version: str) -> Iterator[str]:
    if sys.version.startswith(f"{version}."):
        yield sys.executable
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if found := shutil.which(f"python{version}", path=folder):
            yield found


def _runs(python: str, version: str) -> bool:
    """Tell whether `python` starts and is `version`; a version manager's shim on PATH may fail at both."""
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", probe], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


FOUND = [version for version in SUPPORTED if any(_runs(python, version) for python in _candidates(version))]
MISSING = [version for version in SUPPORTED if version not in FOUND]
#: The package with all extras.
EVERYTHING = f".[{','.join(PROJECT['project']['optional-dependencies'])}]"
#: Parts of the names of licences that the packages of all extras may have.
LICENCES = "MIT;BSD;Apache;PSF;Python Software Foundation;ISC;MPL;Mozilla;Unlicense;CC0;0BSD"
#: The Python of sessions that need only one: the oldest supported version that was found.
ONE = FOUND[0] if FOUND else None


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


def _requirements() -> list[str]:
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(line for lines in extras.values() for line in lines)]


@nox.session(python=ONE)
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff (`nox -s lint -- --fix` repairs them where possible)."""
    session.install(*_group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check", "--diff"]))


@nox.session(python=ONE)
def layers(session: nox.Session) -> None:
    """Check with import-linter that each layer imports only the layers below it."""
    session.install("--no-deps", "--editable", ".")
    session.install(*_group("layers"))
    session.run("lint-imports", *session.posargs)


@nox.session(python=ONE)
def types(session: nox.Session) -> None:
    """Check the types with mypy (strict) and pyright."""
    session.install("--editable", EVERYTHING, *_group("types"))
    session.run("mypy")
    session.run("pyright")
    session.run("pytest", "tests/typing")


@nox.session(python=FOUND or False)
def tests(session: nox.Session) -> None:
    """Run the test suite on every supported Python on PATH (arguments after `--` go to pytest)."""
    if not FOUND:
        session.error(f"none of Python {', '.join(SUPPORTED)} found; install one and add it to PATH")
    if MISSING:
        session.log(f"not tested, since not found on PATH: Python {', '.join(MISSING)}")
    session.install(EVERYTHING, *_group("tests"))
    session.run("pytest", *session.posargs)


@nox.session(python=ONE)
def oldest(session: nox.Session) -> None:
    """Run the test suite with the oldest dependencies that pyproject.toml allows."""
    floors = [line.split(",")[0].replace(">=", "==") for line in _requirements()]
    session.install(EVERYTHING, *floors, *_group("tests"))
    session.run("pytest", *session.posargs)


@nox.session(python=ONE)
def coverage(session: nox.Session) -> None:
    """Measure branch coverage, and fail below the threshold."""
    session.install(EVERYTHING, *_group("coverage"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session(python=ONE)
def seconds(session: nox.Session) -> None:
    """Run the test suite, and print tests and seconds per folder; a failing test does not fail this session."""
    session.install(EVERYTHING, *_group("tests"))
    report = session.cache_dir / "seconds.xml"
    session.run("pytest", "-q", f"--junitxml={report}", *session.posargs, success_codes=[0, 1])
    session.run("python", "-m", "tests._support.seconds", str(report))


@nox.session(python=ONE)
def demo(session: nox.Session) -> None:
    """Run the main use case against the sandbox on this machine, and print what happened."""
    session.install(".[sandbox]")
    session.run("python", "-m", "seic.sandbox.demo", *session.posargs)


@nox.session(python=ONE)
def bench(session: nox.Session) -> None:
    """Compare seic with other libraries (needs nginx, and valgrind: without it rows stay empty, and it fails)."""
    # pytest, since the nginx of the tests serves here too.
    session.install(".[httpx2]", "authlib", "httpx-auth", "azure-identity", "aiohttp", "h2", "pytest")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session(python=ONE)
def proxy(session: nox.Session) -> None:
    """Measure `seic proxy`, and print the tables of docs/proxy.md (needs nginx and curl)."""
    session.install(EVERYTHING, *_group("tests"))
    session.run("python", "-W", "ignore", "-m", "tests.benchmarks.proxy", *session.posargs)


@nox.session(python=ONE)
def growth(session: nox.Session) -> None:
    """Check that a process that runs long does not grow (about 30 minutes; `-- --calls 100000` takes less)."""
    session.install(".")
    session.run("python", "-W", "ignore", "-m", "tests.benchmarks.growth", *session.posargs)


@nox.session(python=ONE)
def fleet(session: nox.Session) -> None:
    """Measure processes that share a token store, and print the table of docs/fleet.md (needs redis-server)."""
    session.install(EVERYTHING, *_group("tests"))
    session.run("python", "-m", "tests.fleet", *session.posargs)


@nox.session(python=ONE)
def oidc(session: nox.Session) -> None:
    """Try settings alone against oidc-provider (needs node and npm)."""
    session.install(EVERYTHING, *_group("tests"))
    folder = session.cache_dir / "oidc"
    session.run("npm", "install", "--prefix", str(folder), "oidc-provider@9.13.3", external=True)
    env = {"OIDC_PROVIDER_MODULES": str(folder / "node_modules")}
    session.run("pytest", "tests/oidc/checks.py", *session.posargs, env=env)


@nox.session(python=ONE)
def structure(session: nox.Session) -> None:
    """Print the figures of the structure: moves between files, sizes, names, threads."""
    session.install("--editable", EVERYTHING, *_group("types"))
    session.run("python", "-W", "ignore", "-m", "tests.structure", *session.posargs)


@nox.session(python=ONE)
def settings(session: nox.Session) -> None:
    """Write docs/settings.md again, from the table of settings (`-- --check` only compares)."""
    session.install("--editable", ".")
    session.run("python", "-m", "tests._support.settings_page", *session.posargs)


@nox.session(python=ONE)
def reference(session: nox.Session) -> None:
    """Write docs/reference/ again, from the code (`-- --check` only compares)."""
    session.install("--editable", EVERYTHING, *_group("tests"))
    session.run("python", "-m", "tests._support.reference_pages", *session.posargs)


@nox.session(python=ONE)
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link, anchor or reference fails (`-- --dirty` builds changes)."""
    session.install("--editable", EVERYTHING, *_group("docs"))
    # mkdocs-material announces another project.
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python=ONE)
def certs(session: nox.Session) -> None:
    """Create the sample certificates in certs-sample/ again."""
    session.install("cryptography")
    session.run("python", "certs-sample/mint.py", *session.posargs)


@nox.session(python=ONE)
def build(session: nox.Session) -> None:
    """Build the wheel and the sdist, and import the wheel with and without extras."""
    dist = Path("dist")
    shutil.rmtree(dist, ignore_errors=True)
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    (wheel,) = dist.glob("*.whl")
    integrations = "seic, seic.sandbox, seic.otel, seic.testing, pytest_seic, httpx2"
    for extras, modules in {"": "seic", EVERYTHING.removeprefix("."): integrations}.items():
        folder = session.create_tmp()
        python = Path(folder, f"venv{len(extras)}", "Scripts" if os.name == "nt" else "bin", "python")
        session.run("python", "-m", "venv", "--clear", str(python.parent.parent))
        session.run(str(python), "-m", "pip", "install", "--quiet", f"{wheel}{extras}", external=True)
        # -I: do not import from the source tree a module that the wheel lacks.
        probe = f"import {modules}, importlib.resources as r; assert r.files('seic').joinpath('py.typed').is_file()"
        session.run(str(python), "-I", "-W", "error", "-c", probe, external=True)


@nox.session(python=ONE)
def release(session: nox.Session) -> None:
    """Make the artifacts of a release in dist/ from the last commit, and check them: equal builds, types, licences."""
    dist = Path("dist")
    shutil.rmtree(dist, ignore_errors=True)
    session.install("build", *_group("release"))
    environment = {"SOURCE_DATE_EPOCH": _output(session, "git", "log", "-1", "--format=%ct")}
    folder, builds = Path(session.create_tmp()), []
    for name in ("first", "second"):  # in different folders, so that no path of this machine can be in the files
        source = folder / name / "seic"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        archive = source.parent / "source.tar"
        session.run("git", "archive", f"--output={archive}", "HEAD", external=True)
        shutil.unpack_archive(archive, source)
        session.run("python", "-m", "build", "--outdir", str(source / "dist"), str(source), env=environment)
        builds.append({path.name: path.read_bytes() for path in sorted((source / "dist").iterdir())})
    if builds[0] != builds[1]:
        session.error("the two builds differ")
    shutil.copytree(folder / "second" / "seic" / "dist", dist)
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))

    (wheel,) = dist.glob("*.whl")
    venv = Path(session.create_tmp(), "installed")
    python = str(venv / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(venv))
    session.run("python", "-m", "pip", f"--python={python}", "install", "--quiet", f"{wheel}{EVERYTHING[1:]}")
    session.run("pyright", "--pythonpath", python, "--verifytypes", "seic", "--ignoreexternal")
    bill = ["cyclonedx-py", "environment", "--output-reproducible", "--mc-type=library", "--pyproject=pyproject.toml"]
    session.run(*bill, f"--output-file={dist / 'sbom.cdx.json'}", python, env=environment)
    listed = ["pip-licenses", f"--python={python}", "--from=mixed", "--format=markdown", "--with-urls", "--order=name"]
    session.run(*listed, f"--allow-only={LICENCES}", "--partial-match", f"--output-file={dist / 'licenses.md'}")
    for path in sorted(dist.iterdir()):
        session.log(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")


def _output(session: nox.Session, *command: str) -> str:
    return str(session.run(*command, external=True, silent=True)).strip()
