"""Release files in small, written as text or compressed and indexed as the releases are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pysam
import pytest

from .release_headers import text_of


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a VCF: plain for a name that ends in .vcf, else bgzip with an index."""

    def writer(header: Sequence[str], records: Sequence[str], name: str = "in.vcf") -> Path:
        path = tmp_path / name
        text = text_of(header, records)
        if name.endswith(".vcf"):
            path.write_text(text)
            return path
        with pysam.BGZFile(str(path), "w") as file:
            file.write(text.encode())
        pysam.tabix_index(str(path), preset="vcf", force=True)
        return path

    return writer
