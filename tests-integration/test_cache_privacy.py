"""The cache holds reference windows only: nothing of a scored VCF gets into it."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pysam
import pytest

from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.cells import Geometry, StrandView
from genolewm_core.scoring.states import UNTARGETED, Encoding, ReferenceWindow, StateKey, WindowBlock
from genolewm_encoder.cache import StateBatch, StateCache
from genolewm_runtime.models import demo_directory, embedded_model

COMMAND = Path(sys.executable).with_name("geno-lewm")
INSERTED = "GATTACAGGCATTCGA"


def contents(folder):
    """Every byte of a folder, packed columns unpacked as well."""
    import pyarrow.parquet as pq

    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[path.relative_to(folder)] = path.read_bytes()
        if path.suffix == ".parquet":
            columns = pq.read_table(path).drop_columns(["embedding"]).to_pylist()
            found[path.relative_to(folder) / "columns"] = repr(columns).encode()
    return found


@pytest.mark.slow
def test_a_planted_variant_is_nowhere_in_the_cache(tmp_path):
    demo = demo_directory()
    with gzip.open(demo / "NA12878.vcf.gz", "rt") as source:
        head = [line for line in source if line.startswith("##")]
    reference = Reference(demo / "reference.fa.gz")
    with pysam.VariantFile(str(demo / "NA12878.vcf.gz")) as file:
        record = next(iter(file))
        contig, pos = record.chrom, record.pos
    view = StrandView(reference.contig(contig))
    geometry = Geometry()
    window = geometry.window(geometry.cell(pos - 1), view)
    bases = view.fetch(window.start, window.end)
    ref = view.fetch(pos - 1, pos)
    (tmp_path / "me.vcf").write_text(
        "".join(head)
        + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tCANARYSAMPLE\n"
        + f"{contig}\t{pos}\trs987654321\t{ref}\t{ref}{INSERTED}\t9\tPASS\t.\tGT\t0|1\n"
    )
    encoding = Encoding(hashlib.sha256(b"an encoder").digest(), 4, "span_mean", 8, "fp32")
    reference_window = ReferenceWindow(contig, window.start, window.end, bases)
    key = StateKey.of(reference_window, encoding)
    with StateCache(tmp_path / "cache") as cache:
        cache.put_many(
            WindowBlock(contig, 0),
            StateBatch(
                [key],
                contig,
                np.array([window.start]),
                np.array([window.end]),
                np.array([key.center_tok == UNTARGETED]),
                np.ones((1, 256), np.float32),
            ),
        )
    before = contents(tmp_path / "cache")
    environment = {
        **os.environ,
        "GENOLEWM_HOME": str(tmp_path),
        "HOME": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path / "cache"),
    }
    arguments = ["score", "--vcf", tmp_path / "me.vcf", "--reference", demo / "reference.fa.gz"]
    arguments += ["--model", embedded_model(), "--output", tmp_path / "out.tsv", "--backend", "torch"]
    answer = subprocess.run(
        [COMMAND, *map(str, arguments), "--no-progress"],
        cwd=tmp_path / "cache",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert INSERTED in (tmp_path / "out.tsv").read_text()
    with StateCache(tmp_path / "cache") as cache:
        assert cache.get_many([key])[1].all()
    after = contents(tmp_path / "cache")
    assert after == before

    offset = pos - window.start
    edited = bases[:offset] + INSERTED + bases[offset:]
    needles = [INSERTED, reverse_complement(INSERTED), "CANARYSAMPLE", "rs987654321", str(pos)]
    needles = [needle.encode() for needle in needles]
    for length in (len(bases), len(edited)):
        digest = hashlib.sha256(edited[:length].encode()).digest()
        needles += [digest, repr(digest).encode(), digest.hex().encode()]
    everything = b"".join(after.values())
    assert key.window_hash in everything  # what is there can be found
    assert [needle for needle in needles if needle in everything] == []
    shutil.rmtree(tmp_path / "cache")
