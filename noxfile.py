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

# More workers than cores, because many tests wait for subprocesses.
WORKERS = ("--numprocesses", str((os.cpu_count() or 1) + 4), "--dist", "worksteal")

# Trust the operating system's certificates, so that installing works behind a company's proxy.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
# Compile once when installing, because the tests start the command many times.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return [*nox.project.dependency_groups(PROJECT, name)]


def local(session: nox.Session, extras: str = "") -> tuple[str, ...]:
    """Return the arguments that install the project, built again even if only its files have changed."""
    again = ("--reinstall-package", "mjrelay") if session.venv_backend == "uv" else ()
    return (*again, f".{extras}")


@nox.session(default=False)
def environment(session: nox.Session) -> None:
    """Install the built package once for typing, tests, stress, coverage, selftest and pictures."""
    session.install(*local(session, "[all]"), *group("typing"))


def run(session: nox.Session, program: str, *arguments: str) -> None:
    """Run a program of `environment`."""
    programs = session.cache_dir.parent.absolute() / "environment" / ("Scripts" if os.name == "nt" else "bin")
    path = os.pathsep.join((str(programs), os.environ.get("PATH", os.defpath)))
    session.run(str(programs / program), *arguments, env={"PATH": path})


installed = nox.session(venv_backend="none", requires=["environment"])
"""The decorator of sessions that run in `environment`."""


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


@installed
def typing(session: nox.Session) -> None:
    """Type-check all hand-written code, and a generated client of each shape."""
    run(session, "mypy", *session.posargs)
    run(session, "pyright", "tests/typing")


@installed
def tests(session: nox.Session) -> None:
    """Run the tests against the built package."""
    run(session, "pytest", *WORKERS, *session.posargs)


@installed
def relays(session: nox.Session) -> None:
    """Add six relays to a copy of the repository, and run linter, self-test and tests there."""
    run(session, "pytest", "-m", "relays", "tests/codegen", *session.posargs)


@installed
def services(session: nox.Session) -> None:
    """Run the tests of the durable queue and of the recipes, with a real Redis and a real Postgres."""
    run(
        session,
        "pytest",
        "-m",
        "services",
        *WORKERS,
        *(session.posargs or ("tests/durable", "tests/recipes")),
    )


@nox.session(python=["3.12", "3.13"], download_python="never", default=False)
def newer(session: nox.Session) -> None:
    """Run a part of the tests, or what is given after --, on each newer Python that is present."""
    session.install(*local(session, "[all]"), *group("tests"))
    session.run("pytest", *WORKERS, *(session.posargs or ("tests/semantics", "tests/http", "tests/base")))


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
    "durable": (
        "python",
        "-c",
        f"from mjrelay import Relay, durable as d; d.TaskQueue(dict(m=Relay({CONTRACT!r}, 'a-key')), print)",
    ),
    "lint": ("mjrelay", "lint", CONTRACT),
    "codegen": ("mjrelay", "generate", CONTRACT, "--output", "{tmp}/client"),
}


@nox.session
@nox.parametrize("extra", list(EXTRAS), ids=list(EXTRAS))
def extras(session: nox.Session, extra: str) -> None:
    """Install one extra alone and run a command that needs it."""
    session.install(*local(session, "" if extra == "base" else f"[{extra}]"))
    tmp = session.create_tmp()
    session.run(*(part.format(tmp=tmp) for part in EXTRAS[extra]), silent=True)


@installed
def stress(session: nox.Session) -> None:
    """Run the tests of large sizes, which are not part of the gate."""
    run(session, "pytest", "-m", "stress", *WORKERS, *session.posargs)


@installed
def coverage(session: nox.Session) -> None:
    """Run the tests of the gate, and fail if branch coverage falls. Takes about twice as long as tests."""
    run(session, "coverage", "erase")
    everything = ("-m", "not stress and not relays")
    run(session, "coverage", "run", "-m", "pytest", *everything, *WORKERS, *session.posargs)
    run(session, "coverage", "combine", "--quiet")
    run(session, "coverage", "report")


@installed
def selftest(session: nox.Session) -> None:
    """Check that the suite finds each fault of each mock with the right check, and nothing else."""
    page = ["--page", "docs/checks.md"]
    run(session, "python", "-m", "mjrelay_conformance.drivers.selftest", *page, *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge the embedded mocks of all relays, or the relays given after --."""
    session.install(*local(session, "[conformance]"))
    session.run("mjrelay", "conform", "--format", "pretty", "--report-dir", "reports", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare performance with the alternatives, as ratios."""
    session.install(*local(session, "[all]"), *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@installed
def pictures(session: nox.Session) -> None:
    """Make the pictures in docs/ from runs against mocks. Needs Chromium."""
    run(session, "python", "tests/make_pictures.py", *session.posargs)
