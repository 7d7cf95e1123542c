"""The user's word that personal files may be scored on a cluster."""

from __future__ import annotations

import sys

import click

from genolewm_core.errors import ConfigError
from genolewm_runtime.receipt import ClusterConsent

__all__ = ["SENTENCE", "ask_consent"]

SENTENCE = "I consent"

_WARNING = """\
With --cluster the network stays open, here and on every machine of the cluster: Ray sends the work over it, \
workers read the VCFs over it where they lie on a shared folder, and nothing keeps other code from using it.
Whoever can reach the cluster can reach what it reads. Every receipt will say that you agreed."""


def ask_consent(address: str, *, by_option: bool) -> ClusterConsent:
    """Consent by `--consent-cluster`, or typed at a terminal.

    Raises:
        ConfigError: `config-invalid`: it was not given.
    """
    local = address == "local"
    if by_option:
        return ClusterConsent("option", local)
    if sys.stdin is not None and sys.stdin.isatty():
        click.secho(_WARNING, fg="yellow", err=True)
        typed = click.prompt(f'To go on, type "{SENTENCE}"', default="", show_default=False, err=True)
        if typed.strip().casefold() == SENTENCE.casefold():
            return ClusterConsent("typed", local)
    raise ConfigError(
        "config-invalid",
        "Personal files are not sent to a cluster without your consent; nothing was read.",
        where="--cluster",
        expected=f'"{SENTENCE}", typed at a terminal, or --consent-cluster',
        next_step="leave --cluster out to score on this machine with the network closed",
    )
