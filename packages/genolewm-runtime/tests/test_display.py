"""Text of users is printed as it is, whatever rich would take it for."""

import polars as pl
import pytest

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import Variant
from genolewm_core.genome.vcf import Row
from genolewm_runtime.demo import show_top
from genolewm_runtime.display import show_score, show_summary
from genolewm_runtime.run import RunSummary
from genolewm_runtime.scoring import ScoredRow
from genolewm_runtime.writers import table_of

ODD = ["[/x]", "[bold]b", ":dna:", "HLA-A*01:01", r"\[x]"]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def scored_row(chrom, displacement=0.5):
    variant = Variant(chrom, 7, "A", "C")
    source = Row(
        *(1, 1, chrom, 7, "A", "C", "scorable"),
        contig=chrom,
        variant=variant,
        replacement=Replacement(6, 7, "C"),
        edit_class="substitution",
    )
    values = {"marginal_llr": -1.25, "delta_ll": None, "displacement": displacement}
    return ScoredRow(source, "scored", None, (), values, displacement, "displacement")


@pytest.mark.parametrize("text", ODD)
def test_score_of_an_odd_contig(capsys, text):
    show_score(scored_row(text), f"model {text}")
    out = capsys.readouterr().out
    assert f"Scored by model {text}" in out
    assert f"{text}:7:A:C" in out
    assert "0.5000  (default score)" in out
    assert "not defined" in out


@pytest.mark.parametrize("text", ODD)
def test_a_failed_variant(capsys, text):
    source = Row(1, 1, text, 7, "A", "C", "failed", "contig_not_in_reference")
    show_score(ScoredRow(source, "failed", source.reason, (), {}, None, None), "m")
    out = capsys.readouterr().out
    assert f"{text}:7" in out
    assert "failed: contig_not_in_reference" in out


@pytest.mark.parametrize("text", ODD)
def test_summary_with_odd_paths(capsys, tmp_path, text):
    output = tmp_path / text / "s.parquet"
    counts = {("scored", None): 1_234, ("skipped", "symbolic_allele"): 2}
    show_summary(RunSummary(output, output.with_suffix(".json"), "onnx", counts, 9, 3), 2.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"scores:  {output}\n" in captured.err
    assert f"receipt: {output.with_suffix('.json')}\n" in captured.err
    assert "1,234 scored in 2.0 s on onnx, 3 shards from an earlier run" in captured.err


@pytest.mark.parametrize("folder", ["run[1]", "*", "what?", "plain"])
def test_top_of_a_table_in_an_odd_folder(capsys, tmp_path, folder):
    (tmp_path / folder).mkdir()
    rows = [scored_row(f"[/{i}]", displacement=i / 100) for i in range(12)]
    table = table_of(rows)
    table.write_parquet(tmp_path / folder / "scores.parquet")
    # A folder that the pattern "run[1]" would match.
    (tmp_path / "run1").mkdir()
    pl.DataFrame({"other": [1]}).write_parquet(tmp_path / "run1" / "scores.parquet")
    show_top(tmp_path / folder / "scores.parquet")
    out = capsys.readouterr().out
    assert [f"[/{i}]:7 A>C" in out for i in range(12)] == [False] * 2 + [True] * 10
    assert out.index("[/11]") < out.index("[/2]")
