"""A release of real sequence with the project's hold-outs, and the pages about releases."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from genolewm_data.config import read_config
from genolewm_data.dataset.command import dataset
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.holdouts.sequence_file import read_held_sequence
from genolewm_data.release.release import Release
from genolewm_data.release.windows import SCHEMA

DOCS = Path(__file__).resolve().parent.parent / "docs"

CONFIG = """
name: real
version: "1"
assembly: GRCh37
reference: {data}/reference/GRCh37.shared.fa.gz
windows:
  shards: 2
  placed: {{regions: some.bed, stride_bp: 12288}}
edits: {{mix: {{synthetic_snv: 2, synthetic_indel: 1}}}}
haplotypes: {data}/population/1000G_phase3.BRCA1.2504samples.phased.GRCh37.vcf.gz
holdouts:
  chain: {data}/reference/hg19ToHg38.over.chain.gz
  annotations:
    GRCh37: {data}/annotation/LRG_t1.GRCh37.gff3.gz
    GRCh38: {data}/annotation/LRG_t1.GRCh38.gff3.gz
validation: {{holdouts: [chr21, brca1], windows_per_holdout: 5}}
"""


@pytest.mark.shared_data
def test_a_release_of_real_sequence(shared_data, tmp_path):
    # Genes of chromosomes 17 and 21, and the whole of BRCA1.
    bed = (shared_data / "reference" / "GRCh37.shared.regions.bed").read_text()
    chosen = [line for line in bed.splitlines() if re.match(r"(17|21)\t", line)]
    (tmp_path / "some.bed").write_text("\n".join(chosen) + "\n")
    (tmp_path / "config.yaml").write_text(CONFIG.format(data=shared_data))
    run = CliRunner().invoke
    built = run(dataset, ["build", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "release")])
    assert built.exit_code == 0, built.exception
    release = Release.open(tmp_path / "release")
    places = [(window.contig, window.start) for window in release.windows("train")]
    assert places
    assert not any(contig == "21" or 41_000_000 - 12_288 < start < 41_400_000 for contig, start in places)
    assert release.manifest.windows["validation"] == {"brca1": 5, "chr21": 5}
    assert len(release.haplotypes("train")) == 0
    assert release.manifest.left_out["windows.placed"]["held_out"] > 0
    assert len(read_held_sequence(release.folder / "held_kmers.parquet").kmers) > 1_000_000
    verified = run(dataset, ["verify", str(release.folder)])
    assert verified.exit_code == 0, verified.stdout


def test_the_configuration_on_the_page_can_be_read(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "dataset.md").read_text(), flags=re.DOTALL)
    (tmp_path / "config.yaml").write_text(block)
    config = read_config(DatasetConfig, tmp_path / "config.yaml", ["windows.corpus.hub=null"])
    config.check()
    assert config.windows.corpus.slice == 0.1


def test_every_column_of_windows_is_on_its_page():
    text = (DOCS / "formats" / "dataset.md").read_text()
    table = text.split("## Windows")[1].split("## Variants")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == SCHEMA.names
