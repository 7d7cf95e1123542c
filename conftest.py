"""Fixtures for the tests of every package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data that some tests check against; not part of the repository."""
    default = Path(__file__).resolve().parent.parent / "shared" / "data"
    folder = Path(os.environ.get("GENOLEWM_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip("the shared data folder is not here; set GENOLEWM_SHARED_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def bcftools() -> str:
    """Path of the bcftools program, the outside oracle for normalisation and editing."""
    program = shutil.which("bcftools")
    if program is None:
        pytest.skip("bcftools is not on PATH")
    return program
