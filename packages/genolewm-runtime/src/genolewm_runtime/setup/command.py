"""The command `setup`: the one moment at which GenoLeWM uses a network. It takes no personal data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from genolewm_core.errors import ConfigError, DeploymentError, interrupts_kept

if TYPE_CHECKING:
    from genolewm_runtime.setup.digests import Digest, Index
    from genolewm_runtime.setup.plan import Plan
    from genolewm_runtime.setup.sources import Request
    from genolewm_runtime.setup.transport import Transport

__all__ = ["setup"]

_PATH = click.Path(path_type=Path)
_ENCODERS = ("carbon-500m", "carbon-3b", "carbon-8b", "500m", "3b", "8b")


@click.command("setup")
@click.option(
    "--encoder",
    metavar="carbon-500m|carbon-3b|carbon-8b",
    type=click.Choice(_ENCODERS, case_sensitive=False),
    help="Carbon's weights; 500m, 3b and 8b will do.",
)
@click.option(
    "--reference",
    metavar="GRCh38|GRCh37",
    type=click.Choice(("GRCh38", "GRCh37"), case_sensitive=False),
    help="A reference FASTA.",
)
@click.option("--annotation", is_flag=True, help="Also the genes of --reference.")
@click.option("--home", type=_PATH, help="Where to. Default: $GENOLEWM_HOME, else your data folder.")
@click.option(
    "--revision",
    metavar="SHA",
    help="Commit of the encoder, 40 digits. Default: the catalogue's, if it has one.",
)
@click.option("--digests", type=_PATH, metavar="FILE", help="SHA-256 digests, as sha256sum lists them.")
@click.option("--index", metavar="FILE|URL", help="A release index: files, sizes and digests.")
@click.option("--trust-host", is_flag=True, help="Be content with the digests that the host itself declares.")
@click.option("--from", "folder", type=_PATH, metavar="DIR", help="Take the files from a folder; no network.")
@click.option("--endpoint", metavar="URL", help="A mirror of the Hub. Default: $HF_ENDPOINT, else the Hub.")
@click.option("--yes", is_flag=True, help="Go on without asking.")
@click.option("--dry-run", is_flag=True, help="Print the plan and end.")
@click.option("--no-progress", is_flag=True, help="No progress bars.")
def setup(**options: Any) -> None:
    """Get an encoder, a reference and its genes, and verify them.

    Without --encoder and --reference it lists what can be set up and what is. With them it prints a plan, asks,
    fetches, verifies every byte against a digest, and then `geno-lewm score` takes the names carbon-500m and
    GRCh38 in place of paths.
    """
    _refuse_behind_the_guard()
    from genolewm_core.artifacts.installed import HOME_VARIABLE
    from genolewm_core.artifacts.installed import home as usual_home

    home = (options["home"] or usual_home()).absolute()
    if options["encoder"] is None and options["reference"] is None:
        _check_nothing_else(options)
        from genolewm_runtime.setup.show import show_state

        show_state(home)
        return
    _check_choice(options)
    endpoint = _endpoint(options["endpoint"])
    if options["folder"] is not None:
        _plan_and_do(options, home, endpoint, None)
    else:
        from genolewm_runtime.setup.transport import Transport

        with Transport(token=os.environ.get("HF_TOKEN"), token_url=endpoint, on_wait=_say_wait) as transport:
            _plan_and_do(options, home, endpoint, transport)
    if home != usual_home().absolute() and not options["dry_run"]:
        click.echo(f"so that names are found there, set {HOME_VARIABLE}={home}", err=True)


def _say_wait(found: str, seconds: float) -> None:
    click.echo(f"{found}; trying again in {seconds:g} s", err=True)


def _plan_and_do(options: dict[str, Any], home: Path, endpoint: str, transport: Transport | None) -> None:
    from genolewm_runtime.setup.plan import check_room
    from genolewm_runtime.setup.show import show_plan
    from genolewm_runtime.setup.sources import make_plan

    plan = make_plan(_request(options, home, endpoint, transport), transport)
    show_plan(plan)
    if options["dry_run"]:
        return
    check_room(plan)
    if not options["yes"] and not click.confirm("Go on?", err=True):
        raise _no_consent("no")
    _do(plan, transport, show_progress=not options["no_progress"])


def _do(plan: Plan, transport: Transport | None, *, show_progress: bool) -> None:
    from genolewm_runtime.setup.show import progress
    from genolewm_runtime.setup.work import carry_out, only_setup

    try:
        with interrupts_kept(), only_setup(plan.home), progress(show_progress) as watcher:
            carry_out(plan, transport, watcher)
    except KeyboardInterrupt:
        click.echo("What has arrived is kept: run the same command again to go on from there.", err=True)
        raise


def _request(options: dict[str, Any], home: Path, endpoint: str, transport: Transport | None) -> Request:
    from genolewm_runtime.setup.sources import Request

    encoder = options["encoder"]
    return Request(
        home=home,
        encoder=encoder and f"carbon-{encoder.lower().removeprefix('carbon-')}",
        assembly=options["reference"],
        annotation=options["annotation"],
        revision=options["revision"],
        digests=_digests(options["digests"]),
        index=_index(options["index"], transport),
        trust_host=options["trust_host"],
        folder=options["folder"] and options["folder"].absolute(),
        endpoint=endpoint,
    )


def _digests(path: Path | None) -> dict[str, Digest]:
    from genolewm_runtime.setup.digests import parse_list, read_text

    if path is None:
        return {}
    return parse_list(read_text(path, "list of digests"), str(path), "sha256", f"the list {path.name}")


def _index(given: str | None, transport: Transport | None) -> Index:
    from genolewm_runtime.setup.digests import parse_index, read_text
    from genolewm_runtime.setup.sources import check_trustworthy
    from genolewm_runtime.setup.transport import plain_address

    if given is None:
        return {}
    if "://" not in given:
        return parse_index(read_text(Path(given), "release index"), given)
    if transport is None:
        raise _not_together("no address as --index with --from, which uses no network")
    check_trustworthy(given, "--index")
    return parse_index(transport.text(given), plain_address(given))


def _endpoint(given: str | None) -> str:
    from genolewm_runtime.setup.hub import DEFAULT_ENDPOINT

    endpoint = (given or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    if not _is_address(endpoint):
        raise ConfigError(
            "config-invalid", "The endpoint is no address.", where="--endpoint", expected="https://..."
        )
    return endpoint


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port of 99999
        return False


def _refuse_behind_the_guard() -> None:
    from genolewm_runtime.guard import status

    if status() is not None:
        raise DeploymentError(
            "network-blocked",
            "The network guard is on in this process, and setup needs a network.",
            expected="a process that reads no personal data",
            next_step="run geno-lewm setup as a command of its own",
        )


def _check_nothing_else(options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value and name not in ("home", "no_progress")]
    if given:
        raise _not_together("--encoder, --reference or both")


def _check_choice(options: dict[str, Any]) -> None:
    if options["annotation"] and options["reference"] is None:
        raise _not_together("--reference with --annotation: the genes are those of that assembly")
    if options["revision"] is not None and options["encoder"] is None:
        raise _not_together("--encoder with --revision")
    if options["folder"] is not None and options["endpoint"] is not None:
        raise _not_together("no --endpoint with --from, which uses no network")
    if options["dry_run"] and options["yes"]:
        raise _not_together("either --dry-run or --yes")
    if not options["yes"] and not options["dry_run"] and not sys.stdin.isatty():
        raise _no_consent("nobody at a terminal, and no --yes")


def _not_together(expected: str) -> ConfigError:
    return ConfigError("config-invalid", "These options do not go together.", expected=expected)


def _no_consent(found: str) -> ConfigError:
    return ConfigError(
        "setup-no-consent",
        "Nothing was fetched, because nobody agreed to it.",
        expected="an answer of yes at a terminal, or --yes",
        found=found,
        next_step="look at the plan with --dry-run, then run the command again with --yes",
    )
