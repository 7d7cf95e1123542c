from pathlib import Path

import polars as pl
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.artifacts.manifest import Contract
from genolewm_core.errors import ConfigError, DeploymentError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.heads import CHOICES, HEADS
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model
from genolewm_runtime import command_options
from genolewm_runtime.runtime import GenoLeWMRuntime, options_of


@pytest.mark.parametrize(
    ("strands", "phases", "given", "both_strands", "n_phases"),
    [
        ("+", 1, {}, False, 1),
        ("+-", 3, {}, True, 3),
        ("+-", 3, {"both_strands": False}, False, 3),
        ("+-", 3, {"phases": 1}, True, 1),
        ("+", 1, {"both_strands": True, "phases": 6}, True, 6),
    ],
)
def test_strands_and_phases_are_the_contracts_unless_given(strands, phases, given, both_strands, n_phases):
    contract = Contract(strands=strands, phases=phases, radius_tok=5, ll_tok=7, cell_bp=1_200)
    options = options_of(contract, **given)
    assert (options.both_strands, options.phases) == (both_strands, n_phases)
    assert (options.radius_tok, options.ll_tok, options.geometry.cell_bp) == (5, 7, 1_200)
    assert options.heads == HEADS


@pytest.mark.parametrize(
    ("given", "heads"),
    [
        ("marginal_llr", ("marginal_llr",)),
        (" delta_ll , marginal_llr,", ("delta_ll", "marginal_llr")),
        ("delta_ll,delta_ll,displacement,delta_ll", ("delta_ll", "displacement")),
        (",".join(CHOICES), CHOICES),
    ],
)
def test_heads_as_typed(world, given, heads):
    assert command_options.pass_options(world.model, given).heads == heads


def test_heads_of_the_command_are_those_of_the_library(world):
    assert command_options.pass_options(world.model).heads == HEADS


@pytest.mark.parametrize(("given", "found"), [("risk,delta_ll,odd", "risk, odd"), (" , ", "none")])
def test_an_unknown_head_lists_the_known_ones(world, given, found):
    with pytest.raises(ConfigError) as caught:
        command_options.pass_options(world.model, given)
    assert caught.value.code == "config-invalid"
    assert caught.value.expected == ", ".join(CHOICES)
    assert caught.value.found == found


def test_phases_that_are_not_offered(world):
    with pytest.raises(ConfigError) as caught:
        command_options.pass_options(world.model, phases=4)
    assert (caught.value.code, caught.value.found) == ("config-invalid", "4")


def test_paths_may_be_text(world, tmp_path):
    variant = Variant("chr1", 300, world.bases[299], "ACGT"[("ACGT".index(world.bases[299]) + 1) % 4])
    with Reference(world.reference) as opened:
        scores = [
            GenoLeWMRuntime(model, backend="onnx", reference=reference, closed=False).score_variant(variant)
            for model, reference in [
                (str(world.model), str(world.reference)),
                (world.model, world.reference),
                (world.model, opened),
            ]
        ]
    assert [score.status for score in scores] == ["scored"] * 3
    assert scores[0].values == scores[1].values == scores[2].values


def test_a_file_named_by_text(world, tmp_path):
    runtime = GenoLeWMRuntime(str(world.model), backend="onnx", reference=str(world.reference), closed=False)
    output = str(tmp_path / "scores.parquet")
    summary = runtime.score_vcf(str(world.vcf), output)
    assert summary.output == Path(output)
    assert len(pl.read_parquet(output, glob=False)) == sum(summary.counts.values())


def test_scoring_without_a_reference(world):
    runtime = GenoLeWMRuntime(world.model, backend="onnx", closed=False)
    with pytest.raises(ConfigError) as caught:
        runtime.score_variant(Variant("chr1", 300, "A", "C"))
    assert caught.value.code == "config-invalid"


def test_a_backend_that_is_not_installed(world):
    with pytest.raises(DeploymentError) as caught:
        GenoLeWMRuntime(world.model, backend="abacus", closed=False)
    assert (caught.value.code, caught.value.found) == ("backend-missing", "abacus")
    assert "onnx" in caught.value.expected


def test_a_contract_with_strands_and_phases_changes_the_score(world, tmp_path):
    mini = ARCHITECTURES["mini"]
    plain = Contract(window_bp=6_144, cell_bp=1_200, state_layer=4, radius_tok=3, ll_tok=4)
    wide = Contract(
        window_bp=6_144, cell_bp=1_200, state_layer=4, radius_tok=3, ll_tok=4, strands="+-", phases=3
    )
    tensors = random_model(mini, seed=3)
    model = write_model(tmp_path / "wide", mini, tensors, wide).path
    variant = Variant("chr1", 700, world.bases[699], "ACGT"[("ACGT".index(world.bases[699]) + 1) % 4])
    arguments = {"backend": "onnx", "reference": world.reference, "closed": False}
    by_contract = GenoLeWMRuntime(model, **arguments).score_variant(variant).values
    asked = options_of(plain, both_strands=True, phases=3)
    assert (
        GenoLeWMRuntime(world.model, options=asked, **arguments).score_variant(variant).values == by_contract
    )
    narrow = GenoLeWMRuntime(world.model, **arguments).score_variant(variant).values
    assert by_contract["displacement"] != pytest.approx(narrow["displacement"], rel=1e-3)
