"""Import every module of a package: shows an undeclared dependency when the package is installed alone."""

from __future__ import annotations

import importlib
import pkgutil
import sys


def import_all(name: str) -> int:
    """Import a package and everything below it; returns the number of modules."""
    package = importlib.import_module(name)
    found = [module.name for module in pkgutil.walk_packages(package.__path__, f"{name}.")]
    for module in found:
        importlib.import_module(module)
    return len(found)


if __name__ == "__main__":
    for package_name in sys.argv[1:]:
        print(f"{package_name}: {import_all(package_name)} modules import")
