"""Import every module of a package: shows an undeclared dependency when the package is installed alone."""

from __future__ import annotations

import importlib
import pkgutil
import sys


def import_all(name: str) -> int:
    """Import a package and everything below it; returns the number of modules.

    A package that says with a coded error which extra it needs is named, and what lies in it is left out.
    """
    package = importlib.import_module(name)
    n = 0
    # What cannot be imported is looked at below.
    for module in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda _: None):
        try:
            importlib.import_module(module.name)
            n += 1
        except Exception as error:
            if getattr(error, "code", None) != "backend-missing":
                raise
            print(f"{module.name} is left out: {error}")
    return n


if __name__ == "__main__":
    for package_name in sys.argv[1:]:
        print(f"{package_name}: {import_all(package_name)} modules import")
