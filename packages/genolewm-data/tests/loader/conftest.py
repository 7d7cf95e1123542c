"""A small release, written as the builder writes them, and a source of states that a worker can open."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.states import Encoding, ReferenceWindow
from genolewm_data.corpus.windows import CorpusWindow
from genolewm_data.haplotypes.calls import Block, Call
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.release import windows as window_files
from genolewm_data.release.manifest import ReleaseFile, ReleaseManifest
from genolewm_data.release.release import HOLDOUTS, Release, haplotype_file, variant_file

WINDOW_BP = 1_200
STRIDE_BP = 1_000
N_PLACED, N_CORPUS = 37, 6
MARGIN = 64
ENCODING = Encoding(hashlib.sha256(b"an encoder").digest(), 3, "span_mean", 8, "fp32")
OPTIONS = {
    "seed": 11,
    "edits_per_window": 6,
    "mix": {"gnomad": 40, "synthetic_snv": 40, "synthetic_indel": 20},
    "multi_percent": 30,
    "spread_bp": 600,
    "radius_tok": 8,
    "haplotype_percent": 50,
}


@dataclass(frozen=True)
class Computed:
    """A source whose states are a function of their key, and that lacks those of every fifth token."""

    width: int = 4

    def __call__(self):
        return self

    def get_many(self, keys):
        found = np.array([key.center_tok % 5 > 0 for key in keys], dtype=np.bool_)
        states = np.array([self.state(key) for key in keys], dtype=np.float32).reshape(-1, self.width)
        states[~found] = np.nan
        return states, found

    def state(self, key):
        digest = hashlib.sha256(key.window_hash + str(key.center_tok).encode()).digest()
        return np.frombuffer(digest[: self.width], np.uint8).astype(np.float32)


def genome(seed, length):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


CHR1 = genome(1, N_PLACED * STRIDE_BP + WINDOW_BP)
CHR21 = genome(21, 6 * STRIDE_BP + WINDOW_BP)


def snv(contig, text, start):
    return Variant(contig, start + 1, text[start], "ACGT"["ACGT".index(text[start]) - 1])


def placed(contig, text, number):
    start = number * STRIDE_BP
    return ReferenceWindow(contig, start, start + WINDOW_BP, text[start : start + WINDOW_BP])


COMMON = [snv("chr1", CHR1, start) for start in range(30, len(CHR1) - 10, 37)]
HELD_VARIANTS = frozenset(COMMON[::3])
EVALUATED = [snv("chr1", CHR1, start) for start in range(10_100, 12_100, 67)]
BLOCKS = [
    Block(tuple(Call(v, v) for v in (snv("chr1", CHR1, at + step) for step in (5, 40, 90))))
    for at in range(100, len(CHR1) - 300, 450)
]
HELD_BLOCKS = BLOCKS[::4]


def write_release(folder, train, *, validation=(), options=OPTIONS):
    """A release of some windows; returns its folder."""
    for name in ("windows", "variants", "haplotypes"):
        (folder / name).mkdir(parents=True)
    half = len(train) // 2
    for shard, part in enumerate((train[:half], train[half:])):
        window_files.write_windows(folder / f"windows/train-{shard:05d}.parquet", ((w, "") for w in part))
    window_files.write_windows(folder / "windows/validation.parquet", validation)
    write_variants(folder / variant_file("train", "gnomad"), COMMON, af=0.1)
    chr21 = [snv("chr21", CHR21, start) for start in range(30, len(CHR21) - 10, 61)]
    write_variants(folder / variant_file("validation", "gnomad"), chr21, af=0.1)
    write_variants(folder / variant_file("validation", "clinvar"), EVALUATED, label="P")
    HaplotypeTable(dict.fromkeys(BLOCKS, 2)).write(folder / haplotype_file("train"))
    HaplotypeTable(dict.fromkeys(HELD_BLOCKS, 2)).write(folder / haplotype_file("validation"))
    held = HeldOut(
        "GRCh38",
        {"chr21": Intervals.of({"chr21": [(0, 1 << 30)]})},
        {"clinvar": HELD_VARIANTS | frozenset(EVALUATED)},
        {"haplotypes": frozenset(block.keys for block in HELD_BLOCKS)},
    )
    holdouts = Holdouts({"GRCh38": held})
    holdouts.write(folder / HOLDOUTS)
    write_manifest(folder, holdouts.digest, options)
    return folder


def write_variants(path, variants, **column):
    rows = [
        {"chrom": v.chrom, "pos": v.pos, "ref": v.ref, "alt": v.alt, **column} for v in sorted(set(variants))
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_manifest(folder, holdouts, options):
    files = [
        ReleaseFile(
            str(path.relative_to(folder)),
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_size,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "dataset_manifest.json"
    ]
    ReleaseManifest(
        name="tiny",
        version="1",
        assembly="GRCh38",
        window_bp=WINDOW_BP,
        options=options,
        windows={},
        left_out={},
        config={},
        holdouts=holdouts,
        sources=(),
        files=tuple(files),
        made_with={},
    ).write(folder)


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """37 placed windows of chr1 and six of the corpus in groups of four; validation of three hold-outs."""
    train = [placed("chr1", CHR1, number) for number in range(N_PLACED)]
    train += [
        CorpusWindow("eukaryote_generator", f"r{n}", 6 * n, genome(100 + n, WINDOW_BP))
        for n in range(N_CORPUS)
    ]
    validation = [(placed("chr21", CHR21, number), "chr21") for number in range(5)]
    validation += [(placed("chr1", CHR1, number), "clinvar") for number in (11, 10)]
    validation += [(placed("chr1", CHR1, number), "haplotypes") for number in (0, 3, 4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_files, "GROUP_ROWS", 4)
        folder = write_release(tmp_path_factory.mktemp("release") / "tiny", train, validation=validation)
    return Release.open(folder)
