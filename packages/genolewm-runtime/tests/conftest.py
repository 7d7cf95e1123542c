"""A small world for the runtime's tests: a reference with gaps, a VCF with every kind of row, a random model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.artifacts.manifest import Contract
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model

MINI = ARCHITECTURES["mini"]
CONTRACT = Contract(window_bp=6_144, cell_bp=1_200, state_layer=4, radius_tok=3, ll_tok=4)

HEADER = """\
##fileformat=VCFv4.2
##contig=<ID=chr1,length={length}>
##contig=<ID=chrUn,length=500>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


@dataclass(frozen=True)
class World:
    """Paths of the test world."""

    model: Path
    reference: Path
    vcf: Path
    bases: str


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(7)
    bases = list(rng.choice(list("ACGT"), size=9_000))
    bases[4_000:4_500] = "N" * 500
    bases[2_000:2_024] = "CAG" * 8
    text = "".join(bases)
    reference = folder / "reference.fa"
    reference.write_text(">chr1\n" + "\n".join(text[i : i + 60] for i in range(0, len(text), 60)) + "\n")
    pysam.faidx(str(reference))
    vcf = folder / "variants.vcf"
    vcf.write_text(HEADER.format(length=len(text)) + "".join(_records(text, rng)))
    model = write_model(folder / "model", MINI, random_model(MINI, seed=3), CONTRACT)
    return World(model.path, reference, vcf, text)


def _records(text, rng):
    """Substitutions all along, and one of each thing that cannot simply be scored."""

    def line(pos, ref, alt, chrom="chr1"):
        return f"{chrom}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n"

    def snv(pos):
        return line(pos, text[pos - 1], "ACGT"[("ACGT".index(text[pos - 1]) + 1) % 4])

    special = {
        100: line(100, text[99], text[99]),
        700: line(700, text[699], f"{text[699]}ACG,*,<DEL>,{text[699]}TTTTTT"),
        1_500: line(1_500, text[1_499:1_503], text[1_499]),
        2_000: line(2_000, text[1_999] + "CAG", text[1_999]),
        3_000: line(
            3_000, "ACGT"[("ACGT".index(text[2_999]) + 1) % 4], "ACGT"[("ACGT".index(text[2_999]) + 2) % 4]
        ),
        4_100: line(4_100, "A", "C"),
        5_000: line(5_000, text[4_999], "."),
        5_200: line(5_200, text[5_199], "R"),
    }
    positions = sorted(
        set(special) | {int(p) for p in rng.integers(60, 8_900, size=60) if not 3_990 < p < 4_510}
    )
    yield from (special.get(pos) or snv(pos) for pos in positions)
    yield line(10, "A", "C", chrom="chrUn")
