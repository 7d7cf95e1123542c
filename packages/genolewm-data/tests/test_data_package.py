"""The package as it is installed."""

from importlib.metadata import entry_points

import click


def test_commands_of_the_package_can_be_loaded():
    (entry,) = entry_points(group="genolewm.commands", name="prepare")
    assert isinstance(entry.load(), click.Group)
    for name in ("gnomad", "clinvar"):
        (script,) = entry_points(group="console_scripts", name=f"geno-lewm-prepare-{name}")
        assert script.load() is entry.load().commands[name]
