"""What can be checked: `nox` runs lint, types, tests and isolated; `nox -l` lists the rest.

Every session installs with uv from this workspace alone. uv does not read pip's settings, so a local folder
of wheels is passed on by hand.
"""

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests", "isolated"]

ROOT = Path(__file__).parent
PYTHON = "3.11"
DISTRIBUTIONS = ["core", "data", "encoder", "export", "mini", "runtime", "train"]

if os.environ.get("PIP_FIND_LINKS") and not os.environ.get("UV_FIND_LINKS"):
    os.environ["UV_FIND_LINKS"] = os.environ["PIP_FIND_LINKS"]


def sync(session: nox.Session, *arguments: str) -> None:
    """Install from the workspace into the session's own environment."""
    session.run_install(
        "uv", "sync", "--quiet", *arguments, env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location}
    )


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Everything together: the packages' tests, integration tests and every example of the docs."""
    sync(session, "--all-packages", "--all-extras", "--group", "test")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHON)
def faults(session: nox.Session) -> None:
    """Fifty kills, and a fault at every file operation of a run; `tests` has a sample of both."""
    sync(session, "--all-packages", "--all-extras", "--group", "test")
    environment = {"GENOLEWM_KILLS": "50", "GENOLEWM_FAULTS": "all"}
    files = ("tests-integration/test_resume_kill.py", "tests-integration/test_faults.py")
    setup = "packages/genolewm-runtime/tests/setup/test_setup_faults.py"
    session.run("pytest", *files, setup, *session.posargs, env=environment)


@nox.session(python=PYTHON)
@nox.parametrize("distribution", DISTRIBUTIONS, ids=DISTRIBUTIONS)
def isolated(session: nox.Session, distribution: str) -> None:
    """One distribution installed alone: in a full workspace an undeclared import of a sibling would work."""
    sync(session, "--package", f"genolewm-{distribution}", "--group", "test")
    session.run("python", "scripts/import_all.py", f"genolewm_{distribution}")
    session.run("pytest", f"packages/genolewm-{distribution}")


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Style, format and the direction of imports."""
    sync(session, "--all-packages", "--group", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Static types, strict."""
    sync(session, "--all-packages", "--group", "types")
    session.run("mypy")


@nox.session(python=PYTHON)
def build(session: nox.Session) -> None:
    """Build every distribution, check its metadata, install the wheels alone and ask every command for help."""
    out = Path(session.create_tmp()) / "dist"
    session.run("uv", "build", "--all-packages", "--no-sources", "--out-dir", str(out), external=True)
    session.install("twine")
    session.run("twine", "check", "--strict", *map(str, out.glob("*")))
    session.install(
        "--find-links",
        str(out),
        "genolewm-runtime[mini]",
        "genolewm-train",
        "genolewm-export",
        "torch==2.13.0",
    )
    session.run("geno-lewm", "--help")
    commands = ("setup", "score", "score-cohort", "saturate", "demo", "cache-windows", "train-mini")
    for command in (*commands, "export-graph"):
        session.run("geno-lewm", command, "--help", silent=True)


@nox.session(python=PYTHON)
def docs(session: nox.Session) -> None:
    """Build the documentation site; a broken link is an error."""
    sync(session, "--all-packages", "--group", "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Run the benchmarks; results go to bench/results/."""
    sync(session, "--all-packages", "--all-extras", "--group", "bench")
    session.run("python", "bench/inference.py", *session.posargs)


if __name__ == "__main__":
    sys.exit("run this file with nox")
