"""Writes the measured part of docs/calibration.md from the embedded model's calibration tables."""

from pathlib import Path

from genolewm_core.artifacts.manifest import ModelDirectory, read_verified
from genolewm_core.scoring.calibration_file import parse_calibration
from genolewm_runtime.models import embedded_model
from genolewm_train.calibration.page import with_measured

PAGE = Path(__file__).parent.parent / "docs/calibration.md"


def main() -> None:
    """Read, render, write."""
    model = ModelDirectory.open(embedded_model())
    if model.manifest.calibration is None:
        raise SystemExit("the embedded model has no calibration")
    tables = parse_calibration(read_verified(model.path, model.manifest.calibration), model.path)
    PAGE.write_text(with_measured(PAGE.read_text(), tables))


if __name__ == "__main__":
    main()
