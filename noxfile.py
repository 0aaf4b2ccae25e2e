"""Sessions that build and check the project. ``nox -l`` lists them, ``nox -s NAME`` runs one."""

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

# One worker more than cores, because many tests wait for subprocesses.
WORKERS = ("--numprocesses", str((os.cpu_count() or 1) + 1))

# Trust the operating system's certificates, so that installing works behind a company's proxy.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
# Compile once when installing, because the tests start the command many times.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


@nox.session
def generate(session: nox.Session) -> None:
    """Write the typed clients in generated/ from openapi/ and overlays/, if these pass the linter."""
    session.install("-e", ".[codegen]")
    session.run("python", "-m", "mjrelay_codegen", "generate", *session.posargs)


@nox.session(name="add-relay")
def add_relay(session: nox.Session) -> None:
    """Write the draft of a new contract: nox -s add-relay -- NAME [--extends OTHER]."""
    session.install("-e", ".[codegen]")
    session.run("python", "-m", "mjrelay_codegen", "add", *session.posargs)


@nox.session
def drift(session: nox.Session) -> None:
    """Fail if generated/ differs from what openapi/ and overlays/ generate."""
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
    """Type-check hand-written and generated code."""
    session.install("-e", ".[all]", *group("typing"))
    session.run("mypy", *session.posargs)
    session.run("mypy", "tests/typing")
    session.run("pyright", "tests/typing")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the built package."""
    session.install(".[all]", *group("tests"))
    session.run("pytest", *WORKERS, *session.posargs)


CONTRACT = "./tests/my-relay.yaml"
EXTRAS = {
    "base": ("mjrelay", "relays", "show", CONTRACT),
    "mock": ("mjrelay", "mock", CONTRACT, "--list-faults"),
    "monitor": (
        "python",
        "-c",
        f"from mjrelay.monitor import Monitor; Monitor({CONTRACT!r}, api_key='mock-key').close()",
    ),
    "conformance": ("mjrelay", "conform", CONTRACT, "--no-fuzz"),
    "lint": ("mjrelay", "lint", CONTRACT),
    "codegen": ("mjrelay", "generate", CONTRACT, "--output", "{tmp}/client"),
}


@nox.session
@nox.parametrize("extra", list(EXTRAS), ids=list(EXTRAS))
def extras(session: nox.Session, extra: str) -> None:
    """Install one extra alone and run a command that needs it."""
    session.install("." if extra == "base" else f".[{extra}]")
    tmp = session.create_tmp()
    session.run(*(part.format(tmp=tmp) for part in EXTRAS[extra]), silent=True)


@nox.session
def stress(session: nox.Session) -> None:
    """Run the tests of large sizes, which are not part of the gate."""
    session.install(".[all]", *group("tests"))
    session.run("pytest", "-m", "stress", *WORKERS, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and report branch coverage. Takes about twice as long as tests."""
    session.install(".[all]", *group("tests"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *WORKERS, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def selftest(session: nox.Session) -> None:
    """Check that the suite finds each fault of each mock with the right check, and nothing else."""
    session.install("-e", ".[conformance]")
    page = ["--page", "docs/checks.md"]
    session.run("python", "-m", "mjrelay_conformance.drivers.selftest", *page, *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge the embedded mocks of all relays, or the relays given after --."""
    session.install(".[conformance]")
    session.run("mjrelay", "conform", "--format", "pretty", "--report-dir", "reports", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare performance with the alternatives, as ratios."""
    session.install(".[all]", *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Make the pictures in docs/ from runs against mocks. Needs Chromium."""
    session.install("-e", ".[all]", *group("tests"))
    session.run("python", "tests/make_pictures.py", *session.posargs)
