"""The sessions that build and prove the project; ``nox -l`` lists them, ``nox -s NAME`` runs one."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typing", "drift", "tests"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

# One worker more than cores: many tests wait for processes of their own, or for time to pass.
WORKERS = ("--numprocesses", str((os.cpu_count() or 1) + 1))

# Trust whom the operating system trusts, so that installing works behind a company's proxy too.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
# Compile once when installing: the tests start the command a hundred times.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")


def group(name: str) -> list[str]:
    """The requirements of one of the project's dependency groups."""
    return nox.project.dependency_groups(PROJECT, name)


@nox.session
def generate(session: nox.Session) -> None:
    """Write the typed clients in generated/ from openapi/ and overlays/, once these are clean."""
    session.install("-e", ".[codegen]")
    session.run("python", "-m", "mjrelay_codegen", "generate", *session.posargs)


@nox.session(name="add-relay")
def add_relay(session: nox.Session) -> None:
    """Begin the contract of another relay: nox -s add-relay -- NAME [--extends OTHER]."""
    session.install("-e", ".[codegen]")
    session.run("python", "-m", "mjrelay_codegen", "add", *session.posargs)


@nox.session
def drift(session: nox.Session) -> None:
    """Fail where generated/ is not what openapi/ and overlays/ make."""
    session.install("-e", ".[codegen]")
    session.run("python", "-m", "mjrelay_codegen", "drift", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check contracts, overlays, import directions, code style and wording."""
    session.install("-e", ".[codegen]", *group("lint"))
    session.run("python", "-m", "mjrelay_codegen", "lint", *session.posargs)
    session.run("lint-imports", "--no-logo")
    session.run("python", ".ci/check_words.py")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of everything that is written or generated."""
    session.install("-e", ".[all]", *group("typing"))
    session.run("mypy", *session.posargs)
    session.run("mypy", "tests/typing")
    session.run("pyright", "tests/typing")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the built package."""
    session.install(".[all]", *group("tests"))
    session.run("pytest", *WORKERS, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with their branch coverage, which takes about twice as long; fail where it has fallen."""
    session.install(".[all]", *group("tests"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *WORKERS, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def selftest(session: nox.Session) -> None:
    """Prove the suite: it names each fault of each mock by the right check, and says nothing else."""
    session.install("-e", ".[conformance]")
    page = ["--page", "docs/checks.md"]
    session.run("python", "-m", "mjrelay_conformance.drivers.selftest", *page, *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge relays: the embedded mocks of all, or what the arguments after -- say."""
    session.install(".[conformance]")
    session.run("mjrelay", "conform", "--format", "pretty", "--report-dir", "reports", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the face against what its users would use instead; prints ratios, judges nothing."""
    session.install(".[all]", *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Make the pictures in docs/ from runs against mocks; needs Chromium."""
    session.install("-e", ".[all]", *group("tests"))
    session.run("python", "tests/make_pictures.py", *session.posargs)
