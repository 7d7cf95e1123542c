"""Documentation that must stay true: tables generated from code, commands, counts."""

import gzip
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl

from genolewm_core.errors import CODES
from genolewm_core.genome.vcf import FAILED_REASONS, SKIPPED_REASONS
from genolewm_core.remedies import REMEDIES
from genolewm_runtime.models import demo_directory, embedded_model
from genolewm_runtime.writers import SCHEMA

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("geno-lewm")


def table_rows(page):
    text = (ROOT / "docs" / page).read_text()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]


def test_every_error_code_is_explained():
    listed = {row[0].strip("`"): row[1:] for row in table_rows("errors.md")}
    assert listed == {code: [meaning, REMEDIES[code].todo] for code, meaning in CODES.items()}


def test_every_column_is_described():
    names = [name for row in table_rows("formats/scores.md") for name in re.findall(r"`(\w+)`", row[0])]
    assert names[: len(SCHEMA)] == list(SCHEMA)


def test_every_reason_is_described():
    listed = {
        row[0].strip("`"): row[1]
        for row in table_rows("formats/scores.md")
        if row[1] in ("skipped", "failed")
    }
    expected = {**dict.fromkeys(SKIPPED_REASONS, "skipped"), **dict.fromkeys(FAILED_REASONS, "failed")}
    assert listed == {**expected, "sixmer_unreadable": "skipped", "score_undefined": "skipped"}


def test_the_embedded_models_page_is_its_card():
    card = (embedded_model() / "card.md").read_text()
    assert (ROOT / "docs/mini.md").read_text() == card.replace("(loss_curve.png)", "(mini_loss_curve.png)")
    assert (ROOT / "docs/mini_loss_curve.png").read_bytes() == (
        embedded_model() / "loss_curve.png"
    ).read_bytes()


def console_lines(page):
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_readme_names_commands_that_exist():
    lines = console_lines(ROOT / "README.md")
    assert lines[:2] == ["pip install uv", "uv run --package genolewm-runtime --extra mini geno-lewm demo"]
    assert lines[-1] == "uvx nox"


def set_up(home):
    """What `setup` leaves, with the embedded model and the demo slice in the place of what it would fetch."""
    demo = demo_directory()
    places = {
        "models/carbon-500m": ("", [embedded_model() / name for name in os.listdir(embedded_model())]),
        "references/GRCh38": ("reference.fa.gz", sorted(demo.glob("reference.fa.gz*"))),
        "annotations/GRCh38": ("genes.gff3", []),
    }
    for place, (main_file, files) in places.items():
        folder = home / place / ("a" * 40)
        folder.mkdir(parents=True)
        (folder / "setup.json").write_text(json.dumps({"set_up_at": "2026", "main_file": main_file}))
        for file in files:
            shutil.copy(file, folder)
    features = {
        "gene": "ID=g;Name=GENE1",
        "mRNA": "ID=t;Parent=g",
        "exon": "Parent=t",
        "CDS": "ID=c;Parent=t",
    }
    lines = [
        "\t".join(
            ("chr21", "test", kind, "25000001", "25000600", ".", "+", "0" if kind == "CDS" else ".", about)
        )
        for kind, about in features.items()
    ]
    gff3 = home / "annotations/GRCh38" / ("a" * 40) / "genes.gff3"
    gff3.write_text("\n".join(["##gff-version 3", *lines, ""]))
    return home


def test_readme_commands_run(tmp_path):
    demo = demo_directory()
    (tmp_path / "GRCh38.fa").symlink_to(demo / "reference.fa.gz")
    for index in ("fai", "gzi"):
        (tmp_path / f"GRCh38.fa.{index}").symlink_to(demo / f"reference.fa.gz.{index}")
    with gzip.open(demo / "NA12878.vcf.gz", "rt") as source, gzip.open(tmp_path / "my.vcf.gz", "wt") as few:
        few.writelines(itertools.islice(source, 90))
    lines = [line for line in console_lines(ROOT / "README.md") if line.startswith("geno-lewm")]
    # What `setup` fetches needs a host; the tests of genolewm-runtime run that line against one of their own.
    lines = [line for line in lines if not line.startswith("geno-lewm setup")]
    assert len(lines) >= 4
    environment = {**os.environ, "GENOLEWM_HOME": str(set_up(tmp_path / "home"))}
    for line in lines:
        arguments = shlex.split(line)[1:]
        answer = subprocess.run(
            [COMMAND, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
        )
        assert answer.returncode == 0, answer.stderr
    assert set(pl.read_parquet(tmp_path / "scores.parquet")["status"]) == {"scored"}
    assert (tmp_path / "scores.html").stat().st_size > 10_000


def test_links_of_the_readme_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
