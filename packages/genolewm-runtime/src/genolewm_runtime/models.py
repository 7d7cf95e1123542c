"""Where models come from: a folder that the user names, or the embedded demonstration model."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from genolewm_core.errors import DeploymentError

__all__ = ["demo_directory", "embedded_model"]

_PACKAGE = "genolewm_mini"


def embedded_model() -> Path:
    """Folder of the embedded demonstration model.

    Raises:
        DeploymentError: `model-missing`, when genolewm-mini is not installed.
    """
    return _folder("model")


def demo_directory() -> Path:
    """Folder of the demo slice: `reference.fa.gz` and `NA12878.vcf.gz`.

    Raises:
        DeploymentError: `model-missing`.
    """
    return _folder("demo")


def _folder(name: str) -> Path:
    if find_spec(_PACKAGE) is None:
        raise DeploymentError(
            "model-missing",
            "No model was named, and the embedded demonstration model is not installed.",
            next_step="give --model DIR, or run: pip install 'genolewm-runtime[mini]'",
        )
    return Path(str(files(_PACKAGE))) / name
